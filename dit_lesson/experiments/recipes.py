"""How the models of the book are trained: configurations, recipes, and one function a kind."""

from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import (
    affine_grid,
    avg_pool2d,
    cross_entropy,
    grid_sample,
    interpolate,
    layer_norm,
)

from dit_lesson.autoencoder import Autoencoder, autoencoder_loss
from dit_lesson.checkpoints import load_model
from dit_lesson.data import CAPTION_WORDS, TRAIN_PER_CLASS, digits, shift_images
from dit_lesson.diffusion import Straight, VariancePreserving, conditional_loss, linear_betas
from dit_lesson.evaluation import Judge
from dit_lesson.models import DiT, DiTConfig, ViT
from dit_lesson.training import Loss, Recipe, Run

MAX_SHIFT = 2  # pixels, of digits in training

Pool = Literal["cls", "mean"]
Positions = Literal["sincos", "learned", "none"]

VIT: dict[str, Any] = {"patch_size": 7, "hidden_size": 48, "depth": 4, "num_heads": 4}
VIT_RECIPE = Recipe(2500, batch_size=32, learning_rate=3e-3, weight_decay=0.05, fused=False)

JUDGE_RECIPE = Recipe(1200, batch_size=64, learning_rate=4e-3, weight_decay=0.05, fused=False)
MAX_DEGREES = 10  # by which digits are turned for the judge

AUTOENCODER_RECIPE = Recipe(1500, batch_size=64, learning_rate=4e-3, fused=False)

# the decoder of autoencoder-4x4x8, trained on for Part III
DECODER_RECIPE = Recipe(1000, 64, learning_rate=3e-3, ema_decay=0.99, fused=False)
LATENT_NOISE = 0.1  # in deviations of a latent's channel
FEATURE_WEIGHT = 0.1

# of the latents of autoencoder-4x4x8: 16 tokens of 8 numbers
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
IN_CONTEXT_DIT = replace(DIGITS_DIT, hidden_size=48, conditioning="in-context")
CAPTION_DIT = replace(
    IN_CONTEXT_DIT, conditioning="cross-attention", vocabulary=CAPTION_WORDS, max_words=4
)
FLOW = Straight(spread=1.0)
SMALL_DIT_RECIPE = Recipe(1200, 32, learning_rate=1e-2, ema_decay=0.995, fused=False)

NOISE_DIT = replace(IN_CONTEXT_DIT, input_size=8, patch_size=2, in_channels=4, hidden_size=40)
NOISE_DIT_RECIPE = Recipe(2200, 64, learning_rate=4e-3, ema_decay=0.998, fused=False)

DIGITS_DIT_RECIPE = Recipe(1400, 32, learning_rate=1e-2, ema_decay=0.995)

DDPM = VariancePreserving(linear_betas(1000))

noise_loss = conditional_loss(DDPM, "noise")
velocity_loss = conditional_loss(FLOW, "velocity")  # times in the middle are likely


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


def train_decoder(recipe: Recipe, seed: int) -> Autoencoder:
    r"""The 4x4x8 autoencoder with its decoder trained on; the encoder, and so the latents, stay.

    $\overline{(x - D(z + \sigma\epsilon))^2}$, plus the same error in the features of a ViT. What a
    DiT paints is a little off, and the decoder learns to make strokes of that.
    """
    autoencoder, vit = load_model("autoencoder-4x4x8"), load_model("vit").requires_grad_(False)
    noise_size = LATENT_NOISE * autoencoder.latent_std[:, None, None]

    def loss(decoder: nn.Module, images: Tensor, generator: torch.Generator) -> Tensor:
        images = shift_images(images, MAX_SHIFT, generator)
        with torch.no_grad():
            z, _ = autoencoder.encode(images)
            features = vit_features(vit, images)
        painted = decoder(z + noise_size * torch.randn(z.shape, generator=generator))
        error = (vit_features(vit, painted) - features).square().mean()
        return (painted - images).square().mean() + FEATURE_WEIGHT * error

    Run(autoencoder.decoder, loss, digits("train", 32)[:1], recipe, seed).complete()
    return autoencoder


