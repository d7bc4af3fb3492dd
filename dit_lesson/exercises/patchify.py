"""Exercises of the chapter on patchify."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from einops import rearrange

from dit_lesson.exercises import exercise
from dit_lesson.patches import patchify, unpatchify

# not square, more than one image, more than one channel: nothing can be mixed up unseen
IMAGES = np.arange(2 * 3 * 4 * 6, dtype=float).reshape(2, 3, 4, 6)


def _cut(pattern: str) -> Callable[[np.ndarray, int], np.ndarray]:
    return lambda x, p: rearrange(x, f"b c (h p) (w q) -> {pattern}", p=p, q=p)


@exercise(
    (IMAGES, 2),
    right="Every number is where the equation says, in an image that is not square.",
    mistakes={
        "The features are in the order (C, p, p): the channel has to count fastest.": (
            _cut("b (h w) (c p q)")
        ),
        "The tokens are counted down the columns: token n is the patch in row n // (W / p).": (
            _cut("b (w h) (p q c)")
        ),
        "Each patch is read down its columns: read it row by row.": _cut("b (h w) (q p c)"),
        "A reshape alone only breaks the line of numbers elsewhere: split the axes, move "
        "them, then merge.": lambda x, p: x.reshape(len(x), -1, p * p * x.shape[1]),
        "The channels are still an axis of their own: a token holds all channels of its patch.": (
            _cut("b c (h w) (p q)")
        ),
    },
)
def check_patchify(images: np.ndarray, patch_size: int) -> np.ndarray:
    """(B, C, H, W) to (B, N, p * p * C), in NumPy."""
    return patchify(images, patch_size)


def _glue(given: str, pattern: str = "b c (h p) (w q)") -> Callable[..., np.ndarray]:
    return lambda tokens, p, height, width: rearrange(
        tokens, f"b {given} -> {pattern}", h=height // p, w=width // p, p=p, q=p
    )


@exercise(
    (patchify(IMAGES, 2), 2, 4, 6),
    right="Every number is back, in an image that is not square.",
    mistakes={
        "The features are read in the order (C, p, p), but patchify wrote (p, p, C).": (
            _glue("(h w) (c p q)")
        ),
        "The tokens are laid down the columns: they run along the rows.": _glue("(w h) (p q c)"),
        "Each patch is turned over its diagonal: its first axis is the row.": (
            _glue("(h w) (q p c)")
        ),
        "Height and width are swapped: it is H / p rows of W / p patches.": (
            lambda tokens, p, height, width: unpatchify(tokens, p, width, height)
        ),
        "A reshape alone moves no number: split the axes, move them, then merge.": (
            lambda tokens, p, height, width: tokens.reshape(len(tokens), -1, height, width)
        ),
        "The channels come last: images are (B, C, H, W).": (
            _glue("(h w) (p q c)", "b (h p) (w q) c")
        ),
    },
)
def check_unpatchify(tokens: np.ndarray, patch_size: int, height: int, width: int) -> np.ndarray:
    """The inverse of `patchify`."""
    return unpatchify(tokens, patch_size, height, width)


def _embedding(p: int, c: int, d: int) -> int:
    return (p * p * c + 1) * d


def _final(p: int, c: int, d: int) -> int:
    return 2 * p * p * c * (d + 1)


@exercise(
    (4, 3, 64),
    right="It grows with the square of p, but next to the blocks it is small.",
    mistakes={
        "That is the patch embedding: the final linear layer depends on p, too.": _embedding,
        "That is the final layer: the patch embedding depends on p, too.": _final,
        "The final layer has 2 * p * p * C outputs: it predicts noise and variance.": (
            lambda p, c, d: _embedding(p, c, d) + _final(p, c, d) // 2
        ),
        "The biases are missing: D in the embedding, 2 p p C at the end.": (
            lambda p, c, d: 3 * p * p * c * d
        ),
        "A patch has p * p positions, not p.": (
            lambda p, c, d: _embedding(1, p * c, d) + _final(1, p * c, d)
        ),
        "The bias of the final layer has one number for each of its 2 p p C outputs.": (
            lambda p, c, d: _embedding(p, c, d) + 2 * p * p * c * d + d
        ),
    },
)
def check_parameters(patch_size: int, channels: int, hidden_size: int) -> int:
    """All parameters that p decides."""
    return _embedding(patch_size, channels, hidden_size) + _final(patch_size, channels, hidden_size)


#: Ways back from tokens that are wrong, and what each has wrong. None of them raises.
WRONG_WAYS = {
    "A reads the features as (C, p, p)": "b (h w) (c p q) -> b c (h p) (w q)",
    "B turns each patch over its diagonal": "b (h w) (q p c) -> b c (h p) (w q)",
    "C lays the tokens down the columns": "b (w h) (p q c) -> b c (h p) (w q)",
    "D takes height for width": "b (h w) (p q c) -> b c (h p) (w q)",
}


def _passing(shape: Any) -> str:
    """The wrong ways back that a test on an image of this shape lets pass, in a sentence."""
    try:
        channels, height, width, p = (int(number) for number in shape)
        images = np.arange(float(channels * height * width)).reshape(1, channels, height, width)
        tokens = patchify(images, p)
    except Exception as error:
        return (
            f"The shape cannot be cut: {error}; return four whole numbers "
            "(channels, height, width, patch_size)."
        )
    passed = []
    for bug, pattern in WRONG_WAYS.items():
        sides = (width, height) if bug.startswith("D") else (height, width)
        rows, columns = (side // p for side in sides)
        back = rearrange(tokens, pattern, h=rows, w=columns, p=p, q=p)
        if np.array_equal(back, images):
            passed.append(bug[0])
    return _survivors(passed)


def _survivors(letters: Sequence[str]) -> str:
    passed = [f"version {bug}" for bug in WRONG_WAYS if bug[0] in letters]
    if not passed:
        return ""
    return f"Your image comes back all the same though {'; '.join(passed)}."


@exercise(
    (),
    right="All four wrong versions fail on your image.",
    mistakes={
        _survivors("AD"): lambda: (1, 28, 28, 4),
        _survivors("A"): lambda: (1, 4, 6, 2),
        _survivors("AB"): lambda: (3, 4, 6, 1),
        _survivors("D"): lambda: (3, 4, 4, 2),
        _survivors("C"): lambda: (3, 2, 6, 2),
        "The shape cannot be cut: patchify: height 5 is not a multiple of patch_size 2; return "
        "four whole numbers (channels, height, width, patch_size).": lambda: (3, 5, 6, 2),
    },
    judge=_passing,
)
def check_test_shape() -> tuple[int, int, int, int]:
    """(channels, height, width, patch_size) of a picture on which a test catches all four bugs."""
    return 2, 4, 6, 2
