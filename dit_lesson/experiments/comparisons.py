"""Comparisons that chapters print: what noise does to latents, pooling and positions."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from dit_lesson.autoencoder import Autoencoder
from dit_lesson.data import digits
from dit_lesson.experiments import Comparison, settings
from dit_lesson.experiments.recipes import (
    AUTOENCODER_RECIPE,
    VIT,
    VIT_RECIPE,
    Pool,
    Positions,
    train_autoencoder,
    train_vit,
)
from dit_lesson.experiments.shipped import vit_metrics
from dit_lesson.positions import sincos_2d
from dit_lesson.training import Recipe

NOISE_SIZES = (0.0, 0.1, 0.3, 0.5, 1.0)


# --- chapter 3: latents with noise and its price, and with neither ---------------------------


def autoencoder_run(recipe: Recipe, noise: bool, kl_weight: float, seed: int) -> dict[str, Any]:
    """The error when noise is added to the latents, and the deviation of their channels."""
    model = train_autoencoder(recipe, seed, 4, kl_weight, sigma=float(noise))
    images, _ = digits("test", 32)
    with torch.no_grad():
        deviation = model.encode(images)[0].std(dim=(0, 2, 3))
    return {
        "error_by_noise": error_by_noise(model, NOISE_SIZES),
        "deviation": [round(channel, 2) for channel in deviation.tolist()],
    }


@torch.no_grad()
def error_by_noise(model: Autoencoder, sizes: tuple[float, ...]) -> list[float]:
    """The error on test digits when noise of these sizes is added to the latents.

    A size is in units of the deviation that a channel has over the test digits.
    """
    images, _ = digits("test", 32)
    latent, _ = model.encode(images)
    deviation = latent.std(dim=(0, 2, 3), keepdim=True)
    generator = torch.Generator().manual_seed(0)
    errors = []
    for size in sizes:
        noise = size * deviation * torch.randn(latent.shape, generator=generator)
        errors.append(((model.decode(latent + noise) - images) ** 2).mean().item())
    return [round(error, 4) for error in errors]


# --- chapters 1 and 5: pooling and positions --------------------------------------------------


def vit_run(
    recipe: Recipe, pool: Pool, positions: Positions, sines: float | str | None, seed: int
) -> dict[str, Any]:
    """Accuracy of a ViT whose table starts, or stays, at a `position_table`."""
    table = None if sines is None else position_table(sines, seed)
    return vit_metrics(train_vit(recipe, seed, pool, positions, table))


def position_table(variant: float | str, seed: int) -> Tensor:
    """A table (16, D): a multiple of DiT's sines, or a variant of their size.

    "period 100" is their formula with another period; "centred" leaves out their mean over the
    places; "random" has normal numbers in their place.
    """
    side = 28 // VIT["patch_size"]
    sines, fast = (
        torch.from_numpy(sincos_2d(VIT["hidden_size"], side, side, period=period)).float()
        for period in (10_000, 100)
    )
    if not isinstance(variant, str):
        return variant * sines
    centred = sines - sines.mean(dim=0)
    random = torch.randn(sines.shape, generator=torch.Generator().manual_seed(seed))
    size = sines.square().mean().sqrt()
    return {
        "period 100": fast,
        "centred": size / centred.square().mean().sqrt() * centred,
        "random": size * random,
    }[variant]


COMPARISONS = {
    "autoencoder-comparison": Comparison(
        AUTOENCODER_RECIPE,
        settings("noise kl_weight", [(True, 1e-3), (False, 0.0)]),
        autoencoder_run,
        {"arguments": {"downsample": 4}, "noise_sizes": NOISE_SIZES},
    ),
    "vit-comparison": Comparison(
        replace(VIT_RECIPE, steps=800),
        settings(
            "pool positions sines",
            [
                ("cls", "sincos", None),
                ("mean", "sincos", None),
                ("cls", "learned", None),
                ("cls", "none", None),
                ("cls", "sincos", 0.1),
                ("cls", "learned", 1.0),
                ("cls", "sincos", "random"),
                ("cls", "sincos", "period 100"),
                ("cls", "sincos", "centred"),
                ("cls", "learned", "random"),
            ],
        ),
        vit_run,
        {"arguments": VIT},
    ),
}
