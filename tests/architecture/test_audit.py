"""A known vulnerability of a locked version is found and named; what could not be asked is not taken for none."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.receivers import serving

ROOT = Path(__file__).resolve().parents[2]
ADVISORY = {
    "id": "GHSA-plan-ted0-0000",
    "summary": "planted by a test",
    "modified": "2026-01-01T00:00:00Z",
    "published": "2026-01-01T00:00:00Z",
    "affected": [
        {
            "package": {"name": "jinja2", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}],
        }
    ],
}


@contextmanager
def advisories(vulnerable: str) -> Iterator[tuple[str, set[str]]]:
    """The address of a server that speaks osv.dev's protocol, and the packages that it was asked for."""
    asked: set[str] = set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            queries = json.loads(self.rfile.read(int(self.headers["content-length"])))["queries"]
            names = [query["package"]["name"] for query in queries]
            asked.update(names)
            known = {"vulns": [{"id": ADVISORY["id"], "modified": ADVISORY["modified"]}]}
            self._answer({"results": [known if name == vulnerable else {} for name in names]})

        def do_GET(self) -> None:
            self._answer(ADVISORY)

        def _answer(self, content: object) -> None:
            body = json.dumps(content).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing on the terminal."""

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        yield f"http://127.0.0.1:{port}/", asked


def audit(address: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "OSV_URL": address, "UV_HTTP_RETRIES": "0", "NO_PROXY": "127.0.0.1"}
    return subprocess.run(
        [ROOT / ".ci/audit"], env=variables, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_known_vulnerability_fails_and_is_named() -> None:
    with advisories("jinja2") as (address, asked):
        found = audit(address)
    assert found.returncode == 1, found.stderr
    assert "jinja2" in found.stderr
    assert str(ADVISORY["id"]) in found.stderr
    assert {"jinja2", "prefect", "psycopg", "pytest"} <= asked


def test_none_known_passes_in_silence() -> None:
    with advisories("nothing") as (address, _):
        found = audit(address)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_what_cannot_be_asked_is_not_measured() -> None:
    found = audit("http://127.0.0.1:1/")
    assert found.returncode == 2
    assert found.stderr.startswith("known vulnerabilities: not measured: ")
    assert "Connection refused" in found.stderr
