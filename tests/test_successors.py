"""What tells the blocks after DiT apart: who makes the vectors, who shares, what starts at 0."""

from dataclasses import FrozenInstanceError

import pytest
import torch

from dit_lesson import successors as s
from dit_lesson.attention import SelfAttention
from dit_lesson.blocks import AdaLNZeroBlock
from dit_lesson.counting import measured_ledger, measured_parameters
from dit_lesson.experiments.recipes import DIGITS_DIT

D, N, HEADS, RANK = 24, 16, 3, 5
ONE_STREAM = ("own", "shared", "low rank", "parallel", "none")
EVERY_PART = s.Parts(rms_norm=True, swiglu=True, qk_norm=True, side=4)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make(kind, depth=2, wake=False, parts=s.DIT_PARTS):
    torch.manual_seed(0)
    blocks = s.new_blocks(kind, depth, D, HEADS, RANK, parts).double()
    if wake:
        for name, parameter in blocks.named_parameters():
            if any(word in name for word in ("adaLN", "table", "gates")):
                torch.nn.init.normal_(parameter, std=0.5)
    return blocks


def run(blocks, x, c):
    for block in blocks:
        x = block(x, c)
    return x


# --- parts ----------------------------------------------------------------------------------


def test_swiglu_is_its_equation_and_costs_what_the_mlp_costs():
    layer, x = s.SwiGLU(D, 7).double(), draw(2, N, D)
    inner = torch.nn.functional.silu(layer.w1(x)) * layer.w3(x)
    torch.testing.assert_close(layer(x), layer.w2(inner))
    plain, gated = (
        sum(p.numel() for p in s.Parts(swiglu=swiglu).mlp(768).parameters())
        for swiglu in (False, True)
    )
    assert gated == pytest.approx(plain, rel=1e-3)


def test_the_parts_of_2025_are_all_three_and_stay_so():
    parts = s.PARTS_2025
    assert isinstance(parts.norm(D), torch.nn.RMSNorm) and isinstance(parts.mlp(D), s.SwiGLU)
    attention = parts.attention(D, HEADS)
    assert isinstance(attention.q_norm, torch.nn.RMSNorm) and attention.angles is None
    with pytest.raises(FrozenInstanceError):
        parts.rms_norm = False


def test_rms_norm_keeps_the_mean():
    x = draw(2, N, D) + 3
    norm = s.Parts(rms_norm=True).norm(D)
    torch.testing.assert_close(norm(x), x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt())
    assert norm(x).mean() > 0.5 and s.Parts().norm(D)(x).mean().abs() < 1e-6
    assert not list(norm.parameters())  # scale and shift come from the condition


def test_rotation_keeps_lengths_and_scores_depend_on_the_offset_only():
    angles = s.rope_angles(4, 8).double()
    assert angles.shape == (16, 4) and angles[0].abs().max() == 0
    query, key = draw(8).expand(16, 8), draw(8, seed=1).expand(16, 8)
    q, k = s.rotate(query, angles), s.rotate(key, angles)
    torch.testing.assert_close(q.norm(dim=-1), query.norm(dim=-1))
    scores = q @ k.T
    # from (0, 0) to (1, 2), and from (2, 1) to (3, 3)
    torch.testing.assert_close(scores[0, 6], scores[9, 15], atol=1e-5, rtol=0)
    assert (scores[0, 6] - scores[0, 9]).abs() > 1e-3


def test_a_token_turns_by_its_column_and_its_row_fast_and_slowly():
    angles = s.rope_angles(4, 8)
    expected = torch.tensor([3.0, 0.03, 1.0, 0.01])  # of row 1, column 3
    torch.testing.assert_close(angles[7], expected, rtol=1e-5, atol=0)
    assert "angles" not in s.Attention(D, HEADS, side=4).state_dict()


