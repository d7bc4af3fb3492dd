"""The training figure: what Python says of a run before its first step, and the run on the page."""

import json
import re
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
import traitlets
from playwright.sync_api import expect

from dit_lesson.checkpoints import load_model
from dit_lesson.diffusion import Straight, denoising_loss
from dit_lesson.figures.assets import unpacked
from dit_lesson.figures.sampling import SamplingFigure
from dit_lesson.figures.training import TrainingFigure
from dit_lesson.models import DESIGNS, DiT
from tests.browser import TWO_FRAMES, at_rest, live_figures, seen, tables

CHAPTER = "13-training"
# Whether the corner of each of the ten digits of a sheet is light, as behind a tick
MARKS = """(canvas) => {
  const copy = document.createElement("canvas");
  [copy.width, copy.height] = [canvas.width, canvas.height];
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  return Array.from({ length: 10 }, (_, i) => {
    const corner = 12 * devicePixelRatio;
    const x = (i % 5 + 1) * canvas.width / 5 - corner;
    const y = (Math.floor(i / 5) + 1) * canvas.height / 2 - corner;
    return context.getImageData(x, y, 1, 1).data[0] > 128;
  });
}"""


@pytest.mark.parametrize("conditioning", DESIGNS)
def test_what_is_known_before_the_first_step(conditioning):
    figure = TrainingFigure(conditioning=conditioning)
    now, model = figure.stages(), DiT(figure.config())
    assert now["parameters"] == sum(p.numel() for p in model.parameters())
    data = unpacked(figure.assets()["data"])
    x0, y = data["latents"].float(), data["labels"].long()
    noise = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        loss = denoising_loss(
            lambda x, t: model(x, t, y),
            x0,
            torch.full((len(y),), 0.5),
            noise,
            Straight(),
            "velocity",
        )
    assert loss.item() == pytest.approx(now["first_loss"], rel=0.01)


def test_summary():
    assert "254,792 parameters" in TrainingFigure().summary()
    assert "loss of 1.00" in TrainingFigure(predicts="noise").summary()


def test_weights_go_to_the_page_and_come_back_unchanged():
    model = DiT(replace(TrainingFigure().config(), conditioning="adaln", hidden_size=32)).double()
    figure = TrainingFigure(initial=model)
    assert (figure.conditioning, figure.hidden_size) == ("adaln", 32)
    assert "begins at weights that were given" in figure.summary()
    generator = torch.get_rng_state()
    figure.set_state({"trained": figure.get_state("initial")["initial"]})
    assert torch.equal(torch.get_rng_state(), generator)
    for name, value in figure.trained.state_dict().items():
        assert torch.equal(value, model.state_dict()[name].float())


def test_a_run_begins_at_the_weights_as_they_were_when_they_were_given():
    model = DiT(TrainingFigure().config())
    figure = TrainingFigure(initial=model)
    told = []
    figure.observe(told.append, "initial")
    with torch.no_grad():
        model.final_layer.linear.weight.fill_(1)
    assert not figure.initial.final_layer.linear.weight.any()
    figure.initial = model
    assert len(told) == 1 and figure.initial.final_layer.linear.weight.all()
    figure.modulation = "random"  # another start
    assert "first answer, zero" in figure.summary()


def test_no_weights_enter_a_notebook():
    figure = TrainingFigure(initial=DiT(TrainingFigure().config()))
    page = figure._repr_mimebundle_()[0]["text/html"]
    state = json.loads(re.search(r'<script type="application/json">(.*)</script>', page)[1])
    assert state == {**TrainingFigure().state(), "given": state["given"]}
    assert len(json.dumps(state["given"])) < 2000


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"depth": 2}, "TrainingFigure: initial's depth is 2, expected 3"),
        ({"num_heads": 8}, "TrainingFigure: initial's num_heads is 8, expected 4"),
        ({"hidden_size": 48}, "TrainingFigure: initial's hidden_size is 48, expected 64 or 32"),
    ],
)
def test_weights_of_another_shape_get_a_sentence(changes, sentence):
    figure = TrainingFigure()
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        figure.initial = DiT(replace(figure.config(), **changes))
    assert figure.initial is None
    with pytest.raises(traitlets.TraitError, match="initial"):
        TrainingFigure(initial={"blocks": 3})


@pytest.fixture
def training(open_page):
    (figure,) = live_figures(open_page(CHAPTER))
    expect(figure).to_contain_text("the DiT of this book")
    at_rest(figure)
    return figure


