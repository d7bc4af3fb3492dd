"""What is kept on disk: weights and cards, released weights, and writes that are whole."""

import argparse
import errno
import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from dit_lesson.checkpoints import (
    WEIGHTS,
    build_model,
    load_model,
    load_released,
    load_state,
    load_weights,
    read_card,
    save_state,
    save_weights,
)
from dit_lesson.data import digits
from dit_lesson.diffusion import linear_betas
from dit_lesson.experiments.shipped import SHIPPED
from dit_lesson.models import DiT, DiTConfig
from dit_lesson.sampling import ancestral, guided, respace, sample

# --- weights and cards --------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    save_weights(model, "small", {"seed": 0}, tmp_path)
    return model, tmp_path


def test_weights_return_within_float16_and_the_card_says_what_they_are(saved):
    model, directory = saved
    state = load_weights("small", directory)
    assert {value.dtype for value in state.values()} == {torch.float32}
    torch.testing.assert_close(state, dict(model.state_dict()), rtol=1e-3, atol=1e-6)
    card = read_card("small", directory)
    assert card["seed"] == 0 and card["parameters"] == 8 and len(card["sha256"]) == 64
    assert card["versions"]["torch"] == torch.__version__
    assert (directory / "small.json").read_text() == json.dumps(card, indent=2) + "\n"


def test_saving_twice_gives_the_same_bytes(saved):
    model, directory = saved
    before = (directory / "small.safetensors").read_bytes()
    save_weights(model, "small", {"seed": 0}, directory)
    assert (directory / "small.safetensors").read_bytes() == before
    assert {path.name for path in directory.iterdir()} == {"small.json", "small.safetensors"}


def test_damaged_weights_get_one_sentence(saved):
    _, directory = saved
    path = directory / "small.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="load_weights: small.safetensors is damaged: its sha256"):
        load_weights("small", directory)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="small.safetensors is missing; `make train`"):
        load_weights("small", directory)


def test_a_file_that_is_no_safetensors_gets_one_sentence(saved):
    _, directory = saved
    (directory / "small.safetensors").write_bytes(b"")
    card = read_card("small", directory)
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    (directory / "small.json").write_text(json.dumps(card | {"sha256": empty}))
    with pytest.raises(ValueError, match="small.safetensors is no safetensors file"):
        load_weights("small", directory)


def stop_at(monkeypatch, count):
    """The process ends when the file that is written as number `count` would take its name."""
    names, replace = [], os.replace

    def stopped(source, target):
        names.append(target)
        if len(names) == count:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", stopped)


RENAMES = (1, 2, 3)  # weights that wait, the card, the weights' own name


@pytest.mark.parametrize("count", RENAMES)
def test_a_writer_that_is_stopped_leaves_a_new_name_whole_or_not_there(
    tmp_path, monkeypatch, count
):
    stop_at(monkeypatch, count)
    with pytest.raises(KeyboardInterrupt):
        save_weights(nn.Linear(3, 2), "small", {}, tmp_path)
    if count < 3:
        with pytest.raises(FileNotFoundError, match="name is 'small', expected one of: none"):
            load_weights("small", tmp_path)
    else:
        assert load_weights("small", tmp_path)["weight"].shape == (2, 3)


@pytest.mark.parametrize("second", RENAMES)
@pytest.mark.parametrize("first", RENAMES)
def test_a_writer_that_is_stopped_leaves_the_old_pair_or_the_new_one(
    tmp_path, monkeypatch, first, second
):
    """Twice in a row, the second time perhaps over a pair that was not finished."""

    def of_number(number):
        model = nn.Linear(3, 2)
        nn.init.constant_(model.weight, number)
        return model, "small", {"number": number}, tmp_path

    save_weights(*of_number(0))
    expected = 0
    for number, count in ((1, first), (2, second)):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            stop_at(patch, count)
            save_weights(*of_number(number))
        if count == 3:  # the new card is there
            expected = number
        assert read_card("small", tmp_path)["number"] == expected
        assert (load_weights("small", tmp_path)["weight"] == expected).all()
    save_weights(*of_number(3))
    assert read_card("small", tmp_path)["number"] == 3
    assert (load_weights("small", tmp_path)["weight"] == 3).all()


def test_a_disk_that_is_full_when_the_card_is_written_leaves_the_old_pair(saved, monkeypatch):
    _, directory = saved
    card, state, replace = (
        read_card("small", directory),
        load_weights("small", directory),
        os.replace,
    )

    def full(source, target):
        if target.suffix == ".json":
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        save_weights(nn.Linear(3, 2), "small", {"seed": 1}, directory)
    assert read_card("small", directory) == card
    torch.testing.assert_close(load_weights("small", directory), state, rtol=0, atol=0)


def test_an_unknown_name_lists_the_known_ones(saved):
    with pytest.raises(FileNotFoundError, match="name is 'smal', expected one of: small"):
        load_weights("smal", saved[1])


