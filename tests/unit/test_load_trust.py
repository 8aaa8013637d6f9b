"""The verdict on a generator: each fault is named with its number, lateness is judged by what it does."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from storage.records import Trust
from tasks.load.trust.trust import STAMP_NOTE, Resources, Vitals, added_by_lateness, bunched, judge
from tasks.load.trust.vitals import Pauses, cause_of, is_own

MS = 1_000_000
QUIET = Vitals(
    due=1000,
    sent=1000,
    late_p99_ms=0.2,
    lag_p99_ms=0.3,
    cpu_share=0.1,
    run_queue_share=0.01,
    stamps="kernel",
    added={"p50": (0.05, 20.0, 0.1), "p95": (0.1, 24.0, 0.5), "p99": (0.1, 30.0, 2.0)},
    bunched_p99=2.0,
    steal_share=0.001,
    off_median_ms=0.05,
    off_p90_ms=0.08,
    lookup_ms=1.0,
)


def verdict_of(vitals: Vitals, **changes: Any) -> tuple[Trust, tuple[str, ...]]:
    found = judge(replace(vitals, **changes), latency_p99_ms=30, same_machine=False)
    return found.trust, found.reasons


def test_a_quiet_generator_is_trusted_and_has_nothing_to_say() -> None:
    assert verdict_of(QUIET) == (Trust.TRUSTED, ())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"added": {"p50": (0.6, 20.0, 0.1)}}, "which adds 0.60 ms to p50 (limit 0.50 ms)"),
        ({"added": {"p50": (0.1, 20.0, 0.1), "p95": (1.7, 24.0, 0.5)}}, "which adds 1.70 ms to p95 (limit 1.20 ms)"),
        ({"bunched_p99": 12.0}, "let 12 requests loose at once at p99 (limit 5)"),
        ({"cpu_share": 0.71}, "used 71% of a processor (limit 70%)"),
        ({"steal_share": 0.2}, "20% of the processors' time was taken by the hypervisor or a quota (limit 5%)"),
        ({"sent": 990}, "only 990 of 1000"),
        ({"pool_full": 7, "wait_p99_ms": 80.0}, "7 requests found all connections busy and waited for one (80.00 ms"),
        ({"starts_apart_ms": 80.0}, "80 ms apart (limit 50 ms)"),
        ({"off_median_ms": 1.2}, "calibration: the median was 1.20 ms off a known server's truth (limit 1.00 ms)"),
        ({"off_p90_ms": 6.0}, "calibration: p90 was 6.00 ms off"),
    ],
)
def test_each_fault_is_named_with_its_number_and_limit(change: dict[str, Any], told: str) -> None:
    trust, reasons = verdict_of(QUIET, **change)
    assert trust is Trust.NOT_TRUSTED
    assert told in reasons[0]


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        ("blocked", "came 40.0 ms late at p99 (limit 2 ms): it was blocked by work of its own process"),
        ("starved", "came 40.0 ms late at p99 (limit 2 ms): it waited for a processor that others had"),
        ("stood", "came 40.0 ms late at p99 (limit 2 ms): it stood still, off the processor"),
    ],
)
def test_the_cause_stands_beside_the_harm_and_is_a_remark_without_any(cause: str, told: str) -> None:
    late: dict[str, Any] = {"lag_p99_ms": 40.0, "pause_cause": cause}
    trust, reasons = verdict_of(QUIET, **late, added={"p95": (30.0, 50.0, 1.0)})
    assert trust is Trust.NOT_TRUSTED
    assert "adds 30.00 ms to p95" in reasons[0]
    assert told in reasons[1]
    trust, (reason,) = verdict_of(QUIET, **late)
    assert trust is Trust.TRUSTED
    assert told in reason
    assert "(no harm:" in reason


def test_a_generator_that_stood_still_once_says_so() -> None:
    trust, (reason,) = verdict_of(QUIET, longest_pause_ms=312.0, longest_cause="stood")
    assert trust is Trust.TRUSTED
    assert reason.startswith("once, for 312 ms, it stood still")


def test_lateness_within_the_figures_own_interval_changes_nothing() -> None:
    assert verdict_of(QUIET, added={"p95": (5.7, 32.0, 14.4)})[0] is Trust.TRUSTED
    assert verdict_of(QUIET, added={"p95": (5.7, 32.0, 1.0)})[0] is Trust.NOT_TRUSTED


def test_where_nothing_was_answered_lateness_cannot_spoil_a_latency() -> None:
    assert verdict_of(QUIET, added={}, late_p99_ms=8.0) == (Trust.TRUSTED, ())
    assert verdict_of(QUIET, added={}, late_p99_ms=8.0, bunched_p99=9.0)[0] is Trust.NOT_TRUSTED


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"stamps": "loop"}, STAMP_NOTE),
        ({"precise_timer": False}, "no timerfd"),
    ],
)
def test_what_the_system_lacks_makes_figures_indicative(change: dict[str, Any], told: str) -> None:
    trust, (reason,) = verdict_of(QUIET, **change)
    assert trust is Trust.INDICATIVE
    assert told in reason


def test_one_machine_is_indicative_at_best() -> None:
    assert judge(QUIET, latency_p99_ms=30, same_machine=True).trust is Trust.INDICATIVE
    late = replace(QUIET, sent=1)
    assert judge(late, latency_p99_ms=30, same_machine=True).trust is Trust.NOT_TRUSTED


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"lookup_ms": 412.0}, "the name service took 412 ms (limit 100 ms): before the load"),
        ({"lookup_ms": 40.0, "lookups": 2}, "asked 2 times"),
        ({"withheld": 120}, "120 requests were withheld, since the target asked for a pause (Retry-After)"),
        ({"held_back": 9}, "9 requests waited, so that max_rate was not passed"),
        ({"uncalibrated": "the load takes 3 s"}, "not calibrated: the load takes 3 s"),
    ],
)
def test_what_no_figure_suffers_from_is_a_remark(change: dict[str, Any], told: str) -> None:
    trust, (reason,) = verdict_of(QUIET, **change)
    assert trust is Trust.TRUSTED
    assert told in reason


class TestAClientThatKnowsItsLatenessAlone:
    """Such as a driver's own clock: neither the kernel's stamps nor what lateness adds."""

    def test_is_held_against_one_per_cent_of_the_latency(self) -> None:
        late = Vitals(due=10, sent=10, late_p99_ms=4.9)
        assert judge(late, latency_p99_ms=500, same_machine=False).trust is Trust.TRUSTED
        assert judge(late, latency_p99_ms=480, same_machine=False).trust is Trust.NOT_TRUSTED

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"late_p99_ms": 1.5}, "1.50 ms late at p99 (limit 1.00 ms)"),
            ({"lag_p99_ms": 40.0}, "lagged 40.00 ms"),
            ({"run_queue_share": 0.3}, "waited for a processor 30% of the time (limit 10%)"),
        ],
    )
    def test_stamps_with_its_own_lag(self, change: dict[str, Any], told: str) -> None:
        trust, (reason,) = verdict_of(Vitals(due=10, sent=10), **change)
        assert trust is Trust.NOT_TRUSTED
        assert told in reason


def test_vitals_survive_the_way_from_the_worker() -> None:
    told = Vitals(**json.loads(json.dumps(asdict(QUIET))))
    assert judge(told, latency_p99_ms=30, same_machine=False) == judge(QUIET, latency_p99_ms=30, same_machine=False)


def test_what_lateness_adds_is_the_difference_of_the_percentiles() -> None:
    service = np.full(1000, 20.0)
    late = np.zeros(1000)
    late[:100] = 30.0  # a tenth of the requests: past p95, not past p50
    found = added_by_lateness(service + late, service)
    assert {name: values[:2] for name, values in found.items()} == {
        "p50": (0.0, 20.0),
        "p95": (30.0, 50.0),
        "p99": (30.0, 50.0),
    }
    assert found["p50"][2] == 0
    assert added_by_lateness(np.array([]), np.array([])) == {}


def test_requests_let_loose_at_once_are_counted() -> None:
    intended = np.arange(1000, dtype=np.int64) * 10 * MS
    assert bunched(intended, intended + MS) == 1
    stood = intended.copy()
    stood[500:530] = intended[530]  # 300 ms: 31 arrivals go out together
    assert bunched(intended, stood) == 21  # the p99 of 1000 is the tenth worst of 31, 30, …
    assert bunched(intended[:0], intended[:0]) is None


@pytest.mark.parametrize(
    ("lag_ms", "cpu_ms", "delay_ms", "cause"),
    [
        (0.5, 0.5, 0, ""),
        (40, 39, 1, "blocked"),
        (40, 1, 39, "starved"),
        (40, 24, 20, "blocked"),
        (300, 1, 2, "stood"),
    ],
)
def test_a_late_tick_has_a_cause(lag_ms: float, cpu_ms: float, delay_ms: float, cause: str) -> None:
    assert cause_of(int(lag_ms * MS), int(cpu_ms * MS), int(delay_ms * MS)) == cause


def test_pauses_tell_of_the_ticks_since_a_number() -> None:
    pauses = Pauses()
    pauses.tick(700 * MS)
    for _ in range(99):
        pauses.tick(0)
    later = pauses.since(1)
    pauses.close()
    assert pauses.since(0)["longest_pause_ms"] == 700
    assert pauses.since(0)["longest_cause"] == "stood"
    assert (later["lag_p99_ms"], later["longest_pause_ms"], later["pause_cause"]) == (0, 0, "")
    assert pauses.since(100)["lag_p99_ms"] is None


def test_an_address_is_own_where_it_can_be_bound() -> None:
    assert is_own("127.0.0.1")
    assert is_own("127.9.9.9")  # the whole network is the loopback
    assert not is_own("192.0.2.1")  # TEST-NET-1, RFC 5737
    assert not is_own("2001:db8::1")  # documentation, RFC 3849


def test_resources_are_read_and_subtracted() -> None:
    before = Resources.read()
    sum(range(300_000))
    used = Resources.read().since(before)
    assert 0 < used.cpu_s <= used.elapsed_s + 0.05
    assert Resources(2.0, 1.0, None).cpu_share == 0.5
