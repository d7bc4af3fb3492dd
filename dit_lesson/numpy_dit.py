r"""A DiT in NumPy alone, in the order of its equations: the definition that the rest is held to.

Rows are tokens. A weight has torch's layout, (outputs, inputs), so that checkpoints fit.
Everything keeps the dtype it is given; nothing here is fast, and nothing is hidden.
"""

import numpy as np

from dit_lesson.validation import divides, numbers, positive, require, shapes


def layer_norm(x: np.ndarray, eps: float = 1e-6) -> np.ndarray:
    r"""$\mathrm{LN}(x) = (x - \mu) / \sqrt{\sigma^2 + \epsilon}$ over the last axis.

    $\mu$ and $\sigma^2$ are the mean and the (biased, 1/D) variance of one token's D features.
    There is no learned scale or shift. The variance is taken from the centred values, so a
    large mean costs no precision, and a token without variance becomes exactly 0.

    Args:
        x: (..., D), float32 or float64 (float16 cannot hold the squares).
        eps: added to the variance.
    Returns: the shape and dtype of x.
    Raises: ValueError if x is not a finite NumPy array of these dtypes with at least one axis, or
    if eps is negative.
    Source: Ba et al. 2016; eps = 1e-6 and no affine parameters as in DiT.
    """
    shapes("layer_norm", x=(x, "... D"))
    numbers("layer_norm", x=x)
    require(
        x.dtype in (np.float32, np.float64),
        f"layer_norm: x has dtype {x.dtype}, expected NumPy's float32 or float64",
    )
    require(eps >= 0, f"layer_norm: eps is {eps}, expected at least 0")
    centred = x - x.mean(axis=-1, keepdims=True)
    # the mean is rounded in units of x: where x is large, what that leaves is taken off as well
    centred = centred - centred.mean(axis=-1, keepdims=True)
    variance = (centred**2).mean(axis=-1, keepdims=True)
    return centred / np.sqrt(variance + x.dtype.type(eps))


def modulate(x: np.ndarray, shift: np.ndarray, scale: np.ndarray) -> np.ndarray:
    r"""$x \odot (1 + \gamma) + \beta$, one shift $\beta$ and one scale $\gamma$ for all tokens.

    At shift = scale = 0 it returns x, bit for bit.

    Args:
        x: (..., N, D) tokens.
        shift: (..., D), without the token axis.
        scale: (..., D), without the token axis.
    Returns: (..., N, D).
    Raises: ValueError if the axes of shift or scale are not those of x without N.
    Source: DiT, section 3.2 (adaLN block); FiLM (Perez et al. 2018).
    """
    shapes("modulate", x=(x, "... N D"), shift=(shift, "... D"), scale=(scale, "... D"))
    return x * (1 + scale[..., None, :]) + shift[..., None, :]


def silu(x: np.ndarray) -> np.ndarray:
    r"""$\mathrm{SiLU}(x) = x / (1 + e^{-x})$, element by element.

    Args:
        x: of any shape.
    Returns: the shape and dtype of x.
    Source: DiT, appendix A (the activation before every modulation layer).
    """
    with np.errstate(over="ignore"):  # far below 0 the exponential is infinite, and SiLU is 0
        return x / (1 + np.exp(-x))


def linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    r"""$x W^\top + b$ for every row.

    Args:
        x: (..., I).
        weight: (O, I).
        bias: (O).
    Returns: (..., O).
    Raises: ValueError if the widths do not fit.
    """
    require(
        weight.ndim == 2 and x.shape[-1] == weight.shape[1] and bias.shape == weight.shape[:1],
        f"linear: x {x.shape}, weight {weight.shape} and bias {bias.shape} do not fit, "
        "expected (..., I), (O, I) and (O)",
    )
    return x @ weight.T + bias


