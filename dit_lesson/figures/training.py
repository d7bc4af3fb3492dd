"""Chapter 13's figure: a DiT that learns to draw digits where it is shown."""

from dataclasses import asdict, replace
from typing import Any, ClassVar

import matplotlib.figure
import torch
import traitlets

from dit_lesson import plots
from dit_lesson.checkpoints import load_model
from dit_lesson.counting import dit_ledger, total
from dit_lesson.diffusion import Straight
from dit_lesson.experiments import start
from dit_lesson.experiments.recipes import DIGITS_DIT, DIGITS_DIT_RECIPE
from dit_lesson.figures.assets import packed_weights, unpacked
from dit_lesson.figures.base import DESIGN_NAMES, Figure
from dit_lesson.figures.handed import WIDTHS, begun, handed, require_own
from dit_lesson.figures.training_assets import (
    AUTOENCODER,
    packed_decoder,
    packed_judge,
    packed_latents,
)
from dit_lesson.models import DESIGNS, DiT, DiTConfig
from dit_lesson.sampling import guided, sample

STEPS, BATCH_SIZE = start.RECIPE.steps, start.RECIPE.batch_size
SAMPLING: dict[str, Any] = {"steps": start.STEPS, "interval": list(start.INTERVAL)}
KINDS = ("shift", "scale", "gate")


class TrainingFigure(Figure):
    """A training run, from its first step to `until`; what it learns, and how, is chosen.

    The page trains.  Python says what is known before the first step.  With a kernel, weights go
    both ways: a run begins at those of `initial`, and `trained` is the model that has painted the
    digits of the page when the run last rested, None before its first step.
    """

    caption: ClassVar[str] = (
        "Ten digits that the DiT of this book paints: from random weights, and after its training. "
        "On a page with JavaScript and in JupyterLab the figure trains such a model itself."
    )
    worker: ClassVar[str] = "core/worker.mjs"

    conditioning = traitlets.Enum(tuple(DESIGNS), "adaln-zero")
    predicts = traitlets.Enum(("velocity", "data", "noise"), "velocity")
    learning_rate = traitlets.Enum((0.001, 0.003, 0.01, 0.03), start.RECIPE.learning_rate)
    embedding_init = traitlets.Enum(("unit", "paper"), "unit")
    modulation = traitlets.Enum(("zero", "random"), "zero")
    hidden_size = traitlets.Enum(WIDTHS, 64)
    seed = traitlets.Int(0, min=0, max=99)
    noise = traitlets.Int(0, min=0, max=99)
    guidance = traitlets.Float(start.SCALES["random"], min=0, max=4)
    until = traitlets.Int(0, min=0, max=STEPS)

    initial = handed()
    trained = handed()

    @traitlets.validate("initial")
    def _require_own(self, proposal: Any) -> DiT | None:
        return require_own("TrainingFigure", "initial", proposal["value"], begun(DIGITS_DIT))

    @traitlets.observe("initial")
    def _choose(self, change: Any) -> None:
        if change["new"] is not None:
            for name, value in begun(change["new"].config).items():
                setattr(self, name, value)

    @classmethod
    def constants(cls) -> dict[str, Any]:
        """What all runs share."""
        recipe = {"steps": STEPS, "batchSize": BATCH_SIZE, "emaDecay": start.RECIPE.ema_decay}
        return {
            "config": asdict(DIGITS_DIT),
            "recipe": recipe,
            "sampling": SAMPLING,
            "book_steps": DIGITS_DIT_RECIPE.steps,
            "designs": DESIGN_NAMES,
        }

    @classmethod
    def assets(cls) -> dict[str, bytes]:
        """3,600 latents with their labels, what shows and reads them, the book's trained DiT."""
        return {
            "data": packed_latents(),
            "decoder": packed_decoder(),
            "judge": packed_judge(),
            "weights": packed_weights("digits-dit", bits=8),
        }

    def config(self) -> DiTConfig:
        """Of the chosen model."""
        return replace(DIGITS_DIT, conditioning=self.conditioning, hidden_size=self.hidden_size)

    def stages(self) -> dict[str, Any]:
        """Parameters; how many shifts, scales and gates steer; the loss of the first answer, 0."""
        config = self.config()
        kinds = KINDS[: config.design.modulation // 2]  # each before attention and before the MLP
        steering = {
            kind: 2 * config.depth + (config.design.final_modulation > 0) * (kind != "gate")
            for kind in kinds
        }
        latents = unpacked(self.assets()["data"])["latents"].square().mean().item()
        first_loss = {"velocity": 1 + latents, "data": latents, "noise": 1.0}[self.predicts]
        parameters = total(dit_ledger(config).values()).parameters
        return {"parameters": parameters, "steering": steering, "first_loss": first_loss}

    def summary(self) -> str:
        """The chosen model before its first step."""
        now, initial = self.stages(), self.initial
        given = initial is not None and begun(initial.config).items() <= self.choices().items()
        first = (
            "it begins at weights that were given, and zero" if given else "its first answer, zero,"
        )
        return (
            f"A DiT of the design {DESIGN_NAMES[self.conditioning]} with {now['parameters']:,} "
            f"parameters, which learns to draw digits in {STEPS} steps: it predicts the "
            f"{self.predicts}, and {first} has a loss of {now['first_loss']:.2f}."
        )

    def picture(self) -> matplotlib.figure.Figure:
        """Ten digits by the shipped DiT, in front of them what the same noise looks like."""
        model, autoencoder = load_model("digits-dit"), load_model(AUTOENCODER)
        noise = torch.randn(10, 8, 4, 4, generator=torch.Generator().manual_seed(self.noise))
        velocity = guided(model, torch.arange(10), 10, self.guidance, tuple(SAMPLING["interval"]))
        latents = sample(velocity, noise, Straight(), SAMPLING["steps"], predicts="velocity")
        rows = [autoencoder.from_latents(shown)[:, 0].numpy() for shown in (noise, latents)]
        return plots.ink_rows(rows, [str(k) for k in range(10)], ["untrained", "trained"])
