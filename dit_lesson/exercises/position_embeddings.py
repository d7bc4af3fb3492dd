"""Exercises of the chapter on position embeddings."""

import numpy as np

from dit_lesson.exercises import exercise
from dit_lesson.positions import frequencies, sincos_1d, sincos_2d

POSITIONS = np.array([0.0, 1.0, 2.5, 40.0])


def _clocks(positions: np.ndarray, omega: np.ndarray) -> np.ndarray:
    angles = np.outer(positions, omega)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def _index(size: int) -> np.ndarray:
    return np.arange(size // 2)


@exercise(
    (POSITIONS, 8),
    right="Sines, then cosines, from the fastest clock to the slowest.",
    mistakes={
        "The cosines come first: positions have sines first.": (
            lambda n, size: np.roll(sincos_1d(n, size), size // 2, axis=1)
        ),
        "Sines and cosines alternate: DiT puts all sines first, then all cosines.": (
            lambda n, size: (
                sincos_1d(n, size).reshape(len(n), 2, -1).swapaxes(1, 2).reshape(len(n), -1)
            )
        ),
        "The exponent is divided by D/2 - 1: divide by D/2.": (
            lambda n, size: _clocks(n, 10_000.0 ** (-_index(size) / (size / 2 - 1)))
        ),
        "The exponent is i / D: it is i / (D/2), so that the clocks reach almost to 10,000.": (
            lambda n, size: _clocks(n, 10_000.0 ** (-_index(size) / size))
        ),
        "The frequencies rise: the exponent needs a minus.": (
            lambda n, size: _clocks(n, 10_000.0 ** (_index(size) / (size / 2)))
        ),
        "One token is one radian for the fastest clock: leave out the 2 pi.": (
            lambda n, size: _clocks(n, 2 * np.pi * frequencies(size // 2))
        ),
    },
)
def check_sincos_1d(positions: np.ndarray, hidden_size: int) -> np.ndarray:
    """The 1-D embedding: sines first, period 10,000."""
    return sincos_1d(positions, hidden_size)


@exercise(
    (8, 3, 5),
    right="The first half belongs to the column, the second to the row, and 3x5 is no trap.",
    mistakes={
        "The halves are swapped: w goes first, so the first half belongs to the column.": (
            lambda size, height, width: sincos_2d(size, height, width, first="row")
        ),
        "The tokens are counted down the columns: token n sits at row n // width, "
        "column n % width.": lambda size, height, width: (
            sincos_2d(size, height, width)
            .reshape(height, width, size)
            .swapaxes(0, 1)
            .reshape(-1, size)
        ),
        "Height and width are swapped: token n sits at row n // width, column n % width.": (
            lambda size, height, width: sincos_2d(size, width, height)
        ),
        "That is the 1-D embedding of the token's number.": (
            lambda size, height, width: sincos_1d(np.arange(height * width), size)
        ),
    },
)
def check_sincos_2d(hidden_size: int, height: int, width: int) -> np.ndarray:
    """The 2-D embedding: column first, row by row, not square."""
    return sincos_2d(hidden_size, height, width)


PLACE, OFFSET = 7, 3


def _one(position: float, size: int = 8) -> np.ndarray:
    return sincos_1d(np.array([position]), size)[0]


@exercise(
    (_one(PLACE), OFFSET),
    right="Every clock is turned by its own angle, wherever it stood.",
    mistakes={
        "It turns the clocks back: e(n - offset) came out; change the sign of the angle.": (
            lambda embedding, offset: _one(PLACE - offset)
        ),
        "Adding e(offset) makes a vector of another length: turn each pair instead.": (
            lambda embedding, offset: embedding + _one(offset)
        ),
        "Nothing moved.": lambda embedding, offset: embedding,
        "That is e(offset): start from the embedding that came in.": (
            lambda embedding, offset: _one(offset)
        ),
    },
)
def check_shift(embedding: np.ndarray, offset: float) -> np.ndarray:
    """From e(n) to e(n + offset), without knowing n."""
    sines, cosines = np.split(embedding, 2)
    angle = offset * frequencies(len(sines))
    return np.concatenate(
        [
            sines * np.cos(angle) + cosines * np.sin(angle),
            cosines * np.cos(angle) - sines * np.sin(angle),
        ]
    )


def _grid(hidden_size: int, size: int, step: float, start: float = 0.0) -> np.ndarray:
    axis = sincos_1d(start + np.arange(size) * step, hidden_size // 2)
    rows, columns = np.divmod(np.arange(size * size), size)
    return np.concatenate([axis[columns], axis[rows]], axis=1)


@exercise(
    (8, 4, 6),
    right="The finer grid covers the range that the coarse one did.",
    mistakes={
        "The positions are not scaled: the finer grid walks out of the range of training.": (
            lambda width, base, size: _grid(width, size, 1.0)
        ),
        "The factor is upside down: more tokens, smaller steps.": (
            lambda width, base, size: _grid(width, size, size / base)
        ),
        "The last tokens are aligned: a token is base / size of an old one, whatever the end.": (
            lambda width, base, size: _grid(width, size, (base - 1) / (size - 1))
        ),
        "The halves are swapped: the first half belongs to the column.": (
            lambda width, base, size: np.roll(_grid(width, size, base / size), width // 2, axis=1)
        ),
        "The middles of the tokens are aligned, as some code bases do: here the first token "
        "keeps position 0.": lambda width, base, size: _grid(
            width, size, base / size, 0.5 * (base / size - 1)
        ),
    },
)
def check_resized(hidden_size: int, base: int, size: int) -> np.ndarray:
    """A finer grid over the same picture."""
    return _grid(hidden_size, size, base / size)
