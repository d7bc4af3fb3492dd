"""The checkers of the chapter on diffusion know right answers and the usual mistakes."""

import numpy as np
import pytest

from dit_lesson.checks import diffusion as check


def add_noise(x0, t, noise, alpha_bars):
    kept = alpha_bars[t][:, None]
    return np.sqrt(kept) * x0 + np.sqrt(1 - kept) * noise


def velocity(x, epsilon, alpha_bar):
    return epsilon - (x - np.sqrt(1 - alpha_bar) * epsilon) / np.sqrt(alpha_bar)


def reverse_mean(x, epsilon, t, betas):
    kept = np.cumprod(1 - betas)[t]
    return (x - betas[t] / np.sqrt(1 - kept) * epsilon) / np.sqrt(1 - betas[t])


def turned(model, x, t):
    return -model(x, 1 - t)


@pytest.mark.parametrize(
    ("checker", "answer"),
    [
        (check.check_add_noise, add_noise),
        (check.check_velocity, velocity),
        (check.check_reverse_mean, reverse_mean),
        (check.check_turned, turned),
    ],
)
def test_right_answers_are_known(checker, answer, capsys):
    checker(answer)
    said = capsys.readouterr().out
    assert said.startswith(f"{checker.__name__}: right.") and said.count("\n") == 1


def a(bars, t):
    return bars[t][:, None]


MISTAKES = [
    (check.check_add_noise, lambda x, t, n, b: a(b, t) * x + (1 - a(b, t)) * n, "root of both"),
    (
        check.check_add_noise,
        lambda x, t, n, b: a(b, t) ** 0.5 * x + (1 - a(b, t)) * n,
        "noise's factor lacks",
    ),
    (
        check.check_add_noise,
        lambda x, t, n, b: a(b, t) * x + (1 - a(b, t)) ** 0.5 * n,
        "data's factor lacks",
    ),
    (
        check.check_add_noise,
        lambda x, t, n, b: a(b, t) ** 0.5 * x + (1 - a(b, t) ** 0.5) * n,
        "factors add up to 1",
    ),
    (check.check_add_noise, lambda x, t, n, b: add_noise(n, t, x, b), "each other's factors"),
    (check.check_add_noise, lambda x, t, n, b: x[0], "shape"),
    (check.check_velocity, lambda x, e, k: -velocity(x, e, k), "sign"),
    (check.check_velocity, lambda x, e, k: e - velocity(x, e, k), "This is the data"),
    (check.check_velocity, lambda x, e, k: e - x, "subtracts the mixture"),
    (check.check_velocity, lambda x, e, k: e - (x - (1 - k) ** 0.5 * e), "still shrunk"),
    (check.check_velocity, lambda x, e, k: e - (x - (1 - k) ** 0.5 * e) / k, "divides by alpha"),
    (
        check.check_reverse_mean,
        lambda x, e, t, b: e - velocity(x, e, np.cumprod(1 - b)[t]),
        "all the noise at once",
    ),
    (
        check.check_reverse_mean,
        lambda x, e, t, b: reverse_mean(x, e, t, b) * (1 - b[t]) ** 0.5,
        "not undone",
    ),
    (
        check.check_reverse_mean,
        lambda x, e, t, b: reverse_mean(x, e, t, b) / (np.prod(1 - b[:t])) ** 0.5,
        "undoes all steps",
    ),
    (
        check.check_reverse_mean,
        lambda x, e, t, b: reverse_mean(x, e, t, b) / (1 - b[t]) ** 0.5,
        "divides by 1 - beta",
    ),
    (
        check.check_reverse_mean,
        lambda x, e, t, b: (x - b[t] * e) / (1 - b[t]) ** 0.5,
        "part of the noise",
    ),
    (
        check.check_reverse_mean,
        lambda x, e, t, b: (x - b[t] / (1 - np.cumprod(1 - b)[t]) * e) / (1 - b[t]) ** 0.5,
        "divided by 1 - alpha bar",
    ),
    (check.check_turned, lambda m, x, t: m(x, t), "Nothing is turned"),
    (check.check_turned, lambda m, x, t: m(x, 1 - t), "keeps its sign"),
    (check.check_turned, lambda m, x, t: -m(x, t), "asked about the time"),
    (check.check_turned, lambda m, x, t: -m(x, -t), "mirror of t"),
    (check.check_turned, lambda m, x, t: 1 / 0, "ZeroDivisionError"),
]


@pytest.mark.parametrize(("checker", "answer", "sentence"), MISTAKES)
def test_mistakes_are_named(checker, answer, sentence, capsys):
    checker(answer)
    said = capsys.readouterr().out
    assert "right." not in said and sentence in said and said.count("\n") == 1
