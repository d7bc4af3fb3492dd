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
    alpha_bars = d.alpha_bar(d.linear_betas(num_steps))
    assert (alpha_bars[1:] < alpha_bars[:-1]).all() and (alpha_bars > 0).all()
    snr = d.signal_to_noise(alpha_bars)
    assert (snr[1:] < snr[:-1]).all()


def test_schedule_agrees_with_diffusers():
    import diffusers

    theirs = diffusers.DDPMScheduler(1000, beta_start=1e-4, beta_end=2e-2, beta_schedule="linear")
    torch.testing.assert_close(
        d.alpha_bar(d.linear_betas()).float(), theirs.alphas_cumprod, rtol=1e-4, atol=1e-7
    )


# --- forward and targets ------------------------------------------------------------------


def test_noise_keeps_unit_variance_and_has_the_right_share():
    x0, noise = draw(200_000, 1), draw(200_000, 1, seed=1)
    alpha_bars = d.alpha_bar(d.linear_betas())
    x = d.add_noise(x0, torch.full((200_000,), 300), noise, alpha_bars)
    assert x.var().item() == pytest.approx(1.0, abs=0.01)
    assert (x * x0).mean().item() == pytest.approx(alpha_bars[300].sqrt().item(), abs=0.01)


@given(st.integers(0, 999), st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_predict_x0_undoes_add_noise(t, seed):
    x0, noise = draw(3, 2, 5, seed=seed), draw(3, 2, 5, seed=seed + 1)
    alpha_bars = d.alpha_bar(d.linear_betas())
    steps = torch.full((3,), t)
    x = d.add_noise(x0, steps, noise, alpha_bars)
    torch.testing.assert_close(d.predict_x0(x, noise, steps, alpha_bars), x0, rtol=1e-9, atol=1e-9)


def test_each_sample_has_its_own_t():
    x0, noise, alpha_bars = draw(2, 3), draw(2, 3, seed=1), d.alpha_bar(d.linear_betas())
    both = d.add_noise(x0, torch.tensor([10, 900]), noise, alpha_bars)
    alone = d.add_noise(x0[1:], torch.tensor([900]), noise[1:], alpha_bars)
    torch.testing.assert_close(both[1:], alone)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_in_is_dtype_out(dtype):
    x0, noise, betas = draw(2, 3, dtype=dtype), draw(2, 3, seed=1, dtype=dtype), d.linear_betas()
    alpha_bars, t = d.alpha_bar(betas), torch.tensor([10, 900])
    outputs = [
        d.add_noise(x0, t, noise, alpha_bars),
        d.predict_x0(x0, noise, t, alpha_bars),
        d.ddpm_step(x0, noise, 5, betas, noise),
        d.ddpm_step(x0, noise, 0, betas, noise),
        d.interpolate(x0, noise, torch.tensor([0.1, 0.9]), noise_at=0),
        d.velocity(x0, noise),
        d.mix(d.VariancePreserving(betas), x0, noise, t),
    ]
    assert all(output.dtype == dtype and output.shape == x0.shape for output in outputs)


def test_zero_answer_scores_the_noise_variance_and_the_right_answer_scores_zero():
    x0, noise = draw(5000, 4), draw(5000, 4, seed=1)
    t = torch.randint(0, 1000, (5000,), generator=torch.Generator().manual_seed(0))
    path = d.VariancePreserving(d.linear_betas())
    zero = d.denoising_loss(lambda x, t: torch.zeros_like(x), x0, t, noise, path)
    assert zero.item() == pytest.approx(1.0, abs=0.03)
    assert d.denoising_loss(lambda x, t: noise, x0, t, noise, path).item() == 0.0
    # for a velocity the answer 0 scores the variance of noise - data, here 2
    zero = d.denoising_loss(
        lambda x, t: torch.zeros_like(x), x0, t / 1000, noise, d.Straight(), "velocity"
    )
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


# --- paths and predictions ----------------------------------------------------------------

PATHS = {
    "linear": d.VariancePreserving(d.linear_betas()),
    "cosine": d.VariancePreserving(d.cosine_betas()),
    "straight": d.Straight(),
    "turned": d.Straight(noise_at=0),
}


def times(path, seed=0, n=6):
    return path.draw(n, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", PATHS)
@given(st.integers(0, 1000), st.sampled_from(d.PREDICTIONS))
@settings(max_examples=20)
def test_each_prediction_gives_the_data_and_the_noise(name, seed, predicts):
    path, x0, noise = PATHS[name], draw(6, 2, 3, seed=seed), draw(6, 2, 3, seed=seed + 1)
    t = times(path, seed)
    x = d.mix(path, x0, noise, t)
    answer = d.target(x0, noise, t, path, predicts)
    data, found = d.data_and_noise(answer, x, t, path, predicts)
    torch.testing.assert_close(data, x0, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found, noise, rtol=1e-6, atol=1e-6)


def test_the_paths_are_the_equations_of_the_chapter():
    x0, noise, betas = draw(6, 3), draw(6, 3, seed=1), d.linear_betas()
    path, bars = d.VariancePreserving(betas), d.alpha_bar(betas)
    t = times(path)
    torch.testing.assert_close(d.mix(path, x0, noise, t), d.add_noise(x0, t, noise, bars))
    for noise_at in (0, 1):
        path = d.Straight(noise_at)
        t = times(path).double()
        torch.testing.assert_close(d.mix(path, x0, noise, t), d.interpolate(x0, noise, t, noise_at))
        torch.testing.assert_close(
            d.target(x0, noise, t, path, "velocity"), d.velocity(x0, noise, noise_at)
        )


@pytest.mark.parametrize("name", PATHS)
def test_a_path_leads_from_noise_to_data(name):
    path = PATHS[name]
    a, b = path.coefficients(path.times(7))
    assert len(a) == 8 and (a.diff() > 0).all() and (b.diff() < 0).all()
    assert (a[0] < 0.01, b[0] > 0.99, a[-1] == 1, b[-1] == 0) == (True,) * 4


def test_the_cosine_schedule_is_that_of_diffusers():
    from diffusers import DDPMScheduler

    theirs = DDPMScheduler(1000, beta_schedule="squaredcos_cap_v2")
    torch.testing.assert_close(d.cosine_betas().float(), theirs.betas, rtol=1e-4, atol=1e-7)


def test_the_network_hears_the_step_itself_or_a_thousand_times_the_time():
    t = torch.tensor([0, 999])
    assert d.VariancePreserving(d.linear_betas()).told(t) is t
    assert d.Straight().told(torch.tensor([0.25])).item() == 250
    assert d.Straight(time_scale=1).told(torch.tensor([0.25])).item() == 0.25


def test_training_times_are_equally_likely_or_mostly_in_the_middle():
    generator = torch.Generator().manual_seed(0)
    even = d.Straight().draw(20_000, generator)
    middle = d.Straight(spread=1.0).draw(20_000, generator)
    assert ((even > 0.25) & (even < 0.75)).float().mean().item() == pytest.approx(0.5, abs=0.02)
    # sigmoid(z) is within (1/4, 3/4) for |z| < ln 3, which holds 72.8% of N(0, 1)
    assert ((middle > 0.25) & (middle < 0.75)).float().mean().item() == pytest.approx(
        0.728, abs=0.02
    )
    steps = d.VariancePreserving(d.linear_betas(50)).draw(5_000, generator)
    assert set(steps.tolist()) == set(range(50))


# --- losses -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("predicts", d.PREDICTIONS)
@pytest.mark.parametrize("measured_in", [None, *d.PREDICTIONS])
def test_the_right_answer_costs_nothing_whatever_is_measured(name, predicts, measured_in):
    path, x0, noise = PATHS[name], draw(6, 3), draw(6, 3, seed=1)
    t = times(path)
    right = d.target(x0, noise, t, path, predicts)
    loss = d.denoising_loss(lambda x, t: right, x0, t, noise, path, predicts, measured_in)
    assert loss.item() < 1e-9


def test_measured_in_another_quantity_an_error_counts_as_that_quantity_is_off():
    """On the straight path v = (x - x0) / t: an error of the data counts 1/t-fold."""
    path, x0, noise = d.Straight(), draw(6, 3), draw(6, 3, seed=1)
    t = torch.full((6,), 0.2, dtype=torch.float64)
    off = d.denoising_loss(lambda x, t: x0 + 1, x0, t, noise, path, "data", "velocity")
    assert off.item() == pytest.approx(25.0)


def test_the_loss_of_a_run_draws_times_noise_and_dropout_from_one_generator():
    path, x0, y = d.Straight(spread=1.0), torch.ones(4, 3), torch.tensor([3, 1, 4, 1])
    heard = {}

    def model(x, t, y, generator):
        heard.update(y=y, generator=generator)
        return 2 * x

    generator, again = (torch.Generator().manual_seed(3) for _ in range(2))
    found = d.conditional_loss(path, "data", "velocity")(model, x0, y, generator)
    t, noise = path.draw(4, again), torch.randn(x0.shape, generator=again)
    expected = d.denoising_loss(lambda x, t: 2 * x, x0, t, noise, path, "data", "velocity")
    assert torch.equal(found, expected) and heard["y"] is y and heard["generator"] is generator
    plain = d.conditional_loss(path, "data")(model, x0, y, generator.manual_seed(3))
    assert torch.equal(plain, d.denoising_loss(lambda x, t: 2 * x, x0, t, noise, path, "data"))


def test_min_snr_cuts_the_weight_of_nearly_clean_steps():
    snr = torch.tensor([0.1, 5.0, 50.0])
    torch.testing.assert_close(d.min_snr(5.0)(snr), torch.tensor([1.0, 1.0, 0.1]))
    path, x0, noise = d.VariancePreserving(d.linear_betas()), draw(2, 3), draw(2, 3, seed=1)
    t = torch.tensor([0, 0])
    plain, cut = (
        d.denoising_loss(lambda x, t: 0 * x, x0, t, noise, path, weight=weight).item()
        for weight in (None, d.min_snr(5.0))
    )
    snr = d.signal_to_noise(path.alpha_bars[0]).item()
    assert cut == pytest.approx(plain * 5 / snr)


# --- the learned variance -----------------------------------------------------------------


def test_the_posterior_of_one_step_is_the_step_of_the_chapter():
    betas, t = d.linear_betas(), 400
    path = d.VariancePreserving(betas)
    x0, noise = draw(3, 2), draw(3, 2, seed=1)
    steps = torch.full((3,), t)
    x = d.mix(path, x0, noise, steps)
    mean, beta_tilde, beta = d.posterior(x, x0, steps, steps - 1, path)
    torch.testing.assert_close(mean, d.ddpm_step(x, noise, t, betas, torch.zeros_like(x)))
    assert beta[0].item() == pytest.approx(betas[t].item())
    bars = path.alpha_bars
    expected = betas[t] * (1 - bars[t - 1]) / (1 - bars[t])
    assert beta_tilde[0].item() == pytest.approx(expected.item())
    drawn = d.ddpm_step(x, noise, t, betas, x0)
    torch.testing.assert_close(drawn - mean, expected.sqrt() * x0)


def test_the_learned_variance_lies_between_the_two():
    tilde, beta = torch.tensor([0.01]), torch.tensor([0.04])
    share = torch.tensor([-1.0, 0.0, 1.0])
    found = d.learned_log_variance(share, tilde, beta).exp()
    torch.testing.assert_close(found, torch.tensor([0.01, 0.02, 0.04]))


def answering(epsilon, share):
    return lambda x, t: torch.cat([epsilon, share.expand_as(epsilon)], dim=1)


def test_the_divergence_of_two_gaussians_is_that_of_torch():
    (mean, other), (size, other_size) = torch.rand(2, 2, 50, dtype=torch.float64) + 0.5
    torch.testing.assert_close(
        d.gaussian_divergence(mean, 2 * size.log(), other, 2 * other_size.log()),
        torch.distributions.kl_divergence(
            torch.distributions.Normal(mean, size), torch.distributions.Normal(other, other_size)
        ),
    )


def test_the_variance_term_is_smallest_at_the_best_share_and_moves_only_the_share():
    path = d.VariancePreserving(d.linear_betas())
    x0, noise = draw(400, 2, 3), draw(400, 2, 3, seed=1)
    t = torch.full((400,), 60)
    wrong = (0.9 * noise).requires_grad_()  # a network that misses a tenth of the noise
    losses = {}
    for value in (-1.0, 0.0, 1.0):
        share = torch.full((1, 1, 1), value, dtype=torch.float64, requires_grad=True)
        loss = d.learned_variance_loss(answering(wrong, share), x0, t, noise, path)
        losses[value] = loss.item()
        gradient, slope = torch.autograd.grad(loss, [wrong, share])
        squared = d.denoising_loss(lambda x, t: wrong, x0, t, noise, path)
        (alone,) = torch.autograd.grad(squared, [wrong])
        torch.testing.assert_close(gradient, alone)  # the mean is held still in the second term
        assert slope.any()
    # all three share the squared error; what differs is the divergence, known in closed form
    x = d.mix(path, x0, noise, t)
    mean, tilde, beta = d.posterior(x, x0, t, t - 1, path)
    guess, _ = d.data_and_noise(wrong.detach(), x, t, path, "noise")
    off = ((mean - d.posterior(x, guess, t, t - 1, path)[0]) ** 2).mean()
    for value, loss in losses.items():
        variance = d.learned_log_variance(torch.tensor(value), tilde[0, 0, 0], beta[0, 0, 0]).exp()
        ratio = tilde[0, 0, 0] / variance
        bits = 0.5 * (ratio - 1 - ratio.log() + off / variance) / torch.log(torch.tensor(2.0))
        squared = ((noise - wrong) ** 2).mean()
        assert loss == pytest.approx((squared + bits).item(), rel=1e-9)


def test_a_model_that_answers_zero_starts_at_one_and_the_small_term_of_the_paper():
    """About 0.015 bits a number, as the released code starts."""
    path = d.VariancePreserving(d.linear_betas())
    x0, noise = draw(4000, 4), draw(4000, 4, seed=1)
    t = torch.randint(0, 1000, (4000,), generator=torch.Generator().manual_seed(0))
    loss = d.learned_variance_loss(lambda x, t: torch.zeros(4000, 8), x0, t, noise, path)
    squared = (noise**2).mean()
    assert (loss - squared).item() == pytest.approx(0.015, abs=0.005)


def test_at_the_first_step_the_term_is_the_surprise_of_pixels_known_to_a_255th():
    path = d.VariancePreserving(d.linear_betas())
    x0 = torch.tensor([[[-1.0]], [[0.0]], [[1.0]]], dtype=torch.float64)
    noise, t = torch.zeros_like(x0), torch.zeros(3, dtype=torch.int64)
    share = torch.full((1, 1, 1), 1.0, dtype=torch.float64)  # the variance is beta
    loss = d.learned_variance_loss(answering(noise, share), x0, t, noise, path).item()
    deviation = path.betas[0].sqrt()
    inside = torch.erf(torch.tensor(1 / 255) / deviation / 2**0.5)  # within a 255th, twice-sided
    edge = 0.5 + inside / 2  # at -1 and 1 everything beyond counts as well
    expected = -(inside.log() + 2 * edge.log()) / 3 / torch.log(torch.tensor(2.0))
    assert loss == pytest.approx(expected.item(), rel=1e-6)


# --- refusals -----------------------------------------------------------------------------

X, PATH = torch.zeros(2, 3), d.VariancePreserving(d.linear_betas())
ALPHA_BARS = PATH.alpha_bars
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
        (lambda: d.add_noise(X, T, X[:1], ALPHA_BARS), r"add_noise: noise has shape \(1, 3\)"),
        (lambda: d.add_noise(NAN, T, X, ALPHA_BARS), "add_noise: x0 holds NaN"),
        (lambda: d.add_noise(X[:0], T[:0], X[:0], ALPHA_BARS), "add_noise: x0 is empty"),
        (lambda: d.add_noise(X.int(), T, X, ALPHA_BARS), "add_noise: x0 has dtype torch.int32"),
        (lambda: d.add_noise(X, T / 1000, X, ALPHA_BARS), "add_noise: t is float32 of shape"),
        (lambda: d.add_noise(X, 3, X, ALPHA_BARS), "add_noise: t is int, expected 2 whole"),
        (lambda: d.add_noise(X, T[:1], X, ALPHA_BARS), "expected 2 whole numbers, one per sample"),
        (lambda: d.add_noise(X, T + 998, X, ALPHA_BARS), "expected 0 to 999"),
        (lambda: d.predict_x0(X, X[:, :2], T, ALPHA_BARS), "predict_x0: epsilon has shape"),
        (lambda: d.ddpm_step(X, X, 1000, d.linear_betas(), X), "ddpm_step: t is 1000"),
        (lambda: d.ddpm_step(X, X, 3, d.linear_betas(), NAN), "ddpm_step: noise holds NaN"),
        (
            lambda: d.denoising_loss(lambda x, t: x[:, 0], X, T, X, PATH),
            r"denoising_loss: answer has shape \(2,\), expected \(2, 3\)",
        ),
        (
            lambda: d.denoising_loss(lambda x, t: x, X, T, X, PATH, "score"),
            "target: predicts is 'score', expected 'noise', 'data' or 'velocity'",
        ),
        (lambda: d.mix(PATH, X, X, T[:1]), r"mix: t has shape \(1,\), expected \(2,\)"),
        (lambda: PATH.times(1001), "num_steps is 1001, expected at most the 1000 steps"),
        (
            lambda: d.VariancePreserving(d.linear_betas(100, rescale=False)).times(10),
            "VariancePreserving.times: alpha_bar ends at 0.36, expected at most 0.01: the last",
        ),
        (
            lambda: d.VariancePreserving(PATH.betas, T),
            r"VariancePreserving: steps has shape \(2,\), expected \(1000,\)",
        ),
        (lambda: d.Straight().times(0), "Straight.times: num_steps is 0"),
        (lambda: d.Straight(2), "Straight: noise_at is 2, expected 0 or 1"),
        (lambda: d.interpolate(X, X, T, 1), "interpolate: t is int64 of shape"),
        (lambda: d.interpolate(X, X, T * 1.0, 1), "interpolate: t holds values from 1 to 2"),
        (lambda: d.velocity(X, X, noise_at=3), "velocity: noise_at is 3, expected 0 or 1"),
    ],
)
def test_wrong_input_gets_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
