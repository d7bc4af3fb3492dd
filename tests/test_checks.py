"""The exercise checkers: each praises the right answer and names each usual mistake."""

import re

import numpy as np
import pytest
import torch

from dit_lesson.checks import adaptive_layer_norm as check
from dit_lesson.checks import compare
from dit_lesson.norms import layer_norm, modulate
from dit_lesson.numpy_dit import silu


def mean(x):
    return x.mean(axis=-1, keepdims=True)


def var(x, **options):
    return x.var(axis=-1, keepdims=True, **options)


def adaptive(x, c, weight, bias, swap=False, one=1.0, activate=silu, norm=layer_norm):
    shift, scale = np.split(activate(c) @ weight.T + bias, 2, axis=-1)
    if swap:
        shift, scale = scale, shift
    return norm(x) * (one + scale[:, None]) + shift[:, None]


GAMMA, BETA = np.random.default_rng(7).random((2, 6))

CASES = [
    (check.check_layer_norm, layer_norm, "right"),
    (check.check_layer_norm, lambda x: x - mean(x) / (var(x) + 1e-6), "parentheses"),
    (check.check_layer_norm, lambda x: x - mean(x) / np.sqrt(var(x) + 1e-6), "parentheses"),
    (check.check_layer_norm, lambda x: (x - mean(x)) / (var(x) + 1e-6), "square root"),
    (
        check.check_layer_norm,
        lambda x: (x - mean(x)) / (x.std(-1, keepdims=True) + 1e-6),
        "outside",
    ),
    (check.check_layer_norm, lambda x: (x - mean(x)) / np.sqrt(var(x, ddof=1) + 1e-6), "D - 1"),
    (check.check_layer_norm, lambda x: layer_norm(x, 1e-5), "1e-5"),
    (check.check_layer_norm, lambda x: x - mean(x), "nothing is divided"),
    (check.check_layer_norm, lambda x: x / np.sqrt(var(x) + 1e-6), "mean is still there"),
    (check.check_layer_norm, lambda x: layer_norm(x.swapaxes(1, 2)).swapaxes(1, 2), "wrong axis"),
    (check.check_layer_norm, lambda x: layer_norm(x.T).T, "wrong axis"),
    (check.check_layer_norm, lambda x: layer_norm(x.reshape(-1)).reshape(x.shape), "wrong axis"),
    (check.check_layer_norm, lambda x: 0.5 * layer_norm(x) + 0.1, "still applied"),
    (check.check_layer_norm, lambda x: layer_norm(x) * GAMMA + BETA, "still applied"),
    (check.check_layer_norm, lambda x: layer_norm(x) ** 3, "at index"),
    (check.check_layer_norm, lambda x: (x - mean(x)) / np.sqrt(x * 0 - 1), "NaN"),
    (check.check_layer_norm, lambda x: mean(x), r"returned shape \(4, 5, 1\)"),
    (check.check_layer_norm, lambda: None, "raised TypeError"),
    (check.check_layer_norm, lambda x: print(end=""), "returned None, expected an array"),
    (check.check_modulate, modulate, "right"),
    (check.check_modulate, lambda x, b, g: x * g[:, None] + b[:, None], "1 \\+ is missing"),
    (check.check_modulate, lambda x, b, g: modulate(x, g, b), "swapped"),
    (check.check_modulate, lambda x, b, g: x * (1 + g) + b, "Token n got"),
    (check.check_modulate, lambda x, b, g: x * (1 + g[:, None]) + b, "Token n got"),
    (check.check_modulate, lambda x, b, g: x * (1 + g) + b[:, None], "Token n got"),
    (
        check.check_modulate,
        lambda x, b, g: (x + b[:, None]) * (1 + g[:, None]),
        "The shift is scaled as well",
    ),
    (
        check.check_modulate,
        lambda x, b, g: x * (1 + g[..., None]) + b,
        "raised ValueError.*An axis may be missing",
    ),
    (check.check_modulate, lambda x, b, g: x, "at index"),
    (check.check_adaptive_layer_norm, adaptive, "right"),
    (
        check.check_adaptive_layer_norm,
        lambda *a: adaptive(*a, activate=lambda c: c),
        "SiLU in front of the linear layer is missing",
    ),
    (check.check_adaptive_layer_norm, lambda *a: adaptive(*a, one=0.0), "1 \\+ is missing"),
    (check.check_adaptive_layer_norm, lambda *a: adaptive(*a, swap=True), "swapped"),
    (check.check_adaptive_layer_norm, lambda x, c, w, b: adaptive(x, c, w, 0), "bias"),
    (check.check_adaptive_layer_norm, lambda *a: adaptive(*a, norm=lambda x: x), "not normalised"),
    (
        check.check_adaptive_layer_norm,
        lambda *a: layer_norm(adaptive(*a, norm=lambda x: x)),
        "reversed",
    ),
    (
        check.check_adaptive_layer_norm,
        lambda x, c, w, b: modulate(layer_norm(x), *np.split(silu(c @ w.T + b), 2, axis=-1)),
        "after the linear layer",
    ),
    (
        check.check_adaptive_layer_norm,
        lambda x, c, w, b: layer_norm(x) * (1 + c) + c,
        "raised ValueError",
    ),
    (
        check.check_adaptive_layer_norm,
        lambda *a: adaptive(*a, norm=lambda x: layer_norm(x) * GAMMA + BETA),
        "The norm has a scale or shift of its own",
    ),
    (check.check_adaptive_layer_norm, lambda x, c, w, b: x, "at index"),
    (check.check_modulation_cost, lambda d, k, n: n * k * d * (d + 1), "right"),
    (check.check_modulation_cost, lambda d, k, n: n * k * d * d, "biases are missing"),
    (check.check_modulation_cost, lambda d, k, n: k * d * (d + 1), "one block"),
    (check.check_modulation_cost, lambda d, k, n: n * (k * d * d + d), "one bias for each"),
    (check.check_modulation_cost, lambda d, k, n: n * d * (d + 1), "not D"),
    (check.check_modulation_cost, lambda d, k, n: 2 * n * k * d * (d + 1), "Twice too many"),
    (check.check_modulation_cost, lambda d, k, n: 7, "expected 1.064e"),
]


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize(("checker", "answer", "sentence"), CASES)
def test_checker_names_what_it_sees(checker, answer, sentence, capsys):
    checker(answer)
    printed = capsys.readouterr().out
    assert printed.startswith(checker.__name__) and printed.count("\n") == 1
    assert ("right." in printed) == (sentence == "right")
    assert re.search(sentence, printed), printed


def test_compare_accepts_tensors_and_numbers(capsys):
    compare("x", lambda: torch.ones(2), [], np.ones(2), [], "Good.")
    compare("x", lambda: 3, [], 3, [], "Good.")
    assert capsys.readouterr().out == "x: right. Good.\n" * 2


def test_compare_keeps_its_inputs_and_one_line(capsys):
    given = np.ones(2)

    def writes(x):
        x += 1
        raise RuntimeError("first line\n  second line")

    compare("x", writes, [given], given, [], "Good.")
    assert np.array_equal(given, np.ones(2))
    expected = "x: your function raised RuntimeError: first line second line; expected it"
    assert capsys.readouterr().out == f"{expected} to return an array of shape (2,).\n"
