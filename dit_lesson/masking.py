r"""Masked diffusion: noise that hides tokens where a DiT's noise blurs numbers.

One idea: at time t each token of x_0 is hidden with probability t, on its own, and a network says
what stood there. A model here is the `Model` of `diffusion`: it is called as ``model(x, t)`` with
x the tokens as images of zeros and ones (`one_hot`), and its answer, of the same shape, holds the
logits. So a `DiT` is one as it stands, and `sampling.guided` guides it.

The mask is one more token, whose number is that of the codes.
"""

from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from dit_lesson.diffusion import Model
from dit_lesson.validation import numbers, one_of, positive, require, shapes

Order = Literal["random", "confidence"]
ORDERS = ("random", "confidence")

# --- from latents to tokens and back ----------------------------------------------------------


def fit_codes(vectors: Tensor, count: int, generator: torch.Generator, rounds: int = 20) -> Tensor:
    r"""$c_k \leftarrow$ the mean of the vectors nearest to $c_k$, again and again: k-means.

    Args:
        vectors: (n, C).
        count: K, how many codes.
        generator: picks the vectors that are the first codes.
        rounds: how often the codes move. A code that lost its last vector stays where it is.
    Returns: (K, C).
    Raises: ValueError for more codes than vectors, or a vector that is not finite.
    Source: Lloyd 1982.
    """
    shapes("fit_codes", vectors=(vectors, "n C"))
    numbers("fit_codes", vectors=vectors)
    positive("fit_codes", count=count, rounds=rounds)
    require(
        count <= len(vectors),
        f"fit_codes: count is {count}, expected at most the {len(vectors)} vectors",
    )
    codes = vectors[torch.randperm(len(vectors), generator=generator)[:count]].clone()
    for _ in range(rounds):
        nearest = torch.cdist(vectors, codes).argmin(dim=1)
        owned = torch.bincount(nearest, minlength=count)
        sums = torch.zeros_like(codes).index_add_(0, nearest, vectors)
        codes = torch.where(owned[:, None] > 0, sums / owned.clamp(min=1)[:, None], codes)
    return codes


def to_tokens(z: Tensor, codes: Tensor) -> Tensor:
    r"""$\arg\min_k \lVert z_{ij} - c_k\rVert$ at each place: latents (B, C, H, W) -> (B, H, W).

    Args:
        z: (B, C, H, W).
        codes: (K, C).
    """
    shapes("to_tokens", z=(z, "B C H W"), codes=(codes, "K C"))
    return torch.cdist(z.permute(0, 2, 3, 1).flatten(0, 2), codes).argmin(1).view(-1, *z.shape[2:])


def from_tokens(tokens: Tensor, codes: Tensor) -> Tensor:
    """$c_k$ at each place: tokens (B, H, W) -> latents (B, C, H, W); a mask is all zeros.

    Args:
        tokens: (B, H, W) numbers from 0 to K, of which K is the mask.
        codes: (K, C).
    """
    shapes("from_tokens", tokens=(tokens, "B H W"), codes=(codes, "K C"))
    return torch.cat([codes, 0 * codes[:1]])[tokens].permute(0, 3, 1, 2)


def one_hot(tokens: Tensor, count: int) -> Tensor:
    r"""$x_k = [\mathrm{token} = k]$: what the model reads, (B, ...) -> (B, K + 1, ...).

    A linear layer of it looks up a row of its weights: one vector a token, one for the mask.

    Args:
        tokens: (B, ...) numbers from 0 to K, of which K is the mask.
        count: K.
    """
    shapes("one_hot", tokens=(tokens, "B ..."))
    return functional.one_hot(tokens, count + 1).movedim(-1, 1).float()


# --- noise and loss ---------------------------------------------------------------------------


def mask_tokens(tokens: Tensor, t: Tensor, noise: Tensor, mask: int) -> Tensor:
    r"""$x_t^i = m$ if $u_i < t$, else $x_0^i$: the forward process.

    Args:
        tokens: x_0, (B, ...).
        t: (B,), the probability of a mask, from 0 to 1.
        noise: u, the shape of tokens, drawn evenly from [0, 1).
        mask: m, the number of the mask.
    Returns: x_t, the shape of tokens.
    Source: Austin et al. 2021 (D3PM), section 3.1, "absorbing state"; Sahoo et al. 2024 (MDLM).
    """
    shapes("mask_tokens", tokens=(tokens, "B ..."), noise=(noise, "B ..."), t=(t, "B"))
    return torch.where(noise < t.view(-1, *[1] * (tokens.ndim - 1)), mask, tokens)


