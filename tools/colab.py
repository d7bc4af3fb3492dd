"""Copies of the chapters for Colab, whose first cell installs the package.

The publishing workflow puts them on the branch `colab`, where the pages' Colab button leads; the
notebooks of the book stay as they are.

    python -m tools.colab git+https://github.com/OWNER/NAME@COMMIT FOLDER
"""

import argparse
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[1]
CELL = """\
# Colab has PyTorch and not this book's package: install it, at the commit of this copy
%pip install --quiet "dit-lesson @ {source}\""""


def copy_chapters(source: str, folder: Path) -> list[Path]:
    """Every chapter with an installing cell before its first cell of code.

    Args:
        source: where pip finds the package, "git+https://...@COMMIT" or the address of a wheel.
        folder: gets `notebooks/`, as the book has it.
    Returns: the files written.
    """
    written = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        first = next(i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code")
        cell = nbformat.v4.new_code_cell(CELL.format(source=source), id="install-dit-lesson")
        notebook.cells.insert(first, cell)
        copy = folder / "notebooks" / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, copy)
        written.append(copy)
    return written


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the chapters' copies for Colab.")
    parser.add_argument("source", help="git+https://github.com/OWNER/NAME@COMMIT")
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    copy_chapters(arguments.source, arguments.folder)
