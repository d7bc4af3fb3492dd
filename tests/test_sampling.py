"""Steps, walks, respacing and guidance against closed forms and an independent library."""

from argparse import Namespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from dit_lesson import diffusion as d
from dit_lesson.checkpoints import load_released
from dit_lesson.models import DiT, DiTConfig
from dit_lesson.sampling import (
    ancestral,
    deterministic,
    guided,
    heun,
    respace,
    sample,
    walk,
)
from tests.diffusers_dit import theirs_with_weights_of

BETAS = d.linear_betas()
LINEAR, STRAIGHT = d.VariancePreserving(BETAS), d.Straight()
PATHS = {"linear": LINEAR, "cosine": d.VariancePreserving(d.cosine_betas()), "straight": STRAIGHT}
PATHS["turned"] = d.Straight(noise_at=0)


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def gaussian(path, mean=3.0, std=0.5, predicts="noise"):
    """The exact answer for data from N(mean, std^2): nothing is left to the network."""

    def model(x, told):
        t = told.double() / path.time_scale if isinstance(path, d.Straight) else told
        a, b = (value[:, None] for value in path.coefficients(t))
        noise = b * (x - a * mean) / (a**2 * std**2 + b**2)
        x0 = mean + a * std**2 * (x - a * mean) / (a**2 * std**2 + b**2)
        return d.target(x0, noise, t, path, predicts)

    return model


# --- one step -----------------------------------------------------------------------------


@given(st.floats(0.02, 1), st.floats(0, 0.98), st.integers(0, 100))
def test_on_the_straight_path_the_step_is_eulers(t, share, seed):
    s, x, v = t * share, draw(4, 3, seed=seed), draw(4, 3, seed=seed + 1)
    times = (torch.full((4,), value, dtype=torch.float64) for value in (t, s))

    def denoise(x, t):
        return *d.data_and_noise(v, x, t, STRAIGHT, "velocity"), None

    found = deterministic(denoise, x, *times, STRAIGHT)
    torch.testing.assert_close(found, x + (s - t) * v, rtol=1e-12, atol=1e-12)


@given(st.integers(0, 999), st.integers(0, 100))
def test_on_the_vp_path_the_step_is_ddims(t, seed):
    s = seed % (t + 1) - 1
    x, epsilon = draw(4, 3, seed=seed), draw(4, 3, seed=seed + 1)
    times = (torch.full((4,), value) for value in (t, s))

    def denoise(x, t):
        return *d.data_and_noise(epsilon, x, t, LINEAR, "noise"), None

    found = deterministic(denoise, x, *times, LINEAR)
    bars = torch.cat([LINEAR.alpha_bars, torch.ones(1, dtype=torch.float64)])
    x0 = (x - (1 - bars[t]).sqrt() * epsilon) / bars[t].sqrt()
    expected = bars[s].sqrt() * x0 + (1 - bars[s]).sqrt() * epsilon
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("t", [1, 250, 999])
def test_steps_agree_with_diffusers(t):
    import diffusers

    schedule = {"beta_start": 1e-4, "beta_end": 2e-2, "beta_schedule": "linear"}
    x, epsilon = draw(2, 3), draw(2, 3, seed=1)

    def step(kind):
        return next(walk(lambda x, t: epsilon, x, LINEAR, [t, t - 1], kind))

    ddim = diffusers.DDIMScheduler(1000, clip_sample=False, set_alpha_to_one=True, **schedule)
    ddim.set_timesteps(1000)
    theirs = ddim.step(epsilon, t, x).prev_sample
    torch.testing.assert_close(step(deterministic), theirs, rtol=1e-3, atol=1e-4)
    for ours, name in (("small", "fixed_small"), ("large", "fixed_large")):
        ddpm = diffusers.DDPMScheduler(1000, clip_sample=False, variance_type=name, **schedule)
        theirs = ddpm.step(epsilon, t, x, generator=generator(7)).prev_sample
        found = step(ancestral(generator(7), ours))
        torch.testing.assert_close(found, theirs, rtol=1e-3, atol=1e-4)


