"""The one shelf for what figures show: digits, their latents, a noise, the shipped autoencoder."""

import base64
from functools import cache

import numpy as np
import torch

from dit_lesson.autoencoder import Autoencoder
from dit_lesson.checkpoints import load_model
from dit_lesson.data import load_digits, scale_digits
from dit_lesson.figures.assets import packed

LATENT_SIDE, LATENT_CHANNELS = 8, 4


@cache
def first_of_each_class(split: str) -> np.ndarray:
    """The first digit of each class, (10, 28, 28), 0 to 255."""
    images, labels = load_digits(split)
    return images[[int(np.flatnonzero(labels == digit)[0]) for digit in range(10)]]


@cache
def small_digits() -> np.ndarray:
    """One training digit of each class, padded to 32x32 and averaged to 16x16, 0 to 255."""
    padded = np.pad(first_of_each_class("train"), ((0, 0), (2, 2), (2, 2))).astype(np.float64)
    return np.rint(padded.reshape(10, 16, 2, 16, 2).mean(axis=(2, 4))).astype(np.uint8)


def as_texts(images: np.ndarray) -> list[str]:
    """Pictures (n, ...) of bytes, each as base64: `pictureOf` reads them on the page."""
    return [base64.b64encode(image.tobytes()).decode() for image in images]


def as_numbers(images: np.ndarray) -> np.ndarray:
    """Bytes as a model sees them: 0 (paper) to 255 (ink) become -1 to 1."""
    return images / 127.5 - 1


@cache
def autoencoder(name: str = "autoencoder-8x8x4") -> Autoencoder:
    """A shipped autoencoder as pages have it: weights of 16 bits, computed in 64."""
    return load_model(name).half().double()


@cache
def latents(split: str, name: str = "autoencoder-8x8x4") -> np.ndarray:
    """The latents of the first digits, such as (10, 4, 8, 8), rounded for the page."""
    pictures = torch.tensor(scale_digits(first_of_each_class(split), 32)).double()
    return autoencoder(name).to_latents(pictures).numpy().round(2)


@cache
def noise(*shape: int) -> np.ndarray:
    """One sample of standard normal noise, rounded for the page."""
    return np.random.default_rng(0).normal(size=shape).round(2)


@cache
def decoder() -> bytes:
    """The part of the autoencoder that makes pictures of latents, packed."""
    tensors = autoencoder().state_dict().items()
    return packed({name: value for name, value in tensors if not name.startswith("encoder")})
