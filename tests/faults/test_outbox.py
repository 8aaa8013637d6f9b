"""A watch that is killed while the receiver of its alerts is away: the next one tells them, in their order."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.valkeys import free_ports

TELLING = """
import sys, time
from datetime import UTC, datetime
import httpx
from tasks.monitoring.watch.alarm import Alert
from tasks.monitoring.watch.outbox import Outbox
from tasks.monitoring.watch.spool import Spool
from pathlib import Path

def send(alert):
    httpx.post(f"http://127.0.0.1:{sys.argv[1]}/", content=alert.incident, trust_env=False).raise_for_status()

outbox = Outbox(send, "a receiver", Spool(Path(sys.argv[2])))
for incident in sys.argv[3:]:
    outbox(
        Alert(
            event="firing", alert="Down", severity="critical", environment="staging", target="api", incident=incident,
            at=datetime.now(UTC), since=datetime.now(UTC), title="API", words="API does not answer", value=None,
            limit=None, unit=None, n=0, source="a test",
        )
    )
print("told", flush=True)
time.sleep(60)
"""


def _telling(port: int, spool: Path, *incidents: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", TELLING, str(port), str(spool), *incidents]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "told\n"
    return process


def _until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.timeout(90)
def test_what_a_killed_watch_could_not_tell_is_told_by_the_next_one(tmp_path: Path) -> None:
    (port,), spool, got = free_ports(1), tmp_path / "watch-staging.webhook.json", list[str]()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["content-length"])).decode())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    first = _telling(port, spool, "one", "two")
    first.kill()
    first.communicate(timeout=10)
    assert spool.stat().st_mode & 0o077 == 0
    with HTTPServer(("127.0.0.1", port), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        second = _telling(port, spool, "three")
        try:
            _until(lambda: len(got) == 3)
            _until(lambda: not spool.exists())
        finally:
            second.kill()
            second.communicate(timeout=10)
            server.shutdown()
    assert got == ["one", "two", "three"]
    assert [path.name for path in tmp_path.iterdir()] == []
