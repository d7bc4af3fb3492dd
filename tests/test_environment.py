"""`.ci/environment.py`: what goes wrong ends in one sentence, and the next run recovers."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import environment  # .ci/environment.py
import pytest

ROOT = Path(__file__).parents[1]


# a port on which nothing listens stands for a machine without a network
OFFLINE = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "1"}
OFFLINE |= dict.fromkeys(
    ["PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PYTHONPATH"], ""
)
OFFLINE["PIP_CONFIG_FILE"] = os.devnull


def test_environment_is_made_kept_and_recovers(tmp_path):
    """The script, on a small checkout that needs no package; one story, for each making is slow."""
    script = (ROOT / ".ci" / "environment.py").read_text(encoding="utf-8")
    script = re.sub(r"(?m)^FIRST_IMPORT = .*$", 'FIRST_IMPORT = "import dit_lesson"', script)
    for name in (".ci/environment.py", "dit_lesson/__init__.py", *environment.LISTS):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(script if name.startswith(".ci") else "", encoding="utf-8")

    def run():
        command = [sys.executable, tmp_path / ".ci" / "environment.py"]
        return subprocess.run(command, capture_output=True, text=True, env=os.environ | OFFLINE)

    first = run()
    assert first.returncode == 0 and "ready" in first.stdout, first.stdout + first.stderr
    python = tmp_path / Path(environment.PYTHON).relative_to(environment.ROOT)
    probe = [python, "-I", "-c", "import dit_lesson; print(dit_lesson.__file__)"]
    found = subprocess.check_output(probe, cwd=tmp_path / ".ci", text=True).strip()
    assert Path(found).samefile(tmp_path / "dit_lesson" / "__init__.py")

    again = run()
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")

    (tmp_path / "requirements.txt").write_text("einops\n")
    (tmp_path / ".venv" / "half-made").touch()
    failed = run()
    assert failed.returncode == 1 and failed.stderr == (
        "environment: the package index cannot be reached; "
        "connect to a network and run this again\n"
    )
    assert "einops" in (tmp_path / "_build" / "environment.log").read_text()

    (tmp_path / "requirements.txt").write_text("")
    recovered = run()
    assert recovered.returncode == 0 and "making it anew" in recovered.stdout, recovered.stderr
    assert not (tmp_path / ".venv" / "half-made").exists()


@pytest.fixture
def steps(tmp_path, monkeypatch):
    """What `main` does, with a finished environment and with making and installing recorded."""
    done = []
    monkeypatch.setattr(environment, "STAMP", str(tmp_path / "installed.json"))
    monkeypatch.setattr(environment, "LOG", str(tmp_path / "environment.log"))
    monkeypatch.setattr(environment, "PYTHON", sys.executable)
    for name in ("make", "install"):
        monkeypatch.setattr(environment, name, lambda name=name: done.append(name))
    (tmp_path / "installed.json").write_text(json.dumps(environment.wanted()))
    return done


def test_a_finished_environment_is_left_alone(steps):
    environment.main()
    assert steps == []


@pytest.mark.parametrize(
    ("key", "expected"),
    [("packages", ["install"]), ("python", ["make", "install"]), ("folder", ["make", "install"])],
)
def test_what_differs_decides_what_is_done(key, expected, steps):
    """Scripts of an environment know their folder, its packages their Python: then made anew."""
    Path(environment.STAMP).write_text(json.dumps(environment.wanted() | {key: "another"}))
    environment.main()
    assert steps == expected
    environment.main()
    assert steps == expected


@pytest.mark.parametrize("stamp", ["", "{", None])
def test_an_unfinished_environment_is_made_anew(stamp, steps):
    Path(environment.STAMP).unlink()
    if stamp is not None:
        Path(environment.STAMP).write_text(stamp)
    environment.main()
    assert steps == ["make", "install"]


def test_an_environment_whose_python_is_gone_is_made_anew(steps, monkeypatch, tmp_path):
    monkeypatch.setattr(environment, "PYTHON", str(tmp_path / "gone"))
    environment.main()
    assert steps == ["make", "install"]


def test_a_failure_of_pip_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(environment, "LOG", str(tmp_path / "environment.log"))
    (tmp_path / "environment.log").touch()
    monkeypatch.setattr(environment, "run", lambda command: (1, "ERROR: no space"))
    with pytest.raises(SystemExit, match=r"^environment: pip failed; its last line was: ERROR: no"):
        environment.install()


def test_old_python_is_told_so(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 9, 18, "final", 0))
    with pytest.raises(SystemExit, match=r"this is Python 3\.9, the book needs 3\.11 or newer"):
        environment.main()


def test_old_python_can_read_the_script():
    """It was also run by Python 2.7 and 3.6; here the grammar of 3.4 stands for the old ones."""
    script = (ROOT / ".ci" / "environment.py").read_text(encoding="utf-8")
    tree = ast.parse(script, feature_version=(3, 4))
    newer = (ast.JoinedStr, ast.AnnAssign, ast.arg)
    found = [node for node in ast.walk(tree) if isinstance(node, newer)]
    assert [node for node in found if getattr(node, "annotation", True)] == []
    dictionaries = [node for node in ast.walk(tree) if isinstance(node, ast.Dict)]
    assert all(None not in node.keys for node in dictionaries)


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
