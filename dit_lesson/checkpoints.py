"""What is kept on disk: weights with their cards, released weights, the state of a run.

A card says how weights were made and which model they belong to, so that `load_model` needs no
more than a name. Every write is atomic: a reader finds the old file or the new one, of weights and
card the old pair or the new one.
"""

import hashlib
import io
import json
import os
import pickle
import zipfile
from argparse import Namespace
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, load_file, save
from torch import Tensor, nn

from dit_lesson.autoencoder import Autoencoder
from dit_lesson.models import DiT, DiTConfig, ViT
from dit_lesson.validation import one_of, require

WEIGHTS = Path(__file__).parent / "weights"


def _judge(**arguments: int) -> nn.Module:
    from dit_lesson.evaluation import Judge  # which loads its judge from here

    return Judge(**arguments)


def _words_dit(way: str) -> nn.Module:
    from dit_lesson.experiments.words import WordsDiT  # which loads its judge from here

    return WordsDiT(way)


#: How a card's "model" is made from its "arguments".
MODELS: dict[str, Callable[..., nn.Module]] = {
    "ViT": ViT,
    "Autoencoder": Autoencoder,
    "DiT": lambda **config: DiT(DiTConfig(**config)),
    "Judge": _judge,
    "WordsDiT": _words_dit,
}


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file as a whole, or leave the old one as it was.

    The bytes go to a hidden neighbour and reach the disk before it takes the name, so that a
    process that is killed, or a disk that is full, leaves the old content.

    Args:
        path: of the file, in a folder that is there.
        content: all of it.
    Raises: OSError, for example for a full disk; the neighbour is then removed.
    """
    neighbour = path.with_name(f".{path.name}.partial")
    try:
        with neighbour.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(neighbour, path)
    except OSError:
        neighbour.unlink(missing_ok=True)
        raise


def read_record(function: str, name: str, directory: Path) -> dict[str, Any]:
    """What ``name.json`` says.

    Args:
        function: the name of the caller, for the errors.
        name: of the record, without ``.json``.
        directory: where the records are.
    Raises: FileNotFoundError naming what is there, if no record has that name; ValueError for a
    file that is damaged.
    """
    path = directory / f"{name}.json"
    if not path.is_file():
        known = ", ".join(sorted(record.stem for record in directory.glob("*.json"))) or "none"
        raise FileNotFoundError(f"{function}: name is {name!r}, expected one of: {known}")
    try:
        record = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{function}: {path.name} is damaged, it is no JSON: {error}") from error
    require(isinstance(record, dict), f"{function}: {path.name} is damaged, expected names in it")
    return record


# --- weights and cards --------------------------------------------------------------------


def build_model(card: Mapping[str, Any]) -> nn.Module:
    """The model that a card describes, with random weights.

    Args:
        card: "model", one of `MODELS`; "arguments", those of the model or of its config by name.
    Raises: ValueError for another model, or arguments that it does not have.
    """
    name: Any = card.get("model")
    arguments: Any = card.get("arguments")
    one_of("build_model", MODELS, model=name)
    try:
        return MODELS[name](**arguments)
    except TypeError as error:
        raise ValueError(f"build_model: arguments do not fit {name}: {error}") from error


def load_model(name: str | Path, directory: Path = WEIGHTS) -> Any:
    """A trained model in eval mode: `build_model` of its card, with its weights in float32.

    Args:
        name: of weights with a card, or a path to a ``.safetensors`` file that says itself which
            model it is, as a page of the book saves it: its metadata hold "model", one of
            `MODELS`, and "arguments", as JSON.
        directory: where the name is looked for; not for a path.
    Raises: FileNotFoundError for an unknown name or a file that is not there; ValueError for
    weights that are damaged, without a model or of another one.
    """
    if isinstance(name, Path) or name.endswith(".safetensors"):
        card, state = _read_model(Path(name))
    else:
        card, state = read_card(name, directory), load_weights(name, directory)
    model = build_model(card)
    require_fit("load_model", Path(name).name, state, model.state_dict())
    model.load_state_dict(state)
    return model.eval()


def _read_model(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a file says about its model, as a card does, and its tensors in float32."""
    if not path.is_file():
        raise FileNotFoundError(f"load_model: there is no file {path}")
    try:
        with safe_open(path, "pt") as file:
            said = file.metadata() or {}
            state = {key: file.get_tensor(key).float() for key in file.keys()}
    except SafetensorError as error:
        raise ValueError(f"load_model: {path.name} is no safetensors file: {error}") from error
    for key in ("model", "arguments"):
        require(key in said, f"load_model: {path.name} has no {key!r} in its metadata, expected it")
    try:
        arguments = json.loads(said["arguments"])
    except ValueError as error:
        raise ValueError(
            f"load_model: arguments in the metadata of {path.name} are no JSON: {error}"
        ) from error
    return {"model": said["model"], "arguments": arguments}, state


