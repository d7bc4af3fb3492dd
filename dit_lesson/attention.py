r"""Attention: tokens that look at each other, or at a second sequence.

`attention_weights` is the definition; the modules compute the same through PyTorch's fused kernel.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from dit_lesson.validation import divides, numbers, require, shapes


def attention_weights(queries: Tensor, keys: Tensor) -> Tensor:
    r"""$A = \mathrm{softmax}(Q K^\top / \sqrt{d})$: how much each query looks at each key.

    The root is of d, the width of a head, not of the number of tokens.

    Args:
        queries: (..., N, d), floating point.
        keys: (..., M, d), floating point.
    Returns: (..., N, M); every row sums to 1.
    Raises: ValueError for anything but finite floating-point tensors of one width.
    Source: Vaswani et al. 2017, equation 1.
    """
    shapes("attention_weights", queries=(queries, "... N d"), keys=(keys, "... M d"))
    numbers("attention_weights", queries=queries, keys=keys)
    return torch.softmax(queries @ keys.mT / queries.shape[-1] ** 0.5, dim=-1)


class SelfAttention(nn.Module):
    r"""$[\mathrm{head}_1, \dots, \mathrm{head}_h] W_o + b_o$ with $\mathrm{head} = A V$, all of x.

    One linear layer makes queries, keys and values of all heads: `qkv`, in this order.

    Args:
        hidden_size: D, a multiple of num_heads.
        num_heads: h; a head is d = D / h wide.
    forward(x): tokens (B, N, D) -> (B, N, D).
    Raises: ValueError if the sizes or x do not fit.
    Source: ViT, equations 5 to 8; the names `qkv` and `proj` are those of released checkpoints.
    """

    def __init__(self, hidden_size: int, num_heads: int):
        super().__init__()
        divides("SelfAttention", num_heads=num_heads, hidden_size=hidden_size)
        self.num_heads = num_heads
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.proj = nn.Linear(hidden_size, hidden_size)

    def heads(self, x: Tensor) -> Tensor:
        """Queries, keys and values of every head, (3, B, h, N, d)."""
        shapes("SelfAttention", x=(x, f"B N {self.proj.in_features}"))
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, -1))  # (B, N, 3, h, d)
        return qkv.permute(2, 0, 3, 1, 4)

    def forward(self, x: Tensor) -> Tensor:
        """What every token collects from all tokens, (B, N, D)."""
        queries, keys, values = self.heads(x)
        heads = scaled_dot_product_attention(queries, keys, values)  # A V, (B, h, N, d)
        return self.proj(heads.transpose(1, 2).flatten(2))  # (B, N, D)

    def weights(self, x: Tensor) -> Tensor:
        """Who looks at whom: A, (B, h, N, N), rows are queries and sum to 1."""
        queries, keys, _ = self.heads(x)
        return attention_weights(queries, keys)


class CrossAttention(nn.Module):
    r"""As `SelfAttention`, with queries of the tokens x, keys and values of a second sequence.

    Args:
        hidden_size: D, a multiple of num_heads.
        num_heads: h; a head is d = D / h wide.
    forward(x, context): tokens (B, N, D), what they look up (B, M, D) -> (B, N, D).
    Raises: ValueError if the sizes, x or context do not fit.
    Source: Vaswani et al. 2017, section 3.2.3; DiT, section 3.2 (cross-attention block, M = 2).
    """

    def __init__(self, hidden_size: int, num_heads: int):
        super().__init__()
        divides("CrossAttention", num_heads=num_heads, hidden_size=hidden_size)
        self.num_heads = num_heads
        self.q = nn.Linear(hidden_size, hidden_size)
        self.kv = nn.Linear(hidden_size, 2 * hidden_size)
        self.proj = nn.Linear(hidden_size, hidden_size)

    def _heads(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, h, N, d), keys and values (B, h, M, d) of every head."""
        width = self.proj.in_features
        shapes("CrossAttention", x=(x, f"B N {width}"), context=(context, f"B M {width}"))
        queries = self.q(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        keys, values = (
            self.kv(context).unflatten(-1, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        )
        return queries, keys, values

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """What every token collects from the context, (B, N, D)."""
        heads = scaled_dot_product_attention(*self._heads(x, context))  # A V, (B, h, N, d)
        return self.proj(heads.transpose(1, 2).flatten(2))  # (B, N, D)

    def weights(self, x: Tensor, context: Tensor) -> Tensor:
        """Which token looks up what: A, (B, h, N, M), rows sum to 1."""
        queries, keys, _ = self._heads(x, context)
        return attention_weights(queries, keys)


@torch.no_grad()
def attention_maps(model: nn.Module, *inputs: Tensor) -> dict[str, Tensor]:
    r"""$A$ of every attention layer while ``model(*inputs)`` runs, for figures.

    Args:
        model: with `SelfAttention` or `CrossAttention` layers.
        inputs: of its forward.
    Returns: by the layer's name (``"blocks.0.attn"``), in the order of computation, the weights
    (B, h, N, M): row n is where token n looks.
    Raises: ValueError if the model has no attention layer.
    """
    maps: dict[str, Tensor] = {}
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, SelfAttention | CrossAttention)
    }
    require(
        len(layers) > 0,
        f"attention_maps: model is a {type(model).__name__} without attention layers",
    )

    def record(
        name: str, module: SelfAttention | CrossAttention, arguments: tuple[Tensor, ...]
    ) -> None:
        maps[name] = module.weights(*arguments)

    hooks = [
        module.register_forward_hook(lambda module, x, _, name=name: record(name, module, x))
        for name, module in layers.items()
    ]
    try:
        model(*inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return maps
