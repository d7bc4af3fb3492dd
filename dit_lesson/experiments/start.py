"""Chapter 13's baseline: one Gaussian per class, alone and as what a DiT starts from."""

from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor, nn

from dit_lesson.checkpoints import load_model
from dit_lesson.data import digits
from dit_lesson.diffusion import denoising_loss
from dit_lesson.evaluation import accuracy, frechet_distance, judge_features, loss_by_t
from dit_lesson.experiments import Comparison, settings
from dit_lesson.experiments.knobs import LATENT_DIT, TIMES
from dit_lesson.experiments.recipes import FLOW, latents, velocity_loss
from dit_lesson.models import DiT
from dit_lesson.sampling import guided, sample
from dit_lesson.training import Recipe, Run

RECIPE = Recipe(1000, batch_size=32, learning_rate=1e-2, ema_decay=0.995)
AUTOENCODER = "autoencoder-4x4x8-decoder"
NULL = LATENT_DIT.num_classes
#: The scale of the guidance, chosen on the validation digits; it acts in the middle.
SCALES = {"random": 1.75, "gaussian": 1.5}
INTERVAL = (200, 800)
SAMPLES = 1000


class GaussianVelocity(nn.Module):
    r"""What is to be predicted, if the data of a class are one Gaussian.

    $$\hat v = U \frac{t - (1-t)\lambda}{(1-t)^2\lambda + t^2} U^\top \bigl(x_t - (1-t)\mu\bigr)
    - \mu, \qquad \Sigma = U \operatorname{diag}(\lambda)\, U^\top$$

    Args:
        x0: the data, (n, ...).
        y: their classes, (n,); the null class has the Gaussian of them all.
    forward(x, t, y): mixtures (B, ...), 1000 t (B,) and classes (B,) -> the velocity (B, ...).
    Source: Wang and Vastola 2024.
    """

    def __init__(self, x0: Tensor, y: Tensor):
        super().__init__()
        rows = [x0[y == k] for k in range(NULL)] + [x0]
        points = [row.flatten(1).double() for row in rows]
        found = [torch.linalg.eigh(p.T.cov()) for p in points]
        self.register_buffer("mean", torch.stack([p.mean(dim=0) for p in points]).float())
        self.register_buffer("variances", torch.stack([values for values, _ in found]).float())
        self.register_buffer("axes", torch.stack([axes for _, axes in found]).float())

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        """The mean of the velocity, given the mixture."""
        t = t[:, None].float() / 1000  # (B, 1)
        mean, axes = self.get_buffer("mean")[y], self.get_buffer("axes")[y]
        variances = self.get_buffer("variances")[y]
        z = torch.einsum("bi,bij->bj", x.flatten(1) - (1 - t) * mean, axes)
        z = z * (t - (1 - t) * variances) / ((1 - t) ** 2 * variances + t**2)
        return (torch.einsum("bj,bij->bi", z, axes) - mean).reshape(x.shape)


class FromGaussian(nn.Module):
    """A DiT on top of `GaussianVelocity`: its answer is zero at first, and learns the rest."""

    def __init__(self, gaussian: GaussianVelocity):
        super().__init__()
        self.gaussian = gaussian
        # labels are dropped here, for both alike
        self.rest = DiT(replace(LATENT_DIT, num_classes=NULL + 1, class_dropout_prob=0.0))

    def forward(
        self, x: Tensor, t: Tensor, y: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """The velocity (B, ...)."""
        if self.training:
            dropped = torch.rand(y.shape, generator=generator) < LATENT_DIT.class_dropout_prob
            y = torch.where(dropped, NULL, y)
        return self.gaussian(x, t, y) + self.rest(x, t, y)


def start_run(recipe: Recipe, start: str, seed: int) -> dict[str, Any]:
    """1,000 guided digits of a model trained as in the chapter; its loss before and after."""
    data = latents(AUTOENCODER)
    torch.manual_seed(seed)
    model = DiT(LATENT_DIT) if start == "random" else FromGaussian(GaussianVelocity(*data["train"]))
    model.eval()
    x0, y = data["test"]

    def loss() -> float:
        by_t = loss_by_t(
            lambda x, t, noise: denoising_loss(
                lambda x, t: model(x, t, y), x, t, noise, FLOW, predicts="velocity"
            ),
            x0,
            TIMES,
            draws=1,
        )
        return round(sum(by_t) / len(by_t), 3)

    before = loss()
    Run(model, velocity_loss, data["train"], recipe, seed).complete()
    noise = torch.randn(SAMPLES, *x0.shape[1:], generator=torch.Generator().manual_seed(seed))
    asked = torch.arange(SAMPLES) % NULL
    velocity = guided(model, asked, NULL, SCALES[start], interval=INTERVAL)
    painted = sample(velocity, noise, FLOW, 20, predicts="velocity")
    images = load_model(AUTOENCODER).from_latents(painted)
    real = judge_features(digits("test", 32)[0])
    return {
        "accuracy": round(accuracy(images, asked), 3),
        "distance": round(frechet_distance(judge_features(images), real), 1),
        "loss": {"before": before, "after": loss()},
    }


STARTS = {
    "start-comparison": Comparison(
        RECIPE,
        settings("start", [(start,) for start in SCALES], seeds=tuple(range(5))),
        start_run,
        {"arguments": asdict(LATENT_DIT), "scales": SCALES, "interval": INTERVAL},
    ),
}
