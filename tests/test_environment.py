"""The environment of the book: a wrong Python, no network, a half-made `.venv`, and the lists."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# a port on which nothing listens stands for a machine without a network
OFFLINE = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0"}
OFFLINE |= dict.fromkeys(
    ["PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PYTHONPATH", "MAKEFLAGS"], ""
)
OFFLINE["PIP_CONFIG_FILE"] = os.devnull


@pytest.fixture
def make(tmp_path):
    """`make` of the environment, in a small checkout that needs no package."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    # what is left out needs packages: the package itself and the first import
    makefile = re.sub(r"(?m)^.*--editable \.$\n", "", makefile)
    makefile = makefile.replace("import matplotlib.font_manager, torch, dit_lesson", "pass")
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "oldest.py").write_text((ROOT / "tools" / "oldest.py").read_text())
    (tmp_path / "Makefile").write_text(makefile)
    for name in ("requirements.txt", "constraints.txt", "pyproject.toml"):
        (tmp_path / name).write_text("")

    def run(python=sys.executable):
        return subprocess.run(
            ["make", ".venv/ready", f"PYTHON={python}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=os.environ | OFFLINE,
        )

    return run


@pytest.mark.skipif(os.name == "nt", reason='README.md, "Without make"')
def test_the_environment_is_made_kept_and_recovers(make, tmp_path):
    """One story, for each making is slow."""
    first = make()
    assert first.returncode == 0 and "environment: ready" in first.stdout, first.stderr
    assert "up to date" in make().stdout

    # a list that is newer is brought up to, and without a network that is one sentence
    (tmp_path / "requirements.txt").write_text("einops\n")
    os.utime(tmp_path / "requirements.txt", (4e9, 4e9))
    failed = make()
    assert failed.returncode != 0 and "connect to a network and run this again" in failed.stdout

    (tmp_path / "requirements.txt").write_text("")
    assert make().returncode == 0

    # interrupted half way: no sign that it is ready, so it is made anew
    (tmp_path / ".venv" / "ready").unlink()
    (tmp_path / ".venv" / "half-made").touch()
    recovered = make()
    assert recovered.returncode == 0 and "environment: ready" in recovered.stdout
    assert not (tmp_path / ".venv" / "half-made").exists()


@pytest.mark.skipif(os.name == "nt", reason='README.md, "Without make"')
def test_an_old_python_is_told_so_before_anything_is_made(make, tmp_path):
    old = tmp_path / "old"
    old.write_text(
        f"#!/bin/sh\nexec {sys.executable} -c "
        "'import sys; sys.version_info = (3, 9); exec(open(sys.argv[1]).read())' \"$@\"\n"
    )
    old.chmod(0o755)
    refused = make(old)
    assert refused.returncode != 0 and not (tmp_path / ".venv").exists()
    assert "this is Python 3.9, the book needs 3.11 or newer; name another one" in refused.stderr


def lines(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def project(requirement):
    return re.split(r"[<>=!~;\[ ]", requirement)[0].lower().replace("_", "-")


def test_package_and_requirements_name_the_same_ranges():
    with (ROOT / "pyproject.toml").open("rb") as file:
        dependencies = tomllib.load(file)["project"]["dependencies"]
    assert set(dependencies) <= set(lines("requirements.txt"))


def test_every_requirement_has_one_tested_version():
    tested = [project(line) for line in lines("constraints.txt")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines("constraints.txt"))
    assert len(tested) == len(set(tested))
    assert {project(line) for line in lines("requirements.txt")} <= set(tested)
    assert {"torch==2.13.0", "jupyter-book==1.0.4.post1"} <= set(lines("constraints.txt"))
