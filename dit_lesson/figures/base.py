"""The base of all interactive figures: one output that serves every host.

A figure is a file ``name.py`` with a subclass of `Figure` and a file ``name.mjs`` beside it that
exports ``default { render({ model, el }) }``, the anywidget contract.  With a kernel it is a
widget whose traits and controls move together.  Its output in a notebook holds its name, its
state, its picture and its caption; the book's pages bring the code, and without JavaScript the
picture stays.
"""

import base64
import html
import importlib
import inspect
import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import matplotlib.figure
import traitlets

from dit_lesson.figures.linking import link, link_file

HERE = Path(__file__).parent
#: The four designs as the book writes them.
DESIGN_NAMES = {
    "in-context": "in-context",
    "cross-attention": "cross-attention",
    "adaln": "adaLN",
    "adaln-zero": "adaLN-Zero",
}
FIGURE_NAMES = sorted(path.stem for path in HERE.glob("*.mjs") if path.stem != "ui")


class Figure(anywidget.AnyWidget):
    """An interactive figure: subclasses add traits, `caption`, `stages`, `summary`, `picture`."""

    caption: ClassVar[str]
    stem: ClassVar[str]
    #: a module of this folder that works beside the page; it is loaded as an asset is
    worker: ClassVar[str] = ""
    _count: ClassVar[Iterator[int]]
    _css = (HERE / "figures.css").read_text(encoding="utf-8")
    # what the page is given besides the choices: constants, first state, ranges, assets
    given = traitlets.Dict().tag(sync=True)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Take the module that lies beside the subclass's file, and sync the subclass's traits."""
        super().__init_subclass__(**kwargs)
        if "_esm" in cls.__dict__:  # the subclass that anywidget derives for each instance
            return
        source = Path(inspect.getfile(cls)).with_suffix(".mjs")
        cls.stem = source.stem
        cls._esm = link_file(source)
        cls._count = itertools.count(1)
        for trait in vars(cls).values():
            # what has tags of its own goes between page and kernel, and is no choice
            if isinstance(trait, traitlets.TraitType) and "sync" not in trait.metadata:
                trait.tag(sync=True, choice=True)

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self._id = f"figure-{self.stem.replace('_', '-')}-{next(self._count)}"
        self.given = {
            "start": self.choices(),
            "domains": {name: domain(trait) for name, trait in self.traits(choice=True).items()},
            "assets": {name: len(content) for name, content in self.assets().items()},
            **self.constants(),
        }
        self.on_msg(self._send_asset)

    @classmethod
    def constants(cls) -> dict[str, Any]:
        """What `stages` needs besides the choices, on the page as in Python."""
        return {}

    @classmethod
    def assets(cls) -> dict[str, bytes]:
        """What is too large for the page and loaded when asked: packed tensors, or other bytes."""
        return {}

    @classmethod
    def files(cls) -> dict[str, bytes]:
        """All that is loaded when asked for: the assets, and the worker's program."""
        program = {"worker": link_file(HERE / cls.worker).encode()} if cls.worker else {}
        return {**cls.assets(), **program}

    def choices(self) -> dict[str, Any]:
        """The traits that controls change, with their present values."""
        return {name: getattr(self, name) for name in sorted(self.trait_names(choice=True))}

    def stages(self) -> dict[str, Any]:
        """All that the figure shows, by the names that `stages` of its module uses."""
        raise NotImplementedError

    def summary(self) -> str:
        """What the figure shows in its present state, in one sentence with its numbers."""
        raise NotImplementedError

    def picture(self) -> matplotlib.figure.Figure:
        """The present state as a static picture."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """All that the module reads."""
        return {"given": self.given, **self.choices()}

    def __repr__(self) -> str:
        """The summary: stable between runs, and what a screen reader reads."""
        return self.summary()

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        widget, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        png = self._png()
        return {**widget, "text/html": self._html(png), "image/png": png}, metadata

    def _png(self) -> str:
        buffer = io.BytesIO()
        # without the version, pictures differ only where they look different
        self.picture().savefig(buffer, format="png", dpi=144, metadata={"Software": None})
        return base64.b64encode(buffer.getvalue()).decode()

    def _html(self, png: str) -> str:
        state = json.dumps(self.state()).replace("</", r"<\/")
        return (
            f'<div class="dit-figure" id="{self._id}" data-figure="{self.stem}">\n<figure>\n'
            f'<img alt="{html.escape(self.summary())}" src="data:image/png;base64,{png}">\n'
            f"<figcaption>{html.escape(self.caption)}</figcaption>\n</figure>\n"
            f'<script type="application/json">{state}</script>\n</div>'
        )

    def _send_asset(self, _: Any, content: dict[str, str], __: Any) -> None:
        name = content["asset"]
        self.send({"asset": name}, buffers=[self.files()[name]])


def domain(trait: traitlets.TraitType) -> dict[str, Any]:
    """What a control may set a trait to."""
    if isinstance(trait, traitlets.Enum):
        return {"options": list(trait.values or ())}
    if isinstance(trait, traitlets.Int | traitlets.Float):
        return {"min": trait.min, "max": trait.max}
    return {}  # a list, which only buttons set


def figure_class(name: str) -> type[Figure]:
    """The figure that a file of this folder holds, by the file's name."""
    module = importlib.import_module(f"dit_lesson.figures.{name}")
    (found,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Figure) and value is not Figure
    )
    return found


def page_script(figure: type[Figure]) -> str:
    """The classic script that draws all figures of this class on the page that has it."""
    entry = (
        f'import figure from "./{figure.stem}.mjs";\n'
        'import { takeOver } from "./ui/page.mjs";\n'
        f'takeOver("{figure.stem}", figure);\n'
    )
    folder = Path(inspect.getfile(figure)).parent
    return f"(() => {{\n{link(entry, folder)}}})();\n"


def asset_script(figure: type[Figure], name: str) -> str:
    """A file as a classic script, which a page from disk may load where it may not fetch."""
    text = base64.b64encode(figure.files()[name]).decode()
    return (
        f'(globalThis.ditAssets ??= {{}})["{figure.stem}-{name}"] = '
        f'Uint8Array.from(atob("{text}"), (byte) => byte.charCodeAt(0));\n'
    )
