"""Every GitHub thread that the book cites was read: who cites one says what it says, and when.

`threads/NN.json` holds a list for chapter NN and those after it: for each thread its address,
the chapters that cite it, what the book says it says, what it says (the deciding words quoted),
the day on which it was read, and whether all of it could be seen.
"""

import datetime
import json
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
THREAD = re.compile(r"https://github\.com/[\w.-]+/[\w.-]+/(?:issues|pull|discussions)/\d+")
LISTS = sorted((Path(__file__).parent / "threads").glob("*.json"))
FIELDS = {"url", "chapters", "claim", "says", "read", "whole"}


def cited():
    """The threads in each page's text: {address: {page, ...}}."""
    pages = {p: p.read_text(encoding="utf-8") for p in sorted((ROOT / "book").rglob("*.md"))}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        pages[path] = "\n".join(cell.source for cell in cells)
    found = {}
    for path, text in pages.items():
        for url in THREAD.findall(text):
            found.setdefault(url, set()).add(path.stem)
    return found


def listed():
    return [entry for path in LISTS for entry in json.loads(path.read_text(encoding="utf-8"))]


def differences(cited, listed):
    """What is cited and in no list, and what is listed for a chapter that does not cite it."""
    known = {(entry["url"], chapter) for entry in listed for chapter in entry["chapters"]}
    used = {(url, page[:2] if page[:2].isdigit() else page) for url in cited for page in cited[url]}
    unread = [f"{page} cites {url}, which no list knows" for url, page in sorted(used - known)]
    unused = [f"{page} does not cite {url}" for url, page in sorted(known - used)]
    return unread + unused


def test_every_cited_thread_was_read_and_every_read_thread_is_cited():
    assert differences(cited(), listed()) == []


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_a_list_says_what_each_thread_says_and_when_it_was_read(path):
    for entry in json.loads(path.read_text(encoding="utf-8")):
        assert set(entry) == FIELDS, entry
        assert THREAD.fullmatch(entry["url"]), entry["url"]
        assert entry["chapters"] and all(isinstance(name, str) for name in entry["chapters"])
        assert len(entry["claim"].split()) > 4 and len(entry["says"].split()) > 4, entry["url"]
        assert datetime.date.fromisoformat(entry["read"]) <= datetime.date.today()
        assert isinstance(entry["whole"], bool)


def test_no_chapter_lists_a_thread_twice():
    pairs = [(entry["url"], chapter) for entry in listed() for chapter in entry["chapters"]]
    assert sorted(pairs) == sorted(set(pairs))


def test_an_unread_and_an_unused_thread_are_found():
    url = "https://github.com/a/b/issues/1"
    entry = {"url": url, "chapters": ["02"]}
    assert differences({url: {"02-diffusion"}}, [entry]) == []
    assert differences({url: {"02-diffusion", "glossary"}}, [entry]) == [
        f"glossary cites {url}, which no list knows"
    ]
    assert differences({}, [entry]) == [f"02 does not cite {url}"]
