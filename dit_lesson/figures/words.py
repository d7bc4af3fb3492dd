"""Chapter 18's figure: what three ways paint from a caption, and which word moves which token."""

import base64
from functools import cache
from typing import Any, ClassVar

import matplotlib.figure
import torch
import traitlets

from dit_lesson import plots
from dit_lesson.experiments import read_result
from dit_lesson.experiments.words import COLUMNS, MOST, NAMES, ROWS, SHOWN, SLANTS, TIMES
from dit_lesson.figures.assets import packed
from dit_lesson.figures.base import Figure
from dit_lesson.figures.training_assets import decoder, packed_decoder

LATENT = 8 * ROWS * COLUMNS
TELLING = 4  # words: all but left-of


@cache
def painted() -> torch.Tensor:
    """The stored canvases, (1200, 320) bytes: a row for each way and caption, two numbers a byte.

    Row 400 way + 40 left + 20 slant + 10 slant + right, as `canvas_run` has them.
    """
    runs = read_result("words-canvases")["runs"]
    content = b"".join(base64.b64decode(run["canvases"]) for run in runs)
    return torch.frombuffer(bytearray(content), dtype=torch.uint8).view(-1, 320)


class WordsFigure(Figure):
    """A caption of two slants and two names; `way` and `t` choose the model whose words are shown.

    A map tells how far the model's answer moves at each token when one word is exchanged: the
    slant for the other one, the name for the next.
    """

    caption: ClassVar[str] = (
        "Above, what three small models paint from the caption, all from the same noise; they "
        "differ only in the way by which the words come in. Below, for the chosen model, how far "
        "its answer at each of the 32 tokens moves when one word is exchanged (tilted for "
        "upright, a digit for the next)."
    )

    slant_left = traitlets.Enum(SLANTS, "tilted")
    name_left = traitlets.Enum(NAMES, "three")
    slant_right = traitlets.Enum(SLANTS, "upright")
    name_right = traitlets.Enum(NAMES, "seven")
    way = traitlets.Enum(tuple(SHOWN), "two streams")
    t = traitlets.Enum(TIMES, TIMES[0])

    @classmethod
    def constants(cls) -> dict[str, Any]:
        """The words, the ways, the times, and what the largest number of a map stands for."""
        return {
            "slants": list(SLANTS),
            "names": list(NAMES),
            "ways": list(SHOWN),
            "times": list(TIMES),
            "most": MOST,
        }

    @classmethod
    def assets(cls) -> dict[str, bytes]:
        """The canvases of all 400 captions, and the decoder that makes them visible."""
        return {"painted": packed({"canvases": painted()}), "decoder": packed_decoder()}

    def words(self) -> list[str]:
        """The four words that tell."""
        return [self.slant_left, self.name_left, self.slant_right, self.name_right]

    def stages(self) -> dict[str, Any]:
        """The caption as numbers, three canvases, four maps, and their means in each half."""
        a, c = (SLANTS.index(slant) for slant in (self.slant_left, self.slant_right))
        b, d = (NAMES.index(name) for name in (self.name_left, self.name_right))
        rows = [400 * way + 40 * b + 20 * a + 10 * c + d for way in range(len(SHOWN))]
        pairs = painted()[rows]
        levels = torch.stack([pairs & 15, pairs >> 4], dim=2).flatten(1).double()
        z = (levels[:, :LATENT] - 7.5).view(-1, 8, ROWS, COLUMNS) / 3
        moved = levels[list(SHOWN).index(self.way), LATENT:].view(len(TIMES), TELLING, ROWS, -1)
        maps = MOST / 15 * moved[TIMES.index(self.t)]
        with torch.no_grad():
            pictures = [decoder().from_latents(half)[:, 0] for half in z.chunk(2, dim=-1)]
        return {
            "asked": [a, b, c, d],
            "canvases": torch.cat(pictures, dim=-1).numpy(),
            "maps": maps.numpy(),
            "sides": maps.unflatten(-1, (2, -1)).mean(dim=(1, 3)).numpy(),
        }

    def summary(self) -> str:
        """The caption, and how far each name moves each half."""
        sides = self.stages()["sides"]
        moved = ", ".join(
            f"“{word}” moves the left half by {left:.2f} and the right by {right:.2f}"
            for word, (left, right) in zip(self.words()[1::2], sides[1::2], strict=True)
        )
        a, b, c, d = self.words()
        return f"“{a} {b} left-of {c} {d}”, {self.way} at t = {self.t}: {moved}."

    def picture(self) -> matplotlib.figure.Figure:
        """The three canvases above the four maps."""
        now = self.stages()
        figure, axes = plots.drawing(2, 12, figsize=(plots.WIDTH, 2.9))
        grid = axes[0, 0].get_gridspec()
        for place in axes.flat:
            place.remove()
        for i, (way, canvas) in enumerate(zip(SHOWN, now["canvases"], strict=True)):
            plots.ink(figure.add_subplot(grid[0, 4 * i : 4 * i + 4]), canvas, way)
        for i, (word, values) in enumerate(zip(self.words(), now["maps"], strict=True)):
            place = figure.add_subplot(grid[1, 3 * i : 3 * i + 3])
            plots.matrix(place, values, 1, word)
            place.set_aspect("equal")
        return figure
