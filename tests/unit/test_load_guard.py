"""The guard stops what stays past a limit, and nothing else; a wish for a pause is read; steps are judged."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from tasks.load.capacity import Limits, Step, judge_step, outcome, phase_of, steps_from, steps_table
from tasks.load.trust.guard import Ceiling, Guard, Pulse, pause_s

MS = 1_000_000
SECOND = 1_000_000_000


def guard(error_ratio: float = 0.5) -> Guard:
    return Guard(error_ratio=error_ratio, latency_ms=1000, after_s=3)


def test_errors_that_stay_stop_the_load_and_it_stays_stopped() -> None:
    watch = guard()
    for second in range(1, 3):
        watch.watch(Pulse(second, 10, 10, None, 0))
    early = watch.reason
    watch.watch(Pulse(3, 10, 10, None, 0))
    assert early is None
    assert watch.reason == "stopped after 3 s with 100% of requests failing (limit 50%)"
    watch.watch(Pulse(4, 10, 0, 5.0, 0))
    assert watch.reason == "stopped after 3 s with 100% of requests failing (limit 50%)"


def test_a_breaker_for_production_is_a_guard_with_a_lower_limit() -> None:
    watch = guard(error_ratio=0.10)
    for second in range(1, 4):
        watch.watch(Pulse(second, 100, 11, 20.0, 0))
    assert watch.reason == "stopped after 3 s with 11% of requests failing (limit 10%)"


def test_a_good_second_clears_and_an_empty_one_does_not() -> None:
    watch = guard()
    for pulse in (Pulse(1, 9, 9, None, 0), Pulse(2, 9, 0, 4.0, 0), Pulse(3, 9, 9, None, 0), Pulse(4, 0, 0, None, 0)):
        watch.watch(pulse)
    early = watch.reason
    watch.watch(Pulse(5, 9, 9, None, 0))
    assert early is None
    assert watch.reason is not None


@pytest.mark.parametrize(
    ("pulse", "told"),
    [
        (Pulse(0, 10, 0, 1500.0, 0), "p95 at 1500 ms (limit 1000 ms)"),
        (Pulse(0, 0, 0, None, 4000.0), "no answer for 4000 ms (limit 1000 ms)"),
    ],
)
def test_latency_that_stays_stops_the_load(pulse: Pulse, told: str) -> None:
    watch = guard()
    for second in range(1, 4):
        watch.watch(Pulse(second, pulse.ended, pulse.bad, pulse.p95_ms, pulse.waiting_ms))
    assert watch.reason is not None
    assert watch.reason.endswith(told)


def at_rate(*sent_of_100: int) -> Guard:
    watch = guard()
    for second, sent in enumerate(sent_of_100, 1):
        watch.watch(Pulse(second, sent, 0, 5.0, 0, due=100, sent=sent))
    return watch


def test_a_rate_that_is_not_reached_for_long_stops_the_load() -> None:
    assert at_rate(100, 94, 90).reason is None
    assert at_rate(100, 94, 90, 80).reason == (
        "stopped: target rate not reached, 264 of 300 requests that were due could be sent in 3 s (limit 95%)"
    )


def test_a_second_that_reaches_the_rate_begins_anew_and_a_search_looks_for_the_limit_itself() -> None:
    assert at_rate(90, 90, 95, 90, 90).reason is None
    searching = guard()
    searching.watches_rate = False
    for second in range(1, 9):
        searching.watch(Pulse(second, 10, 0, 5.0, 0, due=100, sent=10))
    assert searching.reason is None


def test_a_drain_in_which_nothing_is_due_does_not_confirm() -> None:
    watch = at_rate(90, 90)
    for second in range(3, 20):
        watch.watch(Pulse(second, 5, 0, 5.0, 0, due=0, sent=5))
    assert watch.reason is None


def test_who_does_not_count_what_is_due_is_not_stopped_for_it() -> None:
    watch = guard()
    for second in range(1, 9):
        watch.watch(Pulse(second, 10, 0, 5.0, 0))
    assert watch.reason is None


def test_the_ceiling_lets_pass_what_chance_makes_of_a_rate_and_no_more() -> None:
    ceiling = Ceiling(100)  # 100 + 4 · 10 in any second
    for number in range(140):
        assert ceiling.free_at(number) == number
        ceiling.passes(number)
    assert ceiling.free_at(200) == SECOND
    assert ceiling.free_at(SECOND) == SECOND
    ceiling.passes(SECOND)
    assert ceiling.free_at(SECOND) == SECOND + 1  # the second oldest passed at 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 0),
        ("0", 0),
        ("7", 7),
        ("3600", 60),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 9),
        ("Fri, 31 Dec 1999 23:59:49 GMT", 0),
        ("soon", 0),
        ("-3", 0),
        ("1.5", 0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float) -> None:
    assert pause_s(value, datetime(1999, 12, 31, 23, 59, 50, tzinfo=UTC)) == seconds


def step(latency_ms: float, *, bad: int = 0, rate: float = 100, late_ms: float = 0.1, cpu: float = 0.1) -> Step:
    n = round(rate)
    intended = np.arange(n, dtype=np.int64) * (SECOND // n)
    received = intended + int(latency_ms * MS)
    times = np.stack([intended, intended + int(late_ms * MS), intended + int(late_ms * MS), received], axis=1)
    codes = np.zeros((n, 7), np.int64)
    codes[:, 3] = -1
    codes[:bad, 4] = 1
    limits = Limits(latency_ms=300, error_ratio=0.01)
    return judge_step(
        times, codes, number=1, attempt=1, rate=rate, planned=n, step_s=1, start_ns=0, limits=limits, cpu_share=cpu
    )


def test_a_step_is_sustained_within_its_limits() -> None:
    good = step(20)
    assert good.sustained
    assert (good.p95_ms, good.achieved, good.error_ratio) == (20.0, 100.0, 0.0)
    assert not good.generator_limited


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (step(300), "p95 was 300 ms (limit 300 ms)"),
        (step(20, bad=2), "2.0% failed (limit 1.0%)"),
        (step(900), "41/s of 100/s were achieved (limit 95%)"),
    ],
)
def test_what_breaks_a_step_is_said(broken: Step, told: str) -> None:
    assert not broken.sustained
    assert told in broken.why


def test_a_late_or_busy_generator_is_the_limit_itself() -> None:
    assert step(20, late_ms=40).generator_limited
    assert step(20, cpu=0.9).generator_limited


def test_the_outcome_is_the_highest_sustained_step() -> None:
    steps = [step(20, rate=100), step(20, rate=200), step(400, rate=300)]
    found = outcome(steps, "limit")
    assert found.best is not None
    assert found.broken is not None
    assert (found.best.rate, found.broken.rate, found.tried) == (200, 300, 3)
    assert outcome([], "stopped").best is None
    assert steps_from(steps_table(steps)) == steps
    assert phase_of(3, 2) == "step:3:again"
