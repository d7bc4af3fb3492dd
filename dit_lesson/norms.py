r"""Layer norm and what a condition does to it, in torch; the definitions are in `numpy_dit`."""

from torch import Tensor, nn
from torch.nn import functional as F

from dit_lesson.validation import positive, shapes


def layer_norm(x: Tensor, eps: float = 1e-6) -> Tensor:
    r"""$\mathrm{LN}(x) = (x - \mu) / \sqrt{\sigma^2 + \epsilon}$ over the last axis.

    Args:
        x: (..., D).
        eps: added to the variance, 1e-6 as in DiT.
    Returns: the shape of x, without a learned scale or shift.
    Source: Ba et al. 2016.
    """
    return F.layer_norm(x, x.shape[-1:], eps=eps)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    r"""$x \odot (1 + \gamma) + \beta$, one shift $\beta$ and one scale $\gamma$ for all tokens.

    Args:
        x: (..., N, D) tokens.
        shift: (..., D), without the token axis.
        scale: (..., D), likewise.
    Returns: (..., N, D); at shift = scale = 0 it is x, bit for bit.
    Raises: ValueError if the axes of shift or scale are not those of x without N.
    Source: DiT, section 3.2 (adaLN block); FiLM (Perez et al. 2018).
    """
    shapes("modulate", x=(x, "... N D"), shift=(shift, "... D"), scale=(scale, "... D"))
    return x * (1 + scale[..., None, :]) + shift[..., None, :]


def plain_layer_norm(hidden_size: int, eps: float = 1e-6) -> nn.LayerNorm:
    r"""$\mathrm{LN}(x) = (x - \mu) / \sqrt{\sigma^2 + \epsilon}$ as a module without parameters.

    Args:
        hidden_size: D, the width of a token.
        eps: as in DiT.
    Raises: ValueError if hidden_size is not a positive whole number.
    Source: DiT's norms have no affine parameters of their own wherever a condition sets them.
    """
    positive("plain_layer_norm", hidden_size=hidden_size)
    return nn.LayerNorm(hidden_size, eps=eps, elementwise_affine=False)


class Modulation(nn.Sequential):
    r"""$W\,\mathrm{SiLU}(c) + b$, cut into ``chunks`` vectors of width D.

    Four chunks are adaLN's (shift, scale) for attention and for the MLP; six are adaLN-Zero's
    (shift, scale, gate) twice; two belong to the final layer. It is a Sequential because the
    released checkpoints call its linear layer ``1``.

    Args:
        hidden_size: D.
        chunks: how many vectors.
        zero_init: start with W = 0 and b = 0, so that every chunk is zero whatever the condition.
        condition_size: the width of c; None is D, as in DiT.
    forward(c): c (B, condition_size) -> ``chunks`` tensors (B, D).
    Raises: ValueError on a size that is no positive whole number, or if c has another width.
    Source: DiT, section 3.2 and appendix A.
    """

    def __init__(
        self,
        hidden_size: int,
        chunks: int,
        zero_init: bool = False,
        condition_size: int | None = None,
    ):
        width = hidden_size if condition_size is None else condition_size
        positive("Modulation", hidden_size=hidden_size, chunks=chunks, condition_size=width)
        super().__init__(nn.SiLU(), nn.Linear(width, chunks * hidden_size))
        self.condition_size, self.chunks, self.zero_init = width, chunks, zero_init
        self.start_at_zero()

    def start_at_zero(self) -> None:
        """W = 0 and b = 0, if that is how this layer starts."""
        if self.zero_init:
            for parameter in self.parameters():
                nn.init.zeros_(parameter)

    def forward(self, input: Tensor) -> tuple[Tensor, ...]:
        """The chunks for a batch of conditions c (B, condition_size)."""
        shapes("Modulation", c=(input, f"B {self.condition_size}"))
        return super().forward(input).chunk(self.chunks, dim=-1)  # chunks x (B, D)


class AdaptiveLayerNorm(nn.Module):
    r"""$\mathrm{LN}(x)(1 + \gamma(c)) + \beta(c)$ with $[\beta, \gamma] = W\,\mathrm{SiLU}(c) + b$.

    Args:
        hidden_size: D.
        eps: added to the variance.
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
        shift, scale = self.modulation(c)  # beta, gamma: 2 x (B, D)
        return modulate(self.norm(x), shift, scale)  # (B, N, D)