def vit_features(vit: ViT, images: Tensor) -> Tensor:
    """The tokens after each of the first three blocks, normalised and side by side."""
    x = vit.x_embedder(images[:, :, 2:-2, 2:-2]) + vit.pos_embed  # without the frame of paper
    x = torch.cat([vit.get_parameter("cls_token").expand(len(x), -1, -1), x], dim=1)
    features = []
    for block in vit.blocks[:3]:
        x = block(x)
        features.append(layer_norm(x, x.shape[-1:]))
    return torch.cat(features, dim=-1)


def train_vit(
    recipe: Recipe,
    seed: int,
    pool: Pool = "cls",
    positions: Positions = "sincos",
    table: Tensor | None = None,
) -> ViT:
    """A ViT that names the training digits.

    A given table of positions (16, D) is where it starts, or, if it is fixed, stays.
    """

    def loss(model: ViT, images: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        return cross_entropy(model(shift_images(images, MAX_SHIFT, generator)), labels)

    torch.manual_seed(seed)
    model = ViT(**VIT, pool=pool, positions=positions)
    if table is not None:
        model.state_dict()["pos_embed"].copy_(table)
    Run(model, loss, digits("train", 28), recipe, seed).complete()
    return model


def train_judge(recipe: Recipe, seed: int) -> Judge:
    """A judge of the digits; a third of those it learns from are `coarse`."""

    def loss(model: Judge, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        x = shift_images(turn_images(x, MAX_DEGREES, generator), MAX_SHIFT, generator)
        third = len(x) // 3
        return cross_entropy(model(torch.cat([coarse(x[:third]), x[third:]])), y)

    torch.manual_seed(seed)
    model = Judge()
    Run(model, loss, judge_split()[0], recipe, seed).complete()
    return model


def judge_split() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The training digits in two parts: 3,600 to fit, and 400 on which settings are chosen.

    The last 40 digits of each class are the 400. A setting that was chosen on them was not chosen
    on the test digits.
    """
    images, labels = digits("train", 32)
    fitted = torch.arange(len(labels)) % TRAIN_PER_CLASS < 0.9 * TRAIN_PER_CLASS
    return (images[fitted], labels[fitted]), (images[~fitted], labels[~fitted])


def turn_images(images: Tensor, degrees: float, generator: torch.Generator) -> Tensor:
    """Every image turned by its own random angle, and larger or smaller by up to a tenth."""
    angle, size = 2 * torch.rand(2, len(images), generator=generator) - 1
    angle, size = angle * torch.pi * degrees / 180, 1 + 0.1 * size
    rows = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1)
    matrix = torch.zeros(len(images), 2, 3)  # without the last column: the centre stays
    matrix[:, :, :2] = size[:, None, None] * rows.view(-1, 2, 2)
    grid = affine_grid(matrix, list(images.shape), align_corners=False)
    return grid_sample(images + 1, grid, align_corners=False) - 1  # paper is 0 outside


def coarse(images: Tensor) -> Tensor:
    """At half the resolution and back: the judge has to read pictures of 16 x 16 pixels too."""
    return interpolate(avg_pool2d(images, 2), scale_factor=2.0, mode="bilinear")


def train_dit(
    recipe: Recipe, seed: int, config: DiTConfig, x: Tensor, y: Tensor, loss: Loss | None = None
) -> DiT:
    """A DiT that learns latents x (n, C, I, I), told y (n, ...), by `noise_loss` or another."""
    torch.manual_seed(seed)
    model = DiT(config)
    Run(model, loss or noise_loss, (x, y), recipe, seed).complete()
    return model


def latents(autoencoder: str) -> dict[str, tuple[Tensor, Tensor]]:
    """The digits of both splits as latents (n, C, I, I) of a shipped autoencoder, with labels."""
    model = load_model(autoencoder)
    data = {split: digits(split, 32) for split in ("train", "test")}
    return {split: (model.to_latents(images), labels) for split, (images, labels) in data.items()}
