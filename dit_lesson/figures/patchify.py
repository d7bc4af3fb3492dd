"""Chapter 4's figure: a latent cut into patches, flattened, read back, and what that costs."""

import base64
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar

import matplotlib.figure
import numpy as np
import torch
import traitlets
from einops import rearrange

from dit_lesson import plots
from dit_lesson.autoencoder import Autoencoder
from dit_lesson.checkpoints import load_weights
from dit_lesson.counting import Cost, dit_ledger, total
from dit_lesson.data import load_digits, scale_digits
from dit_lesson.figures.base import Figure
from dit_lesson.models import DIT_CONFIGS
from dit_lesson.patches import patchify, unpatchify

DIGITS = (2, 3, 5, 8)
PATCH_SIZES = (1, 2, 4, 8)
ORDERS = ("p,p,C", "C,p,p")
SIDE, CHANNELS = 8, 4  # of the latent
COST_SIDE = 32  # of the paper's latent of a 256x256 picture


def cut(latent: np.ndarray, patch_size: int, order: str) -> np.ndarray:
    """The tokens (N, p * p * C) of a latent (C, H, W), features in the given order."""
    tokens = patchify(latent[None], patch_size)[0]
    if order == "C,p,p":
        tokens = rearrange(tokens, "n (k c) -> n (c k)", c=len(latent))
    return tokens


def read(tokens: np.ndarray, patch_size: int, order: str) -> np.ndarray:
    """The latent (C, 8, 8) that tokens are, if their features are in the given order."""
    if order == "C,p,p":
        tokens = rearrange(tokens, "n (c k) -> n (k c)", k=patch_size**2)
    return unpatchify(tokens[None], patch_size, SIDE, SIDE)[0]


def way(patch_size: int, cut_order: str, read_order: str) -> str:
    """The name of a way there and back: "right", or the patch size and both orders."""
    right = cut_order == read_order or patch_size == 1
    return "right" if right else f"{patch_size} {cut_order} {read_order}"


@cache
def constants() -> dict[str, Any]:
    """The latents of four test digits, and every picture that the decoder makes of them.

    Computed in float64, so that the rounded numbers are the same on every machine.
    """
    autoencoder = Autoencoder(downsample=4)
    autoencoder.load_state_dict(load_weights("autoencoder-8x8x4"))
    autoencoder = autoencoder.double()
    images, labels = load_digits("test")
    first = [int(np.flatnonzero(labels == digit)[0]) for digit in DIGITS]
    originals = torch.tensor(scale_digits(images[first], 4 * SIDE)).double()
    latents = autoencoder.to_latents(originals).numpy().round(2)
    decoded: list[dict[str, str]] = [{} for _ in DIGITS]
    for pictures, latent in zip(decoded, latents, strict=True):
        for p in PATCH_SIZES:
            for one, other in (ORDERS, ORDERS[::-1], ORDERS[:1] * 2):
                output = read(cut(latent, p, one), p, other)
                picture = autoencoder.from_latents(torch.tensor(output)[None])[0, 0].numpy()
                grey = np.rint(255 * (picture.clip(-1, 1) + 1) / 2).astype(np.uint8)
                pictures[way(p, one, other)] = base64.b64encode(grey.tobytes()).decode()
    return {"latents": latents.tolist(), "decoded": decoded}


