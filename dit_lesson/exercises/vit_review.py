"""Exercises of the ViT review."""

import numpy as np

from dit_lesson.exercises import exercise
from dit_lesson.numpy_dit import attention, softmax

random = np.random.default_rng(0)
QUERIES, KEYS, VALUES = (random.normal(size=shape) for shape in ((4, 9), (5, 9), (5, 3)))
TOKENS = random.normal(size=(2, 5, 3))


def _attend(q: np.ndarray, k: np.ndarray, v: np.ndarray, divisor: float) -> np.ndarray:
    return softmax(q @ k.T / divisor) @ v


def _plain(scores: np.ndarray) -> np.ndarray:
    """The exponentials as they are, which overflow."""
    return np.exp(scores)


@exercise(
    (QUERIES, KEYS, VALUES),
    (1000 * QUERIES, KEYS, VALUES),
    right="Every row of shares adds up to 1, for large scores, too.",
    mistakes={
        "The scores are not divided by the root of the width.": lambda q, k, v: _attend(q, k, v, 1),
        "The root is of the number of tokens: it is of the width of a query.": (
            lambda q, k, v: _attend(q, k, v, len(k) ** 0.5)
        ),
        "Divide by the root of the width, not by the width.": (
            lambda q, k, v: _attend(q, k, v, q.shape[1])
        ),
        "The softmax runs over the queries: each query's shares over the keys add up to 1.": (
            lambda q, k, v: softmax((q @ k.T / q.shape[1] ** 0.5).T).T @ v
        ),
        "The root multiplies: divide by it.": lambda q, k, v: _attend(q, k, v, q.shape[1] ** -0.5),
        "The root is of the width of a value: it is of the width of a query.": (
            lambda q, k, v: _attend(q, k, v, v.shape[1] ** 0.5)
        ),
        "The root is of the number of queries: it is of the width of a query.": (
            lambda q, k, v: _attend(q, k, v, len(q) ** 0.5)
        ),
        "The softmax runs over the whole matrix: each query's shares add up to 1.": (
            lambda q, k, v: softmax((q @ k.T / 3).ravel()).reshape(len(q), -1) @ v
        ),
        "The exponentials are not divided by their sum, query by query.": (
            lambda q, k, v: _plain(q @ k.T / 3) @ v
        ),
        "The softmax is missing.": lambda q, k, v: q @ k.T / 3 @ v,
        "Those are the shares: multiply them with the values.": (
            lambda q, k, v: softmax(q @ k.T / 3)
        ),
    },
)
def check_attention(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Attention of one head in NumPy."""
    return attention(q, k, v)


@exercise(
    (28, 7, 3),
    right="Halving the patch size makes four times as many patches; CLS stays one.",
    mistakes={
        "CLS is missing in the length, and the channels in the patch.": (
            lambda i, p, c: ((i // p) ** 2, p * p)
        ),
        "The image is cut along both sides: (image_size // patch_size) ** 2.": (
            lambda i, p, c: (i * i // p + 1, p * p * c)
        ),
        "CLS joins the sequence once, not each row of patches.": (
            lambda i, p, c: ((i // p + 1) ** 2, p * p * c)
        ),
        "CLS is a token too: the sequence is one longer than the number of patches.": (
            lambda i, p, c: ((i // p) ** 2, p * p * c)
        ),
        "A patch holds all channels of its pixels.": lambda i, p, c: ((i // p) ** 2 + 1, p * p),
        "The image is cut along both sides: square the number of patches a side.": (
            lambda i, p, c: (i // p + 1, p * p * c)
        ),
        "A patch has patch_size rows and columns of pixels.": (
            lambda i, p, c: ((i // p) ** 2 + 1, p * c)
        ),
        "The order is: length of the sequence, numbers in a patch.": (
            lambda i, p, c: (p * p * c, (i // p) ** 2 + 1)
        ),
    },
)
def check_sequence(image_size: int, patch_size: int, channels: int) -> tuple[int, int]:
    """The tokens with CLS, and the numbers of a patch."""
    return (image_size // patch_size) ** 2 + 1, patch_size**2 * channels


def _cls(x: np.ndarray) -> np.ndarray:
    return x[:, 0]


def _mean(x: np.ndarray) -> np.ndarray:
    return x[:, 1:].mean(axis=1)


@exercise(
    (TOKENS, "cls"),
    (TOKENS, "mean"),
    right="Both give one vector for each image.",
    mistakes={
        "That is the first image: CLS is the first token of every image.": lambda x, pool: x[0],
        "CLS is the first token, not the last.": (
            lambda x, pool: x[:, -1] if pool == "cls" else _mean(x)
        ),
        "With pool 'cls' it returns the mean of the patches.": lambda x, pool: _mean(x),
        "With pool 'cls' it returns a mean: read the first token.": lambda x, pool: (
            x.mean(axis=1) if pool == "cls" else _mean(x)
        ),
        "CLS does not belong to the mean of the patches.": (
            lambda x, pool: _cls(x) if pool == "cls" else x.mean(axis=1)
        ),
        "CLS is the first token: it is the last that is left out.": (
            lambda x, pool: _cls(x) if pool == "cls" else x[:, :-1].mean(axis=1)
        ),
        "The pool is ignored: with pool 'mean' the patch tokens are averaged.": (
            lambda x, pool: _cls(x)
        ),
        "The mean runs over the features: average over the tokens.": (
            lambda x, pool: _cls(x) if pool == "cls" else x[:, 1:].mean(axis=2)
        ),
        "The mean runs over the images: average over the tokens.": (
            lambda x, pool: _cls(x) if pool == "cls" else x[:, 1:].mean(axis=0)
        ),
        "An axis of length 1 is left: leave out keepdims.": (
            lambda x, pool: _cls(x) if pool == "cls" else x[:, 1:].mean(axis=1, keepdims=True)
        ),
        "The mean runs over everything: average over the tokens, axis 1.": (
            lambda x, pool: _cls(x) if pool == "cls" else x[:, 1:].mean()
        ),
    },
)
def check_read(tokens: np.ndarray, pool: str) -> np.ndarray:
    """One vector for each image: the CLS token, or the mean of the patches."""
    return _cls(tokens) if pool == "cls" else _mean(tokens)
