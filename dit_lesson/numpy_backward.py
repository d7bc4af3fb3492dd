r"""The gradients of `numpy_dit`, by hand, in NumPy alone: the definition of the backward pass.

``grad`` is the gradient of the loss by a function's output, $\partial L / \partial y$, written
$dy$ in the equations. Every function here has the name of a forward function and gives the
gradients by its inputs and by its weights, the latter under the names of the checkpoints. What
the forward pass computed on the way is computed again, at most a block's branches at a time: no
function needs more than its arguments.

Source: the chain rule; Rumelhart et al. 1986. The tests hold every tensor to torch's autograd.
"""

import numpy as np

from dit_lesson.numpy_dit import (
    NORMS,
    Weights,
    attention_weights,
    below,
    block,
    branch,
    conditioning,
    cut_patches,
    depth,
    dit,
    embed,
    final_steering,
    gelu,
    join_heads,
    layer_norm,
    linear,
    modulate,
    silu,
    split_heads,
    steering,
    timestep_embedding,
)
from dit_lesson.validation import require

Gradients = dict[str, np.ndarray]


def above(name: str, gradients: Gradients) -> Gradients:
    """The entries with ``name.`` in front: `below` undone."""
    return {f"{name}.{key}": value for key, value in gradients.items()}


def linear_backward(
    grad: np.ndarray, x: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, Gradients]:
    r"""$y = x W^\top + b$: $dx = dy\,W$, $dW = \sum dy^\top x$ and $db = \sum dy$ over all rows.

    Args:
        grad: (..., O).
        x: (..., I).
        weight: (O, I).
    Returns: (..., I) and {weight, bias}.
    """
    rows, inputs = grad.reshape(-1, len(weight)), x.reshape(-1, weight.shape[1])
    return grad @ weight, {"weight": rows.T @ inputs, "bias": rows.sum(axis=0)}


def silu_backward(grad: np.ndarray, x: np.ndarray) -> np.ndarray:
    r"""$y = x s$ with $s = 1 / (1 + e^{-x})$: $dx = dy\,s\,(1 + x\,(1 - s))$."""
    with np.errstate(over="ignore"):  # far below 0 the exponential is infinite, and s is 0
        s = 1 / (1 + np.exp(-x))
    return grad * s * (1 + x * (1 - s))


def gelu_backward(grad: np.ndarray, x: np.ndarray) -> np.ndarray:
    r"""$y = \frac{x}{2}(1 + h)$, $h = \tanh u(x)$: $dx = dy\,\frac12(1 + h + x(1 - h^2)\,u')$."""
    root = (2 / np.pi) ** 0.5
    h = np.tanh(root * (x + 0.044715 * x**3))
    return grad * 0.5 * (1 + h + x * (1 - h**2) * root * (1 + 3 * 0.044715 * x**2))


def layer_norm_backward(grad: np.ndarray, x: np.ndarray, eps: float = 1e-6) -> np.ndarray:
    r"""$y = (x - \mu)/\sigma$: $dx = (dy - \overline{dy} - y\,\overline{dy \odot y}) / \sigma$.

    The bars are means over the features of a token. What shifts or scales a token as a whole
    changes nothing behind the norm, so these two directions are taken out of the gradient.
    """
    y = layer_norm(x, eps)
    sigma = np.sqrt(x.var(axis=-1, keepdims=True) + x.dtype.type(eps))
    mean, along = grad.mean(axis=-1, keepdims=True), (grad * y).mean(axis=-1, keepdims=True)
    return (grad - mean - y * along) / sigma


