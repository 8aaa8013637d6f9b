"""What the rfid component plans and makes of samples and steps."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from deployments.config import RfidSettings, RunConfig, ValueRange, build_config
from deployments.load import Load
from storage.clock import Clock
from storage.records import Collected, Measurement, Trust
from tasks.components.base import Samples
from tasks.components.rfid import RFID, share_out
from tasks.load.capacity import Step, steps_table
from tasks.load.recording import samples
from tasks.load.recording.samples import Recorder

MS = 1_000_000
SECOND = 1_000 * MS
START = 1_700_000_000 * SECOND
SETTINGS = RfidSettings(cards=ValueRange(template="C{n}"), readers=ValueRange(template="R{n}"))
STEP = Step(
    number=1,
    attempt=1,
    rate=100,
    planned=300,
    sent=300,
    good=300,
    p95_ms=8,
    error_ratio=0,
    achieved=100,
    late_p95_ms=0.1,
    cpu_share=0.1,
    sustained=True,
    generator_limited=False,
    why="",
    start_ns=START,
    end_ns=START + 3 * SECOND,
)
BROKEN = replace(STEP, number=2, attempt=2, rate=150, sustained=False, good=290, why="p95 was 400 ms (limit 300 ms)")


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return build_config("development")


def table_of(status: int = 200) -> pa.Table:
    """100 single verifications of 10 ms in 10 s, 10 bulks of 20 in 10 s that take 100 ms."""
    recorder = Recorder(["POST /rfid/verify", "POST /rfid/verify-bulk"], ["steady", "bulk"])
    for n in range(100):
        at = n * 100 * MS
        recorder.add((at, at, at, at + 10 * MS), 0, 0, status=status, failed=status != 200)
    for n in range(10):
        at = (10 + n) * SECOND
        recorder.add((at, at, at, at + 100 * MS), 1, 1, status=200, items=20)
    return recorder.table(Clock(START))


def taken(steps: list[Step], ended: str, table: pa.Table | None = None, **plan: str) -> Samples:
    rows = table_of() if table is None else table
    window = samples.window(rows)
    assert window is not None
    load = samples.summarise(rows, planned=rows.num_rows, target_rate=10, achieved_rate=10, trust=Trust.TRUSTED)
    collected = Collected(window=window, load=load, load_plan={"search_ended": ended, **plan})
    return Samples({"samples": rows, "steps": steps_table(steps)}, collected)


def figure(of: Samples, config: RunConfig, metric: str) -> Measurement:
    return next(m for m in RFID.measure(of, config) if m.metric == metric and not m.labels)


def test_figures_of_each_part(config: RunConfig) -> None:
    found = taken([STEP, BROKEN], "limit")
    assert {m.metric for m in RFID.measure(found, config) if not m.labels} >= RFID.metrics
    assert figure(found, config, "rfid.latency.p95").value == 10.0
    assert figure(found, config, "rfid.bulk.p95").value == 100.0
    assert figure(found, config, "rfid.bulk.throughput").value == pytest.approx(200 / 9.1)
    assert figure(found, config, "rfid.errors.ratio").value == 0
    throughput = figure(found, config, "rfid.throughput")
    assert (throughput.value, throughput.n) == (100.0, 300)
    assert throughput.note == "sustained at 100/s; 150/s broke twice: p95 was 400 ms (limit 300 ms)"
    assert throughput.window is not None
    assert throughput.window.seconds == 3


@pytest.mark.parametrize(
    ("steps", "ended", "told"),
    [
        ([replace(STEP, rate=600, achieved=599)], "ceiling", "a lower bound: every step was sustained"),
        ([replace(STEP, rate=300, achieved=300)], "ceiling", "stopped at max_rate, below the target of 500/s"),
        ([STEP], "time", "a lower bound: the search ended early (time) after 1 steps"),
        ([STEP, replace(BROKEN, generator_limited=True)], "limit", "the load generator itself was the limit"),
        ([replace(BROKEN, achieved=70)], "limit", "no step was sustained"),
    ],
)
def test_the_note_says_what_the_throughput_means(config: RunConfig, steps: list[Step], ended: str, told: str) -> None:
    throughput = figure(taken(steps, ended), config, "rfid.throughput")
    assert told in throughput.note
    assert throughput.value == steps[0].achieved


def test_without_an_answer_or_a_search_there_is_no_throughput(config: RunConfig) -> None:
    nothing = figure(taken([replace(BROKEN, good=0, achieved=0, sent=0)], "limit"), config, "rfid.throughput")
    assert nothing.value is None
    assert figure(taken([], "stopped"), config, "rfid.throughput").note.startswith("no data: the search did not run")


def test_too_few_verifications_are_told_in_children_a_minute(config: RunConfig) -> None:
    found = taken([STEP, BROKEN], "limit")
    (finding,) = RFID.advise(found, RFID.measure(found, config), config)
    assert finding.title == "The readers serve 6,000 children a minute, 30,000 are needed"
    assert finding.evidence


@pytest.mark.parametrize(
    "steps",
    [
        [STEP, replace(BROKEN, generator_limited=True)],
        [replace(STEP, rate=500, achieved=500), replace(BROKEN, rate=600)],
    ],
)
def test_the_target_is_not_blamed_for_the_generator_nor_for_the_margin(config: RunConfig, steps: list[Step]) -> None:
    found = taken(steps, "limit")
    assert RFID.advise(found, RFID.measure(found, config), config) == []


def test_refused_payloads_are_named(config: RunConfig) -> None:
    found = taken([STEP], "ceiling", table_of(status=400))
    (finding,) = RFID.advise(found, RFID.measure(found, config), config)
    assert finding.id == "rfid.payload:POST /rfid/verify"
    assert finding.detail == "100 of 100: 100 × status 400."


@pytest.mark.parametrize("duration", [4, 20, 60, 300, 600])
def test_single_and_bulk_share_the_duration_and_the_search_comes_after_it(duration: float) -> None:
    timing = share_out(SETTINGS, Load(users=10, duration_s=duration, ramp_up_s=1, max_rate=800))
    assert timing.warmup_s + timing.single_s + timing.bulk_s == pytest.approx(duration)
    assert timing.search.seconds <= duration / 4 + 1
    assert timing.pause_s > 0
    assert timing.single_s > 0
    assert timing.search.step_s <= SETTINGS.step_s
    assert timing.search.rates == (200, 300, 500, 600)


def test_no_rate_passes_the_environments_limit() -> None:
    timing = share_out(SETTINGS, Load(users=1, duration_s=60, ramp_up_s=1, max_rate=20))
    assert max(*timing.search.rates, timing.single_rate, timing.bulk_rate) <= 20
