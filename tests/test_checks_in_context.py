"""The checkers of the in-context chapter name each usual mistake."""

import numpy as np
import pytest

from dit_lesson.checks import in_context as check
from dit_lesson.counting import dit_ledger, total
from dit_lesson.models import DiTConfig


def forward(tokens, condition, blocks, keep=None, front=False, drop=True):
    n = len(tokens)
    x = np.vstack([*condition, tokens] if front else [tokens, *condition])
    for block in blocks:
        x = block(x)
    if not drop:
        return x
    return x[keep] if keep else x[len(condition) :] if front else x[:n]


def again(tokens, time, label, blocks):
    x = tokens
    for block in blocks:
        x = block(np.vstack([x, time, label]))[: len(tokens)]
    return x


def growing(tokens, time, label, blocks):
    x = tokens
    for block in blocks:
        x = block(np.vstack([x, time, label]))
    return x[: len(tokens)]


def early(tokens, time, label, blocks):
    return blocks[-1](forward(tokens, [time, label], blocks[:-1]))


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda x, t, y, b: forward(x, [t, y], b), "right"),
        (lambda x, t, y, b: forward(x, [t, y], b, front=True), "right"),
        (lambda x, t, y, b: forward(x, [t, y], b, drop=False), "still there"),
        (again, "afresh"),
        (growing, "sequence grows"),
        (
            lambda x, t, y, b: forward(forward(x, [], b[:-1]), [t, y], b[-1:]),
            "the last block only",
        ),
        (lambda x, t, y, b: forward(x + t + y, [], b), "added to every token"),
        (lambda x, t, y, b: np.concatenate([x, t, y]), r"A vector joins rows .*: vector[None]"),
        (lambda x, t, y, b: forward(x, [t], b), "label is missing"),
        (lambda x, t, y, b: forward(x, [y], b), "time is missing"),
        (lambda x, t, y, b: forward(x, [t + y], b), "added up"),
        (lambda x, t, y, b: forward(x, [t, y], b, keep=slice(2, None)), "wrong two rows"),
        (
            lambda x, t, y, b: forward(x, [t, y], b, keep=slice(None, len(x)), front=True),
            "in front",
        ),
        (early, "before the last block"),
        (lambda x, t, y, b: forward(x, [], b), "never enters"),
        (lambda x, t, y, b: None, "None"),
    ],
)
def test_in_context(function, sentence, capsys):
    check.check_in_context(function)
    said = capsys.readouterr().out
    assert all(part in said for part in sentence.split(".*"))


def extra(n, m, d, depth, layers=12, both=2, own=1, products=2):
    return depth * (layers * m * d**2 + products * d * (both * n * m + own * m**2))


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (extra, "right"),
        (lambda *a: extra(*a, products=0), "scores are missing"),
        (lambda n, m, d, depth: extra(n, m, d, 1), "one block"),
        (lambda *a: extra(*a, layers=4), "MLP is missing"),
        (lambda *a: extra(*a, layers=8), "not 8 D²"),
        (lambda *a: 2 * extra(*a), "flops"),
        (lambda n, m, d, depth: extra(0, n + m, d, depth), "whole model"),
        (lambda n, m, d, depth: extra(n, 2, d, depth), "two new tokens"),
        (lambda *a: 1.0, "for the arguments 10, 3, 8, 2, expected"),
        (lambda *a: extra(*a, both=0), "old at the new"),
        (lambda *a: extra(*a, both=1, own=0), "both ways"),
        (lambda *a: extra(*a, own=0), "M² more"),
        (lambda *a: extra(*a, products=1), "as much again"),
    ],
)
def test_extra_macs(function, sentence, capsys):
    check.check_extra_macs(function)
    assert sentence in capsys.readouterr().out


def test_the_checked_formula_is_the_ledger():
    """A model without the two tokens is the in-context ledger less the formula."""
    blocks = ("attention projections", "attention scores", "MLP")
    with_two, without = (
        total(dit_ledger(DiTConfig(conditioning=design))[part] for part in blocks).macs
        for design in ("in-context", "adaln")
    )
    assert with_two - without == extra(256, 2, 1152, 28)
