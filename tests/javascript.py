"""Runs functions of the figures' modules under node, for tests that compare with Python."""

import json
import subprocess
from pathlib import Path
from typing import Any

FIGURES = Path(__file__).parents[1] / "dit_lesson" / "figures"
PROGRAM = """
import { readFileSync } from "node:fs";
const { module, calls } = JSON.parse(readFileSync(0, "utf8"));
const functions = await import(module);
const plain = (value) => JSON.stringify(value, (_, v) => (ArrayBuffer.isView(v) ? [...v] : v));
console.log(plain(calls.map(([name, ...args]) => functions[name](...args))));
"""


def call(module: str, calls: list[tuple[Any, ...]]) -> list[Any]:
    """The results of ``[(function, argument, ...), ...]`` in one run of node.

    ``module`` is the name of a figure's module, or the address of any module.
    """
    address = module if "://" in module else (FIGURES / f"{module}.mjs").as_uri()
    request = {"module": address, "calls": calls}
    run = subprocess.run(
        ["node", "--input-type=module", "--eval", PROGRAM],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)
