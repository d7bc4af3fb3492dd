"""The controls of chapter 17: equal parameters, qk-norm, a width that is too small, one step."""

import pytest
import torch

from dit_lesson.experiments import controls as c
from dit_lesson.experiments import read_result
from dit_lesson.experiments.recipes import DIGITS_DIT
from dit_lesson.models import DiT
from dit_lesson.successors import Successor

X = torch.randn(3, 8, 4, 4, generator=torch.Generator().manual_seed(0))
T = torch.tensor([100.0, 500.0, 900.0])
Y = torch.tensor([3, 0, 10])


@pytest.mark.parametrize("kind", ["own", "shared", "low rank", "none"])
def test_no_other_width_is_nearer_to_the_parameters_of_dit(kind):
    wanted, width = c.parameters(DiT(DIGITS_DIT)), c.equal_width(kind)

    def gap(width):
        config = c.replace(DIGITS_DIT, hidden_size=width)
        return abs(c.parameters(Successor(config, kind, c.RANK)) - wanted)

    assert gap(width) <= min(gap(width - 4), gap(width + 4))
    assert gap(width) < 0.05 * wanted
    assert (width == 64) == (kind == "own")


def test_recorded_parameters_are_those_of_the_models():
    for run in read_result("equal-comparison")["runs"]:
        config = c.replace(DIGITS_DIT, hidden_size=run["width"])
        assert c.parameters(Successor(config, run["kind"], c.RANK)) == run["parameters"]


def test_qk_norm_adds_its_scales_and_keeps_the_start():
    plain, normed = (c.NormedDiT(DIGITS_DIT, qk_norm) for qk_norm in (False, True))
    assert c.parameters(plain) == c.parameters(DiT(DIGITS_DIT))
    assert c.parameters(normed) - c.parameters(plain) == DIGITS_DIT.depth * 2 * 16
    assert not normed.eval()(X, T, Y).any()
    tokens = torch.randn(3, 16, 64)
    assert torch.equal(normed.blocks[0](tokens, torch.randn(3, 64)), tokens)


def test_with_qk_norm_no_logit_grows_with_the_weights():
    largest = []
    for qk_norm in (False, True):
        attention = c.NormedDiT(DIGITS_DIT, qk_norm).blocks[0].attn
        with torch.no_grad():
            attention.qkv.weight.mul_(100)
            q, k, _ = attention.heads(torch.randn(2, 16, 64))
        largest.append((q @ k.mT / 4).abs().max().item())
    assert largest[0] > 100 and largest[1] < 4.1


def test_label_and_gap_make_one_vector_that_hears_both():
    embedder = c.LabelAndGap(64)
    y = torch.tensor([[3.0, 0.0], [3.0, 0.5], [4.0, 0.0], [3.0, 0.0]])
    vectors = embedder(y)
    assert vectors.shape == (4, 1, 64)
    assert torch.equal(vectors[0], vectors[3])
    assert not torch.allclose(vectors[0], vectors[1]) and not torch.allclose(vectors[0], vectors[2])


def test_the_mean_velocity_is_told_the_time_the_label_and_the_gap():
    def model(z, t, y):
        assert y.shape == (3, 2)
        return t[:, None, None, None] + 10 * y[:, :1, None, None] + y[:, 1:, None, None] + 0 * z

    r, t = torch.tensor([0.0, 0.25, 0.5]), torch.tensor([1.0, 0.5, 0.5])
    answer = c.mean_velocity(model, X, r, t, Y, told=30)[:, 0, 0, 0]
    torch.testing.assert_close(answer, 30 * t + 10 * Y + 30 * (t - r))


def test_a_network_that_is_narrower_than_a_token_cannot_carry_its_noise():
    """What the chapter says of one digit by heart, in the recorded runs."""
    losses = {}
    for run in read_result("width-comparison")["runs"]:
        losses.setdefault(run["width"], []).append(run["loss"])
    for width, found in losses.items():
        if width < 64:
            assert min(found) > 1 - width / 64
    assert max(losses[128]) < min(losses[32])