class PatchifyFigure(Figure):
    """A latent of 8x8x4, its token matrix, and the latent that is read back from it.

    `cut_order` is how `patchify` writes the features of a token, `read_order` how `unpatchify`
    reads them.  `row`, `column` and `channel` choose one number of the latent, which is
    followed through.  `size` is the DiT whose cost is shown, for pictures of 256x256.
    """

    caption: ClassVar[str] = (
        "A latent of 8x8 positions and 4 channels (two above two) cut into patches; the matrix "
        "of tokens, a row for each patch; the latent that is read back from it; and the digit "
        "that the decoder makes of that. One number is framed on its whole way. Below: what the "
        "patch size costs a DiT."
    )

    patch_size = traitlets.Enum(PATCH_SIZES, 2).tag(sync=True, figure=True)
    cut_order = traitlets.Enum(ORDERS, "p,p,C").tag(sync=True, figure=True)
    read_order = traitlets.Enum(ORDERS, "p,p,C").tag(sync=True, figure=True)
    row = traitlets.Int(2, min=0, max=SIDE - 1).tag(sync=True, figure=True)
    column = traitlets.Int(5, min=0, max=SIDE - 1).tag(sync=True, figure=True)
    channel = traitlets.Int(2, min=0, max=CHANNELS - 1).tag(sync=True, figure=True)
    digit = traitlets.Enum(DIGITS, 3).tag(sync=True, figure=True)
    size = traitlets.Enum(("S", "B", "L", "XL"), "XL").tag(sync=True, figure=True)
    latents = traitlets.List().tag(sync=True, figure=True)
    decoded = traitlets.List().tag(sync=True, figure=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**constants(), **traits)

    def latent(self) -> np.ndarray:
        """The latent of the chosen digit, (4, 8, 8)."""
        return np.asarray(self.latents[DIGITS.index(self.digit)])

    def tokens(self) -> np.ndarray:
        """The token matrix (N, p * p * 4)."""
        return cut(self.latent(), self.patch_size, self.cut_order)

    def output(self) -> np.ndarray:
        """What is read back, (4, 8, 8)."""
        return read(self.tokens(), self.patch_size, self.read_order)

    def _numbered(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        # the way of each number: a latent that holds its own indices
        latent = np.arange(float(CHANNELS * SIDE**2)).reshape(CHANNELS, SIDE, SIDE)
        tokens = cut(latent, self.patch_size, self.cut_order)
        return latent, tokens, read(tokens, self.patch_size, self.read_order)

    def place(self) -> dict[str, tuple[int, ...]]:
        """Where the chosen number is: (token, feature), and read back (channel, row, column)."""
        latent, tokens, output = self._numbered()
        number = latent[self.channel, self.row, self.column]
        return {
            name: tuple(map(int, np.argwhere(stage == number)[0]))
            for name, stage in (("tokens", tokens), ("output", output))
        }

    def kept(self) -> int:
        """How many of the 256 numbers return to where they were."""
        latent, _, output = self._numbered()
        return int((latent == output).sum())

    def costs(self) -> list[tuple[int, Cost]]:
        """(tokens, cost) of the chosen DiT for each patch size, pictures of 256x256."""
        config = DIT_CONFIGS[f"DiT-{self.size}/2"]
        return [
            ((COST_SIDE // p) ** 2, total(dit_ledger(replace(config, patch_size=p)).values()))
            for p in PATCH_SIZES
        ]

    def picture_of(self, name: str) -> np.ndarray:
        """A decoded picture (32, 32) in [-1, 1], by the name that `way` gives."""
        grey = base64.b64decode(self.decoded[DIGITS.index(self.digit)][name])
        return np.frombuffer(grey, np.uint8).reshape(4 * SIDE, 4 * SIDE) / 127.5 - 1

    def summary(self) -> str:
        """The shapes, how many numbers return to their place, and the cost."""
        p, (num_tokens, num_features) = self.patch_size, self.tokens().shape
        tokens, cost = self.costs()[PATCH_SIZES.index(p)]
        return (
            f"Patches of {p}x{p} make {num_tokens} tokens of {num_features} features out of an "
            f"8x8x4 latent; cut as ({self.cut_order}) and read as ({self.read_order}), "
            f"{self.kept()} of 256 numbers return to their place. DiT-{self.size}/{p} has "
            f"{tokens} tokens for a 256x256 picture, {cost.parameters / 1e6:.2f} million "
            f"parameters and {cost.macs / 1e9:.2f} GMAC."
        )

    def picture(self) -> matplotlib.figure.Figure:
        """The digit, the latent, the tokens, the latent read back, and what it decodes to."""
        name = way(self.patch_size, self.cut_order, self.read_order)
        pictures = (self.picture_of("right"), self.picture_of(name))
        stages = (self.latent(), self.tokens(), self.output())
        return plots.patch_stages(*stages, pictures, self.patch_size)
