"""Chapter 9's figure: what scale and shift do to the tokens of a digit."""

from typing import Any, ClassVar

import matplotlib.figure
import numpy as np
import traitlets

from dit_lesson import plots
from dit_lesson.figures import samples
from dit_lesson.figures.base import Figure
from dit_lesson.numpy_dit import layer_norm, linear, modulate, silu, timestep_embedding
from dit_lesson.patches import patchify

PATCH_SIZE = 4
HIDDEN_SIZE = 16
STAGES = {
    "tokens": "tokens x",
    "normalised": "LN(x)",
    "scaled": "LN(x) (1 + scale)",
    "modulated": "LN(x) (1 + scale) + shift",
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

    mode = traitlets.Enum(["direct", "condition"], "direct")
    scale = traitlets.Float(0.8, min=-2, max=2)
    shift = traitlets.Float(-0.5, min=-2, max=2)
    feature = traitlets.Int(-1, min=-1, max=HIDDEN_SIZE - 1)
    t = traitlets.Int(500, min=0, max=999)
    label = traitlets.Int(3, min=0, max=9)
    digit = traitlets.Int(3, min=0, max=9)
    token = traitlets.Int(5, min=0, max=15)

    @classmethod
    def constants(cls) -> dict[str, Any]:
        """The digits, and an untrained condition: a label table and one linear layer, rounded."""
        random = np.random.default_rng(0)
        return {
            "digits": samples.as_texts(samples.small_digits()),
            "patch_size": PATCH_SIZE,
            "names": list(STAGES.values()),
            "table": random.normal(0, 1, (10, HIDDEN_SIZE)).round(3).tolist(),
            "weight": random.normal(0, 0.35, (2 * HIDDEN_SIZE, HIDDEN_SIZE)).round(3).tolist(),
        }

    def modulation(self) -> tuple[np.ndarray, np.ndarray]:
        """The vectors (shift, scale), each (16,)."""
        if self.mode == "condition":
            condition = timestep_embedding(np.array([float(self.t)]), HIDDEN_SIZE)
            condition = condition + np.asarray(self.given["table"])[[self.label]]
            weight = np.asarray(self.given["weight"])
            shift, scale = np.split(linear(silu(condition), weight, np.zeros(len(weight)))[0], 2)
            return shift, scale
        chosen = np.ones(HIDDEN_SIZE) if self.feature < 0 else np.eye(HIDDEN_SIZE)[self.feature]
        return self.shift * chosen, self.scale * chosen

    def stages(self) -> dict[str, np.ndarray]:
        """The digit, both vectors, and the (16, 16) matrices of tokens by the names of STAGES."""
        image = samples.as_numbers(samples.small_digits()[self.digit])
        tokens = patchify(image[None, None], PATCH_SIZE)[0]
        shift, scale = self.modulation()
        normalised = layer_norm(tokens)
        return {
            "image": image,
            "shift": shift,
            "scale": scale,
            "tokens": tokens,
            "normalised": normalised,
            "scaled": modulate(normalised, np.zeros(HIDDEN_SIZE), scale),
            "modulated": modulate(normalised, shift, scale),
        }

    def summary(self) -> str:
        """What the panels show for the chosen token, with its means and deviations."""
        now = self.stages()
        parts = [
            f"{title} has mean {now[name][self.token].mean():.2f} and deviation "
            f"{now[name][self.token].std():.2f}"
            for name, title in STAGES.items()
        ]
        return f"Token {self.token} of a digit {self.digit}: {'; '.join(parts)}."

    def picture(self) -> matplotlib.figure.Figure:
        """The four panels, heatmap above histogram."""
        now = self.stages()
        matrices = [now[name] for name in STAGES]
        return plots.token_stages(
            now["image"], PATCH_SIZE, tuple(STAGES.values()), matrices, self.token
        )
