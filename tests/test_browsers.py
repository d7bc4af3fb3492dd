"""Firefox and WebKit beside Chromium: every figure alive, the same sentences, the same numbers.

What a figure promises is tested in Chromium alone; here one control of each is moved.
"""

import re

import pytest

from tests.browser import BOOK, visit
from tools import browsers

CHAPTERS = sorted(path.stem for path in (BOOK / "notebooks").glob("*.html"))
engines = pytest.mark.parametrize(
    "engine",
    [
        pytest.param(
            name, marks=[getattr(pytest.mark, f"needs_{name}"), pytest.mark.needs_chromium]
        )
        for name in ("firefox", "webkit")
    ],
)

HELPERS = """
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  const frames = () =>
    new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const until = async (holds) => {
    for (let i = 0; i < 600 && !holds(); i += 1) await pause(100);
    if (!holds()) throw new Error(`waited in vain for ${holds}`);
  };
  const status = (figure) => figure.querySelector(".dit-waiting [role=status]");
  const rest = async (figure) => {
    await until(() => /^(?!Loading|The model is being)\\S/.test(status(figure).textContent));
    await frames();
    await until(() => figure.ariaBusy !== "true");
    await frames();
    await pause(200); // a sentence comes a while after its numbers
  };
  const press = (figure, name) =>
    [...figure.querySelectorAll("button")].find((b) => b.textContent === name).click();
  const numbers = (figure) => [...figure.querySelectorAll("data")].map((d) => Number(d.value));
"""
# What every figure of the page says and has in its tables, before and after a step of its first
# slider, and whether anything is drawn
LOOK = f"""async () => {{
  {HELPERS}
  const seen = [];
  await until(() => document.querySelector(".dit-live"));
  for (const figure of document.querySelectorAll(".dit-live")) {{
    figure.scrollIntoView();
    figure.querySelector(".dit-numbers summary")?.click();
    await rest(figure);
    const look = () =>
      seen.push({{ said: status(figure).textContent, numbers: numbers(figure) }});
    look();
    const slider = [...figure.querySelectorAll("input[type=range]")].find((input) =>
      input.checkVisibility());
    if (slider) {{
      const number = Number(slider.value) + Number(slider.step);
      slider.value = number <= Number(slider.max) ? number : number - 2 * Number(slider.step);
      slider.dispatchEvent(new Event("input", {{ bubbles: true }}));
      await rest(figure);
      look();
    }}
    for (const canvas of figure.querySelectorAll("canvas")) {{
      const blank = document.createElement("canvas");
      [blank.width, blank.height] = [canvas.width, canvas.height];
      if (canvas.checkVisibility() && canvas.toDataURL() === blank.toDataURL()) {{
        throw new Error(`nothing is drawn in ${{canvas.className}}`);
      }}
    }}
  }}
  return {{ seen, dead: document.querySelectorAll(".dit-figure").length -
    document.querySelectorAll(".dit-live").length }};
}}"""
# The losses of the training figure before and after fifty steps
TRAIN = f"""async () => {{
  {HELPERS}
  await until(() => document.querySelector(".dit-live"));
  const figure = document.querySelector(".dit-live");
  figure.scrollIntoView();
  figure.querySelector(".dit-numbers summary").click();
  await rest(figure);
  const loss = async (button, steps) => {{
    press(figure, button);
    await until(() => figure.textContent.includes(`step ${{steps}} of 1000`));
    await rest(figure);
    return Number(figure.querySelectorAll("tbody data")[1].value);
  }};
  return [await loss("one step", 1), await loss("50 steps", 51)];
}}"""


@pytest.fixture(scope="module")
def driven():
    """An engine by its name, started once."""
    running = {}

    def start(name):
        if name not in running:
            context = getattr(browsers, name)()
            running[name] = context, context.__enter__()
        return running[name][1]

    yield start
    for context, _ in running.values():
        context.__exit__(None, None, None)


@pytest.fixture(scope="module")
def in_chromium(browser):
    """What Chromium answers, each question asked once."""
    answers = {}

    def ask(chapter, function):
        if (chapter, function) not in answers:
            page = visit(browser, address(chapter)).page
            answers[chapter, function] = page.evaluate(function)
            page.context.close()
        return answers[chapter, function]

    return ask


def address(chapter):
    return f"{BOOK.as_uri()}/notebooks/{chapter}.html"


def words(sentence):
    """A sentence without its numbers, which may be rounded to either side."""
    return re.sub(r"\d[\d.,]*", "#", sentence)


@engines
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_figures_say_and_compute_the_same(driven, in_chromium, engine, chapter):
    expected = in_chromium(chapter, LOOK)
    page = driven(engine)
    page.open(address(chapter))
    answer = page.ask(LOOK)
    assert answer["dead"] == expected["dead"] == 0
    assert len(answer["seen"]) == len(expected["seen"]) > 0
    for one, other in zip(answer["seen"], expected["seen"], strict=True):
        assert words(one["said"]) == words(other["said"])
        assert one["numbers"] == pytest.approx(other["numbers"], rel=1e-3, abs=1e-4)


@engines
def test_fifty_steps_of_training_lower_the_loss_alike(driven, in_chromium, engine):
    first, after = in_chromium("13-training", TRAIN)
    page = driven(engine)
    page.open(address("13-training"))
    assert page.ask(TRAIN) == pytest.approx([first, after], rel=1e-3)
    assert after < 0.8 * first
