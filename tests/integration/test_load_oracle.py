"""The second opinion: k6's summary is read as it is, its script holds no secret, and it runs where k6 is."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from storage.errors import NotMeasuredError, UsageError
from tasks.load.adhoc.oracle import SCRIPT, Opinion, compare, find_k6, k6_plan, parse, run_k6
from tasks.load.adhoc.plan import make_plan
from tests.load_servers import Received, reply, serving

SECRET = "hunter2"
RECORDED = Path(__file__).parents[1] / "data" / "k6_summary.json"
"""What k6 1.1.0 gave handleSummary after 200/s for 3 s against nginx, as it wrote it."""

FOUND = {
    "requests": 600,
    "errors": {"total": 0},
    "unsent": 0,
    "service_ms": {"p50": 0.4, "p95": 0.7, "p99": 4.0, "p99_9": 5.0, "max": None},
    "client_cpu_seconds": 0.25,
}


def test_a_recorded_summary_is_read() -> None:
    opinion = parse(json.loads(RECORDED.read_text()))
    assert opinion == Opinion(
        requests=601,
        failed=0,
        dropped=0,
        service_ms={"p50": 0.360797, "p95": 0.78386, "p99": 4.065175, "p99_9": 5.524621200000056, "max": 5.894808},
    )


def test_dropped_and_failed_requests_are_counted() -> None:
    summary = json.loads(RECORDED.read_text())
    summary["metrics"]["dropped_iterations"] = {"type": "counter", "values": {"count": 7, "rate": 2.3}}
    summary["metrics"]["http_req_failed"]["values"] = {"rate": 0.01, "passes": 6, "fails": 595}
    opinion = parse(summary)
    assert (opinion.dropped, opinion.failed) == (7, 6)


def test_a_summary_without_requests_is_not_measured() -> None:
    with pytest.raises(NotMeasuredError, match="http_req_duration"):
        parse({"metrics": {}})


def test_both_stand_side_by_side_with_their_difference() -> None:
    lines = compare(FOUND, parse(json.loads(RECORDED.read_text()), client_cpu_seconds=0.5)).splitlines()
    rows = {line[:14].strip(): line[14:].split() for line in lines}
    assert rows["requests"] == ["600", "601", "-1"]
    assert rows["service p50"] == ["0.400", "ms", "0.361", "ms", "+0.039", "ms"]
    assert rows["service max"] == ["not", "measured", "5.895", "ms"]
    assert rows["CPU"] == ["0.25", "s", "0.50", "s", "-0.25", "s"]


def test_the_script_is_the_same_for_every_plan_and_holds_no_secret() -> None:
    plan = make_plan(f"http://me:{SECRET}@h/", headers=[f"X: {SECRET}"], body=f'"{SECRET}"')
    assert SECRET in json.dumps(k6_plan(plan))
    assert SECRET not in SCRIPT


def test_k6_runs_the_plan_or_its_absence_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    program = shutil.which("k6")
    if program is None:  # it is no dependency: a machine without it has the other half of the behaviour
        with pytest.raises(UsageError, match="no k6 on PATH"):
            find_k6()
        return

    async def answer(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)
        writer.write(reply(200, b"x" * 100))

    with serving(answer) as server:
        plan = make_plan(f"http://127.0.0.1:{server.port}/a", rate=50, duration_s=1, headers=["X-A: b"])
        opinion = run_k6(plan, find_k6())
    assert opinion.requests == server.requests
    assert 49 <= opinion.requests + opinion.dropped <= 51
    assert opinion.failed == 0
    assert opinion.service_ms["p50"] >= 20
    assert opinion.client_cpu_seconds is not None
    assert all("X-A: b" in head for head in server.heads)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="install it"):
        find_k6()


def test_what_k6_says_of_its_failure_is_told_without_the_url(tmp_path: Path) -> None:
    fails = tmp_path / "k6"
    fails.write_text(f"#!/bin/sh\necho 'cannot do http://me:{SECRET}@h/' >&2\nexit 107\n")
    fails.chmod(0o700)
    with pytest.raises(NotMeasuredError, match="k6 ended with code 107: cannot do <url>") as told:
        run_k6(make_plan(f"http://me:{SECRET}@h/"), str(fails))
    assert SECRET not in str(told.value)
