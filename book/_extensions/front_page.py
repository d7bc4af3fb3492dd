"""Makes the ways into the chapters from the chapters themselves.

The front page has a card for each of _toc.yml, and one living figure; at its end each page says
which question the next one answers.

`book/index.md` says where they stand, by two comments.  A chapter's question and minutes are those
of its opening box, and its picture is the first of its figure's, taken from the notebook's output.
"""

import html
import io
import os
import re
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import yaml
from PIL import Image
from sphinx.application import Sphinx
from sphinx.errors import ConfigError

FIGURE_HERE = "% the figure of "
CARDS_HERE = "% a card for each chapter"
PICTURE_SIZE = (720, 480)  # twice what a card shows, for fine screens
QUESTION = re.compile(r"\*\*The question\.\*\*\s*(.+?)\n\s*\n", re.DOTALL)
MINUTES = re.compile(r"\*\*Time\*\*\D*(\d+) minutes")
ROLE = re.compile(r"\{\w+\}`([^`<]+?)\s*(?:<[^`]*>)?`")
LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
MARKUP = re.compile(r"[*`$]")  # what a question in Markdown has beyond its words


@dataclass(frozen=True)
class Chapter:
    """What a card says of a chapter, and the figure as the notebook holds it."""

    name: str  # notebooks/NN-stem
    title: str
    question: str
    minutes: str
    figure: str  # the figure's HTML, empty where the chapter has none
    picture: str  # its PNG in base 64

    @property
    def number(self) -> int:
        """The chapter's number, as its file says it."""
        return int(Path(self.name).name.split("-")[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Fills the front page in when Sphinx reads it, and the links to neighbours on every page."""
    app.connect("source-read", fill_front_page)
    app.connect("html-page-context", ask_in_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def read_chapter(book: Path, name: str) -> Chapter:
    """The chapter of a notebook; a chapter has a title, a question and its minutes."""
    notebook = nbformat.read(book / f"{name}.ipynb", 4)
    opening = notebook.cells[0].source
    question, minutes = QUESTION.search(opening), MINUTES.search(opening)
    if not (opening.startswith("# ") and question and minutes):
        raise ConfigError(f"{name} must open with its title, '**The question.**' and '**Time**'")
    outputs = [
        output.get("data", {})
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    ]
    shown = (d for d in outputs if "dit-figure" in d.get("text/html", "") and "image/png" in d)
    figure = next(shown, {})
    return Chapter(
        name=name,
        title=opening.splitlines()[0].removeprefix("# "),
        question=" ".join(LINK.sub(r"\1", ROLE.sub(r"\1", question[1])).split()),
        minutes=minutes[1],
        figure=figure.get("text/html", ""),
        picture=figure.get("image/png", ""),
    )


def parts(book: Path) -> dict[str, list[str]]:
    """The notebooks of each part of _toc.yml that has some."""
    toc = yaml.safe_load((book / "_toc.yml").read_text("utf8"))
    found = {
        part["caption"]: [
            entry["file"] for entry in part["chapters"] if entry["file"].startswith("notebooks/")
        ]
        for part in toc["parts"]
    }
    return {caption: names for caption, names in found.items() if names}


def card(chapter: Chapter, picture: str) -> str:
    """A chapter's card; its title is the one link, which book.css stretches over the card."""
    lines = [
        f"::::{{grid-item-card}} {{doc}}`{chapter.number} · {chapter.title} </{chapter.name}>`",
        ":class-card: chapter-card",
    ]
    if picture:
        alt = f"The figure of chapter {chapter.number}"
        lines += [f":img-top: {picture}", f":img-alt: {alt}"]
    footer = [":::{card-footer}", f"{chapter.minutes} minutes", ":::"]
    return "\n".join([*lines, "", chapter.question, "", *footer, "::::"])


def write_picture(chapter: Chapter, folder: Path) -> Path:
    """The small picture of the chapter's figure, as a file of the build."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"card-{Path(chapter.name).name}.png"
    with Image.open(io.BytesIO(b64decode(chapter.picture))) as picture:
        picture.thumbnail(PICTURE_SIZE)
        picture.save(path, optimize=True)
    return path


def fill_front_page(app: Sphinx, docname: str, source: list[str]) -> None:
    """Puts the cards and the figure where the front page asks for them."""
    if docname != app.config.root_doc:
        return
    book = Path(app.srcdir)
    pictures = Path(app.outdir).parent / "cards"
    sections, figures = [], {}
    app.env.note_dependency(book / "_toc.yml")
    for caption, names in parts(book).items():
        cards = []
        for name in names:
            app.env.note_dependency(book / f"{name}.ipynb")
            chapter = read_chapter(book, name)
            figures[name] = chapter.figure
            address = ""
            if chapter.picture:
                path = write_picture(chapter, pictures)
                address = "/" + os.path.relpath(path, book)
            cards.append(card(chapter, address))
        grid = ":::::{grid} 1 2 2 3\n:gutter: 3\n:class-container: chapter-cards"
        sections.append(f"### {caption}\n\n{grid}\n\n" + "\n\n".join(cards) + "\n\n:::::")
    lines = []
    for line in source[0].splitlines():
        if line == CARDS_HERE:
            line = "\n\n".join(sections)
        elif line.startswith(FIGURE_HERE):
            line = "```{raw} html\n" + figures[line.removeprefix(FIGURE_HERE)] + "\n```"
        lines.append(line)
    source[0] = "\n".join(lines) + "\n"


def ask_in_links(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Adds the question of the chapter before and after to the links at the end of a page."""
    relations = getattr(app.builder, "relations", {}).get(pagename, [None, None, None])
    for side, name in zip(("prev", "next"), relations[1:], strict=True):
        if name and name.startswith("notebooks/"):
            chapter = read_chapter(Path(app.srcdir), name)
            question = html.escape(MARKUP.sub("", chapter.question))
            context[f"{side}_title"] = (
                f'{chapter.number} · {chapter.title}<span class="question">{question}</span>'
            )
