"""The chapters: run them, turn them into text and back, and say what breaks their contract.

`make text` writes each chapter as MyST Markdown beside its notebook, to be edited; `make notebooks`
takes a text that is newer than its notebook, runs every cell in a fixed environment and stores
what it printed, less what varies between runs.
"""

import argparse
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode
from nbval.plugin import find_comment_markers, find_metadata_tags

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = ROOT / "notebooks"
# Chapters run in this environment, here and under nbval: sums split over threads, and sets
# under a random hash, would give other digits and another order on another machine.
FIXED_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    # the debugger's remark on frozen modules, which nobody asked for
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
HEADER = re.compile(r"\A---\n.*?^---\n", re.DOTALL | re.MULTILINE)
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
SECONDS_PER_CELL = 300
SYSTEM_FOLDERS = "home|root|Users|usr|opt|tmp|var|etc|mnt|srv|work|workspace|private|content"
ABSOLUTE_PATH = re.compile(
    rf"(?<![\w.~:/<-])/(?:{SYSTEM_FOLDERS})/\w|file:///|\b[A-Z]:\\(?:Users|Windows|Program|Temp)"
)
BASE64 = re.compile(r"base64,[A-Za-z0-9+/=]+")
REASON = re.compile(r"^\s*#\s*nbval:\s*\S+(?:\s+\S+){2,}", re.MULTILINE)


def texts(output: NotebookNode) -> Iterator[str]:
    """All text of an output, less the pictures."""
    if output.output_type == "stream":
        yield output.text
    elif output.output_type == "error":
        yield "\n".join([output.evalue, *output.traceback])
    else:
        for kind, value in output.data.items():
            if isinstance(value, str) and kind not in ("image/png", "image/jpeg"):
                yield BASE64.sub("", value)


def is_relaxed(cell: NotebookNode) -> bool:
    """Whether a tag or a comment tells nbval to compare less, or Jupyter not to run the cell."""
    options = dict(find_metadata_tags(cell.metadata)) | dict(find_comment_markers(cell.source))
    relaxed = options.get("check") is False or options.get("skip") or "check_exception" in options
    return bool(relaxed) or "skip-execution" in cell.metadata.get("tags", [])


def violations(notebook: NotebookNode) -> list[str]:
    """Every way in which a notebook breaks the contract, a sentence each; empty if it keeps it.

    Without it strict nbval proves little: a cell without an execution count is not compared.
    """
    found = []
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        found.append("the kernel is not named python3")
    if "version" in notebook.metadata.get("language_info", {}):
        found.append("the metadata name a Python version")
    if "widgets" in notebook.metadata:
        found.append("the metadata hold widget state")
    count = 0
    for number, cell in enumerate(notebook.cells, start=1):
        where = f"cell {number}"
        if ABSOLUTE_PATH.search(BASE64.sub("", cell.source)):
            found.append(f"{where}: the source names an absolute path")
        if cell.cell_type != "code":
            continue
        count += 1
        if cell.execution_count != count:
            found.append(f"{where}: execution count {cell.execution_count}, expected {count}")
        if is_relaxed(cell) and not REASON.search(cell.source):
            found.append(f"{where}: nbval is told to look away, no line '# nbval: why' says why")
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr":
                found.append(f"{where}: it writes to stderr: {output.text.strip()[:200]}")
            if WIDGET_VIEW in output.get("data", {}):
                found.append(f"{where}: an output holds a widget view")
            if any(ABSOLUTE_PATH.search(text) for text in texts(output)):
                found.append(f"{where}: an output names an absolute path")
    return found


def normalise(notebook: NotebookNode) -> NotebookNode:
    """Strip what varies between runs or is lost in text: versions, timings, widgets, ids."""
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for number, cell in enumerate(notebook.cells, start=1):
        cell.id = f"cell-{number:02d}"
        cell.source = cell.source.strip("\n")
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET_VIEW, None)
    return notebook


def to_text(notebook: NotebookNode) -> str:
    """A notebook as MyST Markdown, without its outputs."""
    return jupytext.writes(notebook, fmt="md:myst")


def from_text(text: str) -> NotebookNode:
    """The notebook that a MyST Markdown text describes, not yet run, under the chapters' header."""
    return normalise(jupytext.reads(HEADER.sub("", text), fmt="md:myst"))


def run(notebook: NotebookNode, folder: Path) -> NotebookNode:
    """Run every cell in the fixed environment, in `folder`; return the notebook to be stored.

    Raises: CellExecutionError or DeadKernelError, as a cell does.
    """
    client = NotebookClient(
        notebook,
        timeout=SECONDS_PER_CELL,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,  # how often the kernel flushes is chance
        extra_arguments=["--log-level=ERROR"],
    )
    client.execute(env=os.environ | FIXED_ENVIRONMENT)
    return normalise(notebook)


def execute(path: Path) -> list[str]:
    """Bring one chapter's notebook up to date; return what is wrong with it.

    A chapter that fails is not stored: the notebook on disk stays as it was.
    """
    text = path.with_suffix(".md")
    if text.exists() and (not path.exists() or text.stat().st_mtime > path.stat().st_mtime):
        notebook = from_text(text.read_text(encoding="utf-8"))
    else:
        notebook = nbformat.read(path, as_version=4)
    try:
        notebook = run(notebook, path.parent)
    except (CellExecutionError, DeadKernelError) as error:
        return [str(error)]
    found = violations(notebook)
    if not found:
        path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8", newline="\n")
    return found


def write_text(path: Path) -> list[str]:
    """Write one chapter as text beside its notebook, unless that would lose an edit."""
    text = path.with_suffix(".md")
    if not path.exists():
        return ["there is no notebook yet: `make notebooks` makes it from the text"]
    if text.exists() and text.stat().st_mtime > path.stat().st_mtime:
        return ["the text is newer than the notebook: run `make notebooks`, or delete the text"]
    text.write_text(to_text(nbformat.read(path, as_version=4)), encoding="utf-8", newline="\n")
    # as old as its notebook, so that only an edit makes it the newer one
    os.utime(text, (path.stat().st_atime, path.stat().st_mtime))
    return []


def main() -> None:
    """Run the chapters, or write them as text: those whose names start as given, or all."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("action", choices=["execute", "text"])
    parser.add_argument("names", nargs="*", help="for example 09")
    arguments = parser.parse_args()
    files = {path.with_suffix(".ipynb") for path in CHAPTERS.glob("[0-9]*.*")}
    chosen = sorted(path for path in files if path.name.startswith(tuple(arguments.names) or ("",)))
    if not chosen:
        sys.exit(f"notebooks: no chapter starts with {' or '.join(arguments.names) or 'a number'}")
    failed = False
    for path in chosen:
        print(f"{arguments.action} {path.stem}", flush=True)
        for problem in execute(path) if arguments.action == "execute" else write_text(path):
            failed = True
            print(f"  {problem}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
