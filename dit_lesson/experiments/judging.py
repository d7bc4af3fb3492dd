"""How an experiment judges a model: by its loss at some times, and by the digits that it paints."""

from collections.abc import Callable, Sequence
from functools import cache

from torch import Tensor

from dit_lesson.checkpoints import load_model
from dit_lesson.diffusion import Prediction, denoising_loss
from dit_lesson.evaluation import (
    accuracy,
    frechet_distance,
    judge_features,
    loss_by_t,
    real_features,
)
from dit_lesson.experiments.recipes import FLOW, latents

#: Of Part III and what follows: the encoder of chapter 3, and a decoder that was trained on.
AUTOENCODER = "autoencoder-4x4x8-decoder"


@cache
def digit_latents() -> dict[str, tuple[Tensor, Tensor]]:
    """Latents and labels of both splits; `decode` paints them."""
    return latents(AUTOENCODER)


def decode(z: Tensor) -> Tensor:
    """Pictures of latents, (B, 1, 32, 32), by the decoder of chapter 13."""
    return load_model(AUTOENCODER).from_latents(z)


def velocity_losses(
    model: Callable,
    x0: Tensor,
    y: Tensor,
    times: Sequence[float],
    predicts: Prediction = "velocity",
    draws: int = 1,
) -> list[float]:
    """The error of the velocity on the straight path, at each time, of a model that is told y."""

    def loss(x: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        return denoising_loss(
            lambda x, t: model(x, t, y), x, t, noise, FLOW, predicts, measured_in="velocity"
        )

    return loss_by_t(loss, x0, times, draws)


def judged_images(
    images: Tensor, asked: Tensor, real: Tensor | None = None, places: int = 1
) -> dict[str, float]:
    """Accuracy, and distance to the test digits or to the features of others."""
    real = real_features("test") if real is None else real
    return {
        "accuracy": round(accuracy(images, asked), 3),
        "distance": round(frechet_distance(judge_features(images), real), places),
    }
