"""Exercises of the chapter on time and class as vectors."""

import numpy as np

from dit_lesson.exercises import exercise
from dit_lesson.numpy_dit import timestep_embedding


def _clocks(t: np.ndarray, size: int, divisor: float) -> np.ndarray:
    angles = t[:, None] * 10_000.0 ** (-np.arange(size // 2) / divisor)
    return np.hstack([np.cos(angles), np.sin(angles)])


@exercise(
    (np.array([0.0, 3.0, 250.0, 999.0]), 8),
    right="At t = 0 all cosines are 1 and all sines 0.",
    mistakes={
        "The sines come first: DiT's time has its cosines first.": (
            lambda t, size: np.roll(timestep_embedding(t, size), size // 2, axis=1)
        ),
        "Cosines and sines are interleaved: all cosines come first, then all sines.": (
            lambda t, size: (
                timestep_embedding(t, size)
                .reshape(len(t), 2, -1)
                .swapaxes(1, 2)
                .reshape(len(t), size)
            )
        ),
        "The exponent is divided by half - 1: DiT divides by half of the size.": (
            lambda t, size: _clocks(t, size, size / 2 - 1)
        ),
        "The exponent is divided by the size: divide by half of it.": (
            lambda t, size: _clocks(t, size, size)
        ),
        "t is scaled to 0 to 1: most of the numbers then hardly move.": (
            lambda t, size: timestep_embedding(t / 1000, size)
        ),
    },
)
def check_sinusoid(t: np.ndarray, size: int) -> np.ndarray:
    """The sinusoid of time steps, cosines first."""
    return timestep_embedding(t, size)


@exercise(
    (np.array([3, 1, 4, 0]), np.array([False, True, False, True]), 5),
    right="The null class is one past the last class.",
    mistakes={
        "Nothing is dropped.": lambda y, dropped, classes: y,
        "The null class is 1000: it is the number of classes, here 5.": (
            lambda y, dropped, classes: np.where(dropped, 1000, y)
        ),
        "The null class is the last class: it is one past it.": (
            lambda y, dropped, classes: np.where(dropped, classes - 1, y)
        ),
        "The null class is 0, which is a class of its own.": (
            lambda y, dropped, classes: np.where(dropped, 0, y)
        ),
        "The wrong ones are dropped: true means dropped.": (
            lambda y, dropped, classes: np.where(dropped, y, classes)
        ),
    },
)
def check_drop(y: np.ndarray, dropped: np.ndarray, num_classes: int) -> np.ndarray:
    """Labels with some replaced by the null class."""
    return np.where(dropped, num_classes, y)


def _time(d: int, biases: int = 2) -> int:
    return 256 * d + d * d + biases * d


@exercise(
    (384, 1000),
    right="The time embedder grows with the square of the width, the table only with the width.",
    mistakes={
        "The biases of the two linear layers are missing.": (
            lambda d, classes: _time(d, biases=0) + (classes + 1) * d
        ),
        "The null class has a row of its own.": lambda d, classes: _time(d) + classes * d,
        "The label table is missing.": lambda d, classes: _time(d),
        "The time embedder is missing.": lambda d, classes: (classes + 1) * d,
    },
)
def check_count(hidden_size: int, num_classes: int) -> int:
    """The parameters of both embedders."""
    return _time(hidden_size) + (num_classes + 1) * hidden_size
