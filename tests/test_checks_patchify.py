"""The checkers of the chapter on patchify name each usual mistake."""

import re

import numpy as np
import pytest
from einops import rearrange

from dit_lesson.checks import patchify as check
from dit_lesson.patches import patchify, unpatchify


def cut(pattern):
    return lambda x, p: rearrange(x, f"b c (h p) (w q) -> {pattern}", p=p, q=p)


def glue(pattern):
    return lambda x, p, h, w: rearrange(x, pattern, p=p, q=p, h=h // p, w=w // p)


def by_reshape(x, p):
    b, c, h, w = x.shape
    return (
        x.reshape(b, c, h // p, p, w // p, p).transpose(0, 2, 4, 3, 5, 1).reshape(b, -1, p * p * c)
    )


def parameters(p, c, d, outputs=2):
    return (p * p * c + 1) * d + outputs * p * p * c * (d + 1)


CASES = [
    (check.check_patchify, patchify, "right"),
    (check.check_patchify, by_reshape, "right"),
    (check.check_patchify, cut("b (h w) (c p q)"), "channel has to count fastest"),
    (check.check_patchify, cut("b (w h) (p q c)"), "down the columns"),
    (check.check_patchify, cut("b (h w) (q p c)"), "read it row by row"),
    (check.check_patchify, cut("b c (h w) (p q)"), "axis of their own"),
    (check.check_patchify, lambda x, p: x.reshape(2, 6, 12), "reshape alone"),
    (check.check_patchify, lambda x, p: patchify(x, p)[..., ::-1], "at index"),
    (check.check_patchify, lambda x: x, "raised TypeError"),
    (check.check_unpatchify, unpatchify, "right"),
    (check.check_unpatchify, glue("b (h w) (c p q) -> b c (h p) (w q)"), "wrote"),
    (check.check_unpatchify, glue("b (w h) (p q c) -> b c (h p) (w q)"), "along the rows"),
    (check.check_unpatchify, glue("b (h w) (q p c) -> b c (h p) (w q)"), "diagonal"),
    (check.check_unpatchify, lambda x, p, h, w: unpatchify(x, p, w, h), "Height and width"),
    (check.check_unpatchify, lambda x, p, h, w: x.reshape(-1, 3, h, w), "reshape alone"),
    (check.check_unpatchify, glue("b (h w) (p q c) -> b (h p) (w q) c"), "come last"),
    (check.check_unpatchify, lambda x, p, h, w: np.zeros((2, 3, h, w)), "at index"),
    (check.check_parameters, parameters, "right"),
    (check.check_parameters, lambda p, c, d: parameters(p, c, d, outputs=0), "the patch embedding"),
    (check.check_parameters, lambda p, c, d: 2 * p * p * c * (d + 1), "the final layer"),
    (check.check_parameters, lambda p, c, d: parameters(p, c, d, outputs=1), "noise and variance"),
    (check.check_parameters, lambda p, c, d: 3 * p * p * c * d, "biases are missing"),
    (check.check_parameters, lambda p, c, d: parameters(1, p * c, d), "not p"),
    (check.check_parameters, lambda p, c, d: 3 * p * p * c * d + 2 * d, "one number for each"),
    (check.check_parameters, lambda p, c, d: 7, "expected 9376"),
    (check.check_test_shape, lambda: (3, 4, 6, 2), "right"),
    (check.check_test_shape, lambda: (1, 28, 28, 4), "version A .*; version D "),
    (check.check_test_shape, lambda: (1, 4, 6, 2), "though version A [^;]*$"),
    (check.check_test_shape, lambda: (3, 4, 6, 1), "version A .*; version B "),
    (check.check_test_shape, lambda: (3, 4, 4, 2), "though version D [^;]*$"),
    (check.check_test_shape, lambda: (3, 2, 6, 2), "version C "),
    (check.check_test_shape, lambda: (3, 5, 6, 2), "height 5 is not a multiple"),
    (check.check_test_shape, lambda: (3, 4), "four whole numbers"),
]


@pytest.mark.parametrize(("checker", "function", "sentence"), CASES)
def test_checker_says(checker, function, sentence, capsys):
    checker(function)
    said = capsys.readouterr().out
    assert said.startswith(checker.__name__) and said.count("\n") == 1
    assert re.search(sentence, said), said
    assert (": right." in said) == (sentence == "right")
