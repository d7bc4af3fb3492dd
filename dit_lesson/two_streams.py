r"""MM-DiT's block: two streams with weights of their own, and one attention over both."""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from dit_lesson.blocks import AdaLNZeroBlock
from dit_lesson.norms import modulate


class TwoStreamBlock(nn.Module):
    r"""$[x, w] \mathrel{+}= \alpha_1\,\mathrm{Attn}([\tilde x, \tilde w])$, then an MLP each.

    Two of chapter 10's blocks, one for the image tokens x and one for the words w. Norms,
    modulation, queries, keys, values, output layer and MLP are each stream's own; what they share
    is one softmax, in which every token looks at all tokens and all words. At the start all gates
    are shut, and the block returns both streams as they came.

    Args:
        hidden_size: D.
        num_heads: a divisor of D.
        mlp_ratio: the MLP's inner width as a multiple of D.
    forward(x, words, c): x (B, N, D), words (B, L, D), c (B, D) -> the two streams, of the same
    shapes.
    Raises: ValueError if a size or the shape of an input does not fit.
    Source: Esser et al. 2024 (SD3), section 4 and figure 2b.
    """

    def __init__(self, hidden_size: int, num_heads: int, mlp_ratio: float = 4.0):
        super().__init__()
        self.image = AdaLNZeroBlock(hidden_size, num_heads, mlp_ratio)
        self.text = AdaLNZeroBlock(hidden_size, num_heads, mlp_ratio)

    def forward(self, x: Tensor, words: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Image tokens and words after the joint attention and each stream's MLP."""
        streams = [(self.image, x), (self.text, words)]
        # beta_1, gamma_1, alpha_1, beta_2, gamma_2, alpha_2 of each stream: 6 x (B, D)
        vectors = [block.adaLN_modulation(c) for block, _ in streams]
        heads = [
            block.attn.heads(modulate(block.norm1(h), shift, scale))  # (3, B, h, N or L, d)
            for (block, h), (shift, scale, *_) in zip(streams, vectors, strict=True)
        ]
        found = scaled_dot_product_attention(*torch.cat(heads, dim=-2))  # (B, h, N + L, d)
        parts = found.transpose(1, 2).flatten(2).split([x.shape[1], words.shape[1]], dim=1)
        out = []
        for (block, h), part, (_, _, gate_msa, shift, scale, gate_mlp) in zip(
            streams, parts, vectors, strict=True
        ):
            h = h + gate_msa[:, None] * block.attn.proj(part)
            out.append(h + gate_mlp[:, None] * block.mlp(modulate(block.norm2(h), shift, scale)))
        return out[0], out[1]  # (B, N, D), (B, L, D)
