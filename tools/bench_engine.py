"""Times the page's engine beside torch: one training step of the same model, one thread each.

python -m tools.bench_engine [--chromium]

Milliseconds of processor time, the median of several rounds in turn, since other work on the
machine stretches the clock but hardly the processor time. A step is all of it: batch, noise,
forward, backward, clipping, AdamW, moving average. --chromium adds the clock of a worker in
Chromium on a page from file://, at full speed and slowed down four times.
"""

import argparse
import base64
import itertools
import json
import statistics
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import deno
import torch

from dit_lesson.figures.assets import unpacked
from dit_lesson.figures.training_assets import packed_decoder, packed_latents
from dit_lesson.models import DESIGNS, DiT, DiTConfig
from tools.chromium import CHROMIUM
from tools.engine_page import CORE, write_page

ROUNDS, STEPS, BATCH = 5, 20, 32
SIZES = {
    "d 32, L 4": {"hidden_size": 32, "depth": 4},
    "d 64, L 3": {"hidden_size": 64, "depth": 3},
    "d 96, L 3": {"hidden_size": 96, "depth": 3},
    "d 128, L 4": {"hidden_size": 128, "depth": 4},
}
PROGRAM = """
const request = JSON.parse(await new Response(Deno.stdin.readable).text());
const { cases, core, data, decoder, rounds, steps } = request;
import process from "node:process";
const { Engine } = await import(`${core}/engine.mjs`);
const { Random } = await import(`${core}/random.mjs`);
const { readTensors } = await import(`${core}/safetensors.mjs`);
const { Run } = await import(`${core}/training.mjs`);
const bytes = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
const { latents, labels } = readTensors(bytes(data));
const autoencoder = readTensors(bytes(decoder));
const milliseconds = (use) => {
  const before = process.cpuUsage();
  use();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
};
for (const { config, plain } of cases) {
  const engine = await Engine.open({ config, autoencoder, plain });
  engine.model.initialize(new Random(0));
  const run = new Run(engine.model, { latents: latents.data, labels: labels.data });
  const repeat = (times, use) => { for (let i = 0; i < times; i += 1) use(); };
  const digits = (count) => {
    const noise = new Random(1).normals(count * engine.model.sampleSize);
    const drawn = [...engine.sample(Array(count).fill(3), noise, { steps: 20 })];
    engine.pictures(drawn.at(-1).x);
  };
  const often = plain ? 1 : steps;
  repeat(often, () => run.step());
  repeat(plain ? 1 : 5, () => digits(1));
  const timed = (use) => Array.from({ length: rounds }, () => milliseconds(use));
  console.log(JSON.stringify({
    step: timed(() => repeat(often, () => run.step())).map((all) => all / often),
    one: timed(() => digits(1)),
    ten: timed(() => digits(10)),
  }));
}
"""


def torch_step(sizes: dict[str, int], design: str) -> float:
    """Milliseconds of one step of training.py's loop in torch."""
    torch.set_num_threads(1)
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

    for _ in range(STEPS):
        step()
    rounds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(STEPS):
            step()
        rounds.append((time.process_time() - start) * 1000 / STEPS)
    return statistics.median(rounds)


def engine_times(cases: list[dict[str, object]]) -> list[dict[str, float]]:
    """Medians of a step, and of one and ten digits in 20 guided steps with decoding, under deno."""
    request = {
        "cases": cases,
        "core": CORE.as_uri(),
        "data": base64.b64encode(packed_latents()).decode(),
        "decoder": base64.b64encode(packed_decoder()).decode(),
        "rounds": ROUNDS,
        "steps": STEPS,
    }
    with tempfile.NamedTemporaryFile("w", suffix=".mjs") as program:
        program.write(PROGRAM)
        program.flush()
        command = [deno.find_deno_bin(), "run", "--quiet", "--no-config", "-A", program.name]
        done = subprocess.run(
            command, input=json.dumps(request), capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    return [
        {name: statistics.median(values) for name, values in json.loads(line).items()}
        for line in done.stdout.splitlines()
    ]


def page_config(sizes: dict[str, int], design: str) -> dict[str, object]:
    """The engine's config of a torch model."""
    return {
        "hiddenSize": sizes["hidden_size"], "depth": sizes["depth"], "numHeads": 4,
        "conditioning": design,
    }  # fmt: skip


def in_chromium() -> None:
    """The clock of a worker on a page from file://, at full speed and slowed four times."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        address = write_page(Path(folder)).as_uri()
        for slower, where in ((1, ""), (4, "#page")):  # only a page's own thread can be slowed
            page.goto("about:blank")
            page.goto(address + where)
            page.evaluate("open({ recipe: { steps: 150 } })")
            session = page.context.new_cdp_session(page)
            session.send("Emulation.setCPUThrottlingRate", {"rate": slower})
            page.evaluate("ask({ type: 'start' }, 'done')")
            told = page.evaluate(
                "heard.filter(({ type }) => type === 'progress').map(({ at, step }) => [at, step])"
            )
            steps = [
                (later - at) / (next_step - step)
                for (at, step), (later, next_step) in itertools.pairwise(told)
            ]
            page.evaluate("heard.length = 0")
            digits = {
                count: min(
                    page.evaluate(
                        "(count) => ask({ type: 'sample', id: 0, labels: Array(count).fill(3) },"
                        " 'sampled')",
                        count,
                    )["milliseconds"]
                    for _ in range(8)
                )
                for count in (1, 10)
            }
            print(
                f"Chromium {browser.version}, {slower}x: step {statistics.median(steps):.1f} ms "
                f"(best {min(steps):.1f}), one digit {digits[1]:.0f} ms, ten {digits[10]:.0f} ms"
            )
        browser.close()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chromium", action="store_true", help="measure in Chromium too")
    arguments = parser.parse_args()
    cases = [(name, "adaln-zero") for name in SIZES]
    cases += [("d 64, L 3", design) for design in DESIGNS if design != "adaln-zero"]
    page = engine_times(
        [{"config": page_config(SIZES[name], design), "plain": False} for name, design in cases]
        + [{"config": page_config(SIZES["d 64, L 3"], "adaln-zero"), "plain": True}]
    )
    print("processor milliseconds     engine   torch   one digit  ten digits")
    for (name, design), times in zip(cases, page, strict=False):
        ours = f"{times['step']:8.1f} {torch_step(SIZES[name], design):7.1f}"
        print(f"{name:11} {design:15}{ours} {times['one']:11.1f} {times['ten']:11.1f}")
    plain = page[-1]
    print(
        f"d 64, L 3   in plain JavaScript {plain['step']:.0f} ms, one digit {plain['one']:.0f} ms"
    )
    if arguments.chromium:
        in_chromium()


if __name__ == "__main__":
    main()
