"""Checkers for the exercises of the chapter on latent space."""

from collections.abc import Callable
from typing import Any

import numpy as np

from dit_lesson.checks import compare

random = np.random.default_rng(0)
MEAN, NOISE = random.normal(size=(2, 4, 3, 3)), random.normal(size=(2, 4, 3, 3))
LOGVAR = random.normal(-1, 0.5, size=(2, 4, 3, 3))
LATENTS = random.normal(size=(5, 4, 3, 3)) * np.array([1, 2, 3, 4])[:, None, None] + 1


def check_sample(function: Callable[..., Any]) -> None:
    """Check ``function(mean, logvar, noise)``, a sample of the posterior in NumPy."""
    mistakes = [
        (
            MEAN + np.exp(LOGVAR) * NOISE,
            "That multiplies by the variance: the deviation is exp(logvar / 2).",
        ),
        (
            MEAN + LOGVAR * NOISE,
            "The encoder gives the logarithm of the variance: take exp(logvar / 2) first.",
        ),
        (MEAN + NOISE, "The noise has deviation 1: multiply it by exp(logvar / 2)."),
        (np.exp(LOGVAR / 2) * NOISE, "The mean is missing."),
        (MEAN, "That is the mean alone: the noise is missing."),
        (
            MEAN + np.exp(2 * LOGVAR) * NOISE,
            "The logarithm is halved, not doubled: the deviation is exp(logvar / 2).",
        ),
        (
            (MEAN + NOISE) * np.exp(LOGVAR / 2),
            "The mean is scaled as well: multiply the noise alone.",
        ),
    ]
    compare(
        "check_sample",
        function,
        [MEAN, LOGVAR, NOISE],
        MEAN + np.exp(LOGVAR / 2) * NOISE,
        mistakes,
        "The noise has the encoder's deviation, around its mean.",
    )


def check_kl(function: Callable[..., Any]) -> None:
    """Check ``function(mean, logvar)``, the divergence of each image, shape (B,)."""
    terms = 0.5 * (MEAN**2 + np.exp(LOGVAR) - 1 - LOGVAR)
    axes = (1, 2, 3)
    mistakes = [
        (
            0.5 * (MEAN**2 + np.exp(LOGVAR / 2) - 1 - LOGVAR).sum(axis=axes),
            "exp(logvar / 2) is the deviation: the sum wants the variance, exp(logvar).",
        ),
        (
            0.5 * (MEAN**2 + np.exp(LOGVAR) - 1 + LOGVAR).sum(axis=axes),
            "The logarithm is subtracted: - logvar.",
        ),
        (terms, "Nothing is summed: sum over axes 1, 2 and 3."),
        (terms.sum(axis=(2, 3)), "The channels are not summed: sum over axes 1, 2 and 3."),
        (terms.sum(axis=axes, keepdims=True), "Axes of length 1 are left: leave out keepdims."),
        (2 * terms.sum(axis=axes), "It is twice too large: the factor one half is missing."),
        (-terms.sum(axis=axes), "The sign is turned: a divergence is never negative."),
        (
            terms.mean(axis=axes),
            "That is the mean over the numbers of a latent: the divergence is their sum.",
        ),
        (terms.sum(), "All images are summed: each has a divergence of its own."),
        (
            (terms + 0.5).sum(axis=axes),
            "The 1 is missing: equal distributions must give 0.",
        ),
        (
            0.5 * (MEAN**2 + LOGVAR**2 - 1 - 2 * np.log(np.abs(LOGVAR))).sum(axis=axes),
            "logvar is already the logarithm: the variance is exp(logvar).",
        ),
    ]
    compare(
        "check_kl",
        function,
        [MEAN, LOGVAR],
        terms.sum(axis=axes),
        mistakes,
        "It is 0 exactly where mean and logvar are 0.",
    )


def check_standardise(function: Callable[..., Any]) -> None:
    """Check ``function(latents)``: each channel of (B, C, h, w) to mean 0 and deviation 1."""
    axes = (0, 2, 3)
    centred = LATENTS - LATENTS.mean(axis=axes, keepdims=True)
    std = LATENTS.std(axis=axes, keepdims=True)
    each = (2, 3)
    mistakes = [
        (
            (LATENTS - LATENTS.mean()) / LATENTS.std(),
            "One mean and one deviation serve all channels: take them per channel.",
        ),
        (
            centred / LATENTS.std(axis=axes, keepdims=True, ddof=1),
            "Almost: it divides by n - 1, torch's default; here by n, NumPy's.",
        ),
        (
            (LATENTS - LATENTS.mean(axis=(1, 2, 3), keepdims=True))
            / LATENTS.std(axis=(1, 2, 3), keepdims=True),
            "Each image is standardised as a whole: take each channel, over all images.",
        ),
        (
            (LATENTS - LATENTS.mean(axis=1, keepdims=True)) / LATENTS.std(axis=1, keepdims=True),
            "The channels are averaged: average over images and positions, axes 0, 2 and 3.",
        ),
        (0.18215 * LATENTS, "That factor belongs to another autoencoder."),
        (LATENTS / LATENTS.std(), "One factor serves all channels: take one per channel."),
        (LATENTS / std, "The deviation is 1, but the mean is still there."),
        (centred, "The mean is 0, but nothing is divided yet."),
        (centred / std**2, "It divides by the variance: take its square root."),
        (centred * std, "It multiplies by the deviation: divide."),
        (
            (LATENTS - LATENTS.mean(axis=each, keepdims=True))
            / LATENTS.std(axis=each, keepdims=True),
            "Each image is standardised by itself: the numbers belong to the data set, or the "
            "decoder could not undo it.",
        ),
        (
            (LATENTS - LATENTS.mean(axis=0)) / LATENTS.std(axis=0),
            "Each position has numbers of its own: take them over images and positions.",
        ),
    ]
    compare(
        "check_standardise",
        function,
        [LATENTS],
        centred / std,
        mistakes,
        "Two numbers for each channel, over images and positions.",
    )


def check_tokens(function: Callable[..., Any]) -> None:
    """Check ``function(pixels, downsample, patch_size)``, the number of tokens of a square."""
    sizes = [(96, 4, 3), (256, 8, 4), (512, 8, 2)]
    for number, (pixels, downsample, p) in enumerate(sizes, start=1):
        positions = pixels // downsample
        mistakes = [
            (positions // p, "That is the number along one side: square it."),
            (positions**2, "That counts positions of the latent: patches are still to be cut."),
            (positions**2 // p, "A patch takes p positions along both sides: square p, too."),
            (4 * (positions // p) ** 2, "Channels make no tokens: a token holds all channels."),
            ((positions // p) ** 2 + 1, "A DiT has no CLS token."),
            ((pixels // p) ** 2, "That cuts patches of pixels: the autoencoder comes first."),
            (pixels**2 // (downsample * p), "Both sides shrink: the factors count twice."),
            (pixels * downsample * p, "Divide by the factors."),
        ]
        right = compare(
            "check_tokens",
            function,
            [pixels, downsample, p],
            (positions // p) ** 2,
            mistakes,
            "Downsampling and patch size divide each side." if number == len(sizes) else "",
        )
        if not right:
            return
