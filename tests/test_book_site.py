"""The extension that makes the pages: pictures with a palette of their own."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from bs4 import BeautifulSoup
from PIL import Image

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site():
    source = ROOT / "book" / "_extensions" / "book_site.py"
    spec = importlib.util.spec_from_file_location("book_site", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_picture_gets_a_palette_and_keeps_its_looks(site, tmp_path):
    noise = np.random.default_rng(0).integers(0, 60, (64, 64, 1))
    before = Image.fromarray((noise + [150, 90, 20]).astype(np.uint8), "RGB")
    before.save(tmp_path / "a.png")
    size = (tmp_path / "a.png").stat().st_size
    site.shrink_pictures(tmp_path)
    with Image.open(tmp_path / "a.png") as after:
        assert after.mode == "P"
        gap = np.abs(np.asarray(after.convert("RGB"), int) - np.asarray(before, int))
    assert gap.max() <= 2 and (tmp_path / "a.png").stat().st_size < size


def test_what_one_can_see_through_or_has_a_palette_stays(site, tmp_path):
    Image.new("RGBA", (8, 8), (255, 0, 0, 100)).save(tmp_path / "clear.png")
    Image.new("P", (8, 8)).save(tmp_path / "done.png")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    site.shrink_pictures(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_pictures_of_the_built_book_have_palettes():
    pictures = list((ROOT / "_build" / "html" / "_images").glob("*.png"))
    assert pictures
    for path in pictures:
        with Image.open(path) as picture:
            assert picture.mode == "P", path.name


def test_colab_opens_the_copies_that_the_workflow_pushes(site):
    link = "https://colab.research.google.com/github/o/n/blob/{}/notebooks/09-x.ipynb"
    soup = BeautifulSoup(
        f'<a href="{link.format("main")}"></a><a href="/blob/main/"></a>', "html.parser"
    )
    site.lead_to_copies(soup)
    assert [a["href"] for a in soup.select("a")] == [link.format(site.COPIES), "/blob/main/"]
    workflow = (ROOT / ".github" / "workflows" / "publish.yml").read_text()
    assert f"git init --quiet -b {site.COPIES}" in workflow