def press(figure, name):
    figure.get_by_role("button", name=name, exact=True).click()


def set_off(figure):
    """A run under way: its first steps are done."""
    press(figure, "train it here")
    curve = figure.locator(".dit-title", has_text="of 1000")
    expect(curve).to_have_text(re.compile("step [1-9]"), timeout=60_000)


def losses(figure):
    """The losses in the table, by run."""
    return {name: loss for name, (_, loss) in tables(figure)[0].items()}


@pytest.mark.needs_chromium
def test_fifty_steps_on_the_page_lower_the_loss_and_another_seed_has_another_curve(training):
    press(training, "one step")
    at_rest(training)
    first = losses(training)["this run"]
    assert first == pytest.approx(TrainingFigure().stages()["first_loss"], rel=0.1)
    press(training, "50 steps")
    at_rest(training)
    expect(training).to_contain_text("step 51 of 1000")
    after = losses(training)["this run"]
    assert after < 0.8 * first
    press(training, "another seed")
    at_rest(training)
    both = losses(training)
    assert both["the run before"] == after and both["this run"] != after
    assert both["this run"] == pytest.approx(after, rel=0.2)
    expect(training.get_by_role("status").last).to_contain_text("in the run before")


@pytest.mark.needs_chromium
def test_at_rest_it_says_how_many_digits_the_judge_reads_as_asked(training):
    """In its sentence, and by a mark on each digit; while it trains, only by the marks."""
    said = training.get_by_role("status").last

    def right(sheet):
        """By the table; the marks, light where it is right, are the same."""
        (sheets,) = (rows for rows in tables(training) if "0" in rows)
        read = [both[sheet] for both in sheets.values()]
        right = [digit == asked for asked, digit in enumerate(read)]
        assert training.locator("canvas.dit-ten").nth(sheet).evaluate(MARKS) == right
        return sum(right)

    assert right(1) >= 9  # the DiT of this book
    at_first = right(0)
    expect(said).to_contain_text(f"The judge reads {at_first} of the ten digits as asked.")
    set_off(training)
    expect(said).to_have_text("The model is in training.")
    expect(training.locator(".dit-title", has_text="of 1000")).to_have_text(
        re.compile(r"step [2-9]\d\d"), timeout=60_000
    )
    press(training, "pause")
    at_rest(training)
    after = right(0)
    assert after > at_first
    expect(said).to_contain_text(f"The judge reads {after} of the ten digits as asked.")


@pytest.mark.needs_chromium
def test_the_gates_move_before_the_shifts_and_scales_of_the_blocks(training):
    def sizes():
        at_rest(training)
        rows = tables(training)[2]
        kinds = {kind: [] for kind in ("shift", "scale", "gate")}
        for name, (size,) in rows.items():
            kind = name.split(", ")[1]
            if name.startswith("blocks"):
                kinds[kind].append(size)
        return [np.mean(kinds[kind]) for kind in kinds]

    for _ in range(3):
        press(training, "one step")
    shift, scale, gate = sizes()
    assert shift == scale == 0 < gate
    press(training, "one step")
    shift, scale, gate = sizes()
    assert 0 < shift < gate and 0 < scale < gate


@pytest.mark.needs_chromium
def test_a_run_pauses_goes_on_and_begins_anew(training):
    set_off(training)
    press(training, "pause")
    at_rest(training)
    paused = training.locator(".dit-title", has_text="of 1000").inner_text()
    training.page.evaluate(TWO_FRAMES)
    assert training.locator(".dit-title", has_text="of 1000").inner_text() == paused
    # the step that the page asks for is the one that was reached
    step = int(re.search(r"step (\d+)", paused)[1])
    press(training, "one step")
    at_rest(training)
    expect(training).to_contain_text(f"step {step + 1} of 1000")
    press(training, "go on")
    expect(training.get_by_role("button", name="pause")).to_be_visible()
    expect(training.get_by_role("link", name="save the weights")).to_be_hidden()
    press(training, "reset")
    at_rest(training)
    expect(training).to_contain_text("step 0 of 1000")
    expect(training).to_contain_text("the DiT of this book, 1,400 steps")


