"""Chapter 14's figure: paint a digit with the trained DiT, and overrule what steers it."""

from typing import Any, ClassVar

import matplotlib.figure
import numpy as np
import torch
import traitlets
from torch import Tensor

from dit_lesson import plots
from dit_lesson.diffusion import Model, Straight
from dit_lesson.figures.base import Figure
from dit_lesson.figures.handed import OwnWeights
from dit_lesson.figures.training_assets import SEEDS, decoder, noise, painting
from dit_lesson.models import DiT
from dit_lesson.sampling import deterministic, guided, heun, walk

PICTURE = 32
KINDS = ("shift", "scale", "gate")
BRANCHES = ("attn", "mlp")
#: What may be overruled: how the classes, the times or the gates of the walk are told.
OVERRULES = ("nothing", "guide in an interval", "change the class", "mute a branch", "hold t")
MUTED = tuple(
    f"{name} of {'all blocks' if block is None else f'block {block}'}"
    for name in ("attention", "MLP")
    for block in (0, 1, 2, None)
)
CLOSE = 0.001  # times that are equal but for rounding, as the model is told them
PATH = Straight()


class SamplingFigure(OwnWeights, Figure):
    """A walk of ``steps`` from noise to a digit, and what may be overruled on the way.

    ``step`` is the one that is shown; one beyond the last is the last.
    The model is the book's, or one of your own: ``SamplingFigure(own=model, weights="yours")``.
    """

    caption: ClassVar[str] = (
        "The trained DiT of this chapter paints one digit. From noise on the left to data on the "
        "right: the latent, what the model takes it for, decoded, and the sizes of the shifts, "
        "scales and gates of its three blocks. One step is framed, and shown large."
    )

    digit = traitlets.Int(5, min=0, max=9)
    guidance = traitlets.Float(1.5, min=0, max=4)
    steps = traitlets.Int(20, min=1, max=20)
    step = traitlets.Int(20, min=0, max=20)
    seed = traitlets.Int(0, min=0, max=SEEDS - 1)
    sampler = traitlets.Enum(("Euler", "Heun"), "Euler")
    overrule = traitlets.Enum(OVERRULES, "nothing")
    lowest = traitlets.Float(0.5, min=0, max=1)
    highest = traitlets.Float(1.0, min=0, max=1)
    other = traitlets.Int(0, min=0, max=9)
    change_at = traitlets.Float(0.65, min=0, max=1)
    muted = traitlets.Enum(MUTED, "MLP of block 0")
    held = traitlets.Float(0.1, min=0, max=1)

    @classmethod
    def assets(cls) -> dict[str, bytes]:
        """All that paints."""
        return painting()

    @torch.no_grad()
    def stages(self) -> dict[str, Any]:
        """At every time the latent and what it is taken for; by step the size of each vector.

        Of the step that is shown, both as pictures: what is painted, and what it is taken for.
        """
        model = self.model()
        latents: list[Tensor] = []
        seen: list[Tensor] = []
        sizes: list[list[float]] = []

        def look(x: Tensor, t: Tensor, y: Tensor) -> Tensor:
            told = t if self.overrule != "hold t" else 0 * t + 1000 * self.held
            return model(x, told, y)

        answer = self._answer(look)

        def watched(x: Tensor, t: Tensor) -> Tensor:
            velocity = answer(x, t)
            latents.append(x[0])
            seen.append(x - t[:, None, None, None] / 1000 * velocity)
            sizes.append(measured())
            return velocity

        with _Watch(model, self._silent()) as measured:
            step = heun if self.sampler == "Heun" else deterministic
            *_, last = walk(watched, noise(self.seed), PATH, self.steps, step, "velocity")
        calls, at = 2 if self.sampler == "Heun" else 1, min(self.step, self.steps)
        path = torch.stack([*latents[::calls], last[0]])
        # the last latent is taken for what it is
        z = torch.cat([*seen[::calls], last, path[at : at + 1]])
        *pictures, painted = decoder().from_latents(z)[:, 0].numpy()
        return {
            "times": PATH.times(self.steps).numpy(),
            "step": at,
            "latents": path.flatten(1).numpy(),
            "seen": np.reshape(pictures, (self.steps + 1, PICTURE * PICTURE)),
            "taken": pictures[at],
            "painted": painted,
            "sizes": np.array(sizes[::calls]).T,
        }

    def _answer(self, look: Any) -> Model:
        """The guided model, which may guide in an interval or change the class on the way."""
        interval = None
        if self.overrule == "guide in an interval":
            interval = (1000 * self.lowest - CLOSE, 1000 * self.highest + CLOSE)

        def asked(digit: int) -> Model:
            return guided(look, torch.tensor([digit]), 10, self.guidance, interval)

        first, then = asked(self.digit), asked(self.other)
        if self.overrule != "change the class":
            return first
        return lambda x, t: (first if float(t[0]) > 1000 * self.change_at + CLOSE else then)(x, t)

    def _silent(self) -> list[tuple[int, str]]:
        """The branches whose gates are zero."""
        if self.overrule != "mute a branch":
            return []
        branch = BRANCHES[self.muted.startswith("MLP")]
        return [(b, branch) for b in range(3) if self.muted.endswith(("all blocks", f"block {b}"))]

    def summary(self) -> str:
        """What was asked, how, and what was overruled."""
        calls = self.steps if self.sampler == "Euler" else 2 * self.steps - 1
        told = {
            "nothing": "",
            "guide in an interval": f"; guided only from t = {self.lowest:.2f} to "
            f"{self.highest:.2f}",
            "change the class": f"; from t = {self.change_at:.2f} on a {self.other} is asked for",
            "mute a branch": f"; the gates are 0 in the {self.muted}",
            "hold t": f"; the model is told t = {self.held:.2f} at every step",
        }[self.overrule]
        now = self.stages()
        ink = (now["painted"] > 0).mean()
        return (
            f"A {self.digit}{self.whose()} from noise {self.seed} at guidance {self.guidance:.2f}: "
            f"{_many(self.steps, f'{self.sampler} step')}, {_many(calls, 'time')} at which the "
            f"model is asked{told}. "
            f"After step {now['step']}, at t = {now['times'][now['step']]:.2f}, {ink:.0%} of the "
            "picture is ink."
        )

    def picture(self) -> matplotlib.figure.Figure:
        """What the model sees at up to nine of the steps, and the painted digit."""
        now = self.stages()
        shown = np.linspace(0, self.steps - 1, min(9, self.steps)).round().astype(int)
        images = now["seen"][[*shown, self.steps]].reshape(-1, PICTURE, PICTURE)
        titles = [*(f"t = {t:.2f}" for t in now["times"][shown]), "painted"]
        return plots.ink_rows([list(images)], titles)


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


class _Watch:
    """Sets gates of a model to 0 while it is watched, and measures what steers its blocks."""

    def __init__(self, model: DiT, silent: list[tuple[int, str]]) -> None:
        self.vectors: dict[int, list[Tensor]] = {}
        self.hooks = [
            model.get_submodule(f"blocks.{b}.adaLN_modulation").register_forward_hook(
                self._hook(b, silent)
            )
            for b in range(model.config.depth)
        ]

    def _hook(self, block: int, silent: list[tuple[int, str]]) -> Any:
        def hook(_: Any, __: Any, vectors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            factors = [
                0.0 if kind == "gate" and (block, branch) in silent else 1.0
                for branch in BRANCHES
                for kind in KINDS
            ]
            new = tuple(f * v for f, v in zip(factors, vectors, strict=True))
            self.vectors[block] = [vector[0] for vector in new]
            return new

        return hook

    def __enter__(self) -> Any:
        return lambda: [
            vector.square().mean().sqrt().item() for b in range(3) for vector in self.vectors[b]
        ]

    def __exit__(self, *_: object) -> None:
        for hook in self.hooks:
            hook.remove()
