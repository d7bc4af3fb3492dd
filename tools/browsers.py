"""Firefox and WebKit without a driver of their own: open a page, and ask it by JavaScript.

Chromium comes with Playwright's own protocol (`tools/chromium.py`). Firefox speaks WebDriver BiDi,
WebKitGTK classic WebDriver; of both only what the tests need is here.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Protocol
from urllib.request import Request, urlopen

import websocket

FIREFOX = next(filter(None, map(shutil.which, ("firefox-esr", "firefox"))), None)
WEBKIT_DRIVER, XVFB = shutil.which("WebKitWebDriver"), shutil.which("xvfb-run")
MINI_BROWSERS = sorted(Path("/usr/lib").glob("*/webkit2gtk-4.*/MiniBrowser"))
WEBKIT = str(MINI_BROWSERS[-1]) if MINI_BROWSERS and WEBKIT_DRIVER and XVFB else None

TIMEOUT = 120  # seconds, for an answer
# in Firefox a page from disk is then as strict as in a reader's: the driver would relax it
PREFERENCES = 'user_pref("security.fileuri.strict_origin_policy", true);\n'


class Driven(Protocol):
    """A browser that is driven: ``open`` a page, ``ask`` it."""

    def open(self, address: str) -> None:
        """Go to a page, and wait until it has loaded."""

    def ask(self, function: str) -> Any:
        """What an async function in JavaScript, without arguments, answers on the page."""


class Firefox:
    """Over WebDriver BiDi, one socket."""

    def __init__(self, port: int):
        self.socket = websocket.create_connection(
            f"ws://127.0.0.1:{port}/session", timeout=TIMEOUT, suppress_origin=True
        )
        self.numbers = count()
        self._call("session.new", capabilities={})
        self.tab = self._call("browsingContext.getTree")["contexts"][0]["context"]

    def _call(self, method: str, **params: Any) -> Any:
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == number:
                if message["type"] == "error":
                    raise RuntimeError(f"{method}: {message['message']}")
                return message["result"]

    def open(self, address: str) -> None:  # noqa: D102
        self._call("browsingContext.navigate", context=self.tab, url=address, wait="complete")

    def ask(self, function: str) -> Any:  # noqa: D102
        answer = self._call(
            "script.evaluate",
            expression=f"({function})().then((value) => JSON.stringify(value))",
            target={"context": self.tab},
            awaitPromise=True,
        )
        if answer["type"] == "exception":
            raise RuntimeError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"]["value"])


class WebKit:
    """Over WebDriver, a request a command."""

    def __init__(self, port: int, program: str):
        self.address = f"http://127.0.0.1:{port}/session"
        options = {"binary": program, "args": ["--automation"]}
        wanted = {
            "webkitgtk:browserOptions": options,
            "timeouts": {"script": 1000 * TIMEOUT, "pageLoad": 1000 * TIMEOUT},
        }
        session = self._post("", {"capabilities": {"alwaysMatch": wanted}})
        self.address += f"/{session['sessionId']}"

    def _post(self, command: str, body: dict[str, Any]) -> Any:
        request = Request(
            self.address + command,
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urlopen(request, timeout=TIMEOUT) as answer:
            return json.loads(answer.read())["value"]

    def open(self, address: str) -> None:  # noqa: D102
        self._post("/url", {"url": address})

    def ask(self, function: str) -> Any:  # noqa: D102
        script = f"""const done = arguments[arguments.length - 1];
          const failed = (error) => done({{ error: String(error) }});
          ({function})().then((value) => done({{ value }}), failed);"""
        answer = self._post("/execute/async", {"script": script, "args": []})
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["value"]


@contextmanager
def _running(command: list[str], said: str, **environment: str) -> Generator[int]:
    """A program that says its port, in a line like ``said``; it and its children end with this."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | environment,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.search(said, line):
                yield int(found.group(1))
                return
        raise RuntimeError(f"{command[0]} ended without a port")
    finally:
        os.killpg(process.pid, 15)
        process.wait()


@contextmanager
def firefox() -> Generator[Driven]:
    """A headless Firefox with a profile of its own."""
    assert FIREFOX
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        Path(profile, "user.js").write_text(PREFERENCES)
        command = [FIREFOX, "--headless", "--no-remote", "--profile", profile]
        said = r"WebDriver BiDi listening on ws://[\w.]+:(\d+)"
        with _running([*command, "--remote-debugging-port", "0"], said, HOME=profile) as port:
            yield Firefox(port)


@contextmanager
def webkit() -> Generator[Driven]:
    """WebKitGTK's small browser on a screen that nobody sees."""
    assert WEBKIT and WEBKIT_DRIVER and XVFB
    port = _free_port()
    screen = [XVFB, "-a", "-s", "-screen 0 1600x1400x24"]
    # the driver says nothing when it is ready: the shell says it, once the port answers
    script = (
        f"{WEBKIT_DRIVER} --port={port} & "
        f"until (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null; do sleep 0.1; done; "
        f"echo port {port}; wait"
    )
    with _running([*screen, "bash", "-c", script], r"port (\d+)"):
        yield WebKit(port, WEBKIT)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
