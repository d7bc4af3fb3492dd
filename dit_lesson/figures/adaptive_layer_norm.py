"""Chapter 9's figure: what scale and shift do to the tokens of a digit."""

from typing import Any, ClassVar

import matplotlib.figure
import numpy as np
import traitlets

from dit_lesson import plots
from dit_lesson.data import load_digits
from dit_lesson.figures.base import Figure
from dit_lesson.numpy_dit import layer_norm, linear, modulate, silu, timestep_embedding
from dit_lesson.patches import patchify

PATCH_SIZE = 4
HIDDEN_SIZE = 16
STAGES = ("tokens x", "LN(x)", "LN(x) (1 + scale)", "LN(x) (1 + scale) + shift")


def small_digits() -> np.ndarray:
    """One training digit of each class, padded to 32x32 and averaged to 16x16, 0 to 255."""
    images, labels = load_digits("train")
    first = [int(np.flatnonzero(labels == digit)[0]) for digit in range(10)]
    padded = np.pad(images[first], ((0, 0), (2, 2), (2, 2))).astype(np.float64)
    return np.rint(padded.reshape(10, 16, 2, 16, 2).mean(axis=(2, 4))).astype(int)


def random_layer() -> dict[str, Any]:
    """An untrained condition: a label table and one linear layer, rounded for the page."""
    random = np.random.default_rng(0)
    return {
        "table": random.normal(0, 1, (10, HIDDEN_SIZE)).round(3).tolist(),
        "weight": random.normal(0, 0.35, (2 * HIDDEN_SIZE, HIDDEN_SIZE)).round(3).tolist(),
        "bias": [0.0] * (2 * HIDDEN_SIZE),
    }


class AdaptiveLayerNormFigure(Figure):
    """The tokens of a digit before and after LN, scale and shift.

    In mode ``"direct"`` the numbers `scale` and `shift` act on all features, or on the one
    named by `feature` (-1: all).  In mode ``"condition"`` both vectors come from the time
    step `t` and the class `label` through SiLU and one linear layer with random weights.
    """

    caption: ClassVar[str] = (
        "Sixteen tokens (rows) of sixteen features (columns): a digit cut into 4x4 patches, "
        "before layer norm, after it, after the scale and after the shift. "
        "The colours mean the same in all four panels; the background colour is zero."
    )

    mode = traitlets.Enum(["direct", "condition"], "direct").tag(sync=True, figure=True)
    scale = traitlets.Float(0.8, min=-2, max=2).tag(sync=True, figure=True)
    shift = traitlets.Float(-0.5, min=-2, max=2).tag(sync=True, figure=True)
    feature = traitlets.Int(-1, min=-1, max=HIDDEN_SIZE - 1).tag(sync=True, figure=True)
    t = traitlets.Int(500, min=0, max=999).tag(sync=True, figure=True)
    label = traitlets.Int(3, min=0, max=9).tag(sync=True, figure=True)
    digit = traitlets.Int(3, min=0, max=9).tag(sync=True, figure=True)
    token = traitlets.Int(5, min=0, max=15).tag(sync=True, figure=True)
    digits = traitlets.List().tag(sync=True, figure=True)
    layer = traitlets.Dict().tag(sync=True, figure=True)

    def __init__(self, **traits: Any) -> None:
        constants = {"digits": small_digits().tolist(), "layer": random_layer()}
        super().__init__(**constants, **traits)

    def image(self) -> np.ndarray:
        """The chosen digit, (16, 16), in [-1, 1]."""
        return np.asarray(self.digits[self.digit]) / 127.5 - 1

    def modulation(self) -> tuple[np.ndarray, np.ndarray]:
        """The vectors (shift, scale), each (16,)."""
        if self.mode == "condition":
            condition = timestep_embedding(np.array([float(self.t)]), HIDDEN_SIZE)
            condition = condition + np.asarray(self.layer["table"])[[self.label]]
            weight, bias = np.asarray(self.layer["weight"]), np.asarray(self.layer["bias"])
            shift, scale = np.split(linear(silu(condition), weight, bias)[0], 2)
            return shift, scale
        chosen = np.ones(HIDDEN_SIZE) if self.feature < 0 else np.eye(HIDDEN_SIZE)[self.feature]
        return self.shift * chosen, self.scale * chosen

    def stages(self) -> list[np.ndarray]:
        """The four (16, 16) matrices of tokens that the panels show."""
        tokens = patchify(self.image()[None, None], PATCH_SIZE)[0]
        normalised = layer_norm(tokens)
        shift, scale = self.modulation()
        zero = np.zeros(HIDDEN_SIZE)
        return [
            tokens,
            normalised,
            modulate(normalised, zero, scale),
            modulate(normalised, shift, scale),
        ]

    def summary(self) -> str:
        """What the panels show for the chosen token, with its means and deviations."""
        parts = [
            f"{name} has mean {stage[self.token].mean():.2f} and deviation "
            f"{stage[self.token].std():.2f}"
            for name, stage in zip(STAGES, self.stages(), strict=True)
        ]
        return f"Token {self.token} of a digit {self.digit}: {'; '.join(parts)}."

    def picture(self) -> matplotlib.figure.Figure:
        """The four panels, heatmap above histogram."""
        return plots.token_stages(self.image(), PATCH_SIZE, STAGES, self.stages(), self.token)
