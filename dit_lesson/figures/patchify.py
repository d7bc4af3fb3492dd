"""Chapter 4's figure: a latent cut into patches, flattened, read back, and what that costs."""

from dataclasses import replace
from typing import Any, ClassVar

import matplotlib.figure
import numpy as np
import torch
import traitlets
from einops import rearrange

from dit_lesson import plots
from dit_lesson.counting import Cost, dit_ledger, total
from dit_lesson.figures import samples
from dit_lesson.figures.base import Figure
from dit_lesson.models import DIT_CONFIGS
from dit_lesson.patches import patchify, unpatchify

DIGITS = (2, 3, 5, 8)
PATCH_SIZES = (1, 2, 4, 8)
ORDERS = ("p,p,C", "C,p,p")
SIZES = ("S", "B", "L", "XL")
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

    patch_size = traitlets.Enum(PATCH_SIZES, 2)
    cut_order = traitlets.Enum(ORDERS, "p,p,C")
    read_order = traitlets.Enum(ORDERS, "p,p,C")
    row = traitlets.Int(2, min=0, max=SIDE - 1)
    column = traitlets.Int(5, min=0, max=SIDE - 1)
    channel = traitlets.Int(2, min=0, max=CHANNELS - 1)
    digit = traitlets.Enum(DIGITS, 3)
    size = traitlets.Enum(SIZES, "XL")

    @classmethod
    def constants(cls) -> dict[str, Any]:
        """The latents of four test digits, and the paper's models by size."""
        sizes = {
            size: {"hidden_size": config.hidden_size, "depth": config.depth}
            for size, config in ((size, DIT_CONFIGS[f"DiT-{size}/2"]) for size in SIZES)
        }
        return {
            "latents": samples.latents("test")[list(DIGITS)].tolist(),
            "digits": DIGITS,
            "patch_sizes": PATCH_SIZES,
            "sizes": sizes,
        }

    @classmethod
    def assets(cls) -> dict[str, bytes]:
        """The decoder."""
        return {"decoder": samples.decoder()}

    def stages(self) -> dict[str, Any]:
        """The latent on its way there and back, the chosen number's places, and the costs."""
        output = self.output()
        place = self.place()
        return {
            "latent": self.latent(),
            "tokens": self.tokens(),
            "output": output,
            "token": place["tokens"][0],
            "feature": place["tokens"][1],
            "back": dict(zip(("channel", "row", "column"), place["output"], strict=True)),
            "kept": self.kept(),
            "decoded": samples.autoencoder().from_latents(torch.tensor(output)[None])[0, 0].numpy(),
            "costs": [
                {"tokens": tokens, "parameters": cost.parameters, "macs": cost.macs}
                for tokens, cost in self.costs()
            ],
        }

    def latent(self) -> np.ndarray:
        """The latent of the chosen digit, (4, 8, 8)."""
        return samples.latents("test")[self.digit]

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
        now = self.stages()
        right = samples.autoencoder().from_latents(torch.tensor(now["latent"])[None])[0, 0].numpy()
        return plots.patch_stages(
            now["latent"], now["tokens"], now["output"], (right, now["decoded"]), self.patch_size
        )
