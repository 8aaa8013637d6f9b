"""The guard stops what stays past a limit, and nothing else; the verdict names what was wrong; steps are judged."""

from __future__ import annotations

import numpy as np
import pytest

from storage.records import Trust
from tasks.load.capacity import Limits, Step, judge_step, outcome, phase_of, steps_from, steps_table
from tasks.load.guard import Guard, Pulse
from tasks.load.trust import Resources, Vitals, judge

MS = 1_000_000


def guard() -> Guard:
    return Guard(error_ratio=0.5, latency_ms=1000, after_s=3)


def test_errors_that_stay_stop_the_load_and_it_stays_stopped() -> None:
    watch = guard()
    for second in range(1, 3):
        watch.watch(Pulse(second, 10, 10, None, 0))
    early = watch.reason
    watch.watch(Pulse(3, 10, 10, None, 0))
    assert early is None
    assert watch.reason == "stopped after 3 s with 100% of requests failing (limit 50%)"
    watch.watch(Pulse(4, 10, 0, 5.0, 0))
    assert watch.reason is not None


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


GOOD = Vitals(due=1000, sent=1000, late_p99_ms=0.2, lag_p99_ms=0.3, cpu_share=0.1, run_queue_share=0.01)


def test_a_quiet_generator_is_trusted_and_says_how_it_stamps() -> None:
    verdict = judge(GOOD, latency_p99_ms=30, same_machine=False)
    assert verdict.trust is Trust.TRUSTED
    assert verdict.reasons == (
        "receive times are stamped by the event loop, not by the kernel: they include its lag",
    )


def test_one_machine_is_indicative_at_best() -> None:
    assert judge(GOOD, latency_p99_ms=30, same_machine=True).trust is Trust.INDICATIVE


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"late_p99_ms": 1.5}, "1.50 ms late at p99 (limit 1.00 ms)"),
        ({"lag_p99_ms": 40.0}, "lagged 40.00 ms"),
        ({"cpu_share": 0.71}, "71% of a processor"),
        ({"run_queue_share": 0.3}, "waited for a processor 30%"),
        ({"sent": 990}, "only 990 of 1000"),
        ({"pool_full": 7, "wait_p99_ms": 80.0}, "7 requests found all connections busy"),
    ],
)
def test_each_fault_is_named(change: dict[str, float], told: str) -> None:
    verdict = judge(Vitals(**{**GOOD.__dict__, **change}), latency_p99_ms=30, same_machine=True)
    assert verdict.trust is Trust.NOT_TRUSTED
    assert told in verdict.reasons[0]


def test_lateness_is_held_against_one_per_cent_of_the_latency() -> None:
    late = Vitals(due=10, sent=10, late_p99_ms=4.9)
    assert judge(late, latency_p99_ms=500, same_machine=False).trust is Trust.TRUSTED
    assert judge(late, latency_p99_ms=480, same_machine=False).trust is Trust.NOT_TRUSTED


def test_resources_are_read_and_subtracted() -> None:
    before = Resources.read()
    sum(range(300_000))
    used = Resources.read().since(before)
    assert 0 < used.cpu_s <= used.elapsed_s + 0.05
    assert Resources(2.0, 1.0, None).cpu_share == 0.5


def step(latency_ms: float, *, bad: int = 0, rate: float = 100, late_ms: float = 0.1, cpu: float = 0.1) -> Step:
    n = round(rate)
    intended = np.arange(n, dtype=np.int64) * (1_000_000_000 // n)
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
