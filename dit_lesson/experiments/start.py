"""Chapter 13's baseline: one Gaussian per class, alone and as what a DiT starts from."""

from dataclasses import asdict, replace
from statistics import mean
from typing import Any

import torch
from torch import Tensor, nn

from dit_lesson.experiments import Comparison, knobs, settings
from dit_lesson.experiments.judging import decode, digit_latents, judged_images, velocity_losses
from dit_lesson.experiments.recipes import FLOW, velocity_loss
from dit_lesson.models import DiT
from dit_lesson.sampling import guided, sample
from dit_lesson.training import Recipe, Run

RECIPE = replace(knobs.RECIPE, steps=1000)
LATENT_DIT = knobs.LATENT_DIT
NULL = LATENT_DIT.num_classes
#: The scale of the guidance, chosen on the validation digits; it acts in the middle.
SCALES = {"random": 1.75, "gaussian": 1.5}
INTERVAL = (200, 800)
SAMPLES, STEPS = 1000, 20


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
        t, rows = t[:, None].float() / 1000, torch.arange(len(x))  # (B, 1), (B,)
        centre, axes = self.get_buffer("mean")[y], self.get_buffer("axes")
        variances = self.get_buffer("variances")[y]
        # along the axes of every class, of which each row takes its own: no (B, D, D) of axes
        z = torch.einsum("bi,kij->bkj", x.flatten(1) - (1 - t) * centre, axes)[rows, y]
        z = z * (t - (1 - t) * variances) / ((1 - t) ** 2 * variances + t**2)
        return (torch.einsum("bj,kij->bki", z, axes)[rows, y] - centre).reshape(x.shape)


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
    train, (x0, y) = digit_latents()["train"], digit_latents()["test"]
    torch.manual_seed(seed)
    model = DiT(LATENT_DIT) if start == "random" else FromGaussian(GaussianVelocity(*train))
    model.eval()

    def loss() -> float:
        return round(mean(velocity_losses(model, x0, y, knobs.TIMES)), 3)

    before = loss()
    Run(model, velocity_loss, train, recipe, seed).complete()
    noise = torch.randn(SAMPLES, *x0.shape[1:], generator=torch.Generator().manual_seed(seed))
    asked = torch.arange(SAMPLES) % NULL
    velocity = guided(model, asked, NULL, SCALES[start], interval=INTERVAL)
    painted = sample(velocity, noise, FLOW, STEPS, predicts="velocity")
    return judged_images(decode(painted), asked) | {"loss": {"before": before, "after": loss()}}


STARTS = {
    "start-comparison": Comparison(
        RECIPE,
        settings("start", [(start,) for start in SCALES], seeds=tuple(range(5))),
        start_run,
        {"arguments": asdict(LATENT_DIT), "scales": SCALES, "interval": INTERVAL},
    ),
}
