"""Chapter 12's figure: a map of the whole model, part by part."""

from dataclasses import replace
from typing import Any, ClassVar

import matplotlib.figure
import traitlets

from dit_lesson.counting import Cost, dit_ledger, total
from dit_lesson.figures.base import DESIGN_NAMES, Figure
from dit_lesson.models import DESIGNS, DIT_CONFIGS, DiTConfig
from dit_lesson.plots import COLOURS, WIDTH, drawing

SIZES = ("S", "B", "L", "XL")

#: Every part of the map: its name, its equation in words, and where it is told.
PARTS: dict[str, tuple[str, str, str]] = {
    "latent": (
        "noisy latent",
        "a · latent + b · noise, with the shares that t says",
        "chapters 2 and 3",
    ),
    "patches": ("patches", "E · patch + b, the same for every patch", "chapter 4"),
    "positions": (
        "positions",
        "token + its row of a fixed table of sines and cosines",
        "chapter 5",
    ),
    "time": ("time", "linear, SiLU, linear of the cosines and sines of t", "chapter 6"),
    "label": ("label", "row y of a table, and one more row for no class", "chapter 6"),
    "modulation": (
        "modulation",
        "W · SiLU(c) + b, cut into vectors of width D",
        "chapters 9 and 10",
    ),
    "norms": (
        "layer norms",
        "(token − its mean) / its deviation, then scale and shift",
        "chapter 9",
    ),
    "attention": (
        "attention",
        "softmax(queries · keys / √d) · values, then a linear layer",
        "chapter 1",
    ),
    "cross": ("cross-attention", "queries of the tokens, keys and values of t and y", "chapter 8"),
    "MLP": ("MLP", "linear to 4 D, GELU, linear back to D, for each token", "chapter 1"),
    "final": ("final layer", "W · norm(token) + b: the numbers of a patch", "chapter 12"),
    "answer": (
        "answer",
        "patches back in place: the noise, then the variance",
        "chapters 4 and 12",
    ),
}

#: The entries of a ledger that a part of the map stands for; the others cost nothing.
LEDGER: dict[str, tuple[str, ...]] = {
    "patches": ("patch embedding",),
    "time": ("time embedding",),
    "label": ("label embedding",),
    "modulation": ("modulation",),
    "norms": ("layer norms",),
    "attention": ("attention projections", "attention scores"),
    "cross": ("cross-attention projections", "cross-attention scores"),
    "MLP": ("MLP",),
    "final": ("final layer",),
}


class WholeDiTFigure(Figure):
    """The parts of a DiT with their shapes and costs, at each of the paper's sizes."""

    caption: ClassVar[str] = (
        "A DiT from noisy latent to answer: for every part the shape of what it gives for one "
        "picture, and its share of the parameters and of the multiply-accumulates."
    )

    size = traitlets.Enum(SIZES, "XL")
    patch_size = traitlets.Enum((2, 4, 8), 2)
    conditioning = traitlets.Enum(tuple(DESIGNS), "adaln-zero")
    part = traitlets.Enum(("whole", *PARTS), "modulation")

    @classmethod
    def constants(cls) -> dict[str, Any]:
        """The paper's sizes, and what there is to say about the parts."""
        sizes = {
            size: {
                "hidden_size": config.hidden_size,
                "depth": config.depth,
                "heads": config.num_heads,
            }
            for size, config in ((size, DIT_CONFIGS[f"DiT-{size}/2"]) for size in SIZES)
        }
        return {"sizes": sizes, "designs": DESIGN_NAMES, "texts": PARTS, "ledger_of": LEDGER}

    def config(self) -> DiTConfig:
        """Of the chosen model, for pictures of 256 pixels."""
        config = DIT_CONFIGS[f"DiT-{self.size}/{self.patch_size}"]
        return replace(config, conditioning=self.conditioning)

    def stages(self) -> dict[str, Any]:
        """By part what it takes and gives for one picture, and what it costs; the total."""
        config = self.config()
        ledger = dit_ledger(config)
        whole = total(ledger.values())
        parts = {}
        for part, (takes, gives) in shapes(config).items():
            cost = total(ledger.get(entry, Cost()) for entry in LEDGER.get(part, ()))
            parts[part] = {
                "takes": takes,
                "gives": gives,
                "parameters": cost.parameters,
                "macs": cost.macs,
            }
        return {"parts": parts, "parameters": whole.parameters, "macs": whole.macs}

    def summary(self) -> str:
        """The chosen model in all, and the chosen part."""
        now = self.stages()
        text = (
            f"DiT-{self.size}/{self.patch_size}, {DESIGN_NAMES[self.conditioning]}: "
            f"{now['parameters'] / 1e6:.2f} million parameters, {now['macs'] / 1e9:.2f} GMAC"
        )
        chosen = now["parts"].get(self.part)
        if chosen is None:
            return f"{text}."
        return (
            f"{text}; {PARTS[self.part][0]} gives {times(chosen['gives'])} and has "
            f"{chosen['parameters'] / now['parameters']:.1%} of the parameters, "
            f"{chosen['macs'] / now['macs']:.1%} of the MACs."
        )

    def picture(self) -> matplotlib.figure.Figure:
        """The parts in their order, each with its two shares."""
        now = self.stages()
        names = [f"{PARTS[part][0]}  {times(p['gives'])}" for part, p in now["parts"].items()]
        figure, axes = drawing(1, 2, figsize=(WIDTH, 3.6), sharey=True)
        for place, quantity in zip(axes, ("parameters", "macs"), strict=True):
            shares = [100 * p[quantity] / now[quantity] for p in now["parts"].values()]
            colours = [COLOURS["scale" if part == self.part else "data"] for part in now["parts"]]
            place.barh(names, shares, color=colours)
        axes[0].invert_yaxis()
        axes[0].set_xlabel(f"% of {now['parameters'] / 1e6:.1f} million parameters")
        axes[1].set_xlabel(f"% of {now['macs'] / 1e9:.2f} GMAC")
        return figure


def shapes(config: DiTConfig) -> dict[str, tuple[list[int], list[int]]]:
    """What each part takes and gives for one picture; without the parts a design has not."""
    design, width = config.design, config.hidden_size
    latent = [config.in_channels, config.input_size, config.input_size]
    answer = [config.out_channels, config.input_size, config.input_size]
    image_tokens = [config.num_tokens, width]
    tokens = [config.num_tokens + 2 * design.in_sequence, width]
    patches = [config.num_tokens, config.patch_size**2 * config.out_channels]
    vectors = config.depth * design.modulation + design.final_modulation
    found = {
        "latent": (latent, latent),
        "patches": (latent, image_tokens),
        "positions": (image_tokens, image_tokens),
        "time": ([1], [width]),
        "label": ([1], [width]),
        "modulation": ([width], [vectors, width]),
        "norms": (tokens, tokens),
        "attention": (tokens, tokens),
        "cross": (tokens, tokens),
        "MLP": (tokens, tokens),
        "final": (image_tokens, patches),
        "answer": (patches, answer),
    }
    absent = {
        name for name, has in (("modulation", vectors), ("cross", design.looked_up)) if not has
    }
    return {part: sides for part, sides in found.items() if part not in absent}


def times(shape: list[int]) -> str:
    """A shape as it is read aloud, 256 × 1152."""
    return " × ".join(map(str, shape))
