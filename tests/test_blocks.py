"""What tells the four designs apart: identity at the start, and who gets which affine map."""

import pytest
import torch

from dit_lesson import blocks as b
from dit_lesson.norms import modulate, plain_layer_norm

D, N, HEADS = 24, 6, 4
ADAPTIVE = (b.AdaLNBlock, b.AdaLNZeroBlock)
DESIGNS = (b.InContextBlock, b.CrossAttentionBlock, *ADAPTIVE)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make(design, wake=False):
    torch.manual_seed(0)
    block = design(D, HEADS).double()
    if wake and hasattr(block, "adaLN_modulation"):
        torch.nn.init.normal_(block.adaLN_modulation[1].weight, std=0.5)
    return block


def condition(design, batch=2, seed=1):
    return draw(batch, D, seed=seed) if design in ADAPTIVE else draw(batch, 2, D, seed=seed)


def test_only_adaln_zero_starts_as_the_identity_and_it_does_so_bit_for_bit():
    x = draw(2, N, D)
    for design in DESIGNS:
        block = make(design)
        same = torch.equal(block(x, condition(design)), x)
        assert same == (design is b.AdaLNZeroBlock), design
        single = block.float()(x.float(), condition(design).float())
        assert torch.equal(single, x.float()) == (design is b.AdaLNZeroBlock), design


def test_a_random_gate_opens_the_block():
    x = draw(2, N, D)
    block = make(b.AdaLNZeroBlock, wake=True)
    assert (block(x, condition(b.AdaLNZeroBlock)) - x).abs().max() > 0.1


def captured_input(block, name, x, c):
    """What the layer called ``name`` is given while the block runs."""
    seen = []
    layer = block.get_submodule(name)
    hook = layer.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    block(x, c)
    hook.remove()
    return seen[0].detach()


def affine_residual(before, after):
    """How far after = before * a + b, with one a and b per feature for all tokens, is from true.

    Least squares for every feature over the tokens of one sample.
    """
    worst = 0.0
    for feature in range(before.shape[1]):
        design = torch.stack([before[:, feature], torch.ones(len(before), dtype=torch.float64)], 1)
        fit = torch.linalg.lstsq(design, after[:, feature : feature + 1]).solution
        worst = max(worst, (design @ fit - after[:, feature : feature + 1]).abs().max().item())
    return worst


@pytest.mark.parametrize("design", ADAPTIVE)
def test_adaln_applies_one_affine_map_to_all_tokens(design):
    block, x, c = make(design, wake=True), draw(1, N, D), condition(design, 1)
    normalised = plain_layer_norm(D)(x)
    assert affine_residual(normalised[0], captured_input(block, "attn", x, c)[0]) < 1e-12


@pytest.mark.parametrize("design", [b.InContextBlock, b.CrossAttentionBlock])
def test_what_a_condition_adds_in_the_other_designs_differs_from_token_to_token(design):
    block, x = make(design), draw(1, N, D)

    def effect(context):
        # in-context: the condition rides in the sequence
        tokens = torch.cat([x, context], 1) if design is b.InContextBlock else x
        return block(tokens, context)[0, :N]

    change = effect(condition(design, 1, seed=1)) - effect(condition(design, 1, seed=2))
    assert affine_residual(x[0], x[0] + change) > 0.01


def test_in_context_is_the_vit_block_and_that_is_its_equations():
    x, context = draw(2, N, D), condition(b.InContextBlock)
    vit, in_context = make(b.ViTBlock), make(b.InContextBlock)
    assert torch.equal(vit(x), in_context(x, context))
    h = x + vit.attn(vit.norm1(x))
    torch.testing.assert_close(vit(x), h + vit.mlp(vit.norm2(h)))


@pytest.mark.parametrize("design", [b.ViTBlock, *DESIGNS])
def test_the_mlp_is_four_times_as_wide_unless_it_is_told_otherwise(design):
    assert design(D, HEADS).mlp.fc1.out_features == 4 * D
    assert design(D, HEADS, 2.5).mlp.fc1.out_features == 60


