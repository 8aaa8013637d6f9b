"""What a closed model hides: stalls counted by hand, and figures that say what they are."""

from __future__ import annotations

import pyarrow as pa
import pytest

from storage.clock import Clock
from storage.records import Measurement, Unit
from tasks.load import figures
from tasks.load.closed import marked, stall_of
from tasks.load.recording.samples import Recorder

MS = 1_000_000
START = 1_700_000_000_000_000_000


def rows(*spans: tuple[float, float]) -> pa.Table:
    """Requests as (sent, received), ms from the start."""
    recorder = Recorder(["GET /a"], ["steady"])
    for sent, received in spans:
        at = round(sent * MS)
        recorder.add((at, at, at, round(received * MS)), 0, 0, status=200)
    return recorder.table(Clock(START))


def steady(count: int, every: float, took: float, start: float = 0.0) -> list[tuple[float, float]]:
    return [(start + n * every, start + n * every + took) for n in range(count)]


def test_a_stall_is_the_longest_wait_without_any_answer() -> None:
    """100 answers in the first second, one that takes 2 s, 100 in the last: 201 in 2 s without the stall."""
    spans = [*steady(100, 10, 10), (1000, 3000), *steady(100, 10, 10, 3000)]
    stall = stall_of(rows(*spans))
    assert stall is not None
    assert stall.longest_ms == pytest.approx(2000)
    assert stall.hidden == pytest.approx(2000 * 201 / 1990, rel=0.001), "4 s from the first answer to the last"
    assert stall.told() == "the target gave no answer at all for 2,000 ms, in which about 202 requests are missing"


def test_a_time_in_which_nobody_asked_is_no_stall() -> None:
    assert stall_of(rows(*steady(20, 1000, 5))) is None, "one request a second: between them nobody waits"


def test_one_slow_answer_beside_others_is_no_stall() -> None:
    assert stall_of(rows((0, 1000), *steady(100, 10, 5))) is None


def test_short_and_usual_waits_are_no_stall() -> None:
    assert stall_of(rows(*steady(50, 10, 9), (500, 590), *steady(50, 10, 9, 590))) is None, "90 ms"
    assert stall_of(rows(*steady(20, 200, 190))) is None, "each answer takes as long"
    assert stall_of(rows((0, 500), (0, 5000))) is None, "two are too few"


def test_figures_of_time_are_marked_and_the_stall_stands_with_the_whole() -> None:
    table = rows(*steady(100, 10, 10), (1000, 3000), *steady(100, 10, 10, 3000))
    whole = figures.latency("api.latency.p95", table, 0.95)
    part = figures.latency("api.latency.p95", table, 0.95, labels={"endpoint": "GET /a"})
    share = figures.errors("api.errors.ratio", table)
    first, second, third = marked([whole, part, share], stall_of(table))
    assert third == share
    assert isinstance(first, Measurement)
    assert first.unit is Unit.MS
    assert (first.value, first.n) == (whole.value, whole.n)
    for one in (first, second):
        assert one.source.startswith("HTTP load, closed model")
        assert one.note.startswith("closed model, not what callers of an open one would find")
    assert "gave no answer at all for 2,000 ms" in first.note
    assert "gave no answer" not in second.note
