"""The front page of the built book: its cards, its figure, and the chapter to go on with."""

import re
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from bs4 import BeautifulSoup

from tests.browser import BOOK, visit

FRONT = "book/index.html"
TOC = yaml.safe_load((Path(__file__).parents[1] / "_toc.yml").read_text("utf8"))
FILES = [entry["file"] for part in TOC["parts"] for entry in part["chapters"]]
CHAPTERS = [file for file in FILES if file.startswith("notebooks/")]


@cache
def built(name):
    """A page of the built book, parsed once."""
    return BeautifulSoup((BOOK / name).read_text("utf8"), "html.parser")


@pytest.fixture(scope="module")
def cards():
    return {
        card.select_one(".sd-card-title a")["href"].removeprefix("../").removesuffix(".html"): card
        for card in built(FRONT).select(".chapter-card")
    }


def test_the_book_s_address_leads_to_the_front_page():
    entry = built("index.html")
    assert entry.html["lang"] == "en"
    assert entry.title.string == entry.a.string == "Diffusion Transformers, one idea at a time"
    assert entry.a["href"] == FRONT
    assert entry.select_one("meta[http-equiv=refresh]")["content"] == f"0; url={FRONT}"
    assert (BOOK / entry.select_one("link[rel=icon]")["href"]).is_file()


def test_every_chapter_has_its_card_in_order(cards):
    assert list(cards) == CHAPTERS


@pytest.mark.parametrize("name", CHAPTERS)
def test_card_says_what_its_chapter_says(cards, name):
    chapter = built(f"{name}.html")
    box = " ".join(chapter.select_one(".admonition.note").get_text().split())
    text = " ".join(cards[name].select_one(".sd-card-text").get_text().split())
    assert text.endswith("?") and text in box
    assert f"about {cards[name].select_one('.sd-card-footer').get_text(strip=True)}" in box
    title = cards[name].select_one(".sd-card-title").get_text(strip=True)
    number = int(Path(name).name[:2])
    assert title == f"{number} · " + chapter.h1.find(string=True).strip()
    assert bool(cards[name].select_one("img")) == bool(chapter.select_one(".dit-figure"))


def test_each_chapter_ends_with_the_question_of_the_next(cards):
    for before, after in pairwise(CHAPTERS):
        for page, link in ((before, ".right-next"), (after, ".left-prev")):
            asked = built(f"{page}.html").select_one(f"{link} .question").get_text()
            name = after if page == before else before
            assert asked == " ".join(cards[name].select_one(".sd-card-text").get_text().split())


@pytest.mark.needs_chromium
def test_front_page_shows_a_living_figure_without_a_click(browser, site):
    """Both sheets of digits, and on a phone the button, stand in the first screen uncovered."""
    seen = visit(browser, site + FRONT, reduced_motion="no-preference")
    figure = seen.page.locator(".dit-live").first
    figure.wait_for()
    sheet = figure.locator("canvas.dit-ten").nth(1)
    painted = {
        sheet.evaluate("async (e) => (await new Promise(requestAnimationFrame), e.toDataURL())")
        for _ in range(60)
    }
    assert len(painted) > 2  # not noise and then digits: they come out of it, before the eyes
    train = figure.get_by_role("button", name="train it here")
    for width, height in ((1280, 720), (375, 667)):
        seen.page.set_viewport_size({"width": width, "height": height})
        controls = figure.locator(".dit-controls").bounding_box()["y"]
        edge = min(height, controls)
        for part in (*figure.locator("canvas.dit-ten").all(), train):
            box = part.bounding_box()
            assert box["y"] + box["height"] < edge, (width, box)
    assert (seen.foreign, seen.errors) == ([], [])
    seen.page.context.close()


@pytest.mark.needs_chromium
def test_front_page_offers_the_last_chapter_read(browser, site):
    seen = visit(browser, site + FRONT)
    offer = seen.page.locator(".last-chapter a")
    assert offer.count() == 0
    seen.page.goto(f"{site}{CHAPTERS[4]}.html")
    seen.page.goto(site + FRONT)
    offer.click()
    seen.page.wait_for_url(re.compile(re.escape(CHAPTERS[4])))
    seen.page.context.close()
