"""The toy of chapter 2: points on a spiral, and a small network that is told t in several ways."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from dit_lesson.diffusion import (
    Prediction,
    Straight,
    VariancePreserving,
    denoising_loss,
    linear_betas,
)
from dit_lesson.embeddings import TimestepEmbedder
from dit_lesson.experiments import Comparison, settings
from dit_lesson.sampling import ancestral, respace, sample
from dit_lesson.training import Recipe, Run

BETAS = linear_betas(1000)
SAMPLING_STEPS = {"noise": 250, "velocity": 100}


def spiral(count: int, seed: int) -> Tensor:
    """Points (count, 2) on an Archimedean spiral, with a mean of about 0 and a variance near 1."""
    share = np.random.default_rng(seed).random(count)
    angle = 3 * np.pi * np.sqrt(share)
    points = angle * np.stack([np.cos(angle), np.sin(angle)])
    return torch.tensor((points.T - [-0.4, 1.9]) / 4.5, dtype=torch.float32)


def distances(samples: Tensor, data: Tensor) -> tuple[float, float]:
    """Mean distance from a sample to the nearest data, and from data to the nearest sample.

    The first is large where samples lie off the data (precision), the second where data have no
    sample near them (coverage).

    Args:
        samples: (n, D).
        data: (m, D).
    """
    between = torch.cdist(samples, data)
    return between.min(dim=1).values.mean().item(), between.min(dim=0).values.mean().item()


class PointDenoiser(nn.Module):
    """Three layers that answer about points (B, size) at times (B,).

    Args:
        time: where the vector c of the time enters: "nowhere", "first layer" (glued to the
            point), "every layer" (glued to each layer's input), "scale and shift" (of each
            layer's output).
        width: of the layers, and of c.
        size: how many numbers a point has.
    """

    def __init__(self, time: str, width: int = 64, size: int = 2):
        super().__init__()
        self.glued = {"first layer": 1, "every layer": 3}.get(time, 0)  # layers with c glued on
        sizes = [n_in + width * (n < self.glued) for n, n_in in enumerate((size, width, width))]
        self.t_embedder = TimestepEmbedder(width)
        self.layers = nn.ModuleList(nn.Linear(n_in, width) for n_in in sizes)
        count = 3 if time == "scale and shift" else 0
        self.modulations = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(count))
        self.final = nn.Linear(width, size)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """The answer (B, size)."""
        c = self.t_embedder(t)  # (B, width)
        for n, layer in enumerate(self.layers):
            x = layer(torch.cat([x, c], dim=1) if n < self.glued else x)
            if self.modulations:
                shift, scale = self.modulations[n](c).chunk(2, dim=1)
                x = x * (1 + scale) + shift
            x = silu(x)  # (B, width)
        return self.final(x)


def train_and_sample(
    recipe: Recipe, time: str, target: Prediction, unit: float, width: int, seed: int
) -> tuple[PointDenoiser, Tensor]:
    """A denoiser of the spiral, and 2,000 points that it draws.

    Args:
        recipe: of the training.
        time: where the time enters, see `PointDenoiser`.
        target: "noise", on DiT's path, sampled in 250 respaced steps; or "velocity", on the
            straight path, sampled in 100.
        unit: the largest time that the network hears, 1000 or 1.
        width: of the network.
        seed: of the start, the batches and the samples.
    """
    path = VariancePreserving(BETAS) if target == "noise" else Straight(time_scale=1000)

    def model_in_unit(x: Tensor, t: Tensor) -> Tensor:
        return model(x, t * (unit / 1000))

    def loss(_: PointDenoiser, x0: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.randn(x0.shape, generator=generator)
        t = path.draw(len(x0), generator)
        return denoising_loss(model_in_unit, x0, t, noise, path, target)

    torch.manual_seed(seed)
    model = PointDenoiser(time, width)
    Run(model, loss, (spiral(4000, seed=0),), recipe, seed).complete()
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(2000, 2, generator=generator)
    steps = SAMPLING_STEPS[target]
    if target == "velocity":
        return model, sample(model_in_unit, noise, path, steps, predicts="velocity")
    few = respace(BETAS, steps)
    return model, sample(model_in_unit, noise, few, steps, ancestral(generator))


def spiral_run(
    recipe: Recipe, time: str, target: Prediction, unit: float, width: int, seed: int
) -> dict[str, Any]:
    """How far painted points lie from the curve, and the curve from painted points."""
    model, points = train_and_sample(recipe, time, target, unit, width, seed)
    used = sum(p.numel() for p in model.parameters() if p.grad is not None)
    off, uncovered = (round(far, 4) for far in distances(points, spiral(4000, seed=1)))
    return {"parameters": used, "off_curve": off, "uncovered": uncovered}


SPIRALS = {
    "spiral-comparison": Comparison(
        Recipe(1500, batch_size=256, learning_rate=4e-3, fused=False),
        settings(
            "time target unit width",
            [
                ("nowhere", "noise", 1000, 64),
                ("first layer", "noise", 1000, 64),
                ("every layer", "noise", 1000, 64),
                ("every layer", "noise", 1000, 76),
                ("scale and shift", "noise", 1000, 64),
                ("scale and shift", "noise", 1, 64),
                ("scale and shift", "velocity", 1000, 64),
                ("scale and shift", "velocity", 1, 64),
            ],
        ),
        spiral_run,
        {"sampling_steps": SAMPLING_STEPS},
    ),
}
