"""Exercises of the chapter on in-context conditioning."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dit_lesson.exercises import exercise
from dit_lesson.numpy_dit import softmax

Block = Callable[[np.ndarray], np.ndarray]

random = np.random.default_rng(0)
TOKENS = random.normal(size=(5, 4))
TIME, LABEL = random.normal(size=(2, 4))
WEIGHTS = random.normal(size=(3, 4, 4)) / 2


def _block(weight: np.ndarray) -> Block:
    """A small block that mixes its tokens."""
    return lambda x: x + softmax(x @ x.T / 2) @ np.tanh(x @ weight)


def _run(
    x: np.ndarray, blocks: Sequence[Block], joins: Sequence[np.ndarray] = (), kept: int = 0
) -> np.ndarray:
    """All rows after the blocks; before each, ``joins`` joins what is kept (0: all) of the rows."""
    for block in blocks:
        x = block(np.vstack([x[:kept] if kept else x, *joins]))
    return x


def _joined(x: np.ndarray, *rest: Any) -> np.ndarray:
    """All rows after the blocks, with the tokens of ``rest``, whose last entry are the blocks."""
    *tokens, blocks = rest
    return _run(np.vstack([x, *tokens]), blocks)


@exercise(
    (TOKENS, TIME, LABEL, [_block(weight) for weight in WEIGHTS]),
    right="Two tokens in before the first block, two out after the last.",
    mistakes={
        "The two condition tokens are still there: remove them after the last block.": _joined,
        "The condition is put in afresh in every block: it must stay and change with the rest.": (
            lambda x, t, y, blocks: _run(x, blocks, [t, y], kept=len(x))[: len(x)]
        ),
        "The condition is appended again in every block, and the sequence grows: append once.": (
            lambda x, t, y, blocks: _run(x, blocks, [t, y])[: len(x)]
        ),
        "The condition joins before the last block only: it must be there from the first.": (
            lambda x, t, y, blocks: _joined(_run(x, blocks[:-1]), t, y, blocks[-1:])[: len(x)]
        ),
        "The condition is added to every token: here it is two tokens of its own.": (
            lambda x, t, y, blocks: _run(x + t + y, blocks)
        ),
        "The label is missing: time and label are a token each.": (
            lambda x, t, y, blocks: _joined(x, t, blocks)[: len(x)]
        ),
        "The time is missing: time and label are a token each.": (
            lambda x, t, y, blocks: _joined(x, y, blocks)[: len(x)]
        ),
        "Time and label are added up, as for adaLN: here each is a token of its own.": (
            lambda x, t, y, blocks: _joined(x, t + y, blocks)[: len(x)]
        ),
        "The wrong two rows are removed: drop the end at which the condition was put.": (
            lambda x, t, y, blocks: _joined(x, t, y, blocks)[2:]
        ),
        "The condition was put in front and two image tokens were dropped at the end.": (
            lambda x, t, y, blocks: _run(np.vstack([t, y, x]), blocks)[: len(x)]
        ),
        "The condition leaves before the last block: it must leave after it.": (
            lambda x, t, y, blocks: blocks[-1](_joined(x, t, y, blocks[:-1])[: len(x)])
        ),
        "The condition never enters.": lambda x, t, y, blocks: _run(x, blocks),
    },
)
def check_in_context(
    tokens: np.ndarray, time: np.ndarray, label: np.ndarray, blocks: Sequence[Block]
) -> np.ndarray:
    """Append once, run, remove."""
    return _joined(tokens, time, label, blocks)[: len(tokens)]


def _extra(n: int, m: int, d: int, depth: int, matrices: int = 12, pairs: int | None = None) -> int:
    pairs = (n + m) ** 2 - n**2 if pairs is None else pairs
    return depth * (matrices * m * d**2 + 2 * d * pairs)


@exercise(
    (10, 3, 8, 2),
    right="Each new token pays 12 D² a block; the scores grow from N² to (N + M)².",
    mistakes={
        "The scores are missing: their number grows from N² to (N + M)².": (
            lambda n, m, d, depth: _extra(n, m, d, depth, pairs=0)
        ),
        "That is one block: there are `depth` of them.": lambda n, m, d, depth: _extra(n, m, d, 1),
        "Those are flops: a multiply-accumulate counts once here.": (
            lambda n, m, d, depth: 2 * _extra(n, m, d, depth)
        ),
        "That is the whole model: take off what the image tokens cost without the others.": (
            lambda n, m, d, depth: _extra(0, n + m, d, depth)
        ),
        "The MLP is missing: condition tokens go through it.": (
            lambda n, m, d, depth: _extra(n, m, d, depth, matrices=4)
        ),
        "A new token costs 12 D² in the matrices, not 8 D²: four projections of D², and an "
        "MLP from D to 4D and back.": lambda n, m, d, depth: _extra(n, m, d, depth, matrices=8),
        "The new tokens also look at the old ones, and the old at the new.": (
            lambda n, m, d, depth: _extra(n, m, d, depth, pairs=m * m)
        ),
        "Looking goes both ways, and the new tokens look at each other.": (
            lambda n, m, d, depth: _extra(n, m, d, depth, pairs=n * m)
        ),
        "The new tokens look at each other, too: M² more scores.": (
            lambda n, m, d, depth: _extra(n, m, d, depth, pairs=2 * n * m)
        ),
        "A score costs D, and averaging the values costs as much again.": (
            lambda n, m, d, depth: (_extra(n, m, d, depth) + _extra(n, m, d, depth, pairs=0)) // 2
        ),
        "It counts two new tokens: there are `extra` of them.": (
            lambda n, m, d, depth: _extra(n, 2, d, depth)
        ),
    },
)
def check_extra_macs(tokens: int, extra: int, width: int, depth: int) -> int:
    """What more tokens add to a model, in multiply-accumulates."""
    return _extra(tokens, extra, width, depth)
