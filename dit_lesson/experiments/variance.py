"""Chapter 14's second card: a model that learns its variance, sampled with it and without."""

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from itertools import pairwise, product
from typing import Any, Literal

import torch
from torch import Tensor

from dit_lesson.diffusion import (
    Path,
    data_and_noise,
    gaussian_divergence,
    learned_log_variance,
    learned_variance_loss,
    mix,
    posterior,
)
from dit_lesson.experiments import SEEDS, Comparison
from dit_lesson.experiments.judging import decode, judged_images
from dit_lesson.experiments.race import data
from dit_lesson.experiments.recipes import DDPM, DIGITS_DIT, train_dit
from dit_lesson.models import DiT
from dit_lesson.sampling import Denoiser, ancestral, guided, respace, sample
from dit_lesson.training import Recipe

Variance = Literal["small", "learned", "large"]

VARIANCE_DIT = replace(DIGITS_DIT, learn_sigma=True)
#: At the rate of 1e-2 the validation digits found the learned variance further behind.
RECIPE = Recipe(2000, 32, learning_rate=3e-3, ema_decay=0.995)
STEPS = (5, 10, 50)
SAMPLES, GUIDANCE = 500, 1.5


def variance_loss(model: Callable, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
    """The error of the predicted noise and the divergence of the learned variance."""
    t = DDPM.draw(len(x), generator)
    noise = torch.randn(x.shape, generator=generator)
    return learned_variance_loss(lambda x, t: model(x, t, y, generator), x, t, noise, DDPM)


@cache
def trained(recipe: Recipe, seed: int) -> DiT:
    """The DiT of chapter 13 with doubled channels, trained on the VP path on 3,600 digits."""
    return train_dit(recipe, seed, VARIANCE_DIT, *data()["train"], variance_loss)


def variance_run(recipe: Recipe, variance: Variance, seed: int) -> dict[str, Any]:
    """What 500 guided digits are like, and what the walk costs, by the number of respaced steps.

    Once more for the fewest steps, with the small variance in the last step that adds noise.
    """
    model, found = trained(recipe, seed), {}
    for steps in STEPS:
        found[str(steps)] = painted(model, steps, variance, variance, seed) | {
            "bits": round(bits(model, variance, steps), 2)
        }
    return {"steps": found, "small_at_last": painted(model, STEPS[0], variance, "small", seed)}


def painted(
    model: DiT, steps: int, variance: Variance, last: Variance, seed: int
) -> dict[str, float]:
    """How good 500 digits are, from one noise for each seed; to t = 0 with another variance."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(SAMPLES, *data()["test"][0].shape[1:], generator=generator)
    asked = torch.arange(SAMPLES) % 10
    early, late = (ancestral(generator, name) for name in (variance, last))

    def step(denoise: Denoiser, x: Tensor, t: Tensor, s: Tensor, path: Path) -> Tensor:
        return (late if s[0] == 0 else early)(denoise, x, t, s, path)

    answer = guided(model, asked, VARIANCE_DIT.num_classes, GUIDANCE)
    images = decode(sample(answer, noise, respace(DDPM.betas, steps), steps, step))
    ink = round((images > 0).float().mean().item(), 4)
    return judged_images(images, asked) | {"ink": ink}


@torch.no_grad()
def bits(model: DiT, variance: Variance, steps: int) -> float:
    r"""$\sum_t \mathrm{KL}(q(x_s|x_t,x_0)\,\Vert\,\mathcal N(\mu_\theta, \sigma^2))$ in bits.

    What the variance learns to make small, for each number of a latent: on every fourth test
    digit, told its class, over all steps of a walk but the last, which adds no noise.
    """
    x0, y = (part[::4] for part in data()["test"])
    generator, nats, path = torch.Generator().manual_seed(0), 0.0, respace(DDPM.betas, steps)
    for t, s in pairwise(path.times(steps)[:-1, None].expand(-1, len(x0))):
        x = mix(path, x0, torch.randn(x0.shape, generator=generator), t)
        epsilon, share = model(x, path.told(t), y).chunk(2, dim=1)
        guess, _ = data_and_noise(epsilon, x, t, path, "noise")
        mean, beta_tilde, beta = posterior(x, x0, t, s, path)
        log_variance = {
            "small": beta_tilde.log(),
            "learned": learned_log_variance(share, beta_tilde, beta),
            "large": beta.log(),
        }[variance]
        own_mean, _, _ = posterior(x, guess, t, s, path)
        nats += gaussian_divergence(mean, beta_tilde.log(), own_mean, log_variance).mean().item()
    return nats / math.log(2)


VARIANCES = {
    "variance-comparison": Comparison(
        RECIPE,
        [
            {"variance": variance, "seed": seed}
            for seed, variance in product(SEEDS, ("small", "learned", "large"))
        ],
        variance_run,
        {"arguments": asdict(VARIANCE_DIT), "samples": SAMPLES, "guidance": GUIDANCE},
    ),
}