def test_the_adaln_block_is_its_equations():
    block, x, c = make(b.AdaLNBlock), draw(2, N, D), condition(b.AdaLNBlock)
    norm = plain_layer_norm(D)
    linear = block.adaLN_modulation[1]
    shift1, scale1, shift2, scale2 = linear(torch.nn.functional.silu(c)).split(D, dim=1)
    h = x + block.attn(norm(x) * (1 + scale1[:, None]) + shift1[:, None])
    expected = h + block.mlp(norm(h) * (1 + scale2[:, None]) + shift2[:, None])
    torch.testing.assert_close(block(x, c), expected)


def test_the_chunks_of_adaln_zero_are_shift_scale_gate_twice():
    """Each chunk, switched on alone, does what its name says."""
    x, c = draw(1, N, D), torch.full((1, D), 1.0, dtype=torch.float64)
    block, value = make(b.AdaLNZeroBlock), draw(6, 1, D, seed=3)

    def run(**chunks):
        names = ["shift_msa", "scale_msa", "gate_msa", "shift_mlp", "scale_mlp", "gate_mlp"]
        rows = [chunks.get(name, torch.zeros(1, D, dtype=torch.float64)) for name in names]
        with torch.no_grad():
            block.adaLN_modulation[1].bias.copy_(torch.cat(rows, dim=1)[0])
        return block(x, c)

    norm, zero = plain_layer_norm(D), torch.zeros(1, D, dtype=torch.float64)
    expected = x + value[2][:, None] * block.attn(modulate(norm(x), value[0], value[1]))
    torch.testing.assert_close(
        run(shift_msa=value[0], scale_msa=value[1], gate_msa=value[2]), expected
    )
    expected = x + value[5][:, None] * block.mlp(modulate(norm(x), value[3], zero))
    torch.testing.assert_close(run(shift_mlp=value[3], gate_mlp=value[5]), expected)
    assert torch.equal(run(shift_msa=value[0], scale_mlp=value[4]), x)  # gates shut


def test_cross_attention_sits_between_attention_and_mlp():
    block, x = make(b.CrossAttentionBlock), draw(2, N, D)
    context, order = condition(b.CrossAttentionBlock), []
    for name in ("attn", "cross_attn", "mlp"):
        block.get_submodule(name).register_forward_hook(lambda *_, name=name: order.append(name))
    result = block(x, context)
    assert order == ["attn", "cross_attn", "mlp"]
    h = x + block.attn(block.norm1(x))
    h = h + block.cross_attn(block.norm_cross(h), context)
    torch.testing.assert_close(result, h + block.mlp(block.norm2(h)))


@pytest.mark.parametrize("design", DESIGNS)
def test_without_positions_a_block_is_blind_to_order(design):
    block, x, c = make(design, wake=True), draw(2, N, D), condition(design)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(block(x[:, order], c), block(x, c)[:, order])


def test_norms_are_affine_exactly_where_no_condition_sets_them():
    for design in (*DESIGNS, b.FinalLayer, b.AdaLNFinalLayer):
        layer = design(D, HEADS)
        norms = [m for m in layer.modules() if isinstance(m, torch.nn.LayerNorm)]
        adaptive = hasattr(layer, "adaLN_modulation")
        assert norms and all(norm.elementwise_affine != adaptive for norm in norms), design
        assert all(norm.eps == 1e-6 for norm in norms)


@pytest.mark.parametrize("design", DESIGNS)
def test_wrong_shapes_get_a_sentence(design):
    block = design(D, HEADS)
    with pytest.raises(ValueError, match=r"x has shape \(2, 6, 23\), expected \(B, N, 24\)|x has"):
        block.attn(torch.zeros(2, N, D - 1))
    if design is not b.InContextBlock:
        with pytest.raises(ValueError, match="has shape"):
            block(torch.zeros(2, N, D), torch.zeros(2, 2, 2, D))
    with pytest.raises(ValueError, match="hidden_size 24 is not a multiple of num_heads 5"):
        design(D, 5)
