"""The training worker in Chromium, on a page from file:// with the network off."""

import base64

import pytest
import torch
from playwright.sync_api import Page
from safetensors.torch import load

from dit_lesson.evaluation import accuracy, judge
from dit_lesson.figures.linking import link
from dit_lesson.figures.training_assets import DIT, packed_dit, packed_judge
from tests.javascript import call
from tests.test_engine import ENGINE, error, model_of
from tools.engine_page import CORE, worker_text, write_page

pytestmark = pytest.mark.needs_chromium
RECIPE = {"steps": 50, "batchSize": 16, "learningRate": 3e-3, "emaDecay": 0.995}
SMALL = {"config": {"hiddenSize": 32, "depth": 2}, "recipe": RECIPE}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    return write_page(tmp_path_factory.mktemp("engine")).as_uri()


@pytest.fixture
def page(address, browser):
    opened = browser.new_page()
    asked = []
    opened.context.set_offline(True)
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto(address)
    yield opened
    opened.close()
    assert [url for url in asked if not url.startswith(("file:", "blob:", "data:"))] == []


def open_run(page: Page, **settings):
    return page.evaluate("(settings) => open(settings)", SMALL | settings)


def losses(page: Page) -> list[float]:
    return page.evaluate("heard.filter((m) => m.type === 'progress').flatMap((m) => m.losses)")


def test_a_run_ends_after_its_steps_and_tells_every_loss_and_how_the_gates_opened(page):
    ready = open_run(page, seed=3)
    assert ready["plain"] is False
    assert [name["kind"] for name in ready["names"][:3]] == ["shift", "scale", "gate"]
    done = page.evaluate("ask({ type: 'start' }, 'done')")
    told = losses(page)
    assert done["step"] == len(told) == 50
    times = page.evaluate("heard.flatMap((m) => m.times ?? [])")
    assert len(times) == 50 and min(times) > 0
    assert sum(told[-10:]) < 0.9 * sum(told[:10])
    first, last = page.evaluate(
        "(({ length }, all) => [all[0].steering, all[length - 1].steering])"
        "(...Array(2).fill(heard.filter((m) => m.type === 'progress')))"
    )
    assert len(first) == len(last) == len(ready["names"]) == 14
    assert not any(first)  # at the first step all modulations are zero
    assert min(last) > 0.01


def test_the_worker_has_the_losses_of_the_same_run_elsewhere_and_without_webassembly(page):
    recipe = SMALL["recipe"] | {"steps": 4}
    runs = []
    for plain in (False, True):
        open_run(page, seed=1, recipe=recipe, plain=plain)
        page.evaluate("heard.length = 0")
        page.evaluate("ask({ type: 'start' }, 'done')")
        runs.append(losses(page))
    assert runs[0] == runs[1]
    data = page.evaluate("DATA")
    (tensors,) = call(ENGINE, [("unpacked", data)])
    given = {"latents": tensors["latents"]["data"], "labels": tensors["labels"]["data"]}
    (elsewhere,) = call(ENGINE, [("seededRun", "wasm", SMALL["config"], given, recipe, 1)])
    # Math.exp, log and cos may differ in the last digit from one browser to the next
    assert elsewhere == pytest.approx(runs[0], rel=1e-5)


def test_without_a_worker_it_works_on_the_page(page, address):
    open_run(page)
    page.evaluate("ask({ type: 'start' }, 'done')")
    in_worker = losses(page)
    page.goto("about:blank")
    page.goto(f"{address}#page")
    open_run(page)
    page.evaluate("ask({ type: 'start' }, 'done')")
    assert losses(page) == in_worker


def test_a_pause_is_heard_at_once_and_the_run_goes_on_where_it_was(page):
    open_run(page, recipe=SMALL["recipe"] | {"steps": 100_000})
    page.evaluate("ask({ type: 'start' }, 'progress')")
    paused = page.evaluate("ask({ type: 'pause' }, 'paused')")
    # what came before the answer is all there is: nothing runs on behind it
    assert paused["step"] == len(losses(page))
    one = paused["step"] + 1
    assert page.evaluate(f"ask({{ type: 'start', until: {one} }}, 'done')")["step"] == one
    went_on = page.evaluate("ask({ type: 'start' }, 'progress')")
    assert went_on["step"] > one
    page.evaluate("ask({ type: 'pause' }, 'paused')")


def test_it_draws_while_it_trains_and_shows_every_step(page):
    open_run(page, recipe=SMALL["recipe"] | {"steps": 100_000})
    page.evaluate("ask({ type: 'start' }, 'progress')")
    sample = "{ type: 'sample', labels: [0, 1, 2], seed: 4, options: { steps: 5 }"
    last = page.evaluate(f"ask({sample} }}, 'sampled')")
    assert (last["u"], len(last["pictures"])) == (0, 3 * 1024)
    assert page.evaluate("ask({ type: 'pause' }, 'paused')")["step"] > 1
    page.evaluate(f"ask({sample}, trace: true }}, 'sampled')")
    page.evaluate("ask({ type: 'pause' }, 'paused')")
    times = page.evaluate("heard.filter((m) => m.type === 'sampled').map((m) => m.u)")
    assert times == pytest.approx([0, 0.8, 0.6, 0.4, 0.2, 0])


def test_the_judge_reads_what_it_draws(page):
    files = {"judge": packed_judge(), "weights": packed_dit(DIT)}
    page.evaluate(
        "({ judge, weights }) => open({ judge: bytes(judge), weights: bytes(weights) })",
        {name: base64.b64encode(file).decode() for name, file in files.items()},
    )
    sample = "{ type: 'sample', labels: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], seed: 4, options: {} }"
    drawn = page.evaluate(
        f"ask({sample}, 'sampled').then((m) => ({{ ...m, pictures: [...m.pictures] }}))"
    )
    images = torch.tensor(drawn["pictures"]).reshape(10, 1, 32, 32)
    assert drawn["read"] == judge()(images).argmax(dim=1).tolist()
    assert accuracy(images, torch.arange(10)) >= 0.9


def test_saved_weights_load_in_torch(page):
    open_run(page, recipe=SMALL["recipe"] | {"steps": 2})
    page.evaluate("ask({ type: 'start' }, 'done')")
    content = bytes(page.evaluate("ask({ type: 'save' }, 'weights').then((m) => [...m.bytes])"))
    model, _ = model_of()
    model.load_state_dict(load(content))
    assert model.final_layer.linear.weight.abs().max() > 0
    assert error(load(content)["pos_embed"].flatten().numpy(), model.pos_embed) < 1e-6


def test_a_wrong_message_gets_a_sentence_and_the_worker_lives_on(page):
    refused = "ask({ type: 'open', data: bytes(DATA), autoencoder: bytes(DECODER), "
    refused += "config: { conditioning: 'film' } }, 'ready').catch((error) => error.message)"
    assert page.evaluate(refused).startswith("DiT: conditioning is film, expected one of")
    assert open_run(page)["parameters"] > 0


def test_the_worker_is_one_script_without_imports():
    text = worker_text()
    assert "import " not in [line[:7] for line in text.splitlines()]
    assert text == link((CORE / "worker.mjs").read_text(encoding="utf-8"), CORE)
