"""Exercises of the chapter on words."""

import numpy as np

from dit_lesson.exercises import exercise
from dit_lesson.numpy_dit import softmax

random = np.random.default_rng(0)
TABLE = random.normal(size=(7, 4))
CAPTIONS = np.array([[2, 5, 1, 2, 6], [2, 6, 1, 2, 5], [0, 0, 0, 0, 0]])
QX, KX, VX = random.normal(size=(3, 6, 4))
QW, KW, VW = random.normal(size=(3, 3, 4))
ASKED = np.array([[3, 7], [1, 4], [5, 0], [8, 9], [2, 6], [6, 1]])
SEEN = np.array([[3, 7], [4, 1], [0, 5], [8, 8], [6, 6], [6, 3]])


@exercise(
    (TABLE, CAPTIONS),
    right="The first two captions are one bag, and their rows are the same.",
    mistakes={
        "Every word counts once, however often it is said: here a word is said twice.": (
            lambda table, y: np.stack([table[np.unique(row)].mean(axis=0) for row in y])
        ),
        "It is the sum of the words: divide by their number.": (
            lambda table, y: table[y].sum(axis=1)
        ),
        "It divides by the size of the vocabulary: divide by the number of words.": (
            lambda table, y: table[y].sum(axis=1) / len(table)
        ),
        "It averages over the features: the words are the middle axis.": (
            lambda table, y: table[y].mean(axis=2)
        ),
        "It averages over the captions: each of them keeps a row of its own.": (
            lambda table, y: table[y].mean(axis=0)
        ),
        "The null words are left out: here they are words like all others.": (
            lambda table, y: (
                np.einsum("bl,bld->bd", y > 0, table[y])
                / np.maximum((y > 0).sum(axis=1), 1)[:, None]
            )
        ),
    },
)
def check_pool(table: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The mean word of each caption, (B, D)."""
    return table[y].mean(axis=1)


def _joint(*given: np.ndarray, divisor: float = 2) -> np.ndarray:
    qx, kx, vx, qw, kw, vw = given
    scores = np.concatenate([qx, qw]) @ np.concatenate([kx, kw]).T / divisor
    return softmax(scores) @ np.concatenate([vx, vw])


def _attend(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    return softmax(q @ k.T / q.shape[1] ** 0.5) @ v


@exercise(
    (QX, KX, VX, QW, KW, VW),
    right="Tokens and words look at each other, and every row shares out one.",
    mistakes={
        "Each stream looks at itself only: join keys and values before the softmax.": (
            lambda qx, kx, vx, qw, kw, vw: np.concatenate(
                [_attend(qx, kx, vx), _attend(qw, kw, vw)]
            )
        ),
        "The tokens look at the words only, and the words at the tokens: all look at all.": (
            lambda qx, kx, vx, qw, kw, vw: np.concatenate(
                [_attend(qx, kw, vw), _attend(qw, kx, vx)]
            )
        ),
        "There are two softmaxes, which share out two: one softmax runs over both.": (
            lambda qx, kx, vx, qw, kw, vw: np.concatenate(
                [
                    _attend(qx, kx, vx) + _attend(qx, kw, vw),
                    _attend(qw, kx, vx) + _attend(qw, kw, vw),
                ]
            )
        ),
        "The words do not look at the image: that is cross-attention's one way.": (
            lambda qx, kx, vx, qw, kw, vw: np.concatenate(
                [_joint(qx, kx, vx, qw, kw, vw)[: len(qx)], _attend(qw, kw, vw)]
            )
        ),
        "The division by the root of the width is missing.": (
            lambda qx, kx, vx, qw, kw, vw: _joint(qx, kx, vx, qw, kw, vw, divisor=1)
        ),
        "It divides by the root of the number of tokens: take the width of a query.": (
            lambda qx, kx, vx, qw, kw, vw: _joint(
                qx, kx, vx, qw, kw, vw, divisor=(len(qx) + len(qw)) ** 0.5
            )
        ),
        "The words come first: the image tokens are asked for before the words.": (
            lambda qx, kx, vx, qw, kw, vw: _joint(qw, kw, vw, qx, kx, vx)
        ),
    },
)
def check_joint(
    qx: np.ndarray,
    kx: np.ndarray,
    vx: np.ndarray,
    qw: np.ndarray,
    kw: np.ndarray,
    vw: np.ndarray,
) -> np.ndarray:
    """One head of the joint attention, (N + L, d), the image tokens first."""
    return _joint(qx, kx, vx, qw, kw, vw)


def _parameters(width: int, stream: int, cross: int = 4) -> list[int]:
    return [stream * width**2 + 15 * width, cross * width**2 + 4 * width]


@exercise(
    (64,),
    (1152,),
    right="A second stream adds four and a half times what a cross-attention adds.",
    mistakes={
        "The second stream has a modulation of its own, of 6 D (D + 1).": (
            lambda width: [12 * width**2 + 9 * width, 4 * width**2 + 4 * width]
        ),
        "The second stream has an MLP of its own, with 8 D D weights and 5 D biases.": (
            lambda width: [10 * width**2 + 10 * width, 4 * width**2 + 4 * width]
        ),
        "The second stream has projections of its own: only the softmax is shared.": (
            lambda width: [14 * width**2 + 11 * width, 4 * width**2 + 4 * width]
        ),
        "The biases are missing.": lambda width: [18 * width**2, 4 * width**2],
        "The layers of a cross-attention are queries, keys, values and output, four.": (
            lambda width: [18 * width**2 + 15 * width, 3 * width**2 + 3 * width]
        ),
        "The two are in each other's place.": lambda width: _parameters(width, 18)[::-1],
    },
)
def check_parameters(width: int) -> list[int]:
    """Parameters that a second stream, and a cross-attention, add to chapter 10's block."""
    return _parameters(width, 18)


def _shares(both: np.ndarray, swapped: np.ndarray) -> np.ndarray:
    return np.array([both.mean(), swapped.mean()])


@exercise(
    (SEEN, ASKED),
    right="Canvases with one digit twice, or with a wrong one, are neither.",
    mistakes={
        "A canvas is right if both halves are: this is the share of right digits.": (
            lambda seen, asked: _shares(seen == asked, seen == asked[:, ::-1])
        ),
        "One right half is not enough.": (
            lambda seen, asked: _shares(
                (seen == asked).any(axis=1), (seen == asked[:, ::-1]).any(axis=1)
            )
        ),
        "The order does not count in it: a swapped canvas shows the same two digits.": (
            lambda seen, asked: _shares(
                (np.sort(seen) == np.sort(asked)).all(axis=1),
                (seen == asked[:, ::-1]).all(axis=1),
            )
        ),
        "What is not right is not yet swapped: both digits must be there, exchanged.": (
            lambda seen, asked: _shares((seen == asked).all(axis=1), ~(seen == asked).all(axis=1))
        ),
        "These are numbers of canvases: give their shares.": (
            lambda seen, asked: (
                len(seen)
                * _shares((seen == asked).all(axis=1), (seen == asked[:, ::-1]).all(axis=1))
            )
        ),
    },
)
def check_binding(seen: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The shares of canvases with both digits right, and with both exchanged."""
    return _shares((seen == asked).all(axis=1), (seen == asked[:, ::-1]).all(axis=1))
