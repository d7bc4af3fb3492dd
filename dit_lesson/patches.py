r"""Images as sequences: patchify, its exact inverse, and the embedding that a model learns.

The features of a token are ordered (row in patch, column in patch, channel) everywhere in the
book, as DiT's unpatchify reads them.
"""

from typing import TypeVar

import numpy as np
from einops import rearrange
from torch import Tensor, nn

from dit_lesson.validation import divides, numbers, positive, require, shapes

Array = TypeVar("Array", np.ndarray, Tensor)


def patchify(images: Array, patch_size: int) -> Array:
    r"""$(B, C, Hp, Wp) \to (B, HW, p^2 C)$: cut into patches, row by row, and flatten each.

    Token $n = iW + j$ is the patch in row i, column j; its feature $(qp + r)C + c$ is channel c of
    the pixel in row q, column r of the patch.

    Args:
        images: (B, C, height, width), NumPy or torch, floating point.
        patch_size: p, in pixels.
    Returns: (B, N, p * p * C), N = height * width / p^2.
    Raises: ValueError if images are not finite floats with four axes, or a side is not a
    multiple of the patch size.
    Source: DiT, section 3.2 "Patchify"; the order (p, p, C) is that of its unpatchify.
    """
    sizes = shapes("patchify", images=(images, "B C H W"))
    divides("patchify", patch_size=patch_size, height=sizes["H"], width=sizes["W"])
    numbers("patchify", images=images)
    return rearrange(images, "b c (h p) (w q) -> b (h w) (p q c)", p=patch_size, q=patch_size)


def unpatchify(tokens: Array, patch_size: int, height: int, width: int) -> Array:
    r"""$(B, HW, p^2 C) \to (B, C, Hp, Wp)$: the exact inverse of `patchify`.

    Args:
        tokens: (B, N, p * p * C), NumPy or torch.
        patch_size: p, in pixels.
        height: of the image, in pixels, a multiple of p.
        width: likewise; it need not equal the height.
    Returns: (B, C, height, width).
    Raises: ValueError if height or width is not a multiple of p, if N is not their number of
    patches, or if the features are not p * p * C for a whole C.
    Source: DiT, section 3.2 "Transformer decoder" (the last rearrangement).
    """
    divides("unpatchify", patch_size=patch_size, height=height, width=width)
    rows, columns = height // patch_size, width // patch_size
    sizes = shapes("unpatchify", tokens=(tokens, "B N F"))
    require(
        sizes["N"] == rows * columns,
        f"unpatchify: tokens holds {sizes['N']} tokens, expected {rows * columns} "
        f"for a {height}x{width} image in patches of {patch_size}",
    )
    require(
        sizes["F"] % patch_size**2 == 0,
        f"unpatchify: tokens has {sizes['F']} features, expected a multiple of "
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

    Args:
        patch_size: p, in pixels.
        in_channels: C.
        hidden_size: D, the width of a token.
    forward(images): (B, C, H, W) -> (B, N, D).
    Raises: ValueError on sizes that are no positive whole numbers or do not fit.
    Source: ViT (Dosovitskiy et al. 2021), equation 1; DiT, section 3.2.
    """

    def __init__(self, patch_size: int, in_channels: int, hidden_size: int):
        super().__init__()
        positive(
            "PatchEmbed", patch_size=patch_size, in_channels=in_channels, hidden_size=hidden_size
        )
        self.patch_size = patch_size
        self.proj = nn.Conv2d(in_channels, hidden_size, kernel_size=patch_size, stride=patch_size)

    def forward(self, images: Tensor) -> Tensor:
        """Embedded patches (B, N, D), row by row."""
        sizes = shapes("PatchEmbed", images=(images, f"B {self.proj.in_channels} H W"))
        divides("PatchEmbed", patch_size=self.patch_size, height=sizes["H"], width=sizes["W"])
        patches = self.proj(images)  # (B, D, H / p, W / p)
        return rearrange(patches, "b d h w -> b (h w) d")  # (B, N, D)
