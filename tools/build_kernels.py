"""Compiles the engine's kernels: core/kernels.c becomes the text in core/kernels_wasm.mjs.

python tools/build_kernels.py

Only who changes kernels.c needs this, with the compiler that `ziglang` brings (a C compiler with
WebAssembly as a target, in one wheel). A test builds the text again and compares it.
"""

import base64
import subprocess
import sys
import tempfile
from pathlib import Path

CORE = Path(__file__).parents[1] / "dit_lesson" / "figures" / "core"
FLAGS = [
    "--target=wasm32-freestanding",
    "-mcpu=generic+simd128+bulk_memory",
    "-O3",
    "-ffp-contract=off",  # no fused multiply-add: it would round once where JavaScript rounds twice
    "-nostdlib",
    "-Wl,--no-entry",
    "-Wl,--import-memory",
    "-Wl,--stack,32768",  # below the first tensor, see arena.mjs
    "-Wl,--initial-memory=65536",
    "-Wl,--strip-all",
]
HEAD = """\
// Made by tools/build_kernels.py from kernels.c: WebAssembly in base64. Do not edit.
// deno-fmt-ignore-file

export const KERNELS =
"""


def compiled() -> str:
    """The text of kernels_wasm.mjs."""
    with tempfile.TemporaryDirectory() as folder:
        module = Path(folder) / "kernels.wasm"
        command = [sys.executable, "-m", "ziglang", "cc", *FLAGS, "-o", module, "kernels.c"]
        subprocess.run(command, cwd=CORE, check=True)
        text = base64.b64encode(module.read_bytes()).decode()
    lines = [text[start : start + 96] for start in range(0, len(text), 96)]
    return HEAD + " +\n".join(f'  "{line}"' for line in lines) + ";\n"


if __name__ == "__main__":
    (CORE / "kernels_wasm.mjs").write_text(compiled(), encoding="utf-8")
