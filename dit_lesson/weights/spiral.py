"""The toy of chapter 2: points on a spiral, and a small network that is told t in several ways."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from dit_lesson.embeddings import TimestepEmbedder


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

    Args: samples (n, D); data (m, D).
    """
    between = torch.cdist(samples, data)
    return between.min(dim=1).values.mean().item(), between.min(dim=0).values.mean().item()


class PointDenoiser(nn.Module):
    """Three layers that answer about points (B, 2) at times (B,).

    ``time`` says where the vector c of the time enters: "nowhere", "first layer" (glued to the
    point), "every layer" (glued to each layer's input), "scale and shift" (of each layer's output).
    """

    def __init__(self, time: str, width: int = 64):
        super().__init__()
        self.glued = {"first layer": 1, "every layer": 3}.get(time, 0)  # layers with c glued on
        sizes = [size + width * (n < self.glued) for n, size in enumerate((2, width, width))]
        self.t_embedder = TimestepEmbedder(width)
        self.layers = nn.ModuleList(nn.Linear(size, width) for size in sizes)
        count = 3 if time == "scale and shift" else 0
        self.modulations = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(count))
        self.final = nn.Linear(width, 2)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """The answer (B, 2)."""
        c = self.t_embedder(t)  # (B, width)
        for n, layer in enumerate(self.layers):
            x = layer(torch.cat([x, c], dim=1) if n < self.glued else x)
            if self.modulations:
                shift, scale = self.modulations[n](c).chunk(2, dim=1)
                x = x * (1 + scale) + shift
            x = silu(x)  # (B, width)
        return self.final(x)
