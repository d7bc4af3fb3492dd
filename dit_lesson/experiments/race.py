"""Chapter 15, the race of the designs: `make race` makes the runs that its results lack.

Every model is trained on the 3,600 digits that the judge saw. The learning rate of each entrant is
chosen by the loss on the other 400 training digits, with seeds of its own, and a step of each
design is timed; then all race, and the test digits are looked at.
"""

import random
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from itertools import chain, product
from statistics import mean, median
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from dit_lesson.autoencoder import Autoencoder
from dit_lesson.checkpoints import load_model
from dit_lesson.counting import Cost, dit_ledger, total
from dit_lesson.data import digits
from dit_lesson.experiments import Comparison, read_result
from dit_lesson.experiments.judging import AUTOENCODER, judged_images, velocity_losses
from dit_lesson.experiments.recipes import DIGITS_DIT, FLOW, judge_split, velocity_loss
from dit_lesson.models import DESIGNS, DiT, DiTConfig
from dit_lesson.norms import Modulation
from dit_lesson.sampling import guided, sample
from dit_lesson.training import Recipe, Run

#: How large the vectors of time and class begin; "normed": as small as the paper's, and each of
#: them passes a layer norm before the model reads it.
Loudness = Literal["unit", "paper", "normed"]

RECIPE = Recipe(300, 32, learning_rate=1e-2, ema_decay=0.995)  # each entrant has its own rate
RATES = (3e-3, 1e-2, 3e-2)
CHOICE_SEEDS = (100,)
RACE_SEEDS = (0, 1, 2, 3, 4)
CONTROL_SEEDS = RACE_SEEDS[:3]
TIMINGS = (0, 1, 2, 3, 4)
TIMES = (0.1, 0.3, 0.5, 0.7, 0.9)
SAMPLES, SAMPLE_STEPS, GUIDANCE = 1000, 10, 1.5

#: Between adaLN and adaLN-Zero: a design, and how its modulation starts instead.
VARIANTS: dict[str, tuple[str, Callable[[Tensor], Any]]] = {
    "adaln, zero start": ("adaln", nn.init.zeros_),
    "gates, xavier start": ("adaln-zero", nn.init.xavier_uniform_),
}
ENTRANTS = (*DESIGNS, *VARIANTS)


def entrant_config(
    entrant: str, loudness: Loudness = "unit", width: int | None = None
) -> DiTConfig:
    """Its sizes: `DIGITS_DIT` in one of the designs, with embeddings as loud as told."""
    design, _ = VARIANTS.get(entrant, (entrant, None))
    width = width or DIGITS_DIT.hidden_size
    start: Literal["unit", "paper"] = "unit" if loudness == "unit" else "paper"
    return replace(DIGITS_DIT, conditioning=design, embedding_init=start, hidden_size=width)


class Normed(nn.Module):
    r"""$\mathrm{LN}(e)$ of an embedder's vectors e, without learned scale and shift.

    forward(*inputs): of the embedder -> (..., D), each vector of mean 0 and deviation 1.
    """

    def __init__(self, embedder: nn.Module):
        super().__init__()
        self.embedder = embedder

    def forward(self, *inputs: Any) -> Tensor:
        """The embedder's vectors, all equally loud."""
        vectors = self.embedder(*inputs)
        return layer_norm(vectors, vectors.shape[-1:], eps=1e-6)


def entrant_model(entrant: str, config: DiTConfig, loudness: Loudness = "unit") -> DiT:
    """The model at its start; in a variant the weights of every modulation start otherwise."""
    model = DiT(config)
    if loudness == "normed":
        for name in ("t_embedder", "y_embedder"):
            model.register_module(name, Normed(model.get_submodule(name)))
    if entrant in VARIANTS:
        _, start = VARIANTS[entrant]
        for layer in model.modules():
            if isinstance(layer, Modulation):
                start(layer.get_parameter("1.weight"))
    return model


def entrant_run(
    recipe: Recipe, entrant: str, config: DiTConfig, seed: int, loudness: Loudness = "unit"
) -> tuple[DiT, Run]:
    """The entrant before its first step, and its run on the 3,600 digits.

    The seed fixes the start of the weights, and, the same for all entrants, the order of the
    digits, the times, the noise and which labels are dropped.
    """
    torch.manual_seed(seed)
    model = entrant_model(entrant, config, loudness)
    return model, Run(model, velocity_loss, data()["train"], recipe, seed)


def train_entrant(
    recipe: Recipe, entrant: str, config: DiTConfig, seed: int, loudness: Loudness = "unit"
) -> DiT:
    """The model of an `entrant_run` after its last step."""
    model, run = entrant_run(recipe, entrant, config, seed, loudness)
    run.complete()
    return model


@cache
def autoencoder() -> Autoencoder:
    """The autoencoder of Part III."""
    return load_model(AUTOENCODER)


@cache
def data() -> dict[str, tuple[Tensor, Tensor]]:
    """Latents and labels: 3,600 to train on, 400 to choose on, 1,000 to test on."""
    train, validation = judge_split()
    splits = {"train": train, "validation": validation, "test": digits("test", 32)}
    return {name: (autoencoder().to_latents(x), y) for name, (x, y) in splits.items()}


def losses(model: DiT, split: str, draws: int = 1) -> list[float]:
    """The loss at each of `TIMES`; the noise is the same for all models."""
    x, y = data()[split]
    found = velocity_losses(model, x, y, TIMES, draws=draws)
    return [round(value, 4) for value in found]


def painted(model: DiT) -> tuple[Tensor, Tensor]:
    """Guided samples and the classes that were asked for; the same noise for all models."""
    asked = torch.arange(SAMPLES) % 10
    shape = (SAMPLES, *data()["test"][0].shape[1:])
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    answer = guided(model, asked, model.config.num_classes, GUIDANCE)
    found = sample(answer, noise, FLOW, SAMPLE_STEPS, predicts="velocity")
    return autoencoder().from_latents(found), asked


