"""Chapter 18: six ways for words into a DiT that paints two digits side by side."""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from dit_lesson.attention import CrossAttention
from dit_lesson.blocks import AdaLNFinalLayer, AdaLNZeroBlock, ViTBlock
from dit_lesson.checkpoints import load_model
from dit_lesson.data import CAPTION_WORDS, TILTED, load_digits, slant
from dit_lesson.diffusion import mix
from dit_lesson.embeddings import CaptionEncoder, TimestepEmbedder
from dit_lesson.evaluation import frechet_distance, judge, judge_features, real_features
from dit_lesson.experiments import Comparison
from dit_lesson.experiments.recipes import FLOW, latents, velocity_loss
from dit_lesson.norms import modulate
from dit_lesson.positions import sincos_2d
from dit_lesson.sampling import guided, sample
from dit_lesson.successors import TwoStreamBlock
from dit_lesson.training import Recipe, Run
from dit_lesson.validation import one_of, shapes

AUTOENCODER = "autoencoder-4x4x8"
ROWS, COLUMNS, CHANNELS = 4, 8, 8  # of a canvas: two latents side by side
SLANTS, NAMES = CAPTION_WORDS[3:5], CAPTION_WORDS[5:]
WORDS = (*SLANTS, *NAMES, "left-of")
LENGTH = 5  # words of a caption
#: Pairs (left, right) that training never shows; it shows each of them the other way round.
HELD_OUT = ((0, 1), (2, 3), (4, 5), (6, 7), (8, 9), (1, 6), (3, 8), (5, 2))
CANVASES = 20_000
SEEDS = (1, 2, 3)  # the rate was chosen with seed 0
RECIPE = Recipe(400, batch_size=32, learning_rate=1e-2, ema_decay=0.99, fused=False)
GUIDANCE, STEPS = 2.0, 10


# --- the model --------------------------------------------------------------------------------


