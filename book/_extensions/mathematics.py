"""Sets the formulas of a page when the book is built.

A page then holds their HTML, with MathML for those who listen, and loads nothing but fonts:
MathJax itself would be half of what a chapter weighs.
"""

import importlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import deno
from bs4 import BeautifulSoup
from sphinx.errors import SphinxError

PROGRAM = Path(__file__).with_suffix(".mjs")
MATHJAX = Path(importlib.import_module("sphinx-mathjax-offline").__file__).parent / "static/mathjax"
FONTS = MATHJAX / "output/chtml/fonts/woff-v2"
FORMULA = re.compile(r"\\\((?P<inline>.*)\\\)|\\\[(?P<display>.*)\\\]", re.DOTALL)
AROUND = re.compile(r" ?([{};,]) ?")


class Typesetter:
    """MathJax in a process of its own, which starts with the first formula."""

    def __init__(self, tex: dict[str, Any]) -> None:
        """Takes MathJax's settings of TeX."""
        self.tex = tex
        self.process: subprocess.Popen[str] | None = None

    def ask(self, formulas: list[tuple[str, bool]]) -> dict[str, Any]:
        """The HTML of formulas, (TeX, whether displayed), and the style sheet that they need."""
        if self.process is None:
            command = [deno.find_deno_bin(), "run", "--quiet", "--no-config", "--allow-read"]
            command += [str(PROGRAM), str(MATHJAX), json.dumps(self.tex)]
            pipe = subprocess.PIPE
            self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, encoding="utf8")
        print(json.dumps(formulas), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise SphinxError("mathematics: MathJax has ended; its message stands above")
        return json.loads(answer)

    def close(self) -> None:
        """Lets the process end."""
        if self.process is not None:
            self.process.communicate()


def typeset(soup: BeautifulSoup, typesetter: Typesetter, fonts: str) -> None:
    """Puts the HTML of its formulas into a page; `fonts` is the address of `FONTS` from there."""
    places = soup.select(".math")
    if not places:
        return
    formulas = [tex(place.get_text().strip()) for place in places]
    answer = typesetter.ask(formulas)
    for place, (text, _), html in zip(places, formulas, answer["formulas"], strict=True):
        if "data-mjx-error" in html:
            raise SphinxError(f"mathematics: MathJax does not understand {text}")
        place.clear()
        place.append(BeautifulSoup(html, "html.parser"))
    style = soup.new_tag("style")
    css = " ".join(answer["css"].replace("FONTS", fonts).split())
    style.string = AROUND.sub(r"\1", css)
    soup.head.append(style)


def tex(text: str) -> tuple[str, bool]:
    r"""The TeX between \( and \) or \[ and \], and whether it is displayed."""
    found = FORMULA.fullmatch(text)
    if not found:
        raise SphinxError(rf"mathematics: {text!r} is not of the form \(...\) or \[...\]")
    return (found["inline"] or found["display"] or "").strip(), found["display"] is not None
