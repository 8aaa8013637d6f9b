"""Shards of a load plan: together they are the plan, merged results close, and nobody starts late."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.clock import Clock
from storage.errors import NotMeasuredError
from tasks.load.http_load import HttpRun, schedule_stage, search_stage
from tasks.load.process import WorkerOutput
from tasks.load.recording.samples import Recorder
from tasks.load.recording.spread import run_here
from tasks.load.schedule import Jitter, Phase, arrivals
from tasks.load.shards import Share, merge, shares, split, starts_apart_ms

JITTERS: tuple[Jitter, ...] = ("none", "uniform", "poisson")
RATES = st.tuples(st.floats(0, 100), st.floats(0, 100), st.floats(0, 5))


@given(st.lists(RATES, min_size=1, max_size=4), st.sampled_from(JITTERS), st.integers(1, 9), st.integers(0, 99))
def test_all_shards_together_are_the_schedule(
    rates: list[tuple[float, float, float]], jitter: Jitter, of: int, seed: int
) -> None:
    whole = arrivals([Phase(str(n), *one) for n, one in enumerate(rates)], jitter=jitter, seed=seed)
    parts = [whole.shard(number, of) for number in range(of)]
    pairs = sorted(pair for part in parts for pair in zip(part.offsets_ns.tolist(), part.phase.tolist(), strict=True))
    assert pairs == list(zip(whole.offsets_ns.tolist(), whole.phase.tolist(), strict=True))
    assert max(len(part) for part in parts) - min(len(part) for part in parts) <= 1
    assert {(part.names, part.duration_ns) for part in parts} == {(whole.names, whole.duration_ns)}


def plan() -> dict[str, Any]:
    search = search_stage([10], [0], step_s=1, latency_ms=100, error_ratio=0.1, budget_s=2, until_s=30)
    first, second = (schedule_stage([Phase(name, 10, 10, 4)], [0]) for name in ("steady", "bulk"))
    return {"stages": [first, second, search], "max_connections": 30, "seed": 1}


def test_each_stage_has_its_moment_and_the_first_share_alone_searches() -> None:
    plans = [split(plan(), share) for share in shares(4, 1, 50, [0] * 4)]
    assert [[stage["kind"] for stage in one["stages"]] for one in plans] == [
        ["schedule", "schedule", "search"],
        *[["schedule", "schedule"]] * 3,
    ]
    assert [stage["from_s"] for stage in plans[0]["stages"]] == [0.0, 5.0, 10.0]  # 4 s each, and a pause of 1 s
    assert plans[0]["stages"][2]["until_s"] == 32.0
    assert [one["max_connections"] for one in plans] == [30, 8, 8, 8]


def test_a_start_that_has_passed_is_refused_by_name_and_a_clock_ahead_is_taken_off() -> None:
    now = time.time_ns()
    late = Share(2, 3, now - 80_000_000, 0, 50)
    with pytest.raises(NotMeasuredError, match=r"shard 3 of 3 on .* came \d+ ms after the agreed start"):
        late.start_ns(late.clock())
    ahead = Share(1, 3, now + 1_000_000_000, 7_000_000, 50)
    away_ns = Clock.read().offset_ns - ahead.clock().offset_ns
    assert away_ns == pytest.approx(7_000_000, abs=1_000_000)
    assert Share().start_ns(Clock.read()) == 0


def output(number: int, of: int, sent: int, **facts: Any) -> WorkerOutput:
    recorder = Recorder([f"GET /{number}", "GET /all"], ["steady"], number)
    for n in range(sent):
        recorder.add((n, n + 1_000_000 * number, n + 2_000_000, n + 9_000_000), n % 2, 0, status=200)
    run = {
        "worker": number,
        "phases": ["steady"],
        "planned": sent + 1,
        "due": sent,
        "start_ns": 1_000_000 * number,
        "end_ns": 10**9,
        "lag_p99_ms": float(number),
        "pool_full": 1,
        "elapsed_s": 10.0,
        "cpu_s": 1.0 + number,
        "run_delay_s": 0.5 * number,
    }
    share = {"number": number, "host": "a", "pid": number, "owner": 1, "clock_offset_ms": -3.0 * number}
    defaults = {
        "planned": sent + 1,
        "runs": [run],
        "steps": [],
        "search_ended": None,
        "stopped": None,
        "connects": 2,
        "ends": ["10.0.0.1", "10.0.0.2"],
        "precise_timer": True,
        "head": "",
        "probe": "",
        "shares": [share],
    }
    return WorkerOutput({"samples": recorder.table(Clock(0))}, defaults | facts)


def merged(*outputs: WorkerOutput) -> HttpRun:
    whole = merge(outputs)
    return HttpRun(whole.tables["samples"], whole.facts)


def test_merged_counts_close_and_the_worst_generator_speaks_for_all() -> None:
    head = "HTTP/1.1 200 OK\r\nX-Release: 7\r\n\r\n"
    run = merged(output(0, 3, 40), output(1, 3, 30, head=head), output(2, 3, 0))
    load = run.summary(steady="steady", judged=["steady"], rate=10, seconds=7, same_machine=False)
    assert (load.planned, load.sent, load.unsent, load.answered) == (73, 70, 3, 70)
    assert run.release == {"x-release": "7"}
    vitals = run.vitals(["steady"])
    assert vitals.late_p99_ms == 1.0  # of the second, which has 30 of 70 requests
    assert (vitals.cpu_share, vitals.run_queue_share, vitals.lag_p99_ms) == (0.3, 0.1, 2.0)
    assert vitals.starts_apart_ms == 2.0
    assert (run.facts["connects"], vitals.pool_full) == (6, 3)
    assert run.shards == "3, their owners 1 on a; clocks 6.0 ms off, starts 2.0 ms apart at most"
    endpoints = run.table.column("endpoint").to_pylist()
    assert {name: endpoints.count(name) for name in set(endpoints)} == {"GET /0": 20, "GET /1": 15, "GET /all": 35}


@pytest.mark.parametrize(
    ("reasons", "told"),
    [
        ((None, None, None), None),
        (("stopped after 5 s", "stopped after 6 s", "stopped after 5 s"), "stopped after 5 s"),
        ((None, "stopped after 5 s", None), "stopped after 5 s (in shard 2 of 3)"),
    ],
)
def test_a_stop_is_told_of_all_or_of_the_shards_that_stopped(reasons: Sequence[str | None], told: str | None) -> None:
    assert merged(*(output(n, 3, 1, stopped=reason) for n, reason in enumerate(reasons))).stopped == told


def test_one_shard_on_the_targets_machine_makes_the_whole_indicative() -> None:
    run = merged(output(0, 2, 10), output(1, 2, 10, ends=["10.0.0.2", "10.0.0.2"]))
    assert run.same_machine


def test_shards_that_start_far_apart_are_not_trusted() -> None:
    run = merged(output(0, 2, 10), output(1, 2, 10))
    run.facts["runs"][1]["start_ns"] = 80_000_000
    assert starts_apart_ms(run.facts["runs"]) == 80
    reasons = run.verdict(["steady"], same_machine=False).reasons
    assert "shards started one part of the load 80 ms apart (limit 50 ms)" in reasons


WORKER = """
import os, time
import pyarrow as pa
from storage.errors import TargetUnreachableError
from tasks.load.process import WorkerOutput, serve

