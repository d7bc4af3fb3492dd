r"""Transformer blocks: ViT's, and the four ways in which DiT lets a condition into it.

Side by side, so that they can be compared line by line. All take tokens x (B, N, D) and return
(B, N, D). What the condition is differs:

=================== ======================================= ==============================
block               what enters                             layer norms
=================== ======================================= ==============================
InContextBlock      nothing: it sits in the sequence        learned scale and shift
CrossAttentionBlock context (B, M, D), to look up           learned scale and shift
AdaLNBlock          c (B, D) -> 2 x (shift, scale)          set by c
AdaLNZeroBlock      c (B, D) -> 2 x (shift, scale, gate)    set by c; the block starts as x
=================== ======================================= ==============================

Source: DiT, section 3.2 "DiT block design" and figure 3.
"""

from collections import OrderedDict

from torch import Tensor, nn

from dit_lesson.attention import CrossAttention, SelfAttention
from dit_lesson.norms import Modulation, modulate, plain_layer_norm

EPS = 1e-6


def mlp(hidden_size: int, mlp_ratio: float = 4.0) -> nn.Sequential:
    r"""$W_2\,\mathrm{GELU}(W_1 x + b_1) + b_2$, ``mlp_ratio`` times as wide inside.

    Args:
        hidden_size: D.
        mlp_ratio: the inner width as a multiple of D.
    Returns: a module (..., D) -> (..., D) with layers `fc1` and `fc2`.
    Source: ViT, equation 3; DiT takes the tanh form of GELU.
    """
    inner = int(mlp_ratio * hidden_size)
    return nn.Sequential(
        OrderedDict(
            fc1=nn.Linear(hidden_size, inner),
            gelu=nn.GELU(approximate="tanh"),
            fc2=nn.Linear(inner, hidden_size),
        )
    )


class ViTBlock(nn.Module):
    r"""$x' = x + \mathrm{Attn}(\mathrm{LN}(x))$, then $x' + \mathrm{MLP}(\mathrm{LN}(x'))$.

    The residual takes x itself, never the normalised x.

    Args:
        hidden_size: D.
        num_heads: a divisor of D.
        mlp_ratio: the MLP's inner width as a multiple of D.
    forward(x): (B, N, D) -> (B, N, D).
    Source: ViT (Dosovitskiy et al. 2021), equations 2 and 3.
    """

    def __init__(self, hidden_size: int, num_heads: int, mlp_ratio: float = 4.0):
        super().__init__()
        self.norm1 = nn.LayerNorm(hidden_size, eps=EPS)
        self.attn = SelfAttention(hidden_size, num_heads)
        self.norm2 = nn.LayerNorm(hidden_size, eps=EPS)
        self.mlp = mlp(hidden_size, mlp_ratio)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens after attention and MLP."""
        x = x + self.attn(self.norm1(x))  # (B, N, D)
        return x + self.mlp(self.norm2(x))  # (B, N, D)


class InContextBlock(ViTBlock):
    """The ViT block as it is: the model appends t and c to the tokens, once, before block 1.

    They leave the sequence after the last block, not before. The block reads no other condition;
    it takes one so that the four designs are called alike.

    forward(x, context): x (B, N + M, D), which holds the context already -> (B, N + M, D).
    Source: DiT, section 3.2, "In-context conditioning".
    """

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Image and condition tokens after attention and MLP."""
        return super().forward(x)  # (B, N + M, D)


