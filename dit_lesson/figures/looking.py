"""What the figures of who looks at whom share: a noised digit, a layer, one head or all."""

from typing import Any

import torch
from torch import Tensor

from dit_lesson.diffusion import interpolate
from dit_lesson.figures import samples

DEPTH, NUM_HEADS, GRID = 3, 4, 4
MEAN = -1  # in the place of a head: the mean over all heads


def constants() -> dict[str, Any]:
    """Digits to show, their latents, one noise, and the number of heads."""
    return {
        "digits": samples.as_texts(samples.small_digits()),
        "latents": samples.latents("train", "autoencoder-4x4x8").tolist(),
        "noise": samples.noise(8, 4, 4).tolist(),
        "num_heads": NUM_HEADS,
    }


def before_last_look(name: str) -> bool:
    """Whether a parameter is used at or before the last attention, where the figures end."""
    return not name.startswith(("final_layer", f"blocks.{DEPTH - 1}.mlp"))


def noised(digit: int, t: Tensor) -> Tensor:
    """The latent of a digit, noised to step t, (1, 8, 4, 4)."""
    clean = torch.tensor(samples.latents("train", "autoencoder-4x4x8")[[digit]])
    return interpolate(clean, torch.tensor(samples.noise(8, 4, 4))[None], t / 1000)


def shares(maps: Tensor, head: int) -> Tensor:
    """The map of a head, or the mean of all: (heads, N, M) -> (N, M)."""
    return maps.mean(dim=0) if head == MEAN else maps[head]


def head_name(head: int) -> str:
    """A head in words."""
    return "the mean of all heads" if head == MEAN else f"head {head}"
