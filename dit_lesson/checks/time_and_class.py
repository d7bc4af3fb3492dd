"""Checkers for the exercises of the chapter on time and class as vectors."""

from collections.abc import Callable
from typing import Any

import numpy as np

from dit_lesson.checks import compare
from dit_lesson.numpy_dit import timestep_embedding


def check_sinusoid(function: Callable[..., Any]) -> None:
    """Check ``function(t, size)``, the sinusoid of time steps, cosines first."""
    t, size = np.array([0.0, 3.0, 250.0, 999.0]), 8
    right = timestep_embedding(t, size)
    cosines, sines = np.split(right, 2, axis=1)
    interleaved = np.stack([cosines, sines], axis=-1).reshape(right.shape)
    last = t[:, None] * 10_000.0 ** (-np.arange(4) / 3)
    full = t[:, None] * 10_000.0 ** (-np.arange(4) / 8)
    mistakes = [
        (np.hstack([sines, cosines]), "The sines come first: DiT's time has its cosines first."),
        (interleaved, "Cosines and sines are interleaved: all cosines come first, then all sines."),
        (
            np.hstack([np.cos(last), np.sin(last)]),
            "The exponent is divided by half - 1: DiT divides by half of the size.",
        ),
        (
            np.hstack([np.cos(full), np.sin(full)]),
            "The exponent is divided by the size: divide by half of it.",
        ),
        (
            timestep_embedding(t / 1000, size),
            "t is scaled to 0 to 1: most of the numbers then hardly move.",
        ),
    ]
    compare(
        "check_sinusoid",
        function,
        [t, size],
        right,
        mistakes,
        "At t = 0 all cosines are 1 and all sines 0.",
    )


def check_drop(function: Callable[..., Any]) -> None:
    """Check ``function(y, dropped, num_classes)``, labels with some replaced by the null class."""
    y, dropped = np.array([3, 1, 4, 0]), np.array([False, True, False, True])
    mistakes = [
        (y, "Nothing is dropped."),
        (
            np.where(dropped, 1000, y),
            "The null class is 1000: it is the number of classes, here 5.",
        ),
        (np.where(dropped, 4, y), "The null class is the last class: it is one past it."),
        (np.where(dropped, 0, y), "The null class is 0, which is a class of its own."),
        (np.where(dropped, y, 5), "The wrong ones are dropped: true means dropped."),
    ]
    compare(
        "check_drop",
        function,
        [y, dropped, 5],
        np.where(dropped, 5, y),
        mistakes,
        "The null class is one past the last class.",
    )


def check_count(function: Callable[..., Any]) -> None:
    """Check ``function(hidden_size, num_classes)``, the parameters of both embedders."""
    d, classes = 384, 1000
    weights = 256 * d + d * d
    table = (classes + 1) * d
    mistakes = [
        (weights + table, "The biases of the two linear layers are missing."),
        (weights + 2 * d + classes * d, "The null class has a row of its own."),
        (weights + 2 * d, "The label table is missing."),
        (table, "The time embedder is missing."),
    ]
    compare(
        "check_count",
        function,
        [d, classes],
        weights + 2 * d + table,
        mistakes,
        "The time embedder grows with the square of the width, the table only with the width.",
        tolerance=1e-12,
    )
