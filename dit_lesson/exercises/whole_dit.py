"""Exercises of the chapter on the whole DiT."""

import numpy as np

from dit_lesson.exercises import exercise
from dit_lesson.numpy_dit import (
    Weights,
    below,
    block,
    final_layer,
    join_patches,
    layer_norm,
    linear,
    patch_embedding,
    silu,
    timestep_embedding,
)

random = np.random.default_rng(0)


def _small_model(width: int = 8, classes: int = 3, frequencies: int = 16) -> Weights:
    """Random weights: depth 2, patch size 2, two channels in and four out, 4 x 4 latents."""
    shapes = {
        "x_embedder.proj": (width, 2, 2, 2),
        "t_embedder.mlp.0": (width, frequencies),
        "t_embedder.mlp.2": (width, width),
        "final_layer.adaLN_modulation.1": (2 * width, width),
        "final_layer.linear": (2 * 2 * 4, width),
    }
    for name in ("blocks.0", "blocks.1"):
        shapes |= {
            f"{name}.attn.qkv": (3 * width, width),
            f"{name}.attn.proj": (width, width),
            f"{name}.mlp.fc1": (4 * width, width),
            f"{name}.mlp.fc2": (width, 4 * width),
            f"{name}.adaLN_modulation.1": (6 * width, width),
        }
    weights = {f"{name}.weight": 0.5 * random.normal(size=shape) for name, shape in shapes.items()}
    weights |= {f"{name}.bias": random.normal(size=shape[:1]) for name, shape in shapes.items()}
    weights["y_embedder.embedding_table.weight"] = random.normal(size=(classes + 1, width))
    weights["pos_embed"] = random.normal(size=(1, 4, width))
    return weights


LATENTS = random.normal(size=(2, 2, 4, 4))
TIMES, LABELS = np.array([30.0, 700.0]), np.array([1, 3])
WEIGHTS = _small_model()


def _dit(
    x: np.ndarray,
    t: np.ndarray,
    y: np.ndarray,
    weights: Weights,
    num_heads: int,
    *,
    positions: bool = True,
    told: float = 1.0,
    bend: bool = True,
    time: bool = True,
    label: bool = True,
    bent_twice: bool = False,
    one_block: bool = False,
    modulated_end: bool = True,
    channels_first: bool = False,
) -> np.ndarray:
    """The model with its switches."""
    kernel = weights["x_embedder.proj.weight"]
    tokens = patch_embedding(x, kernel, weights["x_embedder.proj.bias"])
    if positions:
        tokens = tokens + weights["pos_embed"]

    first, last = below(weights, "t_embedder.mlp.0"), below(weights, "t_embedder.mlp.2")
    hidden = linear(timestep_embedding(told * t, first["weight"].shape[1]), **first)
    hidden = linear(silu(hidden) if bend else hidden, **last)
    c = time * hidden + label * weights["y_embedder.embedding_table.weight"][y]
    c = silu(c) if bent_twice else c

    for number in range(2):
        name = f"blocks.{0 if one_block else number}"
        tokens = block(tokens, c, below(weights, name), num_heads)
    end = below(weights, "final_layer")
    if modulated_end:
        patches = final_layer(tokens, c, end)
    else:
        patches = linear(layer_norm(tokens), end["linear.weight"], end["linear.bias"])
    if channels_first:
        patches = patches.reshape(*patches.shape[:2], -1, 4).swapaxes(2, 3)
        patches = patches.reshape(*patches.shape[:2], -1)
    return join_patches(patches, kernel.shape[-1], *x.shape[2:])


@exercise(
    (LATENTS, TIMES, LABELS, WEIGHTS, 2),
    right="That is a DiT, from a noisy latent to what it predicts, in NumPy alone.",
    mistakes={
        "The positions are missing: without them the model sees a bag of patches.": (
            lambda *given: _dit(*given, positions=False)
        ),
        "t was divided by 1000: the embedding takes the time step itself.": (
            lambda *given: _dit(*given, told=1e-3)
        ),
        "The time MLP has no SiLU between its two layers: they are one linear layer now.": (
            lambda *given: _dit(*given, bend=False)
        ),
        "The label is missing: c is the sum of the time's vector and the label's.": (
            lambda *given: _dit(*given, label=False)
        ),
        "The time is missing: c is the sum of the time's vector and the label's.": (
            lambda *given: _dit(*given, time=False)
        ),
        "c passed through SiLU on its way: every modulation layer has its own already.": (
            lambda *given: _dit(*given, bent_twice=True)
        ),
        "All blocks read the weights of the first: each has its own.": (
            lambda *given: _dit(*given, one_block=True)
        ),
        "The last layer norm is plain: in adaLN-Zero c sets its shift and scale, too.": (
            lambda *given: _dit(*given, modulated_end=False)
        ),
        "The patches were read as (C, p, p): their numbers are ordered (p, p, C).": (
            lambda *given: _dit(*given, channels_first=True)
        ),
    },
)
def check_dit(
    x: np.ndarray, t: np.ndarray, y: np.ndarray, weights: Weights, num_heads: int
) -> np.ndarray:
    """The whole adaLN-Zero model in NumPy, from the parts of `numpy_dit`."""
    return _dit(x, t, y, weights, num_heads)