def timestep_embedding(
    t: np.ndarray, frequency_size: int = 256, max_period: float = 10_000.0
) -> np.ndarray:
    r"""$[\cos(t\omega_i), \sin(t\omega_i)]$ with $\omega_i = P^{-i/(d/2)}$: cos first, then sin.

    Args:
        t: (B,) time steps, 0 to 999 in DiT (not scaled to 0..1).
        frequency_size: d, even.
        max_period: P, in time steps.
    Returns: (B, frequency_size).
    Raises: ValueError if t is not a finite floating-point vector or frequency_size is odd.
    Source: DiT, appendix A; the denominator is d/2, not d/2 - 1.
    """
    shapes("timestep_embedding", t=(t, "B"))
    numbers("timestep_embedding", t=t)
    positive("timestep_embedding", frequency_size=frequency_size)
    require(
        frequency_size % 2 == 0,
        f"timestep_embedding: frequency_size is {frequency_size}, expected an even number",
    )
    half = frequency_size // 2
    angles = t[:, None] * max_period ** (-np.arange(half, dtype=t.dtype) / half)
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=-1)


def gelu(x: np.ndarray) -> np.ndarray:
    r"""$\frac{x}{2}\bigl(1 + \tanh(\sqrt{2/\pi}\,(x + 0.044715\,x^3))\bigr)$, GELU by tanh.

    Args:
        x: of any shape.
    Returns: the shape and dtype of x.
    Source: Hendrycks & Gimpel 2016, section 2.
    """
    return 0.5 * x * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3)))


def softmax(x: np.ndarray) -> np.ndarray:
    r"""$e^{x_i} / \sum_j e^{x_j}$ over the last axis.

    The largest entry is subtracted first: it cancels, and nothing overflows.

    Args:
        x: (..., M).
    Returns: the shape and dtype of x, rows that sum to 1.
    """
    exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def attention_weights(queries: np.ndarray, keys: np.ndarray) -> np.ndarray:
    r"""$A = \mathrm{softmax}(Q K^\top / \sqrt{d})$: how much each query looks at each key.

    Args:
        queries: (..., N, d).
        keys: (..., M, d).
    Returns: (..., N, M), rows that sum to 1.
    """
    return softmax(queries @ np.swapaxes(keys, -1, -2) / queries.shape[-1] ** 0.5)


