"""Times the page's engine beside torch: one training step of the same model, one thread each.

python -m tools.bench_engine

The engine runs where a reader's runs, in a worker of Chromium on a page from file://.  A step is
all of it: batch, noise, forward, backward, clipping, AdamW, moving average.  Engine and torch take
turns, round by round; the table has the least and the median of the rounds, on the clock.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from playwright.sync_api import Page, sync_playwright

from dit_lesson.figures.assets import unpacked
from dit_lesson.figures.training_assets import packed_latents
from dit_lesson.models import DESIGNS, DiT, DiTConfig
from tools.chromium import CHROMIUM
from tools.engine_page import write_page

ROUNDS, STEPS, BATCH = 9, 20, 32
WARM_UP = 60  # the trainer tells its first steps one by one
SIZES = {
    "d 32, L 4": {"hidden_size": 32, "depth": 4},
    "d 64, L 3": {"hidden_size": 64, "depth": 3},
    "d 96, L 3": {"hidden_size": 96, "depth": 3},
    "d 128, L 4": {"hidden_size": 128, "depth": 4},
}
CASES = [(size, "adaln-zero") for size in SIZES] + [
    ("d 64, L 3", design) for design in DESIGNS if design != "adaln-zero"
]


def torch_step(sizes: dict[str, int], design: str) -> Callable[[], None]:
    """One step of training.py's loop in torch."""
    config = DiTConfig(
        input_size=4, patch_size=1, in_channels=8, num_heads=4, num_classes=10, learn_sigma=False,
        embedding_init="unit",
    )  # fmt: skip
    config = replace(config, conditioning=design, **sizes)
    model = DiT(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, (0.9, 0.99), weight_decay=0)
    average = {name: value.clone() for name, value in model.state_dict().items()}
    data = unpacked(packed_latents())
    latents, labels = data["latents"].float(), data["labels"].long()

    def step() -> None:
        rows = torch.randint(0, len(latents), (BATCH,))
        x0, noise = latents[rows], torch.randn(BATCH, 8, 4, 4)
        u = torch.randn(BATCH).sigmoid()
        share = u[:, None, None, None]
        answer = model((1 - share) * x0 + share * noise, 1000 * u, labels[rows])
        optimizer.zero_grad()
        ((answer - (noise - x0)) ** 2).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            for name, value in model.state_dict().items():
                average[name].lerp_(value, 0.005)

    return step


def opened(page: Page, sizes: dict[str, int], design: str, plain: bool = False) -> None:
    """Give the page's worker an untrained model."""
    config = {
        "hiddenSize": sizes["hidden_size"], "depth": sizes["depth"], "numHeads": 4,
        "conditioning": design,
    }  # fmt: skip
    recipe = {"steps": 10_000, "batchSize": BATCH, "learningRate": 1e-2, "emaDecay": 0.995}
    settings = {"config": config, "recipe": recipe, "plain": plain}
    page.evaluate("(settings) => open(settings)", settings)


def milliseconds(page: Page, until: int) -> float:
    """How long the worker takes to this step."""
    ask = "(until) => ask({ type: 'start', until }, 'done')"
    return page.evaluate(ask, until)["milliseconds"]


def beside_torch(page: Page, sizes: dict[str, int], design: str) -> tuple[list[float], list[float]]:
    """Milliseconds of a step in each round: of the engine, and of torch."""
    opened(page, sizes, design)
    step = torch_step(sizes, design)
    milliseconds(page, WARM_UP)
    for _ in range(STEPS):
        step()
    engine, theirs = [], []
    for done in range(ROUNDS):
        engine.append(milliseconds(page, WARM_UP + (done + 1) * STEPS) / STEPS)
        start = time.perf_counter()
        for _ in range(STEPS):
            step()
        theirs.append(1000 * (time.perf_counter() - start) / STEPS)
    return engine, theirs


def digits(page: Page, count: int) -> float:
    """Milliseconds of so many digits in 20 guided steps with decoding, the least of eight times."""
    ask = "(count) => ask({ type: 'sample', id: 0, labels: Array(count).fill(3) }, 'sampled')"
    times: list[dict[str, Any]] = [page.evaluate(ask, count) for _ in range(8)]
    return min(answer["milliseconds"] for answer in times)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        address = write_page(Path(folder)).as_uri()
        page.goto(address)
        print(
            f"Chromium {browser.version}; ms: least, median   engine      torch  1 digit  10 digits"
        )
        for name, design in CASES:
            times = beside_torch(page, SIZES[name], design)
            cells = "".join(f"{min(t):8.1f} {statistics.median(t):5.1f}" for t in times)
            print(f"{name:11} {design:15}  {cells} {digits(page, 1):8.0f} {digits(page, 10):9.0f}")
        opened(page, SIZES["d 64, L 3"], "adaln-zero", plain=True)
        print(f"d 64, L 3   in plain JavaScript {milliseconds(page, 5) / 5:.0f} ms a step")
        # only a page's own thread can be slowed
        page.goto("about:blank")
        page.goto(f"{address}#page")
        opened(page, SIZES["d 64, L 3"], "adaln-zero")
        page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": 4})
        step = milliseconds(page, WARM_UP) / WARM_UP
        print(f"slowed down four times: {step:.0f} ms a step, one digit {digits(page, 1):.0f} ms")
        browser.close()


if __name__ == "__main__":
    main()
