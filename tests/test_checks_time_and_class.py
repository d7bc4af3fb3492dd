"""The checkers of the chapter on time and class name each usual mistake."""

import re

import numpy as np
import pytest

from dit_lesson.checks import time_and_class as check
from dit_lesson.embeddings import LabelEmbedder, TimestepEmbedder


def sinusoid(t, size, divisor=None, order=("cos", "sin"), factor=1.0):
    angles = factor * t[:, None] * 10_000.0 ** (-np.arange(size // 2) / (divisor or size // 2))
    return np.hstack([getattr(np, name)(angles) for name in order])


def interleaved(t, size):
    halves = np.split(sinusoid(t, size), 2, axis=1)
    return np.stack(halves, axis=-1).reshape(len(t), size)


@pytest.mark.parametrize(
    ("checker", "answer", "sentence"),
    [
        (check.check_sinusoid, sinusoid, "right"),
        (check.check_sinusoid, lambda t, n: sinusoid(t, n, order=("sin", "cos")), "sines come"),
        (check.check_sinusoid, interleaved, "interleaved"),
        (check.check_sinusoid, lambda t, n: sinusoid(t, n, divisor=3), "half - 1"),
        (check.check_sinusoid, lambda t, n: sinusoid(t, n, divisor=8), "by the size"),
        (check.check_sinusoid, lambda t, n: sinusoid(t, n, factor=1e-3), "scaled to 0 to 1"),
        (check.check_drop, lambda y, d, n: np.where(d, n, y), "right"),
        (check.check_drop, lambda y, d, n: y, "Nothing is dropped"),
        (check.check_drop, lambda y, d, n: np.where(d, 1000, y), "1000"),
        (check.check_drop, lambda y, d, n: np.where(d, n - 1, y), "one past"),
        (check.check_drop, lambda y, d, n: np.where(d, 0, y), "class of its own"),
        (check.check_drop, lambda y, d, n: np.where(d, y, n), "true means dropped"),
        (check.check_count, lambda d, n: 256 * d + d * d + (n + 1) * d, "biases"),
        (check.check_count, lambda d, n: 256 * d + d * d + 2 * d + n * d, "null class"),
        (check.check_count, lambda d, n: 256 * d + d * d + 2 * d, "table is missing"),
        (check.check_count, lambda d, n: (n + 1) * d, "time embedder is missing"),
    ],
)
def test_checker_names_what_it_sees(checker, answer, sentence, capsys):
    checker(answer)
    printed = capsys.readouterr().out
    assert re.search(sentence, printed), printed
    assert ("right." in printed) == (sentence == "right")


def test_count_is_that_of_the_modules(capsys):
    def measured(hidden_size, num_classes):
        modules = TimestepEmbedder(hidden_size), LabelEmbedder(num_classes, hidden_size)
        return sum(p.numel() for module in modules for p in module.parameters())

    check.check_count(measured)
    assert "right." in capsys.readouterr().out
