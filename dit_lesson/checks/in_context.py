"""Checkers for the exercises of the chapter on in-context conditioning."""

from collections.abc import Callable
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
    condition: list[np.ndarray],
    blocks: list[Callable[[np.ndarray], np.ndarray]],
    again: bool = False,
) -> np.ndarray:
    """All rows after the blocks; with ``again`` the condition is put in afresh each time."""
    x = np.vstack([TOKENS, *condition])
    for block in blocks:
        x = block(np.vstack([x[: len(TOKENS)], *condition]) if again else x)
    return x


def check_in_context(function: Callable[..., Any]) -> None:
    """Check ``function(tokens, time, label, blocks)``: append once, run, remove."""
    n, both = len(TOKENS), [TIME, LABEL]
    joined = _forward(both, BLOCKS)
    mistakes = [
        (joined, "The two condition tokens are still there: remove them after the last block."),
        (
            _forward(both, BLOCKS, again=True)[:n],
            "The condition is put in afresh in every block: it must stay and change with the rest.",
        ),
        (_forward([TIME], BLOCKS)[:n], "The label is missing: time and label are a token each."),
        (_forward([LABEL], BLOCKS)[:n], "The time is missing: time and label are a token each."),
        (
            _forward([TIME + LABEL], BLOCKS)[:n],
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
            BLOCKS[-1](_forward(both, BLOCKS[:-1])[:n]),
            "The condition leaves before the last block: it must leave after it.",
        ),
        (_forward([], BLOCKS), "The condition never enters."),
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
    mistakes = [
        (depth * layers, "The scores are missing: their number grows from N² to (N + M)²."),
        (layers + scores, "That is one block: there are `depth` of them."),
        (depth * (4 * m * d**2 + scores), "The MLP is missing: condition tokens go through it."),
        (depth * (8 * m * d**2 + scores), "The four projections of the attention are missing."),
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
    ]
    compare(
        "check_extra_macs",
        function,
        list(MODEL.values()),
        depth * (layers + scores),
        mistakes,
        "Each new token pays 12 D² a block; the scores grow from N² to (N + M)².",
    )
