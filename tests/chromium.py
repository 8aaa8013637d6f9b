"""A headless Chromium for tests, driven over its DevTools protocol; it ends with its owner."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import connect
from websockets.sync.connection import Connection

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_START_S, _CALL_S, _END_S = 30.0, 30.0, 5.0
_TEXT = "(document.body?.innerText ?? '')"
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
)


class Page:
    """One page: what it was asked to show, what it said and what it asked for."""

    def __init__(self, connection: _Session) -> None:
        self._connection = connection
        self._last = 0
        self.requests: list[str] = []
        self.complaints: list[str] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol; events that arrive meanwhile are noted."""
        self._last += 1
        self._connection.send(json.dumps({"id": self._last, "method": method, "params": parameters}))
        until = time.monotonic() + _CALL_S
        while True:
            message = json.loads(self._connection.recv(timeout=max(0.1, until - time.monotonic())))
            if message.get("id") == self._last:
                assert "error" not in message, f"{method}: {message['error']}"
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def open(self, path: Path, *, width: int = 1280, height: int = 800, dark: bool = False) -> None:
        """Show a file in a window of this size; waits until it is drawn."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.requests, self.complaints = [], []
        self.call("Page.navigate", url=path.as_uri())
        until = time.monotonic() + _CALL_S
        while self.run("document.readyState + location.href") != "complete" + path.as_uri():
            assert time.monotonic() < until, f"{path} was not drawn within {_CALL_S:g} s"
            time.sleep(0.05)

    def visit(self, url: str, *, width: int = 1280, height: int = 900) -> None:
        """Go to a page of a server; it may still be loading what it shows."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Page.navigate", url=url)

    def wait_for(self, script: str, *, seconds: float = _CALL_S) -> Any:
        """Wait until a JavaScript expression has a true value, and return it."""
        until = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < until, f"not within {seconds:g} s: {script}; the page: {self.run(_TEXT)[:2000]}"
            time.sleep(0.2)
        return value

    def wait_for_text(self, text: str, *, seconds: float = _CALL_S) -> None:
        """Wait until the page shows a text."""
        self.wait_for(f"{_TEXT}.includes({json.dumps(text)})", seconds=seconds)

    def click(self, script: str) -> None:
        """Press and release the mouse in the middle of the element that a JavaScript expression finds."""
        place = self.wait_for(
            f"(() => {{ const e = {script}; if (!e) return null; e.scrollIntoView({{block: 'center'}});"
            " const r = e.getBoundingClientRect();"
            " return r.width ? [r.x + r.width / 2, r.y + r.height / 2] : null })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """What the window shows, or the whole page, as PNG."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def pdf(self) -> bytes:
        """The page as it is printed on A4."""
        return base64.b64decode(self.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)["data"])

    def _note(self, message: dict[str, Any]) -> None:
        parameters = message.get("params", {})
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif message.get("method") == "Log.entryAdded":
            self.complaints.append(parameters["entry"]["text"])
        elif message.get("method") in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
            self.complaints.append(json.dumps(parameters))


@contextmanager
def chromium() -> Iterator[Page]:
    """Start the browser with an empty profile and give its page; both are gone afterwards."""
    assert PROGRAM, "no Chromium on this machine"
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        command = [PROGRAM, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            with connect(
                _address(process, Path(profile)), max_size=None, max_queue=None, ping_interval=None, proxy=None
            ) as connection:
                yield _first_page(connection)
        finally:
            process.terminate()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(_END_S)


def _address(process: subprocess.Popen[bytes], profile: Path) -> str:
    """Where the browser listens: it writes that into its profile once it does."""
    note = profile / "DevToolsActivePort"
    until = time.monotonic() + _START_S
    while not note.exists() or len(note.read_text().splitlines()) < 2:
        assert process.poll() is None, f"{PROGRAM} ended with {process.returncode}"
        assert time.monotonic() < until, f"{PROGRAM} did not start within {_START_S:g} s"
        time.sleep(0.05)
    port, path = note.read_text().splitlines()[:2]
    return f"ws://127.0.0.1:{port}{path}"


class _Session:
    """The part of a browser's connection that speaks of one page."""

    def __init__(self, connection: Connection, session: str) -> None:
        self._connection = connection
        self._session = session

    def send(self, text: str) -> None:
        self._connection.send(json.dumps({**json.loads(text), "sessionId": self._session}))

    def recv(self, timeout: float) -> str | bytes:
        return self._connection.recv(timeout=timeout)


def _first_page(connection: Connection) -> Page:
    def ask(number: int, method: str, **parameters: Any) -> dict[str, Any]:
        connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (message := json.loads(connection.recv(timeout=_CALL_S))).get("id") != number:
            pass
        result: dict[str, Any] = message["result"]
        return result

    targets = ask(1, "Target.getTargets")["targetInfos"]
    target = next(t["targetId"] for t in targets if t["type"] == "page")
    session = ask(2, "Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    return Page(_Session(connection, session))
