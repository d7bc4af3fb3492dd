"""The race of the four designs: `make race` makes the runs that its result lacks."""

from dataclasses import asdict, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from dit_lesson.diffusion import denoising_loss
from dit_lesson.experiments import Comparison
from dit_lesson.experiments.recipes import DDPM, RACE_DIT, RACE_RECIPE, latents, train_dit
from dit_lesson.models import DESIGNS, DiT
from dit_lesson.training import Recipe

SEEDS = (0, 1, 2)


def design_run(recipe: Recipe, start: str, seed: int, design: str) -> dict[str, Any]:
    """The held-out loss of a design, told the truth, a wrong class, and wrong times.

    A seed fixes the random start, the order of the data, the times and the noise of training.
    The held-out loss has the same times and the same noise for every run. What a lie costs shows
    how much a model hears of what it is told.
    """
    data = latents("autoencoder-4x4x8")
    config = replace(RACE_DIT, conditioning=design, embedding_init=start)
    model = train_dit(recipe, seed, config, *data["train"])
    return {
        "test_loss": held_out(model, *data["test"]),
        "test_loss_wrong_class": held_out(model, *data["test"], "class"),
        "test_loss_wrong_time": held_out(model, *data["test"], "time"),
    }


@torch.no_grad()
def held_out(model: DiT, x: Tensor, labels: Tensor, lie: str = "") -> float:
    """The mean loss over four passes through the test digits, told the truth or a lie."""
    generator, lies = (torch.Generator().manual_seed(seed) for seed in (0, 1))
    losses = []
    for _ in range(4):
        t = torch.randint(0, 1000, (len(x),), generator=generator)
        noise = torch.randn(x.shape, generator=generator)
        wrong_class = (labels + torch.randint(1, 10, labels.shape, generator=lies)) % 10
        wrong_time = torch.randint(0, 1000, t.shape, generator=lies)
        y = wrong_class if lie == "class" else labels
        told = wrong_time if lie == "time" else t

        def answer(x: Tensor, _: Tensor, y=y, told=told) -> Tensor:  # noqa: ANN001
            return model(x, told, y)

        losses.append(denoising_loss(answer, x, t, noise, DDPM))
    return round(torch.stack(losses).mean().item(), 4)


RACES = {
    "design-comparison": Comparison(
        RACE_RECIPE,
        [
            {"start": start, "design": design, "seed": seed}
            for start, seed, design in product(("paper", "unit"), SEEDS, DESIGNS)
        ],
        design_run,
        {"arguments": asdict(RACE_DIT)},
    ),
}
