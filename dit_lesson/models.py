r"""The whole models: `ViT`, which names a digit, and `DiT`, which paints one."""

import pickle
from argparse import Namespace
from pathlib import Path
from typing import Literal, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
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
from dit_lesson.embeddings import CaptionEncoder, LabelEmbedder, TimestepEmbedder
from dit_lesson.patches import PatchEmbed, unpatchify
from dit_lesson.positions import sincos_2d
from dit_lesson.validation import require, require_positive_integer

Conditioning = Literal["in-context", "cross-attention", "adaln", "adaln-zero"]

# the block and the final layer of each design: the final norm is adaptive only where blocks are
DESIGNS = {
    "in-context": (InContextBlock, FinalLayer),
    "cross-attention": (CrossAttentionBlock, FinalLayer),
    "adaln": (AdaLNBlock, AdaLNFinalLayer),
    "adaln-zero": (AdaLNZeroBlock, AdaLNFinalLayer),
}

_SIZES = {
    "S": {"hidden_size": 384, "depth": 12, "num_heads": 6},
    "B": {"hidden_size": 768, "depth": 12, "num_heads": 12},
    "L": {"hidden_size": 1024, "depth": 24, "num_heads": 16},
    "XL": {"hidden_size": 1152, "depth": 28, "num_heads": 16},
}

#: The paper's twelve models, ``DiT(**DIT_CONFIGS["DiT-XL/2"])``. Source: DiT, table 1.
DIT_CONFIGS = {
    f"DiT-{name}/{patch_size}": size | {"patch_size": patch_size}
    for name, size in _SIZES.items()
    for patch_size in (2, 4, 8)
}


class ViT(nn.Module):
    r"""$\mathrm{head}(\mathrm{LN}(z^{(L)}))$ of CLS, or of the mean token: an image's class.

    Patches become tokens, positions are added, a learned CLS token joins in front, ``depth``
    blocks mix, and one token (``pool="cls"``) or the mean of the patch tokens (``pool="mean"``,
    which has no CLS token) is read.

    Args: image_size in pixels, a multiple of patch_size; positions: ``"sincos"`` (fixed, a
    multiple of 4 as width), ``"learned"``, or ``"none"``.
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
        side = _tokens_per_side("ViT", "image_size", image_size, patch_size)
        require_positive_integer("ViT", "depth", depth)
        require_positive_integer("ViT", "num_classes", num_classes)
        require(pool in ("cls", "mean"), f"ViT: pool is {pool!r}, expected 'cls' or 'mean'")
        require(
            positions in ("sincos", "learned", "none"),
            f"ViT: positions is {positions!r}, expected 'sincos', 'learned' or 'none'",
        )
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
        _require_images("ViT", images, self.x_embedder.proj.in_channels, self.image_size)
        x = self.x_embedder(images)
        if self.pos_embed is not None:
            x = x + self.pos_embed
        if self.cls_token is not None:
            x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return self.head(x[:, 0] if self.cls_token is not None else x.mean(dim=1))


class DiT(nn.Module):
    r"""$\epsilon_\theta(x_t, t, y)$: what is noise in $x_t$, if it shows y at time step t.

    One skeleton, four designs: patches become tokens with fixed positions; t and y become
    vectors; blocks mix them as ``conditioning`` says; a final layer turns tokens into patches.
    The names of all parameters are those of the released adaLN-Zero checkpoints.

    At the start the final linear layer is zero in every design, so the output is exactly 0 and
    the first loss is the variance of the noise. In adaLN-Zero every block is the identity too.

    Args: input_size I of the latent, a multiple of patch_size p; in_channels C; class_dropout_prob
    for guidance (0 leaves out the null class); learn_sigma doubles the output channels (the
    second half is for the variance); conditioning, one of `DESIGNS`; embedding_init: ``"paper"``
    draws label table and time MLP with standard deviation 0.02. The numbers of t then have a
    root mean square of 0.08 at D = 1152, but 0.03 at D = 128, those of y 0.02: beside tokens of
    size 0.8, a narrow model hardly hears its condition and learns it very late. ``"unit"`` draws
    both with root mean square 1 whatever D is. y_embedder: a `CaptionEncoder` in the place of the
    `LabelEmbedder` (num_classes and class_dropout_prob are then not used).
    forward(x, t, y, generator): x (B, C, I, I), t (B,), y (B,) labels or (B, L) words ->
    (B, out_channels, I, I); generator, the source of the label dropout in training.
    Raises: ValueError if a size, an option or an input's shape does not fit.
    Source: DiT, section 3.2 and table 1; initialisation as in the released code.
    """

    def __init__(
        self,
        input_size: int = 32,
        patch_size: int = 2,
        in_channels: int = 4,
        hidden_size: int = 1152,
        depth: int = 28,
        num_heads: int = 16,
        mlp_ratio: float = 4.0,
        num_classes: int = 1000,
        class_dropout_prob: float = 0.1,
        learn_sigma: bool = True,
        conditioning: Conditioning = "adaln-zero",
        embedding_init: Literal["paper", "unit"] = "paper",
        y_embedder: CaptionEncoder | None = None,
    ):
        super().__init__()
        side = _tokens_per_side("DiT", "input_size", input_size, patch_size)
        require_positive_integer("DiT", "depth", depth)
        require(
            conditioning in DESIGNS,
            f"DiT: conditioning is {conditioning!r}, expected one of {list(DESIGNS)}",
        )
        require(
            embedding_init in ("paper", "unit"),
            f"DiT: embedding_init is {embedding_init!r}, expected 'paper' or 'unit'",
        )
        self.input_size, self.patch_size, self.conditioning = input_size, patch_size, conditioning
        self.out_channels = in_channels * (2 if learn_sigma else 1)
        self.x_embedder = PatchEmbed(patch_size, in_channels, hidden_size)
        self.t_embedder = TimestepEmbedder(hidden_size)
        self.y_embedder = y_embedder or LabelEmbedder(num_classes, hidden_size, class_dropout_prob)
        # a constant: never trained, but stored, as in the released checkpoints
        self.register_buffer("pos_embed", _position_table(hidden_size, side))
        block, final_layer = DESIGNS[conditioning]
        self.blocks = nn.ModuleList(block(hidden_size, num_heads, mlp_ratio) for _ in range(depth))
        self.final_layer = final_layer(hidden_size, patch_size**2 * self.out_channels)
        self._initialize(embedding_init)

    def _initialize(self, embedding_init: str) -> None:
        self.apply(_xavier)
        first, last = self.t_embedder.mlp[0], self.t_embedder.mlp[2]
        first_std = last_std = table_std = 0.02
        if embedding_init == "unit":
            # e(t) has squared length frequency_size / 2; SiLU takes N(0, 1) to mean square 0.356
            first_std = (2 / first.in_features) ** 0.5
            last_std = (1 / (0.356 * last.in_features)) ** 0.5
            table_std = 1.0
        nn.init.normal_(first.weight, std=first_std)
        nn.init.normal_(last.weight, std=last_std)
        nn.init.normal_(self.y_embedder.embedding_table.weight, std=table_std)
        nn.init.zeros_(self.final_layer.linear.weight)
        if self.conditioning == "adaln-zero":
            for layer in (*self.blocks, self.final_layer):
                nn.init.zeros_(layer.adaLN_modulation[1].weight)

    def forward(
        self, x: Tensor, t: Tensor, y: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """The predicted noise, and the numbers for its variance with learn_sigma."""
        _require_images("DiT", x, self.x_embedder.proj.in_channels, self.input_size)
        require(
            t.shape == x.shape[:1] and y.shape[:1] == x.shape[:1],
            f"DiT: t and y have shapes {tuple(t.shape)} and {tuple(y.shape)}, expected one time "
            f"step and one label for each of the {len(x)} samples",
        )
        tokens = self.x_embedder(x) + self.pos_embed
        num_tokens = tokens.shape[1]
        time, label = self.t_embedder(t), self.y_embedder(y, generator)
        words = label if label.ndim == 3 else label[:, None]

        if self.conditioning in ("adaln", "adaln-zero"):
            condition = time + words.mean(dim=1)  # one vector (B, D)
        else:
            condition = torch.cat([time[:, None], words], dim=1)  # a sequence (B, 2, D)
        if self.conditioning == "in-context":
            tokens = torch.cat([tokens, condition], dim=1)  # once, before the first block
        for block in self.blocks:
            tokens = block(tokens, condition)
        tokens = tokens[:, :num_tokens]  # in-context: the condition leaves after the last block

        patches = self.final_layer(tokens, condition)
        return unpatchify(patches, self.patch_size, self.input_size, self.input_size)

    def load_released(self, path: str | Path) -> Self:
        """Take the weights of a ``.pt`` or ``.safetensors`` file, all of them or none.

        The file holds a state dict, or a training checkpoint with the state dict under "ema"
        (preferred) or "model". Only tensors are read from a ``.pt``, no code is run. ``pos_embed``
        may be absent.

        Returns: the model itself.
        Raises: FileNotFoundError; ValueError, naming the first key that does not fit.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"load_released: there is no file {path}")
        given = _read_state(path)
        expected = self.state_dict()
        given.setdefault("pos_embed", expected["pos_embed"])
        for key in (*expected, *given):
            require(
                key in given, f"load_released: {path.name} has no {key}, which this model needs"
            )
            require(
                key in expected,
                f"load_released: {path.name} holds {key}, which this model does not have",
            )
            require(
                given[key].shape == expected[key].shape,
                f"load_released: {key} has shape {tuple(given[key].shape)} in {path.name}, "
                f"expected {tuple(expected[key].shape)}",
            )
        self.load_state_dict(given)
        return self


