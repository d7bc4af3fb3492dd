"""The run: what a step does, and that a run that was saved goes on bit for bit."""

import multiprocessing
import os
import random
import re
import signal
import time
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.overrides import TorchFunctionMode

from dit_lesson.checkpoints import load_state, save_state
from dit_lesson.data import shift_images
from dit_lesson.models import DiT, DiTConfig
from dit_lesson.training import Recipe, Run, _Share, train

X = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
Y = X @ torch.tensor([[1.0], [-2.0], [0.5]])
RECIPE = Recipe(steps=20, batch_size=24, learning_rate=0.01, weight_decay=0.1, ema_decay=0.9)


def squared_error(model, x, y, generator):
    return ((model(x) - y) ** 2).mean()


def fit(seed=0, data=(X, Y), loss=squared_error, **options):
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    settings = {"steps": 200, "batch_size": 16, "learning_rate": 0.05} | options
    return model, train(model, loss, data, seed=seed, **settings)


# --- the loop -----------------------------------------------------------------------------


def test_learns_a_linear_map_and_ends_in_eval_mode():
    model, losses = fit()
    assert losses.shape == (200,) and losses.dtype == np.float64
    assert losses[-1] < 1e-3 * losses[0]
    assert not model.training


def test_same_seed_same_losses_and_another_seed_another_order():
    _, first = fit(seed=1)
    np.testing.assert_array_equal(first, fit(seed=1)[1])
    assert not np.array_equal(first, fit(seed=2)[1])


def test_noise_of_the_loss_comes_from_the_seed():
    def noisy(model, x, y, generator):
        return squared_error(model, x + torch.randn(x.shape, generator=generator), y, generator)

    np.testing.assert_array_equal(fit(loss=noisy)[1], fit(loss=noisy)[1])


def test_rows_stay_together_and_every_row_comes_once_per_pass():
    seen = []

    def watch(model, x, y, generator):
        seen.append(x[:, 0].clone())
        assert torch.equal(y[:, 0], 10 * x[:, 0])
        return squared_error(model, x, y, generator)

    rows = torch.arange(12.0)[:, None].repeat(1, 3)
    fit(data=(rows, 10 * rows[:, :1]), loss=watch, steps=6, batch_size=4)
    for batches in (seen[:3], seen[3:]):
        assert sorted(torch.cat(batches).tolist()) == list(range(12))
    assert not torch.equal(torch.cat(seen[:3]), torch.cat(seen[3:]))


@pytest.mark.parametrize("fused", [False, True])
def test_three_steps_are_those_of_the_equations(fused):
    """AdamW, the rate, clipping and the average, written out for one number."""
    recipe = Recipe(3, 1, learning_rate=0.1, weight_decay=0.5, ema_decay=0.15, fused=fused)
    gradients = [0.5, -4.0, 0.25]
    model = nn.Linear(1, 1, bias=False).double()
    theta = average = model.weight.item()
    m = v = 0.0
    for n, gradient in enumerate(np.clip(gradients, -1, 1)):  # of one number, the norm is |g|
        rate = 0.1 * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * n / 3)))
        m, v = 0.9 * m + 0.1 * gradient, 0.99 * v + 0.01 * gradient**2
        hat_m, hat_v = m / (1 - 0.9 ** (n + 1)), v / (1 - 0.99 ** (n + 1))
        theta += -rate * 0.5 * theta - rate * hat_m / (np.sqrt(hat_v) + 1e-8)
        d = min(0.15, (1 + n) / (10 + n))
        average = d * average + (1 - d) * theta

    run = Run(model, lambda model, x, _: (model.weight * gradients[run.steps_done]).sum(),
              (torch.zeros(1, 1),), recipe, seed=0)  # fmt: skip
    list(run.walk())
    assert model.weight.item() == pytest.approx(theta, rel=1e-6)
    run.finish()
    assert model.weight.item() == pytest.approx(average, rel=1e-6)


