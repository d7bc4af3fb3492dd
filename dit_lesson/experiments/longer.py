"""Chapter 13's card: some minutes on one thread, where the notebook trains for seconds.

The scale of the guidance is chosen by a run that leaves out the 400 validation digits and is
judged by them; the test digits judge the others.
"""

import time
from dataclasses import asdict, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from dit_lesson.checkpoints import load_model
from dit_lesson.data import digits
from dit_lesson.evaluation import judge_features, share_of_copies
from dit_lesson.experiments import Comparison, knobs
from dit_lesson.experiments.judging import AUTOENCODER, decode, judged_images, velocity_losses
from dit_lesson.experiments.recipes import DIGITS_DIT, FLOW, judge_split, train_dit, velocity_loss
from dit_lesson.models import DiT
from dit_lesson.sampling import guided, sample
from dit_lesson.training import Recipe

LONGER_DIT = replace(DIGITS_DIT, hidden_size=96)
RECIPE = replace(knobs.RECIPE, steps=7000)
SEEDS = {"validation": (0,), "test": (1, 2, 3)}
SCALES = (1.0, 1.1, 1.2, 1.3)
TIMES = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9)
SAMPLES = 1000
STEPS = 20


def longer_run(recipe: Recipe, judged_by: str, seed: int, scale: float) -> dict[str, Any]:
    """Accuracy, distance and copies of 1,000 digits; what the training cost, and its losses."""
    model, found = trained(recipe, judged_by, seed)
    (known, _), (unseen, _) = _latents(judged_by)
    noise = torch.randn(SAMPLES, *known.shape[1:], generator=torch.Generator().manual_seed(seed))
    asked = torch.arange(SAMPLES) % LONGER_DIT.num_classes
    velocity = guided(model, asked, LONGER_DIT.num_classes, scale)
    painted = sample(velocity, noise, FLOW, STEPS, predicts="velocity")
    real = judge_features(_pictures(judged_by)[1][0])
    copies = round(share_of_copies(painted, known, unseen), 3)
    return judged_images(decode(painted), asked, real) | {"copies": copies} | found


@cache
def trained(recipe: Recipe, judged_by: str, seed: int) -> tuple[DiT, dict[str, Any]]:
    """A model that has not seen those that judge it; its cost, and its losses at `TIMES`."""
    train, held_out = _latents(judged_by)
    start = time.process_time()
    model = train_dit(recipe, seed, LONGER_DIT, *train, velocity_loss)
    seconds = time.process_time() - start

    def losses(x: Tensor, y: Tensor) -> list[float]:
        return [round(value, 3) for value in velocity_losses(model, x, y, TIMES)]

    return model, {
        "cpu_seconds": round(seconds),
        "milliseconds_a_step": round(1000 * seconds / recipe.steps, 1),
        "losses": {
            "train": losses(*(values[::4] for values in train)),
            "held out": losses(*held_out),
        },
    }


def _pictures(judged_by: str) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Those to learn from and those that judge; the validation digits are 400 of the training."""
    if judged_by == "validation":
        return judge_split()
    return digits("train", 32), digits("test", 32)


def _latents(judged_by: str) -> tuple[tuple[Tensor, Tensor], ...]:
    autoencoder = load_model(AUTOENCODER)
    return tuple((autoencoder.to_latents(x), y) for x, y in _pictures(judged_by))


LONGER_COMPARISONS = {
    "longer-training": Comparison(
        RECIPE,
        [
            {"judged_by": judged_by, "seed": seed, "scale": scale}
            for judged_by, seeds in SEEDS.items()
            for seed in seeds
            for scale in SCALES
        ],
        longer_run,
        {"arguments": asdict(LONGER_DIT), "times": TIMES, "samples": SAMPLES, "euler_steps": STEPS},
    ),
}
