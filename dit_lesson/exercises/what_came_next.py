"""Exercises of the chapter on what came next."""

import numpy as np

from dit_lesson.exercises import exercise

random = np.random.default_rng(0)
BATCH, WIDTH = 2, 3
SHARED = random.normal(size=(BATCH, 6 * WIDTH))
TABLE = random.normal(size=(6, WIDTH))
X, V = random.normal(size=(2, 3, 4))
TIMES = np.array([0.2, 0.5, 0.9])
QUERIES, KEYS = random.normal(size=(2, 5, 4))


def _vectors(shared: np.ndarray, table: np.ndarray) -> np.ndarray:
    return shared.reshape(len(shared), 6, -1) + table


@exercise(
    (SHARED, TABLE),
    right="All blocks hear the same vectors, and each adds six rows of its own.",
    mistakes={
        "The block's own table is missing: without it all blocks are modulated alike.": (
            lambda shared, table: _vectors(shared, 0 * table)
        ),
        "The table multiplies: it is added.": (
            lambda shared, table: _vectors(shared, 0 * table) * table
        ),
        "These are the table's rows alone: what all blocks share is missing.": (
            lambda shared, table: _vectors(0 * shared, table)
        ),
        "The six vectors are mixed up: each is D neighbouring numbers of the long vector.": (
            lambda shared, table: shared.reshape(len(shared), -1, 6).transpose(0, 2, 1) + table
        ),
    },
)
def check_shared(shared: np.ndarray, table: np.ndarray) -> np.ndarray:
    """The six vectors of one block, (B, 6, D)."""
    return _vectors(shared, table)


def _data(x: np.ndarray, v: np.ndarray, t: np.ndarray) -> np.ndarray:
    return x - t[:, None] * v


@exercise(
    (X, V, TIMES),
    right="From either follows the other, and on this way only the division by t can hurt.",
    mistakes={
        "The sign: the velocity points away from the data, so walk against it.": (
            lambda x, v, t: np.stack([x + t[:, None] * v, v])
        ),
        "You walk for 1 - t, which ends at the noise: the data is t away.": (
            lambda x, v, t: np.stack([x - (1 - t)[:, None] * v, v])
        ),
        "All samples share the first t: each has its own.": (
            lambda x, v, t: np.stack([_data(x, v, 0 * t + t[0]), v])
        ),
        "The way back has no division: (x - x0) is t times the velocity.": (
            lambda x, v, t: np.stack([_data(x, v, t), x - _data(x, v, t)])
        ),
    },
)
def check_data_and_back(x: np.ndarray, v: np.ndarray, t: np.ndarray) -> np.ndarray:
    """The data that follows from the velocity, and the velocity that follows from it."""
    x0 = _data(x, v, t)
    return np.stack([x0, (x - x0) / t[:, None]])


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True))


@exercise(
    (QUERIES, KEYS),
    (100 * QUERIES, KEYS),
    right="The logits stay between -sqrt(d) and sqrt(d), whatever the weights become.",
    mistakes={
        "The products are normalised: normalise queries and keys before they meet.": (
            lambda q, k: _unit(q @ k.T / np.sqrt(q.shape[1]))
        ),
        "Only the queries are normalised: large keys still make large logits.": (
            lambda q, k: _unit(q) @ k.T / np.sqrt(q.shape[1])
        ),
        "Only the keys are normalised: large queries still make large logits.": (
            lambda q, k: q @ _unit(k).T / np.sqrt(q.shape[1])
        ),
        "Nothing is normalised: these are the plain logits.": (
            lambda q, k: q @ k.T / np.sqrt(q.shape[1])
        ),
        "The root of d is missing.": lambda q, k: _unit(q) @ _unit(k).T,
        "You divide by the length: RMSNorm divides by the root of the mean square.": (
            lambda q, k: _unit(q) @ _unit(k).T / np.sqrt(q.shape[1]) / q.shape[1]
        ),
    },
)
def check_qk_norm(queries: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Logits of normalised queries and keys of one head, (N, M)."""
    return _unit(queries) @ _unit(keys).T / np.sqrt(queries.shape[1])


@exercise(
    (1152, 28),
    (3072, 60),
    right="The share is 6 / 18 for every width and depth: only another way to make the vectors "
    "changes it.",
    mistakes={
        "You divide by what is left: the share is of all parameters, modulation included.": (
            lambda width, depth: 6 / 12
        ),
        "Four vectors are those of adaLN: adaLN-Zero has six.": lambda width, depth: 4 / 16,
        "The attention has four matrices, queries, keys, values and the output.": (
            lambda width, depth: 6 / 17,
            lambda width, depth: 6 / 15,
        ),
        "The MLP has two matrices of 4 D^2 each.": lambda width, depth: 6 / 14,
        "One shared layer: here every block has its own.": (
            lambda width, depth: 6 / (6 + 12 * depth)
        ),
    },
)
def check_share(width: int, depth: int) -> float:
    """The share of modulation in the matrices of adaLN-Zero's blocks, biases left out."""
    modulation, rest = depth * 6 * width**2, depth * (4 + 8) * width**2
    return modulation / (modulation + rest)
