"""Chapter 19: a digit painted column by column, with some columns of look-ahead."""

from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from dit_lesson.attention import SelfAttention
from dit_lesson.blocks import AdaLNFinalLayer, AdaLNZeroBlock
from dit_lesson.checkpoints import load_model
from dit_lesson.embeddings import LabelEmbedder, TimestepEmbedder
from dit_lesson.experiments import Comparison
from dit_lesson.experiments.judging import judged_images
from dit_lesson.experiments.recipes import FLOW, latents, velocity_loss
from dit_lesson.sampling import guided, sample
from dit_lesson.training import Recipe, Run
from dit_lesson.validation import shapes, within

AUTOENCODER = "autoencoder-8x8x4"
CHANNELS, ROWS, COLUMNS = 4, 8, 8
NULL = 10
LOOK_AHEAD = (0, 1, 2, 3, COLUMNS - 1)  # the last sees all
LOOKING = 1  # the block that looks ahead
SEEDS = (1, 2, 3)  # the rate was chosen with seed 0
RECIPE = Recipe(1500, batch_size=32, learning_rate=1e-2, ema_decay=0.995)
SAMPLES, GUIDANCE, STEPS = 500, 2.0, 10


class WindowedAttention(SelfAttention):
    """`SelfAttention` where token i looks at token j only if ``allowed[i, j]``."""

    allowed: Tensor

    def __init__(self, hidden_size: int, num_heads: int, allowed: Tensor):
        super().__init__(hidden_size, num_heads)
        self.register_buffer("allowed", allowed)

    def forward(self, x: Tensor) -> Tensor:
        """What every token collects from those that it may see, (B, N, D)."""
        allowed = self.allowed[: x.shape[1], : x.shape[1]]
        heads = scaled_dot_product_attention(*self.heads(x), attn_mask=allowed)
        return self.proj(heads.transpose(1, 2).flatten(2))


class ColumnDiT(nn.Module):
    r"""$v_\theta(x_t, t, y)$ of a latent whose columns are tokens, in the order of time.

    Every block lets a column see itself and all before it. One block also looks ahead.

    Args:
        look_ahead: by how many columns.
        hidden_size: D, the width of a token.
        depth: how many blocks.
        num_heads: of each attention layer.
    forward(x, t, y, generator): x (B, 4, 8, n), the first n of 8 columns, t (B,), y (B,) ->
    (B, 4, 8, n).
    Raises: ValueError if the shape of an input does not fit.
    Source: the speech decoder of Qwen2.5-Omni, where one block of 22 looks ahead.
    """

    def __init__(self, look_ahead: int, hidden_size: int = 64, depth: int = 3, num_heads: int = 4):
        super().__init__()
        within("ColumnDiT", 0, COLUMNS - 1, look_ahead=look_ahead)
        self.x_embedder = nn.Linear(CHANNELS * ROWS, hidden_size)
        self.pos_embed = nn.Parameter(torch.randn(COLUMNS, hidden_size))
        self.t_embedder = TimestepEmbedder(hidden_size)
        self.y_embedder = LabelEmbedder(10, hidden_size)
        nn.init.normal_(self.y_embedder.embedding_table.weight)
        self.blocks = nn.ModuleList(AdaLNZeroBlock(hidden_size, num_heads) for _ in range(depth))
        column = torch.arange(COLUMNS)
        ahead = column[None] - column[:, None]  # (i, j): how far j lies ahead of i
        for number, block in enumerate(self.blocks):
            allowed = ahead <= (look_ahead if number == LOOKING else 0)
            block.attn = WindowedAttention(hidden_size, num_heads, allowed)
        self.final_layer = AdaLNFinalLayer(hidden_size, CHANNELS * ROWS, zero_init=True)
        nn.init.zeros_(self.final_layer.linear.weight)

    def forward(
        self, x: Tensor, t: Tensor, y: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """The predicted velocity of the columns that are there."""
        shapes("ColumnDiT", x=(x, f"B {CHANNELS} {ROWS} n"), t=(t, "B"), y=(y, "B"))
        tokens = self.x_embedder(x.flatten(1, 2).mT)  # (B, n, D)
        tokens = tokens + self.pos_embed[: x.shape[-1]]
        c = self.t_embedder(t) + self.y_embedder(y, generator)[:, 0]  # (B, D)
        for block in self.blocks:
            tokens = block(tokens, c)
        return self.final_layer(tokens, c).mT.reshape(x.shape)


def streamed(paint: Callable[[Tensor], Tensor], noise: Tensor, look_ahead: int) -> Tensor:
    """A digit of which column i is painted when the noise of column i + look_ahead is there.

    For every column all that is there is painted, and of it that column is kept.

    Args:
        paint: from the noise of the first columns, (B, C, H, n), to their latents.
        noise: of all columns, (B, C, H, W).
        look_ahead: how many columns beyond it are waited for.
    Returns: (B, C, H, W).
    """
    width = noise.shape[-1]
    columns = [paint(noise[..., : min(i + look_ahead + 1, width)])[..., i] for i in range(width)]
    return torch.stack(columns, dim=-1)


def streaming_run(recipe: Recipe, look_ahead: int, seed: int) -> dict[str, Any]:
    """What a model paints from all columns at once, and from those that are there."""
    torch.manual_seed(seed)
    model = ColumnDiT(look_ahead)
    Run(model, velocity_loss, latents(AUTOENCODER)["train"], recipe, seed).complete()
    asked = torch.arange(SAMPLES) % 10
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(SAMPLES, CHANNELS, ROWS, COLUMNS, generator=generator)
    answer = guided(model, asked, NULL, GUIDANCE)

    def paint(noise: Tensor) -> Tensor:
        return sample(answer, noise, FLOW, STEPS, predicts="velocity")

    result: dict[str, Any] = {}
    for name, z in (("whole", paint(noise)), ("streamed", streamed(paint, noise, look_ahead))):
        with torch.no_grad():
            images = load_model(AUTOENCODER).from_latents(z).clamp(-1, 1)
        result[name] = judged_images(images, asked)
    return result


STREAMING_COMPARISONS = {
    "streaming-comparison": Comparison(
        RECIPE,
        [{"look_ahead": n, "seed": seed} for seed, n in product(SEEDS, LOOK_AHEAD)],
        streaming_run,
        {"samples": SAMPLES, "guidance": GUIDANCE, "steps": STEPS},
    ),
}