def test_one_ancestral_step_is_the_step_of_the_chapter():
    x, epsilon, t = draw(2, 3), draw(2, 3, seed=1), 300
    found = next(walk(lambda x, t: epsilon, x, LINEAR, [t, t - 1], ancestral(generator(7))))
    expected = d.ddpm_step(x, epsilon, t, BETAS, draw(2, 3, seed=7))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


# --- walks --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("predicts", d.PREDICTIONS)
@pytest.mark.parametrize("step", [deterministic, heun, "small", "large"])
def test_every_step_reaches_a_known_gaussian_on_every_path(name, predicts, step):
    path = PATHS[name]
    step = ancestral(generator(1), step) if isinstance(step, str) else step
    times = path.times(200)
    if predicts == "noise":  # at pure noise the noise says nothing of the data
        times = times[path.coefficients(times)[0] > 0]
    model = gaussian(path, predicts=predicts)
    samples = sample(model, draw(20_000, 1), path, times.tolist(), step, predicts)
    assert samples.mean().item() == pytest.approx(3.0, abs=0.05)
    assert samples.std().item() == pytest.approx(0.5, abs=0.04)


def test_heun_is_wrong_by_less_than_euler_with_as_many_calls():
    noise = draw(20_000, 1)
    exact = 3 + 0.5 * noise  # where the flow takes each point

    def error(steps, step):
        model = gaussian(STRAIGHT, predicts="velocity")
        return (sample(model, noise, STRAIGHT, steps, step, "velocity") - exact).abs().mean().item()

    assert error(10, heun) < error(19, deterministic) / 3


def test_a_walk_yields_every_step_calls_the_model_once_and_tells_it_the_original_t():
    calls = []

    def model(x, t):
        calls.append(t[0].item())
        return x / 2

    path = d.VariancePreserving(d.linear_betas(50))
    states = list(walk(model, draw(2, 3), path, 5))
    assert calls == [49, 39, 29, 19, 9] and len(states) == 5
    assert torch.equal(states[-1], sample(model, draw(2, 3), path, 5))
    calls.clear()
    list(walk(model, draw(2, 3), STRAIGHT, 4, predicts="velocity"))
    assert calls == [1000, 750, 500, 250]


@pytest.mark.parametrize(("noise_at", "told"), [(1, [999, 499.5]), (0, [1, 500.5])])
def test_a_predicted_noise_begins_a_thousandth_behind_pure_noise(noise_at, told):
    """As in a page, see `timesOf` in core/flow.mjs."""
    calls, path = [], d.Straight(noise_at)

    def model(x, t):
        calls.append(t[0].item())
        return x / 2

    assert sample(model, NOISE, path, 2).isfinite().all()
    assert calls == pytest.approx(told)


def test_noise_fixes_the_sample_and_its_dtype_is_kept():
    model = gaussian(LINEAR)
    once = sample(model, draw(3, 1), LINEAR, 5, ancestral(generator(2)))
    again = sample(model, draw(3, 1), LINEAR, 5, ancestral(generator(2)))
    assert torch.equal(once, again)
    assert not torch.equal(once, sample(model, draw(3, 1), LINEAR, 5, ancestral(generator(3))))
    single = sample(lambda x, t: x / 2, draw(3, 1, dtype=torch.float32), LINEAR, 5)
    assert single.dtype == torch.float32


