r"""Diffusion and flow matching: what the network is asked, and how its answers become samples.

Two families, one idea: mix data with noise, let a network say what the mixture hides, walk back.

* **DDPM** (``linear_betas`` to ``sample_ddim``): ``num_steps`` discrete steps, index 0 is almost
  data and index ``num_steps - 1`` is almost noise. The network predicts the noise.
* **Flow matching** (``interpolate`` to ``sample_flow``): straight lines between data and noise,
  the network predicts the velocity along them. The literature runs time both ways, so every
  function takes ``noise_at``: with 1 (SD3) noise sits at t = 1, with 0 (SiT, JiT) at t = 0.

A model here is any callable ``model(x, t)`` with x (B, ...) and t (B,), whose answer has the
shape of x. Conditions such as a class label travel inside the callable.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from dit_lesson.validation import require, require_array, require_positive_integer

Model = Callable[[Tensor, Tensor], Tensor]


def linear_betas(
    num_steps: int = 1000, start: float = 1e-4, end: float = 2e-2, rescale: bool = True
) -> Tensor:
    r"""$\beta_t = s\,(\beta_0 + (\beta_{T-1} - \beta_0)\,t/(T-1))$ with $s = 1000/T$.

    The variance of the noise that step t adds. 1e-4 and 2e-2 were chosen for T = 1000; a shorter
    schedule must add as much noise in fewer steps, hence s. ``rescale=False`` leaves s = 1: the
    mistake that stops a short schedule before the data is gone.

    Returns: (num_steps,) float64, every value in (0, 1).
    Raises: ValueError if num_steps < 2, or if a value leaves (0, 1) (a rescaled schedule
    shorter than about 20 steps).
    Source: Ho et al. 2020, section 4; DiT, section 4.
    """
    require_positive_integer("linear_betas", "num_steps", num_steps)
    require(num_steps >= 2, "linear_betas: num_steps is 1, expected at least 2")
    factor = 1000 / num_steps if rescale else 1.0
    betas = torch.linspace(start * factor, end * factor, num_steps, dtype=torch.float64)
    require(
        bool(((betas > 0) & (betas < 1)).all()),
        f"linear_betas: num_steps={num_steps}, start={start}, end={end} gives betas from "
        f"{betas[0]:.3g} to {betas[-1]:.3g}, expected values between 0 and 1",
    )
    return betas


def alpha_bar(betas: Tensor) -> Tensor:
    r"""$\bar\alpha_t = \prod_{s \le t} (1 - \beta_s)$: the share of data variance left at step t.

    Args: betas (T,), each in (0, 1).
    Returns: (T,), falling, the dtype of betas.
    Source: Ho et al. 2020, section 2.
    """
    require_array("alpha_bar", "betas", betas, "T")
    require(
        bool(((betas > 0) & (betas < 1)).all()),
        "alpha_bar: betas holds values outside (0, 1), expected variances between 0 and 1",
    )
    return torch.cumprod(1 - betas, dim=0)


def signal_to_noise(alpha_bars: Tensor) -> Tensor:
    r"""$\mathrm{SNR}_t = \bar\alpha_t / (1 - \bar\alpha_t)$, a ratio of variances (no unit).

    Args: alpha_bars, any shape, each in (0, 1).
    Source: Kingma et al. 2021, section 3.
    """
    require_array("signal_to_noise", "alpha_bars", alpha_bars, "...")
    require(
        bool(((alpha_bars > 0) & (alpha_bars < 1)).all()),
        "signal_to_noise: alpha_bars holds values outside (0, 1), expected shares of variance",
    )
    return alpha_bars / (1 - alpha_bars)


def add_noise(x0: Tensor, t: Tensor, noise: Tensor, alpha_bars: Tensor) -> Tensor:
    r"""$x_t = \sqrt{\bar\alpha_t}\,x_0 + \sqrt{1 - \bar\alpha_t}\,\epsilon$: the forward process.

    Args: x0 (B, ...) data; t (B,) whole numbers, 0 <= t < T; noise, the shape of x0, drawn from
    N(0, 1); alpha_bars (T,).
    Returns: x_t, the shape and dtype of x0.
    Source: Ho et al. 2020, equation 4.
    """
    _require_same_shape("add_noise", x0=x0, noise=noise)
    _require_steps("add_noise", t, len(x0), len(alpha_bars))
    kept = alpha_bars[t]
    return _per_sample(kept.sqrt(), x0) * x0 + _per_sample((1 - kept).sqrt(), x0) * noise


def epsilon_loss(model: Model, x0: Tensor, t: Tensor, noise: Tensor, alpha_bars: Tensor) -> Tensor:
    r"""$\lVert \epsilon - \epsilon_\theta(x_t, t) \rVert^2$, averaged over all numbers of x.

    A model that always answers 0 scores 1, the variance of the noise.

    Args: as ``add_noise``; the model gets x_t and the whole numbers t.
    Returns: a scalar.
    Source: Ho et al. 2020, equation 14; DiT, section 3.1.
    """
    predicted = model(add_noise(x0, t, noise, alpha_bars), t)
    return torch.mean((noise - _require_answer("epsilon_loss", predicted, x0)) ** 2)


def predict_x0(x: Tensor, epsilon: Tensor, t: Tensor, alpha_bars: Tensor) -> Tensor:
    r"""$\hat x_0 = (x_t - \sqrt{1 - \bar\alpha_t}\,\epsilon) / \sqrt{\bar\alpha_t}$.

    ``add_noise`` solved for x0: what the data is, if the noise is ``epsilon``.

    Args: x (B, ...); epsilon, the shape of x; t (B,) whole numbers; alpha_bars (T,).
    Source: Ho et al. 2020, equation 15.
    """
    _require_same_shape("predict_x0", x=x, epsilon=epsilon)
    _require_steps("predict_x0", t, len(x), len(alpha_bars))
    kept = alpha_bars[t]
    return (x - _per_sample((1 - kept).sqrt(), x) * epsilon) / _per_sample(kept.sqrt(), x)


def ddpm_step(x: Tensor, epsilon: Tensor, t: int, betas: Tensor, noise: Tensor) -> Tensor:
    r"""$x_{t-1} = \frac{1}{\sqrt{\alpha_t}}\Bigl(x_t -
    \frac{\beta_t}{\sqrt{1-\bar\alpha_t}}\,\epsilon\Bigr) + \sigma_t z$, where
    $\sigma_t^2 = \tilde\beta_t$.

    One step back, from step t to t - 1 (from 0 to the sample itself, where $\sigma_0 = 0$ and
    the noise is not used). $\alpha_t = 1-\beta_t$ and $\tilde\beta_t =
    \beta_t\,(1-\bar\alpha_{t-1})/(1-\bar\alpha_t)$.

    Args: x (B, ...) at step t; epsilon, the network's answer; t, one whole number for the whole
    batch; betas (T,); noise z, the shape of x, drawn from N(0, 1).
    Source: Ho et al. 2020, algorithm 2 and equation 7.
    """
    _require_same_shape("ddpm_step", x=x, epsilon=epsilon, noise=noise)
    _require_step("ddpm_step", t, len(betas))
    kept = alpha_bar(betas)
    mean = (x - betas[t] / (1 - kept[t]).sqrt() * epsilon) / (1 - betas[t]).sqrt()
    if t == 0:
        return mean
    variance = betas[t] * (1 - kept[t - 1]) / (1 - kept[t])
    return mean + variance.sqrt() * noise


def ddim_step(x: Tensor, epsilon: Tensor, t: int, t_next: int, alpha_bars: Tensor) -> Tensor:
    r"""$x_{t'} = \sqrt{\bar\alpha_{t'}}\,\hat x_0 + \sqrt{1-\bar\alpha_{t'}}\,\epsilon$.

    From step t to any earlier step t' without new noise, so that steps can be skipped. t' = -1
    is the sample itself ($\bar\alpha_{-1} = 1$).

    Args: x (B, ...) at step t; epsilon, the network's answer; t and t_next, whole numbers,
    -1 <= t_next < t; alpha_bars (T,).
    Source: Song et al. 2021 (DDIM), equation 12 with sigma = 0.
    """
    _require_step("ddim_step", t, len(alpha_bars))
    require(-1 <= t_next < t, f"ddim_step: t_next is {t_next}, expected -1 <= t_next < t = {t}")
    x0 = predict_x0(x, epsilon, torch.full((len(x),), t), alpha_bars)
    if t_next == -1:
        return x0
    kept = alpha_bars[t_next]
    return kept.sqrt() * x0 + (1 - kept).sqrt() * epsilon


@torch.no_grad()
def sample_ddpm(model: Model, shape: tuple[int, ...], betas: Tensor, seed: int) -> Tensor:
    """x_T ~ N(0, 1), then ``ddpm_step`` at t = T-1, ..., 0: T calls of the model.

    Args: model, an epsilon-predictor; shape (B, ...) of the samples; betas (T,); seed of all
    noise.
    Returns: samples, float32.
    Source: Ho et al. 2020, algorithm 2.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator)
    for t in reversed(range(len(betas))):
        epsilon = model(x, torch.full((len(x),), t))
        x = ddpm_step(x, epsilon, t, betas, torch.randn(shape, generator=generator))
    return x


@torch.no_grad()
def sample_ddim(
    model: Model, shape: tuple[int, ...], alpha_bars: Tensor, num_steps: int, seed: int
) -> Tensor:
    """x_T ~ N(0, 1), then ``ddim_step`` along ``num_steps`` evenly spaced steps.

    Args: model, an epsilon-predictor; shape (B, ...); alpha_bars (T,) of the schedule that the
    model was trained on; num_steps <= T, the number of model calls; seed of the first noise,
    the only randomness.
    Returns: samples, float32.
    Source: Song et al. 2021 (DDIM), section 4.2.
    """
    require_positive_integer("sample_ddim", "num_steps", num_steps)
    require(
        num_steps <= len(alpha_bars),
        f"sample_ddim: num_steps is {num_steps}, expected at most the {len(alpha_bars)} steps of "
        "the schedule",
    )
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    steps = torch.linspace(len(alpha_bars) - 1, -1, num_steps + 1).round().int().tolist()
    for t, t_next in zip(steps[:-1], steps[1:], strict=True):
        x = ddim_step(x, model(x, torch.full((len(x),), t)), t, t_next, alpha_bars)
    return x


def interpolate(x0: Tensor, noise: Tensor, t: Tensor, noise_at: int = 1) -> Tensor:
    r"""$x_t = (1-t)\,x_0 + t\,\epsilon$ (``noise_at=1``) or $t\,x_0 + (1-t)\,\epsilon$ (0).

    Args: x0 (B, ...) data; noise, the shape of x0; t (B,) real, 0 <= t <= 1; noise_at, the t at
    which x_t is pure noise.
    Source: Liu et al. 2023 (rectified flow), section 2; Lipman et al. 2023, section 4.1.
    """
    _require_same_shape("interpolate", x0=x0, noise=noise)
    _require_times("interpolate", t, len(x0))
    _require_direction("interpolate", noise_at)
    share = _per_sample(t if noise_at == 1 else 1 - t, x0)
    return (1 - share) * x0 + share * noise


def velocity(x0: Tensor, noise: Tensor, noise_at: int = 1) -> Tensor:
    r"""$v = dx_t/dt = \epsilon - x_0$ (``noise_at=1``) or $x_0 - \epsilon$ (0).

    The target of flow matching. It does not depend on t: the path is a straight line.

    Args: x0 (B, ...) data; noise, the shape of x0; noise_at as in ``interpolate``.
    Source: Liu et al. 2023, section 2.1.
    """
    _require_same_shape("velocity", x0=x0, noise=noise)
    _require_direction("velocity", noise_at)
    return noise - x0 if noise_at == 1 else x0 - noise


def velocity_loss(model: Model, x0: Tensor, t: Tensor, noise: Tensor, noise_at: int = 1) -> Tensor:
    r"""$\lVert v - v_\theta(x_t, t) \rVert^2$, averaged over all numbers of x.

    Args: as ``interpolate``; the model gets x_t and the real numbers t in [0, 1].
    Returns: a scalar.
    Source: Lipman et al. 2023, equation 6.
    """
    predicted = model(interpolate(x0, noise, t, noise_at), t)
    answer = _require_answer("velocity_loss", predicted, x0)
    return torch.mean((velocity(x0, noise, noise_at) - answer) ** 2)


def euler_step(x: Tensor, v: Tensor, dt: float) -> Tensor:
    r"""$x_{t+dt} = x_t + dt\,v$; dt is negative when noise sits at t = 1 and we walk to 0.

    Args: x (B, ...); v, the shape of x; dt, the signed step in time.
    Source: Liu et al. 2023, section 2.2.
    """
    _require_same_shape("euler_step", x=x, v=v)
    return x + dt * v


@torch.no_grad()
def sample_flow(
    model: Model, shape: tuple[int, ...], num_steps: int, seed: int, noise_at: int = 1
) -> Tensor:
    """x ~ N(0, 1) at t = noise_at, then ``num_steps`` equal Euler steps to the data's end.

    Args: model, a velocity-predictor trained with the same ``noise_at``; shape (B, ...);
    num_steps, the number of model calls; seed of the first noise, the only randomness.
    Returns: samples, float32.
    Source: Liu et al. 2023, section 2.2; SiT, section 2.
    """
    require_positive_integer("sample_flow", "num_steps", num_steps)
    _require_direction("sample_flow", noise_at)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    times = torch.linspace(noise_at, 1 - noise_at, num_steps + 1).tolist()
    for t, t_next in zip(times[:-1], times[1:], strict=True):
        x = euler_step(x, model(x, torch.full((len(x),), t)), t_next - t)
    return x


def _per_sample(value: Tensor, like: Tensor) -> Tensor:
    """(B,) -> (B, 1, ..., 1) in the dtype of ``like``, so that it broadcasts over a sample."""
    return value.to(like.dtype).reshape(-1, *[1] * (like.ndim - 1))


def _require_direction(function: str, noise_at: int) -> None:
    require(noise_at in (0, 1), f"{function}: noise_at is {noise_at!r}, expected 0 or 1")


def _require_same_shape(function: str, **arrays: Tensor) -> None:
    (first, reference), *others = arrays.items()
    require_array(function, first, reference, "... D")
    for name, value in others:
        require_array(function, name, value, "...")
        require(
            value.shape == reference.shape,
            f"{function}: {name} has shape {tuple(value.shape)}, "
            f"expected that of {first}, {tuple(reference.shape)}",
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


def _require_step(function: str, t: int, num_steps: int) -> None:
    require(
        isinstance(t, int) and 0 <= t < num_steps,
        f"{function}: t is {t!r}, expected a whole number from 0 to {num_steps - 1}",
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


def _require_answer(function: str, predicted: Tensor, x0: Tensor) -> Tensor:
    require(
        predicted.shape == x0.shape,
        f"{function}: model answers with shape {tuple(predicted.shape)}, "
        f"expected that of the data, {tuple(x0.shape)}",
    )
    return predicted


def _describe(t: object) -> str:
    if isinstance(t, Tensor):
        return f"{str(t.dtype).removeprefix('torch.')} of shape {tuple(t.shape)}"
    return type(t).__name__
