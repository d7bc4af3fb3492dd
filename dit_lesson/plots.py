"""Static pictures (matplotlib), in the colours of the whole book.

`use_style` sets the one style; every function returns a figure and leaves showing it
to the caller.  Signed values have one diverging map, white at zero; digits are ink on paper.
"""

from collections.abc import Collection, Container, Iterator, Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.figure
import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap

from dit_lesson.validation import require

COLOURS = {
    "shift": "#0072B2",
    "scale": "#D55E00",
    "gate": "#009E73",
    "condition": "#CC79A7",
    "data": "#6b7280",
}
POINTS, DOTS = 9, 100  # the size of all text, and the pixels of an inch
TEXT = POINTS * DOTS / 72  # its size in pixels
WIDTH = 7.5  # inches, the width of a page's text
SIGNED = LinearSegmentedColormap.from_list("signed", ["#4b3f92", "#ffffff", "#b8860b"])
INK = LinearSegmentedColormap.from_list("ink", ["#fbfaf6", "#8f8e8b", "#1f2430"])
SHARES = "Greys"  # numbers that are never negative: white is 0
DASHES = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)))  # of the lines of one plot
SHAPES = "o^sDv"  # of the seeds


def use_style() -> None:
    """Set matplotlib's defaults to the book's: quiet axes, readable text, a white ground."""
    mpl.rcParams.update(
        {
            "figure.dpi": DOTS,
            "savefig.facecolor": "white",
            "figure.constrained_layout.use": True,
            "font.size": POINTS,
            "axes.titlesize": POINTS,
            "xtick.labelsize": POINTS,
            "ytick.labelsize": POINTS,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": cycler(color=list(COLOURS.values())),
            "image.cmap": SIGNED.name,
            "image.interpolation": "nearest",
            "legend.frameon": False,
        }
    )


if SIGNED.name not in mpl.colormaps:
    mpl.colormaps.register(SIGNED)
use_style()


def drawing(*grid: int, **options: Any) -> tuple[matplotlib.figure.Figure, Any]:
    """`plt.subplots`, closed: the caller shows it, and a notebook would show it a second time."""
    figure, axes = plt.subplots(*grid, **options)
    plt.close(figure)
    return figure, axes


def framed(axes: Axes, title: str = "") -> None:
    """No ticks, and a line on all sides."""
    axes.set(xticks=[], yticks=[], title=title)
    axes.spines[:].set_visible(True)


def frame_row(axes: Axes, row: int, width: int) -> None:
    """Frame one row of a drawn matrix."""
    axes.add_patch(plt.Rectangle((-0.5, row - 0.5), width, 1, fill=False, linewidth=1.5))


def matrix(axes: Axes, values: np.ndarray, limit: float, title: str = "") -> None:
    """Draw a matrix of signed values, white at 0 and full colour at +-limit."""
    axes.imshow(values, cmap=SIGNED, vmin=-limit, vmax=limit, aspect="auto")
    framed(axes, title)


def ink(axes: Axes, image: np.ndarray, title: str = "") -> None:
    """Draw an image (H, W) of values from -1, paper, to 1, ink; what lies beyond is cut off."""
    axes.imshow(image, cmap=INK, vmin=-1, vmax=1)
    framed(axes, title)


