"""Chapter 11's figure: where every parameter and every multiply-accumulate of a DiT goes."""

from dataclasses import replace
from typing import Any, ClassVar

import matplotlib.figure
import traitlets
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from dit_lesson.counting import Ledger, dit_ledger, total
from dit_lesson.figures.base import DESIGN_NAMES, Figure
from dit_lesson.models import DESIGNS, DIT_CONFIGS, Design
from dit_lesson.plots import COLOURS, WIDTH, drawing

QUANTITIES = {"macs": ("GMAC", 1e9), "parameters": ("million parameters", 1e6)}
SIZES = ("S", "B", "L", "XL")
RESOLUTIONS = (256, 512)  # pixels; the latent has an eighth of the side
# what every design has is grey, what serves the condition has a colour
SHADES = {
    "modulation": COLOURS["scale"],
    "time embedding": COLOURS["condition"],
    "label embedding": COLOURS["condition"],
    "cross-attention projections": COLOURS["condition"],
    "cross-attention scores": COLOURS["condition"],
    "attention scores": "black",
    "MLP": "#c3c7cd",
}


class LedgerFigure(Figure):
    """The parameters or the MACs of one model by part, and of all four designs side by side."""

    caption: ClassVar[str] = (
        "The way of the tokens through the chosen model, one block drawn for all, with the share "
        "of each part and where the condition enters. Then the same model in the four designs, on "
        "one scale, cut into the same parts."
    )

    size = traitlets.Enum(SIZES, "XL")
    patch_size = traitlets.Enum((2, 4, 8), 2)
    conditioning = traitlets.Enum(tuple(DESIGNS), "adaln-zero")
    resolution = traitlets.Enum(RESOLUTIONS, 256)
    quantity = traitlets.Enum(tuple(QUANTITIES), "macs")

    @classmethod
    def constants(cls) -> dict[str, Any]:
        """The paper's models by size, and what is counted in which unit."""
        sizes = {
            size: {"hidden_size": config.hidden_size, "depth": config.depth}
            for size, config in ((size, DIT_CONFIGS[f"DiT-{size}/2"]) for size in SIZES)
        }
        return {"sizes": sizes, "designs": DESIGN_NAMES, "quantities": QUANTITIES}

    def stages(self) -> dict[str, Any]:
        """The ledger of each design, part by part, and the number of image tokens."""
        ledgers = {
            design: {
                part: {"parameters": cost.parameters, "macs": cost.macs}
                for part, cost in ledger.items()
            }
            for design, ledger in self.ledgers().items()
        }
        return {"ledgers": ledgers, "tokens": (self.resolution // 8 // self.patch_size) ** 2}

    def ledgers(self) -> dict[str, Ledger]:
        """The ledger of each design at the chosen size."""
        config = DIT_CONFIGS[f"DiT-{self.size}/{self.patch_size}"]
        return {
            design: dit_ledger(
                replace(config, input_size=self.resolution // 8, conditioning=design)
            )
            for design in DESIGNS
        }

    def shares(self) -> dict[str, dict[str, float]]:
        """The chosen quantity by design and part, in its unit."""
        _, unit = QUANTITIES[self.quantity]
        return {
            design: {part: getattr(cost, self.quantity) / unit for part, cost in ledger.items()}
            for design, ledger in self.ledgers().items()
        }

    def summary(self) -> str:
        """Totals of the chosen model and the part that has most."""
        cost = total(self.ledgers()[self.conditioning].values())
        parts = self.shares()[self.conditioning]
        largest = max(parts, key=parts.__getitem__)
        name, _ = QUANTITIES[self.quantity]
        return (
            f"DiT-{self.size}/{self.patch_size} with {DESIGN_NAMES[self.conditioning]}, "
            f"{self.resolution}x{self.resolution} pixels: {cost.parameters / 1e6:.2f} million "
            f"parameters, {cost.macs / 1e9:.2f} GMAC; {largest} has most {name}, "
            f"{parts[largest] / sum(parts.values()):.1%}."
        )

    def picture(self) -> matplotlib.figure.Figure:
        """The way through the chosen model, and the four designs as stacked bars."""
        name, _ = QUANTITIES[self.quantity]
        shares = self.shares()
        figure, (left, right) = drawing(1, 2, figsize=(WIDTH, 4), width_ratios=(3, 1))
        draw_way(left, shares[self.conditioning], DESIGNS[self.conditioning])
        left.set_title(f"DiT-{self.size}/{self.patch_size}, {DESIGN_NAMES[self.conditioning]}")
        for design, parts in shares.items():
            start = 0.0
            for part, value in parts.items():
                shade = SHADES.get(part, COLOURS["data"])
                place = DESIGN_NAMES[design]
                right.barh(place, value, left=start, color=shade, edgecolor="white", linewidth=0.5)
                start += value
        right.set(title="the four designs", xlabel=name)
        right.invert_yaxis()
        return figure


def draw_way(axes: Axes, costs: dict[str, float], design: Design) -> None:
    """Draw the way from the patches through one block to the final layer, from top to bottom.

    The stream is at the left. A box has the name of a part, its share, and a bar, on the scale of
    the largest part.
    """
    whole, largest = sum(costs.values()), max(costs.values())
    wide, way, beside = 3.4, 0.7, 4.6  # of a box, and where the two columns begin
    ink = "#a03f77"  # the condition's colour, dark enough for text

    def box(name: str, left: float, top: float, bottom: float) -> None:
        shade = SHADES.get(name, COLOURS["data"])
        edge = shade if left == beside or "cross" in name else "black"
        axes.add_patch(Rectangle((left, top), wide, bottom - top, facecolor="w", edgecolor=edge))
        middle = (top + bottom) / 2
        if name not in costs:
            axes.text(left + wide / 2, middle, name, ha="center", va="center")
            return
        middle -= 0.08
        axes.text(left + 0.08, middle, name.replace("cross-attention", "cross"), va="center")
        share = f"{costs[name] / whole:.1%}"
        axes.text(left + wide - 0.08, middle, share, ha="right", va="center")
        bar = (wide * costs[name] / largest, 0.16)
        axes.add_patch(Rectangle((left, bottom - 0.16), *bar, color=shade, linewidth=0))

    def arrow(start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
        style = {"arrowstyle": "->", "color": colour, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", end, start, arrowprops=style)

    ways = [["attention projections", "attention scores"], ["MLP"]]
    if design.looked_up:
        ways.insert(1, ["cross-attention projections", "cross-attention scores"])
    norms = ["LN · (1 + γ) + β"] * 2 if design.modulation else ["layer norms", "LN", "LN"]
    gate = ["gate α"] if design.modulation == 6 else []
    enters = []  # where the modulation does
    box("patch embedding", way, 0, 0.8)
    arrow((way, 0.4), (0, 0.4), "black")
    top = 2.0
    for norm, parts in zip(norms, ways, strict=False):
        names = [norm, *parts, *gate]
        last = top + len(names) - 1
        for row, name in enumerate(names):
            box(name, way, top + row, top + row + 0.8)
        axes.plot([way + wide / 2] * 2, [top, last], color="black", linewidth=1, zorder=0)
        arrow((0, top + 0.4), (way, top + 0.4), "black")
        arrow((way, last + 0.4), (0.15, last + 0.4), COLOURS["gate"] if gate else "black")
        ring = {"boxstyle": "circle,pad=0.1", "facecolor": "white", "edgecolor": "black"}
        axes.text(0, last + 0.4, "+", ha="center", va="center", bbox=ring)
        enters += [(top, COLOURS["scale"]), *[(last, COLOURS["gate"]) for _ in gate]]
        if "cross-attention scores" in parts:
            axes.plot([beside + wide / 2] * 2, [1.8, top + 1.9], color=ink, linewidth=1)
            arrow((beside + wide / 2, top + 1.9), (way + wide, top + 1.9), ink)
        top = last + 1.2
    box("final layer", way, top, top + 0.8)
    arrow((0, top + 0.4), (way, top + 0.4), "black")
    axes.plot([0, 0], [0.4, top + 0.4], color=COLOURS["data"], linewidth=3, zorder=0)
    box("time embedding", beside, 0, 0.8)
    box("label embedding", beside, 1, 1.8)
    if design.in_sequence:
        arrow((beside, 1.4), (0, 1.4), ink)
        axes.text(way, 1.35, "two more tokens", va="bottom", color=ink)
    if design.modulation:
        box("modulation", beside, 2, top + 0.8)
        arrow((beside + wide / 2, 1.8), (beside + wide / 2, 2), ink)
        for row, colour in [*enters, (top, COLOURS["scale"])]:
            arrow((beside, row + 0.4), (way + wide, row + 0.4), colour)
    axes.set(xlim=(-0.3, beside + wide + 0.1), ylim=(top + 0.9, -0.1))
    axes.axis("off")
