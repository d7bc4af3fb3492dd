"""The checkers of the chapter on latent space name each usual mistake."""

import re

import numpy as np
import pytest

from dit_lesson.checks import latent_space as check


def terms(mean, logvar):
    return 0.5 * (mean**2 + np.exp(logvar) - 1 - logvar)


def scaled(axes, subtract=True):
    return lambda z: (
        (z - subtract * z.mean(axis=axes, keepdims=True)) / z.std(axis=axes, keepdims=True)
    )


IMAGE = (1, 2, 3)
CHANNEL = (0, 2, 3)
CASES = [
    (check.check_sample, lambda m, v, e: m + np.exp(v / 2) * e, "right"),
    (check.check_sample, lambda m, v, e: m + np.exp(v) * e, "multiplies by the variance"),
    (check.check_sample, lambda m, v, e: m + v * e, "logarithm"),
    (check.check_sample, lambda m, v, e: m + e, "deviation 1"),
    (check.check_sample, lambda m, v, e: np.exp(v / 2) * e, "mean is missing"),
    (check.check_sample, lambda m, v, e: m, "noise is missing"),
    (check.check_sample, lambda m, v, e: None, "returned None"),
    (check.check_kl, lambda m, v: terms(m, v).sum(axis=IMAGE), "right"),
    (check.check_kl, lambda m, v: 2 * terms(m, v).sum(axis=IMAGE), "one half"),
    (check.check_kl, lambda m, v: -terms(m, v).sum(axis=IMAGE), "sign"),
    (check.check_kl, lambda m, v: terms(m, v).mean(axis=IMAGE), "their sum"),
    (check.check_kl, lambda m, v: terms(m, v).sum(), "of its own"),
    (check.check_kl, lambda m, v: 0.5 * (m**2 + np.exp(v) - v).sum(axis=IMAGE), "1 is missing"),
    (
        check.check_kl,
        lambda m, v: 0.5 * (m**2 + v**2 - 1 - np.log(v**2)).sum(axis=IMAGE),
        "already the logarithm",
    ),
    (check.check_standardise, scaled(CHANNEL), "right"),
    (check.check_standardise, lambda z: (z - z.mean()) / z.std(), "One mean and one deviation"),
    (check.check_standardise, lambda z: z / z.std(), "One factor"),
    (check.check_standardise, scaled(CHANNEL, subtract=False), "mean is still there"),
    (check.check_standardise, lambda z: z - z.mean(axis=CHANNEL, keepdims=True), "nothing is"),
    (
        check.check_standardise,
        lambda z: (z - z.mean(axis=CHANNEL, keepdims=True)) / z.var(axis=CHANNEL, keepdims=True),
        "divides by the variance",
    ),
    (
        check.check_standardise,
        lambda z: (z - z.mean(axis=CHANNEL, keepdims=True)) * z.std(axis=CHANNEL, keepdims=True),
        "divide",
    ),
    (check.check_standardise, scaled((2, 3)), "Each image is standardised by itself"),
    (check.check_standardise, scaled(0), "Each position"),
    (check.check_tokens, lambda s, f, p: (s // f // p) ** 2, "right"),
    (check.check_tokens, lambda s, f, p: s // f // p, "square it"),
    (check.check_tokens, lambda s, f, p: (s // f) ** 2, "patches are still"),
    (check.check_tokens, lambda s, f, p: (s // p) ** 2, "autoencoder comes first"),
    (check.check_tokens, lambda s, f, p: s**2 // (f * p), "count twice"),
    (check.check_tokens, lambda s, f, p: s * f * p, "Divide"),
    (check.check_tokens, lambda s, f, p: (s // f) ** 2 // p, "square p"),
    (check.check_tokens, lambda s, f, p: 4 * (s // f // p) ** 2, "all channels"),
    (check.check_tokens, lambda s, f, p: (s // f // p) ** 2 + 1, "no CLS"),
    (check.check_tokens, lambda s, f, p: 7, "arguments 96, 4, 3, expected 64"),
    (check.check_tokens, lambda s, f, p: 64 if f == 4 else 7, "8, 4, expected 64"),
    (check.check_sample, lambda m, v, e: m + np.exp(2 * v) * e, "halved, not doubled"),
    (check.check_sample, lambda m, v, e: (m + e) * np.exp(v / 2), "mean is scaled"),
    (check.check_sample, lambda m, v, e: m + np.full_like(v, np.nan) * e, "NaN"),
    (
        check.check_kl,
        lambda m, v: 0.5 * (m**2 + np.exp(v / 2) - 1 - v).sum(axis=IMAGE),
        "is the deviation",
    ),
    (check.check_kl, lambda m, v: (terms(m, v) + v).sum(axis=IMAGE), "is subtracted"),
    (check.check_kl, terms, "Nothing is summed"),
    (check.check_kl, lambda m, v: terms(m, v).sum(axis=(2, 3)), "channels are not summed"),
    (check.check_kl, lambda m, v: terms(m, v).sum(axis=IMAGE, keepdims=True), "keepdims"),
    (
        check.check_standardise,
        lambda z: (
            (z - z.mean(axis=CHANNEL, keepdims=True)) / z.std(axis=CHANNEL, keepdims=True, ddof=1)
        ),
        "n - 1",
    ),
    (check.check_standardise, scaled((1, 2, 3)), "as a whole"),
    (check.check_standardise, scaled(1), "channels are averaged"),
    (check.check_standardise, lambda z: 0.18215 * z, "another autoencoder"),
]


@pytest.mark.parametrize(("checker", "function", "sentence"), CASES)
def test_checker_says(checker, function, sentence, capsys):
    checker(function)
    said = capsys.readouterr().out
    assert said.startswith(checker.__name__) and said.count("\n") == 1
    assert re.search(sentence, said), said
    assert (": right." in said) == (sentence == "right")
