"""The experiment of chapter 18: canvases, captions, six ways for words, and judging."""

import base64

import pytest
import torch

from dit_lesson.experiments import read_result
from dit_lesson.experiments import words as w

X = torch.randn(3, 8, 4, 8, generator=torch.Generator().manual_seed(0))
T = torch.tensor([100.0, 500.0, 900.0])
Y = w.encode(["upright three left-of tilted seven", "tilted one left-of tilted two", ""])
SWAPPED = w.encode(["tilted seven left-of upright three", "tilted two left-of tilted one", ""])


def woken(way):
    """A model whose zeros are filled, so that words can act."""
    torch.manual_seed(0)
    model = w.WordsDiT(way).eval()
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return model


@pytest.mark.parametrize("way", w.WAYS)
def test_a_model_starts_with_one_answer_for_everything(way):
    answer = w.WordsDiT(way).eval()(X, T, Y)
    assert answer.shape == X.shape
    assert torch.equal(answer, answer[:1, :, :1, :1].expand_as(X))


@pytest.mark.parametrize("way", w.WAYS)
def test_only_the_mean_cannot_tell_a_caption_from_its_mirror(way):
    model = woken(way)
    with torch.no_grad():
        gap = (model(X, T, Y) - model(X, T, SWAPPED))[:2].abs().max()
        other = (model(X, T, Y) - model(X, T, Y.flip(0)))[:2].abs().max()
    assert other > 1e-3
    assert (gap < 1e-4) == (way == "pooled")


def test_an_unknown_way_and_a_wrong_canvas_get_one_sentence():
    with pytest.raises(ValueError, match="WordsDiT: way is 'tokens', expected"):
        w.WordsDiT("tokens")
    with pytest.raises(ValueError, match="WordsDiT: x has shape"):
        w.WordsDiT("pooled")(X[..., :4], T, Y)


def test_costs_are_comparable_and_written_down():
    for run in read_result("words-comparison")["runs"]:
        assert w.cost(run["way"]) == {key: run[key] for key in ("parameters", "macs")}
    macs = [w.cost(way)["macs"] for way in w.WAYS]
    assert max(macs) < 1.2 * min(macs)


def test_canvases_hold_what_their_captions_say_and_no_held_out_pair():
    x, y = w.canvases(3000)
    assert x.shape == (len(y), 8, 4, 8) and len(y) < 3000
    pairs = (y[:, [1, 4]] - w.encode(["zero"])[0, 0]).tolist()
    assert not {tuple(pair) for pair in pairs} & set(w.HELD_OUT)
    assert {(b, a) for a, b in w.HELD_OUT} <= {tuple(pair) for pair in pairs}
    asked = torch.stack([y[:, 0] - 1, y[:, 1] - 3, y[:, 3] - 1, y[:, 4] - 3], dim=1)[:200]
    found = w.seen(x[:200])
    assert (found == asked).double().mean() > 0.95
    assert torch.equal(w.encode(w.captions(asked)), y[:200])


def test_tests_ask_for_every_pair_and_for_no_digit_twice():
    for name, asked in w.TESTS.items():
        pairs = {tuple(pair) for pair in asked[:, 1::2].tolist()}
        assert all(a != b for a, b in pairs)
        assert len(pairs) == (8 if name == "held-out pairs" else 82)
        assert (pairs == set(w.HELD_OUT)) == (name == "held-out pairs")


def test_binding_counts_what_is_right_and_what_is_exchanged():
    asked = torch.tensor([[0, 3, 1, 7], [1, 4, 1, 2], [0, 5, 1, 6], [1, 8, 0, 9]])
    seen = torch.tensor([[0, 3, 1, 7], [1, 2, 1, 4], [1, 5, 0, 6], [1, 8, 0, 1]])
    assert w.binding(seen, asked) == {
        "one": pytest.approx(5 / 8, abs=1e-3),
        "both": 0.5,
        "swapped": 0.25,
        "slants": pytest.approx(2 / 3, abs=1e-3),
        "slants_swapped": pytest.approx(1 / 3, abs=1e-3),
        "all": 0.25,
    }


def test_an_empty_half_is_judged_too():
    assert w.seen(torch.zeros(1, 8, 4, 8)).shape == (1, 4)


def test_stored_canvases_are_those_of_the_shipped_models():
    """Unpacked, one is what its model paints, within the step of four bits."""
    result = read_result("words-canvases")
    run = next(run for run in result["runs"] if run["way"] == "two streams" and run["left"] == 3)
    fresh = w.canvas_run(w.RECIPE, "two streams", 3)
    stored, made = (
        torch.frombuffer(bytearray(base64.b64decode(r["canvases"])), dtype=torch.uint8)
        for r in (run, fresh)
    )
    assert len(stored) == 40 * (128 + 192)
    levels = [torch.stack([b & 15, b >> 4], dim=1).int() for b in (stored, made)]
    assert (levels[0] - levels[1]).abs().max() <= 1
    assert (levels[0] != levels[1]).double().mean() < 0.02
