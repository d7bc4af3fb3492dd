"""Chapter 16's figure: the paper's twelve models, and the line through them."""

from typing import Any, ClassVar

import matplotlib.figure
import numpy as np
import traitlets

from dit_lesson import plots
from dit_lesson.counting import PAPER_TABLE, dit_ledger, total
from dit_lesson.figures.base import Figure
from dit_lesson.models import DIT_CONFIGS

MODELS = tuple(PAPER_TABLE)
AXES = {
    "macs": "GMAC",
    "parameters": "million parameters",
    "tokens": "tokens",
    "depth": "blocks",
}
FITTED = {
    "all": "all twelve",
    "no XL": "S, B and L only",
    "no p = 8": "p = 4 and 2 only",
}
# by patch size, and how a name below is aligned, so that names of near points do not meet
MARKS = {"8": ("o", "center"), "4": ("s", "right"), "2": ("^", "left")}


class ScalingFigure(Figure):
    """FID of the twelve models over a quantity, and the power law that least squares finds."""

    caption: ClassVar[str] = (
        "The paper's twelve models on logarithmic axes with the fitted power law, and below each "
        "model's FID as a multiple of what the law says."
    )

    axis = traitlets.Enum(tuple(AXES), "macs")
    power = traitlets.Float(0.0, min=0, max=3)
    fitted = traitlets.Enum(tuple(FITTED), "all")
    model = traitlets.Enum(MODELS, "XL/8")

    @classmethod
    def constants(cls) -> dict[str, Any]:
        """The paper's FIDs, the sizes of its models, and what the choices are called."""
        models = {
            name: {"hidden_size": config.hidden_size, "depth": config.depth, "fid": row[2]}
            for name, row in PAPER_TABLE.items()
            for config in (DIT_CONFIGS[f"DiT-{name}"],)
        }
        return {"models": models, "axes": AXES, "fits": FITTED}

    def stages(self) -> dict[str, Any]:
        r"""$\log_{10} \mathrm{FID} = a + b\,x$ with $x = \log_{10} q + w \log_{10} N$.

        The line is fitted on the chosen models; the ratios FID / law are those of all twelve.
        """
        x, y = self.x(), np.log10([fid for *_, fid in PAPER_TABLE.values()])
        used = np.array([self.used(name) for name in MODELS])
        slope, intercept = np.polyfit(x[used], y[used], 1)
        law = intercept + slope * x
        left = (y - law)[used]
        return {
            "x": x,
            "y": y,
            "used": used.astype(int),
            "slope": slope,
            "intercept": intercept,
            "ratio": 10 ** (y - law),
            "r2": 1 - left @ left / (y[used].var() * used.sum()),
            "ledger": {
                part: cost.macs / 1e9 for part, cost in dit_ledger(self.config(self.model)).items()
            },
        }

    def x(self) -> np.ndarray:
        """The logarithm on the horizontal axis, one for each model."""
        configs = [self.config(name) for name in MODELS]
        costs = [total(dit_ledger(config).values()) for config in configs]
        tokens = np.array([config.num_tokens for config in configs])
        quantities = {
            "macs": [cost.macs / 1e9 for cost in costs],
            "parameters": [cost.parameters / 1e6 for cost in costs],
            "tokens": tokens,
            "depth": [config.depth for config in configs],
        }
        # tokens times a power of tokens would be the same axis again
        power = 0 if self.axis == "tokens" else self.power
        return np.log10(quantities[self.axis]) + power * np.log10(tokens)

    def used(self, name: str) -> bool:
        """Whether the line is fitted on this model."""
        return not (
            (self.fitted == "no XL" and name.startswith("XL"))
            or (self.fitted == "no p = 8" and name.endswith("/8"))
        )

    @staticmethod
    def config(name: str) -> Any:
        """The configuration of one of `MODELS`."""
        return DIT_CONFIGS[f"DiT-{name}"]

    def label(self) -> str:
        """What the horizontal axis is called."""
        times = f" · N^{self.power:g}" if self.power and self.axis != "tokens" else ""
        return AXES[self.axis] + times

    def summary(self) -> str:
        """The law, its R squared and where the chosen model lies."""
        now = self.stages()
        ratio = now["ratio"][MODELS.index(self.model)]
        return (
            f"FID over {self.label()}, fitted on {FITTED[self.fitted]}: exponent "
            f"{now['slope']:.2f}, R squared {now['r2']:.3f} in logarithms; the FID of "
            f"DiT-{self.model} is {ratio:.2f} times what the line says."
        )

    def picture(self) -> matplotlib.figure.Figure:
        """The points and the line, and below the ratios."""
        now = self.stages()
        figure, (above, below) = plots.drawing(
            2, figsize=(plots.WIDTH, 4.2), height_ratios=(2, 1), sharex=True
        )
        fid = 10 ** now["y"]
        for p, (mark, align) in MARKS.items():
            for i, name in enumerate(MODELS):
                if name.endswith(p):
                    colour = plots.COLOURS["condition" if name == self.model else "data"]
                    face = colour if now["used"][i] else "white"
                    style = {"color": colour, "markerfacecolor": face, "linestyle": "none"}
                    above.plot(10 ** now["x"][i], fid[i], mark, **style)
                    below.plot(10 ** now["x"][i], now["ratio"][i], mark, **style)
                    side = 1 if now["ratio"][i] > 1 else -1  # away from the line
                    above.annotate(
                        name,
                        (10 ** now["x"][i], fid[i]),
                        xytext=(0, 6 * side),
                        textcoords="offset points",
                        ha="center" if side > 0 else align,
                        va="bottom" if side > 0 else "top",
                    )
        ends = np.array([now["x"].min(), now["x"].max()])
        above.plot(10**ends, 10 ** (now["intercept"] + now["slope"] * ends), color="black", lw=1)
        below.axhline(1, color="black", lw=1)
        for axes, ticks in ((above, (20, 50, 100, 150)), (below, (0.5, 1, 2))):
            axes.set(xscale="log", yscale="log")
            axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.minorticks_off()
        above.set(ylabel="FID", ylim=(14, 220))
        below.set(ylabel="FID / law", xlabel=self.label(), ylim=(0.4, 2.5))
        return figure