def work(plan, tell):
    if plan["fails"]:
        raise TargetUnreachableError("nothing answers")
    for tick in range(plan["ticks"]):
        tell({"elapsed_s": tick, "rate": 5, "p95_ms": float(plan["n"]), "failed": 1, "stage": "steady"})
        time.sleep(0.05)
    return WorkerOutput({}, {"n": plan["n"]})

if __name__ == "__main__":
    serve(work)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "shard_worker.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "shard_worker"


def plans(ticks: int, fails: int | None = None) -> list[dict[str, Any]]:
    return [{"n": n, "ticks": ticks, "fails": n == fails} for n in range(3)]


def test_processes_of_this_machine_tell_one_progress_and_answer_in_order(module: str) -> None:
    told: list[Mapping[str, Any]] = []
    outputs = run_here(module, plans(60), deadline_s=30, on_progress=told.append)
    assert [one.facts["n"] for one in outputs] == [0, 1, 2]
    assert max(one["rate"] for one in told) == 15
    assert max(one["p95_ms"] for one in told) == 2.0


def test_the_first_failure_ends_the_other_shards(module: str) -> None:
    began = time.monotonic()
    with pytest.raises(NotMeasuredError, match=r"^nothing answers$"):
        run_here(module, plans(400, fails=1), deadline_s=60, on_progress=lambda _: None)
    assert time.monotonic() - began < 15  # the others would have taken 20 s


def test_whoever_hears_of_progress_can_end_all_shards(module: str) -> None:
    def refuse(_progress: Mapping[str, Any]) -> None:
        raise NotMeasuredError("interrupted")

    began = time.monotonic()
    with pytest.raises(NotMeasuredError, match=r"^interrupted$"):
        run_here(module, plans(400), deadline_s=60, on_progress=refuse)
    assert time.monotonic() - began < 15
