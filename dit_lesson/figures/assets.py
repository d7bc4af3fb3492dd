"""What a figure loads when it is asked for: tensors, packed small, in one format for all figures.

The format is safetensors with float16 numbers, or with 8 or 4 bits and a step for each tensor;
``core/safetensors.mjs`` reads it on the page.
"""

import json
from collections.abc import Callable

import torch
from safetensors.torch import load, save

from dit_lesson.checkpoints import load_weights


def packed(tensors: dict[str, torch.Tensor], bits: int = 16) -> bytes:
    """The tensors as the bytes of a safetensors file, rounded to `bits`: 16 (float16), 8 or 4.

    In 8 bits each tensor has a step of its own, its largest number over 127. In 4 bits, two to a
    byte, the levels are -7.5 to 7.5 steps, and the step is a third of the standard deviation,
    which is nearly the best for normal numbers: what lies further out is cut off.
    Whole numbers stay as they are.

    Raises: ValueError if `bits` is neither 16, 8 nor 4.
    """
    if bits not in (16, 8, 4):
        raise ValueError(f"packed: bits is {bits}, expected 16, 8 or 4")
    stored, steps, nibbles = {}, {}, {}
    for name, value in tensors.items():
        if not value.is_floating_point():
            stored[name] = value.contiguous()
        elif bits == 16:
            stored[name] = value.half().contiguous()
        elif bits == 8:
            steps[name] = value.abs().max().item() / 127
            stored[name] = (value.double() / steps[name]).round().to(torch.int8).contiguous()
        else:
            steps[name], nibbles[name] = value.double().std().item() / 3, list(value.shape)
            levels = (value.double() / steps[name] + 7.5).round().clamp(0, 15).to(torch.uint8)
            pairs = torch.nn.functional.pad(levels.flatten(), (0, levels.numel() % 2)).reshape(
                -1, 2
            )
            stored[name] = pairs[:, 0] | pairs[:, 1] << 4
    notes = {"steps": steps, "nibbles": nibbles}
    return save(stored, metadata={key: json.dumps(note) for key, note in notes.items() if note})


def unpacked(content: bytes) -> dict[str, torch.Tensor]:
    """What `packed` has packed, in float64: the numbers that the page computes with."""
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    steps, nibbles = (json.loads(metadata.get(key, "{}")) for key in ("steps", "nibbles"))
    tensors = load(content)
    for name, shape in nibbles.items():
        pairs = torch.stack([tensors[name] & 15, tensors[name] >> 4], dim=1).flatten()
        tensors[name] = pairs[: torch.Size(shape).numel()].reshape(shape).double() - 7.5
    return {name: value.double() * steps.get(name, 1) for name, value in tensors.items()}


def packed_weights(
    name: str, keep: Callable[[str], bool] = lambda _: True, bits: int = 16
) -> bytes:
    """The shipped weights of a model, those whose names `keep` keeps, packed."""
    kept = {tensor: value for tensor, value in load_weights(name).items() if keep(tensor)}
    return packed(kept, bits)
