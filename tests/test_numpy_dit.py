"""The NumPy forward pass against the torch model, whole and in parts."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from dit_lesson import blocks, numpy_dit
from dit_lesson.attention import SelfAttention
from dit_lesson.models import DESIGNS, DiT, DiTConfig
from dit_lesson.patches import PatchEmbed, unpatchify

SIZES = st.integers(1, 5)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def wake(module, seed=0):
    """Every parameter random, none zero: nothing can hide behind an initial zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            std = 0.5 / parameter[0].numel() ** 0.5 if parameter.ndim > 1 else 0.1
            parameter.copy_(std * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def weights_of(module):
    return {name: value.detach().numpy() for name, value in module.state_dict().items()}


def close(ours, theirs, tolerance=1e-12):
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=tolerance, atol=tolerance)


def make(dtype=torch.float64, **changes):
    config = {"input_size": 8, "patch_size": 2, "in_channels": 3, "hidden_size": 32, "depth": 3}
    config |= {"num_heads": 4, "num_classes": 10} | changes
    return wake(DiT(DiTConfig(**config))).to(dtype)


# --- parts --------------------------------------------------------------------------------


@given(SIZES, SIZES, SIZES, st.floats(0.1, 100))
@settings(max_examples=30, deadline=None)
def test_activations_softmax_and_attention(batch, tokens, width, size):
    q, k, v = (size * draw(batch, tokens, width, seed=seed) for seed in range(3))
    close(numpy_dit.gelu(q), F.gelu(torch.tensor(q), approximate="tanh"), 1e-10)
    close(numpy_dit.softmax(q), torch.softmax(torch.tensor(q), -1), 1e-10)
    torch_attention = F.scaled_dot_product_attention(*map(torch.tensor, (q, k, v)))
    close(numpy_dit.attention(q, k, v), torch_attention, 1e-9)


def test_softmax_does_not_overflow():
    np.testing.assert_array_equal(numpy_dit.softmax(np.array([1e4, 0.0])), [1.0, 0.0])


@pytest.mark.parametrize("num_heads", [1, 2, 4])
def test_self_attention_and_block(num_heads):
    x, c = draw(2, 5, 16), draw(2, 16, seed=1)
    attention = wake(SelfAttention(16, num_heads).double())
    close(numpy_dit.self_attention(x, weights_of(attention), num_heads), attention(torch.tensor(x)))
    block = wake(blocks.AdaLNZeroBlock(16, num_heads).double())
    ours = numpy_dit.block(x, c, weights_of(block), num_heads)
    close(ours, block(torch.tensor(x), torch.tensor(c)))
    assert np.abs(ours - x).max() > 0.01


def test_a_new_block_is_the_identity_in_numpy_too():
    x, c = draw(2, 5, 16), draw(2, 16, seed=1)
    weights = weights_of(blocks.AdaLNZeroBlock(16, 4).double())
    np.testing.assert_array_equal(numpy_dit.block(x, c, weights, 4), x)


@given(SIZES, SIZES, SIZES, st.integers(1, 4), SIZES)
@settings(max_examples=30, deadline=None)
def test_patches_in_and_out_also_for_grids_that_are_not_square(
    batch, rows, columns, patch_size, channels
):
    images = draw(batch, channels, rows * patch_size, columns * patch_size)
    embed = PatchEmbed(patch_size, channels, 7).double()
    weight, bias = embed.proj.weight.detach().numpy(), embed.proj.bias.detach().numpy()
    close(numpy_dit.patch_embedding(images, weight, bias), embed(torch.tensor(images)))
    patches = draw(batch, rows * columns, patch_size**2 * channels, seed=1)
    size = (patch_size, rows * patch_size, columns * patch_size)
    np.testing.assert_array_equal(
        numpy_dit.join_patches(patches, *size), unpatchify(patches, *size)
    )


