r"""Images as sequences: patchify, its exact inverse, and the embedding that a model learns.

The features of a token are ordered (row in patch, column in patch, channel) everywhere in the
book, as DiT's unpatchify reads them.
"""

from typing import TypeVar

import numpy as np
from einops import rearrange
from torch import Tensor, nn

from dit_lesson.validation import require, require_array, require_positive_integer

Array = TypeVar("Array", np.ndarray, Tensor)


def _check_size(function: str, height: int, width: int, patch_size: int) -> None:
    require_positive_integer(function, "patch_size", patch_size)
    for side, size in (("height", height), ("width", width)):
        require(
            size % patch_size == 0,
            f"{function}: image {side} {size} is not a multiple of patch size {patch_size}",
        )


def patchify(images: Array, patch_size: int) -> Array:
    r"""$(B, C, Hp, Wp) \to (B, HW, p^2 C)$: cut into patches, row by row, and flatten each.

    Token $n = iW + j$ is the patch in row i, column j; its feature $(qp + r)C + c$ is channel c of
    the pixel in row q, column r of the patch.

    Args: images (B, C, height, width), NumPy or torch, floating point; patch_size p.
    Returns: (B, N, p * p * C), N = height * width / p^2.
    Raises: ValueError if images are not finite floats with four axes, or a side is not a
    multiple of the patch size.
    Source: DiT, section 3.2 "Patchify"; the order (p, p, C) is that of its unpatchify.
    """
    require_array("patchify", "images", images, "B C H W")
    _check_size("patchify", *images.shape[2:], patch_size)
    return rearrange(images, "b c (h p) (w q) -> b (h w) (p q c)", p=patch_size, q=patch_size)


def unpatchify(tokens: Array, patch_size: int, height: int, width: int) -> Array:
    r"""$(B, HW, p^2 C) \to (B, C, Hp, Wp)$: the exact inverse of `patchify`.

    Args: tokens (B, N, p * p * C), NumPy or torch; patch_size p; height and width of the image
    in pixels, which need not be equal.
    Returns: (B, C, height, width).
    Raises: ValueError if height or width is not a multiple of p, if N is not their number of
    patches, or if the features are not p * p * C for a whole C.
    Source: DiT, section 3.2 "Transformer decoder" (the last rearrangement).
    """
    require_array("unpatchify", "tokens", tokens, "B N F")
    _check_size("unpatchify", height, width, patch_size)
    rows, columns = height // patch_size, width // patch_size
    require(
        tokens.shape[1] == rows * columns,
        f"unpatchify: tokens holds {tokens.shape[1]} tokens, expected {rows * columns} "
        f"for a {height}x{width} image in patches of {patch_size}",
    )
    require(
        tokens.shape[2] % patch_size**2 == 0,
        f"unpatchify: tokens has {tokens.shape[2]} features, expected a multiple of "
        f"{patch_size**2} = patch_size * patch_size",
    )
    return rearrange(
        tokens, "b (h w) (p q c) -> b c (h p) (w q)", h=rows, p=patch_size, q=patch_size
    )


class PatchEmbed(nn.Module):
    r"""$E\,\mathrm{patchify}(x) + b$: one linear map for all patches, written as a convolution.

    A convolution with kernel and stride p applies one linear layer to every patch. Its weight
    (D, C, p, p) is that layer's, with the features in the order (C, p, p); `proj` is its name
    in released checkpoints.

    Args: patch_size p; in_channels C; hidden_size D.
    forward(images): (B, C, H, W) -> (B, N, D).
    Raises: ValueError on sizes that are no positive whole numbers or do not fit.
    Source: ViT (Dosovitskiy et al. 2021), equation 1; DiT, section 3.2.
    """

    def __init__(self, patch_size: int, in_channels: int, hidden_size: int):
        super().__init__()
        for name, value in (
            ("patch_size", patch_size),
            ("in_channels", in_channels),
            ("hidden_size", hidden_size),
        ):
            require_positive_integer("PatchEmbed", name, value)
        self.patch_size = patch_size
        self.proj = nn.Conv2d(in_channels, hidden_size, kernel_size=patch_size, stride=patch_size)

    def forward(self, images: Tensor) -> Tensor:
        """Embedded patches (B, N, D), row by row."""
        require(
            images.ndim == 4 and images.shape[1] == self.proj.in_channels,
            f"PatchEmbed: images has shape {tuple(images.shape)}, "
            f"expected (B, {self.proj.in_channels}, H, W)",
        )
        _check_size("PatchEmbed", *images.shape[2:], self.patch_size)
        return rearrange(self.proj(images), "b d h w -> b (h w) d")