def attention_backward(
    grad: np.ndarray, queries: np.ndarray, keys: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""$y = A V$, $A = \mathrm{softmax}(S)$, $S = Q K^\top / \sqrt d$: by Q, K and V.

    $dV = A^\top dy$, $dA = dy\,V^\top$, $dS = A \odot (dA - \sum_m dA_m A_m)$,
    $dQ = dS\,K / \sqrt d$, $dK = dS^\top Q / \sqrt d$.
    """
    a = attention_weights(queries, keys)
    d_a = grad @ np.swapaxes(values, -1, -2)
    d_s = a * (d_a - (d_a * a).sum(axis=-1, keepdims=True)) / queries.shape[-1] ** 0.5
    return d_s @ keys, np.swapaxes(d_s, -1, -2) @ queries, np.swapaxes(a, -1, -2) @ grad


def self_attention_backward(
    grad: np.ndarray, x: np.ndarray, weights: Weights, num_heads: int
) -> tuple[np.ndarray, Gradients]:
    """By x, and by `qkv` and `proj`."""
    qkv = np.split(linear(x, weights["qkv.weight"], weights["qkv.bias"]), 3, axis=-1)
    grads, of_proj = _heads_backward(grad, qkv, weights, num_heads)
    d_x, of_qkv = linear_backward(np.concatenate(grads, axis=-1), x, weights["qkv.weight"])
    return d_x, above("qkv", of_qkv) | of_proj


def cross_attention_backward(
    grad: np.ndarray, x: np.ndarray, context: np.ndarray, weights: Weights, num_heads: int
) -> tuple[np.ndarray, np.ndarray, Gradients]:
    """By x, by the context, and by `q`, `kv` and `proj`."""
    queries = linear(x, weights["q.weight"], weights["q.bias"])
    pairs = np.split(linear(context, weights["kv.weight"], weights["kv.bias"]), 2, axis=-1)
    grads, of_proj = _heads_backward(grad, [queries, *pairs], weights, num_heads)
    d_x, of_q = linear_backward(grads[0], x, weights["q.weight"])
    of_pairs = np.concatenate(grads[1:], axis=-1)
    d_context, of_kv = linear_backward(of_pairs, context, weights["kv.weight"])
    return d_x, d_context, above("q", of_q) | above("kv", of_kv) | of_proj


def _heads_backward(
    grad: np.ndarray, parts: list[np.ndarray], weights: Weights, num_heads: int
) -> tuple[list[np.ndarray], Gradients]:
    """By queries, keys and values (B, N or M, D), and by `proj`."""
    heads = [split_heads(part, num_heads) for part in parts]
    joined = join_heads(attention_weights(*heads[:2]) @ heads[2])
    d_joined, of_proj = linear_backward(grad, joined, weights["proj.weight"])
    grads = attention_backward(split_heads(d_joined, num_heads), *heads)
    return [join_heads(part) for part in grads], above("proj", of_proj)


def mlp_backward(grad: np.ndarray, x: np.ndarray, weights: Weights) -> tuple[np.ndarray, Gradients]:
    """By x, and by `fc1` and `fc2`."""
    hidden = linear(x, weights["fc1.weight"], weights["fc1.bias"])
    d_gelu, of_fc2 = linear_backward(grad, gelu(hidden), weights["fc2.weight"])
    d_x, of_fc1 = linear_backward(gelu_backward(d_gelu, hidden), x, weights["fc1.weight"])
    return d_x, above("fc1", of_fc1) | above("fc2", of_fc2)


def modulate_backward(
    grad: np.ndarray, x: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    r"""$y_n = x_n \odot (1 + \gamma) + \beta$ for all tokens $n$: by x, $\beta$ and $\gamma$.

    $dx_n = dy_n \odot (1 + \gamma)$; one shift and one scale serve all tokens, so theirs are sums:
    $d\beta = \sum_n dy_n$ and $d\gamma = \sum_n dy_n \odot x_n$.

    Args:
        grad: (B, N, D).
        x: (B, N, D).
        scale: (B, D).
    Returns: (B, N, D), (B, D), (B, D).
    """
    return grad * (1 + scale[:, None]), grad.sum(axis=1), (grad * x).sum(axis=1)


def gate_backward(
    grad: np.ndarray, x: np.ndarray, gate: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    r"""$y_n = \alpha \odot x_n$ for all tokens $n$: by x and $\alpha$.

    $dx_n = \alpha \odot dy_n$ and $d\alpha = \sum_n dy_n \odot x_n$. At $\alpha = 0$ nothing gets
    through to x, but the gate itself has a gradient: it opens first.

    Args:
        grad: (B, N, D).
        x: (B, N, D).
        gate: (B, D).
    Returns: (B, N, D), (B, D).
    """
    return gate[:, None] * grad, (grad * x).sum(axis=1)


def block_backward(
    grad: np.ndarray, x: np.ndarray, condition: np.ndarray, weights: Weights, num_heads: int
) -> tuple[np.ndarray, np.ndarray, Gradients]:
    r"""$x' = x + \alpha\,f(\mathrm{LN}(x)(1 + \gamma) + \beta)$, from the last branch to the first.

    $dx = dx' + \mathrm{LN}^\top(\dots)$: the residual hands the gradient on as it is, and adds
    what came back through the branch.

    Args:
        grad: (B, N, D).
        x: (B, N, D).
        condition: as in `block`.
        weights: of the block.
        num_heads: as in `block`.
    Returns: the gradients by x, by the condition, and by the weights.
    """
    kept, vectors = {}, steering(condition, weights)
    for name, (shift, scale, gate) in vectors.items():  # forward, as in `block`
        modulated = modulate(layer_norm(x), shift, scale)
        output = branch(name, modulated, condition, weights, num_heads)
        kept[name] = x, modulated, output
        x = x + gate[:, None] * output

    gradients, by_vector, d_condition = {}, {}, np.zeros_like(condition)
    for name in reversed(kept):
        (x, modulated, output), (_, scale, gate) = kept[name], vectors[name]
        d_output, d_gate = gate_backward(grad, output, gate)
        layer = below(weights, name)
        if name == "mlp":
            d_modulated, of_layer = mlp_backward(d_output, modulated, layer)
        elif name == "attn":
            d_modulated, of_layer = self_attention_backward(d_output, modulated, layer, num_heads)
        else:
            d_modulated, d_condition, of_layer = cross_attention_backward(
                d_output, modulated, condition, layer, num_heads
            )
        d_normed, d_shift, d_scale = modulate_backward(d_modulated, layer_norm(x), scale)
        grad = grad + layer_norm_backward(d_normed, x)
        gradients |= above(name, of_layer)
        by_vector[name] = (d_shift, d_scale, d_gate)

    if "adaLN_modulation.1.weight" in weights:
        each = len(weights["adaLN_modulation.1.bias"]) // condition.shape[-1] // len(vectors)
        rows = [row for name in vectors for row in by_vector[name][:each]]  # 2 without a gate
        d_condition, of_modulation = modulation_backward(rows, condition, weights)
        return grad, d_condition, gradients | of_modulation
    for name, (d_shift, d_scale, _) in by_vector.items():
        gradients |= _norm_gradients(NORMS[name], d_shift, d_scale)
    return grad, d_condition, gradients


def modulation_backward(
    grads: list[np.ndarray], c: np.ndarray, weights: Weights
) -> tuple[np.ndarray, Gradients]:
    r"""$[\beta, \gamma, \dots] = W\,\mathrm{SiLU}(c) + b$: by c and by `adaLN_modulation`."""
    weight = weights["adaLN_modulation.1.weight"]
    d_silu, gradients = linear_backward(np.concatenate(grads, axis=-1), silu(c), weight)
    return silu_backward(d_silu, c), above("adaLN_modulation.1", gradients)


def _norm_gradients(name: str, d_shift: np.ndarray, d_scale: np.ndarray) -> Gradients:
    """Of a learned norm: its weight and bias serve all samples, so these are sums again."""
    return {f"{name}.weight": d_scale.sum(axis=0), f"{name}.bias": d_shift.sum(axis=0)}


def final_layer_backward(
    grad: np.ndarray, x: np.ndarray, condition: np.ndarray, weights: Weights
) -> tuple[np.ndarray, np.ndarray, Gradients]:
    """By the tokens, by the condition, and by the weights of the final layer."""
    shift, scale = final_steering(condition, weights)
    modulated = modulate(layer_norm(x), shift, scale)
    d_modulated, of_linear = linear_backward(grad, modulated, weights["linear.weight"])
    d_normed, d_shift, d_scale = modulate_backward(d_modulated, layer_norm(x), scale)
    gradients, d_condition = above("linear", of_linear), np.zeros_like(condition)
    if "adaLN_modulation.1.weight" in weights:
        d_condition, of_steering = modulation_backward([d_shift, d_scale], condition, weights)
    else:
        of_steering = _norm_gradients("norm_final", d_shift, d_scale)
    return layer_norm_backward(d_normed, x), d_condition, gradients | of_steering


def dit_backward(
    grad: np.ndarray,
    x: np.ndarray,
    t: np.ndarray,
    y: np.ndarray,
    weights: Weights,
    num_heads: int,
) -> Gradients:
    r"""$\partial L / \partial w$ for every weight w of the model, by the chain rule.

    Args:
        grad: (B, output channels, H, W), by the output of ``dit(x, t, y, weights, num_heads)``.
        x, t, y, weights, num_heads: as there.
    Returns: the gradients by the names of the checkpoints; ``pos_embed`` is a constant and has
    none.
    """
    tokens, condition = embed(x, t, y, weights)
    inputs = []
    for number in range(depth(weights)):
        inputs.append(tokens)
        tokens = block(tokens, condition, below(weights, f"blocks.{number}"), num_heads)
    num_tokens = weights["pos_embed"].shape[-2]

    # join_patches only moves numbers, so its gradient is cut back, in the order (p, p, C)
    kernel = weights["x_embedder.proj.weight"]
    patches = cut_patches(grad, kernel.shape[-1])
    by_channel = patches.reshape(*patches.shape[:2], grad.shape[1], -1)
    patches = np.swapaxes(by_channel, -1, -2).reshape(patches.shape)

    d_tokens = np.zeros_like(tokens)  # what the final layer does not read gets no gradient
    d_tokens[:, :num_tokens], d_condition, gradients = final_layer_backward(
        patches, tokens[:, :num_tokens], condition, below(weights, "final_layer")
    )
    gradients = above("final_layer", gradients)
    for number in reversed(range(len(inputs))):
        name = f"blocks.{number}"
        d_tokens, d_more, of_block = block_backward(
            d_tokens, inputs[number], condition, below(weights, name), num_heads
        )
        d_condition = d_condition + d_more  # every block reads the same condition
        gradients |= above(name, of_block)

    if conditioning(weights) == "in-context":  # the condition was part of the sequence
        d_condition = d_condition + d_tokens[:, num_tokens:]
    d_time, d_label = (
        (d_condition, d_condition)  # c = time + label
        if d_condition.ndim == 2
        else (d_condition[:, 0], d_condition[:, 1])
    )
    image_patches = cut_patches(x, kernel.shape[-1])
    _, of_patches = linear_backward(
        d_tokens[:, :num_tokens], image_patches, kernel.reshape(len(kernel), -1)
    )
    of_patches["weight"] = of_patches["weight"].reshape(kernel.shape)
    table = np.zeros_like(weights["y_embedder.embedding_table.weight"])
    np.add.at(table, y, d_label)  # a label that comes twice collects twice
    return (
        gradients
        | above("x_embedder.proj", of_patches)
        | {"y_embedder.embedding_table.weight": table}
        | above("t_embedder", _time_gradients(d_time, t, below(weights, "t_embedder")))
    )


def _time_gradients(grad: np.ndarray, t: np.ndarray, weights: Weights) -> Gradients:
    frequencies = timestep_embedding(t, weights["mlp.0.weight"].shape[1])
    hidden = linear(frequencies, weights["mlp.0.weight"], weights["mlp.0.bias"])
    d_silu, second = linear_backward(grad, silu(hidden), weights["mlp.2.weight"])
    d_hidden = silu_backward(d_silu, hidden)
    _, first = linear_backward(d_hidden, frequencies, weights["mlp.0.weight"])
    return above("mlp.0", first) | above("mlp.2", second)


def velocity_loss(
    x0: np.ndarray,
    noise: np.ndarray,
    u: np.ndarray,
    y: np.ndarray,
    weights: Weights,
    num_heads: int,
) -> tuple[float, Gradients]:
    r"""$L = \lVert v_\theta(x_u, 1000u, y) - v \rVert^2$ averaged over all numbers, with gradients.

    $x_u = (1 - u)\,x_0 + u\,\epsilon$, $v = \epsilon - x_0$ and
    $\partial L / \partial v_\theta = 2\,(v_\theta - v) / \text{number of numbers}$.

    Args:
        x0: (B, C, H, W) data.
        noise: of the shape of x0.
        u: (B,), 0 <= u <= 1.
        y: (B,) labels.
        weights, num_heads: as in `dit`.
    Returns: the loss, and the gradients by the names of the weights.
    Raises: ValueError if the model's answer has another shape than x0 (it predicts a variance).
    Source: Lipman et al. 2023, equation 6.
    """
    share = u[:, None, None, None]
    x_u, v, t = (1 - share) * x0 + share * noise, noise - x0, 1000 * u
    answer = dit(x_u, t, y, weights, num_heads)
    require(
        answer.shape == v.shape,
        f"velocity_loss: the model answers {answer.shape}, expected {v.shape} as x0 has",
    )
    error = answer - v
    return float((error**2).mean()), dit_backward(
        2 * error / error.size, x_u, t, y, weights, num_heads
    )
