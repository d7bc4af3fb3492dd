"""Chapter 19: one model for words and pictures, all masks, or with noise for the pictures."""

from functools import cache
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from dit_lesson.blocks import EPS, ViTBlock
from dit_lesson.data import TILTED, load_digits, slant
from dit_lesson.diffusion import mix
from dit_lesson.embeddings import TimestepEmbedder
from dit_lesson.evaluation import frechet_distance, judge_features, real_features
from dit_lesson.experiments import Comparison, read_result, spread, table
from dit_lesson.experiments.judging import decode, digit_latents
from dit_lesson.experiments.masking import CODES, digit_tokens, even_noise, pictures
from dit_lesson.experiments.recipes import FLOW
from dit_lesson.experiments.words import NAMES, SLANTS, read
from dit_lesson.masking import masked_loss, one_hot, unmask
from dit_lesson.sampling import guided, sample
from dit_lesson.training import Recipe, Run

WORDS = 2  # of a caption: a slant and a name, as in "tilted three"
PLACES = 16  # of a picture
VOCABULARY = CODES + len(SLANTS) + len(NAMES)  # one for both; the mask comes after it
KINDS = ("masks", "noise, one set of weights", "noise, two sets of weights")
SEEDS = (1, 2, 3)
RECIPE = Recipe(2000, batch_size=64, learning_rate=4e-3, ema_decay=0.995)
SAMPLES, STEPS, GUIDANCE = 500, 16, (1.0, 2.0)


@cache
def captions() -> dict[str, Tensor]:
    """What is true of the digits of both splits, slant and name: (n, 2)."""
    found = {}
    for split, (_, names) in digit_latents().items():
        tilted = torch.from_numpy(slant(load_digits(split)[0]) >= TILTED).long()
        found[split] = torch.stack([tilted, names], dim=1)
    return found