class NoDoubles(TorchDispatchMode):
    """A device without float64, such as Apple's: here the "meta" device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.is_meta:
            assert result.dtype != torch.float64, func
        return result


@pytest.mark.parametrize("name", PATHS)
@pytest.mark.parametrize("predicts", ["data", "velocity"])
def test_a_walk_and_a_loss_ask_a_device_for_no_double_precision(name, predicts):
    path, told = PATHS[name], []

    def model(x, t):
        told.append((t.device.type, t.dtype))
        return x / 2

    with NoDoubles():
        noise = torch.randn(2, 3, device="meta")
        assert sample(model, noise, path, 5, predicts=predicts).is_meta
        t = path.draw(2, generator()).to("meta")
        d.denoising_loss(model, noise, t, noise, path, predicts, "noise")
    dtype = torch.float32 if isinstance(path, d.Straight) else torch.int64
    assert told == 6 * [("meta", dtype)]


# --- respacing ----------------------------------------------------------------------------


def test_respaced_betas_add_as_much_noise_as_the_steps_they_stand_for():
    path = respace(BETAS, 250)
    betas, kept = path.betas, path.steps
    assert kept[0] == 0 and kept[-1] == 999 and len(kept) == len(betas) == 250
    torch.testing.assert_close(d.alpha_bar(betas), d.alpha_bar(BETAS)[kept])
    assert respace(BETAS, 1000).steps.tolist() == list(range(1000))


def test_a_walk_over_respaced_steps_is_a_walk_with_the_new_betas_and_the_old_t():
    path = respace(BETAS, 10)
    betas, kept = path.betas, path.steps
    model, x, told = gaussian(LINEAR), draw(4, 1), []
    for number in reversed(range(10)):
        t = torch.full((4,), kept[number].item())
        told.append(t[0].item())
        noise = torch.zeros_like(x) if number == 0 else draw(4, 1, seed=number)
        x = d.ddpm_step(x, model(x, t), number, betas, noise)
    assert told[0] == 999 and told[-1] == 0

    noises = iter([draw(4, 1, seed=number) for number in reversed(range(1, 10))])
    start, steps = draw(4, 1), [*kept.flip(0).tolist(), -1]
    found = start
    for t, s in zip(steps[:-1], steps[1:], strict=True):
        mean, tilde, _ = d.posterior(
            found,
            d.predict_x0(
                found, model(found, torch.full((4,), t)), torch.full((4,), t), LINEAR.alpha_bars
            ),
            torch.full((4,), t),
            torch.full((4,), s),
            LINEAR,
        )
        found = mean if s == -1 else mean + tilde.sqrt() * next(noises)
    torch.testing.assert_close(found, x, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("steps", [5, 20, 100])
def test_fewer_steps_do_not_blow_the_sample_up(steps):
    """A model is told its own t, so that skipped steps cost accuracy and nothing else."""
    samples = sample(
        gaussian(LINEAR, mean=0.0, std=1.0),
        draw(20_000, 1),
        respace(BETAS, steps),
        steps,
        ancestral(generator(1)),
    )
    # too small where the variance of a long step is beta-tilde, never too large
    assert 0.5 < samples.std().item() < 1.05


def test_the_path_of_respaced_betas_tells_the_model_the_original_t():
    model, told = gaussian(LINEAR), []

    def listening(x, t):
        told.append(int(t[0]))
        return model(x, t)

    path = respace(BETAS, 100)
    times = [*path.steps.flip(0).tolist(), -1]
    found = sample(listening, draw(4, 1), path, 100, ancestral(generator(2)))
    assert told == times[:-1]
    expected = sample(model, draw(4, 1), LINEAR, times, ancestral(generator(2)))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


# --- the learned variance -----------------------------------------------------------------


@pytest.mark.parametrize(("share", "kind"), [(-1.0, "small"), (1.0, "large")])
def test_a_learned_variance_at_either_end_is_the_fixed_one(share, kind):
    x = draw(5, 2, 3)

    def told(x, t):
        return torch.cat([x / 2, torch.full_like(x, share)], dim=1)

    learned = sample(told, x, LINEAR, 6, ancestral(generator(3), "learned"))
    fixed = sample(lambda x, t: x / 2, x, LINEAR, 6, ancestral(generator(3), kind))
    torch.testing.assert_close(learned, fixed)


# --- guidance -----------------------------------------------------------------------------


def labelled(x, t, y):
    """An answer that shows what it was told, in two channels and one for the variance each."""
    return torch.cat([x + y[:, None, None], torch.ones_like(x) * y[:, None, None]], dim=1)


X, T, Y = draw(2, 2, 3), torch.tensor([500, 500]), torch.tensor([3, 4])


@pytest.mark.parametrize("scale", [0.0, 1.0, 4.0])
def test_guidance_goes_from_no_label_through_the_label_and_beyond(scale):
    answer = guided(labelled, Y, 10, scale)(X, T)
    towards = 10 + scale * (Y - 10)
    torch.testing.assert_close(answer[:, :2], X + towards[:, None, None])
    torch.testing.assert_close(answer[:, 2:], torch.ones_like(X) * Y[:, None, None])


@pytest.mark.parametrize("scale", [-1e6, 1e6])
def test_a_scale_may_be_as_large_as_the_refusal_says(scale):
    answer = guided(labelled, Y, 10, scale)(X, T)
    torch.testing.assert_close(answer[:, :2], X + (10 + scale * (Y - 10))[:, None, None])


def test_only_the_named_channels_are_guided():
    answer = guided(labelled, Y, 10, 4.0, channels=1)(X, T)
    torch.testing.assert_close(answer[:, :1], X[:, :1] + (10 + 4.0 * (Y - 10))[:, None, None])
    torch.testing.assert_close(answer[:, 1:], labelled(X, T, Y)[:, 1:])


@pytest.mark.parametrize(("t", "in_force"), [(199, False), (200, True), (800, True), (801, False)])
def test_outside_the_interval_the_label_alone_is_asked(t, in_force):
    asked = []

    def model(x, t, y):
        asked.append(len(x))
        return labelled(x, t, y)

    guided(model, Y, 10, 4.0, interval=(200, 800))(X, torch.full((2,), t))
    assert asked == [4 if in_force else 2]


def test_each_sample_of_mixed_times_is_guided_by_its_own():
    t = torch.tensor([200, 801])
    mixed = guided(labelled, Y, 10, 4.0, interval=(200, 800))(X, t)
    torch.testing.assert_close(mixed[:1], guided(labelled, Y, 10, 4.0)(X, t)[:1])
    torch.testing.assert_close(mixed[1:], labelled(X, t, Y)[1:])


def test_a_caption_is_guided_away_from_the_empty_caption():
    captions = torch.tensor([[1, 2], [1, 3]])
    seen = []

    def model(x, t, y):
        seen.append(y)
        return x

    guided(model, captions, torch.zeros_like(captions), 2.0)(X, T)
    assert torch.equal(seen[0], torch.cat([captions, torch.zeros_like(captions)]))


# --- the released model, beside an independent library ------------------------------------


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A model that was read from a file as it is released, and diffusers' that never saw it."""
    torch.manual_seed(0)
    config = DiTConfig(input_size=8, hidden_size=48, depth=2, num_heads=4, num_classes=10)
    model = DiT(config).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2 if parameter.ndim == 1 else 0.1)
    file = tmp_path_factory.mktemp("released") / "weights.pt"
    torch.save({"ema": model.state_dict(), "args": Namespace(lr=1e-4)}, file)
    theirs = theirs_with_weights_of(model.double(), released_settings=True)
    return load_released(file, config).double().eval(), theirs


