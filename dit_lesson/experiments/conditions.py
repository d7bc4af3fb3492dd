"""Chapters 7 and 8: what a condition is worth over all t, and where left-over attention goes."""

from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from dit_lesson.attention import attention_maps
from dit_lesson.data import CAPTION_WORDS, describe_digits, load_digits
from dit_lesson.diffusion import denoising_loss, mix
from dit_lesson.embeddings import CaptionEncoder
from dit_lesson.experiments import Comparison
from dit_lesson.experiments.recipes import (
    CAPTION_DIT,
    FLOW,
    SMALL_DIT_RECIPE,
    latents,
    train_dit,
    velocity_loss,
)
from dit_lesson.models import DiT, DiTConfig
from dit_lesson.training import Recipe

TIMES = tuple(n / 10 for n in range(1, 10))  # where trained models are measured; 1 is noise
DROPPED = 0.1  # the share of captions that training replaces by "no caption"


def small_dit_data() -> dict[str, Tensor]:
    """The latents (n, 8, 4, 4) of both splits."""
    return {split: x for split, (x, _) in latents("autoencoder-4x4x8").items()}


def conditions(config: DiTConfig) -> dict[str, Tensor]:
    """What a model is told: in training "train", in testing "truth", "none" and "wrong".

    Wrong is the next digit's label or name.
    """
    (images, labels), (test_images, test_labels) = map(load_digits, ("train", "test"))
    wrong = (test_labels + 1) % 10
    if config.vocabulary:
        encode = CaptionEncoder(config.vocabulary, config.max_words, hidden_size=1).encode
        return {
            "train": encode(describe_digits(images, labels)),
            "truth": encode(describe_digits(test_images, test_labels)),
            "none": encode([""] * len(test_labels)),
            "wrong": encode(describe_digits(test_images, wrong)),
        }
    told = {"train": labels, "truth": test_labels, "none": 0 * wrong + config.num_classes}
    return {key: torch.from_numpy(y) for key, y in (told | {"wrong": wrong}).items()}


@torch.no_grad()
def loss_by_time(model: DiT, x: Tensor, y: Tensor) -> list[float]:
    """The loss at each of `TIMES`; the noise is the same whatever the model is told."""
    losses = []
    for seed, time in enumerate(TIMES):
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
        t = torch.full((len(x),), time)
        loss = denoising_loss(lambda x, t: model(x, t, y), x, t, noise, FLOW, predicts="velocity")
        losses.append(round(loss.item(), 4))
    return losses


def losses_by_time(model: DiT) -> dict[str, list[float]]:
    """`loss_by_time` on the test digits, told the truth, nothing, and something wrong."""
    x, told = small_dit_data()["test"], conditions(model.config)
    return {key: loss_by_time(model, x, told[key]) for key in ("truth", "none", "wrong")}


# --- chapter 8: which word becomes a sink? ----------------------------------------------------

KINDS: dict[str, dict[str, Any]] = {
    # a dropped caption loses all its words, as in `caption-dit`
    "as they are": {"none": ""},
    "half without a": {"none": "", "without_a": 0.5},
    "a even without a caption": {"none": "a"},
    "one more key": {"none": "", "end": "·"},
}
KEYS = ("time", "a", "weight", "slant", "name", "one more")


def caption_run(recipe: Recipe, captions: str, seed: int) -> dict[str, Any]:
    """The losses of a model trained with captions of one of `KINDS`, and where it looks."""
    kind = KINDS[captions]
    end = [kind["end"]] if "end" in kind else []
    config = replace(
        CAPTION_DIT,
        vocabulary=(*CAPTION_WORDS, "·"),
        max_words=4 + len(end),
        class_dropout_prob=0.0,  # `drop_words` drops the captions
    )
    encode = CaptionEncoder(config.vocabulary, config.max_words, hidden_size=1).encode
    x = small_dit_data()
    train, truth = (
        encode([" ".join([caption, *end]) for caption in describe_digits(*load_digits(split))])
        for split in ("train", "test")
    )
    none = encode([kind["none"]])[0]
    if end:
        none[-1] = truth[0, -1]
    change = drop_words(none, kind.get("without_a", 0.0))

    def loss(model: DiT, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        return velocity_loss(model, x, change(y, generator), generator)

    model = train_dit(recipe, seed, config, x["train"], train, loss)
    without_a = truth.clone()
    without_a[:, 0] = 0
    return {
        "truth": loss_by_time(model, x["test"], truth),
        "without_a": loss_by_time(model, x["test"], without_a),
        "none": loss_by_time(model, x["test"], none.expand_as(truth)),
        "shares": looked_up(model, x["test"], truth),
    }


def drop_words(none: Tensor, without_a: float) -> Callable[[Tensor, torch.Generator], Tensor]:
    """A change of captions: a share `DROPPED` become `none`, and a share lose their first word."""

    def change(y: Tensor, generator: torch.Generator) -> Tensor:
        y = y.clone()
        y[torch.rand(len(y), generator=generator) < without_a, 0] = 0
        dropped = torch.rand(len(y), generator=generator) < DROPPED
        return torch.where(dropped[:, None], none, y)

    return change


@torch.no_grad()
def looked_up(model: DiT, x: Tensor, y: Tensor) -> list[list[float]]:
    """The mean share of each key in each block, over digits, tokens, heads and `TIMES`."""
    shares = []
    for seed, time in enumerate(TIMES):
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
        t = torch.full((len(x),), time)
        maps = attention_maps(model, mix(FLOW, x, noise, t), FLOW.told(t), y)
        found = [maps[f"blocks.{block}.cross_attn"] for block in range(len(model.blocks))]
        shares.append(torch.stack([layer.mean(dim=(0, 1, 2)) for layer in found]))
    mean = torch.stack(shares).mean(dim=0)
    return [[round(share, 3) for share in block] for block in mean.tolist()]


COMPARISONS = {
    "caption-comparison": Comparison(
        SMALL_DIT_RECIPE,
        [{"captions": kind, "seed": seed} for kind, seed in product(KINDS, (0, 1))],
        caption_run,
        {"arguments": asdict(CAPTION_DIT), "times": TIMES, "keys": KEYS},
    ),
}
