"""The chapters' copies for Colab: they install the package, and run where nothing else has it."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import nbformat
import pytest
import yaml
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from tools.colab import copy_chapters

ROOT = Path(__file__).parents[1]
SOURCE = "git+https://github.com/owner/name@0123456"


def test_a_copy_has_one_cell_more_and_is_the_chapter_else(tmp_path):
    copies = copy_chapters(SOURCE, tmp_path)
    chapters = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert [copy.relative_to(tmp_path) for copy in copies] == [
        chapter.relative_to(ROOT) for chapter in chapters
    ]
    for copy, chapter in zip(copies, chapters, strict=True):
        cells, original = (nbformat.read(path, as_version=4).cells for path in (copy, chapter))
        first = next(i for i, cell in enumerate(cells) if cell.cell_type == "code")
        assert f'%pip install --quiet "dit-lesson @ {SOURCE}"' in cells.pop(first).source
        assert cells == original


def test_the_publishing_workflow_puts_the_copies_on_their_branch(tmp_path):
    workflow = yaml.safe_load((ROOT / ".github/workflows/publish.yml").read_text(encoding="utf-8"))
    (script,) = (step["run"] for step in workflow["jobs"]["copies"]["steps"] if "run" in step)
    github = tmp_path / "github.git"
    subprocess.run(["git", "init", "--quiet", "--bare", github], check=True)
    environment = os.environ | {
        "BOOK_REPOSITORY_URL": "https://github.com/owner/name",
        "GITHUB_REPOSITORY": "owner/name",
        "GITHUB_SHA": "0123456",
        "RUNNER_TEMP": str(tmp_path),
        "PIP_NO_INDEX": "1",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        # what goes to GitHub goes to the folder
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.{github}.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://x-access-token:secret@github.com/owner/name",
    }
    script = script.replace("${{ github.token }}", "secret")
    subprocess.run(["bash", "-e", "-c", script], cwd=ROOT, env=environment, check=True)
    asked = ["git", "--git-dir", github, "ls-tree", "-r", "--name-only", "colab"]
    held = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    assert held == [f"notebooks/{path.name}" for path in sorted(ROOT.glob("notebooks/*.ipynb"))]
    asked = ["git", "--git-dir", github, "show", f"colab:{held[0]}"]
    first = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert f"dit-lesson @ {SOURCE}" in first


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The package as a wheel, built beside the repository and not in it."""
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(
        ROOT / "dit_lesson",
        folder / "dit_lesson",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    shutil.copy(ROOT / "pyproject.toml", folder)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", "dist"]
    subprocess.run([sys.executable, "-m", "pip", "wheel", ".", *options], cwd=folder, check=True)
    (built,) = (folder / "dist").glob("dit_lesson-*.whl")
    return built


@pytest.fixture
def fresh(tmp_path):
    """A Python that has the libraries of this one, and not the package."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    python = tmp_path / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    asked = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    found = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    # a folder that is named so gives its packages, and nothing that is installed as editable
    Path(found, "libraries.pth").write_text(sysconfig.get_path("purelib"))
    look = "from importlib.util import find_spec as f; print(bool(f('torch')), f('dit_lesson'))"
    asked = [python, "-c", look]
    found = subprocess.run(asked, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert found.stdout.split() == ["True", "None"]
    return python


def test_a_copy_runs_where_only_a_wheel_has_the_package(wheel, fresh, tmp_path):
    copies = copy_chapters(wheel.as_uri(), tmp_path)
    (copy,) = (path for path in copies if path.stem == "11-four-designs")
    notebook = nbformat.read(copy, as_version=4)
    where = "import dit_lesson; print(dit_lesson.__file__)"
    notebook.cells.append(nbformat.v4.new_code_cell(where))

    class Fresh(KernelSpecManager):
        def get_kernel_spec(self, kernel_name):
            command = [str(fresh), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            return KernelSpec(argv=command, display_name="fresh", language="python")

    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=Fresh())
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    client = NotebookClient(
        notebook, km=manager, timeout=240, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute(env=environment | {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"})
    (output,) = notebook.cells[-1].outputs
    assert Path(output.text.strip()).is_relative_to(tmp_path / "env")