def test_a_card_of_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="build_model: model is 'GAN', expected 'ViT', "):
        build_model({"model": "GAN", "arguments": {}})
    for arguments in ({"colour": 3}, [1], None):
        with pytest.raises(ValueError, match="build_model: arguments do not fit DiT: "):
            build_model({"model": "DiT", "arguments": arguments})


# --- the shipped models -------------------------------------------------------------------


def test_every_weight_that_ships_has_an_experiment_that_makes_it():
    assert {path.stem for path in WEIGHTS.glob("*.safetensors")} == set(SHIPPED)
    assert {path.stem for path in WEIGHTS.glob("*.json")} == set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_name_is_all_that_a_shipped_model_needs(name):
    model = load_model(name)
    assert not model.training and not any(value.isnan().any() for value in model.parameters())
    assert sum(value.numel() for value in model.parameters()) == read_card(name)["parameters"]


@pytest.mark.parametrize("name", SHIPPED)
def test_the_metrics_of_a_card_are_those_of_the_shipped_weights(name):
    """Measured again by the function that wrote them, within their last digit or two."""
    metrics, card = SHIPPED[name].measure(load_model(name)), read_card(name)["metrics"]
    assert metrics.keys() == card.keys()
    for key, value in card.items():
        assert metrics[key] == pytest.approx(value, rel=0.01, abs=0.002), key


def test_the_shipped_vit_is_good_by_a_count_of_its_own():
    images, labels = digits("test", 28)
    with torch.no_grad():
        named = load_model("vit")(images).argmax(dim=1)
    assert (named == labels).sum() >= 950


# --- a model in one file, as a page saves it -----------------------------------------------

SMALL = DiTConfig(input_size=8, hidden_size=32, depth=3, num_heads=4, num_classes=10)


def make(seed=0):
    """A model that answers with more than zeros."""
    torch.manual_seed(seed)
    model = DiT(SMALL).eval()
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return model


METADATA = {"model": "DiT", "arguments": json.dumps(asdict(SMALL))}
WIDER = json.dumps(asdict(SMALL) | {"hidden_size": 64})


@pytest.mark.parametrize("as_path", [str, Path])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_file_that_says_its_model_is_all_that_it_needs(tmp_path, as_path, dtype):
    source, path = make(), tmp_path / "dit.safetensors"
    state = {key: value.to(dtype) for key, value in source.state_dict().items()}
    save_file(state, path, metadata=METADATA)
    loaded = load_model(as_path(path))
    assert loaded.config == SMALL and not loaded.training
    assert {value.dtype for value in loaded.state_dict().values()} == {torch.float32}
    for key, value in loaded.state_dict().items():
        assert torch.equal(value, state[key].float()), key


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        (None, "load_model: dit.safetensors has no 'model' in its metadata, expected it"),
        ({"model": "DiT"}, "load_model: dit.safetensors has no 'arguments' in its metadata"),
        (METADATA | {"model": "GAN"}, "build_model: model is 'GAN', expected 'ViT', "),
        (METADATA | {"arguments": "{"}, "load_model: arguments in the metadata of dit.safetensors"),
        (METADATA | {"arguments": "[3]"}, "build_model: arguments do not fit DiT"),
        (METADATA | {"arguments": '{"colour": 3}'}, "build_model: arguments do not fit DiT"),
        (METADATA | {"arguments": '{"depth": 0}'}, "DiTConfig: depth is 0"),
        (METADATA | {"arguments": WIDER}, "load_model: pos_embed has shape .* in dit.safetensors"),
        ({"model": "ViT", "arguments": "{}"}, "load_model: dit.safetensors has no cls_token"),
    ],
)
def test_a_file_that_does_not_say_its_model_gets_a_sentence(tmp_path, metadata, sentence):
    save_file(make().state_dict(), tmp_path / "dit.safetensors", metadata=metadata)
    with pytest.raises(ValueError, match=sentence):
        load_model(tmp_path / "dit.safetensors")


def test_a_model_that_is_damaged_or_gone_gets_a_sentence(tmp_path):
    path = tmp_path / "dit.safetensors"
    with pytest.raises(FileNotFoundError, match="load_model: there is no file"):
        load_model(str(path))
    save_file(make().state_dict(), path, metadata=METADATA)
    whole = path.read_bytes()
    for content in (b"", b"no weights", whole[:300], whole[:-1]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="load_model: dit.safetensors is no safetensors file"):
            load_model(path)


# --- released weights ---------------------------------------------------------------------


def answer(model):
    x = torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    return model.eval()(x, torch.arange(4) * 250, torch.arange(4))


@pytest.mark.parametrize("wrapper", [None, "ema", "model"])
@pytest.mark.parametrize("with_positions", [True, False])
def test_released_weights_load_from_pt(tmp_path, wrapper, with_positions):
    source = make()
    state = source.state_dict()
    if not with_positions:
        del state["pos_embed"]
    content = {wrapper: state, "args": argparse.Namespace(lr=1e-4)} if wrapper else state
    torch.save(content, tmp_path / "weights.pt")
    loaded = load_released(tmp_path / "weights.pt", SMALL)
    assert torch.equal(answer(loaded), answer(source)) and answer(loaded).any()


