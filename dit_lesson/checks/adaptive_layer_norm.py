"""Checkers for the exercises of the chapter on adaptive layer norm."""

from collections.abc import Callable
from typing import Any

import numpy as np

from dit_lesson.checks import compare
from dit_lesson.numpy_dit import layer_norm, linear, modulate, silu

random = np.random.default_rng(0)
TOKENS = random.normal(2.0, 3.0, size=(2, 5, 6))
TOKENS[0, 0] = 4.0  # a token without variance
CONDITION = random.normal(size=(2, 6))
WEIGHT, BIAS = random.normal(size=(12, 6)), random.normal(size=12)
IMAGES, CHUNKS = random.normal(size=(3, 3, 6)), random.normal(size=(2, 3, 6))


def fit_affine(normalised: np.ndarray, result: np.ndarray) -> np.ndarray:
    """``gamma * normalised + beta`` with the numbers per feature that come nearest to result."""
    width = normalised.shape[-1]
    nearest = []
    for feature, target in zip(
        normalised.reshape(-1, width).T, result.reshape(-1, width).T, strict=True
    ):
        basis = np.stack([feature, np.ones_like(feature)], axis=1)
        nearest.append(basis @ np.linalg.lstsq(basis, target, rcond=None)[0])
    return np.stack(nearest, axis=1).reshape(result.shape)


def check_layer_norm(function: Callable[..., Any]) -> None:
    """Check ``function(x)``, layer norm over the last axis in NumPy."""
    # a mistake in eps alone is seen where the variance is small: half of the tokens are faint
    x, eps = np.concatenate([TOKENS, 1e-3 * TOKENS]), 1e-6
    mean, variance = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    centred = x - mean
    parentheses = "Only the mean is divided: put x - mean in parentheses before dividing."
    mistakes = [
        (x - mean / (variance + eps), parentheses),
        (x - mean / np.sqrt(variance + eps), parentheses),
        (centred / (variance + eps), "It divides by the variance: take its square root."),
        (
            centred / (np.sqrt(variance) + eps),
            "eps stands outside the square root: the definition adds it to the variance.",
        ),
        (
            centred / np.sqrt(variance * 6 / 5 + eps),
            "The variance is divided by D - 1: layer norm takes the mean over all D features.",
        ),
        (
            centred / np.sqrt(variance + 1e-5),
            "eps is 1e-5, PyTorch's default: DiT uses 1e-6.",
        ),
        (centred, "The mean is gone, but nothing is divided yet."),
        (x / np.sqrt(variance + eps), "The spread is right, but the mean is still there."),
    ]
    for axis in (0, 1, None):
        moved = x - x.mean(axis=axis, keepdims=True)
        mistakes.append(
            (
                moved / np.sqrt(x.var(axis=axis, keepdims=True) + eps),
                "The wrong axis: each token is normalised over its own features, the last axis.",
            )
        )
    mistakes.append(
        (
            lambda result: fit_affine(layer_norm(x), result),
            "It normalises, but a scale or shift per feature is still applied: leave both out.",
        )
    )
    compare(
        "check_layer_norm",
        function,
        [x],
        layer_norm(x),
        mistakes,
        "Every token has mean 0 and deviation 1, and a flat token becomes 0.",
    )


def check_modulate(function: Callable[..., Any]) -> None:
    """Check ``function(x, shift, scale)``, one affine map for all tokens of an image."""
    # as many images as tokens: NumPy then accepts a missing token axis without a word
    x, (shift, scale) = IMAGES, CHUNKS
    per_token = "Token n got the shift or scale of image n: put in the token axis, [:, None, :]."
    mistakes = [
        (
            x * scale[:, None] + shift[:, None],
            "The 1 + is missing: at scale 0 your function would erase every token.",
        ),
        (modulate(x, scale, shift), "Shift and scale are swapped."),
        (x * (1 + scale) + shift, per_token),
        (x * (1 + scale[:, None]) + shift, per_token),
        (x * (1 + scale) + shift[:, None], per_token),
        (
            (x + shift[:, None]) * (1 + scale[:, None]),
            "The shift is scaled as well: multiply first, then add the shift.",
        ),
    ]
    compare(
        "check_modulate",
        function,
        [x, shift, scale],
        modulate(x, shift, scale),
        mistakes,
        "All tokens of an image share one map, and at shift = scale = 0 it changes nothing.",
    )


def check_adaptive_layer_norm(function: Callable[..., Any]) -> None:
    """Check ``function(x, c, weight, bias)``, adaptive layer norm in NumPy, shift first."""
    normalised, activated = layer_norm(TOKENS), silu(CONDITION)
    shift, scale = np.split(linear(activated, WEIGHT, BIAS), 2, axis=-1)

    def modulated(both: np.ndarray) -> np.ndarray:
        return modulate(normalised, *np.split(both, 2, axis=-1))

    mistakes = [
        (
            modulated(linear(CONDITION, WEIGHT, BIAS)),
            "The SiLU in front of the linear layer is missing.",
        ),
        (
            modulated(silu(linear(CONDITION, WEIGHT, BIAS))),
            "The SiLU stands after the linear layer: it belongs in front of it.",
        ),
        (
            modulate(normalised, shift, scale - 1),
            "The 1 + is missing: at scale 0 your function would erase every token.",
        ),
        (
            modulate(normalised, scale, shift),
            "Shift and scale are swapped: the first half of the linear layer's output is shift.",
        ),
        (modulated(activated @ WEIGHT.T), "The bias of the linear layer is missing."),
        (modulate(TOKENS, shift, scale), "The tokens are modulated but not normalised."),
        (
            layer_norm(modulate(TOKENS, shift, scale)),
            "The order is reversed: normalise first, then scale and shift.",
        ),
        (
            lambda result: modulate(
                fit_affine(normalised, (result - shift[:, None]) / (1 + scale[:, None])),
                shift,
                scale,
            ),
            "The norm has a scale or shift of its own: the condition alone sets them.",
        ),
    ]
    compare(
        "check_adaptive_layer_norm",
        function,
        [TOKENS, CONDITION, WEIGHT, BIAS],
        modulate(normalised, shift, scale),
        mistakes,
        "Every image has its own shift and scale, and all its tokens share them.",
    )


def check_modulation_cost(function: Callable[..., Any]) -> None:
    """Check ``function(hidden_size, chunks, depth)``, the parameters of all modulation layers."""
    d, chunks, depth = 384, 6, 12
    mistakes = [
        (depth * chunks * d * d, "The biases are missing: one for each output."),
        (chunks * d * d + chunks * d, "That is one block: every block has a modulation layer."),
        (depth * (chunks * d * d + d), "There is one bias for each of the chunks * D outputs."),
        (depth * (d * d + d), "The layer has chunks * D outputs, not D."),
        (depth * chunks * (d * d + d) * 2, "Twice too many: the chunks already cover both norms."),
    ]
    compare(
        "check_modulation_cost",
        function,
        [d, chunks, depth],
        depth * chunks * d * (d + 1),
        mistakes,
        "The number grows with the square of the width, like everything else in the block.",
        tolerance=1e-12,
    )
