"""Attention against torch's own, its symmetries, and the maps that figures show."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from dit_lesson.attention import (
    CrossAttention,
    SelfAttention,
    attention_maps,
    attention_weights,
)

SIZE = st.integers(1, 6)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(autouse=True)
def fixed_weights():
    torch.manual_seed(0)


@given(SIZE, SIZE, SIZE, SIZE)
@settings(max_examples=40, deadline=None)
def test_weights_times_values_is_torchs_attention(batch, queries, keys, width):
    q, k, v = draw(batch, 2, queries, width), draw(batch, 2, keys, width, seed=1), None
    v = draw(batch, 2, keys, width, seed=2)
    weights = attention_weights(q, k)
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    torch.testing.assert_close(weights @ v, scaled_dot_product_attention(q, k, v))


def test_the_root_is_of_the_width_of_a_head_not_of_the_tokens():
    q, k, v = draw(2, 9, 4), draw(2, 9, 4, seed=1), draw(2, 9, 4, seed=2)
    wrong = torch.softmax(q @ k.mT / 9**0.5, dim=-1) @ v
    assert (wrong - scaled_dot_product_attention(q, k, v)).abs().max() > 0.05


def torch_reference(ours, q, k):
    """nn.MultiheadAttention with the same weights."""
    theirs = nn.MultiheadAttention(ours.proj.in_features, ours.num_heads, batch_first=True).double()
    if isinstance(ours, SelfAttention):
        weight, bias = ours.qkv.weight, ours.qkv.bias
    else:
        weight = torch.cat([ours.q.weight, ours.kv.weight])
        bias = torch.cat([ours.q.bias, ours.kv.bias])
    theirs.load_state_dict(
        {
            "in_proj_weight": weight,
            "in_proj_bias": bias,
            "out_proj.weight": ours.proj.weight,
            "out_proj.bias": ours.proj.bias,
        }
    )
    return theirs(q, k, k, average_attn_weights=False)


@pytest.mark.parametrize("num_heads", [1, 2, 6])
def test_both_modules_equal_torchs_multi_head_attention(num_heads):
    x, context = draw(3, 5, 12), draw(3, 2, 12, seed=1)
    self_attention = SelfAttention(12, num_heads).double()
    output, weights = torch_reference(self_attention, x, x)
    torch.testing.assert_close(self_attention(x), output)
    torch.testing.assert_close(self_attention.weights(x), weights)
    cross_attention = CrossAttention(12, num_heads).double()
    output, weights = torch_reference(cross_attention, x, context)
    torch.testing.assert_close(cross_attention(x, context), output)
    torch.testing.assert_close(cross_attention.weights(x, context), weights)


def test_self_attention_is_blind_to_order():
    attention, x = SelfAttention(8, 2).double(), draw(2, 7, 8)
    order = torch.randperm(7)
    torch.testing.assert_close(attention(x[:, order]), attention(x)[:, order])


def test_cross_attention_does_not_care_about_the_order_of_the_context():
    attention, x, context = CrossAttention(8, 2).double(), draw(2, 7, 8), draw(2, 4, 8, seed=1)
    torch.testing.assert_close(attention(x, context.flip(1)), attention(x, context))


class TwoLayers(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = SelfAttention(8, 2).double(), CrossAttention(8, 4).double()

    def forward(self, x, context):
        return self.second(self.first(x), context)


def test_maps_are_those_of_the_running_model_and_leave_it_as_it_was():
    model, x, context = TwoLayers(), draw(2, 5, 8), draw(2, 3, 8, seed=1)
    before = model(x, context)
    maps = attention_maps(model, x, context)
    assert {name: tuple(map_.shape) for name, map_ in maps.items()} == {
        "first": (2, 2, 5, 5),
        "second": (2, 4, 5, 3),
    }
    torch.testing.assert_close(maps["second"], model.second.weights(model.first(x), context))
    assert not model.first._forward_hooks and torch.equal(model(x, context), before)
    assert list(attention_maps(nn.Sequential(model.first), x)) == ["0"]  # one layer is enough


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: SelfAttention(10, 3), "SelfAttention: hidden_size 10 is not a multiple of num_he"),
        (lambda: CrossAttention(10, 0), "CrossAttention: num_heads is 0"),
        (lambda: SelfAttention(8, 2)(torch.zeros(5, 8)), r"SelfAttention: x has shape \(5, 8\)"),
        (lambda: SelfAttention(8, 2)(torch.zeros(1, 5, 6)), r"expected \(B, N, 8\)"),
        (
            lambda: CrossAttention(8, 2)(torch.zeros(2, 5, 8), torch.zeros(2, 8)),
            r"CrossAttention: context has shape \(2, 8\)",
        ),
        (
            lambda: CrossAttention(8, 2)(torch.zeros(2, 5, 8), torch.zeros(3, 2, 8)),
            r"CrossAttention: context has shape \(3, 2, 8\), expected \(2, M, 8\)",
        ),
        (
            lambda: attention_weights(torch.zeros(2, 3), torch.zeros(2, 4)),
            r"attention_weights: keys has shape \(2, 4\), expected \(M, 3\)",
        ),
        (
            lambda: attention_weights(torch.full((2, 3), torch.nan), torch.zeros(2, 3)),
            "attention_weights: queries holds NaN",
        ),
        (
            lambda: attention_weights(torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 3)),
            "attention_weights: queries has dtype torch.int64",
        ),
        (lambda: attention_maps(nn.Linear(2, 2), torch.zeros(1, 2)), "without attention layers"),
    ],
)
def test_wrong_input_gets_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
