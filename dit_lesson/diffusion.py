r"""Diffusion and flow matching: data mixed with noise, and what the network is asked.

One idea: a **path** $x_t = a(t)\,x_0 + b(t)\,\epsilon$ leads from data to noise. On it a network
may predict the noise, the data or the velocity; each answer gives the other two.

* `VariancePreserving` has ``num_steps`` discrete steps, $a = \sqrt{\bar\alpha_t}$ and
  $b = \sqrt{1 - \bar\alpha_t}$: DDPM's and DiT's path. Step 0 is almost data, step -1 is the data.
* `Straight` has real times, a = 1 - t and b = t: flow matching. The literature runs time both
  ways; with ``noise_at=1`` (SD3) noise sits at t = 1, with 0 (SiT, JiT) at t = 0.

A model here is any callable ``model(x, t)`` with x (B, ...) and t (B,), whose answer has the
shape of x. Conditions such as a class label travel inside the callable.
"""

import math
from collections.abc import Callable
from typing import Literal, Protocol

import torch
from torch import Tensor

from dit_lesson.validation import numbers, one_of, positive, require, shapes

Model = Callable[[Tensor, Tensor], Tensor]
Prediction = Literal["noise", "data", "velocity"]
PREDICTIONS = ("noise", "data", "velocity")

# --- the schedule and the equations, one at a time --------------------------------------------


def linear_betas(
    num_steps: int = 1000, start: float = 1e-4, end: float = 2e-2, rescale: bool = True
) -> Tensor:
    r"""$\beta_t = s\,(\beta_0 + (\beta_{T-1} - \beta_0)\,t/(T-1))$ with $s = 1000/T$.

    The variance of the noise that step t adds. 1e-4 and 2e-2 were chosen for T = 1000; a model
    that is trained on a shorter schedule must see as much noise added in fewer steps, hence s.
    ``rescale=False`` leaves s = 1: the mistake that stops a short schedule before the data is
    gone. A trained model is sampled in fewer steps by `dit_lesson.sampling.respace`, never by
    another schedule.

    Args:
        num_steps: T.
        start: the first beta, for T = 1000.
        end: the last beta, for T = 1000.
        rescale: whether s is 1000 / T.
    Returns: (num_steps,) float64, every value in (0, 1).
    Raises: ValueError if num_steps < 2, or if a value leaves (0, 1) (a rescaled schedule
    shorter than about 20 steps).
    Source: Ho et al. 2020, section 4; DiT, section 4.
    """
    positive("linear_betas", num_steps=num_steps)
    require(num_steps >= 2, "linear_betas: num_steps is 1, expected at least 2")
    factor = 1000 / num_steps if rescale else 1.0
    betas = torch.linspace(start * factor, end * factor, num_steps, dtype=torch.float64)
    require(
        bool(((betas > 0) & (betas < 1)).all()),
        f"linear_betas: num_steps={num_steps}, start={start}, end={end} gives betas from "
        f"{betas[0]:.3g} to {betas[-1]:.3g}, expected values between 0 and 1",
    )
    return betas


def cosine_betas(num_steps: int = 1000, offset: float = 0.008) -> Tensor:
    r"""$1 - \bar\alpha_t / \bar\alpha_{t-1}$ where $\bar\alpha$ follows
    $\cos^2\!\bigl(\tfrac{\pi}{2}\,\tfrac{u + s}{1 + s}\bigr)$, u = (t + 1) / T.

    Noise comes more slowly at both ends than on the linear schedule. The last betas are kept
    below 0.999, or the last step would be noise alone.

    Args:
        num_steps: T.
        offset: s, so that the first betas are not too small.
    Returns: (num_steps,) float64.
    Source: Nichol & Dhariwal 2021, equation 17.
    """
    positive("cosine_betas", num_steps=num_steps)
    u = torch.linspace(0, 1, num_steps + 1, dtype=torch.float64)
    alpha_bars = torch.cos((u + offset) / (1 + offset) * math.pi / 2) ** 2
    return (1 - alpha_bars[1:] / alpha_bars[:-1]).clamp(max=0.999)


def alpha_bar(betas: Tensor) -> Tensor:
    r"""$\bar\alpha_t = \prod_{s \le t} (1 - \beta_s)$: the share of data variance left at step t.

    Args:
        betas: (T,), each in (0, 1).
    Returns: (T,), falling, the dtype of betas.
    Source: Ho et al. 2020, section 2.
    """
    shapes("alpha_bar", betas=(betas, "T"))
    _require_shares("alpha_bar", betas=betas)
    return torch.cumprod(1 - betas, dim=0)


