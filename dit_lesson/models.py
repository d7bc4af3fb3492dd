r"""The whole models: `ViT`, which names a digit, and `DiT`, which paints one."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from dit_lesson.blocks import (
    EPS,
    AdaLNBlock,
    AdaLNFinalLayer,
    AdaLNZeroBlock,
    CrossAttentionBlock,
    FinalLayer,
    InContextBlock,
    ViTBlock,
)
from dit_lesson.embeddings import CaptionEncoder, LabelEmbedder, TimestepEmbedder, require_words
from dit_lesson.norms import Modulation
from dit_lesson.patches import PatchEmbed, unpatchify
from dit_lesson.positions import sincos_2d
from dit_lesson.validation import divides, one_of, positive, require, shapes, within

Conditioning = Literal["in-context", "cross-attention", "adaln", "adaln-zero"]


class ViT(nn.Module):
    r"""$\mathrm{head}(\mathrm{LN}(z^{(L)}))$ of CLS, or of the mean token: an image's class.

    Patches become tokens, positions are added, a learned CLS token joins in front, ``depth``
    blocks mix, and one token (``pool="cls"``) or the mean of the patch tokens (``pool="mean"``,
    which has no CLS token) is read.

    Args:
        image_size: in pixels, a multiple of patch_size.
        patch_size: in pixels.
        in_channels: of the images.
        hidden_size: D, the width of a token; a multiple of 4 for ``positions="sincos"``.
        depth: how many blocks.
        num_heads: a divisor of D.
        num_classes: how many logits.
        mlp_ratio: the MLP's inner width as a multiple of D.
        pool: read the CLS token, or the mean of the patch tokens.
        positions: ``"sincos"`` (fixed), ``"learned"``, or ``"none"``.
    forward(images): (B, in_channels, image_size, image_size) -> logits (B, num_classes).
    Raises: ValueError if a size, an option or the shape of the images does not fit.
    Source: ViT (Dosovitskiy et al. 2021), equations 1 to 4; mean pooling: its appendix D.3.
    """

    def __init__(
        self,
        image_size: int = 28,
        patch_size: int = 7,
        in_channels: int = 1,
        hidden_size: int = 64,
        depth: int = 4,
        num_heads: int = 4,
        num_classes: int = 10,
        mlp_ratio: float = 4.0,
        pool: Literal["cls", "mean"] = "cls",
        positions: Literal["sincos", "learned", "none"] = "sincos",
    ):
        super().__init__()
        divides("ViT", patch_size=patch_size, image_size=image_size)
        positive("ViT", depth=depth, num_classes=num_classes)
        one_of("ViT", ("cls", "mean"), pool=pool)
        one_of("ViT", ("sincos", "learned", "none"), positions=positions)
        side = image_size // patch_size
        self.image_size = image_size
        self.x_embedder = PatchEmbed(patch_size, in_channels, hidden_size)
        if positions == "sincos":
            self.register_buffer("pos_embed", _position_table(hidden_size, side))
        elif positions == "learned":
            self.pos_embed = nn.Parameter(0.02 * torch.randn(1, side**2, hidden_size))
        else:
            self.pos_embed = None
        self.cls_token = (
            nn.Parameter(0.02 * torch.randn(1, 1, hidden_size)) if pool == "cls" else None
        )
        self.blocks = nn.ModuleList(
            ViTBlock(hidden_size, num_heads, mlp_ratio) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(hidden_size, eps=EPS)
        self.head = nn.Linear(hidden_size, num_classes)
        self.apply(_xavier)

    def forward(self, images: Tensor) -> Tensor:
        """One logit per class."""
        channels, size = self.x_embedder.proj.in_channels, self.image_size
        shapes("ViT", images=(images, f"B {channels} {size} {size}"))
        x = self.x_embedder(images)  # (B, N, D)
        if self.pos_embed is not None:
            x = x + self.pos_embed
        if self.cls_token is not None:
            x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)  # (B, 1 + N, D)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return self.head(x[:, 0] if self.cls_token is not None else x.mean(dim=1))  # (B, classes)


@dataclass(frozen=True)
class Design:
    """How one of the four designs lets time t and condition y into the model.

    Args:
        block: the class of its blocks.
        final_layer: the class of its final layer; its norm is adaptive only where blocks are.
        condition: from t (B, 1, D) and y (B, L, D) to what the blocks are given.
        enter: from tokens (B, N, D) and that condition to the sequence that the blocks mix.
        in_sequence: how often the 1 + L condition tokens stand in that sequence, 0 or 1.
        looked_up: how many layers of a block look them up, 0 or 1.
        modulation: how many vectors of width D the condition makes for each block.
        final_modulation: how many it makes for the final layer.
    """

    block: type[nn.Module]
    final_layer: Callable[[int, int], FinalLayer | AdaLNFinalLayer]
    condition: Callable[[Tensor, Tensor], Tensor]
    enter: Callable[[Tensor, Tensor], Tensor]
    in_sequence: int = 0
    looked_up: int = 0
    modulation: int = 0
    final_modulation: int = 0


def _sequence(t: Tensor, y: Tensor) -> Tensor:
    return torch.cat([t, y], dim=1)  # (B, 1 + L, D)


def _sum(t: Tensor, y: Tensor) -> Tensor:
    return t[:, 0] + y.mean(dim=1)  # (B, D): of several words, the mean


def _append(tokens: Tensor, condition: Tensor) -> Tensor:
    return torch.cat([tokens, condition], dim=1)  # (B, N + 1 + L, D)


def _apart(tokens: Tensor, condition: Tensor) -> Tensor:
    return tokens  # (B, N, D)


#: The four designs. Source: DiT, section 3.2, "DiT block design".
DESIGNS: dict[str, Design] = {
    "in-context": Design(InContextBlock, FinalLayer, _sequence, _append, in_sequence=1),
    "cross-attention": Design(CrossAttentionBlock, FinalLayer, _sequence, _apart, looked_up=1),
    "adaln": Design(AdaLNBlock, AdaLNFinalLayer, _sum, _apart, modulation=4, final_modulation=2),
    "adaln-zero": Design(
        AdaLNZeroBlock,
        partial(AdaLNFinalLayer, zero_init=True),
        _sum,
        _apart,
        modulation=6,
        final_modulation=2,
    ),
}


@dataclass(frozen=True)
class DiTConfig:
    """All that is needed to build a `DiT`, or to count it.

    Args:
        input_size: I, the side of the latent, a multiple of patch_size.
        patch_size: p, in numbers of the latent.
        in_channels: C, of the latent.
        hidden_size: D, the width of a token, a multiple of num_heads and of 4.
        depth: how many blocks.
        num_heads: of each attention layer.
        mlp_ratio: the MLP's inner width as a multiple of D.
        num_classes: how many labels; not used with a vocabulary.
        class_dropout_prob: the share of conditions that training replaces by "none", for
            guidance; at 0 a table of labels has no row for "none".
        learn_sigma: double the output channels; the second half is for the variance.
        conditioning: one of `DESIGNS`.
        embedding_init: ``"paper"`` draws label table and time MLP with standard deviation 0.02;
            ``"unit"`` draws them so that both vectors have root mean square 1 whatever D is.
        vocabulary: the words of captions; with it y is a caption, not a label.
        max_words: L, the words of an encoded caption.
    Raises: ValueError for a size or an option that does not fit.
    Source: DiT, table 1.
    """

    input_size: int = 32
    patch_size: int = 2
    in_channels: int = 4
    hidden_size: int = 1152
    depth: int = 28
    num_heads: int = 16
    mlp_ratio: float = 4.0
    num_classes: int = 1000
    class_dropout_prob: float = 0.1
    learn_sigma: bool = True
    conditioning: Conditioning = "adaln-zero"
    embedding_init: Literal["paper", "unit"] = "paper"
    vocabulary: tuple[str, ...] = ()
    max_words: int = 4

    def __post_init__(self):
        name = type(self).__name__
        divides(name, patch_size=self.patch_size, input_size=self.input_size)
        divides(name, num_heads=self.num_heads, hidden_size=self.hidden_size)
        require(
            self.hidden_size % 4 == 0,
            f"{name}: hidden_size is {self.hidden_size}, expected a multiple of 4",
        )
        require(
            1 <= self.mlp_ratio * self.hidden_size < math.inf,
            f"{name}: mlp_ratio is {self.mlp_ratio}, expected a positive number that gives the MLP "
            "an inner width",
        )
        positive(name, in_channels=self.in_channels, depth=self.depth, max_words=self.max_words)
        positive(name, num_classes=self.num_classes)
        within(name, 0, 1, class_dropout_prob=self.class_dropout_prob)
        one_of(name, DESIGNS, conditioning=self.conditioning)
        one_of(name, ("paper", "unit"), embedding_init=self.embedding_init)
        if self.vocabulary:
            require_words(name, self.vocabulary)
        object.__setattr__(self, "vocabulary", tuple(self.vocabulary))  # JSON gives a list

    @property
    def design(self) -> Design:
        """What `conditioning` stands for."""
        return DESIGNS[self.conditioning]

    @property
    def num_tokens(self) -> int:
        """$N = (I / p)^2$, the image tokens."""
        return (self.input_size // self.patch_size) ** 2

    @property
    def out_channels(self) -> int:
        """C, or 2 C with a learned variance."""
        return self.in_channels * (2 if self.learn_sigma else 1)


_SIZES = {"S": (384, 12, 6), "B": (768, 12, 12), "L": (1024, 24, 16), "XL": (1152, 28, 16)}

#: The paper's twelve models, ``DiT(DIT_CONFIGS["DiT-XL/2"])``. Source: DiT, table 1.
DIT_CONFIGS: dict[str, DiTConfig] = {
    f"DiT-{name}/{patch_size}": DiTConfig(
        hidden_size=hidden_size, depth=depth, num_heads=num_heads, patch_size=patch_size
    )
    for name, (hidden_size, depth, num_heads) in _SIZES.items()
    for patch_size in (2, 4, 8)
}


class DiT(nn.Module):
    r"""$\epsilon_\theta(x_t, t, y)$: what is noise in $x_t$, if it shows y at time step t.

    One skeleton, four designs: patches become tokens with fixed positions; t and y become
    vectors; blocks mix them as the design says; a final layer turns tokens into patches.
    The names of all parameters are those of the released adaLN-Zero checkpoints.

    At the start the final linear layer is zero in every design, so the output is exactly 0 and
    the first loss is the variance of the noise. In adaLN-Zero every block is the identity too.

    Args:
        config: a `DiTConfig`.
        y_embedder: an encoder of the condition that is trained already; it keeps its weights.
            Without it, the config says which one is made.
    forward(x, t, y, generator): x (B, C, I, I), t (B,), y (B,) labels or (B, L) words ->
    (B, out_channels, I, I); generator, the source of the label dropout in training.
    Raises: ValueError if the shape of an input or the width of y_embedder does not fit.
    Source: DiT, section 3.2; initialisation as in the released code.
    """

    def __init__(self, config: DiTConfig, y_embedder: LabelEmbedder | CaptionEncoder | None = None):
        super().__init__()
        self.config, design, width = config, config.design, config.hidden_size
        self.x_embedder = PatchEmbed(config.patch_size, config.in_channels, width)
        self.t_embedder = TimestepEmbedder(width)
        self.y_embedder = _new_y_embedder(config)
        side = config.input_size // config.patch_size
        # a constant: never trained, but stored, as in the released checkpoints
        self.register_buffer("pos_embed", _position_table(width, side))
        self.blocks = nn.ModuleList(
            design.block(width, config.num_heads, config.mlp_ratio) for _ in range(config.depth)
        )
        self.final_layer = design.final_layer(width, config.patch_size**2 * config.out_channels)
        self._initialize()
        if y_embedder is not None:
            given = y_embedder.embedding_table.embedding_dim
            require(given == width, f"DiT: y_embedder is {given} wide, expected {width}")
            self.y_embedder = y_embedder

    def _initialize(self) -> None:
        self.apply(_xavier)
        first, last = (layer for layer in self.t_embedder.mlp if isinstance(layer, nn.Linear))
        # The paper's 0.02 gives t a root mean square of 0.08 at D = 1152 but 0.03 at D = 128, and
        # y 0.02: beside tokens of size 0.8 a narrow model hardly hears them, but where a layer norm
        # stands between (in-context), and learns them very late.
        first_std = last_std = table_std = 0.02
        if self.config.embedding_init == "unit":
            # e(t) has squared length frequency_size / 2; SiLU takes N(0, 1) to mean square 0.356
            first_std = (2 / first.in_features) ** 0.5
            last_std = (1 / (0.356 * last.in_features)) ** 0.5
            table_std = 1.0
        nn.init.normal_(first.weight, std=first_std)
        nn.init.normal_(last.weight, std=last_std)
        nn.init.normal_(self.y_embedder.embedding_table.weight, std=table_std)
        nn.init.zeros_(self.final_layer.linear.weight)

    def forward(
        self, x: Tensor, t: Tensor, y: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """The predicted noise, and the numbers for its variance with learn_sigma."""
        config, design = self.config, self.config.design
        size, channels = config.input_size, config.in_channels
        shapes("DiT", x=(x, f"B {channels} {size} {size}"), t=(t, "B"), y=(y, "B ..."))

        tokens = self.x_embedder(x) + self.pos_embed  # (B, N, D)
        time = self.t_embedder(t)[:, None]  # (B, 1, D)
        label = self.y_embedder(y, generator)  # (B, L, D), L = 1 for a class
        c = design.condition(time, label)  # (B, D), or (B, 1 + L, D) as a sequence
        tokens = design.enter(tokens, c)  # (B, N, D); in-context: (B, N + 1 + L, D)
        for block in self.blocks:
            tokens = block(tokens, c)
        tokens = tokens[:, : config.num_tokens]  # (B, N, D): condition tokens leave here
        patches = self.final_layer(tokens, c)  # (B, N, p * p * out_channels)
        return unpatchify(patches, config.patch_size, size, size)  # (B, out_channels, I, I)


def _position_table(hidden_size: int, side: int) -> Tensor:
    table = sincos_2d(hidden_size, side, side)
    # torch.tensor, not from_numpy: it obeys `with torch.device("meta")`
    return torch.tensor(table, dtype=torch.float32)[None]


def _new_y_embedder(config: DiTConfig) -> LabelEmbedder | CaptionEncoder:
    width, dropout = config.hidden_size, config.class_dropout_prob
    if config.vocabulary:
        return CaptionEncoder(config.vocabulary, config.max_words, width, dropout)
    return LabelEmbedder(config.num_classes, width, dropout)


def _xavier(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases; a convolution counts as its linear layer."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.xavier_uniform_(module.weight.view(len(module.weight), -1))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, Modulation):  # after its own linear layer
        module.start_at_zero()
