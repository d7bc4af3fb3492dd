"""Checkers for the exercises of the chapter on cross-attention."""

from collections.abc import Callable
from typing import Any

import numpy as np

from dit_lesson.checks import compare
from dit_lesson.numpy_dit import softmax

random = np.random.default_rng(0)
QUERIES = random.normal(size=(5, 4))
KEYS = random.normal(size=(3, 4))
VALUES = random.normal(size=(3, 2))
QUERY, KEY_ONE, KEY_TWO = random.normal(size=(3, 9))
MODEL = {"tokens": 10, "keys": 3, "width": 8, "depth": 4}


def check_lookup(function: Callable[..., Any]) -> None:
    """Check ``function(queries, keys, values)``: one head of attention in NumPy."""
    scores = QUERIES @ KEYS.T
    over_tokens = np.exp(scores / 2) / np.exp(scores / 2).sum(axis=0)
    mistakes = [
        (
            over_tokens @ VALUES,
            "The softmax runs over the tokens: every token's weights must add up to 1.",
        ),
        (softmax(scores) @ VALUES, "The division by the root of the width is missing."),
        (softmax(scores / 4) @ VALUES, "It divides by the width, not by its root."),
        (
            softmax(scores / len(KEYS) ** 0.5) @ VALUES,
            "It divides by the root of the number of keys: take the width of a query.",
        ),
        (
            softmax(scores / len(QUERIES) ** 0.5) @ VALUES,
            "It divides by the root of the number of tokens: take the width of a query.",
        ),
        (
            softmax(scores / VALUES.shape[1] ** 0.5) @ VALUES,
            "It divides by the root of the values' width: take the width of a query.",
        ),
        (
            np.exp(scores / 2) / np.exp(scores / 2).sum() @ VALUES,
            "The softmax runs over the whole matrix: every token's weights must add up to 1.",
        ),
        (scores / 2 @ VALUES, "The softmax is missing: these are scores, not shares."),
        (softmax(scores / 2), "These are the weights; the values are still to be averaged."),
    ]
    compare(
        "check_lookup",
        function,
        [QUERIES, KEYS, VALUES],
        softmax(scores / 2) @ VALUES,
        mistakes,
        "Five tokens, three keys: the two sequences need not have one length.",
    )


def check_share(function: Callable[..., Any]) -> None:
    """Check ``function(query, key_one, key_two)``: the share of the first of two keys."""
    gap = QUERY @ (KEY_ONE - KEY_TWO)  # the root of the width is 3
    mistakes = [
        (1 / (1 + np.exp(gap / 3)), "That is the share of the second key: mind the sign."),
        (1 / (1 + np.exp(-gap)), "The division by the root of the width is missing."),
        (1 / (1 + np.exp(-gap / 9)), "It divides by the width, not by its root."),
        (1 / (1 + np.exp(-(QUERY @ KEY_ONE) / 3)), "The second key has no say in it."),
        (
            (1 + np.tanh(gap / 3)) / 2,
            "In the form with tanh the difference is halved: (1 + tanh(gap / 2)) / 2.",
        ),
        (gap / 3, "That is the difference of the scores: the logistic function makes it a share."),
        (
            KEY_ONE @ QUERY / (KEY_ONE @ QUERY + KEY_TWO @ QUERY),
            "A ratio of scores is no share: scores can be negative, their exponentials cannot.",
        ),
    ]
    compare(
        "check_share",
        function,
        [QUERY, KEY_ONE, KEY_TWO],
        1 / (1 + np.exp(-gap / 3)),
        mistakes,
        "Only the difference of the two scores counts.",
    )


def check_extra_macs(function: Callable[..., Any]) -> None:
    """Check ``function(tokens, keys, width, depth)``: what cross-attention adds to a model."""
    n, m, d, depth = MODEL.values()
    projections, scores = 2 * (n + m) * d**2, 2 * n * m * d
    mistakes = [
        (depth * projections, "The scores and the averaging of the values are missing: 2 N M D."),
        (projections + scores, "That is one block: there are `depth` of them."),
        (2 * depth * (projections + scores), "Those are flops: a multiply-accumulate counts once."),
        (
            depth * (2 * n * d**2 + scores),
            "The keys and values are missing: they are few, and they are made in every block.",
        ),
        (
            depth * (2 * n * d**2 + scores) + 2 * m * d**2,
            "Every block makes keys and values of its own: they are not made once for all.",
        ),
        (
            depth * (projections + 2 * n**2 * d),
            "Tokens look at the M keys, not at each other: N M pairs.",
        ),
        (
            depth * (4 * n * d**2 + scores),
            "Keys and values are made for the M keys only, not for every token.",
        ),
        (
            depth * (4 * m * d**2 + scores),
            "Queries and the last projection are made for each of the N tokens.",
        ),
        (
            depth * ((n + 2 * m) * d**2 + scores),
            "One projection for each token is missing: the query and the output are two.",
        ),
        (
            depth * ((2 * n + m) * d**2 + scores),
            "One projection for each key is missing: key and value are two.",
        ),
        (
            depth * (projections + n * m * d),
            "Scores cost N M D, and averaging the values costs as much again.",
        ),
    ]
    compare(
        "check_extra_macs",
        function,
        list(MODEL.values()),
        depth * (projections + scores),
        mistakes,
        "Two products of width D for each token and each key, and the scores.",
    )
