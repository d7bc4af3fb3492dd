"""The contract on every chapter, and proof that breaking it, or a printed digit, is noticed."""

import copy
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import chapters

ROOT = Path(__file__).parents[1]
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# a chapter in small: text, an imported function, numbers, a figure's HTML with its picture
SOURCE = """\
import numpy as np
from IPython.display import HTML, display
from dit_lesson.numpy_dit import layer_norm

print(layer_norm(np.array([[1.0, 2.0, 3.0, 6.0]])).round(3))
display(HTML('<p>0.5</p><img src="data:image/png;base64,AAAA">'))
"""


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_keeps_the_contract(path):
    assert chapters.violations(nbformat.read(path, as_version=4)) == []


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The small chapter, run and stripped as `make notebooks` does."""
    notebook = new_notebook(
        cells=[
            new_markdown_cell("# A chapter\n\nOne sentence."),
            new_markdown_cell("A second cell of text, with $x$."),
            new_code_cell(SOURCE, metadata={"tags": ["hide-input"]}),
            new_code_cell("import ipywidgets\nipywidgets.IntSlider()"),
        ]
    )
    return chapters.run(notebook, tmp_path_factory.mktemp("run"))


@pytest.fixture
def chapter(executed):
    """A copy of the executed chapter, to be broken; its third cell is the one with numbers."""
    return copy.deepcopy(executed)


def test_what_make_notebooks_stores_keeps_the_contract(chapter):
    assert chapters.violations(chapter) == []
    assert [cell.id for cell in chapter.cells] == ["cell-01", "cell-02", "cell-03", "cell-04"]
    slider = chapter.cells[3].outputs[0].data
    assert list(slider) == ["text/plain"] and "IntSlider" in slider["text/plain"]


def broken_by(change, notebook):
    change(notebook, notebook.cells[2])
    return chapters.violations(notebook)


def strip_outputs(notebook, cell):
    cell.outputs, cell.execution_count = [], None


def run_out_of_order(notebook, cell):
    cell.execution_count = 7


def ignore_by_tag(notebook, cell):
    cell.metadata.tags.append("nbval-ignore-output")


def ignore_by_comment(notebook, cell):
    cell.source += "\n# NBVAL_IGNORE_OUTPUT"


def skip_by_tag(notebook, cell):
    cell.metadata.tags.append("nbval-skip")


def never_run(notebook, cell):
    cell.metadata.tags.append("skip-execution")


def allow_an_error(notebook, cell):
    cell.metadata.tags.append("raises-exception")


def write_to_stderr(notebook, cell):
    cell.outputs.append(new_output("stream", name="stderr", text="a warning"))


def print_a_path(notebook, cell):
    cell.outputs.append(new_output("stream", name="stdout", text="saved /home/me/a.png"))


def show_a_path(notebook, cell):
    cell.outputs.append(new_output("display_data", {"text/html": "<p>file:///tmp/a.png</p>"}))


def name_a_path(notebook, cell):
    cell.source += '\nopen("C:\\\\Users\\\\me\\\\a.txt")'.replace("\\\\", "\\")


def keep_widget_state(notebook, cell):
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {}}


def keep_a_widget_view(notebook, cell):
    cell.outputs.append(new_output("display_data", {chapters.WIDGET_VIEW: {"model_id": "1"}}))


def keep_the_version(notebook, cell):
    notebook.metadata.language_info["version"] = "3.11.7"


def rename_the_kernel(notebook, cell):
    notebook.metadata.kernelspec["name"] = "my-environment"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (strip_outputs, "cell 3: execution count None, expected 1"),
        (run_out_of_order, "cell 3: execution count 7, expected 1"),
        (ignore_by_tag, "cell 3: nbval is told to look away"),
        (ignore_by_comment, "cell 3: nbval is told to look away"),
        (skip_by_tag, "cell 3: nbval is told to look away"),
        (never_run, "cell 3: nbval is told to look away"),
        (allow_an_error, "cell 3: nbval is told to look away"),
        (write_to_stderr, "cell 3: it writes to stderr: a warning"),
        (print_a_path, "cell 3: an output names an absolute path"),
        (show_a_path, "cell 3: an output names an absolute path"),
        (name_a_path, "cell 3: the source names an absolute path"),
        (keep_widget_state, "the metadata hold widget state"),
        (keep_a_widget_view, "cell 3: an output holds a widget view"),
        (keep_the_version, "the metadata name a Python version"),
        (rename_the_kernel, "the kernel is not named python3"),
    ],
)
def test_contract_is_broken_by(change, sentence, chapter):
    (found,) = broken_by(change, chapter)
    assert found.startswith(sentence)


def test_an_ignore_with_its_reason_keeps_the_contract(chapter):
    cell = chapter.cells[2]
    cell.metadata.tags.append("nbval-ignore-output")
    cell.source = "# nbval: the seconds differ between machines\n" + cell.source
    assert chapters.violations(chapter) == []


@pytest.mark.parametrize(
    "text", ["see https://example.org/home/index.html", "</work/>", "1/2", "a/tmp/b", "./opt/x"]
)
def test_what_is_no_absolute_path(text, chapter):
    chapter.cells[2].outputs.append(new_output("stream", name="stdout", text=text))
    assert chapters.violations(chapter) == []


def test_text_and_back_keeps_everything_but_outputs(chapter):
    chapter.cells[2].metadata["mystnb"] = {"figure": {"caption": "A caption"}}
    back = chapters.from_text(chapters.to_text(chapter))
    assert back.metadata == chapter.metadata
    keys = ("id", "cell_type", "source", "metadata")
    assert [[cell[key] for key in keys] for cell in back.cells] == [
        [cell[key] for key in keys] for cell in chapter.cells
    ]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_survives_text_and_back(path):
    chapter = nbformat.read(path, as_version=4)
    back = chapters.from_text(chapters.to_text(chapter))
    keys = ("id", "cell_type", "source", "metadata")
    assert [[cell[key] for key in keys] for cell in back.cells] == [
        [cell[key] for key in keys] for cell in chapter.cells
    ]


def test_an_edited_text_becomes_the_notebook(chapter, tmp_path):
    path = tmp_path / "01-small.ipynb"
    chapter.cells = chapter.cells[:2]
    nbformat.write(chapter, path)
    assert chapters.write_text(path) == []
    text = path.with_suffix(".md")
    edited = text.read_text(encoding="utf-8").replace("One sentence.", "Another sentence.")
    text.write_text(edited + "\n```{code-cell} ipython3\nprint(1 + 1)\n```\n", encoding="utf-8")
    newer = path.stat().st_mtime + 1
    os.utime(text, (newer, newer))
    (refusal,) = chapters.write_text(path)
    assert "newer than the notebook" in refusal
    assert chapters.execute(path) == []
    stored = nbformat.read(path, as_version=4)
    assert "Another sentence." in stored.cells[0].source
    assert stored.cells[-1].outputs[0].text == "2\n"
    once = path.read_bytes()
    assert chapters.execute(path) == [] and path.read_bytes() == once


def test_a_failing_chapter_is_not_stored(chapter, tmp_path):
    path = tmp_path / "01-small.ipynb"
    chapter.cells = [new_code_cell("1 / 0")]
    nbformat.write(chapter, path)
    before = path.read_bytes()
    (problem,) = chapters.execute(path)
    assert "ZeroDivisionError" in problem and path.read_bytes() == before


def compare(folder, package=ROOT, **chapters):
    """Run strict nbval on notebooks as `pytest` does, with the `dit_lesson` that lies in a folder.

    Returns the names of the notebooks that failed, and what pytest wrote.
    """
    for name, notebook in chapters.items():
        nbformat.write(notebook, folder / f"{name}.ipynb")
    run = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-c", ROOT / "pyproject.toml", "--color=no"),
            *("--rootdir", folder, "-p", "no:cacheprovider", "-p", "no:hypothesispytest"),
            f"--nbval-sanitize-with={ROOT / 'tools' / 'nbval-sanitize.cfg'}",
            *(folder / f"{name}.ipynb" for name in chapters),
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
    )
    assert f"{2 * len(chapters)} items" in run.stdout, run.stdout + run.stderr
    failed = {name for name in chapters if re.search(rf"^FAILED .*{name}\.ipynb", run.stdout, re.M)}
    assert run.returncode == bool(failed), run.stdout
    return failed, run.stdout


def test_nbval_sees_one_changed_digit_and_overlooks_another_picture(chapter, tmp_path):
    """It also passes although the stored notebook lacks the widget view that a run produces."""

    def with_change(output, old, new):
        changed = copy.deepcopy(chapter)
        outputs = changed.cells[2].outputs
        target, key = (outputs[0], "text") if output == 0 else (outputs[1].data, "text/html")
        assert old in target[key]
        target[key] = target[key].replace(old, new)
        return changed

    failed, written = compare(
        tmp_path,
        picture=with_change(1, "AAAA", "BBBB"),
        printed=with_change(0, "1.604", "1.605"),
        html=with_change(1, "0.5", "0.6"),
    )
    assert failed == {"printed", "html"}, written
    assert "mismatch 'stdout'" in written and "mismatch 'text/html'" in written


def test_nbval_sees_a_package_that_behaves_otherwise(chapter, tmp_path):
    package = tmp_path / "dit_lesson"
    shutil.copytree(ROOT / "dit_lesson", package, ignore=shutil.ignore_patterns("__pycache__"))
    with (package / "numpy_dit.py").open("a", encoding="utf-8") as module:
        module.write(
            "\n\ndef layer_norm(x, eps=1e-6):\n"
            "    centred = x - x.mean(-1, keepdims=True)\n"
            "    return centred / (x.var(-1, keepdims=True) + eps)  # no square root\n"
        )
    failed, written = compare(tmp_path, package=tmp_path, chapter=chapter)
    assert failed == {"chapter"} and "mismatch 'stdout'" in written, written
