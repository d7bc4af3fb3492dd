"""Chapter 8's figure: image tokens that look up the time and the words of a caption."""

from functools import cache
from typing import Any, ClassVar

import matplotlib.figure
import numpy as np
import torch
import traitlets

from dit_lesson import plots
from dit_lesson.attention import attention_maps
from dit_lesson.checkpoints import load_model, load_weights
from dit_lesson.data import CAPTION_WORDS
from dit_lesson.embeddings import CaptionEncoder
from dit_lesson.figures import looking, samples
from dit_lesson.figures.assets import packed_weights, unpacked
from dit_lesson.figures.base import Figure
from dit_lesson.figures.looking import DEPTH, GRID, MEAN, NUM_HEADS
from dit_lesson.models import DiT

NAME = "caption-dit"


@cache
def weights() -> bytes:
    """The shipped weights in 8 bits, without what comes after the last look-up."""
    return packed_weights(NAME, keep=looking.before_last_look, bits=8)


@cache
def model() -> DiT:
    """The shipped model that reads captions, as rounded for the page, in double precision."""
    trained = load_model(NAME).double().eval()
    trained.load_state_dict(load_weights(NAME) | unpacked(weights()))
    return trained


class CrossAttentionFigure(Figure):
    """Where the sixteen tokens of a noised digit look, in one cross-attention layer.

    `picture_of` is the digit that is noised up to step `t`; `weight`, `slant` and `name` are the
    words of the caption, which may say something else.  `head` -1 is the mean of all heads.
    """

    caption: ClassVar[str] = (
        "A digit, cut into sixteen patches, and for each key (the time step and the four words "
        "of the caption) how much each patch's token looks it up, from 0 to 1. At every patch "
        "the five numbers add up to 1. The trained model, its weights rounded to 8 bits."
    )

    t = traitlets.Int(300, min=0, max=999)
    weight = traitlets.Enum(CAPTION_WORDS[1:3], "bold")
    slant = traitlets.Enum(CAPTION_WORDS[3:5], "tilted")
    name = traitlets.Enum(CAPTION_WORDS[5:], "seven")
    block = traitlets.Int(2, min=0, max=DEPTH - 1)
    head = traitlets.Int(MEAN, min=MEAN, max=NUM_HEADS - 1)
    picture_of = traitlets.Int(7, min=0, max=9)

    @classmethod
    def constants(cls) -> dict[str, Any]:
        """Digits to show, their latents, one noise, heads and the words."""
        return looking.constants() | {"words": list(CAPTION_WORDS)}

    @classmethod
    def assets(cls) -> dict[str, bytes]:
        """The model."""
        return {"weights": weights()}

    def looked_up(self) -> list[str]:
        """What can be looked up."""
        return ["time", "a", self.weight, self.slant, self.name]

    def stages(self) -> dict[str, np.ndarray]:
        """The digit, and how much each token looks each key up, (5, 16)."""
        image = samples.as_numbers(samples.small_digits()[self.picture_of])
        t = torch.tensor([self.t]).double()
        noised = looking.noised(self.picture_of, t)
        reader = model().y_embedder
        assert isinstance(reader, CaptionEncoder)
        words = reader.encode([" ".join(self.looked_up()[1:])])
        maps = attention_maps(model(), noised, t, words)[f"blocks.{self.block}.cross_attn"][0]
        return {"image": image, "maps": looking.shares(maps, self.head).T.numpy()}

    def summary(self) -> str:
        """The share of each key, over all tokens."""
        shares = self.stages()["maps"].mean(axis=1)
        listed = ", ".join(
            f"{key} {share:.0%}" for key, share in zip(self.looked_up(), shares, strict=True)
        )
        return (
            f"A digit {self.picture_of} at step {self.t} under the caption "
            f"“{' '.join(self.looked_up()[1:])}”, block {self.block}, "
            f"{looking.head_name(self.head)}: the tokens look up {listed}."
        )

    def picture(self) -> matplotlib.figure.Figure:
        """The digit and a map of its patches for each key."""
        now = self.stages()
        # full colour at 0.6, as on the page
        maps = [row.reshape(GRID, GRID) / 0.6 for row in now["maps"]]
        return plots.image_row([now["image"], *maps], ["the digit", *self.looked_up()], digits=(0,))
