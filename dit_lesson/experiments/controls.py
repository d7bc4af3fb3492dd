"""Controls, most of chapter 17: pixels or latents, one digit, equal parameters, one step."""

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor, nn

from dit_lesson.data import digits
from dit_lesson.diffusion import Prediction
from dit_lesson.embeddings import LabelEmbedder, TimestepEmbedder
from dit_lesson.experiments import Comparison, settings
from dit_lesson.experiments.judging import decode, digit_latents, judged_images
from dit_lesson.experiments.recipes import DIGITS_DIT, train_dit, velocity_loss
from dit_lesson.experiments.successors import (
    MEASURED,
    PIXEL_DIT,
    RANK,
    SAMPLES,
    TARGETS,
    draw_pair,
    judged,
    prediction_loss,
)
from dit_lesson.models import DiT, DiTConfig
from dit_lesson.successors import Attention, Kind, Successor
from dit_lesson.training import Recipe, Run


def parameters(model: nn.Module) -> int:
    """How many numbers a model learns."""
    return sum(p.numel() for p in model.parameters())


# --- predictions, in latents --------------------------------------------------------------------


def latent_prediction_run(recipe: Recipe, predicts: Prediction, seed: int) -> dict[str, Any]:
    """Latents, 8 numbers a token."""
    loss = prediction_loss(predicts)
    model = train_dit(recipe, seed, DIGITS_DIT, *digit_latents()["train"], loss)
    return judged(model, *digit_latents()["test"], predicts, decode)


# --- pixels against latents -----------------------------------------------------------------------

#: What each space predicts: in pixels the data, since the velocity fails there ("prediction").
SPACES: dict[str, Prediction] = {"pixels": "data", "latents": "velocity"}
LENGTHS = {"short": 1, "long": 4}  # times the recipe's steps


def space_model(space: str) -> DiT:
    """16 tokens of width 64 in either: patches of 8x8 pixels, or single places of a latent."""
    return DiT(replace(PIXEL_DIT, patch_size=8) if space == "pixels" else DIGITS_DIT)


def space_run(
    recipe: Recipe, space: str, length: str, learning_rate: float, seed: int
) -> dict[str, Any]:
    """The same digits in pixels and in latents, with equally many tokens and steps."""
    data = digit_latents() if space == "latents" else {s: digits(s, 32) for s in ("train", "test")}
    recipe = replace(recipe, steps=LENGTHS[length] * recipe.steps, learning_rate=learning_rate)
    config, loss = space_model(space).config, prediction_loss(SPACES[space])
    model = train_dit(recipe, seed, config, *data["train"], loss)
    to_images = decode if space == "latents" else lambda x: x
    found = judged(model, *data["test"], SPACES[space], to_images)
    return {key: found[key] for key in ("accuracy", "distance")}  # losses of two spaces


# --- one digit by heart ---------------------------------------------------------------------------

BATCH = 32


def width_run(recipe: Recipe, width: int, seed: int) -> dict[str, Any]:
    """The velocity loss on one digit in 16 tokens of 64 numbers, for a network that has only it."""
    x, y = (part[:1].expand(BATCH, *part.shape[1:]) for part in digits("train", 32))
    config = replace(PIXEL_DIT, patch_size=8, hidden_size=width)
    model = train_dit(recipe, seed, config, x, y, velocity_loss)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        losses = [velocity_loss(model, x, y, generator).item() for _ in range(20)]
    return {"loss": round(sum(losses) / len(losses), 3)}


# --- equal parameters ---------------------------------------------------------------------------


def equal_width(kind: Kind) -> int:
    """The width at which a kind of block has the parameters of DiT's at 64, as nearly as it can."""
    wanted = parameters(DiT(DIGITS_DIT))

    def gap(width: int) -> int:
        return abs(
            parameters(Successor(replace(DIGITS_DIT, hidden_size=width), kind, RANK)) - wanted
        )

    return min(range(48, 100, 4), key=gap)


def equal_run(recipe: Recipe, kind: Kind, learning_rate: float, seed: int) -> dict[str, Any]:
    """Chapter 17's blocks in the DiT of the latents, with as many parameters as DiT's."""
    width = equal_width(kind)
    torch.manual_seed(seed)
    model = Successor(replace(DIGITS_DIT, hidden_size=width), kind, RANK)
    recipe = replace(recipe, learning_rate=learning_rate)
    Run(model, velocity_loss, digit_latents()["train"], recipe, seed).complete()
    found = judged(model, *digit_latents()["test"], to_images=decode)
    return {"width": width, "parameters": parameters(model)} | found


# --- qk-norm over learning rates ------------------------------------------------------------------


class NormedDiT(DiT):
    """DiT's block, with or without `qk-norm` in its attention."""

    def __init__(self, config: DiTConfig, qk_norm: bool):
        super().__init__(config)
        for block in self.blocks:
            block.attn = Attention(config.hidden_size, config.num_heads, qk_norm)
        self._initialize()


def qk_run(recipe: Recipe, learning_rate: float, qk_norm: bool, seed: int) -> dict[str, Any]:
    """DiT's block with and without qk-norm, at a rate of its own."""
    torch.manual_seed(seed)
    model = NormedDiT(DIGITS_DIT, qk_norm)
    recipe = replace(recipe, learning_rate=learning_rate)
    Run(model, velocity_loss, digit_latents()["train"], recipe, seed).complete()
    return judged(model, *digit_latents()["test"], to_images=decode)


