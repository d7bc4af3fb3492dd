"""Checkers for the exercises of the chapter on position embeddings."""

from collections.abc import Callable
from typing import Any

import numpy as np

from dit_lesson.checks import compare
from dit_lesson.positions import frequencies, sincos_1d, sincos_2d

POSITIONS = np.array([0.0, 1.0, 2.5, 40.0])


def check_sincos_1d(function: Callable[..., Any]) -> None:
    """Check ``function(positions, hidden_size)``, sines first, period 10,000."""
    half = 4
    i = np.arange(half)

    def clocks(omega: np.ndarray) -> np.ndarray:
        angles = np.outer(POSITIONS, omega)
        return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)

    right = clocks(frequencies(half))
    mistakes = [
        (np.roll(right, half, axis=1), "The cosines come first: positions have sines first."),
        (
            right.reshape(-1, 2, half).swapaxes(1, 2).reshape(right.shape),
            "Sines and cosines alternate: DiT puts all sines first, then all cosines.",
        ),
        (
            clocks(10_000.0 ** (-i / (half - 1))),
            "The exponent is divided by D/2 - 1: divide by D/2.",
        ),
        (
            clocks(10_000.0 ** (-i / (2 * half))),
            "The exponent is i / D: it is i / (D/2), so that the clocks reach almost to 10,000.",
        ),
        (clocks(10_000.0 ** (i / half)), "The frequencies rise: the exponent needs a minus."),
        (
            clocks(2 * np.pi * frequencies(half)),
            "One token is one radian for the fastest clock: leave out the 2 pi.",
        ),
    ]
    compare(
        "check_sincos_1d",
        function,
        [POSITIONS, 2 * half],
        right,
        mistakes,
        "Sines, then cosines, from the fastest clock to the slowest.",
    )


def check_sincos_2d(function: Callable[..., Any]) -> None:
    """Check ``function(hidden_size, height, width)``, column first, row by row, not square."""
    hidden_size, height, width = 8, 3, 5
    right = sincos_2d(hidden_size, height, width)
    mistakes = [
        (
            sincos_2d(hidden_size, height, width, first="row"),
            "The halves are swapped: w goes first, so the first half belongs to the column.",
        ),
        (
            right.reshape(height, width, -1).swapaxes(0, 1).reshape(right.shape),
            "The tokens are counted down the columns: token n sits at row n // width, "
            "column n % width.",
        ),
        (
            sincos_2d(hidden_size, width, height),
            "Height and width are swapped: token n sits at row n // width, column n % width.",
        ),
        (
            sincos_1d(np.arange(height * width), hidden_size),
            "That is the 1-D embedding of the token's number.",
        ),
    ]
    compare(
        "check_sincos_2d",
        function,
        [hidden_size, height, width],
        right,
        mistakes,
        "The first half belongs to the column, the second to the row, and 3x5 is no trap.",
    )


def check_shift(function: Callable[..., Any]) -> None:
    """Check ``function(embedding, offset)``: e(n) becomes e(n + offset), without knowing n."""
    position, offset, hidden_size = 7, 3, 8
    here = sincos_1d([position], hidden_size)[0]
    mistakes = [
        (
            sincos_1d([position - offset], hidden_size)[0],
            "It turns the clocks back: e(n - offset) came out; change the sign of the angle.",
        ),
        (
            here + sincos_1d([offset], hidden_size)[0],
            "Adding e(offset) makes a vector of another length: turn each pair instead.",
        ),
        (here, "Nothing moved."),
        (
            sincos_1d([offset], hidden_size)[0],
            "That is e(offset): start from the embedding that came in.",
        ),
    ]
    compare(
        "check_shift",
        function,
        [here, offset],
        sincos_1d([position + offset], hidden_size)[0],
        mistakes,
        "Every clock is turned by its own angle, wherever it stood.",
    )


def check_resized(function: Callable[..., Any]) -> None:
    """Check ``function(hidden_size, base, size)``: a finer grid over the same picture."""
    hidden_size, base, size = 8, 4, 6

    def grid(step: float, start: float = 0.0) -> np.ndarray:
        axis = sincos_1d(start + np.arange(size) * step, hidden_size // 2)
        rows, columns = np.divmod(np.arange(size * size), size)
        return np.concatenate([axis[columns], axis[rows]], axis=1)

    half = hidden_size // 2
    mistakes = [
        (
            grid(1.0),
            "The positions are not scaled: the finer grid walks out of the range of training.",
        ),
        (grid(size / base), "The factor is upside down: more tokens, smaller steps."),
        (
            grid((base - 1) / (size - 1)),
            "The last tokens are aligned: a token is base / size of an old one, whatever the end.",
        ),
        (
            np.roll(grid(base / size), half, axis=1),
            "The halves are swapped: the first half belongs to the column.",
        ),
        (
            grid(base / size, 0.5 * (base / size - 1)),
            "The middles of the tokens are aligned, as some code bases do: here the first token "
            "keeps position 0.",
        ),
    ]
    compare(
        "check_resized",
        function,
        [hidden_size, base, size],
        grid(base / size),
        mistakes,
        "The finer grid covers the range that the coarse one did.",
    )
