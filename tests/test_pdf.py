"""The book on paper: two pages of it, whose links lead to each other."""

import pytest
from pypdf import PdfReader

from tests.browser import BOOK
from tools.pdf import NAME_PLACES, page_names, write_pdf

NAMES = ["notebooks/09-adaptive-layer-norm", "book/glossary"]

pytestmark = pytest.mark.needs_chromium


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    path = tmp_path_factory.mktemp("pdf") / "book.pdf"
    write_pdf(path, NAMES)
    assert [file.name for file in path.parent.iterdir()] == ["book.pdf"]
    return PdfReader(path)


def test_no_page_is_blank(printed):
    assert [n for n, page in enumerate(printed.pages) if not page.extract_text().strip()] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_places_of_links_take_no_room(browser, name):
    """A line of them at the end could begin a page that is blank."""
    page = browser.new_page()
    page.goto((BOOK / f"{name}.html").as_uri())
    page.emulate_media(media="print")
    height = "document.querySelector('article').scrollHeight"
    before = page.evaluate(height)
    page.evaluate(NAME_PLACES, [f"place-{number}" for number in range(100)])
    assert page.locator("a[href^='#place-']").count() == 100
    assert page.evaluate(height) == before
    page.close()


def links(pdf):
    """The number of the page, and the link on it."""
    for number, page in enumerate(pdf.pages):
        for reference in page.get("/Annots", ()):
            yield number, reference.get_object()


def test_the_whole_book_is_all_that_was_built():
    chapters = {f"notebooks/{path.stem}" for path in (BOOK / "notebooks").glob("*.html")}
    assert chapters < set(page_names())


def test_each_page_of_the_book_begins_where_the_outline_says(printed):
    starts = [printed.get_destination_page_number(entry) for entry in printed.outline]
    assert starts[0] == 0 and 10 < starts[1] < len(printed.pages)
    for start, entry in zip(starts, printed.outline, strict=True):
        assert printed.pages[start].extract_text().strip().startswith(entry.title)


def test_links_lead_inside_or_to_the_web(printed):
    glossary = printed.get_destination_page_number(printed.outline[1])
    inside = set()
    for number, link in links(printed):
        if "/Dest" in link:
            (page, *_) = link["/Dest"]
            inside.add((number < glossary, printed.get_page_number(page.get_object()) < glossary))
        else:
            assert link["/A"]["/URI"].startswith("https://")
    assert {(True, True), (True, False), (False, False)} <= inside  # chapter, and to the glossary


def test_a_term_leads_to_its_place_in_the_glossary(printed):
    """Not all to the top of its first page."""
    inside = [link["/Dest"] for _, link in links(printed) if "/Dest" in link]
    places = {(printed.get_page_number(page.get_object()), top) for page, _, _, top, _ in inside}
    assert len(places) > 10


def test_no_line_is_cut_at_the_edge(browser):
    page = browser.new_page(viewport={"width": 670, "height": 900})  # of A4 between its margins
    page.goto((BOOK / f"{NAMES[0]}.html").as_uri())
    page.emulate_media(media="print")
    assert page.locator("pre").count() > 20
    cut = page.locator("pre").evaluate_all(
        "all => all.filter((e) => e.scrollWidth > e.clientWidth)"
    )
    assert cut == []
    page.close()
