"""The built book as one PDF, `_build/book.pdf`: every figure as its picture, every link inside.

Chromium prints the pages in the order of _toc.yml.  A link to another page of the book, which on
paper would name a file, leads to the printed place.
"""

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urldefrag

import yaml
from playwright.sync_api import Page, PdfMargins, sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, NameObject, NullObject, NumberObject

from tools.chromium import CHROMIUM

ROOT = Path(__file__).parents[1]
BOOK = ROOT / "_build" / "html"
MARGIN: PdfMargins = {"top": "18mm", "bottom": "18mm", "left": "16mm", "right": "16mm"}
LINKS = "() => [...document.links].map(({ href }) => href)"
READY = """async () => {
  await document.fonts.ready;
  for (const picture of document.images) picture.loading = "eager";
  await Promise.all([...document.images].map((picture) => picture.decode().catch(() => {})));
}"""
# The browser writes down only those places of a page to which the page itself links.  The links
# stand where they take no room: a line of them at the end could begin a page
NAME_PLACES = """(places) => {
  for (const place of places) {
    const link = document.createElement("a");
    link.href = `#${place}`;
    link.textContent = "\\u200b";
    link.style = "position: absolute; top: 0";
    document.querySelector("article").append(link);
  }
}"""


def page_names() -> list[str]:
    """The pages of the book in the order in which it is read."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    chapters = (entry["file"] for part in toc["parts"] for entry in part["chapters"])
    return [toc["root"], *chapters]


def write_pdf(path: Path, names: Sequence[str]) -> None:
    """Writes the named pages of the built book into one PDF, whole or not at all."""
    addresses = [(BOOK / f"{name}.html").as_uri() for name in names]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(reduced_motion="reduce", color_scheme="light")
        titles, links = [], set()
        for address in addresses:
            page.goto(address)
            titles.append(page.title().rpartition(" — ")[0] or page.title())
            links.update(page.evaluate(LINKS))
        printed = {address: print_page(page, address, links) for address in addresses}
        browser.close()
    writer = PdfWriter()
    starts = {}
    for (address, reader), title in zip(printed.items(), titles, strict=True):
        starts[address] = len(writer.pages)
        writer.append(reader, outline_item=title, import_outline=False)
    for address, reader in printed.items():
        for number in range(len(reader.pages)):
            turn_inside(writer, starts[address] + number, address, printed, starts)
    partial = path.with_suffix(".partial")
    writer.write(partial)
    partial.replace(path)


def print_page(page: Page, address: str, links: set[str]) -> PdfReader:
    """The page on paper, with the places to which any page of the book links."""
    page.goto(address)
    page.evaluate(READY)
    targets = (urldefrag(link) for link in links)
    page.evaluate(
        NAME_PLACES, sorted({place for home, place in targets if home == address and place})
    )
    return PdfReader(io.BytesIO(page.pdf(format="A4", margin=MARGIN, print_background=True)))


def turn_inside(
    writer: PdfWriter,
    number: int,
    address: str,
    printed: dict[str, PdfReader],
    starts: dict[str, int],
) -> None:
    """Lets the links of a page lead into the PDF, and takes out those to files that it lacks."""
    kept = ArrayObject()
    for reference in writer.pages[number].get("/Annots", ()):
        link = reference.get_object()
        home, place = urldefrag(link.get("/A", {}).get("/URI", ""))
        if "/Dest" in link:
            home, place = address, str(link["/Dest"])
        if home in printed:
            target = printed[home].named_destinations.get(unquote(place))
            first, top = 0, NullObject()
            if target is not None:
                first = printed[home].get_destination_page_number(target) or 0
                top = target.top or top
            leaf = writer.pages[starts[home] + first].indirect_reference
            link.pop("/A", None)
            link[NameObject("/Dest")] = ArrayObject(
                [leaf, NameObject("/XYZ"), NullObject(), top, NumberObject(0)]
            )
        if not home.startswith("file:") or home in printed:
            kept.append(reference)
    writer.pages[number][NameObject("/Annots")] = kept


if __name__ == "__main__":
    if not CHROMIUM:
        sys.exit("make pdf: Chromium prints the book, and it is not installed")
    out = ROOT / "_build" / "book.pdf"
    write_pdf(out, sys.argv[1:] or page_names())
    print(out.relative_to(ROOT))
