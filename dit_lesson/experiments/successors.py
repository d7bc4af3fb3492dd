"""Chapter 17: what is predicted, where the condition enters, what teaches, and is t needed?"""

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import jvp
from torch.nn.functional import cosine_similarity, silu

from dit_lesson.checkpoints import load_model
from dit_lesson.data import digits
from dit_lesson.diffusion import Prediction, Straight, conditional_loss, denoising_loss
from dit_lesson.experiments import Comparison, settings
from dit_lesson.experiments.judging import (
    decode,
    digit_latents,
    judged_images,
    velocity_losses,
)
from dit_lesson.experiments.recipes import (
    DIGITS_DIT,
    FLOW,
    VIT,
    train_dit,
    velocity_loss,
    vit_features,
)
from dit_lesson.experiments.spiral import PointDenoiser, distances, spiral
from dit_lesson.models import DiT, ViT
from dit_lesson.sampling import guided, sample
from dit_lesson.successors import Kind, Successor
from dit_lesson.training import Loss, Recipe, Run

PIXEL_DIT = replace(DIGITS_DIT, input_size=32, in_channels=1)
LOSS_TIMES = (0.1, 0.3, 0.5, 0.7, 0.9)
SAMPLES = 200
GUIDANCE = 2.0
#: From noise to data. A predicted noise says nothing of the data where there is none, at t = 1.
SAMPLING_TIMES = tuple(torch.linspace(0.98, 0, 11, dtype=torch.float64).tolist())
MEASURED = {"samples": SAMPLES, "guidance": GUIDANCE, "sampling_times": SAMPLING_TIMES}
#: What `judged` gives, with the digits that chapter 17 prints.
JUDGED = {"loss": 3, "accuracy": 2, "distance": 0}


def judged(
    model: DiT,
    x: Tensor,
    y: Tensor,
    predicts: Prediction = "velocity",
    to_images: Callable[[Tensor], Tensor] = lambda x: x,
) -> dict[str, float]:
    """The velocity loss on test digits, and accuracy and distance of guided samples."""

    by_t = velocity_losses(model, x, y, LOSS_TIMES, predicts)
    asked = torch.arange(SAMPLES) % 10
    noise = torch.randn(SAMPLES, *x.shape[1:], generator=torch.Generator().manual_seed(0))
    answer = guided(model, asked, model.config.num_classes, GUIDANCE)
    images = to_images(sample(answer, noise, FLOW, SAMPLING_TIMES, predicts=predicts)).clamp(-1, 1)
    return {"loss": round(sum(by_t) / len(by_t), 4)} | judged_images(images, asked)


# --- what is predicted ------------------------------------------------------------------------


def prediction_loss(predicts: Prediction) -> Loss:
    """The error of any target, measured in the velocity."""
    return conditional_loss(FLOW, predicts, measured_in="velocity")


def prediction_run(
    recipe: Recipe, patch_size: int, predicts: Prediction, seed: int
) -> dict[str, Any]:
    """Pixels in patches of some size."""
    config, loss = replace(PIXEL_DIT, patch_size=patch_size), prediction_loss(predicts)
    model = train_dit(recipe, seed, config, *digits("train", 32), loss)
    return judged(model, *digits("test", 32), predicts)


# --- where the condition enters ---------------------------------------------------------------

RANK = 8


def place_run(recipe: Recipe, kind: Kind, seed: int) -> dict[str, Any]:
    """The DiT of the latents with other blocks."""
    data = digit_latents()
    torch.manual_seed(seed)
    model = Successor(DIGITS_DIT, kind, RANK)
    Run(model, velocity_loss, data["train"], recipe, seed).complete()
    count = sum(p.numel() for p in model.parameters())
    return {"parameters": count} | judged(model, *data["test"], to_images=decode)


# --- with what teacher ------------------------------------------------------------------------

ALIGNED_BLOCK = 2
ALIGNMENT = 0.5  # the weight of the teacher's loss


