"""Chapter 7's figure: eighteen tokens that look at each other, two of them time and class."""

from functools import cache
from typing import Any, ClassVar

import matplotlib.figure
import numpy as np
import torch
import traitlets

from dit_lesson import plots
from dit_lesson.attention import attention_maps
from dit_lesson.checkpoints import load_model
from dit_lesson.figures import looking, samples
from dit_lesson.figures.assets import packed_weights
from dit_lesson.figures.base import Figure
from dit_lesson.figures.looking import DEPTH, GRID, MEAN, NUM_HEADS
from dit_lesson.models import DiT

NAME = "in-context-dit"
NULL_CLASS = 10


@cache
def model() -> DiT:
    """The shipped model with time and class among its tokens, in double precision."""
    return load_model(NAME).double().eval()


class InContextFigure(Figure):
    """Where the tokens of a noised digit, its time and its class look, in one attention layer.

    `picture_of` is the digit that is noised up to step `t`; `y` is the class that the model is
    told, 10 for none.  `head` -1 is the mean of all heads.
    """

    caption: ClassVar[str] = (
        "A digit, cut into sixteen patches. Middle: how much each patch's token looks at the time "
        "token and at the class token. Right: how much these two look at each patch. Every "
        "token's shares, over all eighteen, add up to 1. A trained model: DiT with in-context "
        "conditioning, three blocks."
    )

    t = traitlets.Int(300, min=0, max=999)
    y = traitlets.Int(7, min=0, max=NULL_CLASS)
    picture_of = traitlets.Int(7, min=0, max=9)
    block = traitlets.Int(0, min=0, max=DEPTH - 1)
    head = traitlets.Int(MEAN, min=MEAN, max=NUM_HEADS - 1)

    @classmethod
    def constants(cls) -> dict[str, Any]:
        """Digits to show, their latents, one noise, heads and the class that stands for none."""
        return looking.constants() | {"null_class": NULL_CLASS}

    @classmethod
    def assets(cls) -> dict[str, bytes]:
        """The model, without what comes after the last attention."""
        return {"weights": packed_weights(NAME, keep=looking.before_last_look)}

    def stages(self) -> dict[str, np.ndarray]:
        """How much each token (row) looks at each (column), (18, 18): patches, time, class."""
        image = samples.as_numbers(samples.small_digits()[self.picture_of])
        t, y = torch.tensor([self.t]).double(), torch.tensor([self.y])
        noised = looking.noised(self.picture_of, t)
        maps = attention_maps(model(), noised, t, y)[f"blocks.{self.block}.attn"][0]
        return {"image": image, "shares": looking.shares(maps, self.head).numpy()}

    def summary(self) -> str:
        """The mean shares between the patches and the two condition tokens."""
        shares = self.stages()["shares"]
        to_time, to_class = shares[:-2, -2:].mean(axis=0)
        of_time, of_class = shares[-2:, :-2].sum(axis=1)
        told = "no class" if self.y == NULL_CLASS else f"class {self.y}"
        return (
            f"A digit {self.picture_of} at step {self.t}, told {told}, block {self.block}, "
            f"{looking.head_name(self.head)}: the image tokens give {to_time:.0%} of their "
            f"attention to the time and {to_class:.0%} to the class; the time token gives "
            f"{of_time:.0%} of its own to the image, the class token {of_class:.0%}."
        )

    def picture(self) -> matplotlib.figure.Figure:
        """The digit, two maps of looking at the condition, two of the condition's looking."""
        now = self.stages()
        shares = now["shares"]
        maps = [*shares[:-2, -2:].T, *shares[-2:, :-2]]
        # full colour at 0.5 and shaded by the root, as on the page
        squares = [np.sqrt(2 * row).reshape(GRID, GRID) for row in maps]
        titles = ["the digit", "patch → time", "patch → class", "time → patch", "class → patch"]
        return plots.image_row([now["image"], *squares], titles, digits=(0,))
