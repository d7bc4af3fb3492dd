"""Chapter 19's figure: one digit painted twice, by masks and by noise, step by step."""

from functools import cache
from typing import Any, ClassVar, cast

import matplotlib.figure
import torch
import traitlets
from torch import Tensor

from dit_lesson import plots
from dit_lesson.diffusion import Straight
from dit_lesson.experiments.masking import CODES, NULL, SIDE, STEPS, codes, hidden_tokens
from dit_lesson.figures.assets import packed, unpacked
from dit_lesson.figures.base import Figure
from dit_lesson.figures.training_assets import decoder, dit, packed_decoder, packed_dit
from dit_lesson.masking import ORDERS, Order, from_tokens, unmask
from dit_lesson.sampling import guided, walk

SEEDS, PLACES, PICTURE = 4, SIDE * SIDE, 32


class OmniModelsFigure(Figure):
    """One digit in ``steps`` by a masked model and by a DiT; ``at`` is the step that is shown."""

    caption: ClassVar[str] = (
        "One digit, painted twice by the same class of model: once its tokens are hidden and "
        "shown, once its numbers are noisy and cleaned. Of each you see what is there, the mean of "
        "what the model expects, and the tokens that the last step has changed."
    )

    digit = traitlets.Int(5, min=0, max=9)
    guidance = traitlets.Float(2.0, min=0, max=4)
    steps = traitlets.Enum(STEPS, STEPS[-1])
    at = traitlets.Int(6, min=0, max=STEPS[-1])
    order = traitlets.Enum(ORDERS, "confidence")
    seed = traitlets.Int(0, min=0, max=SEEDS - 1)

    @classmethod
    def constants(cls) -> dict[str, Any]:
        """How many codes there are."""
        return {"codes": CODES}

    @classmethod
    def assets(cls) -> dict[str, bytes]:
        """Both models, the codes, the decoder, and what each seed draws."""
        return {
            "masked": packed_dit("masked-dit"),
            "dit": packed_dit("digits-dit"),
            "decoder": packed_decoder(),
            "drawn": _drawn_bytes(),
        }

    @torch.no_grad()
    def stages(self) -> dict[str, Any]:
        """Of both: what is there, what is expected, and what the last step has changed."""
        at = min(self.at, self.steps)
        tokens, expected, before = self._masks(at)
        x, x0, x_before = self._noise(at)
        shown = codes_on_page()
        z = torch.cat([from_tokens(tokens, shown), expected, x, x0])
        pictures = decoder().from_latents(z)[:, 0].numpy()
        moved = (x - x_before).square().mean(dim=1).sqrt()
        return {
            "step": at,
            "tokens": tokens.flatten().numpy(),
            "pictures": pictures,
            "changed": torch.cat([(tokens != before).double(), moved]).numpy(),
        }

    def _masks(self, at: int) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens (1, 4, 4) after a step, the mean latent that is expected, the tokens before."""
        asked: list[Tensor] = []
        answer = guided(dit("masked-dit"), torch.tensor([self.digit]), NULL, self.guidance)

        def watched(x: Tensor, t: Tensor) -> Tensor:
            asked.append(answer(x.double(), t))
            return asked[-1]

        drawn = unpacked(_drawn_bytes())
        noise = torch.stack([drawn["draws"][self.seed], drawn["places"][self.seed]], dim=1)
        noise = noise[: self.steps].reshape(self.steps, 2, 1, SIDE, SIDE)
        path = [hidden_tokens(1)]
        path += unmask(watched, path[0], CODES, noise, cast(Order, self.order))
        shown = codes_on_page()
        z = from_tokens(path[at], shown)
        if at < self.steps:
            p = asked[at][:, :-1].softmax(dim=1)  # (1, K, 4, 4)
            mean = torch.einsum("bkij,kc->bcij", p, shown)
            z = torch.where((path[at] == CODES)[:, None], mean, z)
        return path[at], z, path[max(0, at - 1)]

    def _noise(self, at: int) -> tuple[Tensor, Tensor, Tensor]:
        """x after a step, the data that is expected in it, and x before."""
        asked: list[Tensor] = []
        answer = guided(dit("digits-dit"), torch.tensor([self.digit]), NULL, self.guidance)

        def watched(x: Tensor, t: Tensor) -> Tensor:
            velocity = answer(x, t)
            asked.append(x - t[:, None, None, None] / 1000 * velocity)
            return velocity

        noise = unpacked(_drawn_bytes())["noise"][self.seed].reshape(1, 8, SIDE, SIDE)
        path = [noise, *walk(watched, noise, Straight(), self.steps, predicts="velocity")]
        return path[at], [*asked, path[-1]][at], path[max(0, at - 1)]

    def summary(self) -> str:
        """Where both walks are."""
        now = self.stages()
        hidden = int((now["tokens"] == CODES).sum())
        return (
            f"A {self.digit}, step {now['step']} of {self.steps}. Masks, {self.order} order: "
            f"{PLACES - hidden} tokens are there and stay, {hidden} are hidden. Noise: the last "
            f"step has moved the 16 tokens by {now['changed'][1].mean():.2f} on average."
        )

    def picture(self) -> matplotlib.figure.Figure:
        """The pictures of both walks."""
        now = self.stages()
        titles = ["masks: what is there", "what is expected", "noise: what is there"]
        return plots.ink_rows([list(now["pictures"])], [*titles, "what is expected"])


@cache
def _drawn_bytes() -> bytes:
    """The codes; for each seed numbers from 0 to 1, orders of the tokens, and a noise."""
    generator = torch.Generator().manual_seed(0)
    shape = (SEEDS, STEPS[-1], PLACES)
    draws = torch.rand(shape, generator=generator).clamp(max=0.9995)  # below 1 in 16 bits
    places = torch.rand(shape, generator=generator).argsort(dim=-1).to(torch.uint8)
    noise = torch.randn(SEEDS, 8 * PLACES, generator=generator)
    return packed({"codes": codes(), "draws": draws, "places": places, "noise": noise})


def codes_on_page() -> Tensor:
    """The codes as the page has them, (K, 8)."""
    return unpacked(_drawn_bytes())["codes"]
