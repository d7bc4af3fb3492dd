r"""Where every parameter and every multiply-accumulate of a model goes, by part.

Twice, so that one checks the other: `dit_ledger` from formulae, `measured_ledger` from a model.

The paper's "Gflops" are multiply-accumulates (MACs, in units of 10^9): one multiplication and one
addition count as one. Only matrix products and convolutions count; norms, activations, additions
and look-ups do not.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from dit_lesson.attention import CrossAttention, SelfAttention
from dit_lesson.models import DiTConfig
from dit_lesson.validation import require

#: The parts of a ledger, in the order in which a model computes them.
PARTS = (
    "patch embedding",
    "positions and CLS",
    "time embedding",
    "label embedding",
    "modulation",
    "layer norms",
    "attention projections",
    "attention scores",
    "cross-attention projections",
    "cross-attention scores",
    "MLP",
    "final layer",
)

#: What the paper prints of its twelve models: million parameters, "Gflops", and the FID of 50,000
#: samples without guidance after 400,000 steps of batch 256. Source: DiT, table 4.
PAPER_TABLE = {
    "S/8": (33, 0.36, 153.60),
    "S/4": (33, 1.41, 100.41),
    "S/2": (33, 6.06, 68.40),
    "B/8": (131, 1.42, 122.74),
    "B/4": (130, 5.56, 68.38),
    "B/2": (130, 23.01, 43.47),
    "L/8": (459, 5.01, 118.87),
    "L/4": (458, 19.70, 45.64),
    "L/2": (458, 80.71, 23.33),
    "XL/8": (676, 7.39, 106.41),
    "XL/4": (675, 29.05, 43.01),
    "XL/2": (675, 118.64, 19.47),
}


@dataclass(frozen=True)
class Cost:
    """Trainable parameters, and multiply-accumulates for one sample."""

    parameters: int = 0
    macs: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.parameters + other.parameters, self.macs + other.macs)


Ledger = dict[str, Cost]


def total(costs: Iterable[Cost]) -> Cost:
    r"""$\sum_i \text{cost}_i$, for example ``total(ledger.values())``."""
    return sum(costs, Cost())


def dit_ledger(config: DiTConfig) -> Ledger:
    r"""MACs $\approx L(12 N D^2 + 2 N^2 D) + \dots$ for depth L, N tokens, width D, one sample.

    Per block, with r = mlp_ratio: projections 4 N D^2, scores Q K^T and A V together 2 N^2 D, MLP
    2 r N D^2, modulation 4 D^2 or 6 D^2 (once, not per token). In-context has N + 2 tokens;
    cross-attention adds 2 (N + 2) D^2 + 4 N D. The number of heads changes nothing.

    Args:
        config: of a DiT that is told a class.
    Returns: the cost by part, those of `PARTS` that the design has.
    Source: DiT, tables 1 and 4 (their Gflops are our 10^9 MACs, see issue #14 of its repository).
    """
    design, depth, width = config.design, config.depth, config.hidden_size
    context = 2  # t and y
    image_tokens = config.num_tokens
    tokens = image_tokens + design.in_sequence * context
    inner = int(config.mlp_ratio * width)
    cross = depth * design.looked_up  # cross-attention layers

    patch = config.patch_size**2 * config.in_channels
    output = config.patch_size**2 * config.out_channels
    rows = config.num_classes + (config.class_dropout_prob > 0)
    vectors = depth * design.modulation + design.final_modulation
    # a norm has its own scale and shift where no condition sets them
    norms = 0 if vectors else 2 * depth + cross + 1
    frequencies = 256

    ledger = {
        "patch embedding": Cost(patch * width + width, image_tokens * patch * width),
        "time embedding": Cost(
            (frequencies + 1) * width + (width + 1) * width, frequencies * width + width**2
        ),
        "label embedding": Cost(rows * width),
        "modulation": Cost(vectors * (width + 1) * width, vectors * width**2),
        "layer norms": Cost(norms * 2 * width),
        "attention projections": Cost(
            depth * 4 * (width + 1) * width, depth * tokens * 4 * width**2
        ),
        "attention scores": Cost(0, depth * 2 * tokens**2 * width),
        "cross-attention projections": Cost(
            cross * 4 * (width + 1) * width, cross * 2 * (tokens + context) * width**2
        ),
        "cross-attention scores": Cost(0, cross * 2 * tokens * context * width),
        "MLP": Cost(
            depth * (2 * inner * width + inner + width), depth * tokens * 2 * inner * width
        ),
        "final layer": Cost((width + 1) * output, image_tokens * width * output),
    }
    return {part: cost for part, cost in ledger.items() if cost != Cost()}


def measured_ledger(model: nn.Module, *inputs: Tensor) -> Ledger:
    r"""The same by looking: the numbers a model holds, the products that ``model(*inputs)`` does.

    The counter sees attention only if it runs as two matrix products, so PyTorch is told to
    compute it that way here; with the fused kernel on a CPU it would miss $2 N^2 D$ per block.
    A model on the ``meta`` device costs neither memory nor time.

    Args:
        model: a `DiT` or `ViT`.
        inputs: of its forward, a batch of one.
    Returns: the cost by part, those of `PARTS` that the model has.
    Raises: ValueError if a parameter or a product belongs to no known part, or the batch is not 1.
    """
    require(
        len(inputs) > 0 and len(inputs[0]) == 1,
        "measured_ledger: inputs hold no batch of one, expected exactly one sample",
    )
    ledger = {part: Cost() for part in PARTS}
    for part, count in measured_parameters(model).items():
        ledger[part] += Cost(parameters=count)

    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(*inputs)
    counts = counter.get_flop_counts()
    root = type(model).__name__
    for name, module in model.named_modules():
        flops = sum(counts.get(f"{root}.{name}", {}).values())
        if isinstance(module, nn.Linear | nn.Conv2d):
            ledger[_part(name)] += Cost(macs=flops // 2)
        elif isinstance(module, SelfAttention | CrossAttention):
            projections = sum(
                sum(counts.get(f"{root}.{name}.{child}", {}).values())
                for child, _ in module.named_children()
            )
            kind = "attention" if isinstance(module, SelfAttention) else "cross-attention"
            ledger[f"{kind} scores"] += Cost(macs=(flops - projections) // 2)
    counted = total(ledger.values()).macs
    require(
        2 * counted == counter.get_total_flops(),
        f"measured_ledger: the parts hold {counted} MACs of {counter.get_total_flops() // 2}, "
        "expected all: the model does matrix products outside its layers",
    )
    return {part: cost for part, cost in ledger.items() if cost != Cost()}


def measured_parameters(module: nn.Module) -> dict[str, int]:
    """The trainable numbers that a module holds, by part, without a pass through it.

    Args:
        module: a model, or some of its blocks.
    Returns: the count of each of `PARTS` that the module has, in their order.
    Raises: ValueError if a parameter belongs to no known part.
    """
    counts = dict.fromkeys(PARTS, 0)
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            counts[_part(name)] += parameter.numel()
    return {part: count for part, count in counts.items() if count}


def _part(name: str) -> str:
    """The part that a parameter or a layer belongs to, by its name."""
    places = {
        "adaLN_modulation": "modulation",
        "adaLN_narrow": "modulation",
        "scale_shift_table": "modulation",
        "gates": "layer norms",  # constants, as their scales
        "x_embedder": "patch embedding",
        "pos_embed": "positions and CLS",
        "cls_token": "positions and CLS",
        "t_embedder": "time embedding",
        "y_embedder": "label embedding",
        "norm": "layer norms",
        "attn": "attention projections",
        "cross_attn": "cross-attention projections",
        "mlp": "MLP",
        "head": "final layer",
        "linear": "final layer",
    }
    for word in name.split("."):
        key = "norm" if word.startswith("norm") else word
        if key in places:
            return places[key]
    raise ValueError(f"measured_ledger: {name} belongs to none of the parts {list(PARTS)}")