def test_a_run_is_fused_and_a_notebooks_is_not(monkeypatch):
    """Numbers that were once printed stay."""
    assert Recipe(1, 1, learning_rate=1.0).fused
    seen = []

    def spy(model, loss, data, recipe, seed):
        seen.append(recipe.fused)
        return Run(model, loss, data, recipe, seed)

    monkeypatch.setitem(train.__globals__, "Run", spy)
    fit(steps=1)
    assert seen == [False]


def test_the_rate_rises_for_a_tenth_of_the_steps_and_ends_near_one_percent():
    recipe = Recipe(steps=1000, batch_size=1, learning_rate=2.0)
    rates = [recipe.rate(n) for n in range(1000)]
    assert rates[0] == pytest.approx(0.02) and np.argmax(rates) == 99
    assert rates[50] == pytest.approx(2 * 0.51 * (0.01 + 0.99 * 0.5 * (1 + np.cos(0.05 * np.pi))))
    assert rates[500] == pytest.approx(2 * (0.01 + 0.99 / 2))
    assert rates[999] == pytest.approx(0.02, rel=1e-3)


def test_silent_unless_asked(capfd):
    fit(steps=3)
    assert capfd.readouterr() == ("", "")
    noise_run().complete()
    list(noise_run().walk())
    assert capfd.readouterr() == ("", "")
    _, losses = fit(steps=60, progress=True)
    shown = capfd.readouterr().err
    assert "60/60" in shown
    # of the last fifty steps, at every fiftieth
    assert re.findall(r"loss=([\w.]+)", shown)[-1] == f"{losses[:50].mean():.4f}"


def test_a_recipe_does_not_change_under_its_run():
    with pytest.raises(FrozenInstanceError):
        RECIPE.steps = 1


@pytest.fixture
def second_of_two(monkeypatch):
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "get_rank", lambda: 1)


def seeded():
    return torch.Generator().manual_seed(0)


def test_a_process_keeps_its_share_of_draws_from_a_generator_alone(second_of_two):
    whole, order = torch.rand(8, 3, generator=seeded()), torch.randperm(4, generator=seeded())
    torch.manual_seed(0)
    own = torch.rand(4)
    with _Share(4):
        assert torch.equal(torch.rand(4, 3, generator=seeded()), whole[4:])
        assert torch.equal(torch.randperm(4, generator=seeded()), order)
        torch.manual_seed(0)
        assert torch.equal(torch.rand(4), own)


DRAWS = {
    "numbers": lambda rows: torch.randn(rows, 2, 3, generator=seeded()),
    "shape": lambda rows: torch.rand((rows, 2), generator=seeded()),
    "size": lambda rows: torch.randn(size=(rows, 2), generator=seeded()),
    "one number": lambda rows: torch.rand(rows, generator=seeded()),
    "limit": lambda rows: torch.randint(9, (rows,), generator=seeded()),
    "limits": lambda rows: torch.randint(3, 9, (rows, 2), generator=seeded()),
    "limits by name": lambda rows: torch.randint(low=3, high=9, size=(rows, 2), generator=seeded()),
    "shift": lambda rows: shift_images(torch.arange(24.0).view(6, 1, 2, 2)[-rows:], 1, seeded()),
}


@pytest.mark.parametrize("name", DRAWS)
def test_every_way_to_draw_is_shared_out_also_for_a_batch_of_two(second_of_two, name):
    whole = DRAWS[name](4)
    with _Share(2):
        assert torch.equal(DRAWS[name](2), whole[2:])


@pytest.mark.parametrize("shape", [(1, 2, 3), (3, 2), (), (4,)])
def test_a_draw_without_the_batch_in_front_gets_one_sentence(second_of_two, shape):
    with _Share(2):
        with pytest.raises(
            ValueError, match="train: loss draws numbers of shape .*, expected the 2"
        ):
            torch.randn(shape, generator=seeded())
        with pytest.raises(
            ValueError, match="train: loss draws numbers of shape .*, expected the 2"
        ):
            torch.randn(size=shape, generator=seeded())


