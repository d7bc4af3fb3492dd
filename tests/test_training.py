"""The training loop, the shifts, and the weights on disk."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from dit_lesson.data import load_digits, scale_digits
from dit_lesson.models import ViT
from dit_lesson.training import load_weights, read_card, save_weights, shift_images, train

X = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
Y = X @ torch.tensor([[1.0], [-2.0], [0.5]])


def squared_error(model, x, y, generator):
    return ((model(x) - y) ** 2).mean()


def fit(seed=0, data=(X, Y), loss=squared_error, **options):
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    settings = {"steps": 200, "batch_size": 16, "learning_rate": 0.05} | options
    return model, train(model, loss, data, seed=seed, **settings)


# --- the loop -----------------------------------------------------------------------------


def test_learns_a_linear_map_and_ends_in_eval_mode():
    model, losses = fit()
    assert losses.shape == (200,) and losses.dtype == np.float64
    assert losses[-1] < 1e-3 * losses[0]
    assert not model.training


def test_same_seed_same_losses_and_another_seed_another_order():
    _, first = fit(seed=1)
    np.testing.assert_array_equal(first, fit(seed=1)[1])
    assert not np.array_equal(first, fit(seed=2)[1])


def test_noise_of_the_loss_comes_from_the_seed():
    def noisy(model, x, y, generator):
        return squared_error(model, x + torch.randn(x.shape, generator=generator), y, generator)

    np.testing.assert_array_equal(fit(loss=noisy)[1], fit(loss=noisy)[1])


def test_rows_stay_together_and_every_row_comes_once_per_pass():
    seen = []

    def watch(model, x, y, generator):
        seen.append(x[:, 0].clone())
        assert torch.equal(y[:, 0], 10 * x[:, 0])
        return squared_error(model, x, y, generator)

    rows = torch.arange(12.0)[:, None].repeat(1, 3)
    fit(data=(rows, 10 * rows[:, :1]), loss=watch, steps=6, batch_size=4)
    for batches in (seen[:3], seen[3:]):
        assert sorted(torch.cat(batches).tolist()) == list(range(12))
    assert not torch.equal(torch.cat(seen[:3]), torch.cat(seen[3:]))


def test_average_ends_between_start_and_plain_weights():
    plain, averaged = fit(steps=30)[0], fit(steps=30, ema_decay=0.999)[0]
    torch.manual_seed(0)
    start = nn.Linear(3, 1)
    to_start = (averaged.weight - start.weight).norm()
    assert 0 < to_start < (plain.weight - start.weight).norm()


def test_silent_unless_asked(capfd):
    fit(steps=3)
    assert capfd.readouterr() == ("", "")
    fit(steps=3, progress=True)
    assert "3/3" in capfd.readouterr().err


# --- shifts -------------------------------------------------------------------------------


def test_every_shift_is_a_whole_offset_and_all_of_them_occur():
    image = torch.full((1, 1, 7, 7), -1.0)
    image[0, 0, 3, 3] = 1.0
    moved = shift_images(image.repeat(500, 1, 1, 1), 2, torch.Generator().manual_seed(0))
    assert moved.shape == (500, 1, 7, 7)
    assert (moved.sum(dim=(1, 2, 3)) == image.sum()).all()
    places = {tuple(p[1:]) for p in (moved[:, 0] == 1).nonzero().tolist()}
    assert places == {(row, column) for row in range(1, 6) for column in range(1, 6)}


def test_what_comes_in_is_background_and_channels_move_together():
    image = torch.arange(2 * 25.0).reshape(1, 2, 5, 5)
    moved = shift_images(image.repeat(50, 1, 1, 1), 1, torch.Generator().manual_seed(0), -7.0)
    inside = moved[:, :, 1:-1, 1:-1]
    assert (inside[:, 1] - inside[:, 0] == 25).all()
    assert -7.0 in moved and moved.max() == 49.0


# --- weights on disk ----------------------------------------------------------------------


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


def test_saving_twice_gives_the_same_bytes(saved):
    model, directory = saved
    before = (directory / "small.safetensors").read_bytes()
    save_weights(model, "small", {"seed": 0}, directory)
    assert (directory / "small.safetensors").read_bytes() == before


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


def test_an_unknown_name_lists_the_known_ones(saved):
    with pytest.raises(FileNotFoundError, match="name is 'smal', expected one of: small"):
        load_weights("smal", saved[1])


def test_shipped_vit_names_held_out_digits_as_its_card_says():
    card = read_card("vit")
    model = ViT(**card["arguments"])
    model.load_state_dict(load_weights("vit"))
    images, labels = load_digits("test")
    with torch.no_grad():
        named = model.eval()(torch.from_numpy(scale_digits(images))).argmax(dim=1).numpy()
    right = (named == labels).mean()
    assert right == pytest.approx(card["metrics"]["test_accuracy"], abs=0.003)
    assert right >= 0.95


# --- refusals -----------------------------------------------------------------------------

IMAGES = torch.zeros(2, 1, 4, 4)
G = torch.Generator()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: fit(data=(X, Y[:5])), r"train: data has lengths \[64, 5\]"),
        (lambda: fit(data=(X[:0], Y[:0])), r"train: data has lengths \[0, 0\]"),
        (lambda: fit(data=X), "train: data is a Tensor, expected a tuple"),
        (lambda: fit(steps=0), "train: steps is 0"),
        (lambda: fit(batch_size=65), "train: batch_size is 65, expected at most the 64 rows"),
        (lambda: fit(learning_rate=0.0), "train: learning_rate is 0.0"),
        (lambda: fit(ema_decay=1.0), "train: ema_decay is 1.0"),
        (lambda: fit(data=(X * torch.nan, Y)), "train: loss is nan at step 0"),
        (lambda: shift_images(IMAGES[0], 1, G), "shift_images: images has shape"),
        (lambda: shift_images(IMAGES[:0], 1, G), "shift_images: images is empty"),
        (lambda: shift_images(IMAGES.int(), 1, G), "shift_images: images has dtype"),
        (lambda: shift_images(IMAGES, 0, G), "shift_images: max_shift is 0"),
        (lambda: shift_images(IMAGES, 4, G), "shift_images: max_shift is 4, expected less than"),
    ],
)
def test_wrong_input_gets_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
