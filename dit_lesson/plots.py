"""Static pictures (matplotlib), in the colours of the whole book.

`use_style` sets the one style; every function returns a figure and leaves showing it
to the caller.  Signed values have one diverging map, white at zero.
"""

from collections.abc import Sequence

import matplotlib as mpl
import matplotlib.figure
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

COLOURS = {
    "shift": "#0072B2",
    "scale": "#D55E00",
    "gate": "#009E73",
    "condition": "#CC79A7",
    "data": "#6b7280",
}
SIGNED = LinearSegmentedColormap.from_list("signed", ["#4b3f92", "#ffffff", "#b8860b"])


def use_style() -> None:
    """Set matplotlib's defaults to the book's: quiet axes, readable text, a white ground."""
    mpl.rcParams.update(
        {
            "figure.dpi": 100,
            "savefig.facecolor": "white",
            "figure.constrained_layout.use": True,
            "font.size": 11,
            "axes.titlesize": 11,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": mpl.cycler(color=list(COLOURS.values())),
            "image.cmap": SIGNED.name,
            "image.interpolation": "nearest",
            "legend.frameon": False,
        }
    )


if SIGNED.name not in mpl.colormaps:
    mpl.colormaps.register(SIGNED)
use_style()


def matrix(axes: Axes, values: np.ndarray, limit: float, title: str = "") -> None:
    """Draw a matrix of signed values, white at 0 and full colour at +-limit."""
    axes.imshow(values, cmap=SIGNED, vmin=-limit, vmax=limit, aspect="auto")
    axes.set(xticks=[], yticks=[], title=title)
    axes.spines[:].set_visible(True)


def patch_grid(axes: Axes, image: np.ndarray, patch_size: int, title: str = "") -> None:
    """Draw an image (H, W) in [-1, 1] with the lines along which it is cut into patches."""
    height, width = image.shape
    axes.imshow(image, cmap=SIGNED, vmin=-1, vmax=1)
    for line in np.arange(patch_size, width, patch_size) - 0.5:
        axes.axvline(line, color=COLOURS["data"], linewidth=1)
    for line in np.arange(patch_size, height, patch_size) - 0.5:
        axes.axhline(line, color=COLOURS["data"], linewidth=1)
    axes.set(xticks=[], yticks=[], title=title)
    axes.spines[:].set_visible(True)


def token_stages(
    image: np.ndarray,
    patch_size: int,
    names: Sequence[str],
    stages: Sequence[np.ndarray],
    token: int,
) -> matplotlib.figure.Figure:
    """Draw tokens (N, D) after each stage of a computation, as a map and as a histogram.

    One token's row is framed; its mean and standard deviation stand below.
    """
    figure, axes = plt.subplots(
        2, len(stages) + 1, figsize=(12, 3.9), gridspec_kw={"height_ratios": [3, 1]}
    )
    plt.close(figure)  # the caller shows it; without this a notebook would show it twice
    patch_grid(axes[0, 0], image, patch_size, "the digit")
    axes[1, 0].axis("off")
    limit = 3
    for (above, below), name, stage in zip(axes.T[1:], names, stages, strict=True):
        matrix(above, stage, limit)
        above.set_title(name, fontsize=10)
        frame = plt.Rectangle((-0.5, token - 0.5), stage.shape[1], 1, fill=False, linewidth=1.5)
        above.add_patch(frame)
        below.hist(stage.ravel(), bins=32, range=(-limit - 1, limit + 1), color=COLOURS["data"])
        below.set_yscale("symlog")
        below.set(xticks=[-limit, 0, limit])
        below.yaxis.set_visible(False)
        row = stage[token]
        below.set_xlabel(f"mean {row.mean():.2f}, std {row.std():.2f}")
    return figure
