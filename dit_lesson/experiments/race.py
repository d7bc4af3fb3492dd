"""The race of the four designs: `make race` makes the runs that its result lacks."""

from dataclasses import asdict, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from dit_lesson.diffusion import denoising_loss
from dit_lesson.experiments import SEEDS, Comparison
from dit_lesson.experiments.recipes import DDPM, RACE_DIT, RACE_RECIPE, latents, train_dit
from dit_lesson.models import DESIGNS, DiT
from dit_lesson.training import Recipe


def design_run(recipe: Recipe, start: str, seed: int, design: str) -> dict[str, Any]:
    """The held-out loss of a design, told the truth, no class, a wrong class, and wrong times.

    A seed fixes the random start, the order of the data, the times and the noise of training.
    The held-out loss has the same times and the same noise for every run. No class
    shows what the class is worth to it; a lie shows how much it relies on what it is told.
    """
    data = latents("autoencoder-4x4x8")
    config = replace(RACE_DIT, conditioning=design, embedding_init=start)
    model = train_dit(recipe, seed, config, *data["train"])
    return {
        "test_loss": held_out(model, *data["test"]),
        "test_loss_no_class": held_out(model, *data["test"], "no class"),
        "test_loss_wrong_class": held_out(model, *data["test"], "wrong class"),
        "test_loss_wrong_time": held_out(model, *data["test"], "wrong time"),
    }


@torch.no_grad()
def held_out(model: DiT, x: Tensor, labels: Tensor, told_instead: str = "") -> float:
    """The mean loss over four passes through the test digits, told the truth or not."""
    generator, lies = (torch.Generator().manual_seed(seed) for seed in (0, 1))
    losses = []
    for _ in range(4):
        t = torch.randint(0, 1000, (len(x),), generator=generator)
        noise = torch.randn(x.shape, generator=generator)
        wrong_class = (labels + torch.randint(1, 10, labels.shape, generator=lies)) % 10
        wrong_time = torch.randint(0, 1000, t.shape, generator=lies)
        no_class = torch.full_like(labels, RACE_DIT.num_classes)
        y = {"no class": no_class, "wrong class": wrong_class}.get(told_instead, labels)
        told = wrong_time if told_instead == "wrong time" else t

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