def masked_loss(logits: Tensor, tokens: Tensor, hidden: Tensor, t: Tensor | None = None) -> Tensor:
    r"""$\frac1{BN}\sum_{\mathrm{hidden}\ i} -\frac1t\log p_\theta(x_0^i \mid x_t)$, in nats.

    In the mean over t, which is drawn evenly from 0 to 1, this is at least the negative
    log-likelihood of a token: the weight 1/t makes up for the few that are hidden at small t.
    Without t it is the flat mean over the hidden tokens, which bounds nothing.

    Args:
        logits: (B, K + 1, ...); that of the mask is not read: no token is a mask.
        tokens: x_0, (B, ...).
        hidden: (B, ...), where x_t has the mask.
        t: (B,), or None for the flat mean.
    Source: Sahoo et al. 2024, equation 10; as cross-entropy over the probability of a mask in the
    training code of LLaDA (Nie et al. 2025). Flat: Chang et al. 2022 (MaskGIT), equation 1.
    """
    shapes("masked_loss", tokens=(tokens, "B ..."), hidden=(hidden, "B ..."))
    losses = functional.cross_entropy(logits[:, :-1], tokens, reduction="none")
    losses = torch.where(hidden, losses, 0.0)
    if t is None:
        return losses.sum() / hidden.sum().clamp(min=1)
    return (losses.flatten(1).mean(dim=1) / t).mean()


# --- sampling -----------------------------------------------------------------------------------


@torch.no_grad()
def unmask(
    model: Model, tokens: Tensor, count: int, noise: Tensor, order: Order = "random"
) -> Iterator[Tensor]:
    r"""$x^i \sim p_\theta(x^i \mid x)$ for some of the hidden i at once, until none is hidden.

    Every step draws all hidden tokens, each on its own, and keeps an equal share of them: at
    random, or those to which the model gave the highest probability. What is kept stays.

    Args:
        model: called as ``model(x, t)`` with x (B, K + 1, ...) and t = 0: it is not told t.
        tokens: (B, ...); K where hidden, in every sample at as many places.
        count: K.
        noise: (n, 2, B, ...), drawn evenly from [0, 1): for each of n steps, what draws the
            tokens, and what orders them at random. n is at most the hidden tokens of a sample.
        order: which tokens are kept.
    Yields: tokens (B, ...) after each step; the last have no mask.
    Raises: ValueError for an unknown order, or steps out of range.
    Source: Sahoo et al. 2024, section 3; by confidence: Chang et al. 2022 (MaskGIT), section 3.2.
    """
    shapes("unmask", tokens=(tokens, "B ..."))
    shapes("unmask", noise=(noise, f"n 2 {' '.join(map(str, tokens.shape))}"))
    one_of("unmask", ORDERS, order=order)
    left, steps = int((tokens[0] == count).sum()), len(noise)
    require(
        bool(((tokens == count).flatten(1).sum(dim=1) == left).all()),
        "unmask: the samples have different numbers of hidden tokens, expected the same",
    )
    require(1 <= steps <= left, f"unmask: noise has {steps} steps, expected from 1 to {left}")
    for step, (draws, places) in enumerate(noise):
        p = model(one_hot(tokens, count), torch.zeros(len(tokens)))[:, :-1].softmax(dim=1)
        # the first code at which the sum of the probabilities passes u
        drawn = (p.cumsum(dim=1) <= draws[:, None]).sum(dim=1).clamp(max=count - 1)
        score = places if order == "random" else p.gather(1, drawn[:, None])[:, 0]
        score = torch.where(tokens == count, score, -1).flatten(1)
        now = -(-left // (steps - step))  # an equal share, rounded up
        kept = torch.zeros_like(score).scatter(1, score.topk(now).indices, 1).bool()
        tokens = torch.where(kept.view(tokens.shape), drawn, tokens)
        left -= now
        yield tokens


def parallel(joint: Tensor, groups: list[tuple[int, ...]]) -> Tensor:
    r"""$q(x) = \prod_j \prod_{i \in S_j} p(x^i \mid x^{S_1}, \dots, x^{S_{j-1}})$, exactly.

    What a perfect model paints that draws the tokens of a group at once: within a group it knows
    what came before, and nothing of each other. One token a group gives back p. After a context
    that p never has, it draws evenly.

    Args:
        joint: p, (K, ..., K), one axis a token, sums to 1.
        groups: S_1, S_2, ..., in which each token stands once.
    Returns: q, the shape of p.
    Raises: ValueError if a token stands in no group, or in two.
    """
    shapes("parallel", joint=(joint, "..."))
    tokens = sorted(token for group in groups for token in group)
    require(
        tokens == list(range(joint.ndim)),
        f"parallel: groups is {groups}, expected each of {joint.ndim} tokens in one group",
    )
    q, known = torch.ones_like(joint), set()

    def share(kept: set[int]) -> Tensor:
        rest = [token for token in range(joint.ndim) if token not in kept]
        return joint.sum(dim=rest, keepdim=True) if rest else joint

    for group in groups:
        for token in group:
            before, after = share(known), share(known | {token})
            q = q * torch.where(before > 0, after / before, 1 / joint.shape[token])
        known |= set(group)
    return q
