"""Exercises of the chapter on the race of the designs."""

import math
from itertools import count

import numpy as np

from dit_lesson.exercises import exercise

# the same five seeds for both: seeds differ more than designs
OURS = np.array([0.702, 0.731, 0.688, 0.745, 0.719])
THEIRS = np.array([0.711, 0.737, 0.700, 0.752, 0.731])

RATES = np.array([1e-3, 3e-3, 1e-2, 3e-2])
VALIDATION = np.array(
    [[0.91, 0.89, 0.93], [0.72, 0.88, 0.82], [0.75, 0.76, 0.77], [0.78, 0.81, 0.8]]
)
TEST = np.array([[0.9, 0.91, 0.92], [0.8, 0.82, 0.84], [0.77, 0.79, 0.765], [0.7, 0.71, 0.72]])


def _error(values: np.ndarray, ddof: int = 1) -> float:
    return values.std(ddof=ddof) / math.sqrt(len(values))


@exercise(
    (OURS, THEIRS),
    (THEIRS[:3] ** 2, OURS[:3]),
    right="What a seed does to both drops out of the difference.",
    mistakes={
        "These are unpaired errors: take the difference of each seed first.": (
            lambda a, b: np.array(
                [a.mean() - b.mean(), math.hypot(_error(np.asarray(a)), _error(np.asarray(b)))]
            )
        ),
        "This is the spread of one difference: its mean over n seeds spreads 1/sqrt(n) of that.": (
            lambda a, b: np.array([(a - b).mean(), (a - b).std(ddof=1)])
        ),
        "The deviation of a sample divides by n - 1 (ddof=1): the mean was taken from it.": (
            lambda a, b: np.array([(a - b).mean(), _error(a - b, ddof=0)])
        ),
        "The sign: a less b.": lambda a, b: np.array([(b - a).mean(), _error(a - b)]),
        "Divide by the root of n, not by n.": (
            lambda a, b: np.array([(a - b).mean(), (a - b).std(ddof=1) / len(a)])
        ),
    },
)
def check_difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The mean of a less b over paired seeds, and its standard error."""
    return np.array([(a - b).mean(), _error(a - b)])


def _at(index: int, rates: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.array([rates[index], values[index].mean()])


@exercise(
    (RATES, VALIDATION, TEST),
    right="The test digits were looked at once, after the choice.",
    mistakes={
        "The rate was chosen on the test digits: the result is then too good by luck.": (
            lambda rates, validation, test: _at(test.mean(axis=1).argmin(), rates, test)
        ),
        "This is the best single seed: a rate is chosen by its mean over the seeds.": (
            lambda rates, validation, test: _at(validation.min(axis=1).argmin(), rates, test)
        ),
        "This reports the validation loss: the smallest of three, and so too good by luck.": (
            lambda rates, validation, test: _at(validation.mean(axis=1).argmin(), rates, validation)
        ),
        "This reports the best seed: the mean over the seeds is the result.": (
            lambda rates, validation, test: np.array(
                [
                    rates[validation.mean(axis=1).argmin()],
                    test[validation.mean(axis=1).argmin()].min(),
                ]
            )
        ),
        "A loss should be small: this is the rate with the largest.": (
            lambda rates, validation, test: _at(validation.mean(axis=1).argmax(), rates, test)
        ),
    },
)
def check_choice(rates: np.ndarray, validation: np.ndarray, test: np.ndarray) -> np.ndarray:
    """The rate that validation chooses, and the mean test loss at it."""
    return _at(validation.mean(axis=1).argmin(), rates, test)


def _blocks(width: np.ndarray | int, depth: int) -> np.ndarray | int:
    return depth * (12 * width**2 + 13 * width)


def _widths(target: int, depth: int, step: int = 4) -> np.ndarray:
    """Multiples of step, the nearest to the target first."""
    widths = np.arange(step, 1024, step)
    return widths[np.abs(_blocks(widths, depth) - target).argsort(kind="stable")]


@exercise(
    (254_792, 2),
    (1_000_000, 6),
    right="Parameters grow with the square of the width, so the widths differ by little.",
    mistakes={
        "The width is no multiple of 4: four heads would not share it.": (
            lambda target, depth: _widths(target, depth, step=1)[0]
        ),
        "This is one block: the model has `depth` of them.": (
            lambda target, depth: _widths(target, 1)[0]
        ),
        "The parameters grow with the square of the width: take a root.": (
            lambda target, depth: 4 * round(target / (25 * depth) / 4)
        ),
        "The next larger width is nearer, though a little too large.": (
            lambda target, depth: max(
                w for w in _widths(target, depth) if _blocks(w, depth) <= target
            )
        ),
        "The next smaller width is nearer, though a little too small.": (
            lambda target, depth: min(
                w for w in _widths(target, depth) if _blocks(w, depth) >= target
            )
        ),
    },
)
def check_width(target: int, depth: int) -> int:
    """The multiple of 4 whose plain blocks, 12 D^2 + 13 D each, have nearly `target` parameters."""
    return int(_widths(target, depth)[0])


#: How many standard errors a mean of n seeds must be from zero for 95%, by n: Student's
#: distribution with n - 1 degrees of freedom.
STUDENT = dict(
    enumerate(
        [
            *[12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228],
            *[2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086],
            *[2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045],
        ],
        start=2,
    )
)


def _seeds(deviation: float, difference: float, least: int = 2, power: float = 0.5) -> int:
    """The first n, from `least` on, for which deviation / n**power is small enough."""
    enough = (n for n in count(least) if difference >= STUDENT.get(n, 2) * deviation / n**power)
    return next(enough)


def _fixed(deviation: float, difference: float, errors: float) -> int:
    return max(2, math.ceil((errors * deviation / difference) ** 2))


@exercise(
    (0.012, 0.01),
    (0.013, 0.004),
    (0.01, 0.2),
    right="Half the difference takes four times the seeds, and few seeds take more again.",
    mistakes={
        "Two errors are too kind to few seeds: take STUDENT[n] of them.": (
            lambda deviation, difference: _fixed(deviation, difference, 2)
        ),
        "This makes the difference one standard error: it should be STUDENT[n] of them.": (
            lambda deviation, difference: _fixed(deviation, difference, 1)
        ),
        "The error falls with the root of n, not with n.": (
            lambda deviation, difference: _seeds(deviation, difference, power=1)
        ),
        "This is the largest number that is too small: one more is enough.": (
            lambda deviation, difference: max(2, _seeds(deviation, difference) - 1)
        ),
        "One seed has no deviation: two are the least.": (
            lambda deviation, difference: _seeds(deviation, difference, least=1)
        ),
    },
)
def check_seeds(deviation: float, difference: float) -> int:
    """How many seeds, at least 2, make a paired difference STUDENT[n] standard errors large."""
    return _seeds(deviation, difference)
