"""Chapter 19: digits as tokens that are hidden, beside digits as numbers that are blurred."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import cache
from itertools import product
from typing import Any

import torch
from torch import Tensor

from dit_lesson.evaluation import accuracy, frechet_distance, judge_features
from dit_lesson.experiments import Comparison
from dit_lesson.experiments.recipes import DIGITS_DIT, FLOW, velocity_loss
from dit_lesson.experiments.successors import decode, digit_latents, real_features
from dit_lesson.masking import (
    ORDERS,
    fit_codes,
    from_tokens,
    mask_tokens,
    masked_loss,
    one_hot,
    to_tokens,
    unmask,
)
from dit_lesson.models import DiT
from dit_lesson.sampling import guided, sample
from dit_lesson.training import Loss, Recipe, Run

CODES = 256  # K
MASKED_DIT = replace(DIGITS_DIT, in_channels=CODES + 1)  # chapter 13's model: only channels differ
NULL = MASKED_DIT.num_classes
SIDE = MASKED_DIT.input_size
KINDS = ("mask, 1/t", "mask, flat", "mask, told t", "noise")
SEEDS = (1, 2, 3)  # the rate was chosen with seed 0, on 400 digits that it did not learn
RECIPE = Recipe(1400, batch_size=32, learning_rate=4e-3, ema_decay=0.995)
NOISE_RECIPE = replace(RECIPE, learning_rate=1e-2)  # chapter 13's
SAMPLES = 500
STEPS = (1, 2, 4, 8, 16)
GUIDANCE = (1.0, 2.0)
TIMES = tuple(i / 20 for i in range(1, 20))


@cache
def codes() -> Tensor:
    """The K means of all latent vectors of the training digits, (K, 8)."""
    vectors = digit_latents()["train"][0].permute(0, 2, 3, 1).flatten(0, 2)
    return fit_codes(vectors, CODES, torch.Generator().manual_seed(0))


@cache
def digit_tokens() -> dict[str, tuple[Tensor, Tensor]]:
    """The digits of both splits as tokens (n, 4, 4), with labels (n,)."""
    return {split: (to_tokens(z, codes()), y) for split, (z, y) in digit_latents().items()}


def pictures(tokens: Tensor) -> Tensor:
    """What tokens (B, 4, 4) look like, (B, 1, 32, 32)."""
    with torch.no_grad():
        return decode(from_tokens(tokens, codes())).clamp(-1, 1)


def hidden_tokens(count: int) -> Tensor:
    """Where a walk begins: all hidden, (count, 4, 4)."""
    return torch.full((count, SIDE, SIDE), CODES)


def even_noise(tokens: Tensor, steps: int, seed: int) -> Tensor:
    """What `unmask` draws from in so many steps."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(steps, 2, *tokens.shape, generator=generator)


# --- training -----------------------------------------------------------------------------------