class CrossAttentionBlock(nn.Module):
    r"""Between attention and MLP: $x'' = x' + \mathrm{CrossAttn}(\mathrm{LN}(x'), [t, c])$.

    Args:
        hidden_size: D.
        num_heads: a divisor of D.
        mlp_ratio: the MLP's inner width as a multiple of D.
    forward(x, context): x (B, N, D), context (B, M, D) -> (B, N, D); M = 2 for t and a class.
    Source: DiT, section 3.2, "Cross-attention block", after Vaswani et al. 2017, figure 1. That
    the cross-attention has a layer norm of its own is seen in DiT's figure 3 only.
    """

    def __init__(self, hidden_size: int, num_heads: int, mlp_ratio: float = 4.0):
        super().__init__()
        self.norm1 = nn.LayerNorm(hidden_size, eps=EPS)
        self.attn = SelfAttention(hidden_size, num_heads)
        self.norm_cross = nn.LayerNorm(hidden_size, eps=EPS)
        self.cross_attn = CrossAttention(hidden_size, num_heads)
        self.norm2 = nn.LayerNorm(hidden_size, eps=EPS)
        self.mlp = mlp(hidden_size, mlp_ratio)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Tokens after attention, looking up the context, and MLP."""
        x = x + self.attn(self.norm1(x))  # (B, N, D)
        x = x + self.cross_attn(self.norm_cross(x), context)  # (B, N, D)
        return x + self.mlp(self.norm2(x))  # (B, N, D)


class AdaLNBlock(nn.Module):
    r"""$x' = x + \mathrm{Attn}(\mathrm{LN}(x)(1 + \gamma_1) + \beta_1)$, MLP likewise.

    $[\beta_1, \gamma_1, \beta_2, \gamma_2] = W\,\mathrm{SiLU}(c) + b$, four vectors of width D,
    one affine map for all tokens.

    Args:
        hidden_size: D.
        num_heads: a divisor of D.
        mlp_ratio: the MLP's inner width as a multiple of D.
    forward(x, c): x (B, N, D), c (B, D) -> (B, N, D).
    Source: DiT, section 3.2, "Adaptive layer norm (adaLN) block", and appendix A.
    """

    def __init__(self, hidden_size: int, num_heads: int, mlp_ratio: float = 4.0):
        super().__init__()
        self.norm1 = plain_layer_norm(hidden_size, EPS)
        self.attn = SelfAttention(hidden_size, num_heads)
        self.norm2 = plain_layer_norm(hidden_size, EPS)
        self.mlp = mlp(hidden_size, mlp_ratio)
        self.adaLN_modulation = Modulation(hidden_size, chunks=4)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """Tokens after modulated attention and modulated MLP."""
        # beta_1, gamma_1, beta_2, gamma_2: 4 x (B, D)
        shift_msa, scale_msa, shift_mlp, scale_mlp = self.adaLN_modulation(c)
        x = x + self.attn(modulate(self.norm1(x), shift_msa, scale_msa))
        return x + self.mlp(modulate(self.norm2(x), shift_mlp, scale_mlp))


class AdaLNZeroBlock(nn.Module):
    r"""$x' = x + \alpha_1\,\mathrm{Attn}(\mathrm{LN}(x)(1 + \gamma_1) + \beta_1)$, MLP likewise.

    $[\beta_1, \gamma_1, \alpha_1, \beta_2, \gamma_2, \alpha_2] = W\,\mathrm{SiLU}(c) + b$ with W
    and b zero at the start: the gates are shut and the block returns x, bit for bit.

    Args:
        hidden_size: D.
        num_heads: a divisor of D.
        mlp_ratio: the MLP's inner width as a multiple of D.
    forward(x, c): x (B, N, D), c (B, D) -> (B, N, D).
    Source: DiT, section 3.2, "adaLN-Zero block", and appendix A.
    """

    def __init__(self, hidden_size: int, num_heads: int, mlp_ratio: float = 4.0):
        super().__init__()
        self.norm1 = plain_layer_norm(hidden_size, EPS)
        self.attn = SelfAttention(hidden_size, num_heads)
        self.norm2 = plain_layer_norm(hidden_size, EPS)
        self.mlp = mlp(hidden_size, mlp_ratio)
        self.adaLN_modulation = Modulation(hidden_size, chunks=6, zero_init=True)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """Tokens after gated, modulated attention and gated, modulated MLP."""
        # beta_1, gamma_1, alpha_1, beta_2, gamma_2, alpha_2: 6 x (B, D)
        shift_msa, scale_msa, gate_msa, shift_mlp, scale_mlp, gate_mlp = self.adaLN_modulation(c)
        x = x + gate_msa[:, None] * self.attn(modulate(self.norm1(x), shift_msa, scale_msa))
        return x + gate_mlp[:, None] * self.mlp(modulate(self.norm2(x), shift_mlp, scale_mlp))


class FinalLayer(nn.Module):
    r"""$W\,\mathrm{LN}(x) + b$: from tokens to the numbers of a patch, with a plain layer norm.

    For the in-context and the cross-attention design; the parameter counts of the paper rule out
    an adaptive norm there.

    Args:
        hidden_size: D.
        out_features: p * p * output channels.
    forward(x, context): x (B, N, D) -> (B, N, out_features); the context is not read.
    Source: DiT, section 3.2, "Transformer decoder".
    """

    def __init__(self, hidden_size: int, out_features: int):
        super().__init__()
        self.norm_final = nn.LayerNorm(hidden_size, eps=EPS)
        self.linear = nn.Linear(hidden_size, out_features)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """Flattened patches."""
        return self.linear(self.norm_final(x))  # (B, N, p * p * output channels)


class AdaLNFinalLayer(nn.Module):
    r"""$W\,(\mathrm{LN}(x)(1 + \gamma) + \beta) + b$ with $[\beta, \gamma]$ from c.

    Args:
        hidden_size: D.
        out_features: p * p * output channels.
        zero_init: as adaLN-Zero has it, shift and scale start at 0.
    forward(x, c): x (B, N, D), c (B, D) -> (B, N, out_features).
    Source: DiT, section 3.2, "Transformer decoder" ("adaptive if using adaLN").
    """

    def __init__(self, hidden_size: int, out_features: int, zero_init: bool = False):
        super().__init__()
        self.norm_final = plain_layer_norm(hidden_size, EPS)
        self.adaLN_modulation = Modulation(hidden_size, chunks=2, zero_init=zero_init)
        self.linear = nn.Linear(hidden_size, out_features)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """Flattened patches."""
        shift, scale = self.adaLN_modulation(c)  # beta, gamma: 2 x (B, D)
        return self.linear(modulate(self.norm_final(x), shift, scale))  # (B, N, p * p * channels)