def save_weights(
    model: nn.Module, name: str, card: dict[str, Any], directory: Path = WEIGHTS
) -> None:
    """Write ``name.safetensors`` (float16) and its card ``name.json``.

    The card records what is in ``card`` (what `build_model` needs, seed, command, settings,
    metrics), the number of parameters, the versions of the libraries and the sha256 of the
    weights. float16 halves the file: round a model (``model.half().float()``) before its metrics
    are measured.

    Where there is a pair of that name, it becomes the new one at once, when the new card takes its
    place: until then the new weights wait beside the old ones, under a name with their sha256,
    where `load_weights` finds them if the writer was stopped before its last step.

    Args:
        model: whose state dict is written.
        name: of the two files.
        card: what is to be recorded, as JSON can hold it.
        directory: where the files go.
    Raises: OSError, for example for a full disk; a pair that was there is then unchanged.
    """
    state = {key: value.to(torch.float16).contiguous() for key, value in model.state_dict().items()}
    content = save(state)
    sha256 = hashlib.sha256(content).hexdigest()
    record = card | {
        "parameters": sum(p.numel() for p in model.parameters()),
        "versions": {library: version(library) for library in ("torch", "numpy", "safetensors")},
        "sha256": sha256,
    }
    waiting = _waiting(name, sha256, directory)
    write_atomically(waiting, content)
    write_atomically(directory / f"{name}.json", (json.dumps(record, indent=2) + "\n").encode())
    os.replace(waiting, directory / f"{name}.safetensors")


def _waiting(name: str, sha256: str, directory: Path) -> Path:
    """Where weights wait until their card is written."""
    return directory / f".{name}-{sha256}.partial"


def read_card(name: str, directory: Path = WEIGHTS) -> dict[str, Any]:
    """The card of shipped weights: model and arguments, command, seed, versions, metrics.

    Args:
        name: of the weights, for example "digits-dit".
        directory: where the cards are.
    Raises: FileNotFoundError naming what is there, if no card has that name; ValueError for a card
    that is damaged.
    """
    return read_record("read_card", name, directory)


def load_weights(name: str, directory: Path = WEIGHTS) -> dict[str, Tensor]:
    """The state dict of shipped weights in float32, for ``model.load_state_dict``.

    Args:
        name: of the weights, for example "digits-dit".
        directory: where the weights and their cards are.
    Raises: FileNotFoundError for an unknown name; ValueError if the file is not the one that
    its card describes, or is no safetensors file.
    """
    card = read_card(name, directory)
    require("sha256" in card, f"load_weights: {name}.json is damaged, it has no sha256")
    path = _waiting(name, card["sha256"], directory)
    if not path.is_file():
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


# --- released weights ---------------------------------------------------------------------


def load_released(path: str | Path, config: DiTConfig) -> DiT:
    """A `DiT` with the weights of a ``.pt`` or ``.safetensors`` file, all of them or none.

    The file holds a state dict, or a training checkpoint with the state dict under "ema"
    (preferred) or "model". Only tensors are read from a ``.pt``, no code is run. ``pos_embed``
    may be absent.

    Args:
        path: of the file, as it was released.
        config: of the model, for example ``DIT_CONFIGS["DiT-XL/2"]``.
    Raises: FileNotFoundError; ValueError, naming the first key that does not fit.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"load_released: there is no file {path}")
    given = _read_state(path)
    model = DiT(config)
    expected = model.state_dict()
    given.setdefault("pos_embed", expected["pos_embed"])
    require_fit("load_released", path.name, given, expected)
    model.load_state_dict(given)
    return model


def require_fit(
    function: str, file: str, given: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> None:
    """Refuse a state dict of another model, by the first key that does not fit.

    Args:
        function: the name of the caller.
        file: the name of the file that held the state dict.
        given: tensors by name, of any shape.
        expected: the state dict of the model.
    Raises: ValueError.
    """
    for key in (*expected, *given):
        require(key in given, f"{function}: {file} has no {key}, which this model needs")
        require(key in expected, f"{function}: {file} holds {key}, which this model does not have")
        require(
            given[key].shape == expected[key].shape,
            f"{function}: {key} has shape {tuple(given[key].shape)} in {file}, "
            f"expected {tuple(expected[key].shape)}",
        )


def _read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # a training checkpoint also holds its command line, which is plain data
        with torch.serialization.safe_globals([Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"load_released: {path.name} is no file of weights ({type(error).__name__}), expected "
            "a state dict as .pt or .safetensors"
        ) from error
    for wrapper in ("ema", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
            break
    require(
        isinstance(content, dict) and all(isinstance(v, Tensor) for v in content.values()),
        f"load_released: {path.name} holds no state dict, expected tensors by name",
    )
    return dict(content)


# --- the state of a run -------------------------------------------------------------------


def save_state(path: str | Path, state: Mapping[str, Any]) -> None:
    """Write tensors, numbers and dicts of them to one file, atomically.

    Args:
        path: of the file, in a folder that is there.
        state: what is written, by name.
    Raises: OSError, for example for a full disk; a file that was there is then unchanged.
    """
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    write_atomically(Path(path), buffer.getvalue())


def load_state(path: str | Path) -> dict[str, Any]:
    """What `save_state` wrote, on the CPU. No code of the file is run.

    Args:
        path: of the file.
    Raises: FileNotFoundError; ValueError for a file that is damaged or something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"load_state: there is no file {path}")
    sentence = f"load_state: {path.name} is damaged or no state of a run"
    with path.open("rb") as file:
        try:
            damaged = zipfile.ZipFile(file).testzip()  # torch does not look at the checksums
            file.seek(0)
            state = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # torch has no error of its own for a file that it cannot read
            raise ValueError(f"{sentence} ({type(error).__name__})") from error
    require(damaged is None and isinstance(state, dict), sentence)
    return state