def test_a_snapshot_is_what_finish_would_leave_and_changes_nothing():
    run = noise_run()
    for _ in range(5):
        run.step()
    taken = run.snapshot()
    assert not taken.training and run.model.training
    run.finish()
    assert_same(taken.state_dict(), run.model.state_dict())


def test_a_run_is_in_float32_on_its_device():
    """An Apple GPU has no float64: what is made so is made of what came to the CPU before."""

    class Watch(TorchFunctionMode):
        def __init__(self):
            super().__init__()
            self.calls = []

        def __torch_function__(self, func, types, args=(), kwargs=None):
            answer = func(*args, **(kwargs or {}))
            self.calls.append(getattr(func, "__name__", ""))
            if isinstance(answer, torch.Tensor) and answer.dtype == torch.float64:
                assert "cpu" in self.calls[-3:-1], self.calls[-3:]
            return answer

    run = noise_run(replace(RECIPE, steps=2))
    with Watch() as watch:
        assert run.complete().dtype == np.float64
    assert "double" in watch.calls


# --- saved and resumed --------------------------------------------------------------------


def noise_loss(model, x, y, generator):
    """Draws of every kind: shifts, times, noise, and the label dropout of the model."""
    x = shift_images(x, 1, generator)
    t = torch.randint(0, 1000, (len(x),), generator=generator, device=x.device)
    noise = torch.randn(x.shape, generator=generator, device=x.device)
    u = torch.rand(len(x), generator=generator, device=x.device)[:, None, None, None]
    return ((model((1 - u) * x + u * noise, t, y, generator) - noise) ** 2).mean()


def small_dit(dtype=torch.float32):
    torch.manual_seed(0)
    size = {"input_size": 4, "patch_size": 2, "in_channels": 2, "num_classes": 3}
    config = DiTConfig(**size, hidden_size=16, depth=1, num_heads=2, learn_sigma=False)
    return DiT(config).to(dtype)


