"""Exercises of the chapter on latent space."""

from collections.abc import Callable

import numpy as np

from dit_lesson.exercises import exercise

random = np.random.default_rng(0)
MEAN, NOISE = random.normal(size=(2, 4, 3, 3)), random.normal(size=(2, 4, 3, 3))
LOGVAR = random.normal(-1, 0.5, size=(2, 4, 3, 3))
LATENTS = random.normal(size=(5, 4, 3, 3)) * np.array([1, 2, 3, 4])[:, None, None] + 1
IMAGE, CHANNEL = (1, 2, 3), (0, 2, 3)


@exercise(
    (MEAN, LOGVAR, NOISE),
    right="The noise has the encoder's deviation, around its mean.",
    mistakes={
        "That multiplies by the variance: the deviation is exp(logvar / 2).": (
            lambda mean, logvar, noise: mean + np.exp(logvar) * noise
        ),
        "The encoder gives the logarithm of the variance: take exp(logvar / 2) first.": (
            lambda mean, logvar, noise: mean + logvar * noise
        ),
        "The noise has deviation 1: multiply it by exp(logvar / 2).": (
            lambda mean, logvar, noise: mean + noise
        ),
        "The mean is missing.": lambda mean, logvar, noise: np.exp(logvar / 2) * noise,
        "That is the mean alone: the noise is missing.": lambda mean, logvar, noise: mean,
        "The logarithm is halved, not doubled: the deviation is exp(logvar / 2).": (
            lambda mean, logvar, noise: mean + np.exp(2 * logvar) * noise
        ),
        "The mean is scaled as well: multiply the noise alone.": (
            lambda mean, logvar, noise: (mean + noise) * np.exp(logvar / 2)
        ),
    },
)
def check_sample(mean: np.ndarray, logvar: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """A sample of the posterior in NumPy."""
    return mean + np.exp(logvar / 2) * noise


def _terms(mean: np.ndarray, logvar: np.ndarray) -> np.ndarray:
    return 0.5 * (mean**2 + np.exp(logvar) - 1 - logvar)


@exercise(
    (MEAN, LOGVAR),
    right="It is 0 exactly where mean and logvar are 0.",
    mistakes={
        "exp(logvar / 2) is the deviation: the sum wants the variance, exp(logvar).": (
            lambda m, v: 0.5 * (m**2 + np.exp(v / 2) - 1 - v).sum(axis=IMAGE)
        ),
        "The logarithm is subtracted: - logvar.": lambda m, v: (_terms(m, v) + v).sum(axis=IMAGE),
        "Nothing is summed: sum over axes 1, 2 and 3.": _terms,
        "The channels are not summed: sum over axes 1, 2 and 3.": (
            lambda m, v: _terms(m, v).sum(axis=(2, 3))
        ),
        "Axes of length 1 are left: leave out keepdims.": (
            lambda m, v: _terms(m, v).sum(axis=IMAGE, keepdims=True)
        ),
        "It is twice too large: the factor one half is missing.": (
            lambda m, v: 2 * _terms(m, v).sum(axis=IMAGE)
        ),
        "The sign is turned: a divergence is never negative.": (
            lambda m, v: -_terms(m, v).sum(axis=IMAGE)
        ),
        "That is the mean over the numbers of a latent: the divergence is their sum.": (
            lambda m, v: _terms(m, v).mean(axis=IMAGE)
        ),
        "All images are summed: each has a divergence of its own.": lambda m, v: _terms(m, v).sum(),
        "The 1 is missing: equal distributions must give 0.": (
            lambda m, v: (_terms(m, v) + 0.5).sum(axis=IMAGE)
        ),
        "logvar is already the logarithm: the variance is exp(logvar).": (
            lambda m, v: 0.5 * (m**2 + v**2 - 1 - np.log(v**2)).sum(axis=IMAGE)
        ),
    },
)
def check_kl(mean: np.ndarray, logvar: np.ndarray) -> np.ndarray:
    """The divergence of each image, shape (B,)."""
    return _terms(mean, logvar).sum(axis=IMAGE)


def _centred(z: np.ndarray, axes: int | tuple[int, ...] | None = CHANNEL) -> np.ndarray:
    return z - z.mean(axis=axes, keepdims=True)


def _over(axes: int | tuple[int, ...] | None, ddof: int = 0) -> Callable[[np.ndarray], np.ndarray]:
    """Standardised over these axes."""
    return lambda z: _centred(z, axes) / z.std(axis=axes, keepdims=True, ddof=ddof)


@exercise(
    (LATENTS,),
    right="Two numbers for each channel, over images and positions.",
    mistakes={
        "One mean and one deviation serve all channels: take them per channel.": _over(None),
        "Almost: it divides by n - 1, torch's default; here by n, NumPy's.": _over(CHANNEL, ddof=1),
        "Each image is standardised as a whole: take each channel, over all images.": _over(IMAGE),
        "The channels are averaged: average over images and positions, axes 0, 2 and 3.": _over(1),
        "That factor belongs to another autoencoder.": lambda z: 0.18215 * z,
        "One factor serves all channels: take one per channel.": lambda z: z / z.std(),
        "The deviation is 1, but the mean is still there.": (
            lambda z: z / z.std(axis=CHANNEL, keepdims=True)
        ),
        "The mean is 0, but nothing is divided yet.": _centred,
        "It divides by the variance: take its square root.": (
            lambda z: _centred(z) / z.var(axis=CHANNEL, keepdims=True)
        ),
        "It multiplies by the deviation: divide.": (
            lambda z: _centred(z) * z.std(axis=CHANNEL, keepdims=True)
        ),
        "Each image is standardised by itself: the numbers belong to the data set, or the "
        "decoder could not undo it.": _over((2, 3)),
        "Each position has numbers of its own: take them over images and positions.": _over(0),
    },
)
def check_standardise(latents: np.ndarray) -> np.ndarray:
    """Each channel of (B, C, h, w) to mean 0 and deviation 1."""
    return _over(CHANNEL)(latents)


@exercise(
    (96, 4, 3),
    (256, 8, 4),
    (512, 8, 2),
    right="Downsampling and patch size divide each side.",
    mistakes={
        "That is the number along one side: square it.": lambda s, f, p: s // f // p,
        "That counts positions of the latent: patches are still to be cut.": (
            lambda s, f, p: (s // f) ** 2
        ),
        "A patch takes p positions along both sides: square p, too.": (
            lambda s, f, p: (s // f) ** 2 // p
        ),
        "Channels make no tokens: a token holds all channels.": lambda s, f, p: (
            4 * (s // f // p) ** 2
        ),
        "A DiT has no CLS token.": lambda s, f, p: (s // f // p) ** 2 + 1,
        "That cuts patches of pixels: the autoencoder comes first.": lambda s, f, p: (s // p) ** 2,
        "Both sides shrink: the factors count twice.": lambda s, f, p: s**2 // (f * p),
        "Divide by the factors.": lambda s, f, p: s * f * p,
    },
)
def check_tokens(pixels: int, downsample: int, patch_size: int) -> int:
    """The number of tokens of a square picture."""
    return (pixels // downsample // patch_size) ** 2
