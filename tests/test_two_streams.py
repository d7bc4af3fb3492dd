"""MM-DiT's block: what its two streams share, and what they do not."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from dit_lesson.attention import attention_weights
from dit_lesson.blocks import AdaLNZeroBlock
from dit_lesson.norms import modulate
from dit_lesson.two_streams import TwoStreamBlock

D, N, L, HEADS = 24, 6, 3, 4


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made(wake=True):
    torch.manual_seed(0)
    block = TwoStreamBlock(D, HEADS).double()
    for stream in (block.image, block.text) if wake else ():
        torch.nn.init.normal_(stream.adaLN_modulation[1].weight, std=0.5)
    return block


X, WORDS, C = draw(2, N, D), draw(2, L, D, seed=1), draw(2, D, seed=2)


def test_it_starts_as_the_identity_in_both_streams_bit_for_bit():
    x, words = made(wake=False)(X, WORDS, C)
    assert torch.equal(x, X) and torch.equal(words, WORDS)


def test_with_equal_weights_it_is_one_block_on_the_joined_sequence():
    block = made()
    block.text.load_state_dict(block.image.state_dict())
    joined = torch.cat(block(X, WORDS, C), dim=1)
    torch.testing.assert_close(joined, block.image(torch.cat([X, WORDS], dim=1), C))


def test_attention_written_out():
    """Both streams' heads, one softmax, each stream's output layer and MLP."""
    block = made()
    streams = ((block.image, X), (block.text, WORDS))
    vectors = [stream.adaLN_modulation(C) for stream, _ in streams]
    heads = [
        stream.attn.heads(modulate(stream.norm1(h), *v[:2]))
        for (stream, h), v in zip(streams, vectors, strict=True)
    ]
    q, k, v = (torch.cat([image, text], dim=2) for image, text in zip(*heads, strict=True))
    mixed = attention_weights(q, k) @ v
    torch.testing.assert_close(mixed, scaled_dot_product_attention(q, k, v))
    for (stream, h), part, six, shown in zip(
        streams, mixed.split([N, L], dim=2), vectors, block(X, WORDS, C), strict=True
    ):
        h = h + six[2][:, None] * stream.attn.proj(part.transpose(1, 2).flatten(2))
        h = h + six[5][:, None] * stream.mlp(modulate(stream.norm2(h), *six[3:5]))
        torch.testing.assert_close(shown, h)


@pytest.mark.parametrize("stream", ["image", "text"])
def test_each_stream_moves_the_other(stream):
    block, inputs = made(), {"image": X, "text": WORDS}
    inputs[stream] = inputs[stream] + 1 * draw(*inputs[stream].shape, seed=3)
    before, after = block(X, WORDS, C), block(inputs["image"], inputs["text"], C)
    other = 1 if stream == "image" else 0
    assert (before[other] - after[other]).abs().max() > 1e-3


def test_the_order_of_words_is_lost_without_positions():
    """A permutation of the words permutes their stream and leaves the image as it was."""
    block, order = made(), torch.tensor([2, 0, 1])
    x, words = block(X, WORDS, C)
    y, other = block(X, WORDS[:, order], C)
    torch.testing.assert_close(x, y)
    torch.testing.assert_close(words[:, order], other)


def test_it_has_the_parameters_of_two_blocks():
    one = sum(p.numel() for p in AdaLNZeroBlock(D, HEADS).parameters())
    assert sum(p.numel() for p in made().parameters()) == 2 * one
