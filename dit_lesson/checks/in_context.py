"""Checkers for the exercises of the chapter on in-context conditioning."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dit_lesson.checks import compare
from dit_lesson.numpy_dit import softmax

random = np.random.default_rng(0)
TOKENS = random.normal(size=(5, 4))
TIME, LABEL = random.normal(size=(2, 4))
WEIGHTS = random.normal(size=(3, 4, 4)) / 2
MODEL = {"tokens": 10, "extra": 3, "width": 8, "depth": 2}


def _block(weight: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A small block that mixes its tokens."""
    return lambda x: x + softmax(x @ x.T / 2) @ np.tanh(x @ weight)


BLOCKS = [_block(weight) for weight in WEIGHTS]


def _forward(
    x: np.ndarray,
    blocks: list[Callable[[np.ndarray], np.ndarray]],
    condition: Sequence[np.ndarray] = (),
    kept: int = 0,
) -> np.ndarray:
    """All rows after the blocks; before each, ``condition`` joins what is kept of the rows.

    ``kept`` is the number of rows that stay, 0 for all of them.
    """
    for block in blocks:
        x = block(np.vstack([x[:kept] if kept else x, *condition]))
    return x


def check_in_context(function: Callable[..., Any]) -> None:
    """Check ``function(tokens, time, label, blocks)``: append once, run, remove."""
    n, both = len(TOKENS), [TIME, LABEL]
    joined = _forward(np.vstack([TOKENS, *both]), BLOCKS)
    mistakes = [
        (joined, "The two condition tokens are still there: remove them after the last block."),
        (
            _forward(TOKENS, BLOCKS, both, kept=n)[:n],
            "The condition is put in afresh in every block: it must stay and change with the rest.",
        ),
        (
            _forward(TOKENS, BLOCKS, both)[:n],
            "The condition is appended again in every block, and the sequence grows: append once.",
        ),
        (
            BLOCKS[-1](np.vstack([_forward(TOKENS, BLOCKS[:-1]), *both]))[:n],
            "The condition joins before the last block only: it must be there from the first.",
        ),
        (
            _forward(TOKENS + TIME + LABEL, BLOCKS),
            "The condition is added to every token: here it is two tokens of its own.",
        ),
        (
            _forward(np.vstack([TOKENS, TIME]), BLOCKS)[:n],
            "The label is missing: time and label are a token each.",
        ),
        (
            _forward(np.vstack([TOKENS, LABEL]), BLOCKS)[:n],
            "The time is missing: time and label are a token each.",
        ),
        (
            _forward(np.vstack([TOKENS, TIME + LABEL]), BLOCKS)[:n],
            "Time and label are added up, as for adaLN: here each is a token of its own.",
        ),
        (
            joined[2:],
            "The wrong two rows are removed: drop the end at which the condition was put.",
        ),
        (
            np.vstack([joined[-2:], joined[: n - 2]]),
            "The condition was put in front and two image tokens were dropped at the end.",
        ),
        (
            BLOCKS[-1](_forward(np.vstack([TOKENS, *both]), BLOCKS[:-1])[:n]),
            "The condition leaves before the last block: it must leave after it.",
        ),
        (_forward(TOKENS, BLOCKS), "The condition never enters."),
    ]
    compare(
        "check_in_context",
        function,
        [TOKENS, TIME, LABEL, BLOCKS],
        joined[:n],
        mistakes,
        "Two tokens in before the first block, two out after the last.",
    )


def check_extra_macs(function: Callable[..., Any]) -> None:
    """Check ``function(tokens, extra, width, depth)``: what more tokens add to a model."""
    n, m, d, depth = MODEL.values()
    layers, scores = 12 * m * d**2, 2 * d * ((n + m) ** 2 - n**2)
    whole = depth * (12 * (n + m) * d**2 + 2 * d * (n + m) ** 2)
    mistakes = [
        (depth * layers, "The scores are missing: their number grows from N² to (N + M)²."),
        (layers + scores, "That is one block: there are `depth` of them."),
        (2 * depth * (layers + scores), "Those are flops: a multiply-accumulate counts once here."),
        (whole, "That is the whole model: take off what the image tokens cost without the others."),
        (depth * (4 * m * d**2 + scores), "The MLP is missing: condition tokens go through it."),
        (
            depth * (8 * m * d**2 + scores),
            "A new token costs 12 D² in the matrices, not 8 D²: four projections of D², and an "
            "MLP from D to 4D and back.",
        ),
        (
            depth * (layers + 2 * d * m**2),
            "The new tokens also look at the old ones, and the old at the new.",
        ),
        (
            depth * (layers + 2 * d * n * m),
            "Looking goes both ways, and the new tokens look at each other.",
        ),
        (
            depth * (layers + 4 * d * n * m),
            "The new tokens look at each other, too: M² more scores.",
        ),
        (
            depth * (layers + scores // 2),
            "A score costs D, and averaging the values costs as much again.",
        ),
        (
            depth * (12 * 2 * d**2 + 2 * d * ((n + 2) ** 2 - n**2)),
            "It counts two new tokens: there are `extra` of them.",
        ),
    ]
    compare(
        "check_extra_macs",
        function,
        list(MODEL.values()),
        depth * (layers + scores),
        mistakes,
        "Each new token pays 12 D² a block; the scores grow from N² to (N + M)².",
    )