def test_with_qk_norm_no_logit_grows_with_the_weights():
    x = draw(1, N, D)
    for qk_norm in (False, True):
        torch.manual_seed(0)
        layer = s.Attention(D, HEADS, qk_norm).double()
        before = layer.weights(x)
        with torch.no_grad():
            layer.qkv.weight.mul_(100)
            layer.qkv.bias.mul_(100)
        assert torch.allclose(before, layer.weights(x), atol=1e-4) == qk_norm
        queries, keys, _ = layer.heads(x)
        logits = queries @ keys.mT / (D // HEADS) ** 0.5
        assert bool(logits.abs().max() <= (D // HEADS) ** 0.5 + 1e-6) == qk_norm


def test_without_its_switches_attention_is_chapter_1s():
    torch.manual_seed(0)
    ours = s.Attention(D, HEADS).double()
    theirs = SelfAttention(D, HEADS).double()
    theirs.load_state_dict(ours.state_dict())
    assert torch.equal(ours(draw(2, N, D)), theirs(draw(2, N, D)))


def test_joint_attention_of_equal_layers_is_attention_over_both_sequences():
    layer, x, text = SelfAttention(D, HEADS).double(), draw(2, N, D), draw(2, 3, D, seed=1)
    torch.testing.assert_close(
        torch.cat(s.joint_attention([layer, layer], [x, text]), dim=1),
        layer(torch.cat([x, text], dim=1)),
    )


# --- blocks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [s.DIT_PARTS, s.PARTS_2025, EVERY_PART])
@pytest.mark.parametrize("kind", ONE_STREAM)
def test_every_block_starts_as_the_identity_and_wakes(kind, parts):
    x, c = draw(2, N, D), draw(2, D, seed=1)
    assert torch.equal(run(make(kind, parts=parts), x, c), x)
    assert (run(make(kind, parts=parts, wake=True), x, c) - x).abs().max() > 0.1


@pytest.mark.parametrize("kind", ONE_STREAM)
def test_only_the_unmodulated_block_does_not_hear_c(kind):
    x, blocks = draw(2, N, D), make(kind, wake=True)
    same = torch.equal(run(blocks, x, draw(2, D, seed=1)), run(blocks, x, draw(2, D, seed=2)))
    assert same == (kind == "none")


@pytest.mark.parametrize("kind", ONE_STREAM)
def test_without_positions_a_block_is_blind_to_order_and_with_rope_it_is_not(kind):
    x, c = draw(2, N, D), draw(2, D, seed=1)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(5))
    blocks = make(kind, wake=True)
    torch.testing.assert_close(run(blocks, x[:, order], c), run(blocks, x, c)[:, order])
    if kind != "own":  # which has DiT's parts
        blocks = make(kind, wake=True, parts=EVERY_PART)
        assert not torch.allclose(run(blocks, x[:, order], c), run(blocks, x, c)[:, order])


def test_the_blocks_are_their_equations():
    x, c = draw(2, N, D), draw(2, D, seed=1)
    (block,) = make("parallel", depth=1, wake=True)
    shift, scale, gate = (vector[:, None] for vector in block.adaLN_modulation(c))
    m = block.norm(x) * (1 + scale) + shift
    torch.testing.assert_close(block(x, c), x + gate * (block.attn(m) + block.mlp(m)))

    (block,) = make("none", depth=1, wake=True)
    torch.nn.init.normal_(block.norm_scales)
    assert block.norm_scales.shape == block.gates.shape == (2, D)
    (scale1, scale2), (gate1, gate2) = block.norm_scales, block.gates
    y = x + gate1 * block.attn(scale1 * block.norm1(x))
    torch.testing.assert_close(block(x), y + gate2 * block.mlp(scale2 * block.norm2(y)))

    (stack,) = make("shared", depth=1, wake=True)
    vectors = stack.adaLN_modulation(c)
    own = torch.stack(vectors, dim=1) + stack.blocks[0].scale_shift_table  # (B, 6, D)
    torch.testing.assert_close(stack(x, c), stack.blocks[0].gated(x, own.unbind(dim=1)))


def test_a_narrow_condition_of_full_width_is_adaln_zero():
    torch.manual_seed(0)
    ours, theirs = s.LowRankBlock(D, HEADS, D).double(), AdaLNZeroBlock(D, HEADS).double()
    torch.nn.init.normal_(ours.adaLN_modulation[1].weight)
    theirs.load_state_dict(ours.state_dict())
    x, c = draw(2, N, D), draw(2, D, seed=1)
    assert torch.equal(ours(x, c), theirs(x, c))


def test_the_shared_vectors_are_the_same_for_all_blocks_and_the_tables_are_not():
    (stack,) = make("shared", depth=3)
    torch.nn.init.normal_(stack.adaLN_modulation[1].weight)
    seen = []
    for block in stack.blocks:
        block.register_forward_hook(lambda _, given, __: seen.append(given[1]))
    x, c = draw(2, N, D), draw(2, D, seed=1)
    before = stack(x, c)
    assert all(a is b for given in seen for a, b in zip(given, seen[0], strict=True))
    with torch.no_grad():
        stack.blocks[1].scale_shift_table[2] = 1.0
    assert not torch.allclose(stack(x, c), before)


def test_the_rank_of_what_the_blocks_hear_is_that_of_the_condition():
    (stack,) = make("low rank", wake=True)
    narrow = stack.adaLN_narrow(draw(40, D))
    heard = torch.cat(stack.blocks[0].adaLN_modulation(narrow), dim=1)
    heard = heard - stack.blocks[0].adaLN_modulation[1].bias
    assert torch.linalg.matrix_rank(heard) == RANK


def test_two_streams_start_as_the_identity_and_share_the_softmax_only():
    x, text, c = draw(2, N, D), draw(2, 3, D, seed=1), draw(2, D, seed=2)
    (block,) = make("two streams", depth=1)
    same, words = block(x, text, c)
    assert torch.equal(same, x) and torch.equal(words, text)
    (block,) = make("two streams", depth=1, wake=True)
    changed, _ = block(x, draw(2, 3, D, seed=3), c)
    assert not torch.allclose(changed, block(x, text, c)[0])
    image, words = ({id(p) for p in stream.parameters()} for stream in (block.image, block.text))
    assert image.isdisjoint(words)


def test_two_streams_of_equal_weights_are_one_block_on_the_joined_sequence():
    x, text, c = draw(2, N, D), draw(2, 3, D, seed=1), draw(2, D, seed=2)
    (block,) = make("two streams", depth=1, wake=True)
    block.text.load_state_dict(block.image.state_dict())
    joined = torch.cat(block(x, text, c), dim=1)
    torch.testing.assert_close(joined, block.image(torch.cat([x, text], dim=1), c))


@pytest.mark.parametrize("stream", [0, 1])
def test_each_of_two_streams_moves_the_other(stream):
    inputs, c = [draw(2, N, D), draw(2, 3, D, seed=1)], draw(2, D, seed=2)
    (block,) = make("two streams", depth=1, wake=True)
    before = block(*inputs, c)
    inputs[stream] = inputs[stream] + draw(*inputs[stream].shape, seed=3)
    assert (before[1 - stream] - block(*inputs, c)[1 - stream]).abs().max() > 1e-3


def test_the_words_of_two_streams_have_an_order_only_if_they_bring_one():
    x, text, c = draw(2, N, D), draw(2, 3, D, seed=1), draw(2, D, seed=2)
    (block,) = make("two streams", depth=1, wake=True)
    there, words = block(x, text, c)
    same, swapped = block(x, text[:, [2, 0, 1]], c)
    torch.testing.assert_close(same, there)
    torch.testing.assert_close(swapped, words[:, [2, 0, 1]])


def test_in_the_parallel_block_the_mlp_does_not_see_what_attention_found():
    (block,) = make("parallel", depth=1, wake=True)
    seen = {}
    for name in ("attn", "mlp"):
        block.get_submodule(name).register_forward_hook(
            lambda _, given, __, name=name: seen.update({name: given[0]})
        )
    block(draw(2, N, D), draw(2, D, seed=1))
    assert torch.equal(seen["attn"], seen["mlp"])


# --- counts ---------------------------------------------------------------------------------


def modulation(kind, depth, hidden_size, **options):
    with torch.device("meta"):
        blocks = s.new_blocks(kind, depth, hidden_size, 16, **options)
    counts = measured_parameters(blocks)
    return counts.get("modulation", 0), sum(counts.values())


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("own", lambda d, depth: depth * (6 * d**2 + 6 * d)),
        ("shared", lambda d, depth: 6 * d**2 + 6 * d + depth * 6 * d),
        ("low rank", lambda d, depth: 256 * (d + 1) + depth * 6 * d * 257),
        ("two streams", lambda d, depth: 2 * depth * (6 * d**2 + 6 * d)),
        ("parallel", lambda d, depth: depth * (3 * d**2 + 3 * d)),
        ("none", lambda d, depth: 0),
    ],
)
def test_modulation_is_counted_as_its_formula_says(kind, count):
    assert modulation(kind, 28, 1152)[0] == count(1152, 28)


