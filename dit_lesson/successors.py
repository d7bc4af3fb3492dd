r"""Blocks of what came after DiT, side by side: where the condition enters, and who pays for it.

All take tokens x (B, N, D). The vectors (shift, scale, gate) come from the condition c (B, D):

================ ============================================== =========================
block            what makes its vectors                         first seen in
================ ============================================== =========================
AdaLNZeroBlock   its own linear layer, D -> 6 D (`blocks`)      DiT, 2022
SharedBlock      one layer for all blocks, plus a table (6, D)  PixArt-alpha, 2023
LowRankBlock     its own layer from a narrow c, r -> 6 D        Lumina-2, 2025; Z-Image
TwoStreamBlock   two layers D -> 6 D, for image and for text    SD3 (MM-DiT), 2024
ParallelBlock    one layer D -> 3 D: attention and MLP at once  FLUX.1, 2024
UnmodulatedBlock nothing: the condition is tokens               U-ViT, 2022; iMF, 2025
================ ============================================== =========================

What else a block of 2025 exchanges (RMSNorm, SwiGLU, qk-norm, RoPE) is chosen by `Parts`, in any
of them. Sources are named at each class; where none is, the text says what was read in code.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, silu

from dit_lesson.attention import SelfAttention
from dit_lesson.blocks import EPS, AdaLNZeroBlock, mlp
from dit_lesson.models import DiT, DiTConfig
from dit_lesson.norms import Modulation, modulate, plain_layer_norm
from dit_lesson.positions import frequencies
from dit_lesson.validation import divides, one_of, positive, require, shapes

# --- parts that are exchanged one by one ------------------------------------------------------


class SwiGLU(nn.Module):
    r"""$W_2\,(\mathrm{SiLU}(W_1 x) \odot W_3 x)$: an MLP with a gate for every inner number.

    Three matrices in place of two, so the usual inner width is 2/3 of the MLP's: equal parameters.

    Args:
        hidden_size: D.
        inner: the inner width.
    forward(x): (..., D) -> (..., D).
    Source: Shazeer 2020 (arXiv 2002.05202), equation 6.
    """

    def __init__(self, hidden_size: int, inner: int):
        super().__init__()
        self.w1 = nn.Linear(hidden_size, inner)
        self.w3 = nn.Linear(hidden_size, inner)
        self.w2 = nn.Linear(inner, hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens after the gated MLP."""
        return self.w2(silu(self.w1(x)) * self.w3(x))  # (..., D)