def _halves(answer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    channels = answer.shape[1] // 2
    return answer[:, :channels], answer[:, channels:]


def _between(u: np.ndarray, beta_tilde: float, beta: float) -> np.ndarray:
    return u * np.log(beta) + (1 - u) * np.log(beta_tilde)


@exercise(
    (random.uniform(-0.9, 0.9, size=(2, 4, 3, 3)), 0.004, 0.01),
    right="At the start the answer is 0, and sigma^2 the geometric mean.",
    mistakes={
        "That is the first half, which is the noise: the variance is in the second.": (
            lambda answer, *betas: _between((_halves(answer)[0] + 1) / 2, *betas)
        ),
        "Every second channel was taken: the halves lie one behind the other.": (
            lambda answer, *betas: _between((answer[:, 1::2] + 1) / 2, *betas)
        ),
        "The share was taken as it is: it runs from -1 to 1, and u from 0 to 1.": (
            lambda answer, *betas: _between(_halves(answer)[1], *betas)
        ),
        "The two ends are swapped: 1 stands for beta and -1 for beta-tilde.": (
            lambda answer, beta_tilde, beta: _between(
                (_halves(answer)[1] + 1) / 2, beta, beta_tilde
            )
        ),
        "The variances were mixed: it is their logarithms that are.": (
            lambda answer, beta_tilde, beta: np.log(
                (_halves(answer)[1] + 1) / 2 * beta + (1 - _halves(answer)[1]) / 2 * beta_tilde
            )
        ),
        "That is the logarithm of sigma: of its square it is twice as much.": (
            lambda answer, *betas: _between((_halves(answer)[1] + 1) / 2, *betas) / 2
        ),
        "That is the variance itself: its logarithm was asked for.": (
            lambda answer, *betas: np.exp(_between((_halves(answer)[1] + 1) / 2, *betas))
        ),
    },
)
def check_log_variance(answer: np.ndarray, beta_tilde: float, beta: float) -> np.ndarray:
    """log sigma^2 (B, C, H, W) out of an answer (B, 2C, H, W)."""
    _, share = _halves(answer)
    return _between((share + 1) / 2, beta_tilde, beta)


@exercise(
    (28, 1152, 250, 2),
    (12, 384, 250, 2),
    (3, 64, 20, 11),
    right="The table is smaller while steps times conditions is less than D + 1.",
    mistakes={
        "The final layer is missing: it has a shift and a scale, too.": (
            lambda depth, width, steps, conditions: (
                6 * depth * width * (width + 1 - steps * conditions)
            )
        ),
        "The final layer has no gate: two vectors, not six.": (
            lambda depth, width, steps, conditions: (
                6 * (depth + 1) * width * (width + 1 - steps * conditions)
            )
        ),
        "A block makes six vectors here: four is adaLN without gates.": (
            lambda depth, width, steps, conditions: (
                (4 * depth + 2) * width * (width + 1 - steps * conditions)
            )
        ),
        "The biases are missing: they are not needed any more either.": (
            lambda depth, width, steps, conditions: (
                (6 * depth + 2) * width * (width - steps * conditions)
            )
        ),
        "The conditions share no row: each of them needs one for every step.": (
            lambda depth, width, steps, conditions: (
                (6 * depth + 2) * width * (width + 1 - steps - conditions)
            )
        ),
        "That is the table alone: take it from the weights that it replaces.": (
            lambda depth, width, steps, conditions: (6 * depth + 2) * width * steps * conditions
        ),
        "The sign is turned: what is saved is what is dropped less what is added.": (
            lambda depth, width, steps, conditions: (
                (6 * depth + 2) * width * (steps * conditions - width - 1)
            )
        ),
    },
)
def check_saved(depth: int, hidden_size: int, steps: int, conditions: int) -> int:
    """The numbers saved by a table of the modulation: its layers' weights less the table."""
    vectors = 6 * depth + 2
    return vectors * hidden_size * (hidden_size + 1) - steps * conditions * vectors * hidden_size