# --- whole --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"patch_size": 4, "learn_sigma": False},
        {"class_dropout_prob": 0},
        {"num_heads": 1},
        *({"conditioning": design} for design in DESIGNS),
    ],
)
def test_the_whole_forward_pass_equals_torch(changes):
    """At t = 0 to 1e-12; elsewhere torch rounds the angle t * omega to float32."""
    model = make(**changes)
    weights, heads = weights_of(model), model.blocks[0].attn.num_heads
    x, y = draw(4, 3, 8, 8), np.arange(4)
    for t, tolerance in ((np.zeros(4), 1e-12), (np.array([1.0, 250.5, 637, 999]), 1e-5)):
        expected = model(*map(torch.tensor, (x, t, y)))
        close(numpy_dit.dit(x, t, y, weights, heads), expected, tolerance)
        assert expected.std() > 0.05


def test_it_keeps_float32_and_is_within_1e_5_of_torch():
    model = make(torch.float32)
    x, t, y = draw(4, 3, 8, 8).astype(np.float32), np.float32([0, 1, 100, 999]), np.arange(7, 11)
    ours = numpy_dit.dit(x, t, y, weights_of(model), 4)
    assert ours.dtype == np.float32
    close(ours, model(*map(torch.tensor, (x, t, y))), 1e-5)


def test_a_new_model_answers_zero():
    torch.manual_seed(0)
    model = DiT(DiTConfig(input_size=8, hidden_size=32, depth=2, num_heads=4, num_classes=10))
    x, t = draw(2, 4, 8, 8).astype(np.float32), np.float32([1, 999])
    assert not numpy_dit.dit(x, t, np.array([0, 10]), weights_of(model), 4).any()


def test_it_needs_numpy_and_the_input_checks_only():
    source = Path(numpy_dit.__file__).read_text(encoding="utf-8")
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module)
    assert imported == {"numpy", "dit_lesson.validation"}


# --- refusals -----------------------------------------------------------------------------


def call(x=None, t=None, y=None, num_heads=4, change=None):
    weights = weights_of(make())
    weights |= change or {}
    x = draw(2, 3, 8, 8) if x is None else x
    t = np.zeros(2) if t is None else t
    y = np.zeros(2, dtype=int) if y is None else y
    return numpy_dit.dit(x, t, y, weights, num_heads)


@pytest.mark.parametrize(
    ("run", "sentence"),
    [
        (lambda: call(x=draw(2, 3, 8)), r"dit: x has shape \(2, 3, 8\), expected axes"),
        (lambda: call(x=np.full((2, 3, 8, 8), np.nan)), "dit: x holds NaN"),
        (lambda: call(x=np.zeros((2, 3, 8, 8), dtype=int)), "dit: x has dtype int64"),
        (lambda: call(x=draw(0, 3, 8, 8)), "dit: x is empty"),
        (lambda: call(t=np.zeros(3)), r"dit: t has shape \(3,\), expected \(2,\)"),
        (lambda: call(y=np.zeros(2)), "y has dtype float64, expected whole numbers"),
        (lambda: call(y=np.array([0, 11])), "dit: y holds labels from 0 to 11, expected 0 to 10"),
        (lambda: call(y=np.array([-1, 1])), "dit: y holds labels from -1 to 1"),
        (lambda: call(t=np.array([0, np.inf])), "timestep_embedding: t holds NaN or infinite"),
        (
            lambda: call(x=draw(2, 3, 9, 8)),
            "cut_patches: height 9 is not a multiple of patch_size 2",
        ),
        (
            lambda: call(x=draw(2, 4, 8, 8)),
            r"patch_embedding: images has shape .*, expected \(B, 3, H, W\)",
        ),
        (lambda: call(num_heads=5), "split_heads: width 32 is not a multiple of num_heads 5"),
        (
            lambda: numpy_dit.below({"a.b": np.ones(1)}, "c"),
            "below: weights hold nothing under 'c'",
        ),
        (
            lambda: numpy_dit.attention(np.ones((2, 3)), np.ones((2, 4)), np.ones((2, 4))),
            r"attention: keys has shape \(2, 4\), expected \(M, 3\)",
        ),
    ],
)
def test_wrong_input_gets_a_sentence(run, sentence):
    with pytest.raises(ValueError, match=sentence):
        run()
