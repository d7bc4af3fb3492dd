"""Chapter 11's figure: where every parameter and every multiply-accumulate of a DiT goes."""

from dataclasses import replace
from typing import Any, ClassVar

import matplotlib.figure
import traitlets

from dit_lesson import plots
from dit_lesson.counting import Ledger, dit_ledger, total
from dit_lesson.figures.base import DESIGN_NAMES, Figure
from dit_lesson.models import DESIGNS, DIT_CONFIGS

QUANTITIES = {"macs": ("GMAC", 1e9), "parameters": ("million parameters", 1e6)}
SIZES = ("S", "B", "L", "XL")
RESOLUTIONS = (256, 512)  # pixels; the latent has an eighth of the side


class LedgerFigure(Figure):
    """The parameters or the MACs of one model by part, and of all four designs side by side."""

    caption: ClassVar[str] = (
        "First the parts of the chosen model, each with its share, then the same model in the "
        "four designs, on one scale, cut into the same parts."
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
        """The parts of the chosen model, and the four designs as stacked bars."""
        name, _ = QUANTITIES[self.quantity]
        shares = {DESIGN_NAMES[design]: parts for design, parts in self.shares().items()}
        return plots.ledger(shares, DESIGN_NAMES[self.conditioning], name)