# --- one step, on digits --------------------------------------------------------------------------


class LabelAndGap(LabelEmbedder):
    """The vector of a label, and of how far the step goes.

    forward(y, generator): y (B, 2), a label and t - r -> (B, 1, D).
    """

    def __init__(self, hidden_size: int):
        super().__init__(10, hidden_size, dropout=0)
        self.gap = TimestepEmbedder(hidden_size)
        nn.init.normal_(self.embedding_table.weight)

    def forward(self, y: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Their sum."""
        label, gap = y.unbind(dim=1)
        return super().forward(label.long()) + self.gap(gap)[:, None]


SLOPE_STEP = 0.005  # in t, to either side


def mean_velocity(
    model: Callable, z: Tensor, r: Tensor, t: Tensor, y: Tensor, told: float
) -> Tensor:
    """u(z, r, t) of a DiT that is told t, the label and t - r, both times as often as ``told``."""
    return model(z, told * t, torch.stack([y, told * (t - r)], dim=1))


def digit_step_run(
    recipe: Recipe, times: str, learning_rate: float, told: float, seed: int
) -> dict[str, Any]:
    """Latents painted in 1, 2, 4 and 16 steps of u, which was learned as on the spiral.

    The slope du/dt along the path is the difference of two answers, since `jvp` does not go
    through the fused attention. With ``told`` = 1000, as in DiT, the fastest clock of the time
    embedding turns by five radians within that difference.
    """

    def loss(model: Callable, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        r, t = draw_pair(times, len(x), generator)
        noise = torch.randn(x.shape, generator=generator)
        v = noise - x
        share = t[:, None, None, None]
        z = x + share * v
        with torch.no_grad():
            ends = [
                mean_velocity(model, z + side * SLOPE_STEP * v, r, t + side * SLOPE_STEP, y, told)
                for side in (1, -1)
            ]
            slope = (ends[0] - ends[1]) / (2 * SLOPE_STEP)
            target = v - (t - r)[:, None, None, None] * slope
        error = (mean_velocity(model, z, r, t, y, told) - target).square().mean(dim=(1, 2, 3))
        return (error / (error.detach() + 0.01).sqrt()).mean()

    torch.manual_seed(seed)
    model = DiT(DIGITS_DIT, LabelAndGap(DIGITS_DIT.hidden_size))
    x, y = digit_latents()["train"]
    recipe = replace(recipe, learning_rate=learning_rate)
    Run(model, loss, (x, y), recipe, seed).complete()
    asked = torch.arange(SAMPLES) % 10
    generator = torch.Generator().manual_seed(seed)
    start, found = torch.randn(SAMPLES, *x.shape[1:], generator=generator), {}
    for steps in (1, 2, 4, 16):
        z, whole = start, torch.ones(SAMPLES)
        with torch.no_grad():
            for n in range(steps, 0, -1):
                t, r = whole * n / steps, whole * (n - 1) / steps
                r = t if times == "t only" else r
                z = z - mean_velocity(model, z, r, t, asked, told) / steps
            images = decode(z).clamp(-1, 1)
        found[str(steps)] = judged_images(images, asked)
    return {"steps": found}


SHORT = Recipe(250, batch_size=32, learning_rate=1e-2, ema_decay=0.99)
CONTROLS = {
    "latent-prediction-comparison": Comparison(
        SHORT,
        settings("predicts", [(target,) for target in TARGETS]),
        latent_prediction_run,
        {"arguments": asdict(DIGITS_DIT)} | MEASURED,
    ),
    "space-comparison": Comparison(
        Recipe(300, batch_size=32, learning_rate=1e-2, ema_decay=0.995),
        settings(
            "space length learning_rate",
            [
                (space, length, rate)
                for space in SPACES
                for length in LENGTHS
                for rate in (3e-3, 1e-2)
            ],
        ),
        space_run,
        MEASURED,
    ),
    "width-comparison": Comparison(
        Recipe(600, batch_size=BATCH, learning_rate=3e-3, ema_decay=0.99),
        settings("width", [(width,) for width in (16, 32, 64, 128)]),
        width_run,
    ),
    "equal-comparison": Comparison(
        SHORT,
        settings(
            "kind learning_rate",
            [
                (kind, rate)
                for kind in ("own", "shared", "low rank", "none")
                for rate in (3e-3, 1e-2, 3e-2)
            ],
        ),
        equal_run,
        {"rank": RANK} | MEASURED,
    ),
    "qk-norm-comparison": Comparison(
        SHORT,
        settings(
            "learning_rate qk_norm",
            [(rate, norm) for rate in (3e-3, 1e-2, 3e-2, 1e-1) for norm in (False, True)],
        ),
        qk_run,
        MEASURED,
    ),
    "digit-step-comparison": Comparison(
        Recipe(1400, batch_size=32, learning_rate=1e-2, ema_decay=0.995),
        # the first rate is chapter 13's, the other was chosen of four with seed 7
        settings(
            "times learning_rate told",
            [
                ("t only", 1e-2, 30),
                ("t only", 1e-2, 1000),
                ("uniform", 3e-3, 30),
                ("logit-normal", 3e-3, 30),
                ("logit-normal", 3e-3, 1000),
            ],
        ),
        digit_step_run,
        {"samples": SAMPLES, "slope_step": SLOPE_STEP},
    ),
}
