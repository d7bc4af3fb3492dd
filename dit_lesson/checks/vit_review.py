"""Checkers for the exercises of the ViT review."""

from collections.abc import Callable
from typing import Any

import numpy as np

from dit_lesson.checks import compare
from dit_lesson.numpy_dit import attention, softmax

random = np.random.default_rng(0)
QUERIES, KEYS, VALUES = (random.normal(size=shape) for shape in ((4, 9), (5, 9), (5, 3)))
TOKENS = random.normal(size=(2, 5, 3))


def check_attention(function: Callable[..., Any]) -> None:
    """Check ``function(q, k, v)``, attention of one head in NumPy."""
    scores = QUERIES @ KEYS.T
    width, count = QUERIES.shape[1], len(KEYS)
    mistakes = [
        (softmax(scores) @ VALUES, "The scores are not divided by the root of the width."),
        (
            softmax(scores / np.sqrt(count)) @ VALUES,
            "The root is of the number of tokens: it is of the width of a query.",
        ),
        (softmax(scores / width) @ VALUES, "Divide by the root of the width, not by the width."),
        (
            softmax((scores / np.sqrt(width)).T).T @ VALUES,
            "The softmax runs over the queries: each query's shares over the keys add up to 1.",
        ),
        (softmax(scores * np.sqrt(width)) @ VALUES, "The root multiplies: divide by it."),
        (
            softmax(scores / np.sqrt(VALUES.shape[1])) @ VALUES,
            "The root is of the width of a value: it is of the width of a query.",
        ),
        (
            softmax(scores / np.sqrt(len(QUERIES))) @ VALUES,
            "The root is of the number of queries: it is of the width of a query.",
        ),
        (
            softmax((scores / np.sqrt(width)).ravel()).reshape(scores.shape) @ VALUES,
            "The softmax runs over the whole matrix: each query's shares add up to 1.",
        ),
        (
            np.exp(scores / np.sqrt(width)) @ VALUES,
            "The exponentials are not divided by their sum, query by query.",
        ),
        (scores / np.sqrt(width) @ VALUES, "The softmax is missing."),
        (softmax(scores / np.sqrt(width)), "Those are the shares: multiply them with the values."),
    ]
    for queries, right in (
        (QUERIES, ""),
        (1000 * QUERIES, "Every row of shares adds up to 1, for large scores, too."),
    ):
        with np.errstate(all="ignore"):
            if not compare(
                "check_attention",
                function,
                [queries, KEYS, VALUES],
                attention(queries, KEYS, VALUES),
                mistakes,
                right,
            ):
                return


def check_sequence(function: Callable[..., Any]) -> None:
    """Check ``function(image_size, patch_size, channels)``: tokens with CLS, numbers a patch."""
    mistakes = [
        ((16, 49), "CLS is missing in the length, and the channels in the patch."),
        ((113, 147), "The image is cut along both sides: (image_size // patch_size) ** 2."),
        ((25, 147), "CLS joins the sequence once, not each row of patches."),
        ((16, 147), "CLS is a token too: the sequence is one longer than the number of patches."),
        ((17, 49), "A patch holds all channels of its pixels."),
        ((5, 147), "The image is cut along both sides: square the number of patches a side."),
        ((17, 21), "A patch has patch_size rows and columns of pixels."),
        ((147, 17), "The order is: length of the sequence, numbers in a patch."),
    ]
    compare(
        "check_sequence",
        function,
        [28, 7, 3],
        (17, 147),
        mistakes,
        "Halving the patch size makes four times as many patches; CLS stays one.",
        tolerance=1e-12,
    )


def check_read(function: Callable[..., Any]) -> None:
    """Check ``function(tokens, pool)`` with pool "cls" and "mean"."""
    cls, patches = TOKENS[:, 0], TOKENS[:, 1:]
    first_right = compare(
        "check_read",
        lambda tokens: function(tokens, "cls"),
        [TOKENS],
        cls,
        [
            (TOKENS[0], "That is the first image: CLS is the first token of every image."),
            (TOKENS[:, -1], "CLS is the first token, not the last."),
            (patches.mean(axis=1), "With pool 'cls' it returns the mean of the patches."),
            (TOKENS.mean(axis=1), "With pool 'cls' it returns a mean: read the first token."),
        ],
        right="",
    )
    if not first_right:
        return
    compare(
        "check_read",
        lambda tokens: function(tokens, "mean"),
        [TOKENS],
        patches.mean(axis=1),
        [
            (TOKENS.mean(axis=1), "CLS does not belong to the mean of the patches."),
            (
                TOKENS[:, :-1].mean(axis=1),
                "CLS is the first token: it is the last that is left out.",
            ),
            (cls, "The pool is ignored: with pool 'mean' the patch tokens are averaged."),
            (patches.mean(axis=2), "The mean runs over the features: average over the tokens."),
            (patches.mean(axis=0), "The mean runs over the images: average over the tokens."),
            (
                patches.mean(axis=1, keepdims=True),
                "An axis of length 1 is left: leave out keepdims.",
            ),
            (patches.mean(), "The mean runs over everything: average over the tokens, axis 1."),
        ],
        right="Both give one vector for each image.",
    )
