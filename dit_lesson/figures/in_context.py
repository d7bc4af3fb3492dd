"""Chapter 7's figure: eighteen tokens that look at each other, two of them time and class."""

import base64
from functools import cache
from typing import Any, ClassVar

import matplotlib.figure
import numpy as np
import torch
import traitlets

from dit_lesson import plots
from dit_lesson.attention import attention_maps
from dit_lesson.checkpoints import WEIGHTS, load_model
from dit_lesson.diffusion import interpolate
from dit_lesson.figures import cross_attention
from dit_lesson.figures.base import Figure
from dit_lesson.models import DiT

NAME = "in-context-dit"
MEAN = -1  # in the place of a head: the mean over all heads
DEPTH, NUM_HEADS, GRID, NULL_CLASS = 3, 4, 4, 10


@cache
def model() -> DiT:
    """The shipped model with time and class among its tokens, in double precision."""
    return load_model(NAME).double()


@cache
def constants() -> dict[str, Any]:
    """The digits, latents and noise of chapter 8's figure, and this model's file of weights."""
    weights = (WEIGHTS / f"{NAME}.safetensors").read_bytes()
    return cross_attention.constants() | {"weights": base64.b64encode(weights).decode()}


class InContextFigure(Figure):
    """Where the tokens of a noised digit, its time and its class look, in one attention layer.

    `picture_of` is the digit that is noised, at `t` = 1 altogether; `y` is the class that the
    model is told, 10 for none.  `head` -1 is the mean of all heads.
    """

    caption: ClassVar[str] = (
        "A digit, cut into sixteen patches. Middle: how much each patch's token looks at the time "
        "token and at the class token. Right: how much these two look at each patch. Every "
        "token's shares, over all eighteen, add up to 1. A trained model: DiT with in-context "
        "conditioning, three blocks."
    )

    t = traitlets.Float(0.3, min=0, max=1).tag(sync=True, figure=True)
    y = traitlets.Int(7, min=0, max=NULL_CLASS).tag(sync=True, figure=True)
    picture_of = traitlets.Int(7, min=0, max=9).tag(sync=True, figure=True)
    block = traitlets.Int(0, min=0, max=DEPTH - 1).tag(sync=True, figure=True)
    head = traitlets.Int(MEAN, min=MEAN, max=NUM_HEADS - 1).tag(sync=True, figure=True)
    digits = traitlets.List().tag(sync=True, figure=True)
    latents = traitlets.List().tag(sync=True, figure=True)
    noise = traitlets.List().tag(sync=True, figure=True)
    weights = traitlets.Unicode().tag(sync=True, figure=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**constants(), **traits)

    def stages(self) -> np.ndarray:
        """How much each token (row) looks at each (column), (18, 18): patches, time, class."""
        t, y = torch.tensor([self.t]).double(), torch.tensor([self.y])
        clean = torch.tensor([self.latents[self.picture_of]]).double()
        noised = interpolate(clean, torch.tensor([self.noise]).double(), t)
        maps = attention_maps(model(), noised, 1000 * t, y)[f"blocks.{self.block}.attn"][0]
        return (maps.mean(dim=0) if self.head == MEAN else maps[self.head]).numpy()

    def summary(self) -> str:
        """The mean shares between the patches and the two condition tokens."""
        shares = self.stages()
        to_time, to_class = shares[:-2, -2:].mean(axis=0)
        of_time, of_class = shares[-2:, :-2].sum(axis=1)
        head = "the mean of all heads" if self.head == MEAN else f"head {self.head}"
        told = "no class" if self.y == NULL_CLASS else f"class {self.y}"
        return (
            f"A digit {self.picture_of} at t = {self.t:.2f}, told {told}, block {self.block}, "
            f"{head}: the image tokens give {to_time:.0%} of their attention to the time and "
            f"{to_class:.0%} to the class; the time token gives {of_time:.0%} of its own to the "
            f"image, the class token {of_class:.0%}."
        )

    def picture(self) -> matplotlib.figure.Figure:
        """The digit, two maps of looking at the condition, two of the condition's looking."""
        image = np.asarray(self.digits[self.picture_of]) / 127.5 - 1
        shares = self.stages()
        maps = [*shares[:-2, -2:].T, *shares[-2:, :-2]]
        # full colour at 0.5 and shaded by the root, as on the page
        squares = [np.sqrt(2 * row).reshape(GRID, GRID) for row in maps]
        titles = ["the digit", "patch → time", "patch → class", "time → patch", "class → patch"]
        return plots.image_row([image, *squares], titles)
