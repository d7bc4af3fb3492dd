"""Speed of the four designs beside two other models of the same size.

The others are diffusers' model and `Plain`, the paper's adaLN-Zero written down with the same
operations and nothing else: no checks, no classes of its own. Both have adaLN-Zero only; the other
designs do other work, and their ratio says what they cost.

Every round times all models one after the other, in another order each time; a ratio is taken
within a round, and the median over the rounds is reported, with the lowest and the highest.
"""

import argparse
import random
import statistics
import time
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dit_lesson.models import DESIGNS, DIT_CONFIGS, DiT, DiTConfig
from tests.diffusers_dit import theirs_with_weights_of

BATCH = 8
ROW = "{:16} {:>9} {:>9} {:>9}   {:24} {:24}"


class Plain(nn.Module):
    """adaLN-Zero from the paper's text, in torch's own layers."""

    def __init__(self, config: DiTConfig):
        super().__init__()
        self.config, width, patch = config, config.hidden_size, config.patch_size
        self.patches = nn.Conv2d(config.in_channels, width, patch, patch)
        self.positions = nn.Parameter(torch.randn(1, config.num_tokens, width), False)
        self.time = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))
        self.labels = nn.Embedding(config.num_classes + 1, width)
        # of each block: qkv, proj, fc1, fc2, modulation
        sizes = ((1, 3), (1, 1), (1, 4), (4, 1), (1, 6))
        self.layers = nn.ModuleList(
            nn.Linear(inside * width, outside * width)
            for _ in range(config.depth)
            for inside, outside in sizes
        )
        self.last_modulation = nn.Linear(width, 2 * width)
        self.last = nn.Linear(width, patch**2 * config.out_channels)

    def forward(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        """The answer (B, out_channels, I, I)."""
        config, (batch, _, side, _) = self.config, x.shape
        width, heads, patch = config.hidden_size, config.num_heads, config.patch_size
        angles = t[:, None] * torch.exp(torch.arange(128) * (-9.21034 / 128))
        c = F.silu(self.time(torch.cat([angles.cos(), angles.sin()], -1)) + self.labels(y))
        x = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        layers = iter(self.layers)
        for qkv, proj, fc1, fc2, modulation in zip(*[layers] * 5, strict=True):
            a, b, gate, d, e, gate_mlp = modulation(c)[:, None].chunk(6, -1)
            h = F.layer_norm(x, (width,), eps=1e-6) * (1 + b) + a
            q, k, v = qkv(h).view(batch, -1, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
            h = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, -1, width)
            x = x + gate * proj(h)
            h = F.layer_norm(x, (width,), eps=1e-6) * (1 + e) + d
            x = x + gate_mlp * fc2(F.gelu(fc1(h), approximate="tanh"))
        shift, scale = self.last_modulation(c)[:, None].chunk(2, -1)
        x = self.last(F.layer_norm(x, (width,), eps=1e-6) * (1 + scale) + shift)
        x = x.view(batch, side // patch, side // patch, patch, patch, -1)
        return x.permute(0, 5, 1, 3, 2, 4).reshape(batch, -1, side, side)


def seconds(model: nn.Module, inputs: tuple[Tensor, ...], backward: bool) -> float:
    """Seconds of one forward pass, or of a forward and a backward pass."""
    model.zero_grad()
    start = time.perf_counter()
    with torch.set_grad_enabled(backward):
        output = model(*inputs)
        output = output if isinstance(output, Tensor) else output.sample
        if backward:
            output.square().mean().backward()
    return time.perf_counter() - start


def compare(name: str, rounds: int, backward: bool) -> None:
    """Print one table."""
    torch.manual_seed(0)
    config = DIT_CONFIGS[name]
    ours = {design: DiT(replace(config, conditioning=design)).eval() for design in DESIGNS}
    models: dict[str, nn.Module] = {
        **ours,
        "diffusers": theirs_with_weights_of(ours["adaln-zero"], released_settings=True),
        "plain": Plain(config).eval(),
    }
    inputs = torch.randn(BATCH, 4, 32, 32), torch.arange(BATCH), torch.arange(BATCH)
    times: dict[str, list[float]] = {model: [] for model in models}
    for model in models.values():
        seconds(model, inputs, backward)  # warm up
    for _ in range(rounds):
        for model in random.sample(list(models), len(models)):
            times[model].append(seconds(models[model], inputs, backward))
    work = "forward + backward" if backward else "forward"
    print(f"\n{name}, {work}, batch {BATCH}, {torch.get_num_threads()} thread(s), {rounds} rounds")
    print(ROW.format("", "ms: least", "median", "most", "diffusers / this", "plain / this"))
    for model, measured in times.items():
        ratios = []
        for other in ("diffusers", "plain"):
            shares = sorted(a / b for a, b in zip(times[other], measured, strict=True))
            ratios.append(f"{statistics.median(shares):.2f} ({shares[0]:.2f} to {shares[-1]:.2f})")
        spread = (min(measured), statistics.median(measured), max(measured))
        print(ROW.format(model, *(f"{1000 * value:.1f}" for value in spread), *ratios))


def main() -> None:
    """Print a table for each model, kind of work and number of threads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--models", nargs="+", default=["DiT-S/8", "DiT-S/4", "DiT-S/2", "DiT-B/4"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    arguments = parser.parse_args()
    random.seed(0)
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        for name in arguments.models:
            for backward in (False, True):
                compare(name, arguments.rounds, backward)


if __name__ == "__main__":
    main()
