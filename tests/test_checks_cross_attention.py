"""The checkers of the cross-attention chapter name each usual mistake."""

import numpy as np
import pytest

from dit_lesson.checks import cross_attention as check
from dit_lesson.counting import dit_ledger
from dit_lesson.models import DiTConfig
from dit_lesson.numpy_dit import softmax


def lookup(q, k, v, divisor=None, axis=-1):
    scores = q @ k.T / (q.shape[-1] ** 0.5 if divisor is None else divisor)
    weights = np.exp(scores)
    return weights / weights.sum(axis=axis, keepdims=True) @ v


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lookup, "right"),
        (lambda q, k, v: lookup(q, k, v, axis=0), "over the tokens"),
        (lambda q, k, v: lookup(q, k, v, divisor=1), "root of the width is missing"),
        (lambda q, k, v: lookup(q, k, v, divisor=q.shape[-1]), "not by its root"),
        (lambda q, k, v: lookup(q, k, v, divisor=len(k) ** 0.5), "number of keys"),
        (lambda q, k, v: lookup(q, k, v, divisor=len(q) ** 0.5), "number of tokens"),
        (lambda q, k, v: lookup(q, k, v, divisor=v.shape[-1] ** 0.5), "values' width"),
        (lambda q, k, v: lookup(q, k, v, axis=None), "whole matrix"),
        (lambda q, k, v: q @ k.T / q.shape[-1] ** 0.5 @ v, "softmax is missing"),
        (lambda q, k, v: softmax(q @ k.T / q.shape[-1] ** 0.5), "still to be averaged"),
    ],
)
def test_lookup(function, sentence, capsys):
    check.check_lookup(function)
    assert sentence in capsys.readouterr().out


def share(q, a, b, divisor=3.0):
    return 1 / (1 + np.exp(-(q @ a - q @ b) / divisor))


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (share, "right"),
        (lambda q, a, b: share(q, b, a), "mind the sign"),
        (lambda q, a, b: share(q, a, b, 1), "is missing"),
        (lambda q, a, b: share(q, a, b, 9), "not by its root"),
        (lambda q, a, b: share(q, a, b, 1.5), "is halved"),
        (lambda q, a, b: q @ (a - b) / 3, "difference of the scores"),
        (lambda q, a, b: q @ a / (q @ a + q @ b), "ratio of scores"),
        (lambda q, a, b: share(q, a, 0 * b), "no say"),
    ],
)
def test_share(function, sentence, capsys):
    check.check_share(function)
    assert sentence in capsys.readouterr().out


def once(n, m, d, depth):
    return extra(n, m, d, depth, k=0, v=0) + 2 * m * d**2


def extra(n, m, d, depth, q=1, out=1, k=1, v=1, scores=2):
    return depth * (((q + out) * n + (k + v) * m) * d**2 + scores * n * m * d)


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (extra, "right"),
        (lambda *a: extra(*a, scores=0), "averaging of the values are missing"),
        (lambda n, m, d, depth: extra(n, m, d, 1), "one block"),
        (lambda *a: extra(*a, q=2, out=2, k=0, v=0), "not for every token"),
        (lambda *a: extra(*a, q=0, out=0, k=2, v=2), "each of the N tokens"),
        (lambda *a: extra(*a, out=0), "projection for each token is missing"),
        (lambda *a: extra(*a, k=0), "key and value are two"),
        (lambda *a: extra(*a, scores=1), "as much again"),
        (lambda *a: 2 * extra(*a), "flops"),
        (lambda *a: extra(*a, k=0, v=0), "keys and values are missing"),
        (once, "once for all"),
        (lambda n, m, d, depth: extra(n, m, d, depth, scores=2 * n / m), "at each other"),
    ],
)
def test_extra_macs(function, sentence, capsys):
    check.check_extra_macs(function)
    assert sentence in capsys.readouterr().out


def test_the_checked_formula_is_the_ledger():
    ledger = dit_ledger(DiTConfig(conditioning="cross-attention"))
    counted = sum(cost.macs for part, cost in ledger.items() if part.startswith("cross"))
    assert extra(256, 2, 1152, 28) == counted
