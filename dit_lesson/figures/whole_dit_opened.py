"""Chapter 12's second figure: the trained DiT opened, at one time, at one token."""

from typing import Any, ClassVar

import matplotlib.figure
import numpy as np
import torch
import traitlets

from dit_lesson.diffusion import Straight
from dit_lesson.figures.base import Figure
from dit_lesson.figures.handed import OwnWeights
from dit_lesson.figures.training_assets import SEEDS, SIDE, decoder, noise, painting
from dit_lesson.numpy_dit import (
    Weights,
    attention_weights,
    below,
    branch,
    embed,
    final_layer,
    join_patches,
    layer_norm,
    linear,
    modulate,
    split_heads,
    steering,
)
from dit_lesson.plots import COLOURS, WIDTH, drawing, ink
from dit_lesson.sampling import guided, walk

STEPS, NUM_HEADS = 20, 4
#: The branches in the order in which the tokens pass them.
BRANCHES = tuple(f"{name} {block}" for block in range(3) for name in ("attention", "MLP"))
PATH = Straight()


class WholeDiTOpenedFigure(OwnWeights, Figure):
    """What every branch, head and gate does to one token, in the middle of painting a digit.

    The model is the book's, or one of your own: ``WholeDiTOpenedFigure(own=model,
    weights="yours")``.
    """

    caption: ClassVar[str] = (
        "The trained DiT of this book, opened while it paints. Under each branch: how much this "
        "token's answer changes when its gate is shut. Below: where the four heads of a block "
        "look from this token, and how far each moves it."
    )

    digit = traitlets.Int(5, min=0, max=9)
    seed = traitlets.Int(0, min=0, max=SEEDS - 1)
    step = traitlets.Int(10, min=0, max=STEPS - 1)
    token = traitlets.Int(5, min=0, max=SIDE * SIDE - 1)
    branch = traitlets.Enum(BRANCHES, "attention 1")

    @classmethod
    def assets(cls) -> dict[str, bytes]:
        """All that paints."""
        return painting()

    def stages(self) -> dict[str, Any]:
        """The time, two pictures, and what branches and heads do to the token.

        ``taken`` is what the model takes the digit to be, ``ended`` what it would take it to be
        if no branch came after the chosen one. ``effects`` (6,) is how much the token's answer
        changes, relative to its size, when the gate of a branch is shut; ``gates`` (6,) are
        their root mean squares; ``looks`` (4, 16) is where the heads of the block look, and
        ``moves`` (4,) how far each moves the token, relative to its length.
        """
        x, t = self._underway()
        chosen = BRANCHES.index(self.branch)
        # the answer as it is, one for each gate shut, and one with all shut behind the chosen
        let_through = np.vstack([np.ones(6), 1 - np.eye(6), np.arange(6) <= chosen])
        weights = {name: value.numpy() for name, value in self.model().state_dict().items()}
        answers, gates, looks, moves = _opened(weights, x, t, self.digit, let_through, chosen // 2)
        latents = torch.from_numpy(x - t * answers[[0, -1]])
        taken, ended = decoder().from_latents(latents).numpy()[:, 0]
        own = answers.reshape(len(answers), -1, SIDE * SIDE)[:, :, self.token]
        changes = np.linalg.norm(own[1:-1] - own[0], axis=1)
        return {
            "t": t,
            "taken": taken,
            "ended": ended,
            # an untrained model answers 0 whatever is shut
            "effects": changes / (np.linalg.norm(own[0]) or 1),
            "gates": np.sqrt((gates**2).mean(axis=1)),
            "looks": looks[:, self.token],
            "moves": moves[:, self.token],
        }

    @torch.no_grad()
    def _underway(self) -> tuple[np.ndarray, float]:
        """The latent (1, 8, 4, 4) before the chosen step of a walk without guidance, and t."""
        start = noise(self.seed)
        answer = guided(self.model(), torch.tensor([self.digit]), null=10, scale=1)
        latents = [start, *walk(answer, start, PATH, STEPS, predicts="velocity")]
        return latents[self.step].numpy(), 1 - self.step / STEPS

    def summary(self) -> str:
        """What happens to the token in the chosen branch and its block."""
        now = self.stages()
        chosen, head = BRANCHES.index(self.branch), int(now["moves"].argmax())
        return (
            f"A {self.digit} at t = {now['t']:.2f}, token {self.token}{self.whose()}: with the "
            f"gate of {self.branch} shut its answer changes by {now['effects'][chosen]:.0%}. In "
            f"attention {chosen // 2} head {head} moves it farthest, by "
            f"{now['moves'][head]:.0%} of its length."
        )

    def picture(self) -> matplotlib.figure.Figure:
        """The two pictures, and the effect of every branch."""
        now = self.stages()
        figure, axes = drawing(1, 3, figsize=(WIDTH, 2.2), width_ratios=(1, 1, 2))
        titles = (f"at t = {now['t']:.2f}", f"ended after {self.branch}")
        for place, image, title in zip(axes, (now["taken"], now["ended"]), titles, strict=False):
            ink(place, image)
            place.set_title(title)
        colours = [COLOURS["gate" if name == self.branch else "data"] for name in BRANCHES]
        axes[2].barh(BRANCHES, 100 * now["effects"], color=colours)
        axes[2].invert_yaxis()
        axes[2].set_xlabel("% by which the answer changes, gate shut")
        return figure


def _opened(
    weights: Weights, x: np.ndarray, t: float, digit: int, let_through: np.ndarray, shown: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    r"""`numpy_dit.dit` with each gate $\alpha$ times its column of ``let_through`` (B, 6).

    Returns: the answers (B, 8, 4, 4); the gates (6, D); and of block ``shown``, with all gates
    as they are, where each head looks, (h, N, N), and how far it moves each token, (h, N).
    """
    batch = len(let_through)
    tokens, c = embed(
        np.repeat(x, batch, axis=0), np.full(batch, 1000 * t), np.full(batch, digit), weights
    )
    gates = []
    for number, name in enumerate(("attn", "mlp") * 3):
        block = below(weights, f"blocks.{number // 2}")
        shift, scale, gate = steering(c, block)[name]
        modulated = modulate(layer_norm(tokens), shift, scale)
        if number == 2 * shown:
            looks, moves = _heads(modulated[:1], below(block, "attn"), gate[0])
            moves = moves / np.linalg.norm(tokens[0], axis=-1)
        gates.append(gate[0])
        opening = (gate * let_through[:, [number]])[:, None]
        tokens = tokens + opening * branch(name, modulated, c, block, NUM_HEADS)
    patches = final_layer(tokens, c, below(weights, "final_layer"))
    return join_patches(patches, 1, SIDE, SIDE), np.array(gates), looks, moves


def _heads(x: np.ndarray, weights: Weights, gate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each head looks, (h, N, N), and the size of what it adds to each token, (h, N)."""
    qkv = np.split(linear(x, weights["qkv.weight"], weights["qkv.bias"]), 3, axis=-1)
    queries, keys, values = (split_heads(part, NUM_HEADS)[0] for part in qkv)
    looks = attention_weights(queries, keys)
    shares = split_heads(weights["proj.weight"][None], NUM_HEADS)[0]  # (h, D, d) of W_o
    added = gate * (looks @ values @ shares.mT)  # (h, N, D)
    return looks, np.linalg.norm(added, axis=-1)