def token_loss(weighted: bool = True, told: bool = False) -> Loss:
    """`masked_loss` of tokens at a random time.

    Args:
        weighted: by 1 / t, or flat.
        told: whether the model is told the time, or always 0.
    """

    def loss(model: Callable, tokens: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        t = torch.rand(len(tokens), generator=generator)
        x = mask_tokens(tokens, t, torch.rand(tokens.shape, generator=generator), CODES)
        logits = model(one_hot(x, CODES), FLOW.told(t) * told, y, generator)
        return masked_loss(logits, tokens, x == CODES, t if weighted else None)

    return loss


def train_masked(recipe: Recipe, seed: int, weighted: bool = True, told: bool = False) -> DiT:
    """A DiT that has learned what stands behind a mask."""
    torch.manual_seed(seed)
    model = DiT(MASKED_DIT)
    Run(model, token_loss(weighted, told), digit_tokens()["train"], recipe, seed).complete()
    return model


# --- judging ------------------------------------------------------------------------------------


@torch.no_grad()
def bits(model: DiT, told: bool = False) -> float:
    """The bound on the bits of a token of the test digits: `masked_loss` over `TIMES`."""
    tokens, y = digit_tokens()["test"]
    generator = torch.Generator().manual_seed(0)
    nats = 0.0
    for time in TIMES:
        t = torch.full((len(tokens),), time)
        x = mask_tokens(tokens, t, torch.rand(tokens.shape, generator=generator), CODES)
        logits = model(one_hot(x, CODES), FLOW.told(t) * told, y)
        nats += masked_loss(logits, tokens, x == CODES, t).item() / len(TIMES)
    return round(nats / torch.tensor(2.0).log().item(), 3)


def neighbours(tokens: Tensor) -> Tensor:
    """All pairs of codes that stand side by side or one above the other, as single numbers."""
    beside = CODES * tokens[:, :, :-1] + tokens[:, :, 1:]
    above = CODES * tokens[:, :-1] + tokens[:, 1:]
    return torch.cat([beside.flatten(), above.flatten() + CODES**2])


def unseen(tokens: Tensor) -> float:
    """The share of `neighbours` that no training digit has."""
    known = neighbours(digit_tokens()["train"][0])
    return (~torch.isin(neighbours(tokens), known)).double().mean().item()


def judged(tokens: Tensor, images: Tensor, y: Tensor) -> dict[str, float]:
    """Accuracy, distance to the test digits, and pairs of tokens that no training digit has."""
    return {
        "accuracy": round(accuracy(images, y), 3),
        "distance": round(frechet_distance(judge_features(images), real_features()), 1),
        "unseen": round(unseen(tokens), 3),
    }


def _masked_walks(model: DiT, told: bool, seed: int) -> Iterator[dict[str, Any]]:
    asked = torch.arange(SAMPLES) % NULL

    def answer(x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        share = x[:, -1].flatten(1).mean(dim=1)  # of masks: the time, as nearly as it is known
        return model(x, FLOW.told(share) * told, y)

    for guidance, order, steps in product(GUIDANCE, ORDERS, STEPS):
        start = hidden_tokens(SAMPLES)
        walk = guided(answer, asked, NULL, guidance)
        *_, tokens = unmask(walk, start, CODES, even_noise(start, steps, seed), order)
        yield {"guidance": guidance, "order": order, "steps": steps} | judged(
            tokens, pictures(tokens), asked
        )


def _noise_walks(model: DiT, seed: int) -> Iterator[dict[str, Any]]:
    asked = torch.arange(SAMPLES) % NULL
    shape = digit_latents()["train"][0].shape[1:]
    noise = torch.randn(SAMPLES, *shape, generator=torch.Generator().manual_seed(seed))
    for guidance, steps in product(GUIDANCE, STEPS):
        z = sample(guided(model, asked, NULL, guidance), noise, FLOW, steps, predicts="velocity")
        with torch.no_grad():
            images = decode(z).clamp(-1, 1)
        yield {"guidance": guidance, "order": "all at once", "steps": steps} | judged(
            to_tokens(z, codes()), images, asked
        )


def masks_run(recipe: Recipe, kind: str, seed: int) -> dict[str, Any]:
    """One model, and what it paints in 1 to 16 steps."""
    if kind == "noise":
        torch.manual_seed(seed)
        model = DiT(DIGITS_DIT)
        recipe = replace(NOISE_RECIPE, steps=recipe.steps)
        Run(model, velocity_loss, digit_latents()["train"], recipe, seed).complete()
        return {"bits": None, "walks": list(_noise_walks(model, seed))}
    told = kind == "mask, told t"
    model = train_masked(recipe, seed, kind != "mask, flat", told)
    return {"bits": bits(model, told), "walks": list(_masked_walks(model, told, seed))}


def ship_masked(recipe: Recipe) -> tuple[DiT, dict[str, Any]]:
    """The model that ships, and its card."""
    return train_masked(recipe, 0), {"model": "DiT", "arguments": asdict(MASKED_DIT)}


def masked_metrics(model: DiT) -> dict[str, float]:
    """Its bits a token, and the accuracy of 200 digits in 16 steps by confidence."""
    asked, start = torch.arange(200) % NULL, hidden_tokens(200)
    walk = guided(model, asked, NULL, 2.0)
    *_, tokens = unmask(walk, start, CODES, even_noise(start, 16, 0), "confidence")
    return {"test_bits": bits(model), "accuracy": round(accuracy(pictures(tokens), asked), 3)}


MASKING_COMPARISONS = {
    "masks-comparison": Comparison(
        RECIPE,
        [{"kind": kind, "seed": seed} for seed, kind in product(SEEDS, KINDS)],
        masks_run,
        {
            "arguments": asdict(MASKED_DIT),
            "samples": SAMPLES,
            "noise_learning_rate": NOISE_RECIPE.learning_rate,
        },
    ),
}
