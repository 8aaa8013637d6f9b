"""Figures, limits and exit codes of an ad-hoc load test, from rows whose latencies are known."""

from __future__ import annotations

from typing import Any

import pytest

from storage.clock import Clock
from storage.errors import ExitCode
from tasks.load.adhoc.adhoc import AdhocRun
from tasks.load.adhoc.figures import exit_code, figures
from tasks.load.adhoc.plan import make_plan
from tasks.load.adhoc.text import interrupted_text, live_row, summary
from tasks.load.recording.samples import RAMP, STEADY, Recorder

MS = 1_000_000
SECOND = 1000 * MS


def run(
    latencies_ms: list[float],
    *,
    errors: int = 0,
    failed: int = 0,
    ramp: int = 0,
    stopped: str | None = None,
    gap_ms: float = 10,
    **options: Any,
) -> AdhocRun:
    """A closed run: its verdict needs nothing but what is planted here. One request after the other per `gap_ms`."""
    plan = make_plan("http://example.org/a", connections=1, duration_s=10, **options)
    recorder = Recorder([plan.endpoint()["name"]], [RAMP, STEADY])
    at = 0
    for number in range(ramp):
        recorder.add((number, number, number, number + 999 * MS), 0, 0, status=200)
    for latency in latencies_ms:
        at += round(gap_ms * MS)
        recorder.add((at, at, at, at + round(latency * MS)), 0, 1, status=200)
    for _ in range(failed):
        recorder.add((at, at, at, at + MS), 0, 1, status=503, failed=True)
    for _ in range(errors):
        recorder.add((at, at, at, at + MS), 0, 1, error="timeout")
    part = {"start_ns": 0, "end_ns": 10 * SECOND, "cpu_s": 1.0, "elapsed_s": 10.0, "run_delay_s": 0.0}
    facts = {
        "planned": ramp + len(latencies_ms) + failed + errors,
        "runs": [part],
        "stopped": stopped,
        "connects": 1,
        "ends": ["10.0.0.1", "10.0.0.2"],
        "stamps": "loop",
    }
    return AdhocRun(plan, recorder.table(Clock(0)), facts)


def test_percentiles_are_exact_and_not_rounded() -> None:
    found = figures(run([number + 0.123456 for number in range(1, 1001)]))
    assert found["latency_ms"]["p50"] == 500.123456
    assert found["latency_ms"]["p99_9"] == 999.123456
    assert found["latency_ms"]["max"] == 1000.123456
    assert found["latency_ms"]["n"] == found["requests"] == 1000
    low, high = found["latency_ms"]["interval"]["p95"]
    assert low < found["latency_ms"]["p95"] < high
    assert found["latency_ms"]["interval"]["p99_9"] is None  # 1,000 values bound it from below alone


def test_the_ramp_is_counted_but_not_in_the_figures() -> None:
    found = figures(run([5] * 100, ramp=50))
    assert found["requests"] == 150
    assert found["latency_ms"]["n"] == 100
    assert found["latency_ms"]["max"] == 5


def test_limits_that_are_met_pass() -> None:
    found = figures(run([5] * 100, p95_ms=10, error_ratio=0.01))
    assert [limit["verdict"] for limit in found["limits"]] == ["pass", "pass"]
    assert found["exit_code"] == ExitCode.PASS
    assert summary(found).startswith("PASS  2 of 2 limits met")


def test_a_broken_limit_stands_on_top_with_value_limit_and_n() -> None:
    found = figures(run([5] * 100, errors=2, p95_ms=10, error_ratio=0.01))
    assert found["exit_code"] == ExitCode.GATE_FAILED
    first, second, third = summary(found).splitlines()[:3]
    assert first.startswith("FAIL  1 of 2 limits broken")
    assert "broken" in second
    assert "limit 1.000%, n 102" in second
    assert third.strip().startswith("pass")


