"""The checkers of the ViT review name each usual mistake."""

import numpy as np
import pytest

from dit_lesson.checks import vit_review as check
from dit_lesson.numpy_dit import attention, softmax


def attend(q, k, v, divisor=None, over="keys"):
    scores = q @ k.T / (divisor or np.sqrt(q.shape[1]))
    return (softmax(scores) if over == "keys" else softmax(scores.T).T) @ v


def plain(q, k, v):
    shares = np.exp(q @ k.T / np.sqrt(q.shape[1]))
    return shares / shares.sum(axis=1, keepdims=True) @ v


@pytest.mark.parametrize(
    ("checker", "answer", "sentence"),
    [
        (check.check_attention, attention, "right."),
        (check.check_attention, attend, "right."),
        (check.check_attention, plain, "exponential that overflows"),
        (check.check_attention, lambda q, k, v: attend(q, k, v, 1.0), "not divided"),
        (check.check_attention, lambda q, k, v: attend(q, k, v, len(k) ** 0.5), "number of tokens"),
        (check.check_attention, lambda q, k, v: attend(q, k, v, q.shape[1]), "not by the width"),
        (
            check.check_attention,
            lambda q, k, v: attend(q, k, v, over="queries"),
            "over the queries",
        ),
        (check.check_attention, lambda q, k, v: q @ k.T / 3 @ v, "softmax is missing"),
        (check.check_attention, lambda q, k, v: softmax(q @ k.T / 3), "multiply them"),
        (check.check_attention, lambda q, k, v: softmax(q @ k.T * 3) @ v, "divide by it"),
        (check.check_attention, lambda q, k, v: softmax(q @ k.T / 3**0.5) @ v, "of a value"),
        (check.check_attention, lambda q, k, v: softmax(q @ k.T / 2) @ v, "number of queries"),
        (
            check.check_attention,
            lambda q, k, v: softmax((q @ k.T / 3).ravel()).reshape(len(q), -1) @ v,
            "whole matrix",
        ),
        (check.check_attention, lambda q, k, v: np.exp(q @ k.T / 3) @ v, "by their sum"),
        (
            check.check_attention,
            lambda q, k, v: (softmax(q @ k.T / 3), softmax(q @ k.T / 3) @ v),
            "return one array",
        ),
        (check.check_sequence, lambda i, p, c: (i * i // p + 1, p * p * c), "along both sides"),
        (check.check_sequence, lambda i, p, c: ((i // p + 1) ** 2, p * p * c), "joins the"),
        (check.check_sequence, lambda i, p, c: ((i // p) ** 2, p * p), "channels in the patch"),
        (check.check_sequence, lambda i, p, c: 17, "for the arguments 28, 7, 3"),
        (check.check_sequence, lambda i, p, c: ((i // p) ** 2 + 1, p * p * c), "right."),
        (check.check_sequence, lambda i, p, c: ((i // p) ** 2, p * p * c), "CLS is a token"),
        (check.check_sequence, lambda i, p, c: ((i // p) ** 2 + 1, p * p), "all channels"),
        (check.check_sequence, lambda i, p, c: (i // p + 1, p * p * c), "both sides"),
        (check.check_sequence, lambda i, p, c: ((i // p) ** 2 + 1, p * c), "rows and columns"),
        (check.check_sequence, lambda i, p, c: (p * p * c, (i // p) ** 2 + 1), "order is"),
        (
            check.check_read,
            lambda x, pool: x[:, 0] if pool == "cls" else x[:, 1:].mean(1),
            "right.",
        ),
        (
            check.check_read,
            lambda x, pool: x[:, 0] if pool == "cls" else x.mean(1),
            "does not belong",
        ),
        (
            check.check_read,
            lambda x, pool: x[:, -1] if pool == "cls" else x[:, 1:].mean(1),
            "not the last",
        ),
        (
            check.check_read,
            lambda x, pool: x[:, 0] if pool == "cls" else x[:, :-1].mean(1),
            "the last that is left out",
        ),
        (check.check_read, lambda x, pool: x[0], "first image"),
        (check.check_read, lambda x, pool: x[:, 1:].mean(1), "mean of the patches"),
        (check.check_read, lambda x, pool: x.mean(1), "returns a mean"),
        (
            check.check_read,
            lambda x, pool: x[:, 0] if pool == "cls" else x[:, 1:].mean(2),
            "over the features",
        ),
        (
            check.check_read,
            lambda x, pool: x[:, 0] if pool == "cls" else x[:, 1:].mean(0),
            "over the images",
        ),
        (
            check.check_read,
            lambda x, pool: x[:, 0] if pool == "cls" else x[:, 1:].mean(1, keepdims=True),
            "keepdims",
        ),
        (
            check.check_read,
            lambda x, pool: x[:, 0] if pool == "cls" else x[:, 1:].mean(),
            "over everything",
        ),
        (check.check_read, lambda x, pool: x[:, 0], "pool is ignored"),
    ],
)
def test_checker_names_what_it_sees(checker, answer, sentence, capsys):
    checker(answer)
    assert sentence in capsys.readouterr().out