def small_data(dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(50, 2, 4, 4, generator=generator, dtype=dtype), torch.arange(50) % 3


def noise_run(recipe=RECIPE, dtype=torch.float32):
    return Run(small_dit(dtype), noise_loss, small_data(dtype), recipe, seed=3)


def assert_same(one, other):
    assert one.keys() == other.keys()
    for key, value in one.items():
        assert torch.equal(value, other[key]), key


@pytest.mark.parametrize("stop", [1, 2, 7, 19, 20])
def test_a_resumed_run_goes_on_bit_for_bit(tmp_path, stop):
    """Two batches a pass, so that runs are cut inside a pass and between two."""
    whole = noise_run()
    expected = (list(whole.walk()), whole.finish())
    run = noise_run()
    for _ in range(stop):
        run.step()
    run.save(tmp_path / "run.pt")
    torch.manual_seed(99)
    again = Run.resume(tmp_path / "run.pt", small_dit(), noise_loss, small_data())
    assert list(again.walk()) == expected[0][stop:]
    np.testing.assert_array_equal(again.finish(), expected[1])
    assert_same(again.model.state_dict(), whole.model.state_dict())


def test_saving_changes_nothing_in_the_run(tmp_path):
    whole, run = noise_run(), noise_run()
    for n in run.walk():
        run.save(tmp_path / f"{n % 2}.pt")
    list(whole.walk())
    assert_same(whole.model.state_dict(), run.model.state_dict())


@pytest.fixture
def saved(tmp_path):
    run = noise_run()
    run.step()
    run.save(tmp_path / "run.pt")
    return run, tmp_path / "run.pt"


def test_a_full_disk_leaves_the_old_state(saved, monkeypatch):
    run, path = saved
    before = path.read_bytes()
    run.step()

    def no_space(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space left"):
        run.save(path)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_device_that_is_full_is_an_error_and_no_file(saved, monkeypatch):
    run, path = saved
    before = path.read_bytes()
    (path.parent / f".{path.name}.partial").symlink_to("/dev/full")
    run.step()
    with pytest.raises(OSError, match="No space left"):
        run.save(path)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


def test_a_loss_that_is_not_finite_stops_and_leaves_the_last_good_state(saved):
    run, path = saved
    before = path.read_bytes()
    run.loss = lambda *_: run.model.final_layer.linear.bias.sum() * torch.nan
    with pytest.raises(ValueError, match="train: loss is nan at step 1, expected a finite number"):
        run.step()
    run.steps_done += 1  # as on an accelerator, where not every step is looked at
    with pytest.raises(ValueError, match="train: loss is nan at step 1"):
        run.save(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("spoilt", ["model", "average"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -1e25])
def test_weights_of_no_use_behind_a_finite_loss_replace_nothing(saved, spoilt, value):
    run, path = saved
    before = path.read_bytes()
    run.step()
    with torch.no_grad():
        weights = run.model if spoilt == "model" else run.average.module
        weights.x_embedder.proj.bias[1] = value
    with pytest.raises(ValueError, match="train: x_embedder.proj.bias is not finite or too large"):
        run.save(path)
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match="after step 1, expected weights of use; try a learning"):
        run.finish()
    assert run.model.training


def test_a_gradient_that_is_nan_in_the_last_step_leaves_no_finished_model():
    with pytest.raises(ValueError, match="train: weight is not finite or too large after step 0"):
        fit(loss=lambda model, *_: (0 * model.weight).abs().sqrt().sum(), steps=1)


def other_width():
    return DiT(DiTConfig(4, 2, 2, hidden_size=8, depth=1, num_heads=2, num_classes=3))


@pytest.mark.parametrize(
    ("model", "data", "sentence"),
    [
        (other_width, small_data, "Run.resume: .* has shape .* in run.pt, expected"),
        (lambda: nn.Linear(2, 2), small_data, "Run.resume: run.pt has no weight"),
        (small_dit, lambda: (X, Y), "Run.resume: run.pt was saved by a run on other data"),
    ],
)
def test_another_model_or_other_data_are_refused(saved, model, data, sentence):
    with pytest.raises(ValueError, match=sentence):
        Run.resume(saved[1], model(), noise_loss, data())


def test_a_state_holds_what_is_needed_and_a_state_without_it_is_no_run(saved):
    state = load_state(saved[1])
    assert tuple(state) == Run.SAVED
    save_state(saved[1], {"steps_done": 3})
    with pytest.raises(ValueError, match="Run.resume: run.pt has no recipe, expected a file of"):
        Run.resume(saved[1], small_dit(), noise_loss, small_data())


@pytest.mark.parametrize("damage", [lambda content: content[:2000], lambda content: b"no state"])
def test_a_damaged_state_gets_one_sentence(saved, damage):
    saved[1].write_bytes(damage(saved[1].read_bytes()))
    with pytest.raises(ValueError, match="load_state: run.pt is damaged or no state of a run"):
        Run.resume(saved[1], small_dit(), noise_loss, small_data())


def test_a_missing_state_gets_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="load_state: there is no file"):
        Run.resume(tmp_path / "run.pt", small_dit(), noise_loss, small_data())


# --- killed, and in two processes -----------------------------------------------------------

FORK = multiprocessing.get_context("fork")  # with one thread, and much sooner than a new Python


def process_of(target, *arguments):
    process = FORK.Process(target=target, args=arguments)
    process.start()
    return process


def new_or_resumed(path, recipe, dtype=torch.float32):
    if path.exists():
        return Run.resume(path, small_dit(dtype), noise_loss, small_data(dtype))
    return noise_run(recipe, dtype)


def work(path, recipe, told=None, dtype=torch.float32):
    """Go on to the end; save after every step and tell which step it was."""
    run = new_or_resumed(path, recipe, dtype)
    for n in run.walk():
        run.save(path)
        if told:
            told.send(n)


def work_together(path, recipe, rank, told):
    """The same as one of two processes."""
    dist.init_process_group("gloo", f"file://{path}.store", rank=rank, world_size=2)
    work(path, recipe, told, torch.float64)
    dist.destroy_process_group()


def last_told(pipe, last):
    while True:
        try:
            last = pipe.recv()
        except EOFError:
            return last


def test_twenty_kills_damage_no_file_and_lose_at_most_the_last_step(tmp_path):
    path, recipe = tmp_path / "run.pt", replace(RECIPE, steps=150)
    chance = random.Random(0)
    for _ in range(20):
        hear, told = FORK.Pipe(duplex=False)
        process = process_of(work, path, recipe, told)
        told.close()
        for _ in range(chance.randrange(1, 4)):
            last = hear.recv()
        time.sleep(chance.uniform(0, 0.02))  # to be anywhere in a step or in a write
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert load_state(path)["steps_done"] - last_told(hear, last) in (0, 1)
    assert 20 <= load_state(path)["steps_done"] < 150
    whole = noise_run(recipe)
    list(whole.walk())
    again = new_or_resumed(path, recipe)
    list(again.walk())
    assert_same(again.model.state_dict(), whole.model.state_dict())
    assert torch.equal(again.losses, whole.losses)


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_kill_in_the_middle_of_a_write_leaves_the_old_file(saved, monkeypatch, moment):
    run, path = saved
    before = path.read_bytes()
    run.step()
    monkeypatch.setattr(os, moment, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    process = process_of(run.save, path)
    process.join()
    assert process.exitcode == -signal.SIGKILL and path.read_bytes() == before
    monkeypatch.undo()
    run.save(path)  # what the kill left behind is in nobody's way
    assert list(path.parent.iterdir()) == [path] and load_state(path)["steps_done"] == 2


def test_two_processes_make_the_weights_of_one_also_when_killed_and_resumed(tmp_path):
    """In float64: Adam makes much of the rounding of a zero gradient, as of a key's bias."""
    whole = noise_run(dtype=torch.float64)
    list(whole.walk())
    path = tmp_path / "run.pt"
    for last in (8, RECIPE.steps):
        hear, told = FORK.Pipe(duplex=False)
        (tmp_path / "run.pt.store").unlink(missing_ok=True)
        both = [
            process_of(work_together, path, RECIPE, rank, [told, None][rank]) for rank in (0, 1)
        ]
        told.close()
        while hear.recv() < last:
            pass
        if last < RECIPE.steps:
            for process in both:
                process.kill()
        for process in both:
            process.join()
    assert [process.exitcode for process in both] == [0, 0]
    state = load_state(path)
    assert state["steps_done"] == RECIPE.steps
    torch.testing.assert_close(state["losses"], whole.losses, rtol=1e-5, atol=1e-6)
    for key, value in whole.model.state_dict().items():
        torch.testing.assert_close(state["model"][key], value, rtol=0, atol=1e-10)
        torch.testing.assert_close(
            state["average"][f"module.{key}"],
            whole.average.module.state_dict()[key],
            rtol=0,
            atol=1e-10,
        )


# --- refusals -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: fit(data=(X, Y[:5])), r"train: data has lengths \[64, 5\]"),
        (lambda: fit(data=(X[:0], Y[:0])), r"train: data has lengths \[0, 0\]"),
        (lambda: fit(data=X), "train: data is a Tensor, expected a tuple"),
        (lambda: fit(data=()), "train: data is a tuple, expected a tuple of tensors"),
        (lambda: fit(steps=0), "Recipe: steps is 0"),
        (lambda: fit(batch_size=2.5), "Recipe: batch_size is 2.5"),
        (lambda: fit(batch_size=65), "train: batch_size is 65, expected at most the 64 rows"),
        (lambda: fit(learning_rate=0.0), "Recipe: learning_rate is 0.0"),
        (lambda: fit(weight_decay=-1.0), "Recipe: weight_decay is -1.0"),
        (lambda: fit(ema_decay=1.0), "Recipe: ema_decay is 1.0"),
        (lambda: fit(ema_decay=0.0), "Recipe: ema_decay is 0.0"),
        (lambda: fit(data=(X * torch.nan, Y)), "train: loss is nan at step 0"),
    ],
)
def test_wrong_input_gets_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
