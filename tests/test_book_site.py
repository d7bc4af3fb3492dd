"""The extension that makes the pages: pictures with a palette of their own."""

from pathlib import Path

import book_site
import numpy as np
from bs4 import BeautifulSoup
from PIL import Image

ROOT = Path(__file__).parents[1]


def test_a_picture_gets_a_palette_and_keeps_its_looks(tmp_path):
    noise = np.random.default_rng(0).integers(0, 60, (64, 64, 1))
    before = Image.fromarray((noise + [150, 90, 20]).astype(np.uint8), "RGB")
    before.save(tmp_path / "a.png")
    size = (tmp_path / "a.png").stat().st_size
    book_site.shrink_pictures(tmp_path)
    with Image.open(tmp_path / "a.png") as after:
        assert after.mode == "P"
        gap = np.abs(np.asarray(after.convert("RGB"), int) - np.asarray(before, int))
    assert gap.max() <= 2 and (tmp_path / "a.png").stat().st_size < size


def test_what_one_can_see_through_or_has_a_palette_stays(tmp_path):
    Image.new("RGBA", (8, 8), (255, 0, 0, 100)).save(tmp_path / "clear.png")
    Image.new("P", (8, 8)).save(tmp_path / "done.png")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    book_site.shrink_pictures(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_pictures_of_the_built_book_have_palettes():
    pictures = list((ROOT / "_build" / "html" / "_images").glob("*.png"))
    assert pictures
    for path in pictures:
        with Image.open(path) as picture:
            assert picture.mode == "P", path.name


def test_colab_opens_the_copies_that_the_workflow_pushes():
    link = "https://colab.research.google.com/github/o/n/blob/{}/notebooks/09-x.ipynb"
    soup = BeautifulSoup(
        f'<a href="{link.format("main")}"></a><a href="/blob/main/"></a>', "html.parser"
    )
    book_site.lead_to_copies(soup)
    assert [a["href"] for a in soup.select("a")] == [link.format(book_site.COPIES), "/blob/main/"]
    workflow = (ROOT / ".github" / "workflows" / "publish.yml").read_text()
    assert f"git init --quiet -b {book_site.COPIES}" in workflow


def test_a_printed_table_is_told_from_printed_sentences():
    def marked(text):
        page = f'<div class="cell_output"><div class="output stream"><div><pre>{text}</pre></div>'
        soup = BeautifulSoup(page, "html.parser")
        book_site.mark_columns(soup)
        return bool(soup.select(".columns pre"))

    assert marked("rate   loss\n0.01   0.50\n")
    assert not marked("The shift is right.\nIt moves  each mean, in every row alike.\n")
