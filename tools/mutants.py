"""Change one operator or number of the core at a time: do the module's own tests notice?

`make mutants` draws the same sample of changes each time (`--seed` draws another), runs
tests/test_MODULE.py on each and prints the ones that lived. Those that are known to change nothing
stand in SURVIVORS, with the reason. A process is forked for each change, so that PyTorch is loaded
once; what a test runs in a process of its own is not changed.
"""

import argparse
import ast
import contextlib
import importlib.util
import io
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy  # noqa: F401  loaded before the fork
import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "dit_lesson"
MODULES = (
    "validation numpy_dit numpy_backward patches positions norms attention embeddings blocks "
    "models autoencoder diffusion sampling data checkpoints training commandline evaluation "
    "counting successors masking"
).split()
#: Changes that no test can see, "module: line of source: what stood -> what stands": why.
SURVIVORS = {
    "data: stroke_width(images) >= BOLD, slant(images) >= TILTED, labels, strict=True: "
    "True -> False": "unequal lengths were refused some lines above",
    "diffusion: below = torch.where(x0 < -0.999, 0.0, below): x0 < -0.999 -> x0 <= -0.999": (
        "no pixel and no number of a latent is exactly there"
    ),
    "training: with _Share(len(batch[0])) if self.parallel is not self.model else "
    "nullcontext():: 0 -> 1": "all tensors of a batch have one length",
    **{
        'training: if self.losses.device.type == "cpu" or n % LOOK == 0:: ' + change: (
            "only on an accelerator, which no test has, the loss is looked at now and then"
        )
        for change in (
            "0 -> 1",
            "n % LOOK == 0 -> n % LOOK != 0",
            "n % LOOK -> n * LOOK",
        )
    },
    "training: self.check(n + 1): 1 -> 2": "the next loss is still 0, which is finite",
    "training: n, decay = self.steps_done, self.recipe.ema_decay or 0.0: 0.0 -> 1.0": (
        "only a run that has a decay calls it"
    ),
    "training: self.average.n_averaged.fill_(1)  # the random start counts; 0 would overwrite "
    "it: 1 -> 2": "any number but 0 keeps the start",
    "training: self.order = torch.arange(0, device=device): 0 -> 1": "the first step draws it",
    'training: bar.set_postfix(loss=f"{recent.mean().item():.4f}", refresh=False): '
    "False -> True": "the bar shows the same loss a moment earlier",
    "checkpoints: neighbour.unlink(missing_ok=True): True -> False": (
        "if the neighbour could not be made, its removal fails with the same error"
    ),
    'counting: "B/2": (130, 23.01, 43.47),: 43.47 -> 44.47': (
        "read in the paper; nothing computes it"
    ),
    **{
        "numpy_backward: " + line + ": 1 -> 2": "NumPy finds any length that is negative"
        for line in (
            "rows, inputs = grad.reshape(-1, len(weight)), x.reshape(-1, weight.shape[1])",
            "by_channel = patches.reshape(*patches.shape[:2], grad.shape[1], -1)",
            "d_tokens[:, :num_tokens], image_patches, kernel.reshape(len(kernel), -1)",
        )
    },
    **{
        "numpy_backward: " + line + ": 1 -> 2": "a patch is as high as wide"
        for line in (
            "patches = cut_patches(grad, kernel.shape[-1])",
            "image_patches = cut_patches(x, kernel.shape[-1])",
        )
    },
    'commandline: within("--guidance", -1e6, 1e6, scale=options.guidance): '
    "1000000.0 -> 1000001.0": "any large number would do",
    "commandline: x = sample(model, noise.to(self.device), PATH, 20, predicts=self.predicts): "
    "20 -> 21": "a look at the samples in some steps",
    'commandline: add("--steps", "batches to learn from", type=int, default=1000, metavar="N"): '
    "1000 -> 1001": "a default; --help prints it",
    "commandline: PATH = Straight(spread=1.0): 1.0 -> 2.0": (
        "where most times lie is a choice, with which any model learns"
    ),
    **{
        "successors: " + line + ": True -> False": "other lengths are refused by the lines below"
        for line in (
            "heads = [layer.heads(x) for layer, x in zip(layers, sequences, strict=True)]",
            "return [layer.proj(piece) for layer, piece in zip(layers, pieces, strict=True)]",
        )
    },
    "successors: queries, keys, values = (torch.cat(parts, dim=2) for parts in "
    "zip(*heads, strict=True)): True -> False": "each layer has all three",
    "successors: return self.gated(x, [vector + row for vector, row in zip(shared, rows, "
    "strict=True)]): True -> False": "a `SharedStack` hands six on",
    "masking: return torch.cat([codes, 0 * codes[:1]])[tokens].permute(0, 3, 1, 2): 1 -> 2": (
        "no token names a row behind that of the mask"
    ),
    "masking: score = torch.where(tokens == count, score, -1).flatten(1): 1 -> 2": (
        "any negative number is below every score"
    ),
    "masking: kept = torch.zeros_like(score).scatter(1, score.topk(now).indices, 1).bool(): "
    "1 -> 2": "any number but 0 is true",
}

