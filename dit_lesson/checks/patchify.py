"""Checkers for the exercises of the chapter on patchify."""

from collections.abc import Callable
from typing import Any

import numpy as np
from einops import rearrange

from dit_lesson.checks import compare
from dit_lesson.patches import patchify, unpatchify

# not square, more than one image, more than one channel: nothing can be mixed up unseen
IMAGES = np.arange(2 * 3 * 4 * 6, dtype=float).reshape(2, 3, 4, 6)
PATCH_SIZE = 2


def check_patchify(function: Callable[..., Any]) -> None:
    """Check ``function(images, patch_size)``, (B, C, H, W) to (B, N, p * p * C), in NumPy."""

    def other(pattern: str) -> np.ndarray:
        return rearrange(IMAGES, f"b c (h p) (w q) -> {pattern}", p=PATCH_SIZE, q=PATCH_SIZE)

    mistakes = [
        (
            other("b (h w) (c p q)"),
            "The features are in the order (C, p, p): the channel has to count fastest.",
        ),
        (
            other("b (w h) (p q c)"),
            "The tokens are counted down the columns: token n is the patch in row n // (W / p).",
        ),
        (
            other("b (h w) (q p c)"),
            "Each patch is read down its columns: read it row by row.",
        ),
        (
            IMAGES.reshape(2, 6, 12),
            "A reshape alone only breaks the line of numbers elsewhere: split the axes, move "
            "them, then merge.",
        ),
        (
            other("b c (h w) (p q)"),
            "The channels are still an axis of their own: a token holds all channels of its patch.",
        ),
    ]
    compare(
        "check_patchify",
        function,
        [IMAGES, PATCH_SIZE],
        patchify(IMAGES, PATCH_SIZE),
        mistakes,
        "Every number is where the equation says, in an image that is not square.",
    )


def check_unpatchify(function: Callable[..., Any]) -> None:
    """Check ``function(tokens, patch_size, height, width)``, the inverse of `patchify`."""
    tokens = patchify(IMAGES, PATCH_SIZE)
    sides = {"h": 2, "w": 3, "p": PATCH_SIZE, "q": PATCH_SIZE}

    def other(given: str, pattern: str) -> np.ndarray:
        return rearrange(tokens, f"b {given} -> {pattern}", **sides)

    mistakes = [
        (
            other("(h w) (c p q)", "b c (h p) (w q)"),
            "The features are read in the order (C, p, p), but patchify wrote (p, p, C).",
        ),
        (
            other("(w h) (p q c)", "b c (h p) (w q)"),
            "The tokens are laid down the columns: they run along the rows.",
        ),
        (
            other("(h w) (q p c)", "b c (h p) (w q)"),
            "Each patch is turned over its diagonal: its first axis is the row.",
        ),
        (
            unpatchify(tokens, PATCH_SIZE, 6, 4),
            "Height and width are swapped: it is H / p rows of W / p patches.",
        ),
        (
            tokens.reshape(IMAGES.shape),
            "A reshape alone moves no number: split the axes, move them, then merge.",
        ),
        (
            other("(h w) (p q c)", "b (h p) (w q) c"),
            "The channels come last: images are (B, C, H, W).",
        ),
    ]
    compare(
        "check_unpatchify",
        function,
        [tokens, PATCH_SIZE, 4, 6],
        IMAGES,
        mistakes,
        "Every number is back, in an image that is not square.",
    )


def check_parameters(function: Callable[..., Any]) -> None:
    """Check ``function(patch_size, channels, hidden_size)``: all parameters that p decides."""
    p, c, d = 4, 3, 64
    embedding, final = (p * p * c + 1) * d, 2 * p * p * c * (d + 1)
    mistakes = [
        (embedding, "That is the patch embedding: the final linear layer depends on p, too."),
        (final, "That is the final layer: the patch embedding depends on p, too."),
        (
            embedding + final // 2,
            "The final layer has 2 * p * p * C outputs: it predicts noise and variance.",
        ),
        (p * p * c * d * 3, "The biases are missing: D in the embedding, 2 p p C at the end."),
        ((p * c + 1) * d + 2 * p * c * (d + 1), "A patch has p * p positions, not p."),
        (
            embedding + 2 * p * p * c * d + d,
            "The bias of the final layer has one number for each of its 2 p p C outputs.",
        ),
    ]
    compare(
        "check_parameters",
        function,
        [p, c, d],
        embedding + final,
        mistakes,
        "It grows with the square of p, but next to the blocks it is small.",
        tolerance=1e-12,
    )


#: Ways back from tokens that are wrong, and what each has wrong. None of them raises.
WRONG_WAYS = {
    "A reads the features as (C, p, p)": "b (h w) (c p q) -> b c (h p) (w q)",
    "B turns each patch over its diagonal": "b (h w) (q p c) -> b c (h p) (w q)",
    "C lays the tokens down the columns": "b (w h) (p q c) -> b c (h p) (w q)",
    "D takes height for width": "b (h w) (p q c) -> b c (h p) (w q)",
}


def check_test_shape(function: Callable[[], Any]) -> None:
    """Check ``function() -> (channels, height, width, patch_size)``: does a test catch all bugs?

    The round trip is run on an image of that shape whose numbers are all different, with the
    four wrong ways back of `WRONG_WAYS`. The checker names all that pass.
    """
    name = "check_test_shape"
    try:
        channels, height, width, p = (int(number) for number in function())
        images = np.arange(float(channels * height * width)).reshape(1, channels, height, width)
        tokens = patchify(images, p)
    except Exception as error:
        print(
            f"{name}: not yet. The shape cannot be cut: {error}; return four whole numbers "
            "(channels, height, width, patch_size)."
        )
        return
    passed = []
    for bug, pattern in WRONG_WAYS.items():
        sides = (width, height) if bug.startswith("D") else (height, width)
        rows, columns = (side // p for side in sides)
        back = rearrange(tokens, pattern, h=rows, w=columns, p=p, q=p)
        if np.array_equal(back, images):
            passed.append(f"version {bug}")
    if passed:
        print(f"{name}: not yet. Your image comes back all the same though {'; '.join(passed)}.")
    else:
        print(f"{name}: right. All four wrong versions fail on your image.")
