r"""Sampling: one walk from noise to data, whose steps and models are exchanged.

``sample(model, noise, path, 20)`` is all that most readers need. A walk never makes a schedule of
its own: it takes the path that the model was trained on and skips steps of it, and the model is
told the original t.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from dit_lesson.diffusion import (
    Model,
    Path,
    Prediction,
    VariancePreserving,
    alpha_bar,
    data_and_noise,
    learned_log_variance,
    posterior,
)
from dit_lesson.validation import numbers, one_of, positive, require, shapes, within

#: What a step asks: x (B, ...) and times (B,) -> the data and the noise in x, and the rest of the
#: answer, which is the share of the learned variance, if there is one.
Denoiser = Callable[[Tensor, Tensor], tuple[Tensor, Tensor, Tensor | None]]
#: One step: from x at times t (B,) to x at times s (B,), nearer to the data.
Step = Callable[[Denoiser, Tensor, Tensor, Tensor, Path], Tensor]


@torch.no_grad()
def walk(
    model: Model,
    noise: Tensor,
    path: Path,
    steps: int | Sequence[float],
    step: Step | None = None,
    predicts: Prediction = "noise",
) -> Iterator[Tensor]:
    r"""$x_{t_0} \to x_{t_1} \to \dots \to x_{t_n}$: yields x after every step.

    The model is told what the path says of t, never a number of its own count. Times, a and b
    are computed on the CPU in double precision, and go to a GPU in single.

    Args:
        model: called as ``model(x, t)``; of an answer with 2 C channels the second half is the
            learned variance.
        noise: (B, C, ...), the start, drawn from N(0, 1); device and dtype follow it.
        path: the one that the model was trained on, or a `respace` of it.
        steps: how many, or the times themselves from noise to data. Of a path that begins with
            noise alone, a model that predicts noise starts the walk a thousandth later, since
            there its answer says nothing of the data.
        step: `deterministic` by default, `heun`, or what `ancestral` makes.
        predicts: what the model's answer is.
    Yields: x (B, C, ...) after each step; the last one is the sample.
    Raises: ValueError for noise that is not finite, no steps, times that are not on the path or do
    not lead to the data, or an answer of another shape.
    """
    shapes("walk", noise=(noise, "B ..."))
    numbers("walk", noise=noise)
    times = _times(steps, path, predicts)

    def denoise(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        told = path.told(t)
        if told.is_floating_point() and x.device.type != "cpu":
            told = told.float()  # Apple's GPUs have no float64
        answer, share = model(x, told.to(x.device)), None
        if x.ndim > 1 and answer.shape[1] == 2 * x.shape[1]:
            answer, share = answer.chunk(2, dim=1)
        shapes("walk", x=(x, "B ..."), answer=(answer, "B ..."))
        return *data_and_noise(answer, x, t, path, predicts), share

    x = noise
    for t, s in zip(times[:-1], times[1:], strict=True):
        t, s = (time.expand(len(x)) for time in (t, s))
        x = (step or deterministic)(denoise, x, t, s, path)
        yield x


def sample(
    model: Model,
    noise: Tensor,
    path: Path,
    steps: int | Sequence[float],
    step: Step | None = None,
    predicts: Prediction = "noise",
) -> Tensor:
    """The end of a `walk`, whose arguments these are: (B, C, ...)."""
    *_, last = walk(model, noise, path, steps, step, predicts)
    return last


def _times(steps: int | Sequence[float], path: Path, predicts: Prediction) -> Tensor:
    if isinstance(steps, int):
        times = path.times(steps)
        if predicts == "noise" and path.coefficients(times[:1])[0] == 0:
            # at a = 0 it says nothing of the data: a thousandth later, as in a page
            times = times[-1] + 0.999 * (times - times[-1])
        return times
    times, (first, last) = torch.as_tensor(steps, device="cpu"), path.times(1)
    falling = f"walk: steps is {steps}, expected at least two times that lead from noise to data"
    require(times.ndim == 1 and len(times) >= 2, falling)
    whole = not first.is_floating_point()
    inside = (times >= torch.minimum(first, last)) & (times <= torch.maximum(first, last))
    require(
        bool(inside.all()) and not (whole and times.is_floating_point()),
        f"walk: steps is {steps}, expected {'whole ' * whole}numbers between {first} and {last}",
    )
    a, _ = path.coefficients(times)
    require(bool((a.diff() > 0).all()), falling)  # the share of data must grow
    require(
        predicts != "noise" or bool(a[0] > 0),
        f"walk: steps begins at {times[0]}, where x is noise alone and a predicted noise says "
        "nothing of the data, expected a first time nearer to the data",
    )
    return times


# --- steps --------------------------------------------------------------------------------


def deterministic(denoise: Denoiser, x: Tensor, t: Tensor, s: Tensor, path: Path) -> Tensor:
    r"""$x_s = a(s)\,\hat x_0 + b(s)\,\hat\epsilon$: data and noise stay, their shares change.

    On the VP path this is DDIM's step; on the straight path it is Euler's,
    $x_s = x_t + (s - t)\,v$.

    Args:
        denoise: see `Denoiser`.
        x: (B, ...) at time t.
        t: (B,) times of the path.
        s: (B,) times nearer to the data.
        path: on which x lies.
    Returns: (B, ...) at time s.
    Source: Song et al. 2021 (DDIM), equation 12 with sigma = 0; Liu et al. 2023, section 2.2.
    """
    x0, epsilon, _ = denoise(x, t)
    a, b = _coefficients(path, s, x)
    return a * x0 + b * epsilon


def heun(denoise: Denoiser, x: Tensor, t: Tensor, s: Tensor, path: Path) -> Tensor:
    r"""$x_s = x'_s + \tfrac12\bigl(x_t - (a(t)\,\hat x'_0 + b(t)\,\hat\epsilon')\bigr)$: two calls.

    First a `deterministic` step to $x'_s$. There the model is asked again, and its answer leads
    back to t; by half of what that misses, the end is corrected. On the straight path this is
    Heun's step, $x_t + (s - t)(v + v')/2$. The last step, at whose end there is nothing left to
    ask, is a plain one.

    Args: as `deterministic`.
    Source: the trapezoid rule; Karras et al. 2022 (EDM), algorithm 1, has it for another path.
    """
    end = deterministic(denoise, x, t, s, path)
    if not _coefficients(path, s, x)[1].any():
        return end
    x0, epsilon, _ = denoise(end, s)
    a, b = _coefficients(path, t, x)
    return end + (x - (a * x0 + b * epsilon)) / 2


def ancestral(
    generator: torch.Generator, variance: Literal["small", "large", "learned"] = "small"
) -> Step:
    r"""$x_s = \mu(x_t, \hat x_0) + \sigma z$: a step that takes noise off and adds some anew.

    $\sigma^2$ is beta-tilde ("small"), beta ("large"), or what the model learned between them;
    the step that ends at the data adds none.

    Args:
        generator: of the noise z.
        variance: which sigma.
    Returns: a step for `walk`.
    Raises: ValueError at a step, if the variance is learned and the model has no share for it.
    Source: Ho et al. 2020, algorithm 2; Nichol & Dhariwal 2021, equation 15; DiT, section 4.
    """
    one_of("ancestral", ("small", "large", "learned"), variance=variance)

    def step(denoise: Denoiser, x: Tensor, t: Tensor, s: Tensor, path: Path) -> Tensor:
        x0, _, share = denoise(x, t)
        mean, beta_tilde, beta = posterior(x, x0, t, s, path)
        if not _coefficients(path, s, x)[1].any():
            return mean
        log_variance = beta_tilde.log() if variance == "small" else beta.log()
        if variance == "learned":
            if share is None:
                raise ValueError(
                    "ancestral: variance is 'learned', expected a model with 2 C output channels"
                )
            log_variance = learned_log_variance(share, beta_tilde, beta)
        z = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        return mean + (0.5 * log_variance).exp() * z

    return step


def _coefficients(path: Path, t: Tensor, x: Tensor) -> tuple[Tensor, ...]:
    shape = (-1, *[1] * (x.ndim - 1))
    return tuple(value.to(x.dtype).to(x.device).reshape(shape) for value in path.coefficients(t))


# --- fewer steps, and guidance ------------------------------------------------------------


def respace(betas: Tensor, num_steps: int) -> VariancePreserving:
    r"""$\beta'_i = 1 - \bar\alpha_{t_i} / \bar\alpha_{t_{i-1}}$ on a subset $t_0 < t_1 < \dots$ of
    the steps.

    How a model that was trained on T steps is sampled in fewer: with new betas, so that each step
    takes off as much noise as the steps it stands for, and with the **original** t, which the path
    tells the model. A schedule made anew (`linear_betas(num_steps)`) has other steps, which the
    model never saw.

    Args:
        betas: (T,), of the schedule that the model was trained on.
        num_steps: how many steps are kept, the first and the last among them.
    Returns: a path with the new ``betas`` (num_steps,) and the ``steps`` t_i that they belong to
    (num_steps,), rising.
    Raises: ValueError for fewer than two steps, or more than T.
    Source: Nichol & Dhariwal 2021, section 4, equation 19; the released DiT code.
    """
    positive("respace", num_steps=num_steps)
    require(
        2 <= num_steps <= len(betas),
        f"respace: num_steps is {num_steps}, expected from 2 to {len(betas)}",
    )
    kept = torch.linspace(0, len(betas) - 1, num_steps, dtype=torch.float64).round().long()
    alpha_bars = alpha_bar(betas)[kept]
    before = torch.cat([alpha_bars.new_ones(1), alpha_bars[:-1]])
    return VariancePreserving(1 - alpha_bars / before, kept)


def guided(
    model: Callable[[Tensor, Tensor, Tensor], Tensor],
    y: Tensor,
    null: Tensor | int,
    scale: float,
    interval: tuple[float, float] | None = None,
    channels: int | None = None,
) -> Model:
    r"""$\epsilon_\varnothing + s\,(\epsilon_y - \epsilon_\varnothing)$: classifier-free guidance.

    At s = 1 this is the answer with the condition y, at s = 0 the one without; above 1 it goes
    beyond. Both answers come from one call with a doubled batch; where the interval says no
    guidance for any sample, and at s = 1, y alone is asked.

    Args:
        model: called as ``model(x, t, y)``.
        y: (B, ...) conditions.
        null: the condition that says nothing, one number or the shape of y.
        scale: s, finite.
        interval: (lowest, highest) time of the path, as told to the model, with guidance.
        channels: how many of the C channels are guided, all by default; the released code guides
            3 of 4. A learned variance keeps the answer with the condition.
    Returns: ``(x, t) -> answer`` for `walk`.
    Raises: ValueError for a scale that is not finite, or more channels than the data has.
    Source: Ho & Salimans 2022, equation 6; interval: Kynkaenniemi et al. 2024; 3 of 4: DiT PR 12.
    """
    within("guided", -1e6, 1e6, scale=scale)
    nothing = torch.full_like(y, null) if isinstance(null, int) else null
    shapes("guided", y=(y, "B ..."), null=(nothing, "B ..."))

    def answer(x: Tensor, t: Tensor) -> Tensor:
        in_force = [True]
        if interval is not None:
            in_force = [interval[0] <= time <= interval[1] for time in t.tolist()]
        if scale == 1 or not any(in_force):
            return model(x, t, y)
        both = model(torch.cat([x, x]), torch.cat([t, t]), torch.cat([y, nothing]))
        conditional, unconditional = both.chunk(2)
        count = x.shape[1] if channels is None else channels
        require(
            1 <= count <= x.shape[1],
            f"guided: channels is {channels}, expected from 1 to {x.shape[1]}",
        )
        start, towards = unconditional[:, :count], (conditional - unconditional)[:, :count]
        beyond = torch.cat([start + scale * towards, conditional[:, count:]], dim=1)
        if all(in_force):
            return beyond
        rows = torch.tensor(in_force, device=x.device).reshape(-1, *[1] * (x.ndim - 1))
        return torch.where(rows, beyond, conditional)

    return answer