def signal_to_noise(alpha_bars: Tensor) -> Tensor:
    r"""$\mathrm{SNR}_t = \bar\alpha_t / (1 - \bar\alpha_t)$, for data of variance 1.

    A ratio of variances, without a unit.

    Args:
        alpha_bars: any shape, each in (0, 1).
    Source: Kingma et al. 2021, section 3.
    """
    shapes("signal_to_noise", alpha_bars=(alpha_bars, "..."))
    _require_shares("signal_to_noise", alpha_bars=alpha_bars)
    return alpha_bars / (1 - alpha_bars)


def add_noise(x0: Tensor, t: Tensor, noise: Tensor, alpha_bars: Tensor) -> Tensor:
    r"""$x_t = \sqrt{\bar\alpha_t}\,x_0 + \sqrt{1 - \bar\alpha_t}\,\epsilon$: the forward process.

    Args:
        x0: (B, ...) data.
        t: (B,) whole numbers, 0 <= t < T.
        noise: the shape of x0, drawn from N(0, 1).
        alpha_bars: (T,).
    Returns: x_t, the shape and dtype of x0.
    Source: Ho et al. 2020, equation 4.
    """
    shapes("add_noise", x0=(x0, "B ..."), noise=(noise, "B ..."), alpha_bars=(alpha_bars, "T"))
    numbers("add_noise", x0=x0, noise=noise)
    _require_steps("add_noise", t, len(x0), len(alpha_bars))
    a, b = alpha_bars[t].sqrt(), (1 - alpha_bars[t]).sqrt()
    return _per_sample(a, x0) * x0 + _per_sample(b, x0) * noise


def predict_x0(x: Tensor, epsilon: Tensor, t: Tensor, alpha_bars: Tensor) -> Tensor:
    r"""$\hat x_0 = (x_t - \sqrt{1 - \bar\alpha_t}\,\epsilon) / \sqrt{\bar\alpha_t}$.

    ``add_noise`` solved for x0: what the data is, if the noise is ``epsilon``.

    Args:
        x: (B, ...) at step t.
        epsilon: the shape of x.
        t: (B,) whole numbers, 0 <= t < T.
        alpha_bars: (T,).
    Source: Ho et al. 2020, equation 15.
    """
    shapes("predict_x0", x=(x, "B ..."), epsilon=(epsilon, "B ..."), alpha_bars=(alpha_bars, "T"))
    numbers("predict_x0", x=x, epsilon=epsilon)
    _require_steps("predict_x0", t, len(x), len(alpha_bars))
    a, b = alpha_bars[t].sqrt(), (1 - alpha_bars[t]).sqrt()
    return (x - _per_sample(b, x) * epsilon) / _per_sample(a, x)


def ddpm_step(x: Tensor, epsilon: Tensor, t: int, betas: Tensor, noise: Tensor) -> Tensor:
    r"""$x_{t-1} = \frac{1}{\sqrt{\alpha_t}}\Bigl(x_t -
    \frac{\beta_t}{\sqrt{1-\bar\alpha_t}}\,\epsilon\Bigr) + \sigma_t z$, where
    $\sigma_t^2 = \tilde\beta_t$.

    One step back, from step t to t - 1 (from 0 to the sample itself, where $\sigma_0 = 0$ and
    the noise is not used). $\alpha_t = 1-\beta_t$ and $\tilde\beta_t =
    \beta_t\,(1-\bar\alpha_{t-1})/(1-\bar\alpha_t)$. Ho et al. name a second choice, $\sigma_t^2 =
    \beta_t$; `dit_lesson.sampling.ancestral` has both, and DiT's learned one between them.

    Args:
        x: (B, ...) at step t.
        epsilon: the network's answer, the shape of x.
        t: one whole number for the whole batch.
        betas: (T,).
        noise: z, the shape of x, drawn from N(0, 1).
    Source: Ho et al. 2020, algorithm 2 and equation 7.
    """
    shapes("ddpm_step", x=(x, "..."), epsilon=(epsilon, "..."), noise=(noise, "..."))
    numbers("ddpm_step", x=x, epsilon=epsilon, noise=noise)
    require(
        isinstance(t, int) and 0 <= t < len(betas),
        f"ddpm_step: t is {t!r}, expected a whole number from 0 to {len(betas) - 1}",
    )
    alpha_bars = alpha_bar(betas)
    mean = (x - betas[t] / (1 - alpha_bars[t]).sqrt() * epsilon) / (1 - betas[t]).sqrt()
    if t == 0:
        return mean
    variance = betas[t] * (1 - alpha_bars[t - 1]) / (1 - alpha_bars[t])  # beta-tilde
    return mean + variance.sqrt() * noise


