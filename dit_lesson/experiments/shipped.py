"""The weights that ship with the package: how each is made, and how its metrics are measured."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dit_lesson.autoencoder import Autoencoder, kl_divergence
from dit_lesson.checkpoints import WEIGHTS, load_model, save_weights
from dit_lesson.data import digits
from dit_lesson.evaluation import Judge
from dit_lesson.experiments import record
from dit_lesson.experiments.conditions import (
    TIMES,
    conditions,
    losses_by_time,
    small_dit_data,
)
from dit_lesson.experiments.masking import RECIPE as MASKING_RECIPE
from dit_lesson.experiments.masking import masked_metrics, ship_masked
from dit_lesson.experiments.recipes import (
    AUTOENCODER_RECIPE,
    CAPTION_DIT,
    DECODER_RECIPE,
    DIGITS_DIT,
    DIGITS_DIT_RECIPE,
    FEATURE_WEIGHT,
    FLOW,
    IN_CONTEXT_DIT,
    JUDGE_RECIPE,
    LATENT_NOISE,
    MAX_DEGREES,
    MAX_SHIFT,
    NOISE_DIT,
    NOISE_DIT_RECIPE,
    SMALL_DIT_RECIPE,
    VIT,
    VIT_RECIPE,
    coarse,
    judge_split,
    latents,
    noise_loss,
    train_autoencoder,
    train_decoder,
    train_dit,
    train_judge,
    train_vit,
    velocity_loss,
)
from dit_lesson.experiments.words import RECIPE as WORDS_RECIPE
from dit_lesson.experiments.words import SHOWN, ship_words, words_metrics
from dit_lesson.models import DiT, DiTConfig, ViT
from dit_lesson.sampling import guided, sample
from dit_lesson.training import Recipe

SEED, SAMPLES = 0, 500


@dataclass(frozen=True)
class Shipped:
    """A model that ships: a recipe, ``train(recipe)`` -> (model, card), ``measure(model)``."""

    recipe: Recipe
    train: Callable[[Recipe], tuple[nn.Module, dict[str, Any]]]
    measure: Callable[[Any], dict[str, float]]


def make(name: str, recipe: Recipe | None = None, directory: Path = WEIGHTS) -> None:
    """Train a model that ships, round it to what is shipped, measure that, write it and its card.

    Args:
        name: one of `SHIPPED`.
        recipe: another one than its own, for a test.
        directory: for the two files.
    """
    shipped = SHIPPED[name]
    recipe = recipe or shipped.recipe
    start = time.process_time()
    model, card = shipped.train(recipe)
    seconds = (time.process_time() - start) / len(card.get("runs", [SEED]))
    model = model.half().float()
    metrics = shipped.measure(model)
    card = (
        record(recipe, seed=SEED, **card.pop("training", {}))
        | card
        | {"cpu_seconds": round(seconds), "metrics": metrics}
    )
    save_weights(model, name, card, directory)
    print(f"{name}: {metrics}, {seconds:.0f} s", flush=True)


def _autoencoder(
    recipe: Recipe, downsample: int, kl_weight: float
) -> tuple[Autoencoder, dict[str, Any]]:
    model = train_autoencoder(recipe, SEED, downsample, kl_weight)
    model.measure_latents(digits("train", 32)[0])
    return model, {
        "model": "Autoencoder",
        "arguments": {"downsample": downsample},
        "training": {"kl_weight": kl_weight, "max_shift": MAX_SHIFT},
    }


def _decoder(recipe: Recipe) -> tuple[Autoencoder, dict[str, Any]]:
    return train_decoder(recipe, SEED), {
        "model": "Autoencoder",
        "arguments": {"downsample": 8},
        "training": {
            "encoder": "autoencoder-4x4x8",
            "latent_noise": LATENT_NOISE,
            "feature_weight": FEATURE_WEIGHT,
            "max_shift": MAX_SHIFT,
        },
    }


@torch.no_grad()
def _autoencoder_metrics(model: Autoencoder) -> dict[str, float]:
    """The error of reconstruction, and how far latents are from N(0, 1)."""

    def error(split: str) -> float:
        images = digits(split, 32)[0]
        return ((model.from_latents(model.to_latents(images)) - images) ** 2).mean().item()

    kl = kl_divergence(*model.encode(digits("test", 32)[0])).mean().item()
    return {
        "train_mse": round(error("train"), 5),
        "test_mse": round(error("test"), 5),
        "test_kl_nats": round(kl),
    }


def _vit(recipe: Recipe, seeds: tuple[int, ...] = (SEED, 1, 2)) -> tuple[ViT, dict[str, Any]]:
    models = [train_vit(recipe, seed) for seed in seeds]
    runs = [{"seed": seed} | vit_metrics(model) for seed, model in zip(seeds, models, strict=True)]
    card = {"model": "ViT", "arguments": VIT, "training": {"max_shift": MAX_SHIFT}}
    return models[0], card | {"runs": runs}


@torch.no_grad()
def vit_metrics(model: ViT) -> dict[str, float]:
    """The share of the 1,000 test digits that the model names rightly."""
    images, labels = digits("test", 28)
    right = model(images).argmax(dim=1) == labels
    return {"test_accuracy": round(right.double().mean().item(), 3)}


def _judge(recipe: Recipe) -> tuple[Judge, dict[str, Any]]:
    training = {"max_shift": MAX_SHIFT, "degrees": MAX_DEGREES}
    return train_judge(recipe, SEED), {"model": "Judge", "arguments": {}, "training": training}


@torch.no_grad()
def _judge_metrics(model: Judge) -> dict[str, float]:
    """The share of unseen digits that it names rightly, also when they are `coarse`."""
    metrics = {}
    for split, (x, y) in (("validation", judge_split()[1]), ("test", digits("test", 32))):
        for key, images in ((f"{split}_accuracy", x), (f"{split}_accuracy_coarse", coarse(x))):
            right = model.eval()(images).argmax(dim=1) == y
            metrics[key] = round(right.double().mean().item(), 4)
    return metrics


def _small_dit(
    recipe: Recipe, config: DiTConfig, seeds: tuple[int, ...] = (SEED,)
) -> tuple[DiT, dict[str, Any]]:
    x, y = small_dit_data()["train"], conditions(config)["train"]
    models = [train_dit(recipe, seed, config, x, y, velocity_loss) for seed in seeds]
    runs = [
        {"seed": seed} | losses_by_time(model) for seed, model in zip(seeds, models, strict=True)
    ]
    card = {"model": "DiT", "arguments": asdict(config), "times": TIMES}
    return models[0], card | {"runs": runs}


def _small_dit_metrics(model: DiT) -> dict[str, float]:
    """The mean loss over `TIMES` on the test digits, told the truth, nothing, something wrong."""
    losses = losses_by_time(model)
    return {f"test_loss_{key}": round(sum(x) / len(x), 3) for key, x in losses.items()}


def _noise_dit(recipe: Recipe) -> tuple[DiT, dict[str, Any]]:
    x, labels = latents("autoencoder-8x8x4")["train"]
    model = train_dit(recipe, SEED, NOISE_DIT, x, labels)
    return model, {"model": "DiT", "arguments": asdict(NOISE_DIT)}


@torch.no_grad()
def _noise_dit_metrics(model: DiT) -> dict[str, float]:
    """The loss on the noise in the test digits, told their class and told none."""
    x, labels = latents("autoencoder-8x8x4")["test"]

    def loss(y: Tensor) -> float:
        return round(noise_loss(model, x, y, torch.Generator().manual_seed(SEED)).item(), 3)

    none = torch.full_like(labels, model.config.num_classes)
    return {"test_loss": loss(labels), "test_loss_no_class": loss(none)}


def _digits_dit(recipe: Recipe) -> tuple[DiT, dict[str, Any]]:
    x, labels = latents("autoencoder-4x4x8")["train"]
    model = train_dit(recipe, SEED, DIGITS_DIT, x, labels, velocity_loss)
    card = {"model": "DiT", "arguments": asdict(DIGITS_DIT)}
    return model, card | {"training": {"path": "straight", "spread": FLOW.spread}}


@torch.no_grad()
def _digits_dit_metrics(model: DiT) -> dict[str, float]:
    """The loss on the test digits, and how many of `SAMPLES` digits the shipped ViT reads."""
    x, labels = latents("autoencoder-4x4x8")["test"]
    null = model.config.num_classes

    def loss(y: Tensor) -> float:
        return round(velocity_loss(model, x, y, torch.Generator().manual_seed(SEED)).item(), 3)

    noise = torch.randn(SAMPLES, *x.shape[1:], generator=torch.Generator().manual_seed(SEED))
    asked = torch.arange(10).repeat(SAMPLES // 10)
    painted = sample(guided(model, asked, null, 1.5), noise, FLOW, 20, predicts="velocity")
    images = load_model("autoencoder-4x4x8").from_latents(painted)[..., 2:-2, 2:-2]
    read = load_model("vit")(images).argmax(dim=1) == asked
    return {
        "test_loss": loss(labels),
        "test_loss_no_class": loss(torch.full_like(labels, null)),
        "painted_read": round(read.double().mean().item(), 3),
    }


SHIPPED = {
    "autoencoder-8x8x4": Shipped(
        AUTOENCODER_RECIPE,
        partial(_autoencoder, downsample=4, kl_weight=1e-3),
        _autoencoder_metrics,
    ),
    "autoencoder-4x4x8": Shipped(
        replace(AUTOENCODER_RECIPE, steps=1200),
        partial(_autoencoder, downsample=8, kl_weight=3e-4),
        _autoencoder_metrics,
    ),
    "judge": Shipped(JUDGE_RECIPE, _judge, _judge_metrics),
    "vit": Shipped(VIT_RECIPE, _vit, vit_metrics),
    "autoencoder-4x4x8-decoder": Shipped(DECODER_RECIPE, _decoder, _autoencoder_metrics),
    "caption-dit": Shipped(
        SMALL_DIT_RECIPE, partial(_small_dit, config=CAPTION_DIT), _small_dit_metrics
    ),
    "in-context-dit": Shipped(
        SMALL_DIT_RECIPE,
        partial(_small_dit, config=IN_CONTEXT_DIT, seeds=(SEED, 1, 2)),
        _small_dit_metrics,
    ),
    "noise-dit": Shipped(NOISE_DIT_RECIPE, _noise_dit, _noise_dit_metrics),
    "digits-dit": Shipped(DIGITS_DIT_RECIPE, _digits_dit, _digits_dit_metrics),
    "masked-dit": Shipped(MASKING_RECIPE, ship_masked, masked_metrics),
    **{
        name: Shipped(WORDS_RECIPE, partial(ship_words, way=way), words_metrics)
        for way, name in SHOWN.items()
    },
}
