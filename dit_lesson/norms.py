r"""Layer norm and what a condition does to it.

The definitions `layer_norm` and `modulate` are NumPy's, from `numpy_dit`; here they meet torch.
"""

from torch import Tensor, nn

from dit_lesson.numpy_dit import layer_norm, modulate
from dit_lesson.validation import require, require_positive_integer

__all__ = ["AdaptiveLayerNorm", "Modulation", "layer_norm", "modulate", "plain_layer_norm"]


def plain_layer_norm(hidden_size: int, eps: float = 1e-6) -> nn.LayerNorm:
    r"""$\mathrm{LN}(x) = (x - \mu) / \sqrt{\sigma^2 + \epsilon}$ as a module without parameters.

    Args: hidden_size D, the width of a token; eps as in DiT.
    Raises: ValueError if hidden_size is not a positive whole number.
    Source: DiT's norms have no affine parameters of their own wherever a condition sets them.
    """
    require_positive_integer("plain_layer_norm", "hidden_size", hidden_size)
    return nn.LayerNorm(hidden_size, eps=eps, elementwise_affine=False)


class Modulation(nn.Sequential):
    r"""$W\,\mathrm{SiLU}(c) + b$, cut into ``chunks`` vectors of width D.

    Four chunks are adaLN's (shift, scale) for attention and for the MLP; six are adaLN-Zero's
    (shift, scale, gate) twice; two belong to the final layer.

    Args: hidden_size D; chunks; zero_init sets W and b to zero, so that every chunk is zero
    whatever the condition.
    forward(c): c (B, D) -> a tuple of ``chunks`` tensors (B, D).
    Raises: ValueError on a size that is no positive whole number, or if c has another width.
    Source: DiT, section 3.2 and appendix A.
    """

    def __init__(self, hidden_size: int, chunks: int, zero_init: bool = False):
        require_positive_integer("Modulation", "hidden_size", hidden_size)
        require_positive_integer("Modulation", "chunks", chunks)
        super().__init__(nn.SiLU(), nn.Linear(hidden_size, chunks * hidden_size))
        self.chunks = chunks
        if zero_init:
            nn.init.zeros_(self[1].weight)
            nn.init.zeros_(self[1].bias)

    def forward(self, c: Tensor) -> tuple[Tensor, ...]:
        """The chunks for a batch of conditions (B, D)."""
        require(
            c.ndim == 2 and c.shape[1] == self[1].in_features,
            f"Modulation: c has shape {tuple(c.shape)}, expected (B, {self[1].in_features})",
        )
        return super().forward(c).chunk(self.chunks, dim=-1)


class AdaptiveLayerNorm(nn.Module):
    r"""$\mathrm{LN}(x)(1 + \gamma(c)) + \beta(c)$ with $[\beta, \gamma] = W\,\mathrm{SiLU}(c) + b$.

    Args: hidden_size D; eps.
    forward(x, c): tokens x (B, N, D) and conditions c (B, D) -> (B, N, D).
    Raises: ValueError if hidden_size, x or c do not fit.
    Source: DiT, section 3.2 (adaLN block).
    """

    def __init__(self, hidden_size: int, eps: float = 1e-6):
        super().__init__()
        self.norm = plain_layer_norm(hidden_size, eps)
        self.modulation = Modulation(hidden_size, chunks=2)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        """Normalised and modulated tokens."""
        shift, scale = self.modulation(c)
        return modulate(self.norm(x), shift, scale)