def test_the_average_is_preferred_to_the_raw_weights(tmp_path):
    average, raw = make(), make(seed=8)
    content = {"model": raw.state_dict(), "ema": average.state_dict()}
    torch.save(content, tmp_path / "weights.pt")
    assert torch.equal(answer(load_released(tmp_path / "weights.pt", SMALL)), answer(average))


def test_released_weights_load_from_safetensors(tmp_path):
    source = make()
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    loaded = load_released(str(tmp_path / "weights.safetensors"), SMALL)
    assert torch.equal(answer(loaded), answer(source))


def test_released_weights_are_sampled_with_250_steps_guidance_and_their_learned_variance(tmp_path):
    source, noise, told = make(), torch.randn(2, 4, 8, 8), []
    torch.save(source.state_dict(), tmp_path / "weights.pt")
    path = respace(linear_betas(1000), 250)

    def paint(model):
        def listening(x, t, y):
            told.append(int(t[0]))
            return model(x, t, y)

        answers = guided(listening, torch.tensor([3, 7]), null=10, scale=4.0, channels=3)
        step = ancestral(torch.Generator().manual_seed(0), "learned")
        return sample(answers, noise, path, 250, step)

    painted = paint(load_released(tmp_path / "weights.pt", SMALL).eval())
    assert told == path.steps.flip(0).tolist() and told[0] == 999 and told[-1] == 0
    assert painted.isfinite().all() and torch.equal(painted, paint(source))


class Trap:
    """Unpickled by the unwary, it runs code."""

    def __reduce__(self):
        return (eval, ("1 / 0",))


def shorter(state):
    return {k: v for k, v in state.items() if k != "blocks.1.mlp.fc2.bias"}


WRONG_FILES = {
    "missing": (shorter, "weights.pt has no blocks.1.mlp.fc2.bias, which this model needs"),
    "extra": (
        lambda state: state | {"blocks.3.attn.qkv.bias": torch.zeros(96)},
        "weights.pt holds blocks.3.attn.qkv.bias, which this model does not have",
    ),
    "shape": (
        lambda state: state | {"t_embedder.mlp.2.bias": torch.zeros(33)},
        r"t_embedder.mlp.2.bias has shape \(33,\) in weights.pt, expected \(32,\)",
    ),
    "positions": (
        lambda state: state | {"pos_embed": torch.zeros(1, 64, 32)},
        r"pos_embed has shape \(1, 64, 32\) in weights.pt, expected \(1, 16, 32\)",
    ),
    "no dict": (lambda state: list(state.values()), "weights.pt holds no state dict"),
    "no tensors": (lambda state: {"epoch": 3}, "weights.pt holds no state dict"),
    "code": (lambda state: {"x": Trap()}, r"weights.pt is no file of weights \(UnpicklingError\)"),
}


def test_no_code_of_a_state_is_run(tmp_path):
    torch.save({"steps_done": Trap()}, tmp_path / "run.pt")
    with pytest.raises(ValueError, match="load_state: run.pt is damaged or no state of a run"):
        load_state(tmp_path / "run.pt")


def test_a_bit_that_flipped_anywhere_in_a_state_is_noticed(tmp_path):
    save_state(tmp_path / "run.pt", {"steps_done": 3, "model": {"weight": torch.ones(20)}})
    whole = (tmp_path / "run.pt").read_bytes()
    expected = load_state(tmp_path / "run.pt")
    for place in range(0, len(whole), 7):
        content = bytearray(whole)
        content[place] ^= 16
        (tmp_path / "run.pt").write_bytes(content)
        try:
            state = load_state(tmp_path / "run.pt")
        except ValueError as error:
            assert "load_state: run.pt is damaged or no state of a run" in str(error)
        else:  # a byte that nobody reads
            assert state["steps_done"] == 3
            assert torch.equal(state["model"]["weight"], expected["model"]["weight"])


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_damaged_card_gets_one_sentence(saved, content):
    (saved[1] / "small.json").write_text(content)
    with pytest.raises(ValueError, match="read_card: small.json is damaged"):
        read_card("small", saved[1])


@pytest.mark.parametrize("case", WRONG_FILES)
def test_a_wrong_file_gets_a_sentence(tmp_path, case):
    change, sentence = WRONG_FILES[case]
    torch.save(change(make().state_dict()), tmp_path / "weights.pt")
    with pytest.raises(ValueError, match=f"load_released: {sentence}"):
        load_released(tmp_path / "weights.pt", SMALL)


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights at all, but long enough to be read"])
def test_a_damaged_file_gets_a_sentence(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"load_released: {name} is no file of weights"):
        load_released(tmp_path / name, SMALL)


def test_a_missing_file_gets_a_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="load_released: there is no file"):
        load_released(tmp_path / "nowhere.pt", SMALL)
