"""Time, class and words as vectors: order of the sinusoid, the null class, dropout, captions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dit_lesson import numpy_dit
from dit_lesson.embeddings import (
    CaptionEncoder,
    LabelEmbedder,
    TimestepEmbedder,
    timestep_embedding,
)

WORDS = ["a", "bold", "thin", "tilted", "three", "seven"]


def source(seed=0):
    return torch.Generator().manual_seed(seed)


# --- time ---------------------------------------------------------------------------------


def test_cosines_come_first_and_t_0_is_ones_then_zeros():
    embedding = timestep_embedding(torch.tensor([0]))
    assert embedding.shape == (1, 256) and embedding.dtype == torch.float32
    assert torch.equal(embedding[0], torch.tensor([1.0] * 128 + [0.0] * 128))
    angles = torch.tensor([1, 0.01])
    torch.testing.assert_close(
        timestep_embedding(torch.tensor([1.0]), 4)[0], torch.cat([angles.cos(), angles.sin()])
    )


@given(st.lists(st.floats(0, 1000, width=32), min_size=1, max_size=4), st.integers(1, 64))
@settings(max_examples=50, deadline=None)
def test_it_equals_numpys_definition_within_float32(t, half):
    ours = timestep_embedding(torch.tensor(t), 2 * half)
    exact = numpy_dit.timestep_embedding(np.array(t, dtype=np.float64), 2 * half)
    # the angle t is rounded to float32: 1000 * 2^-23, then some
    np.testing.assert_allclose(ours, exact, atol=3e-4)


def test_it_equals_diffusers_bit_for_bit_with_half_and_not_with_half_minus_one():
    from diffusers.models import embeddings

    t = torch.arange(1000)

    def theirs(shift):
        return embeddings.get_timestep_embedding(
            t, 256, flip_sin_to_cos=True, downscale_freq_shift=shift
        )

    assert torch.equal(timestep_embedding(t), theirs(0))
    assert (timestep_embedding(t) - theirs(1)).abs().max() > 0.5


def test_time_between_0_and_1_leaves_most_features_constant():
    def alive(t):
        return int((timestep_embedding(t).std(dim=0) > 0.05).sum())

    t = torch.linspace(0, 1, 11)
    assert alive(t) == 36
    assert alive(1000 * t) == 228


def test_the_embedder_maps_each_time_on_its_own():
    torch.manual_seed(0)
    embedder = TimestepEmbedder(32)
    assert list(embedder.state_dict()) == [
        f"mlp.{i}.{n}" for i in (0, 2) for n in ("weight", "bias")
    ]
    t = torch.tensor([0, 10, 999])
    torch.testing.assert_close(embedder(t)[1:], embedder(t[1:]))
    assert embedder.double()(t).dtype == torch.float64


# --- class --------------------------------------------------------------------------------


def test_labels_are_dropped_in_training_only_and_become_the_null_class():
    embedder = LabelEmbedder(10, 4, dropout=0.1)
    y = torch.arange(10).repeat(2000)
    null = embedder.embedding_table.weight[embedder.null_class]
    assert embedder(y).shape == (20_000, 1, 4)  # a sequence of one
    dropped = (embedder(y, source())[:, 0] == null).all(dim=1)
    # 20,000 throws at 0.1: four standard deviations are 0.0085
    assert dropped.float().mean().item() == pytest.approx(0.1, abs=0.0085)
    kept = embedder(y, source())[~dropped, 0]
    assert torch.equal(kept, embedder.embedding_table(y)[~dropped])
    embedder.eval()
    assert torch.equal(embedder(y, source())[:, 0], embedder.embedding_table(y))
    assert torch.equal(embedder(torch.tensor([10])), null[None, None])


def test_the_generator_decides_who_is_dropped():
    embedder, y = LabelEmbedder(10, 4, dropout=0.5), torch.arange(10).repeat(10)
    assert torch.equal(embedder(y, source(1)), embedder(y, source(1)))
    assert not torch.equal(embedder(y, source(1)), embedder(y, source(2)))


def test_without_dropout_there_is_no_null_row():
    embedder, y = LabelEmbedder(10, 4, dropout=0), torch.arange(10)
    assert embedder.embedding_table.weight.shape == (10, 4)
    assert torch.equal(embedder(y)[:, 0], embedder.embedding_table(y))
    with pytest.raises(IndexError):
        embedder(torch.tensor([10]))


def test_with_dropout_1_every_label_is_dropped():
    embedder = LabelEmbedder(3, 4, dropout=1)
    null = embedder.embedding_table.weight[3]
    assert torch.equal(embedder(torch.arange(3), source())[:, 0], null.expand(3, 4))


# --- captions -----------------------------------------------------------------------------


def test_a_caption_is_one_vector_per_word_and_null_words_fill_it():
    encoder = CaptionEncoder(WORDS, max_words=4, hidden_size=8).eval()
    y = encoder.encode(["a bold tilted seven", "a three", ""])
    assert y.tolist() == [[1, 2, 4, 6], [1, 5, 0, 0], [0, 0, 0, 0]]
    tokens = encoder(y)
    assert tokens.shape == (3, 4, 8)
    assert torch.equal(tokens[0, 0], tokens[1, 0])
    assert torch.equal(tokens[1, 2:], tokens[2, 2:])


def test_a_dropped_caption_is_the_empty_caption():
    encoder = CaptionEncoder(WORDS, max_words=3, hidden_size=8, dropout=0.5)
    y = encoder.encode(["a bold seven"] * 400)
    empty = encoder.embedding_table.weight[0].expand(3, 8)
    dropped = (encoder(y, source()) == empty).all(dim=(1, 2))
    assert dropped.float().mean().item() == pytest.approx(0.5, abs=0.1)
    kept = encoder(y, source())[~dropped]
    assert torch.equal(kept, encoder.embedding_table(y)[~dropped])


# --- refusals -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: timestep_embedding(torch.zeros(2), 5), "frequency_size is 5, expected an even"),
        (lambda: timestep_embedding(torch.zeros(2), 0), "frequency_size is 0, expected a whole"),
        (
            lambda: timestep_embedding(torch.zeros(2, 1)),
            r"t has shape \(2, 1\), expected axes \(B,\)",
        ),
        (lambda: timestep_embedding(torch.zeros(0)), r"t is empty, its shape is \(0,\)"),
        (lambda: timestep_embedding(torch.tensor([True])), "t has dtype torch.bool"),
        (lambda: TimestepEmbedder(0), "TimestepEmbedder: hidden_size is 0"),
        (lambda: LabelEmbedder(0, 4), "LabelEmbedder: num_classes is 0"),
        (lambda: LabelEmbedder(3, 4, 1.5), "LabelEmbedder: dropout is 1.5, expected a number"),
        (
            lambda: LabelEmbedder(3, 4)(torch.zeros(2, 1, dtype=torch.int64)),
            r"y has shape \(2, 1\)",
        ),
        (lambda: CaptionEncoder([], 3, 4), r"vocabulary is \[\], expected a list of different"),
        (lambda: CaptionEncoder(["a", "a"], 3, 4), "expected a list of different words"),
        (lambda: CaptionEncoder("ab", 3, 4), "expected a list of different words"),
        (lambda: CaptionEncoder(["a"], 0, 4), "CaptionEncoder: max_words is 0"),
        (lambda: CaptionEncoder(["a"], 1, 4, -1), "CaptionEncoder: dropout is -1"),
        (lambda: CaptionEncoder(["a"], 1, 4).encode("a"), "captions is 'a', expected a list"),
        (lambda: CaptionEncoder(["a"], 1, 4).encode([]), r"captions is \[\]"),
        (lambda: CaptionEncoder(["a"], 1, 4).encode(["b"]), r"'b' holds unknown words \['b'\]"),
        (lambda: CaptionEncoder(["a"], 1, 4).encode(["a a"]), "'a a' has 2 words, expected at mo"),
        (
            lambda: CaptionEncoder(["a"], 2, 4)(torch.zeros(2, 3, dtype=torch.int64)),
            r"CaptionEncoder: y has shape \(2, 3\), expected \(B, 2\)",
        ),
    ],
)
def test_wrong_input_gets_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
