"""Exercises of the chapter on adaptive layer norm."""

from collections.abc import Callable

import numpy as np

from dit_lesson.exercises import Family, exercise
from dit_lesson.numpy_dit import layer_norm, linear, modulate, silu

random = np.random.default_rng(0)
TOKENS = random.normal(2.0, 3.0, size=(2, 5, 6))
TOKENS[0, 0] = 4.0  # a token without variance
CONDITION = random.normal(size=(2, 6))
WEIGHT, BIAS = random.normal(size=(12, 6)), random.normal(size=12)
IMAGES, CHUNKS = random.normal(size=(3, 3, 6)), random.normal(size=(2, 3, 6))
GAMMA, BETA = random.random((2, 6))
EPS = 1e-6


def _fit_affine(normalised: np.ndarray, result: np.ndarray) -> np.ndarray:
    """``gamma * normalised + beta`` with the numbers per feature that come nearest to result."""
    width = normalised.shape[-1]
    nearest = []
    for feature, target in zip(
        normalised.reshape(-1, width).T, result.reshape(-1, width).T, strict=True
    ):
        basis = np.stack([feature, np.ones_like(feature)], axis=1)
        nearest.append(basis @ np.linalg.lstsq(basis, target, rcond=None)[0])
    return np.stack(nearest, axis=1).reshape(result.shape)


def _mean(x: np.ndarray) -> np.ndarray:
    return x.mean(axis=-1, keepdims=True)


def _var(x: np.ndarray, ddof: int = 0) -> np.ndarray:
    return x.var(axis=-1, keepdims=True, ddof=ddof)


def _over(axis: int | None) -> Callable[[np.ndarray], np.ndarray]:
    """Normalised over another axis."""
    return lambda x: (
        (x - x.mean(axis=axis, keepdims=True)) / np.sqrt(x.var(axis=axis, keepdims=True) + EPS)
    )


@exercise(
    # a mistake in eps alone is seen where the variance is small: half of the tokens are faint
    (np.concatenate([TOKENS, 1e-3 * TOKENS]),),
    right="Every token has mean 0 and deviation 1, and a flat token becomes 0.",
    mistakes={
        "Only the mean is divided: put x - mean in parentheses before dividing.": (
            lambda x: x - _mean(x) / (_var(x) + EPS),
            lambda x: x - _mean(x) / np.sqrt(_var(x) + EPS),
        ),
        "It divides by the variance: take its square root.": (
            lambda x: (x - _mean(x)) / (_var(x) + EPS)
        ),
        "eps stands outside the square root: the definition adds it to the variance.": (
            lambda x: (x - _mean(x)) / (np.sqrt(_var(x)) + EPS)
        ),
        "The variance is divided by D - 1: layer norm takes the mean over all D features.": (
            lambda x: (x - _mean(x)) / np.sqrt(_var(x, ddof=1) + EPS)
        ),
        "eps is 1e-5, PyTorch's default: DiT uses 1e-6.": lambda x: layer_norm(x, 1e-5),
        "The mean is gone, but nothing is divided yet.": lambda x: x - _mean(x),
        "The spread is right, but the mean is still there.": lambda x: x / np.sqrt(_var(x) + EPS),
        "The wrong axis: each token is normalised over its own features, the last axis.": (
            _over(0),
            _over(1),
            _over(None),
        ),
        "It normalises, but a scale or shift per feature is still applied: leave both out.": Family(
            lambda x: layer_norm(x) * GAMMA + BETA,
            lambda result, x: _fit_affine(layer_norm(x), result),
        ),
    },
)
def check_layer_norm(x: np.ndarray) -> np.ndarray:
    """Layer norm over the last axis, in NumPy."""
    return layer_norm(x)


@exercise(
    # as many images as tokens: NumPy then accepts a missing token axis without a word
    (IMAGES, *CHUNKS),
    right="All tokens of an image share one map, and at shift = scale = 0 it changes nothing.",
    mistakes={
        "The 1 + is missing: at scale 0 your function would erase every token.": (
            lambda x, shift, scale: x * scale[:, None] + shift[:, None]
        ),
        "Shift and scale are swapped.": lambda x, shift, scale: modulate(x, scale, shift),
        "Token n got the shift or scale of image n: put in the token axis, [:, None, :].": (
            lambda x, shift, scale: x * (1 + scale) + shift,
            lambda x, shift, scale: x * (1 + scale[:, None]) + shift,
            lambda x, shift, scale: x * (1 + scale) + shift[:, None],
        ),
        "The shift is scaled as well: multiply first, then add the shift.": (
            lambda x, shift, scale: (x + shift[:, None]) * (1 + scale[:, None])
        ),
    },
)
def check_modulate(x: np.ndarray, shift: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """One affine map for all tokens of an image."""
    return modulate(x, shift, scale)


def _halves(
    c: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    before: Callable[[np.ndarray], np.ndarray] = silu,
) -> list[np.ndarray]:
    """Shift and scale, (B, D) each."""
    return np.split(linear(before(c), weight, bias), 2, axis=-1)


def _same(x: np.ndarray) -> np.ndarray:
    return x


@exercise(
    (TOKENS, CONDITION, WEIGHT, BIAS),
    right="Every image has its own shift and scale, and all its tokens share them.",
    mistakes={
        "The SiLU in front of the linear layer is missing.": (
            lambda x, *layer: modulate(layer_norm(x), *_halves(*layer, before=_same))
        ),
        "The SiLU stands after the linear layer: it belongs in front of it.": (
            lambda x, *layer: modulate(
                layer_norm(x), *(silu(half) for half in _halves(*layer, before=_same))
            )
        ),
        "The 1 + is missing: at scale 0 your function would erase every token.": (
            lambda x, *layer: modulate(layer_norm(x), _halves(*layer)[0], _halves(*layer)[1] - 1)
        ),
        "Shift and scale are swapped: the first half of the linear layer's output is shift.": (
            lambda x, *layer: modulate(layer_norm(x), *reversed(_halves(*layer)))
        ),
        "The bias of the linear layer is missing.": (
            lambda x, c, weight, bias: modulate(layer_norm(x), *_halves(c, weight, 0 * bias))
        ),
        "The tokens are modulated but not normalised.": (
            lambda x, *layer: modulate(x, *_halves(*layer))
        ),
        "The order is reversed: normalise first, then scale and shift.": (
            lambda x, *layer: layer_norm(modulate(x, *_halves(*layer)))
        ),
        "The norm has a scale or shift of its own: the condition alone sets them.": Family(
            lambda x, *layer: modulate(layer_norm(x) * GAMMA + BETA, *_halves(*layer)),
            lambda result, x, *layer: modulate(
                _fit_affine(
                    layer_norm(x),
                    (result - _halves(*layer)[0][:, None]) / (1 + _halves(*layer)[1][:, None]),
                ),
                *_halves(*layer),
            ),
        ),
    },
)
def check_adaptive_layer_norm(
    x: np.ndarray, c: np.ndarray, weight: np.ndarray, bias: np.ndarray
) -> np.ndarray:
    """Adaptive layer norm in NumPy, shift first."""
    return modulate(layer_norm(x), *_halves(c, weight, bias))