def schedulers(variance):
    """diffusers' scheduler of 20 steps, in double precision, and our step."""
    import diffusers

    schedule = {"beta_start": 1e-4, "beta_end": 2e-2, "beta_schedule": "linear"}
    if variance == "learned":
        theirs = diffusers.DDPMScheduler(
            1000, clip_sample=False, variance_type="learned_range", **schedule
        )
        theirs.set_timesteps(timesteps=respace(BETAS, 20).steps.flip(0).tolist())
        step = ancestral(generator(7), "learned")
    else:
        theirs = diffusers.DDIMScheduler(
            1000, clip_sample=False, timestep_spacing="trailing", **schedule
        )
        theirs.set_timesteps(20)
        theirs.final_alpha_cumprod = torch.tensor(1.0, dtype=torch.float64)
        step = deterministic
    theirs.alphas_cumprod = LINEAR.alpha_bars
    return theirs, step


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("variance", ["none", "learned"])
def test_a_guided_walk_of_released_weights_paints_what_diffusers_paints(
    released, variance, channels
):
    """Same weights and noise, DDIM or the learned variance, 3 of 4 channels guided or all."""
    ours, theirs = released
    scheduler, step = schedulers(variance)
    noise, y = draw(3, 4, 8, 8, seed=5), torch.tensor([1, 5, 7])
    x, random = noise, generator(7)
    for t in scheduler.timesteps:
        with torch.no_grad():
            both = theirs(
                torch.cat([x, x]), t.expand(6), torch.cat([y, torch.full_like(y, 10)])
            ).sample
        answer, unconditional = (half[:, :channels] for half in both.chunk(2))
        answer = torch.cat(
            [unconditional + 4.0 * (answer - unconditional), both[:3, channels:]], dim=1
        )
        if variance == "none":
            answer = answer[:, :4]
        x = scheduler.step(answer, t, x, generator=random).prev_sample
    times = [*scheduler.timesteps.tolist(), -1]
    painted = sample(guided(ours, y, 10, 4.0, channels=channels), noise, LINEAR, times, step)
    assert painted.std() > 0.1
    torch.testing.assert_close(painted, x, rtol=0, atol=1e-6)


