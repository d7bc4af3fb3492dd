"""Our adaLN-Zero DiT against diffusers' on the same weights, in float64."""

import pytest
import torch

from dit_lesson.models import DiT, DiTConfig
from tests.diffusers_dit import relative_difference, theirs_with_weights_of

CONFIG = {"input_size": 8, "in_channels": 4, "hidden_size": 96, "depth": 4, "num_heads": 4}
CONFIG |= {"num_classes": 10}


def make(**changes):
    """A model as after training: nothing is zero."""
    torch.manual_seed(0)
    model = DiT(DiTConfig(**(CONFIG | changes))).double().eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
        else:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def answers(model, theirs):
    x = torch.randn(4, 4, 8, 8, dtype=torch.float64)
    t, y = torch.tensor([0, 1, 500, 999]), torch.tensor([0, 3, 9, 10])  # 10 is "no label"
    return model(x, t, y), theirs(x, t, y).sample


@pytest.mark.parametrize(
    "changes",
    [{}, {"patch_size": 4}, {"learn_sigma": False}, {"num_heads": 1}, {"hidden_size": 48}],
)
def test_the_outputs_agree_to_1e_10(changes):
    model = make(**changes)
    ours, theirs = answers(model, theirs_with_weights_of(model, released_settings=True))
    assert ours.shape == theirs.shape and ours.std() > 0.1
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


def test_the_gradients_agree_to_1e_10():
    model = make()
    theirs = theirs_with_weights_of(model, released_settings=True)
    for answer in answers(model, theirs):
        answer.square().mean().backward()
    block, their_block = model.blocks[2], theirs.transformer_blocks[2]
    pairs = (
        (model.x_embedder.proj, theirs.pos_embed.proj),
        (block.mlp.fc1, their_block.ff.net[0].proj),
        (block.adaLN_modulation[1], their_block.norm1.linear),
        (model.final_layer.adaLN_modulation[1], theirs.proj_out_1),
    )
    for ours, other in pairs:
        assert ours.weight.grad.any()
        torch.testing.assert_close(ours.weight.grad, other.weight.grad, rtol=0, atol=1e-10)


def test_the_two_settings_make_the_difference():
    model = make()
    plain = theirs_with_weights_of(model, released_settings=False)
    only_eps, only_shift = (theirs_with_weights_of(model, False) for _ in range(2))
    for block in only_eps.transformer_blocks:
        block.norm3.eps = 1e-6
    for block in only_shift.transformer_blocks:
        block.norm1.emb.time_proj.downscale_freq_shift = 0
    torch.manual_seed(1)
    for theirs in (plain, only_eps, only_shift):
        ours, given = answers(model, theirs)
        assert (ours - given).abs().max() > 1e-7


def test_the_difference_grows_with_time_and_vanishes_with_the_released_settings():
    model = make()
    early, middle, late = (relative_difference(model, t, False) for t in (0, 500, 999))
    assert early < 1e-4 < middle < late
    assert relative_difference(model, 999, True) < 1e-10


def test_with_weights_of_the_released_size_their_settings_cost_a_few_percent():
    torch.manual_seed(0)
    model = DiT(DiTConfig(input_size=8, hidden_size=384, depth=12, num_heads=6)).double().eval()
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    assert 0.01 < relative_difference(model, 500, False) < 0.04
    assert 0.02 < relative_difference(model, 999, False) < 0.08


def test_our_positions_are_theirs_too():
    from diffusers.models.embeddings import PatchEmbed

    model = make()
    theirs = PatchEmbed(height=8, width=8, patch_size=2, in_channels=4, embed_dim=96).pos_embed
    torch.testing.assert_close(model.pos_embed.float(), theirs, rtol=0, atol=1e-6)


def test_their_copies_of_the_embedders_cost_75_million_parameters_at_xl_2():
    from diffusers import DiTTransformer2DModel

    with torch.device("meta"):
        theirs = DiTTransformer2DModel()
        theirs_default = sum(p.numel() for p in theirs.parameters())
        ours = sum(p.numel() for p in DiT(DiTConfig(learn_sigma=False)).parameters())
    copies = 27 * (256 * 1152 + 1152 + 1152**2 + 1152 + 1001 * 1152)
    assert theirs_default == ours + copies
