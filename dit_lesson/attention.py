r"""Attention: tokens that look at each other, or at a second sequence.

`attention_weights` is the definition; the modules compute the same through PyTorch's fused kernel.
"""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from dit_lesson.validation import require, require_array, require_positive_integer


def attention_weights(queries: Tensor, keys: Tensor) -> Tensor:
    r"""$A = \mathrm{softmax}(Q K^\top / \sqrt{d})$: how much each query looks at each key.

    The root is of d, the width of a head, not of the number of tokens.

    Args: queries (..., N, d), keys (..., M, d), floating point.
    Returns: (..., N, M); every row sums to 1.
    Raises: ValueError for anything but finite floating-point tensors of one width.
    Source: Vaswani et al. 2017, equation 1.
    """
    require_array("attention_weights", "queries", queries, "... N d")
    require_array("attention_weights", "keys", keys, "... M d")
    require(
        queries.shape[-1] == keys.shape[-1],
        f"attention_weights: queries have width {queries.shape[-1]} and keys {keys.shape[-1]}, "
        "expected one width",
    )
    return torch.softmax(queries @ keys.mT / queries.shape[-1] ** 0.5, dim=-1)


class SelfAttention(nn.Module):
    r"""$[\mathrm{head}_1, \dots, \mathrm{head}_h] W_o + b_o$ with $\mathrm{head} = A V$, all of x.

    One linear layer makes queries, keys and values of all heads: `qkv`, in this order.

    Args: hidden_size D, a multiple of num_heads.
    forward(x): tokens (B, N, D) -> (B, N, D).
    Raises: ValueError if the sizes or x do not fit.
    Source: ViT, equations 5 to 8; the names `qkv` and `proj` are those of released checkpoints.
    """

    def __init__(self, hidden_size: int, num_heads: int):
        super().__init__()
        _require_heads("SelfAttention", hidden_size, num_heads)
        self.num_heads = num_heads
        self.qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.proj = nn.Linear(hidden_size, hidden_size)

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        _require_tokens("SelfAttention", "x", x, self.proj.in_features)
        queries, keys, values = self.qkv(x).chunk(3, dim=-1)
        return tuple(_heads(part, self.num_heads) for part in (queries, keys, values))

    def forward(self, x: Tensor) -> Tensor:
        """What every token collects from all tokens, (B, N, D)."""
        heads = scaled_dot_product_attention(*self._split(x))
        return self.proj(rearrange(heads, "b h n d -> b n (h d)"))

    def weights(self, x: Tensor) -> Tensor:
        """Who looks at whom: (B, num_heads, N, N), rows are queries and sum to 1."""
        queries, keys, _ = self._split(x)
        return attention_weights(queries, keys)


class CrossAttention(nn.Module):
    r"""As `SelfAttention`, with queries of the tokens x, keys and values of a second sequence.

    Args: hidden_size D, a multiple of num_heads.
    forward(x, context): tokens (B, N, D), what they look up (B, M, D) -> (B, N, D).
    Raises: ValueError if the sizes, x or context do not fit.
    Source: Vaswani et al. 2017, section 3.2.3; DiT, section 3.2 (cross-attention block, M = 2).
    """

    def __init__(self, hidden_size: int, num_heads: int):
        super().__init__()
        _require_heads("CrossAttention", hidden_size, num_heads)
        self.num_heads = num_heads
        self.q = nn.Linear(hidden_size, hidden_size)
        self.kv = nn.Linear(hidden_size, 2 * hidden_size)
        self.proj = nn.Linear(hidden_size, hidden_size)

    def _split(self, x: Tensor, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        _require_tokens("CrossAttention", "x", x, self.proj.in_features)
        _require_tokens("CrossAttention", "context", context, self.proj.in_features)
        require(
            len(x) == len(context),
            f"CrossAttention: context has {len(context)} samples, expected {len(x)} as in x",
        )
        queries, (keys, values) = self.q(x), self.kv(context).chunk(2, dim=-1)
        return tuple(_heads(part, self.num_heads) for part in (queries, keys, values))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """What every token collects from the context, (B, N, D)."""
        heads = scaled_dot_product_attention(*self._split(x, context))
        return self.proj(rearrange(heads, "b h n d -> b n (h d)"))

    def weights(self, x: Tensor, context: Tensor) -> Tensor:
        """Which token looks up what: (B, num_heads, N, M), rows sum to 1."""
        queries, keys, _ = self._split(x, context)
        return attention_weights(queries, keys)


@torch.no_grad()
def attention_maps(model: nn.Module, *inputs: Tensor) -> dict[str, Tensor]:
    r"""$A$ of every attention layer while ``model(*inputs)`` runs, for figures.

    Args: model with `SelfAttention` or `CrossAttention` layers; inputs of its forward.
    Returns: by the layer's name (``"blocks.0.attn"``), in the order of computation, the weights
    (B, num_heads, N, M): row n is where token n looks.
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

    def record(name: str, module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
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


def _heads(x: Tensor, num_heads: int) -> Tensor:
    return rearrange(x, "b n (h d) -> b h n d", h=num_heads)


def _require_heads(function: str, hidden_size: int, num_heads: int) -> None:
    require_positive_integer(function, "hidden_size", hidden_size)
    require_positive_integer(function, "num_heads", num_heads)
    require(
        hidden_size % num_heads == 0,
        f"{function}: hidden_size {hidden_size} is not a multiple of num_heads {num_heads}",
    )


def _require_tokens(function: str, argument: str, tokens: Tensor, hidden_size: int) -> None:
    require(
        tokens.ndim == 3 and tokens.shape[2] == hidden_size,
        f"{function}: {argument} has shape {tuple(tokens.shape)}, expected (B, N, {hidden_size})",
    )