def patch_grid(
    axes: Axes, image: np.ndarray, patch_size: int, title: str = "", cmap: Colormap | str = INK
) -> None:
    """Draw an image (H, W) in [-1, 1] with the lines along which it is cut into patches."""
    height, width = image.shape
    axes.imshow(image, cmap=cmap, vmin=-1, vmax=1)
    for line in np.arange(patch_size, width, patch_size) - 0.5:
        axes.axvline(line, color=COLOURS["data"], linewidth=1)
    for line in np.arange(patch_size, height, patch_size) - 0.5:
        axes.axhline(line, color=COLOURS["data"], linewidth=1)
    framed(axes, title)


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
    figure, axes = drawing(
        2, len(stages) + 1, figsize=(WIDTH, 3.2), gridspec_kw={"height_ratios": [3, 1]}
    )
    patch_grid(axes[0, 0], image, patch_size, "the digit")
    axes[1, 0].axis("off")
    limit = 3
    for (above, below), name, stage in zip(axes.T[1:], names, stages, strict=True):
        matrix(above, stage, limit)
        above.set_title(name.replace(" (", "\n("))
        frame_row(above, token, stage.shape[1])
        below.hist(stage.ravel(), bins=32, range=(-limit - 1, limit + 1), color=COLOURS["data"])
        below.set_yscale("symlog")
        below.set(xticks=[-limit, 0, limit])
        below.yaxis.set_visible(False)
        row = stage[token]
        below.set_xlabel(f"mean {row.mean():.2f}\nstd {row.std():.2f}")
    return figure


def position_table(
    table: np.ndarray, similarity: np.ndarray, token: int
) -> matplotlib.figure.Figure:
    """Draw position embeddings (N, D) and what one of them makes: its similarity to all, a map."""
    figure, (left, right) = drawing(1, 2, figsize=(WIDTH, 2.7), gridspec_kw={"wspace": 0.12})
    rows, columns = similarity.shape
    matrix(left, table, 1, "position embeddings")
    left.set(xlabel=f"features D = {table.shape[1]}", ylabel=f"tokens N = {rows * columns}")
    right.imshow(similarity, cmap=SIGNED, vmin=-1, vmax=1)
    right.set(title="similarity to the framed row", xlabel="column", ylabel="row")
    right.yaxis.tick_right()
    right.yaxis.set_label_position("right")
    right.spines[:].set_visible(True)
    row, column = divmod(token, columns)
    blue = COLOURS["shift"]
    for place, corner, wide in (
        (left, (-0.5, token - 0.5), table.shape[1]),
        (right, (column - 0.5, row - 0.5), 1),
    ):
        place.add_patch(plt.Rectangle(corner, wide, 1, fill=False, edgecolor=blue, linewidth=2))
    arrow = {"arrowstyle": "-|>", "color": blue, "shrinkA": 0, "shrinkB": 0}
    start = (table.shape[1] - 0.5, token)
    right.annotate("", (-0.5, row), start, textcoords=left.transData, arrowprops=arrow)
    return figure


