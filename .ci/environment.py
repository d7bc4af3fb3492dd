"""Make the Python environment of the book: `.venv`, with the tested versions and `dit_lesson`.

Run it with any Python from 3.11 on: `python .ci/environment.py`.  It needs the standard library
only.  A second run changes nothing; an environment that was left half made is made anew.

This file must still be read by an old Python, so that it can say that it is too old: hence
no annotations and no f-strings.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys

OLDEST = (3, 11)
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
STAMP = os.path.join(VENV, "installed.json")
LOG = os.path.join(ROOT, "_build", "environment.log")
LISTS = ("requirements.txt", "constraints.txt")
PYTHON = os.path.join(VENV, *(["Scripts", "python.exe"] if os.name == "nt" else ["bin", "python"]))
NO_NETWORK = ("NewConnectionError", "NameResolutionError", "ConnectTimeout", "ProxyError")
# Installed packages do some work when they are first imported (Matplotlib looks for fonts and
# says so on stderr): done here, it does not turn up in a notebook's output.
FIRST_IMPORT = "import matplotlib.font_manager, torch, dit_lesson"
FIND_SITE_PACKAGES = "import sysconfig; print(sysconfig.get_path('purelib'))"


def stop(sentence):
    """End with one sentence."""
    sys.exit("environment: " + sentence)


def wanted():
    """What the stamp of a finished environment says; any difference means work to do."""
    packages = hashlib.sha256()
    for name in LISTS:
        with open(os.path.join(ROOT, name), "rb") as file:
            packages.update(file.read().replace(b"\r\n", b"\n"))
    return {
        "folder": ROOT,
        "python": "{}.{}".format(*sys.version_info[:2]),
        "packages": packages.hexdigest(),
    }


def installed():
    """The stamp of the environment that is there, or an empty one if it is not usable."""
    try:
        with open(STAMP) as file:
            stamp = json.load(file)
        subprocess.check_call([PYTHON, "-c", "pass"], stderr=subprocess.DEVNULL)
    except (OSError, ValueError, subprocess.CalledProcessError):
        return {}
    return stamp


def run(command):
    """Run a command, its output in the log; return its exit status and the last thing it said."""
    said = ""
    with open(LOG, "a") as log:
        log.write("$ {}\n".format(" ".join(command)))
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            universal_newlines=True,
            errors="replace",
        )
        for line in process.stdout:
            log.write(line)
            said = line.strip() or said
            if "MB)" in line or line.startswith("Installing"):
                print("  " + line.strip()[:90])
                sys.stdout.flush()
    return process.wait(), said


def make():
    """A new, empty virtual environment in place of whatever lies there."""
    if os.path.isdir(VENV):
        print("environment: .venv is not complete or not for this Python, making it anew")
        shutil.rmtree(VENV)
    status, said = run([sys.executable, "-m", "venv", VENV])
    if status:
        stop(
            "Python could not make .venv; on Debian and Ubuntu the package python3-venv is needed "
            "(it said: {}; all of it is in {})".format(said, LOG)
        )


def install():
    """The packages of requirements.txt in the versions of constraints.txt, and `dit_lesson`."""
    print("environment: installing into .venv, some minutes the first time (log: {})".format(LOG))
    pip = [PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off"]
    status, said = run(pip + ["-r", "requirements.txt", "-c", "constraints.txt"])
    if status:
        with open(LOG) as log:
            unreachable = any(word in log.read() for word in NO_NETWORK)
        if unreachable:
            stop("the package index cannot be reached; connect to a network and run this again")
        stop("pip failed; its last line was: {} (all of it is in {})".format(said, LOG))
    site_packages = subprocess.check_output([PYTHON, "-c", FIND_SITE_PACKAGES]).decode().strip()
    with open(os.path.join(site_packages, "dit_lesson.pth"), "w") as file:
        file.write(ROOT + "\n")
    status, said = run([PYTHON, "-c", FIRST_IMPORT])
    if status:
        stop("the installed packages do not start: {} (all of it is in {})".format(said, LOG))


def main():
    """Bring `.venv` to the wanted state."""
    if sys.version_info < OLDEST:
        stop(
            "this is Python {}.{}, the book needs {}.{} or newer; "
            "with make, name another one: make book PYTHON=python3.13".format(
                *(tuple(sys.version_info[:2]) + OLDEST)
            )
        )
    goal = wanted()
    stamp = installed()
    if stamp == goal:
        return
    if not os.path.isdir(os.path.dirname(LOG)):
        os.makedirs(os.path.dirname(LOG))
    with open(LOG, "w"):
        pass
    if [stamp.get(key) for key in ("folder", "python")] == [goal["folder"], goal["python"]]:
        os.remove(STAMP)
    else:
        make()
    install()
    with open(STAMP, "w") as file:
        json.dump(goal, file)
    print("environment: ready")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        stop("interrupted; the next run makes .venv anew")
