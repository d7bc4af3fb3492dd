"""Chapter 3's figure: a walk between two digits, in pixels and in latents."""

import base64
from functools import cache
from typing import Any, ClassVar

import matplotlib.figure
import numpy as np
import torch
import traitlets
from safetensors.torch import save

from dit_lesson import plots
from dit_lesson.autoencoder import Autoencoder
from dit_lesson.checkpoints import load_weights
from dit_lesson.data import load_digits, scale_digits
from dit_lesson.figures.base import Figure

SIDE, CHANNELS, PICTURE = 8, 4, 32


@cache
def decoder() -> Autoencoder:
    """The shipped autoencoder as the page has it: weights of 16 bits, computed in 64."""
    autoencoder = Autoencoder(downsample=4)
    autoencoder.load_state_dict(load_weights("autoencoder-8x8x4"))
    return autoencoder.half().double()


@cache
def constants() -> dict[str, Any]:
    """The first test digit of each class, its latent, and the weights of the decoder."""
    images, labels = load_digits("test")
    first = [int(np.flatnonzero(labels == digit)[0]) for digit in range(10)]
    pictures = torch.tensor(scale_digits(images[first], PICTURE)).double()
    latents = decoder().to_latents(pictures).numpy().round(2)
    weights = {
        name: value.half().contiguous()
        for name, value in decoder().state_dict().items()
        if not name.startswith("encoder")
    }
    padded = np.pad(images[first], ((0, 0), (2, 2), (2, 2)))
    return {
        "images": [base64.b64encode(image.tobytes()).decode() for image in padded],
        "latents": latents.reshape(10, -1).tolist(),
        "weights": base64.b64encode(save(weights)).decode(),
    }


def greyness(picture: np.ndarray) -> float:
    r"""The mean of $1 - |x|$ over pixels x in [-1, 1]: 0 for ink and paper alone, 1 for grey."""
    return float(1 - np.abs(picture.clip(-1, 1)).mean())


class LatentSpaceFigure(Figure):
    """The mixture of two test digits at a `position` from 0 (`first`) to 1 (`second`).

    Once the pixels are mixed, once the latents, and the mixed latent is decoded.
    """

    caption: ClassVar[str] = (
        "A straight walk from one test digit to another. Left, the pixels of both are mixed; "
        "right, their latents of 8x8x4 are mixed in the same shares, and the decoder makes a "
        "picture of the mixture. In the middle the mixed latent, its channels two above two."
    )

    first = traitlets.Int(4, min=0, max=9).tag(sync=True, figure=True)
    second = traitlets.Int(9, min=0, max=9).tag(sync=True, figure=True)
    position = traitlets.Float(0.5, min=0, max=1).tag(sync=True, figure=True)
    images = traitlets.List().tag(sync=True, figure=True)
    latents = traitlets.List().tag(sync=True, figure=True)
    weights = traitlets.Unicode().tag(sync=True, figure=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**constants(), **traits)

    def _mix(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return (1 - self.position) * one + self.position * other

    def pixels(self) -> np.ndarray:
        """The mixture of the two pictures, (32, 32), in [-1, 1]."""
        first, second = (
            np.frombuffer(base64.b64decode(self.images[digit]), np.uint8) / 127.5 - 1
            for digit in (self.first, self.second)
        )
        return self._mix(first, second).reshape(PICTURE, PICTURE)

    def latent(self) -> np.ndarray:
        """The mixture of the two standardised latents, (4, 8, 8)."""
        first, second = (np.asarray(self.latents[digit]) for digit in (self.first, self.second))
        return self._mix(first, second).reshape(CHANNELS, SIDE, SIDE)

    def decoded(self) -> np.ndarray:
        """The decoder's picture of the mixed latent, (32, 32)."""
        return decoder().from_latents(torch.tensor(self.latent())[None])[0, 0].numpy()

    def summary(self) -> str:
        """The shares, and how grey both pictures are."""
        return (
            f"{1 - self.position:.0%} of a {self.first} and {self.position:.0%} of a "
            f"{self.second}: mixed as pixels the picture is {greyness(self.pixels()):.1%} grey, "
            f"mixed as latents and decoded {greyness(self.decoded()):.1%}."
        )

    def picture(self) -> matplotlib.figure.Figure:
        """The mixed pixels, the mixed latent, and its decoded picture."""
        (a, b), (c, d) = self.latent().reshape(2, 2, SIDE, SIDE) / 3
        titles = ["pixels mixed", "latents mixed (÷ 3)", "latents mixed, decoded"]
        return plots.image_row([self.pixels(), np.block([[a, b], [c, d]]), self.decoded()], titles)
