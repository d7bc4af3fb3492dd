"""Chapter 10's figure: the gates fade the two branches of a block in."""

from typing import Any, ClassVar

import matplotlib.figure
import numpy as np
import traitlets

from dit_lesson import plots
from dit_lesson.figures import samples
from dit_lesson.figures.base import Figure
from dit_lesson.numpy_dit import below, layer_norm, mlp, modulate, self_attention
from dit_lesson.patches import patchify

PATCH_SIZE = 4
HIDDEN_SIZE = 16
NUM_HEADS = 2
STAGES = {
    "x": "tokens x",
    "modulated_msa": "modulated",
    "attention": "attention",
    "between": "x + gate attention",
    "modulated_mlp": "modulated again",
    "mlp": "MLP",
    "out": "x out",
}


def random_block() -> dict[str, Any]:
    """An untrained attention and MLP of width 16, rounded for the page."""
    random = np.random.default_rng(1)
    shapes = {
        "attn.qkv": (3 * HIDDEN_SIZE, HIDDEN_SIZE),
        "attn.proj": (HIDDEN_SIZE, HIDDEN_SIZE),
        "mlp.fc1": (4 * HIDDEN_SIZE, HIDDEN_SIZE),
        "mlp.fc2": (HIDDEN_SIZE, 4 * HIDDEN_SIZE),
    }
    weights = {}
    for name, (rows, columns) in shapes.items():
        weights[f"{name}.weight"] = random.normal(0, columns**-0.5, (rows, columns)).round(3)
        weights[f"{name}.bias"] = np.zeros(rows)
    return {name: value.tolist() for name, value in weights.items()}


class AdaLNZeroFigure(Figure):
    """One adaLN-Zero block with random weights on the tokens of a digit.

    `shift_msa`, `scale_msa` and `gate_msa` act on the attention branch, the three with `_mlp` on
    the MLP branch, each on all features alike.
    """

    caption: ClassVar[str] = (
        "A block with random weights on sixteen tokens (rows) of sixteen features (columns): first "
        "the attention branch, then the MLP branch, each added to the stream through its gate. "
        "With both gates at 0 what comes out is what went in, whatever the branches compute."
    )

    shift_msa = traitlets.Float(0.0, min=-2, max=2)
    scale_msa = traitlets.Float(0.0, min=-2, max=2)
    gate_msa = traitlets.Float(0.5, min=-2, max=2)
    shift_mlp = traitlets.Float(0.0, min=-2, max=2)
    scale_mlp = traitlets.Float(0.0, min=-2, max=2)
    gate_mlp = traitlets.Float(0.5, min=-2, max=2)
    digit = traitlets.Int(3, min=0, max=9)
    token = traitlets.Int(5, min=0, max=15)

    @classmethod
    def constants(cls) -> dict[str, Any]:
        """The digits and the block."""
        return {
            "digits": samples.as_texts(samples.small_digits()),
            "patch_size": PATCH_SIZE,
            "num_heads": NUM_HEADS,
            "names": STAGES,
            "block": random_block(),
        }

    def stages(self) -> dict[str, np.ndarray]:
        """The digit, and the seven (16, 16) matrices of tokens by the names of STAGES."""
        image = samples.as_numbers(samples.small_digits()[self.digit])
        weights = {name: np.asarray(value) for name, value in self.given["block"].items()}
        one = np.ones(HIDDEN_SIZE)
        x = patchify(image[None, None], PATCH_SIZE)[0]
        modulated = modulate(layer_norm(x), self.shift_msa * one, self.scale_msa * one)
        attended = self_attention(modulated[None], below(weights, "attn"), NUM_HEADS)[0]
        between = x + self.gate_msa * attended
        again = modulate(layer_norm(between), self.shift_mlp * one, self.scale_mlp * one)
        transformed = mlp(again, below(weights, "mlp"))
        out = between + self.gate_mlp * transformed
        stages = (x, modulated, attended, between, again, transformed, out)
        return {"image": image, **dict(zip(STAGES, stages, strict=True))}

    def summary(self) -> str:
        """How far the tokens that leave are from those that came."""
        now = self.stages()
        distance = np.sqrt(np.mean((now["out"] - now["x"]) ** 2))
        return (
            f"A block with gates {self.gate_msa:.2f} (attention) and {self.gate_mlp:.2f} (MLP) on "
            f"the tokens of a digit {self.digit}: out differs from x by {distance:.2f} on average "
            f"(root mean square)."
        )

    def picture(self) -> matplotlib.figure.Figure:
        """The seven panels in two rows, one a branch."""
        now = self.stages()
        matrices = [now[name] for name in STAGES]
        return plots.block_stages(tuple(STAGES.values()), matrices, self.token)