class Aligned(nn.Module):
    """A DiT whose tokens after block `ALIGNED_BLOCK` are mapped to a teacher's features.

    forward(x, t, y, generator): the answer, and the mapped tokens (B, N, features).
    """

    def __init__(self, features: int):
        super().__init__()
        self.dit = DiT(DIGITS_DIT)
        width = DIGITS_DIT.hidden_size
        self.projector = nn.Sequential(
            nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, features)
        )
        self.dit.blocks[ALIGNED_BLOCK - 1].register_forward_hook(self._keep)

    def _keep(self, _: nn.Module, __: Any, tokens: Tensor) -> None:
        self.tokens = tokens

    def forward(
        self, x: Tensor, t: Tensor, y: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """The DiT's answer and what its middle says of the teacher's features."""
        return self.dit(x, t, y, generator), self.projector(self.tokens)


@torch.no_grad()
def teacher_features(teacher: str, images: Tensor, seed: int) -> Tensor:
    """What a ViT says of the 16 places of digits after its third block, (n, 16, features).

    "trained" is the shipped one, "untrained" one at its start, "shuffled" the shipped one with the
    places of each digit in an order of their own.
    """
    torch.manual_seed(seed)
    vit = ViT(**VIT) if teacher == "untrained" else load_model("vit")
    features = vit_features(vit, images)[:, 1:, -VIT["hidden_size"] :]
    if teacher != "shuffled":
        return features
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(features.shape[:2], generator=generator).argsort(dim=1)
    return features.gather(1, order[..., None].expand_as(features))


def teacher_run(recipe: Recipe, teacher: str, seed: int) -> dict[str, Any]:
    """A velocity loss, less the cosine of a middle block's tokens and a teacher's features."""
    weight = 0.0 if teacher == "nothing" else ALIGNMENT
    data = digit_latents()
    features, test_features = (
        teacher_features(teacher, digits(split, 32)[0], seed) for split in ("train", "test")
    )

    def loss(
        model: Callable, x: Tensor, y: Tensor, told: Tensor, generator: torch.Generator
    ) -> Tensor:
        mapped: list[Tensor] = []

        def answer(x: Tensor, t: Tensor) -> Tensor:
            velocity, tokens = model(x, t, y, generator)
            mapped.append(tokens)
            return velocity

        t, noise = FLOW.draw(len(x), generator), torch.randn(x.shape, generator=generator)
        error = denoising_loss(answer, x, t, noise, FLOW, "velocity")
        return error - weight * cosine_similarity(mapped[0], told, dim=-1).mean()

    torch.manual_seed(seed)
    model = Aligned(features.shape[-1])
    Run(model, loss, (*data["train"], features), recipe, seed).complete()
    x, y = data["test"]
    with torch.no_grad():  # a little noise, the same for all
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
        _, tokens = model(0.7 * x + 0.3 * noise, torch.full((len(x),), 300.0), y)
    cosine = cosine_similarity(tokens, test_features, dim=-1).mean().item()
    return judged(model.dit, x, y, to_images=decode) | {"cosine": round(cosine, 3)}


# --- is t needed? -----------------------------------------------------------------------------

POINTS = Straight()
POINT_TIMES = tuple(torch.linspace(0.98, 0, 51, dtype=torch.float64).tolist())


def sheet(count: int, size: int, seed: int) -> Tensor:
    """The spiral (count, size), turned into ``size`` dimensions of which it fills two."""
    matrix = torch.randn(size, size, generator=torch.Generator().manual_seed(size))
    return spiral(count, seed) @ torch.linalg.qr(matrix)[0][:2]


def time_run(
    recipe: Recipe, size: int, predicts: Prediction, told: bool, seed: int
) -> dict[str, Any]:
    """How far painted points lie from the sheet, and the sheet from them."""

    def loss(model: Callable, x: Tensor, generator: torch.Generator) -> Tensor:
        t, noise = POINTS.draw(len(x), generator), torch.randn(x.shape, generator=generator)
        return denoising_loss(model, x, t, noise, POINTS, predicts)

    torch.manual_seed(seed)
    model = PointDenoiser("scale and shift" if told else "nowhere", 128, size)
    Run(model, loss, (sheet(4000, size, seed=0),), recipe, seed).complete()
    noise = torch.randn(2000, size, generator=torch.Generator().manual_seed(seed))
    points = sample(model, noise, POINTS, POINT_TIMES, predicts=predicts)
    off, uncovered = distances(points, sheet(4000, size, seed=1))
    return {"off_curve": round(off, 4), "uncovered": round(uncovered, 4)}


# --- one step ---------------------------------------------------------------------------------


class MeanVelocity(nn.Module):
    """Four layers that answer the mean velocity of points (B, 2) from time t back to r.

    forward(z, r, t): z (B, 2), r and t (B,) -> (B, 2).
    """

    def __init__(self, width: int = 128):
        super().__init__()
        sizes = (4, width, width, width)
        self.layers = nn.ModuleList(nn.Linear(size, width) for size in sizes)
        self.final = nn.Linear(width, 2)

    def forward(self, z: Tensor, r: Tensor, t: Tensor) -> Tensor:
        """The mean velocity."""
        x = torch.cat([z, t[:, None], (t - r)[:, None]], dim=1)
        for layer in self.layers:
            x = silu(layer(x))
        return self.final(x)


def mean_flow_loss(model: Callable, z: Tensor, v: Tensor, r: Tensor, t: Tensor) -> Tensor:
    r"""$\lVert u - \mathrm{sg}(v - (t - r)\,\tfrac{du}{dt}) \rVert^2$ for each point, (B,).

    $du/dt = \partial_z u \cdot v + \partial_t u$ is one product of a Jacobian and a vector.

    Args:
        model: u(z, r, t).
        z: (B, D) on the path at t.
        v: (B, D), its velocity there.
        r: (B,) times, at most t; with r = t this is flow matching.
        t: (B,).
    Source: Geng et al. 2025 (MeanFlow, arXiv 2505.13447), equations 8 to 11.
    """
    zero, one = torch.zeros_like(r), torch.ones_like(t)
    u, slope = jvp(model, (z, r, t), (v, zero, one))[:2]
    target = v - (t - r)[:, None] * slope
    return (u - target.detach()).square().sum(dim=1)


def draw_pair(times: str, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """R and t with r <= t: both uniform, or both sigmoid(N(-0.4, 1)); "t only" has r = t."""
    if times == "logit-normal":
        pair = torch.sigmoid(torch.randn(2, count, generator=generator) - 0.4)
    else:
        pair = torch.rand(2, count, generator=generator)
    r, t = pair.amin(dim=0), pair.amax(dim=0)
    same = torch.rand(count, generator=generator) < (1.0 if times == "t only" else 0.5)
    return torch.where(same, t, r), t


def step_run(recipe: Recipe, times: str, seed: int) -> dict[str, Any]:
    """Points painted in 1, 2 and 32 steps, each x_r = x_t - (t - r) u(x_t, r, t)."""

    def loss(model: nn.Module, x: Tensor, generator: torch.Generator) -> Tensor:
        r, t = draw_pair(times, len(x), generator)
        noise = torch.randn(x.shape, generator=generator)
        z, v = x + t[:, None] * (noise - x), noise - x
        error = mean_flow_loss(model, z, v, r, t)
        return (error / (error.detach() + 0.01).sqrt()).mean()

    torch.manual_seed(seed)
    model = MeanVelocity()
    Run(model, loss, (spiral(4000, seed=0),), recipe, seed).complete()
    generator, found = torch.Generator().manual_seed(seed), {}
    start, data = torch.randn(2000, 2, generator=generator), spiral(4000, seed=1)
    for steps in (1, 2, 32):
        x, whole = start, torch.ones(2000)
        with torch.no_grad():
            for n in range(steps, 0, -1):
                t, r = whole * n / steps, whole * (n - 1) / steps
                x = x - model(x, t if times == "t only" else r, t) / steps
        off, uncovered = distances(x, data)
        found[str(steps)] = {"off_curve": round(off, 4), "uncovered": round(uncovered, 4)}
    return {"steps": found}


TARGETS: tuple[Prediction, ...] = ("data", "velocity", "noise")
SUCCESSOR_COMPARISONS = {
    "prediction-comparison": Comparison(
        Recipe(400, batch_size=32, learning_rate=3e-3, ema_decay=0.99),
        settings("patch_size predicts", [(p, target) for p in (16, 8, 4) for target in TARGETS]),
        prediction_run,
        {"arguments": asdict(PIXEL_DIT)} | MEASURED,
    ),
    "place-comparison": Comparison(
        Recipe(250, batch_size=32, learning_rate=1e-2, ema_decay=0.99),
        settings("kind", [(kind,) for kind in ("own", "shared", "low rank", "none")]),
        place_run,
        {"arguments": asdict(DIGITS_DIT), "rank": RANK} | MEASURED,
    ),
    "teacher-comparison": Comparison(
        Recipe(250, batch_size=32, learning_rate=1e-2, ema_decay=0.99),
        settings("teacher", [(name,) for name in ("nothing", "trained", "untrained", "shuffled")]),
        teacher_run,
        {"arguments": asdict(DIGITS_DIT), "block": ALIGNED_BLOCK, "weight": ALIGNMENT} | MEASURED,
    ),
    "time-comparison": Comparison(
        Recipe(1200, batch_size=256, learning_rate=4e-3, ema_decay=0.99),
        settings(
            "size predicts told",
            [
                (d, target, told)
                for d in (2, 16, 64)
                for target in TARGETS
                for told in (True, False)
            ],
        ),
        time_run,
        {"width": 128, "sampling_times": POINT_TIMES},
    ),
    "step-comparison": Comparison(
        Recipe(1500, batch_size=256, learning_rate=2e-3, ema_decay=0.99),
        settings("times", [("t only",), ("uniform",), ("logit-normal",)]),
        step_run,
        {"width": 128},
    ),
}
