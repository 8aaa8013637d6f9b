"""`hasivu-perf load URL` as a user runs it, in a process of its own, against servers that count what they receive."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.load_servers import Answer, Received, reply, serving

PROGRAM = Path(sys.executable).with_name("hasivu-perf")
SECRET = "hunter2"


@dataclass(frozen=True)
class Ended:
    """How the command ended."""

    code: int
    out: str
    err: str

    @property
    def found(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.out)
        return loaded


def started(*arguments: str, variables: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(PROGRAM), "load", *arguments],
        env={**os.environ, **(variables or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def load(*arguments: str, variables: Mapping[str, str] | None = None) -> Ended:
    process = started(*arguments, variables=variables)
    out, err = process.communicate(timeout=60)
    return Ended(process.returncode, out, err)


def after(delay_s: float, status: int = 200) -> Answer:
    async def answer(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(delay_s)
        writer.write(reply(status))

    return answer


def test_an_open_load_sends_exactly_its_plan_and_says_so_in_json() -> None:
    with serving(after(0.02)) as server:
        url = f"http://127.0.0.1:{server.port}/a?token={SECRET}"
        ended = load(url, "--rate", "100", "--duration", "2", "--json", "--header", f"X-Key: {SECRET}")
    found = ended.found
    assert ended.code == found["exit_code"] == 0
    assert server.targets == {"GET /a": 200}
    assert all(f"X-Key: {SECRET}" in head and f"/a?token={SECRET}" in head for head in server.heads)
    assert found["requests"] == found["planned"] == found["answered"] == 200
    assert found["unsent"] == found["errors"]["total"] == 0
    assert found["statuses"] == {"200": 200}
    assert found["model"] == "open"
    assert found["rate"]["target"] == 100
    assert 95 <= found["rate"]["achieved"] <= 100
    assert 0 < found["client_cpu_seconds"] < 2
    for spread in (found["latency_ms"], found["service_ms"]):
        assert spread["n"] == 200
        assert 20 <= spread["p50"] <= spread["p95"] <= spread["p99"] <= spread["p99_9"] <= spread["max"]
    assert found["latency_ms"]["p50"] >= found["service_ms"]["p50"]
    assert found["trust"]["level"] in ("indicative", "not_trusted")  # both ends are on this machine
    assert any("share a machine" in reason for reason in found["trust"]["reasons"])
    assert SECRET not in ended.out + ended.err
    rows = [line for line in ended.err.splitlines() if "/s" in line]
    assert len(rows) >= 1


def test_a_broken_limit_is_exit_code_1_and_stands_on_top() -> None:
    with serving(after(0.05)) as server:
        url = f"http://127.0.0.1:{server.port}/"
        ended = load(url, "--rate", "50", "--duration", "1", "--p95", "20", "--errors", "0.5")
    assert ended.code == 1
    first, second = ended.out.splitlines()[:2]
    assert first.startswith("FAIL  1 of 2 limits broken")
    assert "broken" in second
    assert "p95" in second
    assert "limit 20.0 ms, n 50" in second


def test_a_name_without_address_is_exit_code_3_in_one_line() -> None:
    ended = load("http://no-such-host.invalid/", "--duration", "1")
    assert ended.code == 3
    assert ended.out == ""
    assert ended.err.startswith("hasivu-perf: no-such-host.invalid has no address")


@pytest.mark.parametrize(("number", "as_json"), [(signal.SIGINT, False), (signal.SIGTERM, True)])
def test_interrupted_it_says_what_it_has(number: signal.Signals, as_json: bool) -> None:  # noqa: FBT001 - a parameter
    with serving(after(0.005)) as server:
        url = f"http://127.0.0.1:{server.port}/"
        process = started(url, "--rate", "50", "--duration", "60", *(("--json",) if as_json else ()))
        assert process.stderr is not None
        process.stderr.readline()  # a second of load is over
        process.send_signal(number)
        began = time.monotonic()
        out, err = process.communicate(timeout=20)
        assert time.monotonic() - began < 10
    assert process.returncode == 130
    assert "Traceback" not in err
    if as_json:
        assert json.loads(out)["interrupted"]
        assert 0 < json.loads(out)["requests"] <= server.requests
    else:
        assert out.startswith("INTERRUPTED")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("ftp://example.org/",), "URL"),
        (("http://example.org/", "--rate", "5", "--connections", "5"), "exclude"),
        (("http://example.org/", "--header", f"Authorization {SECRET}"), "--header number 1"),
        (("http://example.org/", "--rate", "many"), "many"),
        (("http://example.org/", "--search"), "--search needs --p95"),
        (("http://example.org/", "--search", "--p95", "5", "--oracle", "k6"), "exclude each other"),
        (("http://example.org/", "--body", "@/nowhere/at-all"), "name a file that can be read"),
        ((), "URL"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments: tuple[str, ...], words: str) -> None:
    ended = load(*arguments)
    assert ended.code == 2
    assert ended.out == ""
    (line,) = ended.err.strip().splitlines()
    assert words in line
    assert SECRET not in line


def test_it_starts_without_prefect() -> None:
    code = (
        "import sys, flows.load, tasks.load.adhoc.adhoc, tasks.load.adhoc.figures, tasks.load.adhoc.text;"
        "print([name for name in sys.modules if name.split('.')[0] in ('prefect', 'boto3', 'psycopg')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
