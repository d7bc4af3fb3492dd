from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from dit_lesson import norms
from dit_lesson.norms import AdaptiveLayerNorm, Modulation, plain_layer_norm
from dit_lesson.numpy_dit import layer_norm, linear, modulate, silu, timestep_embedding

TOLERANCE = {np.float32: 1e-6, np.float64: 1e-12}
shapes = st.lists(st.integers(1, 5), min_size=0, max_size=3)
widths = st.integers(1, 33)
dtypes = st.sampled_from([np.float32, np.float64])


@given(shapes, widths, dtypes, st.integers(0, 2**32 - 1), st.sampled_from([1e-3, 1, 1e3]))
def test_numpy_equals_torch(shape, width, dtype, seed, size):
    x = (size * np.random.default_rng(seed).normal(size=(*shape, width))).astype(dtype)
    ours = layer_norm(x)
    assert ours.dtype == dtype and ours.shape == x.shape
    for module in (plain_layer_norm(width), norms.layer_norm):
        # the mean is rounded in units of the largest value; a row whose spread is smaller than
        # its values feels that rounding more, in any implementation
        spread = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-6)
        bound = TOLERANCE[dtype] * np.maximum(1, np.abs(x).max(axis=-1, keepdims=True) / spread)
        difference = np.abs(ours - module(torch.tensor(x)).numpy())
        assert (difference <= bound).all()


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    "row",
    [
        [3.0, 3.0, 3.0, 3.0],  # no variance
        [5.0],  # width 1
        [1e4, 1e4 + 1, 1e4 + 2, 1e4 + 3],  # E[x^2] - E[x]^2 would cancel in float32
        [0.0, 0.0],
    ],
)
def test_hard_rows(row, dtype):
    x = np.array([row], dtype=dtype)
    reference = nn.LayerNorm(len(row), 1e-6, elementwise_affine=False)
    result = layer_norm(x)
    np.testing.assert_allclose(result, reference(torch.tensor(x)), atol=TOLERANCE[dtype], rtol=0)
    if len(set(row)) == 1:
        assert np.array_equal(result, np.zeros_like(x))


@given(st.floats(-1e6, 1e6, width=32), widths, dtypes)
def test_a_token_without_variance_becomes_exactly_zero(value, width, dtype):
    x = np.full((2, width), value, dtype)
    assert np.array_equal(layer_norm(x), np.zeros_like(x))
    assert np.array_equal(plain_layer_norm(width)(torch.tensor(x)).numpy(), np.zeros_like(x))


@given(st.floats(-1e6, 1e6), widths, dtypes, st.integers(0, 2**32 - 1))
def test_the_mean_costs_no_precision(mean, width, dtype, seed):
    """Against exact rational arithmetic on the same, already rounded, numbers."""
    x = (mean + np.random.default_rng(seed).normal(size=width)).astype(dtype)
    exact = [Fraction(float(value)) for value in x]
    centred = [value - sum(exact) / width for value in exact]
    variance = sum(value**2 for value in centred) / width
    expected = np.array([float(value) for value in centred]) / np.sqrt(float(variance) + 1e-6)
    np.testing.assert_allclose(layer_norm(x), expected, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_silu_equals_torch_far_from_zero_and_without_a_warning(dtype):
    x = np.array([-1e4, -800, -90, -3, -0.0, 1e-8, 2, 100, 1e4], dtype)
    result = silu(x)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, F.silu(torch.tensor(x)), rtol=1e-6, atol=TOLERANCE[dtype])


def test_a_huge_mean_costs_no_precision():
    pattern = np.array([[-1.0, 1.0, -1.0, 1.0]])
    np.testing.assert_allclose(layer_norm(1e9 + pattern), pattern, atol=1e-6)
    naive = np.float32(1e5) + pattern.astype(np.float32)
    variance = (naive**2).mean() - naive.mean() ** 2
    assert abs(variance - 1) > 0.5  # the formula that this test guards against
    np.testing.assert_allclose(layer_norm(naive), pattern, atol=1e-5)


@given(shapes, st.integers(1, 6), widths, dtypes)
def test_modulate_is_the_identity_at_zero_bit_for_bit(shape, tokens, width, dtype):
    x = np.random.default_rng(0).normal(size=(*shape, tokens, width)).astype(dtype)
    zero = np.zeros((*shape, width), dtype)
    assert np.array_equal(modulate(x, zero, zero), x)
    same = norms.modulate(torch.tensor(x), torch.tensor(zero), torch.tensor(zero))
    assert torch.equal(same, torch.tensor(x))


@given(shapes, st.integers(1, 6), widths, st.integers(0, 2**32 - 1))
def test_modulate_in_torch_is_the_definition(shape, tokens, width, seed):
    random = np.random.default_rng(seed)
    x = random.normal(size=(*shape, tokens, width))
    shift, scale = random.normal(size=(2, *shape, width))
    ours = norms.modulate(*(torch.tensor(value) for value in (x, shift, scale)))
    np.testing.assert_allclose(ours.numpy(), modulate(x, shift, scale), rtol=1e-13, atol=1e-13)