def rope_angles(side: int, width: int, period: float = 10_000.0) -> Tensor:
    r"""$[c\,\omega_i, r\,\omega_i]$: the angles of the token in row r and column c, in radians.

    Args:
        side: of the grid, in tokens.
        width: d, of a head, a multiple of 4: half of its pairs turn with the column.
        period: as in `positions.frequencies`.
    Returns: (side * side, d / 2) float32.
    Raises: ValueError if 4 does not divide the width.
    Source: Su et al. 2021 (RoFormer, arXiv 2104.09864), equation 15, once for each axis.
    """
    divides("rope_angles", pairs=4, width=width)
    omega = torch.tensor(frequencies(width // 4, period), dtype=torch.float32)  # (d / 4,)
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return torch.cat([axis.reshape(-1, 1) * omega for axis in (column, row)], dim=1)


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    r"""$(a, b) \mapsto (a\cos\theta - b\sin\theta,\; a\sin\theta + b\cos\theta)$ for each pair.

    A query at n and a key at m then meet in a product that depends on n - m only.

    Args:
        x: (..., N, d) queries or keys; feature i is paired with feature i + d / 2.
        angles: (N, d / 2).
    Returns: (..., N, d), every pair as long as before.
    Source: Su et al. 2021 (RoFormer, arXiv 2104.09864), equation 34.
    """
    shapes("rotate", x=(x, "... N d"), angles=(angles, f"N {x.shape[-1] // 2}"))
    a, b = x.chunk(2, dim=-1)  # (..., N, d / 2) each
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


class Attention(SelfAttention):
    r"""`SelfAttention` whose queries and keys may be normalised and turned before they meet.

    qk-norm: $q \leftarrow \mathrm{RMSNorm}(q)$ and $k$ likewise, per head, with a learned scale,
    so that no logit can grow with the weights. RoPE: both are rotated by their place.

    Args:
        hidden_size: D, a multiple of num_heads.
        num_heads: h; a head is d = D / h wide.
        qk_norm: whether queries and keys are normalised.
        side: of the grid of tokens, for RoPE; None leaves it out.
    forward(x): (B, N, D) -> (B, N, D), N = side * side with RoPE.
    Source: qk-norm: Dehghani et al. 2023 (ViT-22B, arXiv 2302.05442), section 2, and SD3 (arXiv
    2403.03206), section 5.3.2, with RMSNorm; RoPE: Su et al. 2021.
    """

    angles: Tensor | None

    def __init__(
        self, hidden_size: int, num_heads: int, qk_norm: bool = False, side: int | None = None
    ):
        super().__init__(hidden_size, num_heads)
        width = hidden_size // num_heads
        self.q_norm, self.k_norm = (
            nn.RMSNorm(width, EPS) if qk_norm else nn.Identity() for _ in range(2)
        )
        angles = None if side is None else rope_angles(side, width)
        self.register_buffer("angles", angles, persistent=False)

    def heads(self, x: Tensor) -> Tensor:
        """Queries, keys and values of every head, (3, B, h, N, d)."""
        queries, keys, values = super().heads(x)
        queries, keys = self.q_norm(queries), self.k_norm(keys)
        if self.angles is not None:
            queries, keys = rotate(queries, self.angles), rotate(keys, self.angles)
        return torch.stack([queries, keys, values])


def joint_attention(layers: Sequence[SelfAttention], sequences: Sequence[Tensor]) -> list[Tensor]:
    r"""One softmax over all tokens, each sequence with queries, keys and values of its own layer.

    Args:
        layers: one for each sequence, of one width and number of heads.
        sequences: (B, N_s, D) each.
    Returns: (B, N_s, D) for each sequence.
    Source: SD3 (Esser et al. 2024, arXiv 2403.03206), figure 2.
    """
    heads = [layer.heads(x) for layer, x in zip(layers, sequences, strict=True)]
    queries, keys, values = (torch.cat(parts, dim=2) for parts in zip(*heads, strict=True))
    answer = scaled_dot_product_attention(queries, keys, values)  # A V, (B, h, N_all, d)
    answer = answer.transpose(1, 2).flatten(2)  # (B, N_all, D)
    pieces = answer.split([x.shape[1] for x in sequences], dim=1)
    return [layer.proj(piece) for layer, piece in zip(layers, pieces, strict=True)]


@dataclass(frozen=True)
class Parts:
    """What a block exchanges, whichever way its condition takes. The default is DiT's choice.

    Args:
        rms_norm: RMSNorm in place of the layer norm: the mean is not taken off.
        swiglu: `SwiGLU` of 2/3 of the inner width in place of the MLP with GELU.
        qk_norm: see `Attention`.
        side: of the grid, for RoPE in the attention.
        mlp_ratio: the MLP's inner width as a multiple of D.
    """

    rms_norm: bool = False
    swiglu: bool = False
    qk_norm: bool = False
    side: int | None = None
    mlp_ratio: float = 4.0

    def norm(self, hidden_size: int) -> nn.Module:
        r"""$x / \sqrt{\overline{x^2} + \epsilon}$ or a layer norm, without parameters."""
        if self.rms_norm:
            return nn.RMSNorm(hidden_size, EPS, elementwise_affine=False)
        return plain_layer_norm(hidden_size, EPS)

    def attention(self, hidden_size: int, num_heads: int) -> Attention:
        """Self-attention with or without qk-norm and RoPE."""
        return Attention(hidden_size, num_heads, self.qk_norm, self.side)

    def mlp(self, hidden_size: int) -> nn.Module:
        """The MLP, or a SwiGLU with as many parameters."""
        if self.swiglu:
            return SwiGLU(hidden_size, int(2 * self.mlp_ratio * hidden_size / 3))
        return mlp(hidden_size, self.mlp_ratio)


DIT_PARTS = Parts()
#: Of LightningDiT, JiT and other models of 2025, less the grid that RoPE needs.
PARTS_2025 = Parts(rms_norm=True, swiglu=True, qk_norm=True)

# --- blocks -----------------------------------------------------------------------------------


class GatedBlock(nn.Module):
    r"""$x' = x + \alpha_1 \mathrm{Attn}(\mathrm{N}(x)(1 + \gamma_1) + \beta_1)$, MLP likewise.

    adaLN-Zero's arithmetic without its linear layer: the six vectors are given.

    Args:
        hidden_size: D.
        num_heads: a divisor of D.
        parts: norm, attention and MLP.
    gated(x, vectors): x (B, N, D), six vectors (B, D) in the order shift, scale, gate, for
    attention and for the MLP -> (B, N, D).
    Source: DiT, section 3.2.
    """

    def __init__(self, hidden_size: int, num_heads: int, parts: Parts = DIT_PARTS):
        super().__init__()
        self.norm1, self.norm2 = parts.norm(hidden_size), parts.norm(hidden_size)
        self.attn = parts.attention(hidden_size, num_heads)
        self.mlp = parts.mlp(hidden_size)

    def gated(self, x: Tensor, vectors: Sequence[Tensor]) -> Tensor:
        """Tokens after gated, modulated attention and gated, modulated MLP."""
        shift1, scale1, gate1, shift2, scale2, gate2 = vectors  # 6 x (B, D)
        x = x + gate1[:, None] * self.attn(modulate(self.norm1(x), shift1, scale1))
        return x + gate2[:, None] * self.mlp(modulate(self.norm2(x), shift2, scale2))


class SharedBlock(GatedBlock):
    r"""$[\beta_1, \gamma_1, \alpha_1, \dots] = S(c) + E_l$: S for all blocks, E_l for this one.

    PixArt calls it adaLN-single. The table starts at 0 here, so that the block starts as the
    identity; PixArt draws it from a normal distribution.

    forward(x, shared): x (B, N, D), six vectors (B, D) that all blocks are given -> (B, N, D).
    Source: PixArt-alpha (Chen et al. 2023, arXiv 2310.00426), section 2.3.
    """

    def __init__(self, hidden_size: int, num_heads: int, parts: Parts = DIT_PARTS):
        super().__init__(hidden_size, num_heads, parts)
        self.scale_shift_table = nn.Parameter(torch.zeros(6, hidden_size))

    def forward(self, x: Tensor, shared: Sequence[Tensor]) -> Tensor:
        """Tokens after the block; its own six rows are added to what all blocks share."""
        rows = self.scale_shift_table
        return self.gated(x, [vector + row for vector, row in zip(shared, rows, strict=True)])


class LowRankBlock(GatedBlock):
    r"""$[\beta_1, \gamma_1, \alpha_1, \dots] = W_l\,\mathrm{SiLU}(c) + b_l$ with c of r numbers.

    6 r D weights in place of 6 D^2. W_l starts at 0, the block as the identity.

    Args:
        hidden_size: D.
        num_heads: a divisor of D.
        rank: r, the width of the condition.
        parts: norm, attention and MLP.
    forward(x, c): x (B, N, D), c (B, r) -> (B, N, D).
    Source: read in code: Lumina-Image-2.0 (r = 1024) and Z-Image (r = 256). Both make four vectors
    (scale and gate, no shift), and Z-Image leaves out the SiLU.
    """

    def __init__(self, hidden_size: int, num_heads: int, rank: int, parts: Parts = DIT_PARTS):
        super().__init__(hidden_size, num_heads, parts)
        self.adaLN_modulation = Modulation(hidden_size, 6, zero_init=True, condition_size=rank)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """Tokens after the block."""
        return self.gated(x, self.adaLN_modulation(c))


class TwoStreamBlock(nn.Module):
    r"""Image and text each have an adaLN-Zero block of their own; only the softmax is shared.

    Args:
        hidden_size: D, of both streams.
        num_heads: a divisor of D.
        parts: norm, attention and MLP; RoPE is left out, since words have no place on the grid.
    forward(x, text, c): x (B, N, D), text (B, M, D), c (B, D) -> both, changed.
    Raises: ValueError if parts ask for RoPE.
    Source: SD3 (Esser et al. 2024, arXiv 2403.03206), section 4 and figure 2 ("MM-DiT").
    """

    def __init__(self, hidden_size: int, num_heads: int, parts: Parts = DIT_PARTS):
        super().__init__()
        require(
            parts.side is None,
            f"TwoStreamBlock: parts.side is {parts.side}, expected None: words have no grid",
        )
        # of rank D: each stream has adaLN-Zero's own layer
        self.image, self.text = (
            LowRankBlock(hidden_size, num_heads, hidden_size, parts) for _ in range(2)
        )

    def forward(self, x: Tensor, text: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Image and text tokens after one joint attention and an MLP each."""
        mine, theirs = self.image, self.text
        a, b = mine.adaLN_modulation(c), theirs.adaLN_modulation(c)  # 6 x (B, D) each
        seen, heard = joint_attention(
            [mine.attn, theirs.attn],
            [modulate(mine.norm1(x), a[0], a[1]), modulate(theirs.norm1(text), b[0], b[1])],
        )
        x, text = x + a[2][:, None] * seen, text + b[2][:, None] * heard
        x = x + a[5][:, None] * mine.mlp(modulate(mine.norm2(x), a[3], a[4]))
        text = text + b[5][:, None] * theirs.mlp(modulate(theirs.norm2(text), b[3], b[4]))
        return x, text  # (B, N, D), (B, M, D)


class ParallelBlock(nn.Module):
    r"""$x' = x + \alpha\,(\mathrm{Attn}(m) + \mathrm{MLP}(m))$, $m = \mathrm{N}(x)(1 + \gamma) +
    \beta$.

    Attention and MLP read the same m and are added at once: one norm and three vectors. FLUX.1
    writes the layers that read m as one matrix, and those that write the answer as another.

    Args:
        hidden_size: D.
        num_heads: a divisor of D.
        parts: norm, attention and MLP.
    forward(x, c): x (B, N, D), in FLUX.1 text and image tokens in one sequence, c (B, D) ->
    (B, N, D).
    Source: read in code, FLUX.1 ("SingleStreamBlock"); attention and MLP in parallel: ViT-22B
    (Dehghani et al. 2023, arXiv 2302.05442), section 2.
    """

    def __init__(self, hidden_size: int, num_heads: int, parts: Parts = DIT_PARTS):
        super().__init__()
        self.norm = parts.norm(hidden_size)
        self.attn = parts.attention(hidden_size, num_heads)
        self.mlp = parts.mlp(hidden_size)
        self.adaLN_modulation = Modulation(hidden_size, chunks=3, zero_init=True)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """Tokens after attention and MLP at once."""
        shift, scale, gate = self.adaLN_modulation(c)  # 3 x (B, D)
        m = modulate(self.norm(x), shift, scale)  # (B, N, D)
        return x + gate[:, None] * (self.attn(m) + self.mlp(m))


class UnmodulatedBlock(nn.Module):
    r"""$x' = x + \alpha_1\,\mathrm{Attn}(\gamma_1 \mathrm{N}(x))$, MLP likewise, c nowhere.

    The gates $\alpha$ are learned, start at 0 and depend on nothing; the condition is tokens in
    the sequence, as in DiT's in-context design.

    Args:
        hidden_size: D.
        num_heads: a divisor of D.
        parts: norm, attention and MLP.
    forward(x, context): x (B, N + M, D), which holds the condition already -> (B, N + M, D).
    Source: improved MeanFlow (Geng et al. 2025, arXiv 2512.02012); the zero gates were read in
    its code. Tokens alone: U-ViT (Bao et al. 2022, arXiv 2209.12152).
    """

    def __init__(self, hidden_size: int, num_heads: int, parts: Parts = DIT_PARTS):
        super().__init__()
        self.norm1, self.norm2 = parts.norm(hidden_size), parts.norm(hidden_size)
        self.attn = parts.attention(hidden_size, num_heads)
        self.mlp = parts.mlp(hidden_size)
        self.norm_scales = nn.Parameter(torch.ones(2, hidden_size))
        self.gates = nn.Parameter(torch.zeros(2, hidden_size))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Image and condition tokens after attention and MLP."""
        x = x + self.gates[0] * self.attn(self.norm_scales[0] * self.norm1(x))
        return x + self.gates[1] * self.mlp(self.norm_scales[1] * self.norm2(x))


# --- all blocks of a model --------------------------------------------------------------------

Kind = Literal["own", "shared", "low rank", "two streams", "parallel", "none"]
#: The six ways, in the order of the table above.
KINDS: tuple[Kind, ...] = ("own", "shared", "low rank", "two streams", "parallel", "none")


class SharedStack(nn.Module):
    r"""$S(c) = W\,\mathrm{SiLU}(c) + b$ once, then ``depth`` blocks that all are given it.

    Args:
        depth: L.
        hidden_size: D.
        num_heads: a divisor of D.
        parts: of the blocks.
    forward(x, c): x (B, N, D), c (B, D) -> (B, N, D).
    Source: PixArt-alpha (Chen et al. 2023, arXiv 2310.00426), section 2.3.
    """

    def __init__(self, depth: int, hidden_size: int, num_heads: int, parts: Parts = DIT_PARTS):
        super().__init__()
        self.adaLN_modulation = Modulation(hidden_size, chunks=6, zero_init=True)
        self.blocks = nn.ModuleList(
            SharedBlock(hidden_size, num_heads, parts) for _ in range(depth)
        )

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """Tokens after all blocks."""
        shared = self.adaLN_modulation(c)  # 6 x (B, D)
        for block in self.blocks:
            x = block(x, shared)
        return x  # (B, N, D)


class LowRankStack(nn.Module):
    r"""$c' = V c$ of r numbers once, then ``depth`` blocks that make their vectors from it.

    Args:
        depth: L.
        hidden_size: D.
        num_heads: a divisor of D.
        rank: r.
        parts: of the blocks.
    forward(x, c): x (B, N, D), c (B, D) -> (B, N, D).
    Source: as `LowRankBlock`; there the network of t ends in r numbers, which is the same.
    """

    def __init__(
        self, depth: int, hidden_size: int, num_heads: int, rank: int, parts: Parts = DIT_PARTS
    ):
        super().__init__()
        positive("LowRankStack", rank=rank)
        self.adaLN_narrow = nn.Linear(hidden_size, rank)
        self.blocks = nn.ModuleList(
            LowRankBlock(hidden_size, num_heads, rank, parts) for _ in range(depth)
        )

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """Tokens after all blocks."""
        narrow = self.adaLN_narrow(c)  # (B, r)
        for block in self.blocks:
            x = block(x, narrow)
        return x  # (B, N, D)


def new_blocks(
    kind: Kind,
    depth: int,
    hidden_size: int,
    num_heads: int,
    rank: int = 256,
    parts: Parts = DIT_PARTS,
) -> nn.ModuleList:
    """All blocks of a model, to be called one after the other with (x, c).

    Args:
        kind: one of `KINDS`; blocks of "two streams" take text as well.
        depth: L.
        hidden_size: D.
        num_heads: a divisor of D.
        rank: r, for "low rank".
        parts: of the blocks; adaLN-Zero's own are DiT's.
    Raises: ValueError for an unknown kind or sizes that do not fit.
    """
    one_of("new_blocks", KINDS, kind=kind)
    positive("new_blocks", depth=depth)
    if kind == "shared":
        return nn.ModuleList([SharedStack(depth, hidden_size, num_heads, parts)])
    if kind == "low rank":
        return nn.ModuleList([LowRankStack(depth, hidden_size, num_heads, rank, parts)])
    if kind == "own":
        return nn.ModuleList(AdaLNZeroBlock(hidden_size, num_heads) for _ in range(depth))
    block = {"two streams": TwoStreamBlock, "parallel": ParallelBlock, "none": UnmodulatedBlock}
    return nn.ModuleList(block[kind](hidden_size, num_heads, parts) for _ in range(depth))


class Successor(DiT):
    """A `DiT` with other blocks; patches, positions, embeddings and start stay.

    Args:
        config: of the DiT; for "none" it is told in context, with t and y as tokens.
        kind: one of `KINDS` but "two streams", which needs text.
        rank: r, for "low rank".
        parts: of the blocks.
    forward(x, t, y, generator): as `DiT`.
    Raises: ValueError as `new_blocks`, and for "two streams".
    """

    def __init__(self, config: DiTConfig, kind: Kind, rank: int = 256, parts: Parts = DIT_PARTS):
        require(
            kind != "two streams", "Successor: kind is 'two streams', expected one without text"
        )
        super().__init__(
            replace(config, conditioning="in-context" if kind == "none" else "adaln-zero")
        )
        self.blocks = new_blocks(
            kind, config.depth, config.hidden_size, config.num_heads, rank, parts
        )
        self._initialize()