class PlainBlock(nn.Module):
    """Chapter 10's block as it is; the words are in c, or among the tokens, or pass by.

    forward(x, words, c): x (B, N, D), words (B, L, D), c (B, D) -> x, words.
    """

    def __init__(self, hidden_size: int, num_heads: int):
        super().__init__()
        self.block = AdaLNZeroBlock(hidden_size, num_heads)

    def forward(self, x: Tensor, words: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens after the block, and the words as they came."""
        return self.block(x, c), words


class LookUpBlock(nn.Module):
    r"""Chapter 10's block with $x'' = x' + \mathrm{CrossAttn}(x', w)$ between its two halves.

    The cross-attention has no norm and no gate; its output layer starts at zero.

    forward(x, words, c): x (B, N, D), words (B, L, D), c (B, D) -> x, words.
    Source: the released code of PixArt-alpha (Chen et al. 2024), `PixArtBlock`.
    """

    def __init__(self, hidden_size: int, num_heads: int):
        super().__init__()
        self.block = AdaLNZeroBlock(hidden_size, num_heads)
        self.cross_attn = CrossAttention(hidden_size, num_heads)
        nn.init.zeros_(self.cross_attn.proj.weight)

    def forward(self, x: Tensor, words: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens after attention, looking up the words, and MLP."""
        block = self.block
        shift_msa, scale_msa, gate_msa, shift_mlp, scale_mlp, gate_mlp = block.adaLN_modulation(c)
        x = x + gate_msa[:, None] * block.attn(modulate(block.norm1(x), shift_msa, scale_msa))
        x = x + self.cross_attn(x, words)
        x = x + gate_mlp[:, None] * block.mlp(modulate(block.norm2(x), shift_mlp, scale_mlp))
        return x, words


class Mean(nn.Module):
    r"""$\frac1L \sum_k w_k$: words (B, L, D) -> (B, D)."""

    def forward(self, words: Tensor) -> Tensor:
        """One vector for a caption, whatever the order of its words."""
        return words.mean(dim=1)


@dataclass(frozen=True)
class Way:
    """How the words reach the image.

    Args:
        block: its class; called as ``block(x, words, c)``, it returns x and the words.
        summary: of a width D and a number of heads, what makes one vector (B, D) of the words
            (B, L, D), to be added to that of the time.
        in_sequence: whether the words stand among the image tokens.
    """

    block: type[nn.Module]
    summary: Callable[[int, int], nn.Module] | None = None
    in_sequence: bool = False


def _joined(hidden_size: int, num_heads: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(LENGTH * hidden_size, hidden_size))


def _read(hidden_size: int, num_heads: int) -> nn.Module:
    return nn.Sequential(ViTBlock(hidden_size, num_heads), Mean())


WAYS = {
    "pooled": Way(PlainBlock, lambda hidden_size, num_heads: Mean()),
    "read, then pooled": Way(PlainBlock, _read),
    "joined": Way(PlainBlock, _joined),
    "in-context": Way(PlainBlock, in_sequence=True),
    "cross-attention": Way(LookUpBlock),
    "two streams": Way(TwoStreamBlock),
}


class WordsDiT(nn.Module):
    r"""$v_\theta(x_t, t, w)$ of a canvas of two digits; t enters by adaLN-Zero, words by a `Way`.

    Vectors of words and their positions start as N(0, 1), gates and the weight of the last layer
    at zero, other layers as PyTorch makes them.

    Args:
        way: one of `WAYS`.
        hidden_size: D, the width of a token.
        depth: how many blocks.
        num_heads: of each attention layer.
    forward(x, t, y, generator): x (B, 8, 4, 8), t (B,), captions y (B, 5) -> (B, 8, 4, 8);
    generator, the source of the caption dropout in training.
    Raises: ValueError for an unknown way, or if the shape of an input does not fit.
    """

    def __init__(self, way: str, hidden_size: int = 64, depth: int = 4, num_heads: int = 4):
        super().__init__()
        one_of("WordsDiT", WAYS, way=way)
        self.way = WAYS[way]
        self.x_embedder = nn.Linear(CHANNELS, hidden_size)
        table = sincos_2d(hidden_size, ROWS, COLUMNS)
        self.register_buffer("pos_embed", torch.tensor(table, dtype=torch.float32))
        self.t_embedder = TimestepEmbedder(hidden_size)
        self.y_embedder = CaptionEncoder(WORDS, LENGTH, hidden_size)
        self.word_positions = nn.Parameter(torch.randn(LENGTH, hidden_size))
        summary = self.way.summary
        self.summary = summary(hidden_size, num_heads) if summary else None
        self.blocks = nn.ModuleList(self.way.block(hidden_size, num_heads) for _ in range(depth))
        self.final_layer = AdaLNFinalLayer(hidden_size, CHANNELS, zero_init=True)
        nn.init.zeros_(self.final_layer.linear.weight)

    def forward(
        self, x: Tensor, t: Tensor, y: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """The predicted velocity."""
        shapes("WordsDiT", x=(x, f"B {CHANNELS} {ROWS} {COLUMNS}"), t=(t, "B"), y=(y, "B L"))
        tokens = self.x_embedder(x.flatten(2).mT) + self.pos_embed  # (B, 32, D)
        words = self.y_embedder(y, generator) + self.word_positions  # (B, 5, D)
        c = self.t_embedder(t)  # (B, D)
        if self.summary is not None:
            c = c + self.summary(words)
        if self.way.in_sequence:
            tokens = torch.cat([tokens, words], dim=1)  # (B, 32 + 5, D)
        for block in self.blocks:
            tokens, words = block(tokens, words, c)
        patches = self.final_layer(tokens[:, : ROWS * COLUMNS], c)  # (B, 32, 8)
        return patches.mT.reshape(x.shape)


def cost(way: str) -> dict[str, int]:
    """Parameters, and multiply-accumulates for one canvas."""
    model = WordsDiT(way).eval()
    x = torch.zeros(1, CHANNELS, ROWS, COLUMNS)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(x, torch.zeros(1), torch.zeros(1, LENGTH, dtype=torch.long))
    parameters = sum(p.numel() for p in model.parameters())
    return {"parameters": parameters, "macs": counter.get_total_flops() // 2}


# --- canvases and captions ----------------------------------------------------------------------


def caption(left: tuple[int, int], right: tuple[int, int]) -> str:
    """Two digits in words, each a slant (0 upright, 1 tilted) and a name.

    As in "tilted three left-of upright seven".
    """
    (a, b), (c, d) = left, right
    return f"{SLANTS[a]} {NAMES[b]} left-of {SLANTS[c]} {NAMES[d]}"


def encode(captions: list[str]) -> Tensor:
    """Captions as word indices (B, 5)."""
    return CaptionEncoder(WORDS, LENGTH, hidden_size=1).encode(captions)


def canvases(count: int) -> tuple[Tensor, Tensor]:
    """Random pairs of training digits, no pair of `HELD_OUT`, with their captions.

    Args:
        count: how many are drawn; the held-out ones among them are left out.
    Returns: latents (n, 8, 4, 8), captions (n, 5).
    """
    x, labels = latents(AUTOENCODER)["train"]
    tilted = torch.from_numpy(slant(load_digits("train")[0]) >= TILTED).long()
    pairs = torch.randint(len(x), (count, 2), generator=torch.Generator().manual_seed(0))
    names = labels[pairs]
    unseen = (names[:, None] == torch.tensor(HELD_OUT)).all(dim=-1).any(dim=-1)
    left, right = pairs[~unseen].T
    word = {name: number for number, name in enumerate(WORDS, start=1)}
    first_slant, first_name = word[SLANTS[0]], word[NAMES[0]]
    relation = torch.full_like(left, word["left-of"])
    columns = [
        *(tilted[left] + first_slant, labels[left] + first_name, relation),
        *(tilted[right] + first_slant, labels[right] + first_name),
    ]
    return torch.cat([x[left], x[right]], dim=-1), torch.stack(columns, dim=1)


#: What is asked for: rows of (slant, name, slant, name), the two names never the same.
Asked = Tensor


def asked_for(held_out: bool, count: int) -> Asked:
    """Captions for a test, as numbers: all pairs as often as each other, slants at random."""
    pairs = [
        pair
        for pair in product(range(10), repeat=2)
        if pair[0] != pair[1] and (pair in HELD_OUT) == held_out
    ]
    generator = torch.Generator().manual_seed(0)
    order = torch.cat(
        [torch.randperm(len(pairs), generator=generator) for _ in range(count // len(pairs) + 1)]
    )
    names = torch.tensor(pairs)[order[:count]]
    slants = torch.randint(2, (count, 2), generator=generator)
    return torch.stack([slants[:, 0], names[:, 0], slants[:, 1], names[:, 1]], dim=1)


def captions(asked: Asked) -> list[str]:
    """The captions of a test in words."""
    return [caption((a, b), (c, d)) for a, b, c, d in asked.tolist()]


def paint(model: WordsDiT, y: Tensor, noise: Tensor, scale: float = GUIDANCE) -> Tensor:
    """Canvases as latents (B, 8, 4, 8) for captions (B, 5), from noise of that shape."""
    return sample(guided(model, y, 0, scale), noise, FLOW, STEPS, predicts="velocity")


def noises(count: int, seed: int) -> Tensor:
    """Noise to begin with, (count, 8, 4, 8)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, CHANNELS, ROWS, COLUMNS, generator=generator)


@torch.no_grad()
def halves(z: Tensor) -> Tensor:
    """Canvases (B, 8, 4, 8) as pictures of their halves, (B, 2, 1, 32, 32)."""
    sides = torch.stack(z.chunk(2, dim=-1), dim=1)  # (B, 2, 8, 4, 4)
    return load_model(AUTOENCODER).from_latents(sides.flatten(0, 1)).unflatten(0, (-1, 2))


@torch.no_grad()
def read(pictures: Tensor) -> Tensor:
    """Slant and name of pictures (B, 1, 32, 32), by the rule of slants and the judge: (B, 2)."""
    names = judge()(pictures).argmax(dim=1)
    ink = ((pictures[:, 0, 2:-2, 2:-2].clamp(-1, 1) + 1) * 127.5).round().byte().numpy()
    ink[:, 14, 14] = ink[:, 14, 14].clip(1)  # an empty picture is upright
    slants = torch.from_numpy(slant(ink) >= TILTED).long()
    return torch.stack([slants, names], dim=1)


def seen(z: Tensor) -> Tensor:
    """What is read in a canvas: (B, 4), as `asked_for` has it."""
    return read(halves(z).flatten(0, 1)).reshape(-1, 4)


def binding(seen: Tensor, asked: Asked) -> dict[str, float]:
    """Shares of canvases: names as asked, names exchanged, and each digit with its own slant."""
    right = seen == asked
    names, slants = right[:, 1::2].all(dim=1), right[:, ::2].all(dim=1)
    exchanged = (seen[:, [3, 1]] == asked[:, 1::2]).all(dim=1)
    differ = asked[:, 0] != asked[:, 2]  # where slants can be exchanged
    slants_exchanged = (seen[:, [2, 0]] == asked[:, ::2]).all(dim=1)
    found = {
        "one": right[:, 1::2].double(),
        "both": names,
        "swapped": exchanged,
        "slants": slants[differ],
        "slants_swapped": slants_exchanged[differ],
        "all": names & slants,
    }
    return {key: round(value.double().mean().item(), 3) for key, value in found.items()}


# --- runs ---------------------------------------------------------------------------------------

TESTS = {"trained pairs": asked_for(False, 164), "held-out pairs": asked_for(True, 96)}


def train_words(recipe: Recipe, seed: int, way: str) -> WordsDiT:
    """A `WordsDiT` that has learned canvases by `velocity_loss`."""
    torch.manual_seed(seed)
    model = WordsDiT(way)
    Run(model, velocity_loss, canvases(CANVASES), recipe, seed).complete()
    return model


def words_run(recipe: Recipe, way: str, seed: int) -> dict[str, Any]:
    """What a way costs, and what its model paints of trained and of held-out pairs."""
    model = train_words(recipe, seed, way)
    result: dict[str, Any] = cost(way)
    for name, asked in TESTS.items():
        z = paint(model, encode(captions(asked)), noises(len(asked), seed))
        result[name] = binding(seen(z), asked)
        distance = frechet_distance(judge_features(halves(z).flatten(0, 1)), real_features("test"))
        result[name]["distance"] = round(distance, 1)
    return result


def ship_words(recipe: Recipe, way: str) -> tuple[WordsDiT, dict[str, Any]]:
    """A model that ships, and its card."""
    return train_words(recipe, 0, way), {"model": "WordsDiT", "arguments": {"way": way}}


def words_metrics(model: WordsDiT) -> dict[str, float]:
    """The `binding` of 82 canvases, one of each trained pair."""
    asked = TESTS["trained pairs"][:82]
    return binding(seen(paint(model, encode(captions(asked)), noises(len(asked), 0))), asked)


# --- what the figure shows ----------------------------------------------------------------------

SHOWN = {
    "pooled": "words-pooled",
    "cross-attention": "words-cross-attention",
    "two streams": "words-two-streams",
}
TIMES = (0.9, 0.6, 0.3)
MOST = 1.5  # the largest move that four bits can say


@torch.no_grad()
def moves(model: WordsDiT, z: Tensor, noise: Tensor, asked: Asked, time: float) -> Tensor:
    r"""$\lVert v(x_t, w) - v(x_t, w')\rVert / \sqrt 8$ at each token: (B, 4, 32).

    w' has one of the four telling words exchanged: the slant for the other, the name for the next.

    Args:
        model: its v.
        z: painted canvases (B, 8, 4, 8), noised to x_t.
        noise: the shape of z.
        asked: the captions w, (B, 4).
        time: t.
    """
    t = torch.full((len(z),), time)
    x = mix(FLOW, z, noise, t)

    def answer(asked: Asked) -> Tensor:
        return model(x, FLOW.told(t), encode(captions(asked))).flatten(2)  # (B, 8, 32)

    true, found = answer(asked), []
    for word, count in enumerate((2, 10, 2, 10)):
        other = asked.clone()
        other[:, word] = (other[:, word] + 1) % count
        found.append((answer(other) - true).square().mean(dim=1).sqrt())
    return torch.stack(found, dim=1)


def canvas_run(recipe: Recipe, way: str, left: int) -> dict[str, Any]:
    """What a shipped model paints for the 40 captions with this name on the left, in 4 bits.

    All start from one noise. For each caption, in the order of `itertools.product` over (slant,
    slant, name on the right): 256 numbers of the latent, in thirds, then 3 x 4 x 32 `moves`, a
    number for each of `TIMES`, word and token, in fifteenths of `MOST`; two to a byte.
    """
    model = load_model(SHOWN[way])
    asked = torch.tensor([(a, left, c, d) for a, c, d in product(range(2), range(2), range(10))])
    noise = noises(1, 0).expand(len(asked), -1, -1, -1)
    z = paint(model, encode(captions(asked)), noise)
    moved = torch.stack([moves(model, z, noise, asked, time) for time in TIMES], dim=1)
    levels = torch.cat([3 * z.flatten(1) + 7.5, 15 * moved.flatten(1) / MOST], dim=1)
    pairs = levels.round().clamp(0, 15).to(torch.uint8).unflatten(1, (-1, 2))
    packed = (pairs[..., 0] | pairs[..., 1] << 4).numpy().tobytes()
    return {"canvases": base64.b64encode(packed).decode()}


WORDS_COMPARISONS = {
    "words-comparison": Comparison(
        RECIPE,
        [{"way": way, "seed": seed} for seed, way in product(SEEDS, WAYS)],
        words_run,
        {"held_out": HELD_OUT, "canvases": CANVASES, "guidance": GUIDANCE, "steps": STEPS},
    ),
    "words-canvases": Comparison(
        RECIPE,
        [{"way": way, "left": left} for way, left in product(SHOWN, range(10))],
        canvas_run,
        {"times": TIMES, "most": MOST, "guidance": GUIDANCE, "steps": STEPS},
    ),
}