@pytest.mark.needs_chromium
def test_a_page_in_the_background_rests(training):
    set_off(training)
    training.page.evaluate(
        """() => {
          Object.defineProperty(document, "hidden", { value: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    at_rest(training)
    expect(training.get_by_role("button", name="go on")).to_be_visible()


@pytest.mark.needs_chromium
def test_trained_weights_paint_are_saved_and_are_kept_for_the_figure_of_sampling(
    training, tmp_path
):
    press(training, "50 steps")
    at_rest(training)
    before = seen(training)
    training.get_by_role("slider", name="guidance").press("End")
    at_rest(training)
    guided = seen(training)
    press(training, "other noise")
    at_rest(training)
    assert len({before, guided, seen(training)}) == 3
    with training.page.expect_download() as download:
        training.get_by_role("link", name="save the weights").click()
    download.value.save_as(tmp_path / "dit.safetensors")

    training.page.set_viewport_size({"width": 375, "height": 667})
    keep = training.get_by_role("button", name="keep for chapters 12 and 14")
    assert keep.evaluate("e => e.scrollWidth <= e.clientWidth")  # its words stay inside
    keep.click()
    expect(training.get_by_role("button", name="kept for chapters 12 and 14")).to_be_visible()

    page = training.page
    page.goto(page.url.replace(CHAPTER, "14-sampling"))
    (figure,) = live_figures(page)
    figure.get_by_label("weights", exact=True).select_option('"yours"')
    said = figure.get_by_role("status").last
    expect(said).to_contain_text("by your own weights")

    model = load_model(tmp_path / "dit.safetensors")
    assert model.config == TrainingFigure().config()
    python = SamplingFigure(own=model, weights="yours")
    assert "by your own weights" in python.summary()
    expected = python.stages()["painted"]
    np.testing.assert_allclose(list(tables(figure)[1].values()), expected, atol=1e-3)


@contextmanager
def trained_a_step(browser, site, script, sentence):
    """The figure in a browser that lacks what a script takes from it, after it said so."""
    page = browser.new_page(reduced_motion="reduce")
    page.add_init_script(script)
    page.goto(f"{site}notebooks/{CHAPTER}.html")
    (figure,) = live_figures(page)
    expect(figure.get_by_role("status").last).to_contain_text(sentence, timeout=60_000)
    press(figure, "one step")
    at_rest(figure)
    assert losses(figure)["this run"] == pytest.approx(1.95, abs=0.2)
    yield figure
    page.close()


@pytest.mark.needs_chromium
def test_without_workers_and_webassembly_it_says_so_and_trains(browser, site):
    script = "delete globalThis.Worker; delete globalThis.WebAssembly"
    sentence = "This browser has no WebAssembly"
    with trained_a_step(browser, site, script, sentence) as figure:
        press(figure, "go on")
        said = figure.get_by_role("status").last
        expect(said).to_contain_text("one of width 32 learns here", timeout=60_000)


@pytest.mark.needs_chromium
def test_a_worker_that_fails_only_later_is_replaced_by_the_page(browser, site):
    """As under a policy that forbids workers."""
    script = """globalThis.Worker = class {
          constructor() { setTimeout(() => this.onerror({}), 50); }
          postMessage() {}
          terminate() {}
        };"""
    with trained_a_step(browser, site, script, "This browser has no workers"):
        pass


@pytest.mark.needs_chromium
def test_four_runs_race_and_a_reset_ends_it(training):
    press(training, "50 steps")
    at_rest(training)
    for design in ("adaln", "cross-attention", "in-context"):
        training.get_by_label("design").select_option(f'"{design}"')
        at_rest(training)
    ran = losses(training)
    assert list(ran) == ["this run", "the run before", "2 runs before", "3 runs before"]
    assert len(set(ran.values())) == 4
    expect(training).to_contain_text("the run before, cross-attention: step 50")
    press(training, "other noise")
    at_rest(training)
    expect(training).to_contain_text("the run before, cross-attention: step 50, noise 0")
    press(training, "reset")
    at_rest(training)
    expect(training.locator("tbody tr")).to_have_count(10)  # what the judge reads, no runs
    expect(training).to_contain_text("the DiT of this book, 1,400 steps")


@pytest.mark.needs_chromium
def test_weights_of_another_design_are_not_kept(training):
    training.get_by_role("button", name="cross-attention").click()
    press(training, "one step")
    at_rest(training)
    expect(training.get_by_role("link", name="save the weights")).to_be_visible()
    expect(training.get_by_role("button", name="keep for")).to_be_hidden()