def best_rate(loudness: Loudness, entrant: str) -> float:
    """The rate of `RATES` with the smallest validation loss in the result "rate-choice"."""
    found: dict[float, list[float]] = {}
    for run in read_result("rate-choice")["runs"]:
        if (run["loudness"], run["entrant"]) == (loudness, entrant):
            found.setdefault(run["learning_rate"], []).append(run["validation_loss"])
    return min(found, key=lambda rate: mean(found[rate]))


def choice_run(
    recipe: Recipe, loudness: Loudness, entrant: str, learning_rate: float, seed: int
) -> dict[str, Any]:
    """The validation loss at one learning rate."""
    recipe = replace(recipe, learning_rate=learning_rate)
    model = train_entrant(recipe, entrant, entrant_config(entrant, loudness), seed, loudness)
    by_t = losses(model, "validation", draws=4)
    return {"validation_loss": round(sum(by_t) / len(by_t), 4)}


def step_time_run(recipe: Recipe, seed: int) -> dict[str, Any]:
    """Milliseconds of a step of each design, the median over a training.

    The four train in one process and take turns, a step each, in an order that changes with every
    round. What counts is the processor's time for this process, so that others may run beside it.
    """
    runs = {
        design: entrant_run(
            replace(recipe, learning_rate=best_rate("unit", design)),
            design,
            entrant_config(design),
            seed,
        )[1]
        for design in DESIGNS
    }
    found: dict[str, list[float]] = {design: [] for design in runs}
    shuffle = random.Random(seed)
    for _ in range(recipe.steps):
        for design in shuffle.sample(list(runs), len(runs)):
            start = time.process_time()
            runs[design].step()
            found[design].append(1000 * (time.process_time() - start))
    return {"milliseconds": {design: round(median(times), 3) for design, times in found.items()}}


def equal_steps(entrant: str, steps: int) -> int:
    """How many steps a design takes in the time in which the fastest takes ``steps``.

    By the result "step-time": the median of the ratios that each timing gives.
    """
    timings = [run["milliseconds"] for run in read_result("step-time")["runs"]]
    fastest = min(timings[0], key=lambda design: sum(found[design] for found in timings))
    return round(steps * median(found[fastest] / found[entrant] for found in timings))


def race_run(
    recipe: Recipe, equal: str, loudness: Loudness, entrant: str, seed: int
) -> dict[str, Any]:
    """The test loss by t, and how good 1,000 guided samples are."""
    rate = best_rate(loudness, entrant)
    steps = equal_steps(entrant, recipe.steps) if equal == "seconds" else recipe.steps
    width = equal_width(entrant) if equal == "parameters" else DIGITS_DIT.hidden_size
    config = entrant_config(entrant, loudness, width)
    recipe = replace(recipe, steps=steps, learning_rate=rate)
    model = train_entrant(recipe, entrant, config, seed, loudness)
    images, asked = painted(model)
    return {
        "learning_rate": rate,
        "steps": steps,
        "width": width,
        "parameters": cost(config).parameters,
        "macs": cost(config).macs,
        "loss": losses(model, "test"),
        **judged_images(images, asked, places=2),
    }


def equal_width(entrant: str) -> int:
    """The width, a multiple of the heads, with nearly the parameters of adaLN-Zero."""
    own, leader = entrant_config(entrant), entrant_config("adaln-zero")
    widths = range(own.hidden_size, 2 * own.hidden_size, own.num_heads)
    return min(
        widths,
        key=lambda width: abs(
            cost(replace(own, hidden_size=width)).parameters - cost(leader).parameters
        ),
    )


def cost(config: DiTConfig) -> Cost:
    """Parameters of a model, and MACs of one sample forward."""
    return total(dit_ledger(config).values())


_OTHERS = [design for design in DESIGNS if design != "adaln-zero"]
_RACES = (  # what is made first matters most
    list(product(["steps"], ["unit"], RACE_SEEDS, ENTRANTS)),
    list(product(["steps"], ["paper"], CONTROL_SEEDS, DESIGNS)),
    list(product(["parameters"], ["unit"], CONTROL_SEEDS, _OTHERS)),
    list(product(["steps"], ["normed"], CONTROL_SEEDS, DESIGNS)),
    list(product(["seconds"], ["unit"], CONTROL_SEEDS, DESIGNS)),
)
#: Whose rate is chosen, by the loudness of the conditions.
CHOICES: dict[Loudness, tuple[str, ...]] = {
    "unit": ENTRANTS,
    "paper": tuple(DESIGNS),
    "normed": tuple(DESIGNS),
}
_SHARED = {"command": "make race", "arguments": asdict(DIGITS_DIT), "times": TIMES}

RACES = {
    "rate-choice": Comparison(
        RECIPE,
        [
            {"loudness": loudness, "entrant": entrant, "learning_rate": rate, "seed": seed}
            for loudness, entrants in CHOICES.items()
            for entrant, rate, seed in product(entrants, RATES, CHOICE_SEEDS)
        ],
        choice_run,
        _SHARED,
    ),
    "step-time": Comparison(
        RECIPE, [{"seed": seed} for seed in TIMINGS], step_time_run, _SHARED | {"clock": "process"}
    ),
    "race": Comparison(
        RECIPE,
        [
            {"equal": equal, "loudness": loudness, "entrant": entrant, "seed": seed}
            for equal, loudness, seed, entrant in chain(*_RACES)
        ],
        race_run,
        _SHARED | {"samples": SAMPLES, "sample_steps": SAMPLE_STEPS, "guidance": GUIDANCE},
    ),
}