def interpolate(x0: Tensor, noise: Tensor, t: Tensor, noise_at: int = 1) -> Tensor:
    r"""$x_t = (1-t)\,x_0 + t\,\epsilon$ (``noise_at=1``) or $t\,x_0 + (1-t)\,\epsilon$ (0).

    Args:
        x0: (B, ...) data.
        noise: the shape of x0.
        t: (B,) real, 0 <= t <= 1.
        noise_at: the t at which x_t is pure noise, 0 or 1.
    Source: Liu et al. 2023 (rectified flow), section 2; Lipman et al. 2023, section 4.1.
    """
    shapes("interpolate", x0=(x0, "B ..."), noise=(noise, "B ..."))
    numbers("interpolate", x0=x0, noise=noise)
    _require_times("interpolate", t, len(x0))
    one_of("interpolate", (0, 1), noise_at=noise_at)
    b = _per_sample(t if noise_at == 1 else 1 - t, x0)
    return (1 - b) * x0 + b * noise


def velocity(x0: Tensor, noise: Tensor, noise_at: int = 1) -> Tensor:
    r"""$v = dx_t/dt = \epsilon - x_0$ (``noise_at=1``) or $x_0 - \epsilon$ (0).

    The target of flow matching. It does not depend on t: the path is a straight line.

    Args:
        x0: (B, ...) data.
        noise: the shape of x0.
        noise_at: as in ``interpolate``.
    Source: Liu et al. 2023, section 2.1.
    """
    shapes("velocity", x0=(x0, "B ..."), noise=(noise, "B ..."))
    one_of("velocity", (0, 1), noise_at=noise_at)
    return noise - x0 if noise_at == 1 else x0 - noise


# --- paths --------------------------------------------------------------------------------


class Path(Protocol):
    r"""$x_t = a(t)\,x_0 + b(t)\,\epsilon$ and $v = a'\,x_0 + b'\,\epsilon$.

    ``coefficients(t)`` gives a and b, ``slopes(t)`` a' and b', each (B,) for times (B,);
    ``told(t)`` is what the network hears of t; ``draw(n, generator)`` are times for training;
    ``times(num_steps)`` leads in num_steps steps from pure noise to the data.
    """

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]: ...  # noqa: D102
    def slopes(self, t: Tensor) -> tuple[Tensor, Tensor]: ...  # noqa: D102
    def told(self, t: Tensor) -> Tensor: ...  # noqa: D102
    def draw(self, n: int, generator: torch.Generator) -> Tensor: ...  # noqa: D102
    def times(self, num_steps: int) -> Tensor: ...  # noqa: D102


