"""Three widths by three patch sizes at equal training compute: small and long, large and short."""

from dataclasses import asdict, replace
from functools import cache
from itertools import product
from typing import Any

import torch
from torch import Tensor

from dit_lesson.autoencoder import Autoencoder
from dit_lesson.checkpoints import load_model
from dit_lesson.counting import dit_ledger, total
from dit_lesson.data import digits
from dit_lesson.diffusion import denoising_loss
from dit_lesson.experiments import SEEDS, Comparison, settings
from dit_lesson.experiments.judging import judged_images
from dit_lesson.experiments.recipes import (
    DIGITS_DIT,
    FLOW,
    judge_split,
    train_dit,
    velocity_loss,
)
from dit_lesson.models import DiT, DiTConfig
from dit_lesson.sampling import guided, sample
from dit_lesson.training import Recipe

WIDTHS = (48, 64, 96)
PATCH_SIZES = (1, 2, 4)  # of latents of 8x8 places: 64, 16 and 4 tokens
RATES = (4e-3, 1e-2)
SAMPLES = 1000
SCALING_DIT = replace(DIGITS_DIT, input_size=8, in_channels=4, depth=2)
#: The steps are those of the largest model; the others take as many as cost the same.
SCALING_RECIPE = Recipe(64, batch_size=32, learning_rate=1e-2, ema_decay=0.995)


def scaling_config(width: int, patch_size: int) -> DiTConfig:
    """The model of one cell of the grid."""
    return replace(SCALING_DIT, hidden_size=width, patch_size=patch_size)


def macs(width: int, patch_size: int) -> int:
    """The multiply-accumulates of one forward pass for one sample."""
    return total(dit_ledger(scaling_config(width, patch_size)).values()).macs


def equal_compute(recipe: Recipe, width: int, patch_size: int) -> Recipe:
    """The recipe with as many steps as cost what ``recipe.steps`` of the largest model do."""
    largest = macs(max(WIDTHS), min(PATCH_SIZES))
    return replace(recipe, steps=round(recipe.steps * largest / macs(width, patch_size)))


@cache
def _autoencoder() -> Autoencoder:
    return load_model("autoencoder-8x8x4")


def rate_run(recipe: Recipe, width: int, patch_size: int, rate: float, seed: int) -> dict[str, Any]:
    """The loss of a model on the 400 validation digits; it learns from the other 3,600."""
    (images, y), (held_out, labels) = judge_split()
    recipe = replace(equal_compute(recipe, width, patch_size), learning_rate=rate)
    x = _autoencoder().to_latents(images)
    model = train_dit(recipe, seed, scaling_config(width, patch_size), x, y, velocity_loss)
    return {"validation_loss": mean_loss(model, _autoencoder().to_latents(held_out), labels)}


def grid_run(recipe: Recipe, width: int, patch_size: int, seed: int) -> dict[str, Any]:
    """Loss on training and test digits, accuracy and distance of 1,000 samples, no guidance."""
    recipe = equal_compute(recipe, width, patch_size)
    autoencoder = _autoencoder()
    (images, y), (test_images, test_y) = digits("train", 32), digits("test", 32)
    x = autoencoder.to_latents(images)
    model = train_dit(recipe, seed, scaling_config(width, patch_size), x, y, velocity_loss)

    asked = torch.arange(SAMPLES) % SCALING_DIT.num_classes
    noise = torch.randn(SAMPLES, *x.shape[1:], generator=torch.Generator().manual_seed(0))
    plain = guided(model, asked, SCALING_DIT.num_classes, scale=1.0)
    painted = autoencoder.from_latents(sample(plain, noise, FLOW, 10, predicts="velocity"))
    every_fourth = slice(None, None, 4)
    return {
        "steps": recipe.steps,
        "train_loss": mean_loss(model, x[every_fourth], y[every_fourth]),
        "test_loss": mean_loss(model, autoencoder.to_latents(test_images), test_y),
        **judged_images(painted, asked, places=2),
    }


@torch.no_grad()
def mean_loss(model: DiT, x: Tensor, y: Tensor) -> float:
    """The error of the velocity, each digit at two times of its own, the same for every model."""
    generator = torch.Generator().manual_seed(0)

    def answer(x: Tensor, t: Tensor) -> Tensor:
        return model(x, t, y)

    losses = [
        denoising_loss(
            answer,
            x,
            torch.rand(len(x), generator=generator),
            torch.randn(x.shape, generator=generator),
            FLOW,
            predicts="velocity",
        )
        for _ in range(2)
    ]
    return round(torch.stack(losses).mean().item(), 4)


# where the steps are fewest, between, and most
_diagonal = [(96, 1), (64, 2), (48, 4)]

SCALING_COMPARISONS = {
    "scaling-rates": Comparison(
        SCALING_RECIPE,
        settings(
            "width patch_size rate", [(*cell, rate) for cell in _diagonal for rate in RATES], (0,)
        ),
        rate_run,
        {"arguments": asdict(SCALING_DIT)},
    ),
    "scaling-grid": Comparison(
        SCALING_RECIPE,
        settings("width patch_size", list(product(WIDTHS, PATCH_SIZES)), SEEDS),
        grid_run,
        {"arguments": asdict(SCALING_DIT), "samples": SAMPLES},
    ),
}