SWAPS: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


def changes(tree: ast.Module) -> Iterator[tuple[ast.expr, str, object, object]]:
    """Every place that can change: the node, its field, what stands there, what will."""
    said = {
        id(part)
        for text in ast.walk(tree)
        if isinstance(text, ast.JoinedStr)
        for part in ast.walk(text)
    }  # a number in a sentence is not arithmetic
    for node in ast.walk(tree):
        if id(node) in said:
            continue
        if isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in SWAPS:
            yield node, "op", node.op, SWAPS[type(node.op)]()
        elif isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
            yield node, "ops", node.ops, [SWAPS[type(node.ops[0])](), *node.ops[1:]]
        elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
            yield node, "value", node.value, not node.value
        elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            yield node, "value", node.value, node.value + 1


def noticed(module: str, code: str) -> bool:
    """Whether the tests of a module fail when its source is `code`; in a process of its own."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] != 0
    name = f"dit_lesson.{module}"
    spec = importlib.util.spec_from_file_location(name, PACKAGE / f"{module}.py")
    assert spec is not None
    changed = importlib.util.module_from_spec(spec)
    sys.modules[name] = changed
    status = 1
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        with contextlib.suppress(BaseException):  # a module that does not load is noticed, too
            exec(compile(code, str(PACKAGE / f"{module}.py"), "exec"), changed.__dict__)
            options = ["-x", "-q", "-p", "no:nbval", "-p", "no:xdist", "-o", "addopts="]
            status = pytest.main([*options, "--timeout=120", f"tests/test_{module}.py"])
    os._exit(int(status != 0))


def main() -> None:
    """Print every change that lived, and the share that was noticed."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("modules", nargs="*", default=MODULES)
    parser.add_argument("--each", type=int, default=16, help="changes a module (0: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tried = lived = 0
    for module in arguments.modules:
        source = (PACKAGE / f"{module}.py").read_text(encoding="utf-8")
        if noticed(module, source):
            sys.exit(f"tests/test_{module}.py fails before anything is changed")
        tree = ast.parse(source)
        places = list(changes(tree))
        random.Random(arguments.seed).shuffle(places)
        for node, field, before, after in places[: arguments.each or None]:
            line, stood = source.splitlines()[node.lineno - 1].strip(), ast.unparse(node)
            setattr(node, field, after)
            change, code = f"{module}: {line}: {stood} -> {ast.unparse(node)}", ast.unparse(tree)
            setattr(node, field, before)
            tried += 1
            if not noticed(module, code):
                lived += 1
                print(f"lived, {SURVIVORS.get(change, 'not explained')}: {change}", flush=True)
    print(f"{tried - lived} of {tried} changes were noticed ({(tried - lived) / tried:.1%})")


if __name__ == "__main__":
    main()
