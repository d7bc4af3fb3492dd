"""Chapter 17's figure: two blocks side by side, and what each pays to hear its condition."""

from typing import Any, ClassVar

import matplotlib.figure
import torch
import traitlets

from dit_lesson.counting import measured_parameters
from dit_lesson.figures.base import Figure
from dit_lesson.plots import COLOURS, WIDTH, drawing
from dit_lesson.successors import KINDS, Kind, new_blocks

#: Who has such a block, and what makes its vectors.
NAMES: dict[str, tuple[str, str]] = {
    "own": ("own layer (DiT)", "own layer\nc → 6 D"),
    "shared": ("shared (PixArt)", "one layer\nfor all +\nown table"),
    "low rank": ("low rank (Z-Image)", "own layer\n256 → 6 D"),
    "two streams": ("two streams (SD3)", "a layer\neach\nc → 6 D"),
    "parallel": ("parallel (FLUX.1)", "own layer\nc → 3 D"),
    "none": ("no modulation (iMF)", ""),
}
#: The parts of the bars, from left to right, with their colours.
PARTS = {
    "modulation": "scale",
    "attention": "dark",
    "MLP": "light",
    "constants": "data",
}
_INK = {"dark": "#5f5f5f", "light": "#c4c4c4"}


class WhatCameNextFigure(Figure):
    """Two of the blocks of `successors` with the way of their tokens and their parameters."""

    caption: ClassVar[str] = (
        "Two ways to build all blocks of a model: the way of the tokens through one block, and "
        "how many of the parameters make shifts, scales and gates."
    )

    left = traitlets.Enum(KINDS, "own")
    right = traitlets.Enum(KINDS, "shared")
    hidden_size = traitlets.Int(1152, min=256, max=4096)
    depth = traitlets.Int(28, min=4, max=60)

    @classmethod
    def constants(cls) -> dict[str, Any]:
        """Names, and the colours of the bars."""
        return {"names": NAMES, "colours": PARTS}

    def stages(self) -> dict[str, Any]:
        """The parameters of all blocks by part, of each of the two."""
        return {side: self.counts(getattr(self, side)) for side in ("left", "right")}

    def counts(self, kind: Kind) -> dict[str, int]:
        """The parameters of all blocks of one kind, by the parts of the bars."""
        with torch.device("meta"):
            found = measured_parameters(new_blocks(kind, self.depth, self.hidden_size, 4))
        return {
            "modulation": found.get("modulation", 0),
            "attention": found["attention projections"],
            "MLP": found["MLP"],
            "constants": found.get("layer norms", 0),
        }

    def summary(self) -> str:
        """The share of modulation in both."""
        told = []
        for side, counts in self.stages().items():
            whole = sum(counts.values())
            told.append(
                f"{NAMES[getattr(self, side)][0]}: {counts['modulation'] / 1e6:,.1f} of "
                f"{whole / 1e6:,.1f} million parameters are modulation, "
                f"{counts['modulation'] / whole:.1%}"
            )
        return f"Width {self.hidden_size}, {self.depth} blocks. {told[0]}; {told[1]}."

    def picture(self) -> matplotlib.figure.Figure:
        """Both stacks as bars on one scale, cut into parts."""
        figure, axes = drawing(figsize=(WIDTH, 1.9))
        names = [NAMES[getattr(self, side)][0] for side in ("left", "right")]
        counts = list(self.stages().values())
        start = [0.0, 0.0]
        for part, colour in PARTS.items():
            widths = [count[part] / 1e6 for count in counts]
            ink = _INK.get(colour) or COLOURS[colour]
            axes.barh([0, 1], widths, left=start, color=ink, label=part)
            start = [a + b for a, b in zip(start, widths, strict=True)]
        axes.set_yticks([0, 1], names)
        axes.invert_yaxis()
        axes.set_xlabel(f"million parameters in {self.depth} blocks of width {self.hidden_size}")
        axes.legend(ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
        return figure