class VariancePreserving:
    r"""$a = \sqrt{\bar\alpha_t}$, $b = \sqrt{1-\bar\alpha_t}$ at steps t = 0, ..., T - 1.

    $a^2 + b^2 = 1$, so a is a cosine and b a sine; the velocity is the slope along that angle,
    $v = a\,\epsilon - b\,x_0$.

    Args:
        betas: (T,), of the schedule that a model is trained on.
        steps: (T,), what the model is told at each of them, 0, ..., T - 1 by default. Fewer steps
            of a longer schedule are a path that `dit_lesson.sampling.respace` makes.
    Raises: ValueError if betas are no shares, or steps are not as many.
    Source: Ho et al. 2020; the velocity: Salimans & Ho 2022, appendix D.
    """

    def __init__(self, betas: Tensor, steps: Tensor | None = None):
        self.betas, self.alpha_bars, self.steps = betas, alpha_bar(betas), steps
        if steps is not None:
            shapes("VariancePreserving", betas=(betas, "T"), steps=(steps, "T"))
        # step -1 is the data: nothing was taken away yet, and in a list it is the last place
        alpha_bars = torch.cat([self.alpha_bars, betas.new_ones(1)])
        self._a, self._b = alpha_bars.sqrt(), (1 - alpha_bars).sqrt()

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """A and b, (B,) each."""
        a, b = self._a, self._b
        if t.device.type != "cpu":  # single precision, since Apple's GPUs have no other
            a, b = (value.float().to(t.device) for value in (a, b))
        return a[t], b[t]

    def slopes(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Their slopes along the angle: -b and a."""
        a, b = self.coefficients(t)
        return -b, a

    def told(self, t: Tensor) -> Tensor:
        """The step itself, whatever steps are skipped; of respaced betas the original one."""
        return t if self.steps is None else self.steps.to(t.device)[t]

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Every step is as likely as any other. Source: DiT, section 3.1."""
        return torch.randint(0, len(self.betas), (n,), generator=generator, device=generator.device)

    def times(self, num_steps: int) -> Tensor:
        """From T - 1 in ``num_steps`` nearly equal steps to -1, (num_steps + 1,) whole numbers.

        Raises: ValueError for too many steps, or a schedule that stops before the data is gone.
        """
        steps = len(self.betas)
        positive("VariancePreserving.times", num_steps=num_steps)
        require(
            num_steps <= steps,
            f"VariancePreserving.times: num_steps is {num_steps}, expected at most the {steps} "
            "steps of the schedule",
        )
        last = float(self.alpha_bars[-1])
        require(
            last <= 0.01,
            f"VariancePreserving.times: alpha_bar ends at {last:.2g}, expected at most 0.01: the "
            "last step still holds data, so no walk from noise begins there; `respace` keeps a few "
            "steps of a whole schedule",
        )
        return torch.linspace(steps - 1, -1, num_steps + 1).round().long()


class Straight:
    r"""$a = 1 - t$, $b = t$ for t in [0, 1] (``noise_at=1``), or the other way round (0).

    Args:
        noise_at: the t of pure noise, 0 or 1.
        time_scale: the network hears time_scale * t: 1000 for a DiT, whose clocks turn once in
            6 to 60,000 steps.
        spread: of the times in training, $t = \mathrm{sigmoid}(s z)$ with z from N(0, 1) and s =
            spread, most of them in the middle; None for equally likely times.
    Source: Liu et al. 2023, section 2; the times: Esser et al. 2024 (SD3), section 3.1.
    """

    def __init__(self, noise_at: int = 1, time_scale: float = 1000.0, spread: float | None = None):
        one_of("Straight", (0, 1), noise_at=noise_at)
        self.noise_at, self.time_scale, self.spread = noise_at, time_scale, spread

    def coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """A and b, (B,) each."""
        return (1 - t, t) if self.noise_at == 1 else (t, 1 - t)

    def slopes(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """-1 and 1, or 1 and -1: the same at every time."""
        one = torch.ones_like(t)
        return (-one, one) if self.noise_at == 1 else (one, -one)

    def told(self, t: Tensor) -> Tensor:
        """``time_scale`` times t."""
        return self.time_scale * t

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Times (n,) for training."""
        device = generator.device
        if self.spread is None:
            return torch.rand(n, generator=generator, device=device)
        return torch.sigmoid(self.spread * torch.randn(n, generator=generator, device=device))

    def times(self, num_steps: int) -> Tensor:
        """``num_steps`` equal steps from noise to data, (num_steps + 1,) real numbers."""
        positive("Straight.times", num_steps=num_steps)
        return torch.linspace(self.noise_at, 1 - self.noise_at, num_steps + 1, dtype=torch.float64)


def mix(path: Path, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    r"""$x_t = a(t)\,x_0 + b(t)\,\epsilon$ on any path.

    Args:
        path: a `VariancePreserving` or `Straight`.
        x0: (B, ...) data.
        noise: the shape of x0.
        t: (B,) times of the path.
    Returns: (B, ...), the dtype of x0.
    """
    shapes("mix", x0=(x0, "B ..."), noise=(noise, "B ..."), t=(t, "B"))
    a, b = (_per_sample(value, x0) for value in path.coefficients(t))
    return a * x0 + b * noise


# --- predictions --------------------------------------------------------------------------


def data_and_noise(
    answer: Tensor, x: Tensor, t: Tensor, path: Path, predicts: Prediction
) -> tuple[Tensor, Tensor]:
    r"""$(\hat x_0, \hat\epsilon)$ from an answer of any kind, so that x = a x0 + b eps holds.

    * noise: $\hat x_0 = (x - b\,\hat\epsilon) / a$
    * data: $\hat\epsilon = (x - a\,\hat x_0) / b$
    * velocity: two equations for two unknowns, $x = a\,x_0 + b\,\epsilon$ and
      $v = a'\,x_0 + b'\,\epsilon$, whose determinant $a b' - b a'$ is 1 or -1 on every path here

    Args:
        answer: (B, ...) of the network.
        x: (B, ...), what it was given.
        t: (B,) times of the path.
        path: on which x lies.
        predicts: what the answer is.
    Returns: data and noise, (B, ...) each.
    Source: Salimans & Ho 2022, section 4 and appendix D.
    """
    shapes("data_and_noise", answer=(answer, "B ..."), x=(x, "B ..."), t=(t, "B"))
    one_of("data_and_noise", PREDICTIONS, predicts=predicts)
    a, b = (_per_sample(value, x) for value in path.coefficients(t))
    if predicts == "noise":
        return (x - b * answer) / a, answer
    if predicts == "data":
        return answer, (x - a * answer) / b
    a_slope, b_slope = (_per_sample(value, x) for value in path.slopes(t))
    determinant = a * b_slope - b * a_slope
    return (b_slope * x - b * answer) / determinant, (a * answer - a_slope * x) / determinant


def target(x0: Tensor, noise: Tensor, t: Tensor, path: Path, predicts: Prediction) -> Tensor:
    r"""What the network should answer: $\epsilon$, $x_0$, or $v = a'\,x_0 + b'\,\epsilon$.

    Args:
        x0: (B, ...) data.
        noise: the shape of x0.
        t: (B,) times of the path.
        path: that mixes them.
        predicts: what the answer is.
    Returns: (B, ...).
    """
    one_of("target", PREDICTIONS, predicts=predicts)
    if predicts == "noise":
        return noise
    if predicts == "data":
        return x0
    a_slope, b_slope = (_per_sample(value, x0) for value in path.slopes(t))
    return a_slope * x0 + b_slope * noise


def denoising_loss(
    model: Model,
    x0: Tensor,
    t: Tensor,
    noise: Tensor,
    path: Path,
    predicts: Prediction = "noise",
    measured_in: Prediction | None = None,
    weight: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    r"""$w(\mathrm{SNR}_t)\,\lVert y - y_\theta(x_t, t) \rVert^2$, averaged over all numbers of x.

    y is what the network predicts, or another of the three that follows from its answer. A model
    that always answers 0 scores 1 for the noise, the variance of the noise.

    Args:
        model: gets x_t (B, ...) and what the path tells it of t.
        x0: (B, ...) data.
        t: (B,) times of the path.
        noise: the shape of x0, drawn from N(0, 1).
        path: that mixes them.
        predicts: what the model's answer is.
        measured_in: the quantity whose error counts, by default what the model predicts; JiT
            predicts the data and measures in the velocity.
        weight: w, from SNR = a^2 / b^2 (B,) to a factor (B,), such as `min_snr`.
    Returns: a scalar.
    Source: Ho et al. 2020, equation 14; Lipman et al. 2023, equation 6; Li & He 2025 (JiT).
    """
    shapes("denoising_loss", x0=(x0, "B ..."), noise=(noise, "B ..."), t=(t, "B"))
    x = mix(path, x0, noise, t)
    answer = model(x, path.told(t))
    shapes("denoising_loss", data=(x0, "B ..."), answer=(answer, "B ..."))
    counted = measured_in or predicts
    if counted != predicts:
        answer = target(*data_and_noise(answer, x, t, path, predicts), t, path, counted)
    error = (target(x0, noise, t, path, counted) - answer) ** 2
    if weight is not None:
        a, b = path.coefficients(t)
        error = _per_sample(weight((a / b) ** 2), x0) * error
    return error.mean()


def conditional_loss(
    path: Path, predicts: Prediction, measured_in: Prediction | None = None
) -> Callable[..., Tensor]:
    """`denoising_loss` as a run takes it: of a model that is told y, at times of the path.

    Args:
        path: draws the times.
        predicts: what the model's answer is.
        measured_in: the quantity whose error counts.
    Returns: a function of model, x0 (B, ...), y (B, ...) and the generator, the source of times,
    noise and dropout; it gives a scalar.
    """

    def loss(model: Callable, x0: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        t = path.draw(len(x0), generator)
        noise = torch.randn(x0.shape, generator=generator, device=x0.device)
        return denoising_loss(
            lambda x, t: model(x, t, y, generator), x0, t, noise, path, predicts, measured_in
        )

    return loss


def min_snr(limit: float = 5.0) -> Callable[[Tensor], Tensor]:
    r"""$w = \min(\mathrm{SNR}, \gamma) / \mathrm{SNR}$, for a loss on the noise.

    Nearly clean steps, whose error counts SNR-fold in the data, get at most gamma.

    Args:
        limit: gamma.
    Returns: w as a function of SNR (B,).
    Source: Hang et al. 2023, section 3.4.
    """
    return lambda snr: snr.clamp(max=limit) / snr


# --- the learned variance -----------------------------------------------------------------


def posterior(
    x: Tensor, x0: Tensor, t: Tensor, s: Tensor, path: Path
) -> tuple[Tensor, Tensor, Tensor]:
    r"""$q(x_s \mid x_t, x_0)$: its mean, its variance $\tilde\beta$, and $\beta$, from t to s.

    With $\beta = b_t^2 - (a_t/a_s)^2 b_s^2$, what the steps between s and t add (on the VP path
    $1 - \bar\alpha_t/\bar\alpha_s$), the mean is $\tfrac{a_t}{a_s}\tfrac{b_s^2}{b_t^2}\,x_t +
    a_s\tfrac{\beta}{b_t^2}\,x_0$ and $\tilde\beta = \beta\,b_s^2/b_t^2$.

    Args:
        x: (B, ...) at time t.
        x0: (B, ...), the data or what the network thinks of it.
        t: (B,) times of the path.
        s: (B,) times nearer to the data.
        path: on which x lies.
    Returns: the mean (B, ...), beta-tilde and beta, both (B, 1, ..., 1).
    Source: Ho et al. 2020, equations 6 and 7; Kingma et al. 2021, appendix A.
    """
    a_t, b_t = (_per_sample(value, x) for value in path.coefficients(t))
    a_s, b_s = (_per_sample(value, x) for value in path.coefficients(s))
    beta = b_t**2 - (a_t / a_s) ** 2 * b_s**2
    mean = (a_t / a_s) * (b_s / b_t) ** 2 * x + a_s * beta / b_t**2 * x0
    return mean, beta * (b_s / b_t) ** 2, beta


def learned_log_variance(share: Tensor, beta_tilde: Tensor, beta: Tensor) -> Tensor:
    r"""$\log\sigma^2 = u \log\beta + (1 - u) \log\tilde\beta$ with $u = (\text{share} + 1)/2$.

    Args:
        share: (B, ...), the second half of the network's channels; -1 is beta-tilde, 1 is beta.
        beta_tilde: (B, 1, ..., 1), positive.
        beta: (B, 1, ..., 1).
    Returns: (B, ...).
    Source: Nichol & Dhariwal 2021, equation 15; DiT, section 4.
    """
    u = (share + 1) / 2
    return u * beta.log() + (1 - u) * beta_tilde.log()


def learned_variance_loss(
    model: Model, x0: Tensor, t: Tensor, noise: Tensor, path: VariancePreserving
) -> Tensor:
    r"""$\lVert\epsilon-\epsilon_\theta\rVert^2 + L_\mathrm{vlb}$, with the mean held still in the
    second term.

    $L_\mathrm{vlb}$ is the divergence of the model's reverse step from the true one, in bits a
    number, $\mathrm{KL}(q(x_{t-1}|x_t,x_0)\,\Vert\,\mathcal N(\mu_\theta, \sigma_\theta^2))$; at
    t = 0 it is $-\log_2 p(x_0|x_1)$ with numbers that are known to within 1/255, which fits
    pixels in [-1, 1] and which the released code uses on latents, too. Only the variance learns
    from it, since the gradient of the mean is stopped.

    Args:
        model: answers with 2 C channels, the noise and the share of `learned_log_variance`.
        x0: (B, C, ...) data.
        t: (B,) whole numbers, steps of the path.
        noise: the shape of x0.
        path: the schedule.
    Returns: a scalar.
    Source: Nichol & Dhariwal 2021, section 3.1; DiT, section 4; the clipped first variance and
    t = 0: Ho et al. 2020, equation 13.
    """
    x = mix(path, x0, noise, t)
    answer = model(x, path.told(t))
    shapes("learned_variance_loss", answer=(answer, f"{len(x0)} {2 * x0.shape[1]} ..."))
    epsilon, share = answer.chunk(2, dim=1)
    mean, beta_tilde, beta = posterior(x, x0, t, t - 1, path)
    # beta-tilde is 0 at t = 0, where its logarithm is that of step 1
    first = torch.ones_like(t[:1])
    beta_tilde = torch.maximum(beta_tilde, posterior(x[:1], x0[:1], first, first - 1, path)[1])
    guess, _ = data_and_noise(epsilon.detach(), x, t, path, "noise")
    model_mean, _, _ = posterior(x, guess, t, t - 1, path)
    log_variance = learned_log_variance(share, beta_tilde, beta)

    nats = torch.where(
        _per_sample(t == 0, x0).bool(),
        _surprise(x0, model_mean, log_variance),
        gaussian_divergence(mean, beta_tilde.log(), model_mean, log_variance),
    )
    return ((noise - epsilon) ** 2).mean() + nats.mean() / math.log(2)


def gaussian_divergence(
    mean: Tensor, log_variance: Tensor, other_mean: Tensor, other_log_variance: Tensor
) -> Tensor:
    r"""$\mathrm{KL}(\mathcal N(\mu, \sigma^2)\,\Vert\,\mathcal N(\mu', \sigma'^2))
    = \tfrac12\bigl(r - 1 - \log r + (\mu - \mu')^2 / \sigma'^2\bigr)$ with
    $r = \sigma^2 / \sigma'^2$, in nats, for each number alone.

    Args:
        mean: (B, ...).
        log_variance: of the same shape, or one that broadcasts to it, as the others.
        other_mean: of the Gaussian that stands in for the first.
        other_log_variance: of that one, too.
    Returns: (B, ...).
    Source: Ho et al. 2020, equation 5, whose terms these are.
    """
    ratio = log_variance - other_log_variance
    distance = (mean - other_mean) ** 2 / other_log_variance.exp()
    return 0.5 * (ratio.exp() - 1 - ratio + distance)


def _surprise(x0: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """-log of the probability of x0 to within 1/255, its neighbours beyond [-1, 1] included."""
    deviation = (0.5 * log_variance).exp()
    above = torch.special.ndtr((x0 + 1 / 255 - mean) / deviation)
    below = torch.special.ndtr((x0 - 1 / 255 - mean) / deviation)
    above = torch.where(x0 > 0.999, 1.0, above)
    below = torch.where(x0 < -0.999, 0.0, below)
    return -(above - below).clamp(min=1e-12).log()


# --- shared refusals ----------------------------------------------------------------------


def _per_sample(value: Tensor, like: Tensor) -> Tensor:
    """(B,) -> (B, 1, ..., 1) in the dtype of ``like``, so that it broadcasts over a sample."""
    # first the dtype: some devices have no float64
    return value.to(like.dtype).to(like.device).reshape(-1, *[1] * (like.ndim - 1))


def _require_shares(function: str, **values: Tensor) -> None:
    numbers(function, **values)
    for argument, value in values.items():
        require(
            bool(((value > 0) & (value < 1)).all()),
            f"{function}: {argument} holds values outside (0, 1), expected shares of variance",
        )


def _require_steps(function: str, t: Tensor, batch: int, num_steps: int) -> None:
    whole = isinstance(t, Tensor) and not t.is_floating_point() and t.dtype != torch.bool
    require(
        whole and tuple(t.shape) == (batch,),
        f"{function}: t is {_describe(t)}, expected {batch} whole numbers, one per sample",
    )
    require(
        bool(((t >= 0) & (t < num_steps)).all()),
        f"{function}: t holds values from {t.min()} to {t.max()}, expected 0 to {num_steps - 1}",
    )


def _require_times(function: str, t: Tensor, batch: int) -> None:
    require(
        isinstance(t, Tensor) and t.is_floating_point() and tuple(t.shape) == (batch,),
        f"{function}: t is {_describe(t)}, expected {batch} real numbers, one per sample",
    )
    require(
        bool(((t >= 0) & (t <= 1)).all()),
        f"{function}: t holds values from {t.min():.3g} to {t.max():.3g}, expected 0 to 1",
    )


def _describe(t: object) -> str:
    if isinstance(t, Tensor):
        return f"{str(t.dtype).removeprefix('torch.')} of shape {tuple(t.shape)}"
    return type(t).__name__
