"""The gradients by hand against torch's autograd in float64: every tensor, all four designs."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from dit_lesson import numpy_backward, numpy_dit
from dit_lesson.models import DESIGNS
from tests.test_numpy_dit import SIZES, draw, make, weights_of

TOLERANCE = 1e-10


def close(ours, theirs):
    """The largest error is at most 1e-10 of the largest number."""
    theirs = theirs.detach().numpy()
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= TOLERANCE * max(np.abs(theirs).max(), 1e-3)


def by_autograd(function, grad, *inputs):
    tensors = [torch.tensor(value, requires_grad=True) for value in inputs]
    return torch.autograd.grad(function(*tensors), tensors, torch.tensor(grad))


def torch_velocity_loss(model, x0, noise, u, y):
    """The same loss by torch, at the float64 embedding of t that NumPy computes."""
    model.t_embedder.forward = lambda t: model.t_embedder.mlp(
        torch.tensor(numpy_dit.timestep_embedding(t.numpy()))
    )
    x0, noise, u = map(torch.tensor, (x0, noise, u))
    share = u[:, None, None, None]
    answer = model((1 - share) * x0 + share * noise, 1000 * u, torch.tensor(y))
    return ((answer - (noise - x0)) ** 2).mean()


def both(design, seed=0, batch=3, **changes):
    """Loss and gradients of one model by hand and by autograd."""
    model = make(conditioning=design, learn_sigma=False, **changes)
    size = model.config.input_size
    x0, noise = (draw(batch, 3, size, size, seed=seed + i) for i in range(2))
    u = np.random.default_rng(seed).uniform(size=batch)
    y = np.random.default_rng(seed).integers(0, 11, size=batch)
    heads = model.blocks[0].attn.num_heads
    ours = numpy_backward.velocity_loss(x0, noise, u, y, weights_of(model), heads)
    loss = torch_velocity_loss(model, x0, noise, u, y)
    loss.backward()
    return ours, loss, {name: value.grad for name, value in model.named_parameters()}


@pytest.mark.parametrize("design", DESIGNS)
def test_every_tensor_of_every_design_has_the_gradient_of_autograd(design):
    (loss, gradients), expected_loss, expected = both(design, batch=5)
    assert abs(loss - expected_loss.item()) < 1e-12
    assert set(gradients) == set(expected)
    for name, value in expected.items():
        assert value.abs().max() > 0, name
        close(gradients[name], value)


@given(
    st.sampled_from(list(DESIGNS)), SIZES, st.integers(1, 3), st.sampled_from([(4, 2), (6, 2)]),
    st.sampled_from([(8, 1), (8, 2), (12, 3)]), st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_it_holds_for_any_size(design, batch, depth, sizes, widths, seed):
    (input_size, patch_size), (hidden_size, num_heads) = sizes, widths
    changes = {"input_size": input_size, "patch_size": patch_size, "depth": depth}
    changes |= {"hidden_size": hidden_size, "num_heads": num_heads}
    (_, gradients), _, expected = both(design, seed, batch, **changes)
    for name, value in expected.items():
        close(gradients[name], value)


@given(SIZES, SIZES, st.integers(2, 6), st.floats(0.1, 30))
@settings(max_examples=30, deadline=None)
def test_activations_norm_and_attention_have_the_gradients_of_autograd(batch, tokens, width, size):
    grad, x, k, v = (draw(batch, tokens, width, seed=seed) for seed in range(4))
    x = size * x
    close(numpy_backward.silu_backward(grad, x), by_autograd(F.silu, grad, x)[0])
    gelu = by_autograd(lambda x: F.gelu(x, approximate="tanh"), grad, x)[0]
    close(numpy_backward.gelu_backward(grad, x), gelu)
    norm = by_autograd(lambda x: F.layer_norm(x, x.shape[-1:], eps=1e-6), grad, x)[0]
    close(numpy_backward.layer_norm_backward(grad, x), norm)
    ours = numpy_backward.attention_backward(grad, x, k, v)
    for part, expected in zip(
        ours, by_autograd(F.scaled_dot_product_attention, grad, x, k, v), strict=True
    ):
        close(part, expected)


def test_a_shift_a_scale_and_a_gate_serve_all_tokens_so_their_gradients_are_sums():
    grad, x = draw(2, 5, 4), draw(2, 5, 4, seed=1)
    shift, scale, gate = (draw(2, 4, seed=seed) for seed in (2, 3, 4))

    def modulated(x, shift, scale):
        return x * (1 + scale[:, None]) + shift[:, None]

    d_x, d_shift, d_scale = by_autograd(modulated, grad, x, shift, scale)
    ours = numpy_backward.modulate_backward(grad, x, scale)
    for part, expected in zip(ours, (d_x, d_shift, d_scale), strict=True):
        close(part, expected)
    ours = numpy_backward.gate_backward(grad, x, gate)
    expected = by_autograd(lambda x, gate: x * gate[:, None], grad, x, gate)
    for part, value in zip(ours, expected, strict=True):
        close(part, value)


def test_with_shut_gates_only_the_gates_and_the_end_of_the_model_have_gradients():
    model = make(learn_sigma=False)
    for block in model.blocks:
        torch.nn.init.zeros_(block.adaLN_modulation[1].weight)
        torch.nn.init.zeros_(block.adaLN_modulation[1].bias)
    _, gradients = numpy_backward.velocity_loss(
        draw(2, 3, 8, 8), draw(2, 3, 8, 8, seed=1), np.array([0.2, 0.7]), np.array([1, 2]),
        weights_of(model), 4,
    )  # fmt: skip
    for name, value in gradients.items():
        if not name.startswith("blocks."):
            assert value.any(), name
        elif "adaLN_modulation" not in name:
            assert not value.any(), name
    bias = gradients["blocks.0.adaLN_modulation.1.bias"].reshape(6, -1)
    assert [bool(part.any()) for part in bias] == [False, False, True, False, False, True]


def test_a_label_that_comes_twice_collects_twice():
    x, y = draw(1, 3, 8, 8).repeat(2, axis=0), np.array([4, 4])
    weights = weights_of(make())
    grad = draw(1, 6, 8, 8, seed=1).repeat(2, axis=0)
    name = "y_embedder.embedding_table.weight"
    twice = numpy_backward.dit_backward(grad, x, np.zeros(2), y, weights, 4)[name]
    once = numpy_backward.dit_backward(grad[:1], x[:1], np.zeros(1), y[:1], weights, 4)[name]
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-12)


def test_it_keeps_float32():
    weights = weights_of(make(torch.float32, learn_sigma=False))
    x0, noise = (draw(2, 3, 8, 8, seed=seed).astype(np.float32) for seed in range(2))
    u, y = np.float32([0.3, 0.6]), np.array([1, 2])
    _, gradients = numpy_backward.velocity_loss(x0, noise, u, y, weights, 4)
    assert {value.dtype for value in gradients.values()} == {np.dtype(np.float32)}


def test_a_model_that_predicts_a_variance_is_refused_in_a_sentence():
    x0, u, y = draw(1, 3, 8, 8), np.array([0.5]), np.array([1])
    with pytest.raises(ValueError, match=r"velocity_loss: the model answers \(1, 6, 8, 8\)"):
        numpy_backward.velocity_loss(x0, x0, u, y, weights_of(make()), 4)


def test_it_needs_numpy_the_forward_pass_and_the_input_checks_only():
    source = Path(numpy_backward.__file__).read_text(encoding="utf-8")
    imported = {
        node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)
    }
    assert imported == {"dit_lesson.numpy_dit", "dit_lesson.validation"}
