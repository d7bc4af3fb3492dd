"""Chapter 1's figure: hide or swap patches of a digit and watch CLS."""

import base64
from functools import cache
from typing import Any, ClassVar

import matplotlib.figure
import numpy as np
import torch
import traitlets

from dit_lesson import plots
from dit_lesson.attention import attention_maps
from dit_lesson.checkpoints import WEIGHTS, load_weights, read_card
from dit_lesson.data import load_digits
from dit_lesson.figures.base import Figure
from dit_lesson.models import ViT
from dit_lesson.patches import patchify, unpatchify

NAME = "vit"
PATCH_SIZE, GRID, DEPTH = 7, 4, 4


@cache
def model() -> ViT:
    """The shipped classifier in double precision."""
    trained = ViT(**read_card(NAME)["arguments"])
    trained.load_state_dict(load_weights(NAME))
    return trained.double().eval()


@cache
def constants() -> dict[str, Any]:
    """The first test digit of each class, and the file of weights."""
    images, labels = load_digits("test")
    first = [int(np.flatnonzero(labels == digit)[0]) for digit in range(10)]
    weights = (WEIGHTS / f"{NAME}.safetensors").read_bytes()
    return {
        "digits": images[first].tolist(),
        "weights": base64.b64encode(weights).decode(),
    }


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

    digit = traitlets.Int(2, min=0, max=9).tag(sync=True, figure=True)
    block = traitlets.Int(3, min=0, max=DEPTH - 1).tag(sync=True, figure=True)
    place = traitlets.Int(5, min=0, max=15).tag(sync=True, figure=True)
    other = traitlets.Int(9, min=0, max=15).tag(sync=True, figure=True)
    order = traitlets.List(traitlets.Int(min=0, max=15)).tag(sync=True, figure=True)
    hidden = traitlets.List(traitlets.Bool()).tag(sync=True, figure=True)
    digits = traitlets.List().tag(sync=True, figure=True)
    weights = traitlets.Unicode().tag(sync=True, figure=True)

    def __init__(self, **traits: Any) -> None:
        start = {"order": list(range(GRID**2)), "hidden": [False] * GRID**2}
        super().__init__(**constants(), **(start | traits))

    @traitlets.validate("order", "hidden")
    def _one_for_each_place(self, proposal: Any) -> list[Any]:
        if len(proposal.value) != GRID**2:
            raise traitlets.TraitError(
                f"{proposal.trait.name} has {len(proposal.value)} entries, expected {GRID**2}"
            )
        return proposal.value

    def image(self) -> np.ndarray:
        """The digit as the model sees it, (28, 28) in [-1, 1]."""
        digit = np.asarray(self.digits[self.digit]) / 127.5 - 1
        tokens = patchify(digit[None, None], PATCH_SIZE)[0][self.order]
        tokens = np.where(np.asarray(self.hidden)[:, None], -1.0, tokens)
        return unpatchify(tokens[None], PATCH_SIZE, 28, 28)[0, 0]

    def stages(self) -> tuple[np.ndarray, np.ndarray]:
        """The attention of CLS to the patches (16,) and the class probabilities (10,)."""
        image = torch.tensor(self.image())[None, None]
        with torch.no_grad():
            probabilities = model()(image).softmax(dim=-1)[0]
        maps = attention_maps(model(), image)[f"blocks.{self.block}.attn"][0]
        return maps[:, 0, 1:].mean(dim=0).numpy(), probabilities.numpy()

    def summary(self) -> str:
        """What the model says, and the patch that CLS looks at most."""
        attention, probabilities = self.stages()
        said = probabilities.argmax()
        changed = sum(place != patch for place, patch in enumerate(self.order))
        return (
            f"A test digit {self.digit} with {sum(self.hidden)} patches hidden, {changed} moved: "
            f"the model says {said} with probability {probabilities[said]:.2f}, and in block "
            f"{self.block} CLS looks most at patch {attention.argmax()}."
        )

    def picture(self) -> matplotlib.figure.Figure:
        """The digit, the attention of CLS and the probabilities."""
        attention, probabilities = self.stages()
        return plots.classified(self.image(), PATCH_SIZE, attention, probabilities)
