"""Formulas as a page holds them: HTML with MathML beside it, in the fonts of the book."""

import pytest
from bs4 import BeautifulSoup
from mathematics import Typesetter, typeset
from sphinx.errors import SphinxError

SETTINGS = {"packages": ["base", "ams", "configmacros"], "macros": {"cond": r"\mathrm{c}"}}


@pytest.fixture(scope="module")
def typesetter():
    made = Typesetter(SETTINGS)
    yield made
    made.close()


def page(*formulas):
    places = "".join(f'<span class="math">{formula}</span>' for formula in formulas)
    return BeautifulSoup(f"<head></head>{places}", "html.parser")


def test_formulas_are_set_in_place(typesetter):
    soup = page(r"\(x &lt; \cond\)", r"\[\sqrt{y}\]")
    typeset(soup, typesetter, "../fonts")
    inline, display = soup.select(".math > mjx-container")
    assert inline.get("display") is None and display["display"] == "true"
    heard = [container.math.get_text() for container in (inline, display)]
    assert heard == ["x<c", "y"] and display.math.msqrt
    assert inline.select_one("mjx-math")["aria-hidden"] == "true"
    assert "../fonts/MathJax_Main-Regular.woff" in soup.head.style.string


def test_a_page_has_the_styles_that_it_uses(typesetter):
    styles = []
    for formula in (r"\(\sqrt{y}\)", r"\(y\)"):
        soup = page(formula)
        typeset(soup, typesetter, "")
        styles.append(soup.head.style.string)
    assert "mjx-sqrt" in styles[0] and "mjx-sqrt" not in styles[1]


def test_a_page_without_formulas_stays_as_it_is(typesetter):
    soup = page()
    typeset(soup, typesetter, "")
    assert not soup.head.contents


@pytest.mark.parametrize("formula", [r"\(\unheard{x}\)", r"\(\frac{1}\)", "x < y"])
def test_what_is_no_formula_stops_the_build(typesetter, formula):
    with pytest.raises(SphinxError, match="mathematics: "):
        typeset(page(formula), typesetter, "")
