"""Chapter 19: digits as tokens that are hidden, beside digits as numbers that are blurred."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import cache
from itertools import product
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dit_lesson.checkpoints import load_model
from dit_lesson.data import digits
from dit_lesson.evaluation import accuracy, frechet_distance, judge_features, real_features
from dit_lesson.experiments import Comparison, read_result, spread
from dit_lesson.experiments.judging import decode, digit_latents, judged_images
from dit_lesson.experiments.recipes import DIGITS_DIT, FLOW, train_dit, velocity_loss
from dit_lesson.masking import (
    ORDERS,
    fit_codes,
    from_tokens,
    mask_tokens,
    masked_loss,
    one_hot,
    parallel,
    to_tokens,
    unmask,
)
from dit_lesson.models import DiT
from dit_lesson.sampling import guided, sample
from dit_lesson.training import Loss, Recipe

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
    loss = token_loss(weighted, told)
    return train_dit(recipe, seed, MASKED_DIT, *digit_tokens()["train"], loss)


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
    return judged_images(images, y) | {"unseen": round(unseen(tokens), 3)}


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
        recipe = replace(NOISE_RECIPE, steps=recipe.steps)
        model = train_dit(recipe, seed, DIGITS_DIT, *digit_latents()["train"], velocity_loss)
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


# --- what the chapter shows -----------------------------------------------------------------------

#: A row of a picture: images (H, W), from -1, paper, to 1, ink.
Row = list[np.ndarray]


def corrupted(index: int, times: Sequence[float]) -> tuple[Row, Row]:
    """A test digit with its tokens hidden, then with its latent blurred, at each of the times.

    The same digit and the same noise at all of them; a hidden token is grey.
    """
    tokens, z = (data["test"][0][index : index + 1] for data in (digit_tokens(), digit_latents()))
    even = torch.rand(tokens.shape, generator=torch.Generator().manual_seed(1))
    noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(1))
    masked, blurred = [], []
    for t in times:
        x = mask_tokens(tokens, torch.tensor([t]), even, CODES)
        hidden = np.kron((x[0] == CODES).numpy(), np.ones((8, 8)))
        masked.append(np.where(hidden, 0.0, pictures(x)[0, 0].numpy()))
        with torch.no_grad():
            blurred.append(decode((1 - t) * z + t * noise)[0, 0].clamp(-1, 1).numpy())
    return masked, blurred


def ink_patterns() -> Tensor:
    """How often the training digits have ink at four pixels in the middle: p, (2, 2, 2, 2)."""
    ink = digits("train", 32)[0][:, 0, 14:16, 14:16].flatten(1) > 0
    joint = torch.zeros(2, 2, 2, 2, dtype=torch.float64)
    for pattern in ink.long().tolist():
        joint[tuple(pattern)] += 1 / len(ink)
    return joint


def lost(joint: Tensor, groups: list[tuple[int, ...]]) -> float:
    """The share of p that `parallel` puts where it does not belong: the total variation."""
    return (parallel(joint, groups) - joint).abs().sum().item() / 2


def painted_rows(
    walk: Callable[[Callable, Tensor, int, torch.Generator], Tensor],
    asked: Tensor,
    steps: Sequence[int],
) -> dict[str, Row]:
    """Digits of the two shipped models, with guidance 2, by the number of steps.

    Args:
        walk: called as ``walk(answer, tokens, steps, generator)``, fills all hidden tokens.
        asked: (B,) labels.
        steps: a row for each of them, for masks and for noise.
    """
    masks, dit = (
        guided(load_model(name), asked, NULL, 2.0) for name in ("masked-dit", "digits-dit")
    )
    shape = digit_latents()["test"][0].shape[1:]
    noise = torch.randn(len(asked), *shape, generator=torch.Generator().manual_seed(0))
    rows = {}
    with torch.no_grad():
        for n in steps:
            generator = torch.Generator().manual_seed(0)
            filled = walk(masks, hidden_tokens(len(asked)), n, generator)
            rows[f"masks, {n}"] = list(pictures(filled)[:, 0].numpy())
        for n in steps:
            images = decode(sample(dit, noise, FLOW, n, predicts="velocity"))
            rows[f"noise, {n}"] = list(images[:, 0].clamp(-1, 1).numpy())
    return rows


def floors() -> dict[str, float]:
    """The distance of 500 training digits, painted from their codes and from their latents."""
    z = digit_latents()["train"][0][::8]
    coded = from_tokens(to_tokens(z, codes()), codes())
    with torch.no_grad():
        images = {name: decode(x).clamp(-1, 1) for name, x in (("codes", coded), ("latents", z))}
    return {
        name: frechet_distance(judge_features(x), real_features("test"))
        for name, x in images.items()
    }


def walked(kind: str, key: str, **walk: Any) -> list[float]:
    """What the walks of a kind of model gave, a value for each seed."""
    return [
        found[key]
        for run in read_result("masks-comparison")["runs"]
        if run["kind"] == kind
        for found in run["walks"]
        if walk.items() <= found.items()
    ]


def learned() -> str:
    """The bits of each kind of masks, and what 16 steps by confidence paint, as text."""
    walk = {"guidance": 2.0, "steps": 16, "order": "confidence"}
    lines = ["              bits a token          accuracy              distance"]
    for kind in KINDS[:3]:
        bits = [
            run["bits"] for run in read_result("masks-comparison")["runs"] if run["kind"] == kind
        ]
        shares, distances = (walked(kind, key, **walk) for key in ("accuracy", "distance"))
        texts = spread(bits, 3), spread(shares, 3), spread(distances, 0)
        lines.append(f"{kind:13} " + " ".join(f"{text:21}" for text in texts).rstrip())
    return "\n".join(lines)


#: Kinds of model and orders of their walks, as the chapter names them.
WALKS = {
    "random": ("mask, 1/t", "random"),
    "confidence": ("mask, 1/t", "confidence"),
    "flat, random": ("mask, flat", "random"),
    "noise": ("noise", "all at once"),
}


def by_steps(key: str, guidance: float, by_seed: bool = False) -> str:
    """One value of the `WALKS` by the number of steps, as text: its median, or each seed."""
    digits = 0 if key == "distance" else 2
    rows = [(f"{key}, s = {guidance:g}", *map(str, STEPS))]
    for name, (kind, order) in WALKS.items():
        values = [walked(kind, key, guidance=guidance, order=order, steps=n) for n in STEPS]
        shown = (found if by_seed else [median(found)] for found in values)
        rows.append((name, *(spread(found, digits, by_seed=True) for found in shown)))
    return "\n".join(
        f"{row[0]:18}" + " ".join(f"{text:{12 if by_seed else 5}}" for text in row[1:]).rstrip()
        for row in rows
    )


def distances() -> dict[str, dict[str, np.ndarray]]:
    """The distances of the `WALKS` by guidance: (steps, seeds) for each, to be drawn."""
    return {
        f"guidance {s:g}": {
            name: np.array(
                [walked(kind, "distance", guidance=s, order=order, steps=n) for n in STEPS]
            )
            for name, (kind, order) in WALKS.items()
        }
        for s in GUIDANCE
    }


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
