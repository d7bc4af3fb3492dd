"""What a figure loads when it is asked for: tensors, packed small, in one format for all figures.

The format is safetensors with float16 numbers, or with int8 numbers and a step for each tensor;
``core/checkpoints.mjs`` reads it on the page.
"""

import json
from collections.abc import Callable

import torch
from safetensors.torch import load, save

from dit_lesson.checkpoints import load_weights


def packed(tensors: dict[str, torch.Tensor], bits: int = 16) -> bytes:
    """The tensors as the bytes of a safetensors file, rounded to `bits`: 16 (float16) or 8 (int8).

    In 8 bits each tensor has a step of its own, its largest number over 127.

    Raises: ValueError if `bits` is neither 16 nor 8.
    """
    if bits == 16:
        return save({name: value.half().contiguous() for name, value in tensors.items()})
    if bits != 8:
        raise ValueError(f"packed: bits is {bits}, expected 16 or 8")
    steps = {name: value.abs().max().item() / 127 for name, value in tensors.items()}
    levels = {
        name: (value.double() / steps[name]).round().to(torch.int8).contiguous()
        for name, value in tensors.items()
    }
    return save(levels, metadata={"steps": json.dumps(steps)})


def unpacked(content: bytes) -> dict[str, torch.Tensor]:
    """What `packed` has packed, in float64: the numbers that the page computes with."""
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    steps = json.loads(metadata.get("steps", "{}"))
    return {name: value.double() * steps.get(name, 1) for name, value in load(content).items()}


def packed_weights(
    name: str, keep: Callable[[str], bool] = lambda _: True, bits: int = 16
) -> bytes:
    """The shipped weights of a model, those whose names `keep` keeps, packed."""
    kept = {tensor: value for tensor, value in load_weights(name).items() if keep(tensor)}
    return packed(kept, bits)
