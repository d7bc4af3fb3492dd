"""Forward and backward speed of the four designs beside diffusers' model of the same size.

Every round times all models one after the other, in another order each time; a ratio is taken
within a round, and the median over the rounds is reported. CPU time of this process is counted,
so that other work on the machine disturbs little. diffusers has adaLN-Zero only: the other designs
do other work, and their ratio says what they cost.
"""

import argparse
import random
import statistics
import time
from dataclasses import replace

import torch
from torch import nn

from dit_lesson.models import DESIGNS, DIT_CONFIGS, DiT
from tests.diffusers_dit import theirs_with_weights_of

BATCH = 8


def seconds(model: nn.Module, inputs: tuple[torch.Tensor, ...], backward: bool) -> float:
    """CPU seconds of one forward pass, or of a forward and a backward pass."""
    model.zero_grad()
    start = time.process_time()
    with torch.set_grad_enabled(backward):
        output = model(*inputs)
        output = output if isinstance(output, torch.Tensor) else output.sample
        if backward:
            output.square().mean().backward()
    return time.process_time() - start


def compare(name: str, rounds: int) -> None:
    """Print one table: median seconds, and the median of diffusers' seconds over ours."""
    torch.manual_seed(0)
    models: dict[str, nn.Module] = {
        design: DiT(replace(DIT_CONFIGS[name], conditioning=design)).eval() for design in DESIGNS
    }
    models["diffusers"] = theirs_with_weights_of(models["adaln-zero"], released_settings=True)
    inputs = torch.randn(BATCH, 4, 32, 32), torch.arange(BATCH), torch.arange(BATCH)
    print(f"\n{name}, batch {BATCH}, {rounds} rounds, {torch.get_num_threads()} thread(s)")
    print(f"{'':16} {'forward':>24} {'forward + backward':>24}")
    times: dict[str, dict[bool, list[float]]] = {m: {False: [], True: []} for m in models}
    for model in models.values():
        seconds(model, inputs, backward=True)  # warm up
    for _ in range(rounds):
        for backward in (False, True):
            for model in random.sample(list(models), len(models)):
                times[model][backward].append(seconds(models[model], inputs, backward))
    for model, measured in times.items():
        cells = []
        for backward in (False, True):
            pairs = zip(times["diffusers"][backward], measured[backward], strict=True)
            ratios = [theirs / ours for theirs, ours in pairs]
            cells.append(
                f"{statistics.median(measured[backward]):7.3f} s  x{statistics.median(ratios):.2f}"
                f" ({min(ratios):.2f}-{max(ratios):.2f})"
            )
        print(f"{model:16} {cells[0]:>24} {cells[1]:>24}")
    print("x: diffusers' time over this model's, median of paired runs (lowest-highest)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--models", nargs="+", default=["DiT-S/4", "DiT-B/4"])
    arguments = parser.parse_args()
    random.seed(0)
    for name in arguments.models:
        compare(name, arguments.rounds)
