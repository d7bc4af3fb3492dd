"""Exercises of the chapter on diffusion."""

from collections.abc import Callable

import numpy as np

from dit_lesson.exercises import exercise

random = np.random.default_rng(0)
X, NOISE = random.normal(size=(2, 3, 4))
BETAS = np.linspace(0.05, 0.4, 6)


def _data(x: np.ndarray, epsilon: np.ndarray, alpha_bar: float, root: float = 0.5) -> np.ndarray:
    return (x - np.sqrt(1 - alpha_bar) * epsilon) / alpha_bar**root


@exercise(
    (X, NOISE, 0.3),
    right="The velocity is the noise minus the data that the noise implies.",
    mistakes={
        "The sign: the velocity points from the data to the noise.": (
            lambda x, epsilon, bar: _data(x, epsilon, bar) - epsilon
        ),
        "This is the data: the velocity is the noise minus the data.": _data,
        "It subtracts the mixture: solve it for the data first.": lambda x, epsilon, bar: (
            epsilon - x
        ),
        "The data is still shrunk: divide by the root of alpha bar.": (
            lambda x, epsilon, bar: epsilon - _data(x, epsilon, bar, root=0)
        ),
        "It divides by alpha bar: the data's factor is the root of it.": (
            lambda x, epsilon, bar: epsilon - _data(x, epsilon, bar, root=1)
        ),
    },
)
def check_velocity(x: np.ndarray, epsilon: np.ndarray, alpha_bar: float) -> np.ndarray:
    """The velocity from a guess of the noise."""
    return epsilon - _data(x, epsilon, alpha_bar)


def _bar(betas: np.ndarray, t: int) -> float:
    return np.cumprod(1 - betas)[t]


def _less(x: np.ndarray, epsilon: np.ndarray, t: int, betas: np.ndarray) -> np.ndarray:
    """The mixture less what step t added, still shrunk."""
    return x - betas[t] / np.sqrt(1 - _bar(betas, t)) * epsilon


@exercise(
    (X, NOISE, 4, BETAS),
    right="It takes back what one step did, and no more.",
    mistakes={
        "It removes all the noise at once: that is the guess of the data, not one step.": (
            lambda x, epsilon, t, betas: _data(x, epsilon, _bar(betas, t))
        ),
        "The shrinking of the step is not undone: divide by the root of 1 - beta.": _less,
        "It undoes all steps: divide by the root of 1 - beta alone.": (
            lambda x, epsilon, t, betas: _less(x, epsilon, t, betas) / _bar(betas, t) ** 0.5
        ),
        "It divides by 1 - beta: take the root.": (
            lambda x, epsilon, t, betas: _less(x, epsilon, t, betas) / (1 - betas[t])
        ),
        "The part of the noise is beta divided by the root of 1 - alpha bar.": (
            lambda x, epsilon, t, betas: (x - betas[t] * epsilon) / (1 - betas[t]) ** 0.5
        ),
        "beta is divided by 1 - alpha bar: take the root.": (
            lambda x, epsilon, t, betas: (
                (x - betas[t] / (1 - _bar(betas, t)) * epsilon) / (1 - betas[t]) ** 0.5
            )
        ),
    },
)
def check_reverse_mean(x: np.ndarray, epsilon: np.ndarray, t: int, betas: np.ndarray) -> np.ndarray:
    """A DDPM step without its fresh noise."""
    return _less(x, epsilon, t, betas) / (1 - betas[t]) ** 0.5


def _model(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    return x * t[:, None] + 1 + t[:, None] ** 2


@exercise(
    (_model, X, np.array([0.1, 0.4, 0.9])),
    right="The time is mirrored and the velocity reversed.",
    mistakes={
        "Nothing is turned: mirror the time and change the sign.": lambda model, x, t: model(x, t),
        "The time is mirrored, but the velocity keeps its sign.": (
            lambda model, x, t: model(x, 1 - t)
        ),
        "The sign is right, but the model is asked about the time t, not 1 - t.": (
            lambda model, x, t: -model(x, t)
        ),
        "The mirror of t is 1 - t, not -t.": lambda model, x, t: -model(x, -t),
    },
)
def check_turned(
    model: Callable[[np.ndarray, np.ndarray], np.ndarray], x: np.ndarray, t: np.ndarray
) -> np.ndarray:
    """A velocity model used with time turned around."""
    return -model(x, 1 - t)
