"""The checkers of the chapter on position embeddings name each usual mistake."""

import re

import numpy as np
import pytest

from dit_lesson.checks import position_embeddings as check
from dit_lesson.positions import frequencies, sincos_1d, sincos_2d


def clocks(exponent):
    def function(positions, hidden_size):
        half = hidden_size // 2
        angles = np.outer(positions, 10_000.0 ** exponent(np.arange(half), half))
        return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)

    return function


def interleaved(positions, hidden_size):
    table = sincos_1d(positions, hidden_size)
    return np.stack(np.split(table, 2, axis=1), axis=2).reshape(table.shape)


def turned(embedding, offset, sign=1):
    sin, cos = np.split(embedding, 2)
    angle = sign * offset * frequencies(len(sin))
    return np.concatenate(
        [sin * np.cos(angle) + cos * np.sin(angle), cos * np.cos(angle) - sin * np.sin(angle)]
    )


def resized(step, offset=0.0):
    def function(hidden_size, base, size):
        places = (np.arange(size) + offset) * step(base, size) - offset
        axis = sincos_1d(places, hidden_size // 2)
        rows, columns = np.divmod(np.arange(size**2), size)
        return np.concatenate([axis[columns], axis[rows]], axis=1)

    return function


CASES = [
    (check.check_sincos_1d, sincos_1d, "right"),
    (check.check_sincos_1d, clocks(lambda i, half: -i / half), "right"),
    (check.check_sincos_1d, lambda p, d: np.roll(sincos_1d(p, d), d // 2, 1), "cosines come first"),
    (check.check_sincos_1d, interleaved, "alternate"),
    (check.check_sincos_1d, clocks(lambda i, half: -i / (half - 1)), "D/2 - 1"),
    (check.check_sincos_1d, clocks(lambda i, half: -i / (2 * half)), "i / D"),
    (check.check_sincos_1d, clocks(lambda i, half: i / half), "needs a minus"),
    (check.check_sincos_1d, lambda p, d: sincos_1d(p * 2 * np.pi, d), "2 pi"),
    (check.check_sincos_1d, lambda p, d: 0.9 * sincos_1d(p, d), "at index"),
    (check.check_sincos_2d, sincos_2d, "right"),
    (check.check_sincos_2d, lambda d, h, w: sincos_2d(d, h, w, "row"), "halves are swapped"),
    (
        check.check_sincos_2d,
        lambda d, h, w: sincos_2d(d, h, w).reshape(h, w, d).swapaxes(0, 1).reshape(h * w, d),
        "down the columns",
    ),
    (check.check_sincos_2d, lambda d, h, w: sincos_2d(d, w, h), "Height and width"),
    (check.check_sincos_2d, lambda d, h, w: sincos_1d(np.arange(h * w), d), "1-D"),
    (check.check_sincos_2d, lambda d, h, w: sincos_2d(d, h, w)[:-1], "shape"),
    (check.check_shift, turned, "right"),
    (check.check_shift, lambda e, k: turned(e, k, sign=-1), "turns the clocks back"),
    (check.check_shift, lambda e, k: e + sincos_1d([k], len(e))[0], "another length"),
    (check.check_shift, lambda e, k: e, "Nothing moved"),
    (check.check_shift, lambda e, k: sincos_1d([k], len(e))[0], "start from the embedding"),
    (check.check_resized, resized(lambda base, size: base / size), "right"),
    (check.check_resized, resized(lambda base, size: 1.0), "not scaled"),
    (check.check_resized, resized(lambda base, size: size / base), "upside down"),
    (check.check_resized, resized(lambda base, size: (base - 1) / (size - 1)), "aligned"),
    (check.check_resized, resized(lambda base, size: base / size, 0.5), "middles of the tokens"),
    (
        check.check_resized,
        lambda d, base, size: np.roll(resized(lambda b, s: b / s)(d, base, size), d // 2, axis=1),
        "halves are swapped",
    ),
]


@pytest.mark.parametrize(("checker", "function", "sentence"), CASES)
def test_checker_says(checker, function, sentence, capsys):
    checker(function)
    said = capsys.readouterr().out
    assert re.search(sentence, said)
    assert said.count("\n") == 1
    assert (": right." in said) == (sentence == "right")
