"""Makes the theme's pages self-contained, light and accessible.

Jupyter Book and its theme load an icon font, a live-code loader and half a dozen scripts on every
page.  This extension replaces what the book needs (icons, folded blocks, mathematics) by something
smaller that is served with the book, and leaves out the rest.  `tests/test_pages.py` holds the
pages to it.
"""

import hashlib
import html
import math
import os
import re
import shutil
import struct
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup, Tag
from mathematics import FONTS, Typesetter, typeset
from PIL import Image
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError
from sphinx_design.icons import get_octicon

from dit_lesson import plots
from dit_lesson.figures.base import (
    FIGURE_NAMES,
    HERE,
    Figure,
    asset_script,
    figure_class,
    page_script,
)

# thebe needs a server and loads itself from elsewhere; <details> folds without a script; formulas
# are set when the book is built
UNUSED_EXTENSIONS = (
    "sphinx_thebe",
    "sphinx_togglebutton",
    "sphinx_comments",
    "sphinx.ext.mathjax",
)
UNUSED_FILES = re.compile(r"fontawesome|thebe|togglebutton|exercise\.css")
SMALLEST_TEXT = 12  # px, on a phone
#: The branch to which the publishing workflow pushes what `tools/colab.py` makes.
COPIES = "colab"
UNUSED_OUTPUT = ("**/*.map", "scripts/fontawesome.*", "vendor", "*macros.html", "locales")
#: A line of a printed table: words or numbers with two spaces or more between them.
COLUMNS = re.compile(r"^.*\S {2,}\S.*$", re.MULTILINE)
#: The page at the book's address, which leads to its front page.
ENTRY = """<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="0; url={front}">
<title>{title}</title>
<link rel="icon" href="_static/{icon}">
</head>
<body><p><a href="{front}">{title}</a></p></body>
</html>
"""
WORD = re.compile(r"[\w-]+")
CLASS = re.compile(r"\.(-?[A-Za-z_](?:[\w-]|\\.)*)")
SELECTOR_COMMA = re.compile(r",(?![^(\[]*[)\]])")
BRACE = re.compile(r"[{}]")
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
#: The theme's icons by the names of GitHub's, which Sphinx Design brings.
OCTICONS = {
    "magnifying-glass": "search",
    "sun": "sun",
    "moon": "moon",
    "circle-half-stroke": "device-desktop",
    "bars": "three-bars",
    "list": "list-unordered",
    "outdent": "sidebar-collapse",
    "expand": "screen-full",
    "download": "download",
    "code": "code",
    "file": "file",
    "file-pdf": "file",
    "angle-left": "chevron-left",
    "angle-right": "chevron-right",
    "chevron-down": "chevron-down",
    "chevron-right": "chevron-right",
    "arrow-up": "arrow-up",
    "rocket": "rocket",
    "github": "mark-github",
    "lightbulb": "light-bulb",
}


def setup(app: Sphinx) -> dict[str, Any]:
    """Connects the steps below to Sphinx."""
    for listeners in app.events.listeners.values():
        listeners[:] = [
            listener
            for listener in listeners
            if not listener.handler.__module__.startswith(UNUSED_EXTENSIONS)
        ]
    own = Path(__file__).parents[1]
    sources = [*own.glob("_extensions/*.*"), *own.glob("_static/*"), *HERE.rglob("*.mjs")]
    sources += HERE.glob("*.*")
    code = b"".join(path.read_bytes() for path in sorted(sources))
    # Sphinx writes every page anew when this changes
    app.add_config_value("book_site_version", hashlib.sha256(code).hexdigest(), "html")
    app.connect("config-inited", set_theme_options)
    app.connect("builder-inited", repair_every_page)
    app.connect("html-page-context", drop_unused_files, priority=900)
    app.connect("build-finished", finish_static_files)
    # one process sets the formulas of all pages
    return {"parallel_read_safe": True, "parallel_write_safe": False}


