"""Trains in Chromium as the figure of chapter 13 does, and judges the digits: a result file.

python -m tools.measure_page_training

The page is opened from file://; each run ends with 1,000 digits that the page paints and the judge
reads here.  A run that the result holds already is not made again.
"""

import tempfile
from pathlib import Path
from typing import Any

import torch
from playwright.sync_api import Page, sync_playwright

from dit_lesson.data import digits
from dit_lesson.evaluation import accuracy, frechet_distance, judge_features
from dit_lesson.experiments import Comparison, compare, settings
from dit_lesson.figures.training import BATCH_SIZE, SAMPLING, STEPS, TrainingFigure
from dit_lesson.figures.training_assets import PER_CLASS
from dit_lesson.training import Recipe
from tests.browser import ARGUMENTS
from tests.conftest import CHROMIUM
from tools.engine_page import write_page

MARKS = (50, 100, 200, 400, STEPS)  # where digits are judged
RECIPE = Recipe(
    STEPS, BATCH_SIZE, TrainingFigure.learning_rate.default_value, ema_decay=0.995, fused=False
)


def page_run(page: Page, recipe: Recipe, hidden_size: int, seed: int) -> dict[str, Any]:
    """Losses, the size of the gates, and accuracy and distance at each of the marks."""
    page.evaluate(
        "(settings) => { heard.length = 0; return open(settings); }",
        {
            "config": {"hiddenSize": hidden_size, "depth": 3},
            "recipe": {
                "steps": recipe.steps, "batchSize": recipe.batch_size,
                "learningRate": recipe.learning_rate, "emaDecay": recipe.ema_decay,
            },
            "seed": seed,
        },
    )  # fmt: skip
    real = judge_features(digits("test", 32)[0])
    judged = {}
    for mark in MARKS:
        page.evaluate("(until) => ask({ type: 'start', until }, 'done')", mark)
        count = 1000 if mark == recipe.steps else 100
        images = painted(page, count, seed)
        asked = torch.arange(count) % 10
        judged[mark] = {"accuracy": round(accuracy(images, asked), 3)}
        if count == 1000:
            distance = frechet_distance(judge_features(images), real)
            judged[mark]["distance"] = round(distance, 1)
    told = page.evaluate("heard.filter(({ type }) => type === 'progress')")
    losses = [loss for message in told for loss in message["losses"]]
    kinds = page.evaluate("heard.find(({ type }) => type === 'ready').names")
    gates = [
        [size for size, name in zip(m["steering"], kinds, strict=True) if name["kind"] == "gate"]
        for m in told
        if m["step"] in (10, 20, 50)
    ]
    return {
        "judged": judged,
        "loss": round(sum(losses[-50:]) / 50, 3),
        "gates": [round(sum(sizes) / len(sizes), 3) for sizes in gates],
    }


def painted(page: Page, count: int, seed: int) -> torch.Tensor:
    """Digits that the page paints with the averaged weights, (count, 1, 32, 32)."""
    options = {**SAMPLING, "guidance": TrainingFigure.guidance.default_value}
    pictures = page.evaluate(
        """async ([count, seed, options]) => {
          const all = [];
          for (let i = 0; i < count / 10; i += 1) {
            const { pictures } = await ask(
              { type: "sample", labels: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], seed: 1000 * seed + i,
                options }, "sampled");
            all.push(...pictures);
          }
          return all.map((value) => Math.round(1000 * value) / 1000);
        }""",
        [count, seed + 1, options],
    )
    return torch.tensor(pictures).reshape(count, 1, 32, 32).clamp(-1, 1)


def main() -> None:
    """Make the runs that the result lacks."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        page = browser.new_page()
        page.set_default_timeout(0)
        page.goto(write_page(Path(folder)).as_uri())
        comparison = Comparison(
            RECIPE,
            settings("hidden_size", [(64,)], tuple(range(5))) + settings("hidden_size", [(32,)]),
            lambda recipe, **chosen: page_run(page, recipe, **chosen),
            {
                "command": "python -m tools.measure_page_training",
                "browser": f"Chromium {browser.version}",
                "digits": 10 * PER_CLASS,
                "sampling": SAMPLING,
            },
        )
        compare("page-training", comparison)
        browser.close()


if __name__ == "__main__":
    main()
