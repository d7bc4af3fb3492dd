"""House style that a machine can check: Python by ruff, pages by what Jupyter Book 2 knows too."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from dit_lesson import checkpoints, data, training

ROOT = Path(__file__).parents[1]
# The directives that Jupyter Book 1 and 2 both know, so that moving stays a day's work.
ADMONITIONS = "attention caution danger error hint important note seealso tip warning"
PORTABLE = set(
    f"{ADMONITIONS} admonition aside bibliography card code-block code-cell csv-table dropdown "
    "exercise exercise-start exercise-end solution solution-start solution-end "
    "figure glossary grid grid-item grid-item-card iframe image include index list-table "
    "literalinclude margin math mermaid sidebar tab-item tab-set table".split()
)
DIRECTIVE = re.compile(r"^[ \t]*(?:`{3,}|:{3,}|~{3,})[ \t]*\{([^}]+)\}[ \t]*(.*)$", re.MULTILINE)
SUBSTITUTION = re.compile(r"\{\{.*?\}\}")
PROVED = re.compile(r"prf:[a-z]+")


def breaches(text):
    """Every directive of a page that Jupyter Book 2 would refuse or read in another way."""
    found = [f"{{{name}}}" for name, _ in DIRECTIVE.findall(text) if not is_portable(name)]
    found += [
        f"{{{name}}} with a title: write {{admonition}} and :class: {name}"
        for name, argument in DIRECTIVE.findall(text)
        if name in ADMONITIONS.split() and argument.strip()
    ]
    return found + SUBSTITUTION.findall(re.sub(r"\$[^$]*\$", "", text))


def is_portable(name):
    return name in PORTABLE or bool(PROVED.fullmatch(name))


def pages():
    yield from ((path.name, path.read_text(encoding="utf-8")) for path in pages_of_text())
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        yield path.name, "\n\n".join(c.source for c in cells if c.cell_type == "markdown")


def pages_of_text():
    return sorted(p for p in (ROOT / "book").rglob("*.md") if "_build" not in p.parts)


@pytest.mark.parametrize("action", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff(action):
    run = subprocess.run(
        [sys.executable, "-m", "ruff", *action, "."], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_types_are_true():
    run = subprocess.run(
        [sys.executable, "-m", "ty", "check", "--python", sys.prefix],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout


def public_functions():
    for module in (checkpoints, data, training):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and not name.startswith("_"):
                yield function


@pytest.mark.parametrize(
    "function", list(public_functions()), ids=lambda function: function.__name__
)
def test_a_docstring_gives_every_argument_a_line(function):
    described = re.findall(r"^    (\w+): \S", inspect.getdoc(function), re.MULTILINE)
    assert described == list(inspect.signature(function).parameters)


@pytest.mark.parametrize(("name", "text"), list(pages()), ids=lambda value: value[:40])
def test_page_is_portable(name, text):
    assert breaches(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "```{raw} html\n<b>x</b>\n```",
        "```{eval-rst}\n.. note:: x\n```",
        "```{glue} number\n```",
        ":::{tab-set-code}\n:::",
        "```{note} A title\nText.\n```",
        "The loss is {{ loss }}.",
    ],
)
def test_what_is_not_portable_is_found(text):
    assert breaches(text)


def test_what_is_portable_passes():
    text = (
        "````{exercise-start} Normalise\n:label: one\n````\n"
        ":::{note}\nText with $a_{{b}}$.\n:::\n```{admonition} Title\n:class: tip\nText.\n```\n"
        "```{prf:theorem}\nText.\n```\n"
    )
    assert breaches(text) == []


def test_file_names_of_pages_are_lowercase_with_hyphens():
    """Addresses stay the same in Jupyter Book 2, which knows no underscore."""
    files = [*pages_of_text(), *(ROOT / "notebooks").glob("*.ipynb")]
    assert [path.name for path in files if not re.fullmatch(r"[a-z0-9-]+", path.stem)] == []