def attention(queries: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    r"""$\mathrm{softmax}(Q K^\top / \sqrt{d})\,V$.

    Args:
        queries: (..., N, d).
        keys: (..., M, d).
        values: (..., M, e).
    Returns: (..., N, e).
    Raises: ValueError if widths or lengths do not fit.
    Source: Vaswani et al. 2017, equation 1.
    """
    shapes(
        "attention",
        queries=(queries, "... N d"),
        keys=(keys, "... M d"),
        values=(values, "... M e"),
    )
    return attention_weights(queries, keys) @ values


# From here on a layer's numbers come as a dictionary with the names of the released checkpoints.
Weights = dict[str, np.ndarray]


def below(weights: Weights, name: str) -> Weights:
    """The entries that begin with ``name.``, without that beginning.

    Raises: ValueError if there are none.
    """
    found = {
        key.removeprefix(f"{name}."): value
        for key, value in weights.items()
        if key.startswith(f"{name}.")
    }
    require(len(found) > 0, f"below: weights hold nothing under {name!r}, only {sorted(weights)}")
    return found


def split_heads(x: np.ndarray, num_heads: int) -> np.ndarray:
    """(B, N, D) -> (B, heads, N, D / heads): every head gets its share of the features.

    Raises: ValueError if D is not a multiple of num_heads.
    """
    divides("split_heads", num_heads=num_heads, width=x.shape[-1])
    return x.reshape(*x.shape[:2], num_heads, -1).transpose(0, 2, 1, 3)


def join_heads(heads: np.ndarray) -> np.ndarray:
    """(B, heads, N, d) -> (B, N, heads * d): `split_heads` undone."""
    batch, _, tokens, _ = heads.shape
    return heads.transpose(0, 2, 1, 3).reshape(batch, tokens, -1)


def self_attention(x: np.ndarray, weights: Weights, num_heads: int) -> np.ndarray:
    r"""$[\mathrm{head}_1, \dots, \mathrm{head}_h]\,W_o^\top + b_o$, every head from its share of D.

    Args:
        x: (B, N, D).
        weights: `qkv` (3D, D) and `proj` (D, D) with biases.
        num_heads: a divisor of D.
    Returns: (B, N, D).
    Raises: ValueError if D is not a multiple of num_heads.
    Source: ViT, equations 5 to 8.
    """
    qkv = np.split(linear(x, weights["qkv.weight"], weights["qkv.bias"]), 3, axis=-1)
    heads = attention(*(split_heads(part, num_heads) for part in qkv))
    return linear(join_heads(heads), weights["proj.weight"], weights["proj.bias"])


def cross_attention(
    x: np.ndarray, context: np.ndarray, weights: Weights, num_heads: int
) -> np.ndarray:
    r"""The same with queries from x, and keys and values from a second sequence.

    Args:
        x: (B, N, D).
        context: (B, M, D).
        weights: `q` (D, D), `kv` (2D, D) and `proj` (D, D) with biases.
        num_heads: a divisor of D.
    Returns: (B, N, D).
    Raises: ValueError if D is not a multiple of num_heads.
    Source: Vaswani et al. 2017, section 3.2.3; DiT, section 3.2 (M = 2: time and class).
    """
    queries = linear(x, weights["q.weight"], weights["q.bias"])
    keys, values = np.split(linear(context, weights["kv.weight"], weights["kv.bias"]), 2, axis=-1)
    heads = attention(*(split_heads(part, num_heads) for part in (queries, keys, values)))
    return linear(join_heads(heads), weights["proj.weight"], weights["proj.bias"])


def mlp(x: np.ndarray, weights: Weights) -> np.ndarray:
    r"""$W_2\,\mathrm{GELU}(W_1 x + b_1) + b_2$ for every token.

    Args:
        x: (..., D).
        weights: `fc1` (4D, D) and `fc2` (D, 4D) with biases.
    Returns: (..., D).
    Source: ViT, equation 3.
    """
    hidden = gelu(linear(x, weights["fc1.weight"], weights["fc1.bias"]))
    return linear(hidden, weights["fc2.weight"], weights["fc2.bias"])


def modulation(c: np.ndarray, weights: Weights, chunks: int) -> list[np.ndarray]:
    r"""$W\,\mathrm{SiLU}(c) + b$, cut into ``chunks`` vectors of width D.

    Args:
        c: (B, D).
        weights: `1` (chunks * D, D) with bias (`0` is the activation).
        chunks: the number of vectors.
    Returns: ``chunks`` arrays (B, D).
    Source: DiT, appendix A.
    """
    return np.split(linear(silu(c), weights["1.weight"], weights["1.bias"]), chunks, axis=-1)


# The branches of a block in their order, and the layer norm before each.
NORMS = {"attn": "norm1", "cross_attn": "norm_cross", "mlp": "norm2"}


def steering(condition: np.ndarray, weights: Weights) -> dict[str, tuple[np.ndarray, ...]]:
    r"""What steers a block: shift $\beta$, scale $\gamma$ and gate $\alpha$ of every branch.

    adaLN-Zero reads all three off c; adaLN has no gate, $\alpha = 1$. The two other designs have
    layer norms with learned weights, $1 + \gamma$ = weight and $\beta$ = bias, and no gate.

    Args:
        condition: c (B, D), or the sequence (B, M, D) of which only B is read.
        weights: of a block.
    Returns: by the branch's name, in order, three arrays (B, D).
    Source: DiT, section 3.2.
    """
    if "adaLN_modulation.1.weight" not in weights:
        names = {name: norm for name, norm in NORMS.items() if f"{norm}.weight" in weights}
        learned = {name: learned_norm(condition, weights, norm) for name, norm in names.items()}
        return {name: (*rows, np.ones_like(rows[0])) for name, rows in learned.items()}
    chunks = len(weights["adaLN_modulation.1.bias"]) // condition.shape[-1]
    vectors = modulation(condition, below(weights, "adaLN_modulation"), chunks)
    if chunks == 4:
        vectors = np.insert(vectors, [2, 4], 1.0, axis=0)
    return {"attn": tuple(vectors[:3]), "mlp": tuple(vectors[3:])}


def learned_norm(
    condition: np.ndarray, weights: Weights, name: str
) -> tuple[np.ndarray, np.ndarray]:
    r"""Shift and scale (B, D) of a layer norm with weights of its own, the same for all samples."""
    norm = below(weights, name)
    shape = (len(condition), condition.shape[-1])
    return np.broadcast_to(norm["bias"], shape), np.broadcast_to(norm["weight"] - 1, shape)


def branch(
    name: str, x: np.ndarray, condition: np.ndarray, weights: Weights, num_heads: int
) -> np.ndarray:
    """The branch ``name`` of a block, "attn", "cross_attn" or "mlp": (B, N, D) -> (B, N, D)."""
    layer = below(weights, name)
    if name == "mlp":
        return mlp(x, layer)
    if name == "attn":
        return self_attention(x, layer, num_heads)
    return cross_attention(x, condition, layer, num_heads)


def block(x: np.ndarray, condition: np.ndarray, weights: Weights, num_heads: int) -> np.ndarray:
    r"""$x \leftarrow x + \alpha\,f(\mathrm{LN}(x)(1 + \gamma) + \beta)$ for each branch $f$.

    One equation for the four designs: they differ in where $\alpha$, $\beta$ and $\gamma$ come
    from (`steering`), and cross-attention has a third branch.

    Args:
        x: (B, N, D) tokens.
        condition: c (B, D) for adaLN and adaLN-Zero, else the sequence [t, y] (B, M, D), which
            in-context conditioning does not read.
        weights: of the block.
        num_heads: a divisor of D.
    Returns: (B, N, D).
    Source: DiT, section 3.2 and figure 3.
    """
    for name, (shift, scale, gate) in steering(condition, weights).items():
        modulated = modulate(layer_norm(x), shift, scale)
        x = x + gate[:, None] * branch(name, modulated, condition, weights, num_heads)
    return x


def final_steering(condition: np.ndarray, weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    r"""Shift $\beta$ and scale $\gamma$, each (B, D), of the final layer: from c, or learned.

    Source: DiT, section 3.2, "Transformer decoder" ("adaptive if using adaLN").
    """
    if "adaLN_modulation.1.weight" in weights:
        shift, scale = modulation(condition, below(weights, "adaLN_modulation"), 2)
        return shift, scale
    return learned_norm(condition, weights, "norm_final")


def final_layer(x: np.ndarray, condition: np.ndarray, weights: Weights) -> np.ndarray:
    r"""$W\,(\mathrm{LN}(x)(1 + \gamma) + \beta) + b$: from tokens to flattened patches.

    Args:
        x: (B, N, D).
        condition: as in `block`.
        weights: `linear`, and `adaLN_modulation` or `norm_final`.
    Returns: (B, N, p * p * output channels).
    Source: DiT, section 3.2, "Transformer decoder".
    """
    x = modulate(layer_norm(x), *final_steering(condition, weights))
    return linear(x, weights["linear.weight"], weights["linear.bias"])


def cut_patches(images: np.ndarray, patch_size: int) -> np.ndarray:
    """(B, C, H, W) -> (B, N, C * p * p): features ordered (C, p, p), as a convolution reads them.

    Raises: ValueError if a side is not a multiple of patch_size p.
    """
    batch, channels, height, width = images.shape
    divides("cut_patches", patch_size=patch_size, height=height, width=width)
    rows, columns = height // patch_size, width // patch_size
    patches = images.reshape(batch, channels, rows, patch_size, columns, patch_size)
    return patches.transpose(0, 2, 4, 1, 3, 5).reshape(batch, rows * columns, -1)


def patch_embedding(images: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    r"""$E\,\mathrm{patch}_n + b$ for every patch: the convolution of the checkpoints, written out.

    Args:
        images: (B, C, H, W).
        weight: (D, C, p, p), whose features are ordered (C, p, p).
        bias: (D).
    Returns: (B, N, D), N = (H / p)(W / p), row by row.
    Raises: ValueError if channels or sizes do not fit.
    """
    patch_size = weight.shape[-1]
    shapes(
        "patch_embedding",
        images=(images, f"B {weight.shape[1]} H W"),
        weight=(weight, f"D C {patch_size} {patch_size}"),
    )
    patches = cut_patches(images, patch_size)
    return linear(patches, weight.reshape(len(weight), -1), bias)


def join_patches(patches: np.ndarray, patch_size: int, height: int, width: int) -> np.ndarray:
    """(B, N, p * p * C) -> (B, C, height, width): features ordered (p, p, C), row by row.

    Args:
        patches: (B, N, p * p * C), N = (height / p)(width / p).
        patch_size: p, in pixels.
        height: in pixels, a multiple of p.
        width: in pixels, a multiple of p.
    Source: DiT, section 3.2, "Transformer decoder".
    """
    rows, columns = height // patch_size, width // patch_size
    images = patches.reshape(len(patches), rows, columns, patch_size, patch_size, -1)
    return images.transpose(0, 5, 1, 3, 2, 4).reshape(len(patches), -1, height, width)


def time_embedding(t: np.ndarray, weights: Weights) -> np.ndarray:
    r"""$W_2\,\mathrm{SiLU}(W_1 e(t) + b_1) + b_2$ with $e$ = `timestep_embedding`.

    Args:
        t: (B,) time steps.
        weights: `mlp.0` and `mlp.2` with biases.
    Returns: (B, D).
    Source: DiT, appendix A.
    """
    frequencies = timestep_embedding(t, weights["mlp.0.weight"].shape[1])
    hidden = linear(frequencies, weights["mlp.0.weight"], weights["mlp.0.bias"])
    return linear(silu(hidden), weights["mlp.2.weight"], weights["mlp.2.bias"])


def conditioning(weights: Weights) -> str:
    """The design that the weights of a model belong to, by the layers that its blocks have."""
    adaptive = weights.get("blocks.0.adaLN_modulation.1.weight")
    if adaptive is not None:
        return {4: "adaln", 6: "adaln-zero"}[len(adaptive) // adaptive.shape[1]]
    return "cross-attention" if "blocks.0.cross_attn.q.weight" in weights else "in-context"


def embed(
    x: np.ndarray, t: np.ndarray, y: np.ndarray, weights: Weights
) -> tuple[np.ndarray, np.ndarray]:
    """The tokens and the condition that the first block gets, as in `dit`.

    Returns: tokens (B, N, D), with in-context conditioning (B, N + 2, D); and the condition, one
    vector c (B, D) for adaLN and adaLN-Zero, else the sequence of time and class (B, 2, D).
    """
    kernel, bias = weights["x_embedder.proj.weight"], weights["x_embedder.proj.bias"]
    tokens = patch_embedding(x, kernel, bias) + weights["pos_embed"]
    time = time_embedding(t, below(weights, "t_embedder"))
    label = weights["y_embedder.embedding_table.weight"][y]
    design = conditioning(weights)
    if design in ("adaln", "adaln-zero"):
        return tokens, time + label
    condition = np.stack([time, label], axis=1)
    if design == "in-context":  # once, before the first block
        tokens = np.concatenate([tokens, condition], axis=1)
    return tokens, condition


def dit(
    x: np.ndarray, t: np.ndarray, y: np.ndarray, weights: Weights, num_heads: int
) -> np.ndarray:
    r"""$\epsilon_\theta(x_t, t, y)$: a DiT of any of the four designs, from latent to prediction.

    Design, depth, width and patch size are read off the weights.

    Args:
        x: (B, C, H, W) noisy latents.
        t: (B,) time steps.
        y: (B,) class labels, whole numbers. The last row of the table is the null class, if the
            model was trained with one.
        weights: by the names of the released checkpoints.
        num_heads: which no weight tells.
    Returns: (B, output channels, H, W).
    Raises: ValueError if x or t are not finite floating-point arrays, a label has no row, or a
    shape does not fit.
    Source: DiT, section 3.2.
    """
    shapes("dit", x=(x, "B C H W"), t=(t, "B"), y=(y, "B"))
    numbers("dit", x=x)
    table = weights["y_embedder.embedding_table.weight"]
    require(y.dtype.kind in "iu", f"dit: y has dtype {y.dtype}, expected whole numbers")
    require(
        bool(((y >= 0) & (y < len(table))).all()),
        f"dit: y holds labels from {y.min()} to {y.max()}, expected 0 to {len(table) - 1}",
    )
    tokens, condition = embed(x, t, y, weights)
    for number in range(depth(weights)):
        tokens = block(tokens, condition, below(weights, f"blocks.{number}"), num_heads)
    num_tokens = weights["pos_embed"].shape[-2]  # in-context: the condition leaves the sequence
    patches = final_layer(tokens[:, :num_tokens], condition, below(weights, "final_layer"))
    return join_patches(patches, weights["x_embedder.proj.weight"].shape[-1], *x.shape[2:])


def depth(weights: Weights) -> int:
    """The number of blocks."""
    return len({name.split(".")[1] for name in weights if name.startswith("blocks.")})
