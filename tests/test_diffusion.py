"""Schedules, targets, steps and samplers against closed forms and an independent library."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dit_lesson import diffusion as d


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# --- schedule -----------------------------------------------------------------------------


def test_the_paper_schedule_has_its_end_points_and_forgets_the_data():
    betas = d.linear_betas()
    assert betas.shape == (1000,)
    assert betas[0].item() == pytest.approx(1e-4) and betas[-1].item() == pytest.approx(2e-2)
    assert d.alpha_bar(betas)[-1].item() == pytest.approx(4.04e-5, rel=0.01)


@pytest.mark.parametrize(("num_steps", "left"), [(500, 0.0064), (200, 0.132), (100, 0.364)])
def test_a_short_schedule_keeps_the_data_unless_rescaled(num_steps, left):
    unscaled = d.alpha_bar(d.linear_betas(num_steps, rescale=False))[-1].item()
    rescaled = d.alpha_bar(d.linear_betas(num_steps))[-1].item()
    assert unscaled == pytest.approx(left, rel=0.01)
    assert 1e-5 < rescaled < 4.1e-5


@given(st.integers(25, 1500))
@settings(max_examples=30, deadline=None)
def test_signal_falls_at_every_step(num_steps):
    kept = d.alpha_bar(d.linear_betas(num_steps))
    assert (kept[1:] < kept[:-1]).all() and (kept > 0).all()
    snr = d.signal_to_noise(kept)
    assert (snr[1:] < snr[:-1]).all()


def test_schedule_agrees_with_diffusers():
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.DDPMScheduler(1000, beta_start=1e-4, beta_end=2e-2, beta_schedule="linear")
    torch.testing.assert_close(
        d.alpha_bar(d.linear_betas()).float(), theirs.alphas_cumprod, rtol=1e-4, atol=1e-7
    )


# --- forward and targets ------------------------------------------------------------------


def test_noise_keeps_unit_variance_and_has_the_right_share():
    x0, noise = draw(200_000, 1), draw(200_000, 1, seed=1)
    kept = d.alpha_bar(d.linear_betas())
    x = d.add_noise(x0, torch.full((200_000,), 300), noise, kept)
    assert x.var().item() == pytest.approx(1.0, abs=0.01)
    assert (x * x0).mean().item() == pytest.approx(kept[300].sqrt().item(), abs=0.01)


@given(st.integers(0, 999), st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_predict_x0_undoes_add_noise(t, seed):
    x0, noise = draw(3, 2, 5, seed=seed), draw(3, 2, 5, seed=seed + 1)
    kept = d.alpha_bar(d.linear_betas())
    steps = torch.full((3,), t)
    x = d.add_noise(x0, steps, noise, kept)
    torch.testing.assert_close(d.predict_x0(x, noise, steps, kept), x0, rtol=1e-9, atol=1e-9)


def test_each_sample_has_its_own_t():
    x0, noise, kept = draw(2, 3), draw(2, 3, seed=1), d.alpha_bar(d.linear_betas())
    both = d.add_noise(x0, torch.tensor([10, 900]), noise, kept)
    alone = d.add_noise(x0[1:], torch.tensor([900]), noise[1:], kept)
    torch.testing.assert_close(both[1:], alone)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_in_is_dtype_out(dtype):
    x0, noise, betas = draw(2, 3, dtype=dtype), draw(2, 3, seed=1, dtype=dtype), d.linear_betas()
    kept, t = d.alpha_bar(betas), torch.tensor([10, 900])
    outputs = [
        d.add_noise(x0, t, noise, kept),
        d.predict_x0(x0, noise, t, kept),
        d.ddpm_step(x0, noise, 5, betas, noise),
        d.ddpm_step(x0, noise, 0, betas, noise),
        d.ddim_step(x0, noise, 5, 2, kept),
        d.interpolate(x0, noise, torch.tensor([0.1, 0.9]), noise_at=0),
        d.velocity(x0, noise),
        d.euler_step(x0, noise, 0.1),
    ]
    assert all(output.dtype == dtype and output.shape == x0.shape for output in outputs)


def test_zero_answer_scores_the_noise_variance_and_the_right_answer_scores_zero():
    x0, noise, kept = draw(5000, 4), draw(5000, 4, seed=1), d.alpha_bar(d.linear_betas())
    t = torch.randint(0, 1000, (5000,), generator=torch.Generator().manual_seed(0))
    zero = d.epsilon_loss(lambda x, t: torch.zeros_like(x), x0, t, noise, kept)
    assert zero.item() == pytest.approx(1.0, abs=0.03)
    assert d.epsilon_loss(lambda x, t: noise, x0, t, noise, kept).item() == 0.0
    # for a velocity the answer 0 scores the variance of noise - data, here 2
    times = t / 1000
    zero = d.velocity_loss(lambda x, t: torch.zeros_like(x), x0, times, noise)
    assert zero.item() == pytest.approx(2.0, abs=0.06)


@pytest.mark.parametrize("noise_at", [0, 1])
def test_flow_ends_at_data_and_noise_and_its_slope_is_the_velocity(noise_at):
    x0, noise = draw(4, 3), draw(4, 3, seed=1)
    at_data, at_noise = torch.full((4,), 1.0 - noise_at), torch.full((4,), float(noise_at))
    torch.testing.assert_close(d.interpolate(x0, noise, at_data, noise_at), x0)
    torch.testing.assert_close(d.interpolate(x0, noise, at_noise, noise_at), noise)
    t = torch.full((4,), 0.3, dtype=torch.float64).requires_grad_()
    x = d.interpolate(x0, noise, t, noise_at)
    slope = torch.stack(
        [torch.autograd.grad(x[:, j].sum(), t, retain_graph=True)[0] for j in range(3)], dim=1
    )
    torch.testing.assert_close(slope, d.velocity(x0, noise, noise_at))


def test_the_two_directions_of_time_are_mirror_images():
    x0, noise, t = draw(4, 3), draw(4, 3, seed=1), torch.tensor([0.1, 0.4, 0.5, 1.0])
    torch.testing.assert_close(
        d.interpolate(x0, noise, t, noise_at=1), d.interpolate(x0, noise, 1 - t, noise_at=0)
    )
    torch.testing.assert_close(
        d.velocity(x0, noise, noise_at=1), -d.velocity(x0, noise, noise_at=0)
    )


# --- steps and samplers -------------------------------------------------------------------


@pytest.mark.parametrize("t", [0, 1, 250, 999])
def test_steps_agree_with_diffusers(t):
    diffusers = pytest.importorskip("diffusers")
    schedule = {"beta_start": 1e-4, "beta_end": 2e-2, "beta_schedule": "linear"}
    x, epsilon, betas = draw(2, 3), draw(2, 3, seed=1), d.linear_betas()
    kept = d.alpha_bar(betas)

    ddim = diffusers.DDIMScheduler(1000, clip_sample=False, set_alpha_to_one=True, **schedule)
    ddim.set_timesteps(1000)
    theirs = ddim.step(epsilon, t, x).prev_sample
    torch.testing.assert_close(
        d.ddim_step(x, epsilon, t, t - 1, kept), theirs, rtol=1e-3, atol=1e-4
    )

    ddpm = diffusers.DDPMScheduler(1000, clip_sample=False, **schedule)
    theirs = ddpm.step(epsilon, t, x, generator=torch.Generator().manual_seed(7)).prev_sample
    noise = draw(2, 3, seed=7)
    torch.testing.assert_close(
        d.ddpm_step(x, epsilon, t, betas, noise), theirs, rtol=1e-3, atol=1e-4
    )


def test_one_reverse_step_is_the_posterior_of_gaussian_data():
    """For x0 ~ N(0, 1) the best answer is sqrt(1 - alpha_bar) x: variance 1 must be kept."""
    betas = d.linear_betas()
    kept, t = d.alpha_bar(betas), 400
    x, z = draw(200_000, 1), draw(200_000, 1, seed=1)
    back = d.ddpm_step(x, (1 - kept[t]).sqrt() * x, t, betas, z)
    assert back.var().item() == pytest.approx(1.0, abs=0.01)


def gaussian_epsilon(mean, std, kept):
    """The exact answer E[epsilon | x_t] when the data is N(mean, std^2)."""

    def model(x, t):
        share = kept[t].to(x.dtype)[:, None]
        variance = share * std**2 + 1 - share
        return (1 - share).sqrt() * (x - share.sqrt() * mean) / variance

    return model


def test_samplers_reach_a_known_gaussian():
    betas = d.linear_betas(200)
    kept = d.alpha_bar(betas)
    model = gaussian_epsilon(3.0, 0.5, kept)
    for samples in (
        d.sample_ddpm(model, (20_000, 1), betas, seed=0),
        d.sample_ddim(model, (20_000, 1), kept, num_steps=50, seed=0),
    ):
        assert samples.mean().item() == pytest.approx(3.0, abs=0.03)
        assert samples.std().item() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("noise_at", [0, 1])
def test_flow_reaches_a_known_gaussian_in_both_directions(noise_at):
    mean, std = 3.0, 0.5

    def model(x, t):  # E[velocity | x_t] for data N(mean, std^2)
        u = (t if noise_at == 1 else 1 - t)[:, None]
        gain = (u - (1 - u) * std**2) / ((1 - u) ** 2 * std**2 + u**2)
        v = -mean + gain * (x - (1 - u) * mean)
        return v if noise_at == 1 else -v

    samples = d.sample_flow(model, (20_000, 1), num_steps=100, seed=0, noise_at=noise_at)
    assert samples.mean().item() == pytest.approx(mean, abs=0.03)
    assert samples.std().item() == pytest.approx(std, abs=0.03)


def test_samplers_call_the_model_once_per_step_and_repeat_with_the_seed():
    betas = d.linear_betas(50)
    kept, calls = d.alpha_bar(betas), []

    def model(x, t):
        calls.append(t[0].item())
        return x / 2

    first = d.sample_ddim(model, (2, 3), kept, num_steps=5, seed=1)
    assert calls == [49, 39, 29, 19, 9]
    torch.testing.assert_close(first, d.sample_ddim(model, (2, 3), kept, num_steps=5, seed=1))
    calls.clear()
    first = d.sample_ddpm(model, (2, 3), betas, seed=1)
    assert calls == list(range(49, -1, -1))
    assert not torch.equal(first, d.sample_ddpm(model, (2, 3), betas, seed=2))


# --- refusals -----------------------------------------------------------------------------

X, KEPT = torch.zeros(2, 3), d.alpha_bar(d.linear_betas())
T = torch.tensor([1, 2])
NAN = torch.full((2, 3), float("nan"))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: d.linear_betas(0), "linear_betas: num_steps is 0"),
        (lambda: d.linear_betas(1), "linear_betas: num_steps is 1"),
        (lambda: d.linear_betas(10), "linear_betas: num_steps=10"),
        (lambda: d.linear_betas(start=-1.0), "expected values between 0 and 1"),
        (lambda: d.alpha_bar(torch.tensor([0.1, 1.5])), "alpha_bar: betas holds values outside"),
        (lambda: d.alpha_bar(torch.tensor([])), "alpha_bar: betas is empty"),
        (lambda: d.signal_to_noise(torch.tensor([1.0])), "signal_to_noise: alpha_bars holds"),
        (lambda: d.add_noise(X, T, X[:1], KEPT), r"add_noise: noise has shape \(1, 3\)"),
        (lambda: d.add_noise(NAN, T, X, KEPT), "add_noise: x0 holds NaN"),
        (lambda: d.add_noise(X[:0], T[:0], X[:0], KEPT), "add_noise: x0 is empty"),
        (lambda: d.add_noise(X.int(), T, X, KEPT), "add_noise: x0 has dtype torch.int32"),
        (lambda: d.add_noise(X, T / 1000, X, KEPT), "add_noise: t is float32 of shape"),
        (lambda: d.add_noise(X, 3, X, KEPT), "add_noise: t is int, expected 2 whole"),
        (lambda: d.add_noise(X, T[:1], X, KEPT), "expected 2 whole numbers, one per sample"),
        (lambda: d.add_noise(X, T + 999, X, KEPT), "expected 0 to 999"),
        (lambda: d.epsilon_loss(lambda x, t: x[:1], X, T, X, KEPT), "epsilon_loss: model answers"),
        (lambda: d.predict_x0(X, X[:, :2], T, KEPT), "predict_x0: epsilon has shape"),
        (lambda: d.ddpm_step(X, X, 1000, d.linear_betas(), X), "ddpm_step: t is 1000"),
        (lambda: d.ddpm_step(X, X, 3, d.linear_betas(), NAN), "ddpm_step: noise holds NaN"),
        (lambda: d.ddim_step(X, X, 5, 5, KEPT), "ddim_step: t_next is 5"),
        (lambda: d.ddim_step(X, X, -1, -1, KEPT), "ddim_step: t is -1"),
        (lambda: d.sample_ddim(None, (2, 3), KEPT, 1001, 0), "at most the 1000 steps"),
        (lambda: d.sample_ddim(None, (2, 3), KEPT, 0, 0), "sample_ddim: num_steps is 0"),
        (lambda: d.sample_flow(None, (2, 3), 0, 0), "sample_flow: num_steps is 0"),
        (lambda: d.sample_flow(None, (2, 3), 5, 0, noise_at=2), "sample_flow: noise_at is 2"),
        (lambda: d.interpolate(X, X, T, 1), "interpolate: t is int64 of shape"),
        (lambda: d.interpolate(X, X, T * 1.0, 1), "interpolate: t holds values from 1 to 2"),
        (lambda: d.velocity(X, X, noise_at=3), "velocity: noise_at is 3, expected 0 or 1"),
        (lambda: d.velocity_loss(lambda x, t: x[0], X, T / 9, X), "velocity_loss: model answers"),
        (lambda: d.euler_step(X, X[0], 0.1), r"euler_step: v has shape \(3,\)"),
    ],
)
def test_wrong_input_gets_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
