"""Weights that a page and a kernel hand to each other."""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import asdict, replace
from typing import Any

import torch
import traitlets
from safetensors.torch import load, save

from dit_lesson.experiments.recipes import DIGITS_DIT
from dit_lesson.figures.training_assets import DIT, dit
from dit_lesson.models import DiT, DiTConfig
from dit_lesson.validation import one_of, require

WIDTHS = (64, 32)


def begun(config: DiTConfig) -> dict[str, Any]:
    """The choices with which a run begins at given weights: no other start is asked for."""
    sizes = {"conditioning": config.conditioning, "hidden_size": config.hidden_size}
    return sizes | {"embedding_init": "unit", "modulation": "zero"}


def to_page(model: DiT | None, _: Any) -> dict[str, Any] | None:
    """A model as the page takes it: the choices, and its tensors as a file."""
    if model is None:
        return None
    tensors = {name: value.float().cpu() for name, value in model.state_dict().items()}
    return begun(model.config) | {"bytes": save(tensors)}


def from_page(sent: dict[str, Any] | None, _: Any) -> DiT | None:
    """A model as the page gives it."""
    if sent is None:
        return None
    sizes = {name: sent[name] for name in ("conditioning", "hidden_size")}
    with torch.random.fork_rng(devices=[]):  # a message must not move the reader's generator
        model = DiT(replace(DIGITS_DIT, **sizes))
    model.load_state_dict(load(bytes(sent["bytes"])))
    return model.eval()


def handed() -> traitlets.Instance:
    """A model, or None, that page and kernel hand to each other; no notebook holds it."""
    trait = traitlets.Instance(DiT, allow_none=True)
    return trait.tag(sync=True, echo_update=False, to_json=to_page, from_json=from_page)


def require_own(figure: str, name: str, model: DiT | None, free: Iterable[str]) -> DiT | None:
    """A copy, if the model differs from the page's own only in the fields that are free."""
    if model is None:
        return None
    came, own = asdict(model.config), asdict(DIGITS_DIT)
    one_of(figure, WIDTHS, **{f"{name}'s hidden_size": came["hidden_size"]})
    for field in sorted(own.keys() - set(free)):
        require(
            came[field] == own[field],
            f"{figure}: {name}'s {field} is {came[field]}, expected {own[field]}",
        )
    return deepcopy(model)


class OwnWeights(traitlets.HasTraits):
    """For a figure that shows the trained DiT: a choice between the book's weights and yours.

    Yours are those of `own`, or on a page without it those kept in the browser (chapter 13).
    """

    weights = traitlets.Enum(("the book's", "yours"), "the book's").tag(sync=True, choice=True)
    own = handed()

    @traitlets.validate("own")
    def _require_own(self, proposal: Any) -> DiT | None:
        return require_own(type(self).__name__, "own", proposal["value"], ["hidden_size"])

    def _yours(self) -> DiT | None:
        return self.own if self.weights == "yours" else None

    def model(self) -> DiT:
        """The chosen one, in double precision: the book's where there is no other."""
        yours = self._yours()
        return dit(DIT) if yours is None else deepcopy(yours).double().eval()

    def whose(self) -> str:
        """What a summary says of the weights: nothing of the book's."""
        return "" if self._yours() is None else ", by your own weights"
