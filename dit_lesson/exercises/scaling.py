"""Exercises of the chapter on scaling."""

import numpy as np

from dit_lesson.exercises import exercise

COMPUTE = np.array([0.4, 1.4, 5.6, 6.1, 29.0])
FID = np.array([150.0, 98.0, 70.0, 66.0, 41.0])


def _law(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Intercept and slope of the line through y over x."""
    return np.polyfit(x, y, 1)[::-1]


def _power_law(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    intercept, slope = _law(np.log(x), np.log(y))
    return np.array([np.exp(intercept), slope])


@exercise(
    (COMPUTE, FID),
    right="A line in the logarithms is a power law in the numbers.",
    mistakes={
        "These are the numbers of a straight line: take the logarithm of both first.": (
            lambda compute, fid: _law(compute, fid)
        ),
        "Only compute is in logarithms: the FID needs its own.": (
            lambda compute, fid: _law(np.log(compute), fid)
        ),
        "Only the FID is in logarithms: compute needs its own.": (
            lambda compute, fid: _law(compute, np.log(fid))
        ),
        "The intercept is still the logarithm of A: take its exponential.": (
            lambda compute, fid: _law(np.log(compute), np.log(fid))
        ),
        "A and b have each other's places.": lambda compute, fid: _power_law(compute, fid)[::-1],
        "FID and compute have each other's places: the FID is what is explained.": (
            lambda compute, fid: _power_law(fid, compute)
        ),
        "The exponential of a logarithm to the base 10: raise 10 to it.": (
            lambda compute, fid: np.array(
                [np.exp(np.log10(_power_law(compute, fid)[0])), _power_law(compute, fid)[1]]
            )
        ),
    },
)
def check_power_law(compute: np.ndarray, fid: np.ndarray) -> np.ndarray:
    """A and b of FID = A compute^b, by least squares in the logarithms."""
    return _power_law(compute, fid)


@exercise(
    (118.64, 256, 400_000),
    (0.36, 64, 1000),
    right="Forward once, backward twice, and two operations for each multiply-add.",
    mistakes={
        "The backward pass is missing: it costs twice the forward pass.": (
            lambda gmacs, batch, steps: 2e9 * gmacs * batch * steps
        ),
        "These are MACs: a FLOP is a multiplication or an addition, so there are two to each.": (
            lambda gmacs, batch, steps: 3e9 * gmacs * batch * steps
        ),
        "The batch is missing: Gflops are those of one sample.": (
            lambda gmacs, batch, steps: 6e9 * gmacs * steps
        ),
        "These are 10^9 FLOPs: multiply by 10^9.": (
            lambda gmacs, batch, steps: 6 * gmacs * batch * steps
        ),
        "The backward pass costs as much as the forward pass here: it costs twice as much.": (
            lambda gmacs, batch, steps: 4e9 * gmacs * batch * steps
        ),
    },
)
def check_training_flops(gmacs: float, batch: int, steps: int) -> float:
    """The floating point operations of a training run."""
    return 6e9 * gmacs * batch * steps


def _r2(predicted: np.ndarray, observed: np.ndarray) -> float:
    return float(
        1 - ((observed - predicted) ** 2).sum() / ((observed - observed.mean()) ** 2).sum()
    )


OBSERVED = np.array([5.0, 4.6, 4.2, 4.8, 4.2, 3.8])
LEFT_OUT = np.array([4.6, 4.4, 4.1, 4.6, 4.3, 4.1])


@exercise(
    (LEFT_OUT, OBSERVED),
    (np.array([4.0, 5.0, 3.0]), np.array([4.2, 4.4, 4.3])),
    right="It can be negative: then the mean of what was observed predicts better.",
    mistakes={
        "This is the square of the correlation, which forgives a wrong level and a wrong slope.": (
            lambda predicted, observed: np.corrcoef(predicted, observed)[0, 1] ** 2
        ),
        "The variance of the predictions, over that of the observations: errors are not in it.": (
            lambda predicted, observed: predicted.var() / observed.var()
        ),
        "This is the share that is not explained: take it from 1.": (
            lambda predicted, observed: 1 - _r2(predicted, observed)
        ),
        "The errors are compared with the variance of the predictions, not of what was observed.": (
            lambda predicted, observed: (
                1 - ((observed - predicted) ** 2).sum() / (len(predicted) * predicted.var())
            )
        ),
        "The observations are compared with 0: take their mean off first.": (
            lambda predicted, observed: (
                1 - ((observed - predicted) ** 2).sum() / (observed**2).sum()
            )
        ),
        "Its value is cut off at 0: a prediction may be worse than the mean.": (
            lambda predicted, observed: max(0.0, _r2(predicted, observed))
        ),
    },
)
def check_r2(predicted: np.ndarray, observed: np.ndarray) -> float:
    """The share of the variance of what was observed that the predictions explain."""
    return _r2(predicted, observed)


@exercise(
    (80.71, 1000, 118.64, False),
    (118.64, 250, 5.56, False),
    (118.64, 250, 118.64, True),
    right="The smaller model gets more steps, and guidance halves them.",
    mistakes={
        "The ratio is upside down: the larger model gets fewer steps.": (
            lambda gmacs, steps, other, guided: np.floor(
                steps * other / gmacs / (2 if guided else 1)
            )
        ),
        "Guidance asks the network twice at every step: it leaves half of the steps.": (
            lambda gmacs, steps, other, guided: np.floor(steps * gmacs / other)
        ),
        "Guidance doubles the cost of a step, and so halves the steps; these are doubled.": (
            lambda gmacs, steps, other, guided: np.floor(
                steps * gmacs / other * (2 if guided else 1)
            )
        ),
        "These cost more than the budget: round down.": (
            lambda gmacs, steps, other, guided: np.ceil(
                steps * gmacs / other / (2 if guided else 1)
            )
        ),
        "A step is made or it is not: round down to a whole number.": (
            lambda gmacs, steps, other, guided: steps * gmacs / other / (2 if guided else 1)
        ),
    },
)
def check_steps(gmacs: float, steps: int, other: float, guided: bool) -> int:
    """The most sampling steps of another model that cost no more than these."""
    return int(steps * gmacs / other / (2 if guided else 1))