# --- refusals -----------------------------------------------------------------------------

NOISE = draw(2, 2, 3)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: sample(labelled, NOISE * torch.nan, LINEAR, 5), "walk: noise holds NaN"),
        (lambda: sample(labelled, NOISE, LINEAR, 0), "num_steps is 0, expected a whole number"),
        (lambda: sample(labelled, NOISE, LINEAR, 1001), "expected at most the 1000 steps"),
        (lambda: sample(labelled, NOISE, LINEAR, [5, 9]), r"walk: steps is \[5, 9\], expected"),
        (lambda: sample(labelled, NOISE, LINEAR, [5, 5]), r"walk: steps is \[5, 5\], expected"),
        (lambda: sample(labelled, NOISE, LINEAR, [5]), "expected at least two times that lead"),
        (
            lambda: sample(labelled, NOISE, LINEAR, []),
            r"walk: steps is \[\], expected at least two",
        ),
        (lambda: sample(labelled, NOISE, LINEAR, 5.0), "walk: steps is 5.0, expected at least two"),
        (lambda: sample(labelled, NOISE, LINEAR, [9.0, 5.0]), "whole numbers between 999 and -1"),
        (lambda: sample(labelled, NOISE, LINEAR, [1000, 5]), "expected whole numbers between 999"),
        (lambda: sample(labelled, NOISE, LINEAR, [5, -2]), "expected whole numbers between 999"),
        (lambda: sample(labelled, NOISE, STRAIGHT, [1.5, 0.0]), "numbers between 1.0 and 0.0"),
        (
            lambda: sample(labelled, NOISE, STRAIGHT, [1.0, 0.5]),
            "walk: steps begins at 1.0, where x is noise alone and a predicted noise says nothing",
        ),
        (
            lambda: sample(lambda x, t: x[0], NOISE, LINEAR, 5),
            r"walk: answer has shape \(2, 3\), expected \(2, 2, 3\)",
        ),
        (lambda: sample(lambda x, t: x, NOISE, LINEAR, 5, predicts="x0"), "predicts is 'x0'"),
        (
            lambda: sample(lambda x, t: x, NOISE, LINEAR, 5, ancestral(generator(), "learned")),
            "ancestral: variance is 'learned', expected a model with 2 C output channels",
        ),
        (lambda: ancestral(generator(), "tiny"), "ancestral: variance is 'tiny', expected"),
        (lambda: respace(BETAS, 1), "respace: num_steps is 1, expected from 2 to 1000"),
        (lambda: respace(BETAS, 1001), "respace: num_steps is 1001, expected from 2 to 1000"),
        (lambda: guided(labelled, Y, 10, float("nan")), "guided: scale is nan"),
        (lambda: guided(labelled, Y, 10, 1e6 + 0.5), "guided: scale is 1000000.5"),
        (lambda: guided(labelled, Y, 10, -1e6 - 0.5), "guided: scale is -1000000.5"),
        (lambda: guided(labelled, Y, Y[:1], 2.0), r"guided: null has shape \(1,\), expected"),
        (lambda: guided(labelled, Y, 10, 2.0, channels=3)(X, T), "guided: channels is 3, expected"),
        (lambda: guided(labelled, Y, 10, 2.0, channels=0)(X, T), "guided: channels is 0, expected"),
    ],
)
def test_wrong_input_gets_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
