"""Exercises of the chapter on training."""

import numpy as np

from dit_lesson.exercises import exercise

random = np.random.default_rng(0)
X0, NOISE = random.normal(size=(2, 3, 4))
TIMES = np.array([0.2, 0.5, 0.9])
AVERAGE, WEIGHTS = random.normal(size=(2, 5))
KNOWN = random.normal(size=(6, 4))
NOISY = 0.5 * KNOWN[:3] + 0.5 * NOISE


def _mix(x0: np.ndarray, noise: np.ndarray, t: np.ndarray) -> np.ndarray:
    return (1 - t[:, None]) * x0 + t[:, None] * noise


@exercise(
    (X0, NOISE, TIMES),
    right="The input depends on t, the velocity does not.",
    mistakes={
        "The sign: the velocity points from the data to the noise.": (
            lambda x0, noise, t: np.stack([_mix(x0, noise, t), x0 - noise])
        ),
        "The target is the noise: a model of the velocity also has to take off the data.": (
            lambda x0, noise, t: np.stack([_mix(x0, noise, t), noise])
        ),
        "Data and noise have each other's shares: here t = 1 is pure noise.": (
            lambda x0, noise, t: np.stack([_mix(noise, x0, t), noise - x0])
        ),
        "The target is the noise minus the input: it is the noise minus the clean data.": (
            lambda x0, noise, t: np.stack([_mix(x0, noise, t), noise - _mix(x0, noise, t)])
        ),
        "All samples share the first t: each has its own.": (
            lambda x0, noise, t: np.stack([_mix(x0, noise, 0 * t + t[0]), noise - x0])
        ),
    },
)
def check_pair(x0: np.ndarray, noise: np.ndarray, t: np.ndarray) -> np.ndarray:
    """What the network is given and what it should answer, (2, B, D)."""
    return np.stack([_mix(x0, noise, t), noise - x0])


def _ema(average: np.ndarray, weights: np.ndarray, decay: float) -> np.ndarray:
    return decay * average + (1 - decay) * weights


@exercise(
    (AVERAGE, WEIGHTS, 0.995, 3),
    (AVERAGE, WEIGHTS, 0.995, 10_000),
    right="It forgets the random start within some steps, and averages over 200 at the end.",
    mistakes={
        "The decay does not rise: after 3 steps the average is still the random start.": (
            lambda average, weights, decay, n: _ema(average, weights, decay)
        ),
        "Average and weights have each other's shares: the decay is what the average keeps.": (
            lambda average, weights, decay, n: _ema(
                average, weights, 1 - min(decay, (1 + n) / (10 + n))
            )
        ),
        "The decay rises on and on: it stops at the given one.": (
            lambda average, weights, decay, n: _ema(average, weights, (1 + n) / (10 + n))
        ),
        "These are the weights without their past: the average keeps a share of itself.": (
            lambda average, weights, decay, n: weights
        ),
    },
)
def check_ema(average: np.ndarray, weights: np.ndarray, decay: float, n: int) -> np.ndarray:
    """The average after step n."""
    return _ema(average, weights, min(decay, (1 + n) / (10 + n)))


def _shares(
    x: np.ndarray, t: np.ndarray, known: np.ndarray, variance: np.ndarray, axis: int = 1
) -> np.ndarray:
    centres = (1 - t)[:, None, None] * known
    logits = -((x[:, None] - centres) ** 2).sum(axis=-1) / variance[:, None]
    shares = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return shares / shares.sum(axis=axis, keepdims=True)


@exercise(
    (NOISY, TIMES, KNOWN),
    right="With little noise one picture gets everything, with much noise all get nearly the same.",
    mistakes={
        "The pictures are not shrunk: at time t their centres are (1 - t) times the data.": (
            lambda x, t, known: _shares(x, 0 * t, known, 2 * t**2)
        ),
        "The variance of the noise is t squared, not t.": (
            lambda x, t, known: _shares(x, t, known, 2 * t)
        ),
        "The 2 of the Gaussian is missing: divide by 2 t squared.": (
            lambda x, t, known: _shares(x, t, known, t**2)
        ),
        "The noise is left out: the distances must be compared with its variance.": (
            lambda x, t, known: _shares(x, t, known, 0 * t + 1)
        ),
        "The sign: the nearest picture should get the most.": (
            lambda x, t, known: _shares(x, t, known, -2 * t**2)
        ),
        "The shares of a picture over the batch add up to 1: normalise over the pictures.": (
            lambda x, t, known: _shares(x, t, known, 2 * t**2, axis=0)
        ),
        "Only the nearest picture counts: all get a share, by their distance.": (
            lambda x, t, known: _shares(x, t, known, 1e-9 * t)
        ),
    },
)
def check_shares(x: np.ndarray, t: np.ndarray, known: np.ndarray) -> np.ndarray:
    """How the perfect denoiser shares its answer among the known pictures, (B, n)."""
    return _shares(x, t, known, 2 * t**2)
