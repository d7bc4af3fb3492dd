"""What a DiT in the page learns from, its weights, and what makes latents visible: packed."""

from functools import cache

import numpy as np
import torch
from torch import nn

from dit_lesson.autoencoder import Autoencoder
from dit_lesson.checkpoints import load_weights, read_card
from dit_lesson.data import load_digits, scale_digits
from dit_lesson.evaluation import judge
from dit_lesson.experiments.judging import AUTOENCODER
from dit_lesson.figures.assets import packed, packed_weights, unpacked
from dit_lesson.models import DiT, DiTConfig

DIT = "digits-dit"
SIDE, SEEDS = 4, 8  # of a latent, in cells; noises to start from
PER_CLASS = 360  # all but those on which the book's settings are chosen


@cache
def packed_latents() -> bytes:
    """Standardised latents of training digits in 4 bits, with their labels.

    The first `PER_CLASS` digits of every class; `core/safetensors.mjs` reads ``latents``
    (10 * PER_CLASS, 8, 4, 4) and ``labels`` (10 * PER_CLASS,).
    """
    images, labels = load_digits("train")
    chosen = np.concatenate([np.flatnonzero(labels == digit)[:PER_CLASS] for digit in range(10)])
    autoencoder = Autoencoder(downsample=8)
    autoencoder.load_state_dict(load_weights(AUTOENCODER))
    latents = autoencoder.to_latents(torch.tensor(scale_digits(images[chosen], 32)))
    return packed({"latents": latents, "labels": torch.tensor(labels[chosen].astype(np.uint8))}, 4)


@cache
def packed_decoder() -> bytes:
    """The autoencoder's decoder in 8 bits, with the mean and the size of its latents."""
    return packed_weights(AUTOENCODER, lambda name: not name.startswith("encoder"), bits=8)


@cache
def decoder() -> Autoencoder:
    """An autoencoder whose decoder is that of the page, in double precision; the rest is not."""
    autoencoder = Autoencoder(downsample=8).double()
    autoencoder.load_state_dict(unpacked(packed_decoder()), strict=False)
    return autoencoder.requires_grad_(False)


@cache
def packed_judge() -> bytes:
    """The judge in 8 bits, as the six convolutions of `core/evaluation.mjs`.

    A frozen batch norm is a factor and a shift for each channel, so it goes into the convolution
    before it; a linear layer is a convolution with a kernel as large as the map that it reads.
    """
    state = judge().state_dict()
    tensors = {}
    for number, (convolution, norm) in enumerate([(0, 1), (3, 4), (6, 7), (9, 10)]):
        names = ("weight", "bias", "running_mean", "running_var")
        scale, shift, mean, variance = (state[f"body.{norm}.{name}"] for name in names)
        factor = scale / (variance + nn.BatchNorm2d(1).eps).sqrt()
        weight = state[f"body.{convolution}.weight"]
        tensors[f"{number}.weight"] = weight * factor[:, None, None, None]
        tensors[f"{number}.bias"] = shift - mean * factor
    for number, (name, side) in enumerate([("body.13", SIDE), ("head", 1)], start=4):
        weight = state[f"{name}.weight"]
        tensors[f"{number}.weight"] = weight.reshape(len(weight), -1, side, side)
        tensors[f"{number}.bias"] = state[f"{name}.bias"]
    return packed(tensors, bits=8)


@cache
def packed_dit(name: str) -> bytes:
    """The weights of a shipped DiT in 8 bits."""
    return packed_weights(name, bits=8)


@cache
def dit(name: str) -> DiT:
    """A shipped DiT as the page has it, in double precision."""
    model = DiT(DiTConfig(**read_card(name)["arguments"])).double().eval()
    model.load_state_dict(unpacked(packed_dit(name)))
    return model.requires_grad_(False)


@cache
def packed_noise() -> bytes:
    """A latent of noise for each seed, one a row."""
    generator = torch.Generator().manual_seed(0)
    return packed({"noise": torch.randn(SEEDS, 8 * SIDE * SIDE, generator=generator)})


def painting() -> dict[str, bytes]:
    """What paints on the page: the DiT and the decoder in 8 bits, and a noise for each seed."""
    return {"dit": packed_dit(DIT), "decoder": packed_decoder(), "noise": packed_noise()}


def noise(seed: int) -> torch.Tensor:
    """The latent of noise of a seed as the page has it, (1, 8, 4, 4)."""
    return unpacked(packed_noise())["noise"][seed].reshape(1, 8, SIDE, SIDE)
