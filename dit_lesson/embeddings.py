r"""Conditions as vectors: the time step, the class with its null class, the words of a caption."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dit_lesson.validation import positive, require, shapes, within


def timestep_embedding(t: Tensor, frequency_size: int = 256, max_period: float = 1e4) -> Tensor:
    r"""$[\cos(t\omega_i), \sin(t\omega_i)]$ with $\omega_i = P^{-i/(d/2)}$: cos first, then sin.

    In float32, as in the model whose weights were released: at t = 999 that is exact to about
    1e-4, and another arithmetic would not reproduce it.

    Args:
        t: (B,) time steps, whole or not, 0 to 999 in DiT (t in [0, 1] leaves most features
            constant: multiply by 1000).
        frequency_size: d, even.
        max_period: P, in steps.
    Returns: (B, d) float32.
    Raises: ValueError if t is not a vector of real numbers, or frequency_size is odd.
    Source: DiT, appendix A; the denominator is d/2, not d/2 - 1.
    """
    positive("timestep_embedding", frequency_size=frequency_size)
    require(
        frequency_size % 2 == 0,
        f"timestep_embedding: frequency_size is {frequency_size}, expected an even number",
    )
    shapes("timestep_embedding", t=(t, "B"))
    require(
        not t.is_complex() and t.dtype != torch.bool,
        f"timestep_embedding: t has dtype {t.dtype}, expected real numbers",
    )
    half = frequency_size // 2
    order = torch.arange(half, dtype=torch.float32, device=t.device)
    omega = torch.exp(-math.log(max_period) * order / half)  # P^(-i / (d/2)), (d/2,)
    angles = t.float()[:, None] * omega  # (B, d/2)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)  # (B, d)


class TimestepEmbedder(nn.Module):
    r"""$W_2\,\mathrm{SiLU}(W_1 e(t) + b_1) + b_2$ with $e$ = `timestep_embedding`.

    Args:
        hidden_size: D.
        frequency_size: the width of e(t).
    forward(t): (B,) time steps -> (B, D).
    Source: DiT, appendix A.
    """

    def __init__(self, hidden_size: int, frequency_size: int = 256):
        super().__init__()
        positive("TimestepEmbedder", hidden_size=hidden_size)
        self.frequency_size = frequency_size
        self.mlp = nn.Sequential(
            nn.Linear(frequency_size, hidden_size),
            nn.SiLU(),
            nn.Linear(hidden_size, hidden_size),
        )

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights: the clocks are always made in float32 first."""
        return self.get_parameter("mlp.0.weight").dtype

    def forward(self, t: Tensor) -> Tensor:
        """One vector per time step."""
        frequencies = timestep_embedding(t, self.frequency_size)  # e(t), (B, frequency_size)
        return self.mlp(frequencies.to(self.dtype))  # (B, D)


class LabelEmbedder(nn.Module):
    r"""Row y of a table; in training, with probability ``dropout``, the row of the null class.

    The null class is ``num_classes``, one row after the last class: "no label", which guidance
    asks for when it samples. With ``dropout=0`` no label is ever dropped, the null row would
    stay untrained, and the table has none.

    Args:
        num_classes: how many labels there are.
        hidden_size: D.
        dropout: a probability.
    forward(y, generator): labels (B,) int64, 0 to num_classes -> (B, 1, D), a sequence of one;
    generator, the source of the dropout (in training only).
    Raises: ValueError if a size, the probability or the axes of y do not fit; IndexError for a
    label that has no row.
    Source: DiT, section 3.1 "Classifier-free guidance"; Ho & Salimans 2022.
    """

    def __init__(self, num_classes: int, hidden_size: int, dropout: float = 0.1):
        super().__init__()
        positive("LabelEmbedder", num_classes=num_classes, hidden_size=hidden_size)
        within("LabelEmbedder", 0, 1, dropout=dropout)
        self.null_class = num_classes
        self.dropout = dropout
        self.embedding_table = nn.Embedding(num_classes + (dropout > 0), hidden_size)

    def forward(self, y: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One vector per label."""
        shapes("LabelEmbedder", y=(y, "B"))
        if self.training and self.dropout > 0:
            y = torch.where(_dropped(y, self.dropout, generator), self.null_class, y)
        return self.embedding_table(y)[:, None]  # (B, 1, D)


class CaptionEncoder(nn.Module):
    r"""One vector per word: the rows $[E_{w_1}, \dots, E_{w_L}]$ of a table, a bag of words.

    Cross-attention and in-context conditioning take the words one by one; adaLN takes their mean.
    Short captions are filled with the null word, index 0, which is a row like any other; the
    caption of nothing but null words is "no caption" and replaces, in training, a share
    ``dropout`` of the captions. The order of the words is not encoded: enough for captions such
    as "a bold tilted seven", not for language.

    Args:
        vocabulary: the words.
        max_words: L, the length of every encoded caption.
        hidden_size: D.
        dropout: a probability.
    forward(y, generator): word indices (B, L) int64, from ``encode`` -> (B, L, D).
    Raises: ValueError if a size, the probability, the vocabulary or the axes of y do not fit.
    Source: the role of the text encoder in Rombach et al. 2022 (LDM), section 3.3, at its smallest.
    """

    def __init__(
        self, vocabulary: Sequence[str], max_words: int, hidden_size: int, dropout: float = 0.1
    ):
        super().__init__()
        require_words("CaptionEncoder", vocabulary)
        positive("CaptionEncoder", max_words=max_words, hidden_size=hidden_size)
        within("CaptionEncoder", 0, 1, dropout=dropout)
        self.index = {word: number for number, word in enumerate(vocabulary, start=1)}
        self.max_words = max_words
        self.dropout = dropout
        self.embedding_table = nn.Embedding(len(vocabulary) + 1, hidden_size)

    def encode(self, captions: Sequence[str]) -> Tensor:
        """Captions as word indices (B, max_words); ``""`` is the null caption.

        Raises: ValueError for a word outside the vocabulary, or a caption that is too long.
        """
        require(
            not isinstance(captions, str) and len(captions) > 0,
            f"CaptionEncoder.encode: captions is {captions!r}, expected a list of captions",
        )
        rows = []
        for caption in captions:
            words = caption.split()
            unknown = [word for word in words if word not in self.index]
            require(
                not unknown,
                f"CaptionEncoder.encode: {caption!r} holds unknown words {unknown}, "
                f"expected words among {list(self.index)}",
            )
            require(
                len(words) <= self.max_words,
                f"CaptionEncoder.encode: {caption!r} has {len(words)} words, "
                f"expected at most {self.max_words}",
            )
            numbers = [self.index[word] for word in words]
            rows.append(numbers + [0] * (self.max_words - len(words)))
        return torch.tensor(rows)

    def forward(self, y: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One vector per word."""
        shapes("CaptionEncoder", y=(y, f"B {self.max_words}"))
        if self.training and self.dropout > 0:
            y = torch.where(_dropped(y, self.dropout, generator)[:, None], 0, y)
        return self.embedding_table(y)  # (B, L, D)


def require_words(function: str, vocabulary: Sequence[str]) -> None:
    """Refuse a vocabulary that is one string, is empty, or has a word twice."""
    require(
        not isinstance(vocabulary, str)
        and len(vocabulary) > 0
        and len(set(vocabulary)) == len(vocabulary),
        f"{function}: vocabulary is {vocabulary!r}, expected a list of different words",
    )


def _dropped(y: Tensor, dropout: float, generator: torch.Generator | None) -> Tensor:
    return torch.rand(len(y), generator=generator, device=y.device) < dropout
