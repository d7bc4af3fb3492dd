"""What each number of a short training is worth: one is changed, the others stay."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from dit_lesson.checkpoints import load_model
from dit_lesson.diffusion import Straight, denoising_loss
from dit_lesson.evaluation import accuracy, loss_by_t
from dit_lesson.experiments import Comparison, settings
from dit_lesson.experiments.recipes import DIGITS_DIT, judge_split
from dit_lesson.models import DiT
from dit_lesson.sampling import guided, sample
from dit_lesson.training import Recipe, Run

LATENT_DIT = replace(DIGITS_DIT, depth=2)
RECIPE = Recipe(300, batch_size=32, learning_rate=1e-2, ema_decay=0.995)
TIMES = [0.1, 0.3, 0.5, 0.7, 0.9]
PATH = Straight()


@dataclass(frozen=True)
class Knobs:
    """What a run may change: the rate, the start of the embeddings, the spread of the times."""

    learning_rate: float = RECIPE.learning_rate
    embedding_init: Literal["paper", "unit"] = "unit"
    spread: float | None = 1.0


KNOBS = {
    "as is": Knobs(),
    "learning rate 1e-3": Knobs(learning_rate=1e-3),
    "paper embeddings": Knobs(embedding_init="paper"),
    "uniform t": Knobs(spread=None),
}


def knob_run(recipe: Recipe, knob: str, seed: int) -> dict[str, Any]:
    """Validation loss and accuracy of 400 samples, with the averaged and with the last weights.

    Trained on the 3,600 digits that the judge saw; the loss is that of the other 400 training
    digits. Test digits are not used.
    """
    knobs = KNOBS[knob]
    path = Straight(spread=knobs.spread)
    autoencoder = load_model("autoencoder-4x4x8-decoder")
    train, validation = (
        (autoencoder.to_latents(images), labels) for images, labels in judge_split()
    )

    def loss(model: Callable, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        t, noise = path.draw(len(x), generator), torch.randn(x.shape, generator=generator)
        return denoising_loss(lambda x, t: model(x, t, y, generator), x, t, noise, path, "velocity")

    torch.manual_seed(seed)
    model = DiT(replace(LATENT_DIT, embedding_init=knobs.embedding_init))
    run = Run(model, loss, train, replace(recipe, learning_rate=knobs.learning_rate), seed)
    for _ in run.walk():
        pass

    x, y = validation
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))

    def measured(model: nn.Module) -> dict[str, float]:
        by_t = loss_by_t(
            lambda x, t, noise: denoising_loss(
                lambda x, t: model(x, t, y), x, t, noise, PATH, "velocity"
            ),
            x,
            TIMES,
            draws=1,
        )
        latents = sample(guided(model, y, 10, 1.5), noise, PATH, 10, predicts="velocity")
        images = autoencoder.from_latents(latents)
        return {
            "loss": round(sum(by_t) / len(by_t), 3),
            "accuracy": round(accuracy(images, y), 3),
        }

    return {"average": measured(run.snapshot()), "last": measured(model.eval())}


KNOB_COMPARISONS = {
    "knob-comparison": Comparison(
        RECIPE,
        settings("knob", [(knob,) for knob in KNOBS]),
        knob_run,
        {"arguments": asdict(LATENT_DIT)},
    ),
}
