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

SEEDS, PLACES, SAYS = 4, SIDE * SIDE, 5


class OmniModelsFigure(Figure):
    """One digit in ``steps`` by a masked model and by a DiT; ``at`` is the step that is shown.

    "by hand" the tokens come in the order of ``chosen``, one a step, and the step that is shown is
    the last of them. The model is asked about the next hidden token from ``place`` on.
    """

    caption: ClassVar[str] = (
        "One digit, painted twice by the same class of model: once its tokens are hidden and "
        "shown, once its numbers are noisy and cleaned. Of each you see what is there, the mean of "
        "what the model expects, and the tokens that the last step has changed."
    )

    digit = traitlets.Int(5, min=0, max=9)
    guidance = traitlets.Float(2.0, min=0, max=4)
    steps = traitlets.Enum(STEPS, STEPS[-1])
    at = traitlets.Int(6, min=0, max=STEPS[-1])
    order = traitlets.Enum((*ORDERS, "by hand"), "confidence")
    chosen = traitlets.List(traitlets.Int(min=0, max=PLACES - 1))
    place = traitlets.Int(9, min=0, max=PLACES - 1)
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

    def walked(self) -> tuple[int, int]:
        """The steps of the walk, and the one that is shown."""
        if self.order == "by hand":
            return PLACES, len(self.chosen)
        return self.steps, min(self.at, self.steps)

    @torch.no_grad()
    def stages(self) -> dict[str, Any]:
        """Of both: what is there, what is expected, and what the last step has changed.

        Of a hidden token: which codes are likeliest, and what each of them would look like.
        """
        at = self.walked()[1]
        path, p = self._masks()
        tokens, before = path[at], path[max(0, at - 1)]
        x, x0, x_before = self._noise()
        codes = codes_on_page()
        hidden = (tokens == CODES)[:, None]
        mean = torch.einsum("bkij,kc->bcij", p[at], codes)
        expected = torch.where(hidden, mean, from_tokens(tokens, codes))
        asked, likeliest, says = -1, torch.zeros(SAYS), expected.repeat(SAYS, 1, 1, 1)
        if hidden.any():
            places = hidden.flatten().nonzero().flatten().tolist()
            asked = next((place for place in places if place >= self.place), places[0])
            likeliest, best = p[at][0].flatten(1)[:, asked].topk(SAYS)
            says.flatten(2)[:, :, asked] = codes[best]
        z = torch.cat([from_tokens(tokens, codes), expected, x, x0, says])
        pictures = decoder().from_latents(z)[:, 0].numpy()
        moved = (x - x_before).square().mean(dim=1).sqrt()
        steps = zip(path[:at], path[1:], strict=False)
        return {
            "step": at,
            "tokens": tokens.flatten().numpy(),
            "pictures": pictures[:-SAYS],
            "changed": torch.cat([(tokens != before).double(), moved]).numpy(),
            "shown": [n for a, b in steps for n in (a != b).flatten().nonzero().flatten().tolist()],
            "asked": asked,
            "likeliest": likeliest.numpy(),
            "says": pictures[-SAYS:],
        }

    def _masks(self) -> tuple[list[Tensor], list[Tensor]]:
        """Tokens (1, 4, 4) before the first step and after each; p (1, K, 4, 4) of each of them."""
        asked: list[Tensor] = []
        answer = guided(dit("masked-dit"), torch.tensor([self.digit]), NULL, self.guidance)

        def watched(x: Tensor, t: Tensor) -> Tensor:
            logits = answer(x.double(), t)
            asked.append(logits[:, :-1].softmax(dim=1))
            return logits

        steps, drawn = self.walked()[0], unpacked(_drawn_bytes())
        places, order = drawn["places"][self.seed], self.order
        if order == "by hand":
            last = [place for place in range(PLACES) if place not in self.chosen]
            ranks = PLACES - torch.tensor([*self.chosen, *last]).argsort()
            places, order = ranks.expand(PLACES, -1), "random"
        noise = torch.stack([drawn["draws"][self.seed], places], dim=1)[:steps]
        noise = noise.reshape(steps, 2, 1, SIDE, SIDE)
        path = [hidden_tokens(1)]
        path += unmask(watched, path[0], CODES, noise, cast(Order, order))
        return path, [*asked, asked[-1]]  # after the last step nothing is hidden

    def _noise(self) -> tuple[Tensor, Tensor, Tensor]:
        """x after the step, the data that is expected in it, and x before."""
        asked: list[Tensor] = []
        answer = guided(dit("digits-dit"), torch.tensor([self.digit]), NULL, self.guidance)

        def watched(x: Tensor, t: Tensor) -> Tensor:
            velocity = answer(x, t)
            asked.append(x - t[:, None, None, None] / 1000 * velocity)
            return velocity

        noise = unpacked(_drawn_bytes())["noise"][self.seed].reshape(1, 8, SIDE, SIDE)
        steps, at = self.walked()
        path = [noise, *walk(watched, noise, Straight(), steps, predicts="velocity")]
        return path[at], [*asked, path[-1]][at], path[max(0, at - 1)]

    def summary(self) -> str:
        """Where both walks are."""
        now, steps = self.stages(), self.walked()[0]
        hidden = int((now["tokens"] == CODES).sum())
        there = PLACES - hidden
        return (
            f"A {self.digit}, step {now['step']} of {steps}. Masks, {self.order}: {there} "
            f"{'token is there and stays' if there == 1 else 'tokens are there and stay'}, "
            f"{hidden} {'is' if hidden == 1 else 'are'} hidden. Noise: the last "
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
