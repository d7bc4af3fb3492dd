"""The base of all interactive figures: one output that serves every host.

A figure is a file ``name.py`` with a subclass of `Figure` and a file ``name.mjs``
beside it that exports ``default { render({ model, el }) }``, the anywidget contract.
With a kernel it is a widget whose traits and controls move together; on a rendered
page its module runs by itself; without JavaScript it is a picture.
"""

import base64
import html
import inspect
import io
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import matplotlib.figure

HERE = Path(__file__).parent
STYLE = (HERE / "figures.css").read_text(encoding="utf-8")
IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([\w-]+)\.mjs";$', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|class) (\w+))", re.MULTILINE)


def bundle(path: Path) -> str:
    """One self-contained module out of a figure's module and the modules it imports.

    A page opened from disk refuses to import files, and a widget is sent as one text.
    Each imported module becomes a block that returns its exports, so that no two names
    can collide.  Imports have the form ``import { a, b } from "./module.mjs";``.
    """
    blocks: dict[str, str] = {}

    def inline(module: Path) -> str:
        def use(match: re.Match[str]) -> str:
            names, stem = match.groups()
            if stem not in blocks:
                code = inline(module.with_name(f"{stem}.mjs"))
                exports = ", ".join(EXPORT.findall(code))
                blocks[stem] = (
                    f"const {stem}Module = (() => {{\n{EXPORT.sub('', code)}"
                    f"return {{ {exports} }};\n}})();\n"
                )
            return f"const {{{names}}} = {stem}Module;"

        return IMPORT.sub(use, module.read_text(encoding="utf-8"))

    body = inline(path)
    return "".join(blocks.values()) + body


class Figure(anywidget.AnyWidget):
    """An interactive figure: subclasses add traits, `caption`, `summary` and `picture`."""

    caption: ClassVar[str]
    _css = STYLE
    _count: ClassVar[Iterator[int]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Take the ES module that lies beside the subclass's file and has its name."""
        super().__init_subclass__(**kwargs)
        if "_esm" in cls.__dict__:  # the subclass that anywidget derives for each instance
            return
        source = Path(inspect.getfile(cls))
        cls._esm = bundle(source.with_suffix(".mjs"))
        cls._count = itertools.count(1)
        cls._name = source.stem.replace("_", "-")

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self._id = f"figure-{self._name}-{next(self._count)}"

    def summary(self) -> str:
        """What the figure shows in its present state, in one sentence with its numbers."""
        raise NotImplementedError

    def picture(self) -> matplotlib.figure.Figure:
        """The present state as a static picture."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """The figure's own traits, the state that its module reads."""
        return {name: getattr(self, name) for name in sorted(self.trait_names(figure=True))}

    def __repr__(self) -> str:
        """The summary: stable between runs, and what a screen reader reads."""
        return self.summary()

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        widget, metadata = super()._repr_mimebundle_(**kwargs)
        png = self._png()
        return {**widget, "text/html": self._html(png), "image/png": png}, metadata

    def _png(self) -> str:
        buffer = io.BytesIO()
        # without the version, pictures differ only where they look different
        self.picture().savefig(buffer, format="png", dpi=144, metadata={"Software": None})
        return base64.b64encode(buffer.getvalue()).decode()

    def _html(self, png: str) -> str:
        """The page's own figure: the picture, and the module that takes its place."""
        state = json.dumps(self.state(), sort_keys=True).replace("</", r"<\/")
        figure = self._esm.replace("export default", "return")
        figure = EXPORT.sub("", figure)
        return (
            f'<div class="dit-figure" id="{self._id}">\n<style>\n{STYLE}</style>\n<figure>\n'
            f'<img alt="{html.escape(self.summary())}" src="data:image/png;base64,{png}">\n'
            f"<figcaption>{html.escape(self.caption)}</figcaption>\n</figure>\n"
            f'<script type="module">\n{bundle(HERE / "page.mjs")}\n'
            f"const figure = (() => {{\n{figure}}})();\n"
            f'takeOver(document.getElementById("{self._id}"), figure, {state});\n'
            "</script>\n</div>"
        )
