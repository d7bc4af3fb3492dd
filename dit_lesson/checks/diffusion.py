"""Checkers for the exercises of the chapter on diffusion."""

from collections.abc import Callable
from typing import Any

import numpy as np

from dit_lesson.checks import compare

random = np.random.default_rng(0)
X, NOISE = random.normal(size=(2, 3, 4))
BETAS = np.linspace(0.05, 0.4, 6)
ALPHA_BARS = np.cumprod(1 - BETAS)
STEPS = np.array([0, 2, 5])


def check_add_noise(function: Callable[..., Any]) -> None:
    """Check ``function(x0, t, noise, alpha_bars)``, the forward process of a batch."""
    kept = ALPHA_BARS[STEPS][:, None]
    signal, rest = np.sqrt(kept), np.sqrt(1 - kept)
    mistakes = [
        (kept * X + (1 - kept) * NOISE, "The shares are variances: take the root of both factors."),
        (signal * X + (1 - kept) * NOISE, "The noise's factor lacks its square root."),
        (kept * X + rest * NOISE, "The data's factor lacks its square root."),
        (
            signal * X + (1 - signal) * NOISE,
            "The factors add up to 1, but their squares should: take the root of 1 - alpha bar.",
        ),
        (rest * X + signal * NOISE, "Data and noise have each other's factors."),
    ]
    compare(
        "check_add_noise",
        function,
        [X, STEPS, NOISE, ALPHA_BARS],
        signal * X + rest * NOISE,
        mistakes,
        "Every row has its own noise level, and the squares of the factors add up to 1.",
    )


def check_velocity(function: Callable[..., Any]) -> None:
    """Check ``function(x, epsilon, alpha_bar)``, the velocity from a guess of the noise."""
    kept = 0.3
    data = (X - np.sqrt(1 - kept) * NOISE) / np.sqrt(kept)
    mistakes = [
        (data - NOISE, "The sign: the velocity points from the data to the noise."),
        (data, "This is the data: the velocity is the noise minus the data."),
        (NOISE - X, "It subtracts the mixture: solve it for the data first."),
        (
            NOISE - (X - np.sqrt(1 - kept) * NOISE),
            "The data is still shrunk: divide by the root of alpha bar.",
        ),
        (
            NOISE - (X - np.sqrt(1 - kept) * NOISE) / kept,
            "It divides by alpha bar: the data's factor is the root of it.",
        ),
    ]
    compare(
        "check_velocity",
        function,
        [X, NOISE, kept],
        NOISE - data,
        mistakes,
        "The velocity is the noise minus the data that the noise implies.",
    )


def check_reverse_mean(function: Callable[..., Any]) -> None:
    """Check ``function(x, epsilon, t, betas)``, a DDPM step without its fresh noise."""
    t = 4
    beta, kept = BETAS[t], ALPHA_BARS[t]
    part = beta / np.sqrt(1 - kept) * NOISE
    mistakes = [
        (
            (X - np.sqrt(1 - kept) * NOISE) / np.sqrt(kept),
            "It removes all the noise at once: that is the guess of the data, not one step.",
        ),
        (X - part, "The shrinking of the step is not undone: divide by the root of 1 - beta."),
        ((X - part) / np.sqrt(kept), "It undoes all steps: divide by the root of 1 - beta alone."),
        ((X - part) / (1 - beta), "It divides by 1 - beta: take the root."),
        (
            (X - beta * NOISE) / np.sqrt(1 - beta),
            "The part of the noise is beta divided by the root of 1 - alpha bar.",
        ),
        (
            (X - beta / (1 - kept) * NOISE) / np.sqrt(1 - beta),
            "beta is divided by 1 - alpha bar: take the root.",
        ),
    ]
    compare(
        "check_reverse_mean",
        function,
        [X, NOISE, t, BETAS],
        (X - part) / np.sqrt(1 - beta),
        mistakes,
        "It takes back what one step did, and no more.",
    )


def check_turned(function: Callable[..., Any]) -> None:
    """Check ``function(model, x, t)``, a velocity model used with time turned around."""

    def model(x: np.ndarray, t: np.ndarray) -> np.ndarray:
        return x * t[:, None] + 1 + t[:, None] ** 2

    t = np.array([0.1, 0.4, 0.9])
    mistakes = [
        (model(X, t), "Nothing is turned: mirror the time and change the sign."),
        (model(X, 1 - t), "The time is mirrored, but the velocity keeps its sign."),
        (-model(X, t), "The sign is right, but the model is asked about the time t, not 1 - t."),
        (-model(X, -t), "The mirror of t is 1 - t, not -t."),
    ]
    compare(
        "check_turned",
        function,
        [model, X, t],
        -model(X, 1 - t),
        mistakes,
        "The time is mirrored and the velocity reversed.",
    )
