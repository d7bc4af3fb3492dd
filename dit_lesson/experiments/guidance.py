"""Chapter 14's card: what guidance, its place in time and the number of steps do to the digits."""

from dataclasses import asdict
from functools import cache

import torch
from torch import Tensor, nn

from dit_lesson.checkpoints import load_model
from dit_lesson.data import digits
from dit_lesson.diffusion import Model
from dit_lesson.evaluation import accuracy, frechet_distance, judge_features
from dit_lesson.experiments import Comparison, settings
from dit_lesson.experiments.judging import decode
from dit_lesson.experiments.recipes import (
    DIGITS_DIT,
    DIGITS_DIT_RECIPE,
    FLOW,
    judge_split,
    latents,
    velocity_loss,
)
from dit_lesson.models import DiT
from dit_lesson.sampling import deterministic, guided, heun, sample
from dit_lesson.training import Recipe, Run

SAMPLES = 1000
EARLY = 200  # steps after which the average is taken that guides in "early average"

#: Times with guidance, as the model is told them.
INTERVALS = {"high noise": (550, 1000), "middle": (175, 825), "low noise": (0, 550)}
STEPS = 10


def guidance_run(
    recipe: Recipe, way: str, scale: float, steps: int, step: str, seed: int
) -> dict[str, float]:
    """Accuracy of 1,000 digits, and their distance to the test and to the validation digits.

    The 1,000 are a hundred of each class from one noise for each seed; digits-dit paints them in
    some Euler or Heun steps. The 400 validation digits are those of `judge_split`: a scale that
    is chosen by them was not chosen on the test digits.
    """
    noise = torch.randn(SAMPLES, 8, 4, 4, generator=torch.Generator().manual_seed(seed))
    asked = torch.arange(SAMPLES) % 10
    model = guide(way, scale, asked, recipe)
    painted = sample(
        model, noise, FLOW, steps, {"Euler": deterministic, "Heun": heun}[step], "velocity"
    )
    images = decode(painted)
    features = judge_features(images)
    return {
        "accuracy": round(accuracy(images, asked), 3),
        "distance": round(frechet_distance(features, _real("test")), 1),
        "validation_distance": round(frechet_distance(features, _real("validation")), 1),
    }


def guide(way: str, scale: float, asked: Tensor, recipe: Recipe = DIGITS_DIT_RECIPE) -> Model:
    """digits-dit, guided in one of the ways that are compared.

    Args:
        way: "constant", one of `INTERVALS`, "ends" (all times but those of "middle"), "6 of 8
            channels", or "early average", where the model told y is compared with its own early
            average told y, in place of itself told nothing.
        scale: of the guidance.
        asked: (B,) classes.
        recipe: of the run whose early average guides.
    """
    model, null = load_model("digits-dit"), DIGITS_DIT.num_classes
    if way == "early average":
        early = early_average(recipe)

        def apart(x: Tensor, t: Tensor) -> Tensor:
            weak = early(x, t, asked)
            return weak + scale * (model(x, t, asked) - weak)

        return apart
    if way == "ends":
        lowest, highest = INTERVALS["middle"]
        everywhere = guided(model, asked, null, scale)
        return lambda x, t: (
            model(x, t, asked) if lowest <= float(t[0]) <= highest else everywhere(x, t)
        )
    channels = 6 if way == "6 of 8 channels" else None
    return guided(model, asked, null, scale, INTERVALS.get(way), channels)


@cache
def early_average(recipe: Recipe) -> nn.Module:
    """The average of digits-dit's own run after `EARLY` of its steps."""
    torch.manual_seed(0)
    run = Run(DiT(DIGITS_DIT), velocity_loss, latents("autoencoder-4x4x8")["train"], recipe, seed=0)
    for _ in range(min(EARLY, recipe.steps)):
        run.step()
    return run.snapshot()


@cache
def _real(split: str) -> Tensor:
    images, _ = digits("test", 32) if split == "test" else judge_split()[1]
    return judge_features(images)


#: The scales at which each way is run.
SCALES = {
    "constant": (0.0, 1.0, 1.25, 1.375, 1.5, 1.75, 2.0, 3.0),
    "high noise": (1.5, 2.0, 3.0),
    "middle": (1.5, 2.0, 3.0),
    "low noise": (2.0, 3.0),
    "ends": (2.0,),
    "6 of 8 channels": (1.5,),
    "early average": (1.5, 2.0),
}
OTHER_STEPS = ((5, "Euler"), (20, "Euler"), (5, "Heun"))

GUIDANCE = {
    "guidance-comparison": Comparison(
        DIGITS_DIT_RECIPE,
        settings(
            "way scale steps step",
            [(way, scale, STEPS, "Euler") for way, scales in SCALES.items() for scale in scales]
            + [("constant", 1.5, steps, step) for steps, step in OTHER_STEPS],
        ),
        guidance_run,
        {"arguments": asdict(DIGITS_DIT), "samples": SAMPLES, "early": EARLY},
    ),
}
