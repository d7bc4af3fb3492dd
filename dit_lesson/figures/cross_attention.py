"""Chapter 8's figure: image tokens that look up the time and the words of a caption."""

import base64
from functools import cache
from typing import Any, ClassVar

import matplotlib.figure
import numpy as np
import torch
import traitlets

from dit_lesson import plots
from dit_lesson.attention import attention_maps
from dit_lesson.checkpoints import load_model, load_weights
from dit_lesson.data import CAPTION_WORDS, load_digits, scale_digits
from dit_lesson.diffusion import interpolate
from dit_lesson.figures.adaptive_layer_norm import small_digits
from dit_lesson.figures.base import Figure
from dit_lesson.models import DiT

NAME = "caption-dit"
MEAN = -1  # in the place of a head: the mean over all heads
DEPTH, NUM_HEADS, GRID = 3, 4, 4


@cache
def weights() -> dict[str, Any]:
    """The shipped weights in 8 bits, each tensor with a step, [rows, step, base64].

    Without the numbers that come after the last look-up, so that the page stays light.
    """
    after = ("final_layer", f"blocks.{DEPTH - 1}.mlp")
    compact = {}
    for name, tensor in load_weights(NAME).items():
        if not name.startswith(after):
            step = tensor.abs().max().item() / 127
            levels = (tensor.double() / step).round().to(torch.int8).numpy()
            text = base64.b64encode(levels.tobytes()).decode()
            compact[name] = [len(tensor) if tensor.ndim > 1 else 0, step, text]
    return compact


@cache
def model() -> DiT:
    """The shipped model that reads captions, as rounded for the page, in double precision."""
    trained = load_model(NAME).double()
    rounded = {name: value.double() for name, value in load_weights(NAME).items()}
    for name, (_, step, text) in weights().items():
        levels = np.frombuffer(base64.b64decode(text), np.int8).astype(float)
        rounded[name] = torch.tensor(step * levels).reshape(rounded[name].shape)
    trained.load_state_dict(rounded)
    return trained


@cache
def constants() -> dict[str, Any]:
    """Small digits to show, their latents, one noise, and the weights."""
    autoencoder = load_model("autoencoder-4x4x8")
    images, labels = load_digits("train")
    first = [int(np.flatnonzero(labels == digit)[0]) for digit in range(10)]
    pictures = torch.tensor(scale_digits(images[first], 32)).double()
    return {
        "digits": small_digits().tolist(),
        "latents": autoencoder.double().to_latents(pictures).numpy().round(2).tolist(),
        "noise": np.random.default_rng(0).normal(size=(8, 4, 4)).round(2).tolist(),
        "weights": weights(),
    }


class CrossAttentionFigure(Figure):
    """Where the sixteen tokens of a noised digit look, in one cross-attention layer.

    `picture_of` is the digit that is noised, at `t` = 1 altogether; `weight`, `slant` and `name`
    are the words of the caption, which may say something else.  `head` -1 is the mean of all heads.
    """

    caption: ClassVar[str] = (
        "A digit, cut into sixteen patches, and for each key (the time and the four words "
        "of the caption) how much each patch's token looks it up, from 0 to 1. At every patch "
        "the five numbers add up to 1. The trained model, its weights rounded to 8 bits."
    )

    t = traitlets.Float(0.3, min=0, max=1).tag(sync=True, figure=True)
    weight = traitlets.Enum(CAPTION_WORDS[1:3], "bold").tag(sync=True, figure=True)
    slant = traitlets.Enum(CAPTION_WORDS[3:5], "tilted").tag(sync=True, figure=True)
    name = traitlets.Enum(CAPTION_WORDS[5:], "seven").tag(sync=True, figure=True)
    block = traitlets.Int(2, min=0, max=DEPTH - 1).tag(sync=True, figure=True)
    head = traitlets.Int(MEAN, min=MEAN, max=NUM_HEADS - 1).tag(sync=True, figure=True)
    picture_of = traitlets.Int(7, min=0, max=9).tag(sync=True, figure=True)
    digits = traitlets.List().tag(sync=True, figure=True)
    latents = traitlets.List().tag(sync=True, figure=True)
    noise = traitlets.List().tag(sync=True, figure=True)
    weights = traitlets.Dict().tag(sync=True, figure=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**constants(), **traits)

    def looked_up(self) -> list[str]:
        """What can be looked up."""
        return ["time", "a", self.weight, self.slant, self.name]

    def stages(self) -> np.ndarray:
        """How much each token looks each key up, (5, 16)."""
        t = torch.tensor([self.t]).double()
        clean = torch.tensor([self.latents[self.picture_of]]).double()
        noised = interpolate(clean, torch.tensor([self.noise]).double(), t)
        words = model().y_embedder.encode([" ".join(self.looked_up()[1:])])
        all_maps = attention_maps(model(), noised, 1000 * t, words)
        maps = all_maps[f"blocks.{self.block}.cross_attn"][0]
        chosen = maps.mean(dim=0) if self.head == MEAN else maps[self.head]
        return chosen.T.numpy()

    def summary(self) -> str:
        """The share of each key, over all tokens."""
        shares = self.stages().mean(axis=1)
        head = "the mean of all heads" if self.head == MEAN else f"head {self.head}"
        listed = ", ".join(
            f"{key} {share:.0%}" for key, share in zip(self.looked_up(), shares, strict=True)
        )
        return (
            f"A digit {self.picture_of} at t = {self.t:.2f} under the caption "
            f"“{' '.join(self.looked_up()[1:])}”, block {self.block}, {head}: "
            f"the tokens look up {listed}."
        )

    def picture(self) -> matplotlib.figure.Figure:
        """The digit and a map of its patches for each key."""
        image = np.asarray(self.digits[self.picture_of]) / 127.5 - 1
        # full colour at 0.6, as on the page
        maps = [row.reshape(GRID, GRID) / 0.6 for row in self.stages()]
        return plots.image_row([image, *maps], ["the digit", *self.looked_up()])
