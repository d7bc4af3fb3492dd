"""Exercises of the chapter on cross-attention."""

import numpy as np

from dit_lesson.exercises import exercise
from dit_lesson.numpy_dit import softmax

random = np.random.default_rng(0)
QUERIES, KEYS = random.normal(size=(5, 4)), random.normal(size=(3, 4))
VALUES = random.normal(size=(3, 2))
QUERY, KEY_ONE, KEY_TWO = random.normal(size=(3, 9))


def _lookup(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, divisor: float = 2, axis: int | None = 1
) -> np.ndarray:
    exponentials = np.exp(q @ k.T / divisor)
    return exponentials / exponentials.sum(axis=axis, keepdims=True) @ v


@exercise(
    (QUERIES, KEYS, VALUES),
    right="Five tokens, three keys: the two sequences need not have one length.",
    mistakes={
        "The softmax runs over the tokens: every token's weights must add up to 1.": (
            lambda q, k, v: _lookup(q, k, v, axis=0)
        ),
        "The division by the root of the width is missing.": lambda q, k, v: _lookup(q, k, v, 1),
        "It divides by the width, not by its root.": lambda q, k, v: _lookup(q, k, v, q.shape[1]),
        "It divides by the root of the number of keys: take the width of a query.": (
            lambda q, k, v: _lookup(q, k, v, len(k) ** 0.5)
        ),
        "It divides by the root of the number of tokens: take the width of a query.": (
            lambda q, k, v: _lookup(q, k, v, len(q) ** 0.5)
        ),
        "It divides by the root of the values' width: take the width of a query.": (
            lambda q, k, v: _lookup(q, k, v, v.shape[1] ** 0.5)
        ),
        "The softmax runs over the whole matrix: every token's weights must add up to 1.": (
            lambda q, k, v: _lookup(q, k, v, axis=None)
        ),
        "The softmax is missing: these are scores, not shares.": lambda q, k, v: q @ k.T / 2 @ v,
        "These are the weights; the values are still to be averaged.": (
            lambda q, k, v: softmax(q @ k.T / 2)
        ),
    },
)
def check_lookup(queries: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """One head of attention in NumPy."""
    return softmax(queries @ keys.T / queries.shape[1] ** 0.5) @ values


def _share(q: np.ndarray, one: np.ndarray, two: np.ndarray, divisor: float = 3) -> float:
    return 1 / (1 + np.exp(-(q @ (one - two)) / divisor))


@exercise(
    (QUERY, KEY_ONE, KEY_TWO),
    right="Only the difference of the two scores counts.",
    mistakes={
        "That is the share of the second key: mind the sign.": (
            lambda q, one, two: _share(q, two, one)
        ),
        "The division by the root of the width is missing.": (
            lambda q, one, two: _share(q, one, two, 1)
        ),
        "It divides by the width, not by its root.": lambda q, one, two: _share(q, one, two, 9),
        "The second key has no say in it.": lambda q, one, two: _share(q, one, 0 * two),
        "In the form with tanh the difference is halved: (1 + tanh(gap / 2)) / 2.": (
            lambda q, one, two: (1 + np.tanh(q @ (one - two) / 3)) / 2
        ),
        "That is the difference of the scores: the logistic function makes it a share.": (
            lambda q, one, two: q @ (one - two) / 3
        ),
        "A ratio of scores is no share: scores can be negative, their exponentials cannot.": (
            lambda q, one, two: q @ one / (q @ one + q @ two)
        ),
    },
)
def check_share(query: np.ndarray, key_one: np.ndarray, key_two: np.ndarray) -> float:
    """The share of the first of two keys."""
    return _share(query, key_one, key_two)


def _extra(
    n: int, m: int, d: int, depth: int, of_token: int = 2, of_key: int = 2, pairs: float = 2
) -> float:
    """``of_token`` and ``of_key`` projections each, and ``pairs`` products of width D a pair."""
    return depth * ((of_token * n + of_key * m) * d**2 + pairs * n * m * d)


@exercise(
    (10, 3, 8, 4),
    right="Two products of width D for each token and each key, and the scores.",
    mistakes={
        "The scores and the averaging of the values are missing: 2 N M D.": (
            lambda *sizes: _extra(*sizes, pairs=0)
        ),
        "That is one block: there are `depth` of them.": lambda n, m, d, depth: _extra(n, m, d, 1),
        "Those are flops: a multiply-accumulate counts once.": lambda *sizes: 2 * _extra(*sizes),
        "The keys and values are missing: they are few, and they are made in every block.": (
            lambda *sizes: _extra(*sizes, of_key=0)
        ),
        "Every block makes keys and values of its own: they are not made once for all.": (
            lambda n, m, d, depth: _extra(n, m, d, depth, of_key=0) + 2 * m * d**2
        ),
        "Tokens look at the M keys, not at each other: N M pairs.": (
            lambda n, m, d, depth: _extra(n, m, d, depth, pairs=2 * n / m)
        ),
        "Keys and values are made for the M keys only, not for every token.": (
            lambda *sizes: _extra(*sizes, of_token=4, of_key=0)
        ),
        "Queries and the last projection are made for each of the N tokens.": (
            lambda *sizes: _extra(*sizes, of_token=0, of_key=4)
        ),
        "One projection for each token is missing: the query and the output are two.": (
            lambda *sizes: _extra(*sizes, of_token=1)
        ),
        "One projection for each key is missing: key and value are two.": (
            lambda *sizes: _extra(*sizes, of_key=1)
        ),
        "Scores cost N M D, and averaging the values costs as much again.": (
            lambda *sizes: _extra(*sizes, pairs=1)
        ),
    },
)
def check_extra_macs(tokens: int, keys: int, width: int, depth: int) -> float:
    """What cross-attention adds to a model, in multiply-accumulates."""
    return _extra(tokens, keys, width, depth)