def _read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # a training checkpoint also holds its command line, which is plain data
        with torch.serialization.safe_globals([Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"load_released: {path.name} is no file of weights ({type(error).__name__}), expected "
            "a state dict as .pt or .safetensors"
        ) from error
    for wrapper in ("ema", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
            break
    require(
        isinstance(content, dict) and all(isinstance(v, Tensor) for v in content.values()),
        f"load_released: {path.name} holds no state dict, expected tensors by name",
    )
    return dict(content)


def _position_table(hidden_size: int, side: int) -> Tensor:
    table = sincos_2d(hidden_size, side, side)
    # torch.tensor, not from_numpy: it obeys `with torch.device("meta")`
    return torch.tensor(table[None], dtype=torch.float32)


def _xavier(module: nn.Module) -> None:
    """Xavier-uniform weights and zero biases; a convolution counts as its linear layer."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.xavier_uniform_(module.weight.view(len(module.weight), -1))
        nn.init.zeros_(module.bias)


def _tokens_per_side(model: str, argument: str, size: int, patch_size: int) -> int:
    require_positive_integer(model, argument, size)
    require_positive_integer(model, "patch_size", patch_size)
    require(
        size % patch_size == 0,
        f"{model}: {argument} {size} is not a multiple of patch_size {patch_size}",
    )
    return size // patch_size


def _require_images(model: str, images: Tensor, channels: int, size: int) -> None:
    expected = (channels, size, size)
    require(
        images.ndim == 4 and tuple(images.shape[1:]) == expected and len(images) > 0,
        f"{model}: images has shape {tuple(images.shape)}, expected "
        f"(B, {', '.join(map(str, expected))}) with B >= 1",
    )
