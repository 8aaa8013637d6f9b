"""Timelines, worked out by hand for a small load."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from storage.records import ComponentId
from tasks.load.recording.recorder import SCHEMA
from tasks.load.recording.timeline import timeline
from tests.report_example import THRESHOLDS

LIMITS = next(one for one in THRESHOLDS if one.metric == "api.latency.p95")
START = 1_700_000_000_000_000_000


def table(rows: Iterable[tuple[float, float, str, int, str | None, bool]]) -> pa.Table:
    """(intended s, latency ms, phase, status, error, failed) → a samples table."""
    made: list[dict[str, Any]] = []
    for at, latency, phase, status, error, failed in rows:
        sent = START + int(at * 1e9)
        moments = dict.fromkeys(("intended_ns", "taken_ns", "sent_ns"), sent)
        ended = dict.fromkeys(("received_ns", "seen_ns"), sent + int(latency * 1e6))
        counts = {"bytes": 1, "items": 1, "worker": 0}
        said = {"endpoint": "GET /", "phase": phase, "status": status, "error": error, "failed": failed}
        made.append(moments | ended | counts | said)
    return pa.Table.from_pylist(made, schema=SCHEMA)


def good(at: float, latency: float, phase: str = "steady") -> tuple[float, float, str, int, str | None, bool]:
    return at, latency, phase, 200, None, False


def test_steps_hold_percentiles_counts_and_phases() -> None:
    rows = [good(at / 40, 10, "ramp") for at in range(40)]  # second 0
    rows += [good(1 + at / 40, 1 + at) for at in range(40)]  # second 1: 1 … 40 ms, p95 the 38th
    rows += [(2.0 + at / 100, 5, "steady", 500, None, True) for at in range(10)]
    rows += [(2.5, 900, "steady", 0, "timeout", False), good(2.9, 250)]
    made = timeline(ComponentId.API, LIMITS, table(rows), ("steady",))
    assert made is not None
    assert (made.step_s, made.start.timestamp()) == (1, START / 1e9)
    assert list(made.phases) == ["ramp", "steady", "steady"]
    assert list(made.sent) == [40, 40, 12]
    assert list(made.bad) == [0, 0, 11]
    assert list(made.p50) == [10, 20, 5]
    assert list(made.p95) == [10, 38, None], "12 answers say nothing of p95"
    assert list(made.p99) == [None] * 3
    assert made.wrong == {"status 500": 10, "timeout": 1}
    assert (made.judged, made.in_time, made.limit) == (52, 40, 200), "a fast error and a slow answer are not in time"


def test_a_gap_is_a_step_without_requests() -> None:
    made = timeline(ComponentId.RFID, LIMITS, table([good(at, 3) for at in (0.0, 0.1, 190.0)]), ("steady",))
    assert made is not None
    assert sum(made.sent) == 3
    assert set(made.phases) == {"steady", ""}
    assert None in made.p50


def test_a_long_run_has_few_steps_and_none_has_no_timeline() -> None:
    made = timeline(ComponentId.API, LIMITS, table([good(at / 2, 3) for at in range(7200)]), ("steady",))
    assert made is not None
    assert len(made.sent) <= 120
    assert timeline(ComponentId.API, LIMITS, table([]), ("steady",)) is None