def set_theme_options(app: Sphinx, config: Config) -> None:
    """Chooses the theme's options; buttons that leave the book exist only with an address."""
    options = config.html_theme_options
    options |= {
        "footer_content_items": [],
        "pygments_light_style": "a11y-high-contrast-light",
        "pygments_dark_style": "a11y-high-contrast-dark",
        "search_bar_text": "Search this book",
        "show_toc_level": 2,
    }
    config.html_context["default_mode"] = "auto"
    address = os.environ.get("BOOK_REPOSITORY_URL", "").rstrip("/")
    if not address:
        return
    if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", address):
        raise ConfigError(
            f"BOOK_REPOSITORY_URL is {address!r}; expected https://github.com/OWNER/NAME"
        )
    options |= {
        "repository_url": address,
        "use_repository_button": True,
        "use_source_button": True,
        "use_issues_button": True,
        "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    }


def drop_unused_files(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Links only the style sheets and scripts that this page uses."""
    body = context.get("body", "")

    def used(file: Any) -> bool:
        name = str(getattr(file, "filename", file) or "")
        if "design" in name:
            return "sd-" in body
        return not UNUSED_FILES.search(name)

    for kind in ("css_files", "script_files"):
        context[kind] = [file for file in context.get(kind, []) if used(file)]


def repair_every_page(app: Sphinx) -> None:
    """Passes each rendered page through `repair` before Sphinx writes it."""
    templates = getattr(app.builder, "templates", None)
    if templates is None:  # a builder without pages, such as linkcheck
        return
    render = templates.render
    typesetter = Typesetter(app.config.mathjax3_config["tex"])
    app.connect("build-finished", lambda app, failure: typesetter.close())

    def render_and_repair(template: str, context: dict[str, Any]) -> str:
        text = render(template, context)
        if not template.endswith(".html"):
            return text
        soup = BeautifulSoup(text, "html.parser")
        repair(soup)
        sources = {name: source for source, name in app.builder.images.items()}
        lead_to_copies(soup)
        lead_to_figure(soup)
        typeset(soup, typesetter, context["pathto"]("_static/mathjax", True))
        for picture in soup.select(".cell_output img:not(.dit-figure img)"):
            let_scroll(soup, picture, Path(app.srcdir, sources[Path(picture["src"]).name]))
        mark_columns(soup)
        link_figures(soup, context["pathto"], app.config.book_site_version)
        for picture in soup.select(".chapter-card img"):
            picture["loading"] = "lazy"
        for picture in soup.select('.dit-figure img[src^="data:image/png;base64,"]'):
            move_out(picture, Path(app.outdir), context["pathto"])
        return str(soup)

    templates.render = render_and_repair


def lead_to_copies(soup: BeautifulSoup) -> None:
    """Makes Colab's button open the chapter's copy, which installs the package first."""
    for link in soup.select('a[href^="https://colab.research.google.com/"]'):
        link["href"] = re.sub(r"/blob/[^/]+/", f"/blob/{COPIES}/", str(link["href"]), count=1)


def lead_to_figure(soup: BeautifulSoup) -> None:
    """Ends a chapter's opening box with a way to its figure, which may be many screens below."""
    box = soup.select_one("h1 + .admonition.note")
    figure = soup.select_one(".dit-figure[id]")
    if box and figure:
        link = soup.new_tag("a", attrs={"href": f"#{figure['id']}"}, string="Go to the figure.")
        box.find_all("p")[-1].extend([" ", link])


def mark_columns(soup: BeautifulSoup) -> None:
    """Tells printed tables from printed sentences: book.css wraps these and lets those scroll."""
    for text in soup.select(".cell_output .output.stream pre"):
        if len(COLUMNS.findall(text.get_text())) > 1:
            text.parent["class"] = [*text.parent.get("class", []), "columns"]


def link_figures(soup: BeautifulSoup, pathto: Callable[[str, bool], str], version: str) -> None:
    """Gives a page the code of its figures, each once; `write_figures` makes the files."""
    names = sorted({figure["data-figure"] for figure in soup.select(".dit-figure[data-figure]")})
    files = [f"{name}.js" for name in names]
    for file in files and ["figures.css", *files]:
        # with the version, no browser takes an old file for a new page
        address = f"{pathto('_static/figures/' + file, True)}?v={version[:8]}"
        if file.endswith(".css"):
            tag = soup.new_tag("link", attrs={"rel": "stylesheet", "href": address})
        else:
            tag = soup.new_tag("script", attrs={"src": address, "defer": ""})
        soup.head.append(tag)


def write_figures(folder: Path) -> None:
    """Writes the code and the assets of every figure as scripts, which load from disk as well."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "figures.css").write_text(COMMENT.sub("", Figure._css), "utf8")
    for name in FIGURE_NAMES:
        figure = figure_class(name)
        (folder / f"{name}.js").write_text(page_script(figure), "utf8")
        for asset in figure.files():
            (folder / f"{name}-{asset}.js").write_text(asset_script(figure, asset), "utf8")


def move_out(picture: Tag, book: Path, pathto: Callable[[str, bool], str]) -> None:
    """Makes a figure's picture a file that loads when it is shown: on paper, or without scripts."""
    content = b64decode(picture["src"].partition(",")[2])
    name = f"_images/figure-{hashlib.sha256(content).hexdigest()[:16]}.png"
    (book / name).parent.mkdir(parents=True, exist_ok=True)
    (book / name).write_bytes(content)
    picture["src"] = pathto(name, True)
    picture["loading"] = "lazy"
    # a PNG opens with its size, which keeps its place on the page until it is there
    picture["width"], picture["height"] = map(str, struct.unpack(">II", content[16:24]))


def let_scroll(soup: BeautifulSoup, picture: Tag, source: Path) -> None:
    """Puts a plot into a box that scrolls it on a small screen, as wide as its text needs.

    It is called by its section, and its size is known before it is loaded.
    """
    with Image.open(source) as plot:
        width, height = plot.size
    heading = picture.find_previous(["h1", "h2", "h3"])
    picture["alt"] = f"Plot in “{heading.find(string=True, recursive=False).strip()}”"
    picture["width"], picture["height"] = str(width), str(height)
    picture["style"] = f"--readable: {math.ceil(width * SMALLEST_TEXT / plots.TEXT)}px"
    box = soup.new_tag("div", attrs={"class": "plot", "role": "group", "aria-label": "Plot"})
    picture.wrap(box)


def repair(soup: BeautifulSoup) -> None:
    """Gives the page inline icons, native folding, and names for what has none."""
    for script in soup.select('script[src*="fontawesome"], link[href*="fontawesome"]'):
        script.decompose()
    if not soup.select_one("#search-results"):  # the index is for the page that searches
        for script in soup.select('script[src*="searchindex"], script[src*="searchtools"]'):
            script.decompose()
    for icon in soup.select('i[class*="fa-"], span[class*="fa-"]'):
        draw(soup, icon)
    for header in soup.select(
        "#pst-header"
    ):  # hidden by this theme, yet scripts ask for its height
        header.clear()
    for part in soup.select("#exercise-content, #solution-content"):  # one in every exercise
        del part["id"]
    for entry in soup.select(".citation-list, .citation"):  # roles that ARIA has given up
        del entry["role"]
    for block in soup.select("div.admonition.dropdown"):
        fold(soup, block)
    for link in soup.select('a[href*="_sources/"]'):
        link["download"] = ""
        del link["target"]
    for button in soup.select("button[title]:not([aria-label]), a.btn[title]:not([aria-label])"):
        if not button.get_text(strip=True):
            button["aria-label"] = button["title"]
    # a control that shows words is named by them: who speaks to the page says what they see
    for control in soup.select("button[aria-label], summary[aria-label], a[aria-label]"):
        words = control.get_text(" ", strip=True)
        if words and words.lower() not in control["aria-label"].lower():
            del control["aria-label"]
    for sidebar in soup.select("#pst-primary-sidebar"):  # its title stands outside its navigation
        sidebar["role"], sidebar["aria-label"] = "complementary", "The book"
    for button in soup.select("button.sidebar-toggle"):
        button["type"] = "button"


def draw(soup: BeautifulSoup, icon: Tag) -> None:
    """Replaces a place-holder of the icon font by a drawing of Sphinx Design's."""
    names = [name.removeprefix("fa-") for name in icon["class"] if name.startswith("fa-")]
    known = [name for name in names if name in OCTICONS]
    if not known:
        raise ConfigError(f"book_site has no icon for the theme's {icon['class']}")
    svg = BeautifulSoup(get_octicon(OCTICONS[known[0]]), "html.parser").svg
    svg["class"] = ["icon", *(name for name in icon["class"] if not name.startswith("fa"))]
    svg["focusable"] = "false"
    svg.attrs |= {name: value for name, value in icon.attrs.items() if name.startswith("data-")}
    icon.replace_with(svg)


def fold(soup: BeautifulSoup, block: Tag) -> None:
    """Makes a folded block a <details>, which needs no script, opens by keyboard and prints."""
    block.name = "details"
    title = block.find("p", class_="admonition-title")
    title.name = "summary"
    for link in title.select("a"):  # a title that folds can hold no other control
        link.unwrap()


def finish_static_files(app: Sphinx, failure: Exception | None) -> None:
    """Adds the formulas' fonts to the built book, makes it light, removes what no page asks for."""
    if failure or app.builder.format != "html":
        return
    static = Path(app.outdir, "_static")
    shutil.copytree(FONTS, static / "mathjax", dirs_exist_ok=True)
    write_figures(static / "figures")
    write_entry(app)
    slim_style_sheets(Path(app.outdir))  # asks what the figures' scripts name
    shrink_pictures(Path(app.outdir, "_images"))
    for pattern in UNUSED_OUTPUT:
        for path in static.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def write_entry(app: Sphinx) -> None:
    """Writes the page at the book's address, in the place of a bare redirection."""
    text = ENTRY.format(
        language=app.config.language,
        title=html.escape(app.config.html_title),
        icon=Path(app.config.html_favicon).name,
        front=app.builder.get_target_uri(app.config.root_doc),
    )
    Path(app.outdir, "index.html").write_text(text, "utf8")


def shrink_pictures(folder: Path) -> None:
    """Gives each picture a palette of its own 256 colours: a quarter of the bytes.

    Pictures that have a palette already, and those one can see through, stay.
    """
    for path in folder.glob("*.png"):
        with Image.open(path) as picture:
            if picture.mode == "P" or (picture.mode == "RGBA" and picture.getextrema()[3][0] < 255):
                continue
            few = picture.convert("RGB").quantize(256, method=Image.Quantize.MEDIANCUT)
        few.save(path)


def slim_style_sheets(book: Path) -> None:
    """Keeps the rules whose classes some page or script names; Bootstrap alone has thousands.

    The figures' sheet stays whole: their scripts put names of classes together.
    """
    sources = [*book.rglob("*.html"), *book.glob("_static/**/*.js")]
    words = {word for path in sources for word in WORD.findall(path.read_text("utf8"))}
    for path in {*book.glob("_static/**/*.css")} - {*book.glob("_static/figures/*.css")}:
        path.write_text(slim(path.read_text("utf8"), words), "utf8")


def slim(css: str, words: set[str]) -> str:
    """The style sheet without the selectors that ask for a class not among the words."""
    kept = []
    position = 0
    css = COMMENT.sub("", css)
    while (opening := css.find("{", position)) >= 0:
        # statements such as @charset stand before a rule and end in a semicolon
        *statements, prelude = css[position:opening].rsplit(";", 1)
        kept += [f"{statement};" for statement in statements]
        closing = matching_brace(css, opening)
        body, position = css[opening + 1 : closing], closing + 1
        prelude = prelude.strip()
        if prelude.startswith(("@media", "@supports", "@layer")):
            body = slim(body, words)
        elif prelude.startswith("@font-face"):
            body = "" if "fontawesome" in body else body
        elif not prelude.startswith("@"):
            selectors = SELECTOR_COMMA.split(prelude)
            prelude = ",".join(s for s in selectors if words.issuperset(CLASS.findall(s)))
        if prelude and body.strip():
            kept.append(f"{prelude}{{{body}}}")
    return "".join(kept)


def matching_brace(css: str, opening: int) -> int:
    """The position of the brace that closes the one at `opening`."""
    depth = 0
    for brace in BRACE.finditer(css, opening):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return brace.start()
    raise ValueError("slim: a style sheet has an opening brace without a closing one")