@pytest.mark.parametrize(("errors", "failed"), [(1, 0), (0, 1)])
def test_a_request_without_its_answer_is_slower_than_any_limit(errors: int, failed: int) -> None:
    found = figures(run([5] * 94, errors=6 * errors, failed=6 * failed, p95_ms=10))
    (limit,) = found["limits"]
    assert (limit["verdict"], limit["value"], limit["n"]) == ("broken", None, 100)
    assert "6 of 100 requests" in limit["note"]
    assert figures(run([5] * 95, errors=5 * errors, failed=5 * failed, p95_ms=10))["exit_code"] == 0


def test_a_limit_without_samples_is_no_pass() -> None:
    found = figures(run([], ramp=5, p95_ms=10))
    assert found["limits"][0]["verdict"] == "not measured"
    assert found["exit_code"] == ExitCode.INCOMPLETE


def test_nothing_answered_is_incomplete_without_any_limit() -> None:
    found = figures(run([], errors=10))
    assert found["exit_code"] == ExitCode.INCOMPLETE
    assert found["errors"] == {"total": 10, "ratio": 1.0, "by_kind": {"timeout": 10}}
    assert found["latency_ms"]["p50"] is None
    assert summary(found).startswith("NO ANSWER")


def test_a_target_that_fails_every_request_is_no_success() -> None:
    assert figures(run([], failed=10))["exit_code"] == ExitCode.INCOMPLETE
    assert figures(run([5], failed=9))["exit_code"] == ExitCode.PASS


def test_a_stopped_load_is_incomplete() -> None:
    found = figures(run([5] * 10, stopped="stopped after 5 s"))
    assert found["exit_code"] == ExitCode.INCOMPLETE
    assert "stopped after 5 s" in summary(found)


def test_untrusted_figures_pass_no_limit() -> None:
    met = {"limits": [{"verdict": "pass"}], "requests": 1, "errors": {"total": 0}, "stopped": None}
    assert exit_code({**met, "trust": {"level": "not_trusted"}}) is ExitCode.INCOMPLETE
    assert exit_code({**met, "trust": {"level": "indicative"}}) is ExitCode.PASS
    assert exit_code({**met, "limits": [], "trust": {"level": "not_trusted"}}) is ExitCode.PASS


def test_a_stall_that_a_closed_loop_hides_is_named() -> None:
    steady = [5.0] * 200
    found = figures(run([*steady, 2000.0]))
    assert found["stall"] is not None
    assert found["stall"]["longest_ms"] == pytest.approx(2000), "from its sending: before it nobody waited"
    assert found["stall"]["hidden"] == pytest.approx(2000 * 201 / (2010 - 15), rel=0.02)
    assert "closed model" in summary(found)
    assert figures(run(steady))["stall"] is None


def test_counts_close() -> None:
    found = figures(run([5] * 10, errors=3, failed=2))
    assert found["sent"] == found["answered"] + found["errors"]["by_kind"]["timeout"]
    assert found["statuses"] == {"200": 10, "503": 2}
    assert found["errors"]["by_kind"] == {"timeout": 3, "unavailable": 2}
    assert found["errors"]["total"] == 5


def test_a_live_row_shows_what_is_known() -> None:
    row = live_row({"elapsed_s": 3.0, "rate": 1234, "p50_ms": None, "p95_ms": 5.5, "failed": 2, "late_ms": 0.05})
    assert row.strip().split("  ") == ["3 s", "1,234/s", "p95 5.500 ms", "2 errors", "late 0.050 ms"]


def test_an_interrupted_load_says_what_it_knows() -> None:
    partial = {
        "url": "http://example.org/a",
        "method": "GET",
        "elapsed_s": 3.2,
        "requests": 300,
        "errors": {"total": 4},
        "model": "open",
        "worst_p95_ms": 12.0,
    }
    assert interrupted_text(partial).startswith("INTERRUPTED  after 3 s, 300 requests ended, 4 without")
