"""Chapter 1's figure: hide or swap patches of a digit and watch CLS."""

from functools import cache
from typing import Any, ClassVar

import matplotlib.figure
import numpy as np
import torch
import traitlets

from dit_lesson import plots
from dit_lesson.attention import attention_maps
from dit_lesson.checkpoints import load_model, read_card
from dit_lesson.figures import samples
from dit_lesson.figures.assets import packed_weights
from dit_lesson.figures.base import Figure
from dit_lesson.models import ViT
from dit_lesson.patches import patchify, unpatchify

NAME = "vit"
PATCH_SIZE, GRID, DEPTH = 7, 4, 4


@cache
def model() -> ViT:
    """The shipped classifier in double precision."""
    return load_model(NAME).double().eval()


class ViTFigure(Figure):
    """A trained ViT on a test digit whose patches can be hidden and swapped.

    `order` says which patch of the digit lies at each of the 16 places, `hidden` which places are
    covered with paper. `place` and `other` are the two places that the buttons act on.
    """

    caption: ClassVar[str] = (
        "A test digit in sixteen patches, how much the CLS token looks at each of them in one "
        "block (mean over the heads), and what the model makes of it. A trained model of 116,122 "
        "parameters, running in this page."
    )

    digit = traitlets.Int(2, min=0, max=9)
    block = traitlets.Int(3, min=0, max=DEPTH - 1)
    place = traitlets.Int(5, min=0, max=15)
    other = traitlets.Int(9, min=0, max=15)
    order = traitlets.List(traitlets.Int(min=0, max=15))
    hidden = traitlets.List(traitlets.Bool())

    def __init__(self, **traits: Any) -> None:
        start = {"order": list(range(GRID**2)), "hidden": [False] * GRID**2}
        super().__init__(**(start | traits))

    @classmethod
    def constants(cls) -> dict[str, Any]:
        """The first test digit of each class, and the sizes of the model."""
        return {
            "digits": samples.as_texts(samples.first_of_each_class("test")),
            "patch_size": PATCH_SIZE,
            "depth": DEPTH,
            "num_heads": read_card(NAME)["arguments"]["num_heads"],
        }

    @classmethod
    def assets(cls) -> dict[str, bytes]:
        """The model."""
        return {"weights": packed_weights(NAME)}

    @traitlets.validate("order", "hidden")
    def _one_for_each_place(self, proposal: Any) -> list[Any]:
        if len(proposal.value) != GRID**2:
            raise traitlets.TraitError(
                f"{proposal.trait.name} has {len(proposal.value)} entries, expected {GRID**2}"
            )
        return proposal.value

    def image(self) -> np.ndarray:
        """The digit as the model sees it, (28, 28) in [-1, 1]."""
        digit = samples.as_numbers(samples.first_of_each_class("test")[self.digit])
        tokens = patchify(digit[None, None], PATCH_SIZE)[0][self.order]
        tokens = np.where(np.asarray(self.hidden)[:, None], -1.0, tokens)
        return unpatchify(tokens[None], PATCH_SIZE, 28, 28)[0, 0]

    def stages(self) -> dict[str, np.ndarray]:
        """The image, the attention of CLS to the patches (16,) and the probabilities (10,)."""
        image = torch.tensor(self.image())[None, None]
        with torch.no_grad():
            probabilities = model()(image).softmax(dim=-1)[0]
        maps = attention_maps(model(), image)[f"blocks.{self.block}.attn"][0]
        attention = maps[:, 0, 1:].mean(dim=0)
        return {
            "image": self.image(),
            "attention": attention.numpy(),
            "probabilities": probabilities.numpy(),
        }

    def summary(self) -> str:
        """What the model says, and the patch that CLS looks at most."""
        now = self.stages()
        attention, probabilities = now["attention"], now["probabilities"]
        said = probabilities.argmax()
        changed = sum(place != patch for place, patch in enumerate(self.order))
        return (
            f"A test digit {self.digit} with {sum(self.hidden)} patches hidden, {changed} moved: "
            f"the model says {said} with probability {probabilities[said]:.2f}, and in block "
            f"{self.block} CLS looks most at patch {attention.argmax()}."
        )

    def picture(self) -> matplotlib.figure.Figure:
        """The digit, the attention of CLS and the probabilities."""
        now = self.stages()
        return plots.classified(now["image"], PATCH_SIZE, now["attention"], now["probabilities"])
