"""Runs functions of the figures' modules under Deno, for tests that compare with Python."""

import base64
import json
import subprocess
from typing import Any

import deno

from dit_lesson.figures.base import HERE, Figure

PROGRAM = f"""
const {{ module, calls, assets }} = JSON.parse(await new Response(Deno.stdin.readable).text());
const {{ readTensors }} = await import("{(HERE / "core" / "safetensors.mjs").as_uri()}");
const functions = await import(module);
const bytes = (text) => Uint8Array.from(atob(text), (byte) => byte.charCodeAt(0));
const read = Object.fromEntries(
  Object.entries(assets).map(([name, text]) => [name, readTensors(bytes(text))]),
);
const plain = (value) => JSON.stringify(value, (_, v) => (ArrayBuffer.isView(v) ? [...v] : v));
const argument = (value) => (value?.given ? {{ ...value.given, ...read, ...value }} : value);
console.log(plain(calls.map(([name, ...list]) => functions[name](...list.map(argument)))));
"""


def call(
    module: str, calls: list[tuple[Any, ...]], assets: dict[str, bytes] | None = None
) -> list[Any]:
    """The results of ``[(function, argument, ...), ...]`` in one run.

    ``module`` is the name of a figure's module, or the address of any module.  A figure's state
    is completed by what it is given and by its assets, as the page does it.
    """
    texts = {name: base64.b64encode(content).decode() for name, content in (assets or {}).items()}
    address = module if "://" in module else (HERE / f"{module}.mjs").as_uri()
    return json.loads(
        run(PROGRAM, json.dumps({"module": address, "calls": calls, "assets": texts}))
    )


def stages(figures: list[Figure]) -> list[dict[str, Any]]:
    """What the module of these figures, all of one class, computes for the state of each."""
    calls = [("stages", figure.state()) for figure in figures]
    return call(figures[0].stem, calls, figures[0].assets())


def run(program: str, text: str = "") -> str:
    """What a program prints that is given a text."""
    command = [deno.find_deno_bin(), "eval", "--quiet", "--no-config", program]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