def test_modulate_uses_one_map_for_all_tokens_of_its_own_image():
    x = np.ones((2, 3, 4))
    shift, scale = np.array([[1.0] * 4, [2.0] * 4]), np.array([[0.0] * 4, [9.0] * 4])
    result = modulate(x, shift, scale)
    assert np.array_equal(result[0], np.full((3, 4), 2.0))
    assert np.array_equal(result[1], np.full((3, 4), 12.0))


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_adaptive_layer_norm_equals_numpy(dtype):
    torch.manual_seed(0)
    module = AdaptiveLayerNorm(8).to(getattr(torch, np.dtype(dtype).name))
    x, c = (
        np.random.default_rng(0).normal(size=(2, 5, 8)),
        np.random.default_rng(1).normal(size=(2, 8)),
    )
    x, c = x.astype(dtype), c.astype(dtype)
    weight, bias = (p.detach().numpy() for p in module.modulation.parameters())
    shift, scale = np.split(linear(silu(c), weight, bias), 2, axis=-1)
    expected = modulate(layer_norm(x), shift, scale)
    ours = module(torch.tensor(x), torch.tensor(c)).detach()
    np.testing.assert_allclose(ours, expected, rtol=0, atol=4 * TOLERANCE[dtype])
    assert not list(module.norm.parameters())


def test_modulation_starts_at_zero_when_asked_and_carries_the_released_names():
    module = Modulation(4, chunks=6, zero_init=True)
    chunks = module(torch.randn(3, 4))
    assert len(chunks) == 6 and all(torch.equal(chunk, torch.zeros(3, 4)) for chunk in chunks)
    assert list(module.state_dict()) == ["1.weight", "1.bias"]
    assert any(p.abs().sum() > 0 for p in Modulation(4, chunks=6).parameters())


def test_timestep_embedding_has_cos_first_and_no_minus_one():
    assert np.array_equal(timestep_embedding(np.zeros(1), 6)[0], [1, 1, 1, 0, 0, 0])
    row = timestep_embedding(np.array([7.0]), 256)[0]
    assert row[1] == pytest.approx(np.cos(7 * 10_000 ** (-1 / 128)))
    assert row[129] == pytest.approx(np.sin(7 * 10_000 ** (-1 / 128)))


X = np.zeros((2, 3, 4))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: layer_norm([1.0, 2.0]), "x is a list, expected an array or a tensor"),
        (lambda: layer_norm(np.array(3.0)), r"x has shape \(\), expected axes \(..., D\)"),
        (lambda: layer_norm(np.arange(4)), "x has dtype int64, expected a floating-point"),
        (lambda: layer_norm(np.array([1.0, np.nan])), "x holds NaN or infinite values"),
        (lambda: layer_norm(np.array([1.0, np.inf])), "x holds NaN or infinite values"),
        (lambda: layer_norm(np.zeros((0, 4))), r"x is empty, its shape is \(0, 4\)"),
        (lambda: layer_norm(X.astype(np.float16)), "dtype float16, expected NumPy's float32 or"),
        (lambda: layer_norm(torch.zeros(3)), "dtype torch.float32, expected NumPy's float32"),
        (lambda: layer_norm(X, eps=np.nan), "eps is nan, expected at least 0"),
        (lambda: layer_norm(X, eps=-1.0), "eps is -1.0, expected at least 0"),
        (lambda: modulate(X, X[:, 0], X[0]), r"scale has shape \(3, 4\), expected \(2, 4\)"),
        (lambda: modulate(X, X, X[:, 0]), r"shift has shape \(2, 3, 4\), expected \(2, 4\)"),
        (lambda: modulate(X[0, 0], X, X), r"x has shape \(4,\), expected axes \(..., N, D\)"),
        (lambda: linear(X, np.zeros((2, 3)), np.zeros(2)), "do not fit"),
        (
            lambda: norms.modulate(torch.zeros(2, 3, 4), torch.zeros(2, 4), torch.zeros(3, 4)),
            r"scale has shape \(3, 4\), expected \(2, 4\)",
        ),
        (lambda: timestep_embedding(np.zeros(1), 5), "frequency_size is 5, expected an even"),
        (lambda: timestep_embedding(np.zeros(1, int)), "t has dtype int64"),
        (lambda: Modulation(4, 0), "chunks is 0, expected a whole number of at least 1"),
        (lambda: Modulation(4, 2)(torch.zeros(4)), r"c has shape \(4,\), expected \(B, 4\)"),
        (lambda: plain_layer_norm(True), "hidden_size is True, expected a whole number"),
    ],
)
def test_wrong_input_gets_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
