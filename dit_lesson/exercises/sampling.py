"""Exercises of the chapter on sampling and guidance."""

from collections.abc import Callable

import numpy as np

from dit_lesson.exercises import exercise

random = np.random.default_rng(0)
TOLD, UNTOLD, X = random.normal(size=(3, 2, 4))
BETAS = np.linspace(1e-4, 2e-2, 20)
KEPT = np.array([0, 6, 13, 19])
GUESS = np.array([-0.9, -0.2, 0.6, 1.0])
Velocity = Callable[[np.ndarray, float], np.ndarray]


def _velocity(x: np.ndarray, t: float) -> np.ndarray:
    return t * x + np.sin(3 * t)


@exercise(
    (TOLD, UNTOLD, 1.5),
    (TOLD, UNTOLD, 0.0),
    right="At s = 1 it is the answer with the class, at s = 0 the one without.",
    mistakes={
        "The difference starts at the answer with the class: then s = 0 means no guidance.": (
            lambda told, untold, scale: told + scale * (told - untold)
        ),
        "The sign: the difference points from the answer without the class to the one with it.": (
            lambda told, untold, scale: untold + scale * (untold - told)
        ),
        "The two answers are exchanged: s = 1 should be the answer with the class.": (
            lambda told, untold, scale: told + scale * (untold - told)
        ),
        "The answer without the class is missing: the difference has to be added to it.": (
            lambda told, untold, scale: scale * (told - untold)
        ),
        "This makes the answer with the class larger and does not use the other one.": (
            lambda told, untold, scale: scale * told
        ),
    },
)
def check_guided(told: np.ndarray, untold: np.ndarray, scale: float) -> np.ndarray:
    """The guided prediction."""
    return untold + scale * (told - untold)


@exercise(
    (BETAS, KEPT),
    right="All shares of data stay as they were, and every kept step takes off what it stands for.",
    mistakes={
        "These are the old betas: each step now stands for several.": (
            lambda betas, kept: betas[kept]
        ),
        "This is a rescaled schedule: the model never saw its shares of data.": (
            lambda betas, kept: np.linspace(betas[0], betas[-1], len(kept)) * len(betas) / len(kept)
        ),
        "The ratio is upside down: a share is divided by the one before, which is larger.": (
            lambda betas, kept: (
                np.concatenate([[1.0], np.cumprod(1 - betas)[kept][:-1]])
                / np.cumprod(1 - betas)[kept]
                - 1
            )
        ),
        "These are the shares themselves: a beta is what one step loses of the one before.": (
            lambda betas, kept: 1 - np.cumprod(1 - betas)[kept]
        ),
    },
)
def check_respaced(betas: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """The betas of the kept steps."""
    share = np.cumprod(1 - betas)[kept]
    return 1 - share / np.concatenate([[1.0], share[:-1]])


@exercise(
    (_velocity, X, 0.8, 0.6),
    right="Two calls: at the start, and at where the first answer leads.",
    mistakes={
        "This is Euler's step: the velocity at its end does not count.": (
            lambda v, x, t, s: x + (s - t) * v(x, t)
        ),
        "The second answer is asked for where the step began: move x first.": (
            lambda v, x, t, s: x + (s - t) * (v(x, t) + v(x, s)) / 2
        ),
        "The second answer is asked for at the old time: x has moved, and so has t.": (
            lambda v, x, t, s: x + (s - t) * (v(x, t) + v(x + (s - t) * v(x, t), t)) / 2
        ),
        "The answers are added: their mean leads to the end of one step.": (
            lambda v, x, t, s: x + (s - t) * (v(x, t) + v(x + (s - t) * v(x, t), s))
        ),
        "Only the last answer counts: take the mean of both.": (
            lambda v, x, t, s: x + (s - t) * v(x + (s - t) * v(x, t), s)
        ),
        "The step goes the wrong way: s - t is negative on the way to the data.": (
            lambda v, x, t, s: x - (s - t) * (v(x, t) + v(x - (s - t) * v(x, t), s)) / 2
        ),
    },
)
def check_heun(velocity: Velocity, x: np.ndarray, t: float, s: float) -> np.ndarray:
    """One step from time t to time s with two calls of velocity(x, t)."""
    first = velocity(x, t)
    return x + (s - t) * (first + velocity(x + (s - t) * first, s)) / 2


@exercise(
    (GUESS, 0.1, 0.4),
    right="Where the guess is sure, beta-tilde is left; in the middle the doubt is added to it.",
    mistakes={
        "This is beta-tilde: it holds for a pixel that is known.": (
            lambda guess, beta_tilde, reach: beta_tilde + 0 * guess
        ),
        "The doubt enters the step through its reach: a variance is multiplied by the square.": (
            lambda guess, beta_tilde, reach: beta_tilde + reach * (1 - guess**2)
        ),
        "The doubt enters the step through its reach, which is missing.": (
            lambda guess, beta_tilde, reach: beta_tilde + (1 - guess**2)
        ),
        "The fresh noise of a known pixel is missing: beta-tilde has to be added.": (
            lambda guess, beta_tilde, reach: reach**2 * (1 - guess**2)
        ),
        "This is the square of the mean: the variance of -1 and 1 is 1 minus it.": (
            lambda guess, beta_tilde, reach: beta_tilde + reach**2 * guess**2
        ),
        "The mean of x0 squared is 1; subtract the square of the guess, not its size.": (
            lambda guess, beta_tilde, reach: beta_tilde + reach**2 * (1 - np.abs(guess))
        ),
    },
)
def check_best_variance(guess: np.ndarray, beta_tilde: float, reach: float) -> np.ndarray:
    """The variance of a step for a pixel of -1 or 1, whose mean given x_t is the guess."""
    return beta_tilde + reach**2 * (1 - guess**2)