@pytest.mark.parametrize(
    ("parts", "published"),
    [
        ([("two streams", 60, 3072)], 20.4e9),  # Qwen-Image, arXiv 2508.02324: "20B"
        ([("two streams", 19, 3072), ("parallel", 38, 3072)], 11.9e9),  # FLUX.1: "12B"
        ([("two streams", 24, 1536)], 2.03e9),  # SD3-medium: "2B"
    ],
)
def test_blocks_have_about_the_published_sizes(parts, published):
    assert sum(modulation(*part)[1] for part in parts) == pytest.approx(published, rel=0.01)


@pytest.mark.parametrize("kind", ONE_STREAM)
def test_a_successor_starts_at_zero_and_its_ledger_is_whole(kind):
    torch.manual_seed(0)
    model = s.Successor(DIGITS_DIT, kind, RANK)
    x, t, y = torch.randn(1, 8, 4, 4), torch.zeros(1), torch.zeros(1, dtype=torch.long)
    assert model(x, t, y).shape == x.shape and model(x, t, y).abs().max() == 0
    ledger = measured_ledger(model.eval(), x, t, y)
    trained = [p.numel() for p in model.parameters() if p.requires_grad]
    assert sum(cost.parameters for cost in ledger.values()) == sum(trained)


def test_the_usual_narrow_condition_has_256_numbers():
    model = s.Successor(DIGITS_DIT, "low rank")
    assert model.blocks[0].adaLN_narrow.out_features == 256


# --- refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: s.new_blocks("adaln", 2, D, HEADS), "kind is 'adaln', expected 'own'"),
        (lambda: s.new_blocks("own", 0, D, HEADS), "depth is 0"),
        (lambda: s.new_blocks("low rank", 1, D, HEADS, rank=0), "rank is 0"),
        (lambda: s.Successor(DIGITS_DIT, "two streams"), "expected one without text"),
        (lambda: s.TwoStreamBlock(D, HEADS, EVERY_PART), "words have no grid"),
        (lambda: s.rope_angles(4, 6), "width 6 is not a multiple of pairs 4"),
        (lambda: s.Attention(D, HEADS, side=3)(torch.zeros(2, N, D)), "rotate: angles has shape"),
    ],
)
def test_wrong_arguments_get_a_sentence(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        wrong()