def patch_stages(
    latent: np.ndarray,
    tokens: np.ndarray,
    output: np.ndarray,
    pictures: tuple[np.ndarray, np.ndarray],
    patch_size: int,
) -> matplotlib.figure.Figure:
    """Draw a latent (4, H, W), its tokens (N, F), what is read back, and both decoded.

    The four channels stand in a square, two above two; the latents have deviation 1.
    """
    figure, axes = drawing(1, 5, figsize=(WIDTH, 1.9))
    limit = 3
    for place, channels, title in ((1, latent, "latent, 4 channels"), (3, output, "read back")):
        (a, b), (c, d) = channels[:2], channels[2:]
        patch_grid(axes[place], np.block([[a, b], [c, d]]) / limit, patch_size, title, SIGNED)
        for line in (axes[place].axhline, axes[place].axvline):
            line(latent.shape[1] - 0.5, color="black", linewidth=2)
    matrix(axes[2], tokens, limit, "tokens")
    count, features = tokens.shape
    axes[2].set(xlabel=f"features {features}", ylabel=f"tokens N = {count}")
    axes[2].set_yticks(range(0, count, max(1, count // 4)))
    names = ("the latent, decoded", "read back, decoded")
    for place, picture, title in zip((0, 4), pictures, names, strict=True):
        ink(axes[place], picture, title)
    return figure


def image_row(
    images: Sequence[np.ndarray], titles: Sequence[str], digits: Container[int] = ()
) -> matplotlib.figure.Figure:
    """Draw images (H, W) in [-1, 1] side by side: zero white, but `digits` are ink on paper."""
    width = min(2 * len(images), WIDTH)
    tall = max(len(image) / len(image[0]) for image in images)
    size = (width, tall * width / len(images) + 0.3)
    figure, axes = drawing(1, len(images), figsize=size, squeeze=False)
    for i, (place, image, title) in enumerate(zip(axes[0], images, titles, strict=True)):
        matrix(place, image, 1, title)
        place.set_aspect("equal")
        if i in digits:
            place.images[0].set_cmap(INK)
    return figure


def ink_rows(
    rows: Sequence[Sequence[np.ndarray]], titles: Sequence[str], names: Sequence[str] = ()
) -> matplotlib.figure.Figure:
    """Draw rows of images (H, W) of values from -1, paper, to 1, ink: a title for every column."""
    room = 0.9 if names else 0  # inches for the rows' names
    width = min(1.5 * len(titles), WIDTH - room)
    size = (width + room, len(rows) * width / len(titles) + 0.3)
    figure, axes = drawing(len(rows), len(titles), figsize=size, squeeze=False)
    for places, images in zip(axes, rows, strict=True):
        for place, image in zip(places, images, strict=True):
            ink(place, image)
    for place, title in zip(axes[0], titles, strict=True):
        place.set_title(title)
    for place, name in zip(axes[:, 0], names, strict=bool(names)):
        place.set_ylabel(name, rotation=0, ha="right", va="center")
    return figure


def digit_rows(rows: dict[str, np.ndarray], titles: Sequence[str]) -> matplotlib.figure.Figure:
    """Draw digits (n, H, W) from 0 to 255: a row for every name, a column for every title."""
    size = (WIDTH, 0.8 * len(rows) + 0.3)
    figure, axes = drawing(len(rows), len(titles), figsize=size, squeeze=False)
    for places, (name, images) in zip(axes, rows.items(), strict=True):
        for place, image in zip(places, images, strict=True):
            ink(place, image / 127.5 - 1)
        places[0].set_ylabel(name.replace(" ", "\n"), rotation=0, ha="right", va="center")
    for place, title in zip(axes[0], titles, strict=True):
        place.set_title(title)
    return figure


def point_clouds(clouds: Sequence[np.ndarray], titles: Sequence[str]) -> matplotlib.figure.Figure:
    """Draw clouds of points (n, 2) side by side, on the same axes."""
    size = (WIDTH, WIDTH / len(clouds) + 0.4)
    figure, axes = drawing(1, len(clouds), figsize=size, squeeze=False, sharex=True, sharey=True)
    for place, cloud, title in zip(axes[0], clouds, titles, strict=True):
        place.plot(*np.asarray(cloud).T, ".", markersize=3, color=COLOURS["data"])
        place.set(title=title, xlim=(-2.5, 2.5), ylim=(-2.5, 2.5), aspect="equal")
    return figure


def noised_digit(
    panels: dict[str, tuple[np.ndarray, Colormap]],
    alpha_bars: dict[str, np.ndarray],
    chosen: str,
    progress: float,
    flow_time: float,
) -> matplotlib.figure.Figure:
    """Draw images (H, W), the schedules' alpha bar over their steps, and time running both ways.

    The chosen schedule is drawn bold and marked at ``progress``, the share of its steps.
    """
    figure, axes = drawing(2, 4, figsize=(WIDTH, 4.4))
    for place, (title, (image, cmap)) in zip(axes.flat, panels.items(), strict=False):
        matrix(place, image, 1 if title == "data" else 2, title)
        place.images[0].set_cmap(cmap)
        place.set_aspect("equal")
    curve, ruler = axes[1, 2:]
    for (name, kept), dashes in zip(alpha_bars.items(), ("-", "--", ":"), strict=True):
        width = 2.5 if name == chosen else 1
        share = np.arange(len(kept)) / len(kept)
        curve.plot(share, kept, dashes, color=COLOURS["data"], linewidth=width, label=name)
    curve.axvline(progress, color="black", linewidth=1)
    curve.set(xlabel="share of the steps", title=r"signal left $\bar\alpha_t$")
    curve.legend(loc="upper center", bbox_to_anchor=(0.5, -0.35), handlelength=1.5)
    for height, time, ends in (
        (1, flow_time, ("data", "noise")),
        (0, 1 - flow_time, ("noise", "data")),
    ):
        ruler.plot([0, 1], [height, height], color=COLOURS["data"])
        ruler.plot([time], [height], "o", color="black")
        ruler.annotate(f"t = {time:.2f}", (time, height + 0.15), ha="center")
        for place, text in zip((0, 1), ends, strict=True):
            ruler.annotate(text, (place, height - 0.3), ha="center")
    ruler.set(
        title="time both ways",
        ylim=(-0.6, 1.6),
        xlim=(-0.15, 1.15),
        xticks=[0, 1],
        yticks=[],
    )
    ruler.spines["left"].set_visible(False)
    return figure


def block_stages(
    names: Sequence[str], stages: Sequence[np.ndarray], token: int
) -> matplotlib.figure.Figure:
    """Draw the tokens (N, D) at the stages of a block in two rows, one token's row framed."""
    columns = (len(stages) + 1) // 2
    figure, axes = drawing(2, columns, figsize=(WIDTH, 4.2))
    for place in axes.flat[len(stages) :]:
        place.axis("off")
    for place, name, stage in zip(axes.flat, names, stages, strict=False):
        matrix(place, stage, 3, name)
        frame_row(place, token, stage.shape[1])
    return figure


def styled(things: Collection[Any], *styles: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """Each of the things with styles of its own.

    Raises: ValueError if there are more things than styles: one of them would not be drawn.
    """
    most = min(map(len, styles))
    require(len(things) <= most, f"styled: {len(things)} things to draw, expected at most {most}")
    return zip(things, *styles, strict=False)


def by_depth(curves: dict[str, np.ndarray], titles: Sequence[str]) -> matplotlib.figure.Figure:
    """Draw quantities by depth: for each name an array (seeds, quantities, depth + 1).

    A line is the median over the seeds, its band goes from the smallest to the largest.
    """
    figure, axes = drawing(1, len(titles), figsize=(WIDTH, 2.8))
    for place, quantity, title in zip(axes, range(len(titles)), titles, strict=True):
        for (name, values), dash in styled(curves.items(), DASHES):
            seeds = values[:, quantity]
            depth = np.arange(seeds.shape[1])
            middle = np.median(seeds, axis=0)
            (line,) = place.plot(depth, middle, linestyle=dash, linewidth=2, label=name)
            place.fill_between(
                depth, seeds.min(axis=0), seeds.max(axis=0), color=line.get_color(), alpha=0.2
            )
        place.set(title=title, xlabel="blocks passed", ylabel="root mean square")
    axes[0].legend()
    return figure


def condition_vectors(
    table: np.ndarray,
    times: np.ndarray,
    curve: np.ndarray,
    t: float,
    vectors: dict[str, np.ndarray],
) -> matplotlib.figure.Figure:
    """Draw embeddings (dimensions, times), one dimension over time, and vectors as bars."""
    figure, axes = plt.subplot_mosaic(
        [["table"] * len(vectors), ["curve"] * len(vectors), list(vectors)],
        figsize=(WIDTH, 5.5),
        height_ratios=[2, 1, 1],
    )
    plt.close(figure)
    axes["table"].imshow(
        table, cmap=SIGNED, vmin=-1, vmax=1, aspect="auto", extent=(0, times[-1], len(table), 0)
    )
    axes["table"].axvline(t, color="black", linewidth=1)
    axes["table"].set(yticks=[], ylabel="dimension", title="cosines above, sines below")
    axes["curve"].plot(times, curve, color=COLOURS["data"])
    axes["curve"].axvline(t, color=COLOURS["condition"], linewidth=2)
    axes["curve"].set(xlabel="time step t", ylim=(-1.1, 1.1), title="the chosen dimension")
    for name, values in vectors.items():
        axes[name].bar(np.arange(len(values)), values, color=COLOURS["condition"])
        axes[name].axhline(0, color="black", linewidth=1)
        axes[name].set(title=name, ylim=(-3.5, 3.5), xlabel=f"features D = {len(values)}")
    return figure


def curve(x: np.ndarray, y: np.ndarray, xlabel: str, ylabel: str) -> matplotlib.figure.Figure:
    """Draw one line."""
    figure, axes = drawing(figsize=(WIDTH, 2.6))
    axes.plot(x, y, color=COLOURS["data"])
    axes.set(xlabel=xlabel, ylabel=ylabel)
    return figure


def losses_by_t(
    times: Sequence[float], curves: dict[str, Sequence[float]], limits: tuple[float, float]
) -> matplotlib.figure.Figure:
    """Draw the loss of several models by time, on a logarithmic scale within the limits."""
    figure, axes = drawing(figsize=(WIDTH, 3))
    for (name, losses), dash, shade in styled(curves.items(), DASHES, list(COLOURS.values())):
        axes.plot(times, losses, linestyle=dash, marker="o", color=shade, label=name)
    axes.set(xlabel="t, the share of noise", ylabel="loss", yscale="log", ylim=limits)
    axes.legend()
    return figure


def by_steps(
    panels: dict[str, dict[str, np.ndarray]], steps: Sequence[int], ylabel: str
) -> matplotlib.figure.Figure:
    """Draw values (steps, seeds) by the number of steps: panels on one scale, a line for each name.

    A line is the median over the seeds, a dot one of them.
    """
    figure, axes = drawing(
        1, len(panels), figsize=(WIDTH, 2.8), squeeze=False, sharex=True, sharey=True
    )
    shades = ("gray", COLOURS["condition"], COLOURS["scale"], "black")
    for place, (title, curves) in zip(axes[0], panels.items(), strict=True):
        for (name, values), shade in styled(curves.items(), shades):
            place.plot(steps, np.median(values, axis=1), color=shade, label=name)
            place.plot(steps, values, ".", color=shade, markersize=4)
        place.set(xscale="log", xticks=steps, xticklabels=steps, xlabel="steps", title=title)
        place.minorticks_off()
    axes[0, 0].set(ylabel=ylabel, ylim=(0, None))
    axes[0, -1].legend()
    return figure


def runs(values: dict[str, dict[str, Sequence[float]]], ylabel: str) -> matplotlib.figure.Figure:
    """Draw one mark for each run: panels on one scale, in each a column for every name.

    The n-th run of every column has the same shape.
    """
    size = (min(5 * len(values), WIDTH), 3.2)
    figure, axes = drawing(1, len(values), figsize=size, squeeze=False, sharey=True)
    for place, (title, columns) in zip(axes[0], values.items(), strict=True):
        for column, results in enumerate(columns.values()):
            for result, shape in styled(results, SHAPES):
                place.plot([column], [result], shape, alpha=0.7, color=COLOURS["data"])
        place.set(title=title, xticks=range(len(columns)), xlim=(-0.5, len(columns) - 0.5))
        place.set_xticklabels(columns)
    axes[0, 0].set_ylabel(ylabel)
    return figure


def classified(
    image: np.ndarray, patch_size: int, attention: np.ndarray, probabilities: np.ndarray
) -> matplotlib.figure.Figure:
    """Draw an image (H, W) in patches, CLS's attention to them (N,), and class probabilities."""
    figure, (left, middle, right) = drawing(1, 3, figsize=(WIDTH, 2.7))
    patch_grid(left, image, patch_size, "what the model sees")
    side = image.shape[0] // patch_size
    matrix(middle, attention.reshape(side, side), 0.3, "where CLS looks")
    middle.set_aspect("equal")
    right.bar(np.arange(len(probabilities)), probabilities, color=COLOURS["data"])
    right.set(xticks=np.arange(len(probabilities)), ylim=(0, 1), title="probability of each class")
    return figure


def attention_of_cls(
    images: np.ndarray, maps: np.ndarray, titles: Sequence[str]
) -> matplotlib.figure.Figure:
    """Draw images (n, H, W) above CLS's attention to their patches (n, blocks, side, side)."""
    rows = 1 + maps.shape[1]
    figure, axes = drawing(rows, len(images), figsize=(WIDTH, 1.6 * rows))
    for column, (image, stack, title) in enumerate(zip(images, maps, titles, strict=True)):
        ink(axes[0, column], image, title)
        for row, attention in enumerate(stack, start=1):
            axes[row, column].imshow(attention, cmap=SHARES, vmin=0, vmax=0.3)
            framed(axes[row, column])
            axes[row, 0].set_ylabel(f"block {row - 1}")
    return figure


def classified_input(image: np.ndarray, patch_size: int) -> matplotlib.figure.Figure:
    """Draw an image (H, W) with its cuts, and beside it its patches as a sequence of rows."""
    figure, (left, right) = drawing(1, 2, figsize=(WIDTH, 2.8), width_ratios=[1, 2])
    patch_grid(left, image, patch_size, "an image")
    side = image.shape[0] // patch_size
    tokens = image.reshape(side, patch_size, side, patch_size).swapaxes(1, 2)
    tokens = tokens.reshape(side * side, patch_size**2)
    right.imshow(tokens, cmap=INK, vmin=-1, vmax=1, aspect="auto")
    framed(right, "the same as a sequence")
    right.set(xlabel=f"features {tokens.shape[1]}", ylabel=f"tokens N = {len(tokens)}")
    return figure


def four_blocks() -> matplotlib.figure.Figure:
    """Draw one block of each conditioning design, from the bottom up, side by side.

    Grey is what every ViT has; a colour depends on the condition, which comes in by an arrow.
    """
    norm, adaptive = ("layer norm", "norm"), ("scale, shift", "scale")
    attention, network = ("self-attention", "part"), ("MLP", "part")
    look_up, gate = ("cross-attention", "condition"), ("gate", "gate")
    designs = {
        "in-context": [[norm, attention], [norm, network]],
        "cross-attention": [[norm, attention], [norm, look_up], [norm, network]],
        "adaLN": [[norm, adaptive, attention], [norm, adaptive, network]],
        "adaLN-Zero": [[norm, adaptive, attention, gate], [norm, adaptive, network, gate]],
    }
    shades = COLOURS | {"norm": "#e3e5e9", "part": "#c3c7cd"}
    ink = "#a03f77"  # the condition's colour, dark enough for text
    figure, axes = drawing(1, len(designs), figsize=(WIDTH, 4.5), sharey=True)
    line = {"color": "black", "linewidth": 1, "zorder": 0}
    for place, (name, branches) in zip(axes, designs.items(), strict=True):
        place.set(title=name, xlim=(-1.5, 1.15), ylim=(-0.5, 10.6), xticks=[], yticks=[])
        place.axis("off")
        place.text(0, -0.1, "N tokens", ha="center", va="center")
        if name == "in-context":
            place.text(0.62, -0.1, "+ 2: t, y", va="center", color=ink)
        height = 0.9
        for branch in branches:
            below = height - 0.5
            for text, kind in branch:
                box = plt.Rectangle((-0.8, height - 0.33), 1.6, 0.66, color=shades[kind])
                place.add_patch(box)
                place.text(0, height, text, ha="center", va="center")
                if kind not in ("norm", "part"):
                    arrow = {"arrowstyle": "->", "color": ink}
                    place.annotate("", (-0.8, height), (-1.45, height), arrowprops=arrow)
                    entering = "t, y" if kind == "condition" else "t + y"
                    place.text(-1.45, height + 0.12, entering, color=ink)
                height += 0.95
            place.plot([0, 0.98, 0.98, 0], [below, below, height - 0.15, height - 0.15], **line)
            ring = {"boxstyle": "circle,pad=0.15", "facecolor": "white", "edgecolor": "black"}
            place.text(0, height - 0.15, "+", ha="center", va="center", bbox=ring)
            height += 0.65
        place.plot([0, 0], [0.2, height - 0.2], **line)
    return figure
