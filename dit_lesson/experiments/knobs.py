"""What each number of a short training is worth: one is changed, the others stay."""

from dataclasses import asdict, dataclass, replace
from statistics import mean
from typing import Any, Literal

import torch
from torch import nn

from dit_lesson.checkpoints import load_model
from dit_lesson.diffusion import Prediction, Straight, conditional_loss
from dit_lesson.evaluation import judge_features
from dit_lesson.experiments import Comparison, settings
from dit_lesson.experiments.judging import AUTOENCODER, judged_images, velocity_losses
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
    """What a run may change; every run sees equally many pictures."""

    learning_rate: float = RECIPE.learning_rate
    batch_size: int = RECIPE.batch_size
    hidden_size: int = LATENT_DIT.hidden_size
    embedding_init: Literal["paper", "unit"] = "unit"
    spread: float | None = 1.0
    predicts: Prediction = "velocity"
    #: whose latents are learned; the 8x8x4 are reconstructed better, and here cut into 2x2 patches
    autoencoder: str = AUTOENCODER


KNOBS = {
    "as is": Knobs(),
    "learning rate 1e-3": Knobs(learning_rate=1e-3),
    "learning rate 3e-3": Knobs(learning_rate=3e-3),
    "learning rate 3e-2": Knobs(learning_rate=3e-2),
    "batch 16": Knobs(batch_size=16),
    "batch 64": Knobs(batch_size=64),
    "width 32": Knobs(hidden_size=32),
    "width 96": Knobs(hidden_size=96),
    "paper embeddings": Knobs(embedding_init="paper"),
    "uniform t": Knobs(spread=None),
    "predicts noise": Knobs(predicts="noise"),
    "predicts data": Knobs(predicts="data"),
    "first decoder": Knobs(autoencoder="autoencoder-4x4x8"),
    "latents 8x8x4": Knobs(autoencoder="autoencoder-8x8x4"),
}


def knob_run(recipe: Recipe, knob: str, seed: int) -> dict[str, Any]:
    """Loss, accuracy and distance of 400 samples, with the averaged and with the last weights.

    Trained on the 3,600 digits that the judge saw; the loss is that of the other 400 training
    digits, in the velocity, and the distance is to these. Test digits are not used.
    """
    knobs = KNOBS[knob]
    path, predicts = Straight(spread=knobs.spread), knobs.predicts
    autoencoder = load_model(knobs.autoencoder)
    train, (real, y) = judge_split()
    x = autoencoder.to_latents(real)
    shape = {"in_channels": x.shape[1], "input_size": x.shape[2], "patch_size": x.shape[2] // 4}
    torch.manual_seed(seed)
    model = DiT(
        replace(
            LATENT_DIT,
            hidden_size=knobs.hidden_size,
            embedding_init=knobs.embedding_init,
            **shape,
        )
    )
    changed = replace(
        recipe,
        steps=recipe.steps * recipe.batch_size // knobs.batch_size,
        batch_size=knobs.batch_size,
        learning_rate=knobs.learning_rate,
    )
    loss = conditional_loss(path, predicts)
    run = Run(model, loss, (autoencoder.to_latents(train[0]), train[1]), changed, seed)
    for _ in run.walk():
        pass

    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))

    def measured(model: nn.Module) -> dict[str, float]:
        by_t = velocity_losses(model, x, y, TIMES, predicts)
        times = PATH.times(10)
        if predicts == "noise":  # nothing is known of the data where x holds hardly any
            times = 0.98 * times
        latents = sample(guided(model, y, 10, 1.5), noise, PATH, times.tolist(), predicts=predicts)
        images = autoencoder.from_latents(latents)
        return {"loss": round(mean(by_t), 3)} | judged_images(images, y, judge_features(real))

    return {"average": measured(run.snapshot()), "last": measured(model.eval())}


KNOB_COMPARISONS = {
    "knob-comparison": Comparison(
        RECIPE,
        settings("knob", [(knob,) for knob in KNOBS]),
        knob_run,
        {"arguments": asdict(LATENT_DIT)},
    ),
}
