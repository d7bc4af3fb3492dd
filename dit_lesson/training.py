"""One training loop for every model of the book, and the weights that ship with it."""

import hashlib
import json
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn.functional import pad
from tqdm import tqdm

from dit_lesson.validation import numbers, positive, require, shapes

WEIGHTS = Path(__file__).parent / "weights"


def train(
    model: nn.Module,
    loss: Callable[..., Tensor],
    data: tuple[Tensor, ...],
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    weight_decay: float = 0.0,
    ema_decay: float | None = None,
    progress: bool = False,
) -> np.ndarray:
    r"""$\theta \leftarrow \theta - \eta_n\,\mathrm{AdamW}(\nabla_\theta\,\text{loss})$.

    Repeated ``steps`` times. The learning rate rises over the first tenth of the steps and falls
    to 1% along a cosine; gradients are clipped to norm 1. With ``ema_decay`` the model ends with
    the exponential moving average of its weights,
    $\bar\theta \leftarrow d\,\bar\theta + (1-d)\,\theta$ with d = min(ema_decay, (1+n) / (10+n)),
    so that the random start is soon forgotten.

    Args: model, trained in place and left in eval mode; loss, called as
    ``loss(model, *batch, generator)``, draws all its noise from the generator and returns a
    scalar; data, tensors of one length, whose rows are shuffled together; progress, a bar on
    stderr (leave it off in a notebook that is compared).
    Returns: the loss of every step, (steps,) float64. The same seed gives the same losses on
    the same machine with the same number of threads.
    Raises: ValueError for empty or unequal data, a batch larger than the data, or a loss that
    is not finite.
    Source: DiT, section 4 (there a constant rate and no warm-up, for runs of 400,000 steps).
    """
    _require_training(data, steps, batch_size, learning_rate, ema_decay)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=learning_rate, betas=(0.9, 0.99), weight_decay=weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: _rate(n, steps))
    average = {name: value.clone() for name, value in model.state_dict().items()}
    losses = np.zeros(steps)
    model.train()
    batches = _batches(data, batch_size, generator)
    for step in tqdm(range(steps), disable=not progress):
        value = loss(model, *next(batches), generator)
        losses[step] = value.item()
        require(
            bool(np.isfinite(losses[step])),
            f"train: loss is {losses[step]} at step {step}, expected a finite number; "
            f"try a learning rate below {learning_rate}",
        )
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if ema_decay is not None:
            _update_average(average, model, min(ema_decay, (1 + step) / (10 + step)))
    if ema_decay is not None:
        model.load_state_dict(average)
    model.eval()
    return losses


def shift_images(
    images: Tensor, max_shift: int, generator: torch.Generator, background: float = -1.0
) -> Tensor:
    r"""$y_{b,c,i,j} = x_{b,c,i+u_b,j+v_b}$ with u, v whole numbers from -max_shift to max_shift.

    Moves every image by its own random offset; what comes in from outside is ``background``.

    Args: images (B, C, H, W); generator, the source of the offsets.
    Returns: shifted images, the shape and dtype of images.
    """
    shapes("shift_images", images=(images, "B C H W"))
    numbers("shift_images", images=images)
    positive("shift_images", max_shift=max_shift)
    batch, _, height, width = images.shape
    require(
        max_shift < min(height, width),
        f"shift_images: max_shift is {max_shift}, expected less than the image side "
        f"{min(height, width)}",
    )
    padded = pad(images, [max_shift] * 4, value=background)
    offsets = torch.randint(0, 2 * max_shift + 1, (2, batch, 1), generator=generator)
    rows = (torch.arange(height) + offsets[0])[:, :, None]
    columns = (torch.arange(width) + offsets[1])[:, None, :]
    samples = torch.arange(batch)[:, None, None]
    # indices around the channel axis put it last: (B, H, W, C)
    return padded[samples, :, rows, columns].permute(0, 3, 1, 2)


