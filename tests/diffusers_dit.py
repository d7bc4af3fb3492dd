"""A diffusers model with the weights of ours: the independent implementation.

diffusers' DiT differs from the released code in two settings, both named here:

* ``downscale_freq_shift = 1``: its frequencies are 10000^(-i / 127) where the released model has
  10000^(-i / 128), so the time step is heard differently, the more the larger it is;
* ``norm3.eps = 1e-5``: the layer norm before the MLP has a larger epsilon than the other one.

Its blocks each hold a copy of the time and label embedders.
"""

import torch
from torch import Tensor, nn

from dit_lesson.models import DiT

WITHIN_BLOCK = {
    "norm1.linear": "adaLN_modulation.1",
    "attn1.to_out.0": "attn.proj",
    "ff.net.0.proj": "mlp.fc1",
    "ff.net.2": "mlp.fc2",
    "norm1.emb.timestep_embedder.linear_1": "t_embedder.mlp.0",
    "norm1.emb.timestep_embedder.linear_2": "t_embedder.mlp.2",
    "norm1.emb.class_embedder.embedding_table": "y_embedder.embedding_table",
}
OUTSIDE = {
    "pos_embed.proj": "x_embedder.proj",
    "proj_out_1": "final_layer.adaLN_modulation.1",
    "proj_out_2": "final_layer.linear",
}


def theirs_with_weights_of(model: DiT, released_settings: bool) -> nn.Module:
    """diffusers' ``DiTTransformer2DModel`` in eval mode, in the dtype of ``model``."""
    from diffusers import DiTTransformer2DModel

    attention = model.blocks[0].attn
    theirs = DiTTransformer2DModel(
        num_attention_heads=attention.num_heads,
        attention_head_dim=attention.proj.in_features // attention.num_heads,
        in_channels=model.x_embedder.proj.in_channels,
        out_channels=model.config.out_channels,
        num_layers=len(model.blocks),
        sample_size=model.config.input_size,
        patch_size=model.config.patch_size,
        num_embeds_ada_norm=model.y_embedder.null_class,
    )
    # before loading, or float64 weights are rounded; their own `to` warns about float32
    nn.Module.to(theirs, model.x_embedder.proj.weight.dtype)
    theirs.load_state_dict(_renamed(model.state_dict(), theirs.state_dict()))
    if released_settings:
        for block in theirs.transformer_blocks:
            block.norm1.emb.time_proj.downscale_freq_shift = 0
            block.norm3.eps = 1e-6
    return theirs.eval()


def _renamed(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    state = {}
    for key in theirs:
        stem, kind = key.rsplit(".", 1)
        if key == "pos_embed.pos_embed":
            state[key] = ours["pos_embed"]
        elif stem in OUTSIDE:
            state[key] = ours[f"{OUTSIDE[stem]}.{kind}"]
        else:
            _, number, inner = stem.split(".", 2)
            if inner.startswith("attn1.to_") and inner != "attn1.to_out.0":
                qkv = ours[f"blocks.{number}.attn.qkv.{kind}"].chunk(3)
                state[key] = qkv["qkv".index(inner[-1])]
            else:
                name = WITHIN_BLOCK[inner]
                place = name if "embedder" in name else f"blocks.{number}.{name}"
                state[key] = ours[f"{place}.{kind}"]
    return state


def relative_difference(model: DiT, t: int, released_settings: bool) -> float:
    """RMS of (theirs - ours) over the RMS of ours, at time step t, for random input."""
    theirs = theirs_with_weights_of(model, released_settings)
    generator = torch.Generator().manual_seed(0)
    weight = model.x_embedder.proj.weight
    shape = (4, weight.shape[1], *[model.config.input_size] * 2)
    x = torch.randn(shape, generator=generator, dtype=weight.dtype)
    times, y = torch.full((4,), t), torch.arange(4)
    with torch.no_grad():
        expected, given = model(x, times, y), theirs(x, times, y).sample
    return ((given - expected).square().mean() / expected.square().mean()).sqrt().item()
