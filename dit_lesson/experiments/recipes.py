"""How the models of the book are trained: configurations, recipes, and one function a kind."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from dit_lesson.autoencoder import Autoencoder, autoencoder_loss
from dit_lesson.checkpoints import load_model
from dit_lesson.data import CAPTION_WORDS, digits, shift_images
from dit_lesson.diffusion import Straight, VariancePreserving, denoising_loss, linear_betas
from dit_lesson.models import DiT, DiTConfig, ViT
from dit_lesson.training import Loss, Recipe, Run

MAX_SHIFT = 2  # pixels, of digits in training

Pool = Literal["cls", "mean"]
Positions = Literal["sincos", "learned", "none"]

VIT: dict[str, Any] = {"patch_size": 7, "hidden_size": 48, "depth": 4, "num_heads": 4}
VIT_RECIPE = Recipe(2500, batch_size=32, learning_rate=3e-3, weight_decay=0.05, fused=False)

AUTOENCODER_RECIPE = Recipe(1500, batch_size=64, learning_rate=4e-3, fused=False)

IN_CONTEXT_DIT = DiTConfig(
    input_size=8,
    patch_size=2,
    hidden_size=40,
    depth=3,
    num_heads=4,
    num_classes=10,
    learn_sigma=False,
    embedding_init="unit",
    conditioning="in-context",
)
CAPTION_DIT = replace(
    IN_CONTEXT_DIT, conditioning="cross-attention", vocabulary=CAPTION_WORDS, max_words=4
)
SMALL_DIT_RECIPE = Recipe(2200, 64, learning_rate=4e-3, ema_decay=0.998, fused=False)

DIGITS_DIT = DiTConfig(
    input_size=4,
    patch_size=1,
    in_channels=8,
    hidden_size=64,
    depth=3,
    num_heads=4,
    num_classes=10,
    learn_sigma=False,
    embedding_init="unit",
)
FLOW = Straight(spread=1.0)
DIGITS_DIT_RECIPE = Recipe(1400, 32, learning_rate=1e-2, ema_decay=0.995)

RACE_DIT = DiTConfig(
    input_size=4,
    patch_size=1,
    in_channels=8,
    hidden_size=64,
    depth=4,
    num_heads=4,
    num_classes=10,
    learn_sigma=False,
)
DDPM = VariancePreserving(linear_betas(1000))
RACE_RECIPE = Recipe(500, 32, learning_rate=3e-3, ema_decay=0.99, fused=False)


def train_autoencoder(
    recipe: Recipe, seed: int, downsample: int, kl_weight: float, sigma: float = 1
) -> Autoencoder:
    """An autoencoder of the training digits. At sigma = 0 its latents get no noise."""
    torch.manual_seed(seed)
    model = Autoencoder(downsample)
    channels, side = model.latent_channels, 32 // downsample

    def loss(model: Autoencoder, images: Tensor, generator: torch.Generator) -> Tensor:
        images = shift_images(images, MAX_SHIFT, generator)
        noise = torch.randn(len(images), channels, side, side, generator=generator)
        return autoencoder_loss(model, images, sigma * noise, kl_weight)

    Run(model, loss, digits("train", 32)[:1], recipe, seed).complete()
    return model


def train_vit(
    recipe: Recipe,
    seed: int,
    pool: Pool = "cls",
    positions: Positions = "sincos",
    table: Tensor | None = None,
) -> ViT:
    """A ViT that names the training digits.

    A given table of positions (1, 16, D) is where it starts, or, if it is fixed, stays.
    """

    def loss(model: ViT, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        return cross_entropy(model(shift_images(images, MAX_SHIFT, generator)), labels)

    torch.manual_seed(seed)
    model = ViT(**VIT, pool=pool, positions=positions)
    if table is not None:
        model.state_dict()["pos_embed"].copy_(table)
    Run(model, loss, digits("train", 28), recipe, seed).complete()
    return model


def train_dit(
    recipe: Recipe, seed: int, config: DiTConfig, x: Tensor, y: Tensor, loss: Loss | None = None
) -> DiT:
    """A DiT that learns latents x (n, C, I, I), told y (n, ...), by `noise_loss` or another."""
    torch.manual_seed(seed)
    model = DiT(config)
    Run(model, loss or noise_loss, (x, y), recipe, seed).complete()
    return model


def noise_loss(model: Callable, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
    """The error of the predicted noise on DDPM's path; times and noise from the generator."""
    t = DDPM.draw(len(x), generator)
    noise = torch.randn(x.shape, generator=generator)
    return denoising_loss(lambda x, t: model(x, t, y, generator), x, t, noise, DDPM)


def velocity_loss(model: Callable, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
    """The error of the predicted velocity on the straight path; times in the middle are likely."""
    t = FLOW.draw(len(x), generator)
    noise = torch.randn(x.shape, generator=generator)
    return denoising_loss(
        lambda x, t: model(x, t, y, generator), x, t, noise, FLOW, predicts="velocity"
    )


def latents(autoencoder: str) -> dict[str, tuple[Tensor, Tensor]]:
    """The digits of both splits as latents (n, C, I, I) of a shipped autoencoder, with labels."""
    model = load_model(autoencoder)
    data = {split: digits(split, 32) for split in ("train", "test")}
    return {split: (model.to_latents(images), labels) for split, (images, labels) in data.items()}