def asked_for(count: int) -> Tensor:
    """Captions as slants and names, every one as often as each other: (count, 2)."""
    pairs = torch.tensor(list(product(range(len(SLANTS)), range(len(NAMES)))))
    return pairs.repeat(count // len(pairs), 1)


def painted(images: Tensor, asked: Tensor) -> dict[str, float]:
    """Shares of pictures with the name, and with the slant, that was asked for; the distance."""
    right = (read(images) == asked).double().mean(dim=0)
    return {
        "name": round(right[1].item(), 3),
        "slant": round(right[0].item(), 3),
        "distance": round(frechet_distance(judge_features(images), real_features("test")), 1),
    }


def said(words: Tensor, truth: Tensor) -> dict[str, float]:
    """Shares of captions with the true name, and with the true slant."""
    right = (words == truth).double().mean(dim=0)
    return {"name": round(right[1].item(), 3), "slant": round(right[0].item(), 3)}


# --- all masks ----------------------------------------------------------------------------------


class MaskedSequence(nn.Module):
    r"""$p_\theta(x^i \mid x)$ for words and codes in one sequence: a ViT without image or class.

    Its blocks are ViT's: nothing is modulated, and no time is told.

    Args:
        hidden_size: D.
        depth: how many blocks.
        num_heads: of each attention layer.
    forward(x, t): x (B, V + 1, 18) zeros and ones, t is not read -> logits (B, V + 1, 18).
    """

    def __init__(self, hidden_size: int = 64, depth: int = 4, num_heads: int = 4):
        super().__init__()
        self.embedder = nn.Embedding(VOCABULARY + 1, hidden_size)
        self.positions = nn.Parameter(torch.randn(WORDS + PLACES, hidden_size))
        self.blocks = nn.Sequential(*(ViTBlock(hidden_size, num_heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(hidden_size, eps=EPS)
        self.head = nn.Linear(hidden_size, VOCABULARY + 1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """One logit a token of the vocabulary, at each place."""
        tokens = x.mT @ self.embedder.weight + self.positions  # (B, 18, D)
        return self.head(self.norm(self.blocks(tokens))).mT


def sequence(words: Tensor, picture: Tensor) -> Tensor:
    """Words (B, 2), as slant and name, and a picture (B, 4, 4) in one sequence (B, 18)."""
    first = torch.tensor([CODES, CODES + len(SLANTS)])
    return torch.cat([words + first, picture.flatten(1)], dim=1)


def words_of(tokens: Tensor) -> Tensor:
    """Slant and name in a sequence, (B, 2)."""
    return tokens[:, :WORDS] - torch.tensor([CODES, CODES + len(SLANTS)])


def sequence_loss(model: nn.Module, tokens: Tensor, generator: torch.Generator) -> Tensor:
    """The flat `masked_loss`; words and picture each have a time of their own."""
    times = torch.rand(len(tokens), 2, generator=generator)
    t = torch.cat([times[:, :1].expand(-1, WORDS), times[:, 1:].expand(-1, PLACES)], dim=1)
    x = torch.where(torch.rand(tokens.shape, generator=generator) < t, VOCABULARY, tokens)
    return masked_loss(model(one_hot(x, VOCABULARY), t), tokens, x == VOCABULARY)


def _masks(recipe: Recipe, seed: int) -> dict[str, Any]:
    torch.manual_seed(seed)
    model = MaskedSequence()
    codes_of = {split: tokens for split, (tokens, _) in digit_tokens().items()}
    data = sequence(captions()["train"], codes_of["train"])
    Run(model, sequence_loss, (data,), recipe, seed).complete()

    def fill(tokens: Tensor, steps: int, guidance: float = 1.0) -> Tensor:
        """All masks filled, by confidence, guided by the words that are there."""

        def answer(x: Tensor, t: Tensor, y: Tensor) -> Tensor:
            return model(torch.cat([one_hot(y, VOCABULARY), x[:, :, WORDS:]], dim=2), t)

        walk = guided(answer, tokens[:, :WORDS], VOCABULARY, guidance) if guidance != 1 else model
        noise = even_noise(tokens, steps, seed)
        *_, filled = unmask(walk, tokens, VOCABULARY, noise, "confidence")
        return filled

    def picture_of(tokens: Tensor) -> Tensor:
        # a word where a code should be is as good as no code
        return pictures(tokens[:, WORDS:].clamp(max=CODES).view(-1, 4, 4))

    asked = asked_for(SAMPLES)
    start = sequence(asked, torch.zeros(len(asked), PLACES, dtype=torch.long))
    start[:, WORDS:] = VOCABULARY
    result: dict[str, Any] = {
        "to_picture": [
            {"guidance": s} | painted(picture_of(fill(start, STEPS, s)), asked) for s in GUIDANCE
        ]
    }
    truth = captions()["test"]
    whole = sequence(truth, codes_of["test"])
    unread = whole.clone()
    unread[:, :WORDS] = VOCABULARY
    result["to_words"] = said(words_of(fill(unread, WORDS)), truth)

    # the lower half is painted, told nothing, the truth, or the next name
    wrong = torch.stack([truth[:, 0], (truth[:, 1] + 1) % len(NAMES)], dim=1)
    result["lower_half"] = {}
    for name, words in (("nothing", None), ("truth", truth), ("wrong", wrong)):
        half = sequence(truth if words is None else words, codes_of["test"])
        half[:, WORDS + PLACES // 2 :] = VOCABULARY
        if words is None:
            half[:, :WORDS] = VOCABULARY
        hidden = int((half[0] == VOCABULARY).sum())
        names = read(picture_of(fill(half, hidden)))[:, 1]
        result["lower_half"][name] = {
            "true_name": round((names == truth[:, 1]).double().mean().item(), 3),
            "wrong_name": round((names == wrong[:, 1]).double().mean().item(), 3),
        }
    return result


# --- words by the next word, pictures by noise ------------------------------------------------

LATENT = 8  # numbers of a place
START, FIRST_NAME = 0, 1 + len(SLANTS)  # of the words: start, slants, names
WORD_COUNT = 1 + len(SLANTS) + len(NAMES)
TEXT = 1 + WORDS  # places of text: the start and a caption


class JointBlock(nn.Module):
    """ViT's block for text and picture in one attention, with weights shared or for each.

    forward(x, allowed): x (B, 3 + 16, D), allowed (B, 1, 19, 19), who may look at whom -> as x.
    Source: Transfusion (Zhou et al. 2024), one set of weights; BAGEL (Deng et al. 2025), two.
    """

    def __init__(self, hidden_size: int, num_heads: int, sets: int):
        super().__init__()
        self.text = ViTBlock(hidden_size, num_heads)
        self.picture = ViTBlock(hidden_size, num_heads) if sets == 2 else self.text

    def forward(self, x: Tensor, allowed: Tensor) -> Tensor:
        """Text and picture after one attention and their MLPs."""
        sizes, blocks = [TEXT, PLACES], (self.text, self.picture)
        parts = list(zip(blocks, x.split(sizes, dim=1), strict=True))
        heads = torch.cat([block.attn.heads(block.norm1(part)) for block, part in parts], dim=3)
        seen = scaled_dot_product_attention(*heads, attn_mask=allowed)  # (B, h, 3 + 16, d)
        done = []
        for (block, part), heard in zip(parts, seen.split(sizes, dim=2), strict=True):
            part = part + block.attn.proj(heard.transpose(1, 2).flatten(2))
            done.append(part + block.mlp(block.norm2(part)))
        return torch.cat(done, dim=1)


class MixedTrunk(nn.Module):
    """Words that foretell the next word, and a latent that is denoised, in one trunk.

    Text is causal, the picture sees all of itself. Where the caption comes first, the picture also
    sees the text; where the picture comes first, the text sees the picture. t is added to the
    latent's tokens, as in Transfusion; there is no modulation.

    Args:
        sets: of weights: 1 for both, or 2.
        hidden_size: D.
        depth: how many blocks.
        num_heads: of each attention layer.
    forward(words, z, t, reads): words (B, 3), start and caption; z (B, 8, 4, 4), t (B,), reads
    (B,), whether the picture comes first -> logits (B, 3, 13), velocity (B, 8, 4, 4).
    """

    within: Tensor
    to_picture: Tensor

    def __init__(self, sets: int, hidden_size: int = 64, depth: int = 4, num_heads: int = 4):
        super().__init__()
        self.words = nn.Embedding(WORD_COUNT, hidden_size)
        self.x_embedder = nn.Linear(LATENT, hidden_size)
        self.t_embedder = TimestepEmbedder(hidden_size)
        self.positions = nn.Parameter(torch.randn(TEXT + PLACES, hidden_size))
        self.blocks = nn.ModuleList(JointBlock(hidden_size, num_heads, sets) for _ in range(depth))
        self.norm = nn.LayerNorm(hidden_size, eps=EPS)
        self.word_head = nn.Linear(hidden_size, WORD_COUNT)
        self.latent_head = nn.Linear(hidden_size, LATENT)
        nn.init.zeros_(self.latent_head.weight)
        text = torch.arange(TEXT + PLACES) < TEXT
        causal = torch.ones(TEXT + PLACES, TEXT + PLACES).tril().bool()
        within = torch.where(text[:, None] & text, causal, text[:, None] == text)
        self.register_buffer("within", within)  # each half for itself
        self.register_buffer("to_picture", text[:, None] & ~text)  # text looks at the picture

    def forward(self, words: Tensor, z: Tensor, t: Tensor, reads: Tensor) -> tuple[Tensor, Tensor]:
        """The next words, and the velocity of the latent."""
        latent = self.x_embedder(z.flatten(2).mT) + self.t_embedder(t)[:, None]  # (B, 16, D)
        x = torch.cat([self.words(words), latent], dim=1) + self.positions  # (B, 19, D)
        across = torch.where(reads[:, None, None], self.to_picture, self.to_picture.mT)
        allowed = (self.within | across)[:, None]  # (B, 1, 19, 19)
        for block in self.blocks:
            x = block(x, allowed)
        text, latent = self.norm(x).split([TEXT, PLACES], dim=1)
        return self.word_head(text), self.latent_head(latent).mT.reshape(z.shape)


TEXT_WEIGHT = 0.3


def mixed_loss(model: nn.Module, z: Tensor, words: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the batch paints from words, half reads pictures; the sum of both errors."""
    reads = torch.rand(len(z), generator=generator) < 0.5
    t, noise = FLOW.draw(len(z), generator), torch.randn(z.shape, generator=generator)
    t = t * ~reads  # what is read has no noise
    dropped = torch.rand(len(z), 1, generator=generator) < 0.1
    told = torch.where(dropped & ~reads[:, None], START, words)
    x = mix(FLOW, z, noise, t)
    logits, velocity = model(told, x, FLOW.told(t), reads)
    target = (noise - z)[~reads]
    painting = (velocity[~reads] - target).square().mean()
    reading = cross_entropy(logits[reads, :-1].flatten(0, 1), words[reads, 1:].flatten())
    return painting + TEXT_WEIGHT * reading


def text(caption: Tensor) -> Tensor:
    """Slant and name (B, 2) as the words of the trunk, behind the start: (B, 3)."""
    words = caption + torch.tensor([1, FIRST_NAME])
    return torch.cat([torch.full_like(words[:, :1], START), words], dim=1)


@torch.no_grad()
def read_aloud(model: MixedTrunk, z: Tensor) -> Tensor:
    """The caption of a latent, the likeliest word after the other: (B, 2)."""
    words = torch.full((len(z), TEXT), START)
    seen = torch.ones(len(z), dtype=torch.bool)
    for place in range(WORDS):
        logits, _ = model(words, z, torch.zeros(len(z)), seen)
        words[:, place + 1] = logits[:, place].argmax(dim=1)
    return words[:, 1:] - torch.tensor([1, FIRST_NAME])


def _mixed(recipe: Recipe, seed: int, sets: int) -> dict[str, Any]:
    torch.manual_seed(seed)
    model = MixedTrunk(sets)
    z = {split: latent for split, (latent, _) in digit_latents().items()}
    Run(model, mixed_loss, (z["train"], text(captions()["train"])), recipe, seed).complete()
    asked = asked_for(SAMPLES)
    noise = torch.randn(
        SAMPLES, *z["train"].shape[1:], generator=torch.Generator().manual_seed(seed)
    )
    paints = torch.zeros(2 * SAMPLES, dtype=torch.bool)

    def answer(x: Tensor, t: Tensor, words: Tensor) -> Tensor:
        return model(words, x, t, paints[: len(x)])[1]

    result: dict[str, Any] = {"to_picture": []}
    for guidance in GUIDANCE:
        walk = guided(answer, text(asked), START, guidance)
        latent = sample(walk, noise, FLOW, STEPS, predicts="velocity")
        with torch.no_grad():
            images = decode(latent).clamp(-1, 1)
        result["to_picture"].append({"guidance": guidance} | painted(images, asked))
    result["to_words"] = said(read_aloud(model, z["test"]), captions()["test"])
    return result | {"lower_half": None}


def omni_run(recipe: Recipe, kind: str, seed: int) -> dict[str, Any]:
    """One model that paints from a caption and captions a picture."""
    if kind == "masks":
        return _masks(recipe, seed)
    return _mixed(recipe, seed, 1 + (kind == "noise, two sets of weights"))


def report() -> str:
    """What the three kinds of model paint and read, by seed, as text."""
    parts = {
        f"caption to picture, guidance {s:g}": {
            f"to_picture.{n}.{key}": digits
            for key, digits in (("name", 2), ("slant", 2), ("distance", 0))
        }
        for n, s in enumerate(GUIDANCE)
    } | {"picture to caption": {"to_words.name": 2, "to_words.slant": 2}}
    return "\n".join(
        f"{name}\n{table('omni-comparison', 'kind', measured, by_seed=True)}"
        for name, measured in parts.items()
    )


def finished() -> str:
    """How the masked model's lower halves are read, by what it was told, as text."""
    runs = [run for run in read_result("omni-comparison")["runs"] if run["kind"] == "masks"]
    lines = ["told       read as the digit    as the other one"]
    for told in ("nothing", "truth", "wrong"):
        halves = [run["lower_half"][told] for run in runs]
        texts = (spread([half[key] for half in halves], 2) for key in ("true_name", "wrong_name"))
        lines.append(f"{told:10} " + " ".join(f"{text:20}" for text in texts).rstrip())
    return "\n".join(lines)


OMNI_COMPARISONS = {
    "omni-comparison": Comparison(
        RECIPE,
        [{"kind": kind, "seed": seed} for seed, kind in product(SEEDS, KINDS)],
        omni_run,
        {"samples": SAMPLES, "steps": STEPS, "text_weight": TEXT_WEIGHT},
    ),
}
