"""Chapter 3's figure: a walk between two digits, in pixels and in latents."""

from typing import Any, ClassVar

import matplotlib.figure
import numpy as np
import torch
import traitlets

from dit_lesson import plots
from dit_lesson.figures import samples
from dit_lesson.figures.base import Figure

SIDE, CHANNELS = samples.LATENT_SIDE, samples.LATENT_CHANNELS


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

    first = traitlets.Int(4, min=0, max=9)
    second = traitlets.Int(9, min=0, max=9)
    position = traitlets.Float(0.5, min=0, max=1)

    @classmethod
    def constants(cls) -> dict[str, Any]:
        """The first test digit of each class, as it is and as a latent."""
        padded = np.pad(samples.first_of_each_class("test"), ((0, 0), (2, 2), (2, 2)))
        return {
            "images": samples.as_texts(padded),
            "latents": samples.latents("test").reshape(10, -1).tolist(),
        }

    @classmethod
    def assets(cls) -> dict[str, bytes]:
        """The decoder."""
        return {"decoder": samples.decoder()}

    def stages(self) -> dict[str, Any]:
        """Both digits, the mixed pixels, the mixed latent, its decoded picture, and greyness."""
        padded = np.pad(samples.first_of_each_class("test"), ((0, 0), (2, 2), (2, 2)))
        first, second = (samples.as_numbers(padded[digit]) for digit in (self.first, self.second))
        latents = samples.latents("test")
        latent = self._mix(latents[self.first], latents[self.second])
        pixels = self._mix(first, second)
        decoded = samples.autoencoder().from_latents(torch.tensor(latent)[None])[0, 0].numpy()
        return {
            "first": first,
            "second": second,
            "pixels": pixels,
            "latent": latent.reshape(CHANNELS * SIDE, SIDE),
            "decoded": decoded,
            "grey": [greyness(pixels), greyness(decoded)],
        }

    def _mix(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return (1 - self.position) * one + self.position * other

    def summary(self) -> str:
        """The shares, and how grey both pictures are."""
        pixels, decoded = self.stages()["grey"]
        return (
            f"{1 - self.position:.0%} of a {self.first} and {self.position:.0%} of a "
            f"{self.second}: mixed as pixels the picture is {pixels:.1%} grey, "
            f"mixed as latents and decoded {decoded:.1%}."
        )

    def picture(self) -> matplotlib.figure.Figure:
        """The mixed pixels, the mixed latent, and its decoded picture."""
        now = self.stages()
        (a, b), (c, d) = now["latent"].reshape(2, 2, SIDE, SIDE) / 3
        titles = ["pixels mixed", "latents mixed (÷ 3)", "latents mixed, decoded"]
        images = [now["pixels"], np.block([[a, b], [c, d]]), now["decoded"]]
        return plots.image_row(images, titles, digits=(0, 2))