def save_weights(
    model: nn.Module, name: str, card: dict[str, Any], directory: Path = WEIGHTS
) -> None:
    """Write ``name.safetensors`` (float16) and its card ``name.json``.

    The card records what is in ``card`` (seed, command, settings, metrics), the number of
    parameters, the versions of the libraries and the sha256 of the weights. float16 halves the
    file; measure the metrics of a card on weights that went through ``load_weights``.
    """
    state = {key: value.to(torch.float16).contiguous() for key, value in model.state_dict().items()}
    content = save(state)
    (directory / f"{name}.safetensors").write_bytes(content)
    record = card | {
        "parameters": sum(p.numel() for p in model.parameters()),
        "versions": {library: version(library) for library in ("torch", "numpy", "safetensors")},
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    (directory / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n")


def read_card(name: str, directory: Path = WEIGHTS) -> dict[str, Any]:
    """The card of shipped weights, or of a comparison: seed, versions, command, metrics.

    Raises: FileNotFoundError naming what is there, if no card has that name.
    """
    path = directory / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(card.stem for card in directory.glob("*.json"))) or "none"
        raise FileNotFoundError(f"read_card: name is {name!r}, expected one of: {known}")
    return json.loads(path.read_text())


def load_weights(name: str, directory: Path = WEIGHTS) -> dict[str, Tensor]:
    """The state dict of shipped weights in float32, for ``model.load_state_dict``.

    Raises: FileNotFoundError for an unknown name; ValueError if the file is not the one that
    its card describes, or is no safetensors file.
    """
    card = read_card(name, directory)
    path = directory / f"{name}.safetensors"
    if not path.is_file():
        raise FileNotFoundError(f"load_weights: {path.name} is missing; `make train` writes it")
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    require(
        digest == card["sha256"],
        f"load_weights: {path.name} is damaged: its sha256 begins {digest[:12]}, expected "
        f"{card['sha256'][:12]} as its card says; fetch the file again or run `make train`",
    )
    try:
        return {key: value.float() for key, value in load(content).items()}
    except SafetensorError as error:
        raise ValueError(f"load_weights: {path.name} is no safetensors file: {error}") from error


def _rate(step: int, steps: int) -> float:
    """Learning rate at a step, as a share of its maximum: linear rise, then a cosine to 1%."""
    warmup = max(1, steps // 10)
    fall = 0.5 * (1 + np.cos(np.pi * min(1.0, step / steps)))
    return min(1.0, (step + 1) / warmup) * (0.01 + 0.99 * fall)


def _batches(
    data: tuple[Tensor, ...], batch_size: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, ...]]:
    """Full batches without end; every pass over the data has a new order."""
    while True:
        order = torch.randperm(len(data[0]), generator=generator)
        for rows in order[: len(order) // batch_size * batch_size].split(batch_size):
            yield tuple(values[rows] for values in data)


@torch.no_grad()
def _update_average(average: dict[str, Tensor], model: nn.Module, decay: float) -> None:
    for name, value in model.state_dict().items():
        average[name].lerp_(value, 1 - decay)


def _require_training(
    data: tuple[Tensor, ...],
    steps: int,
    batch_size: int,
    learning_rate: float,
    ema_decay: float | None,
) -> None:
    require(
        isinstance(data, tuple) and len(data) > 0,
        f"train: data is a {type(data).__name__}, expected a tuple of tensors of one length",
    )
    lengths = [len(values) for values in data]
    require(
        lengths[0] > 0 and len(set(lengths)) == 1,
        f"train: data has lengths {lengths}, expected one length of at least 1",
    )
    positive("train", steps=steps, batch_size=batch_size)
    require(
        batch_size <= lengths[0],
        f"train: batch_size is {batch_size}, expected at most the {lengths[0]} rows of data",
    )
    require(
        learning_rate > 0, f"train: learning_rate is {learning_rate}, expected a positive number"
    )
    require(
        ema_decay is None or 0 < ema_decay < 1,
        f"train: ema_decay is {ema_decay}, expected a number between 0 and 1",
    )
