"""The generator's verdict on itself: can the figures of this run be believed? Pure, but for `Resources.read`.

A late or starved generator changes the load and the latencies; what it saw of itself is held against limits that
were found by measurement. Three levels: *trusted*; *indicative* (nothing was wrong with the generator, but it shared
a machine with its target); *not trusted*. Each reason is a sentence with its number.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from storage.records import Trust

LATE_MS = 1.0
LATE_SHARE = 0.01
CPU_LIMIT = 0.70
RUN_QUEUE_LIMIT = 0.10
APART_MS = 50.0
SENT_LIMIT = 0.995
"""Limits: lateness at p99 above max(1 ms, 1 % of the latency at p99); CPU above 70 % of a core; more than 10 % of the
time runnable but not running; shards that start a part of the load more than 50 ms apart; less than 99.5 % of what
was due sent."""

STAMP_NOTE = "receive times are stamped by the event loop, not by the kernel: they include its lag"


@dataclass(frozen=True)
class Vitals:
    """What a generator saw of itself while it ran; a value of None was not measured."""

    due: int
    """Requests whose moment had come before the schedule's end, or before the load was stopped."""
    sent: int
    """Those of them that were sent."""
    late_p99_ms: float | None = None
    """p99 of taken − intended: how late the generator took requests up."""
    lag_p99_ms: float | None = None
    """p99 of how late a steady tick of the event loop came: how late an answer may have been stamped."""
    wait_p99_ms: float | None = None
    """p99 of sent − taken: the wait for a free connection."""
    pool_full: int = 0
    """Requests that found every connection busy and no further one allowed."""
    cpu_share: float | None = None
    """Processor time of the generator's process ÷ elapsed time."""
    run_queue_share: float | None = None
    """Time in which the generator could have run but was not given a processor ÷ elapsed time (Linux)."""
    starts_apart_ms: float = 0.0
    """How far apart several generators of one plan started the same part of it."""
    precise_timer: bool = True
    """Whether the schedule was kept by timerfd."""


@dataclass(frozen=True)
class Resources:
    """What a process used up to a moment, or between two moments: elapsed, on a processor, waiting for one (s)."""

    elapsed_s: float
    cpu_s: float
    run_delay_s: float | None

    @classmethod
    def read(cls) -> Resources:
        """Up to now; the wait for a processor is the main thread's, and known on Linux alone."""
        try:
            delay = int(Path("/proc/self/schedstat").read_text(encoding="ascii").split()[1]) / 1e9
        except (OSError, IndexError, ValueError):
            delay = None
        return cls(time.monotonic(), time.process_time(), delay)

    def since(self, earlier: Resources) -> Resources:
        """What was used between two moments."""
        known = self.run_delay_s is not None and earlier.run_delay_s is not None
        delay = (self.run_delay_s or 0.0) - (earlier.run_delay_s or 0.0) if known else None
        return Resources(self.elapsed_s - earlier.elapsed_s, self.cpu_s - earlier.cpu_s, delay)

    @property
    def cpu_share(self) -> float:
        """Processor time ÷ elapsed time."""
        return self.cpu_s / self.elapsed_s if self.elapsed_s > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        """As a worker reports it."""
        return asdict(self)


@dataclass(frozen=True)
class Verdict:
    """Trust and the reasons for it."""

    trust: Trust
    reasons: tuple[str, ...]


def judge(vitals: Vitals, *, latency_p99_ms: float | None, same_machine: bool) -> Verdict:
    """The verdict; `latency_p99_ms` of the same run sets what lateness is small."""
    faults = _faults(vitals, max(LATE_MS, LATE_SHARE * (latency_p99_ms or 0.0)))
    notes = []
    if same_machine:
        notes.append("the generator and its target share a machine: they compete for its processors")
    if not vitals.precise_timer:
        notes.append("the schedule was kept by the event loop's own timer: this system has no timerfd")
    if faults:
        return Verdict(Trust.NOT_TRUSTED, (*faults, *notes, STAMP_NOTE))
    return Verdict(Trust.INDICATIVE if notes else Trust.TRUSTED, (*notes, STAMP_NOTE))


def _faults(vitals: Vitals, late_limit_ms: float) -> list[str]:
    faults = []
    if vitals.due and vitals.sent / vitals.due < SENT_LIMIT:
        faults.append(
            f"only {vitals.sent} of {vitals.due} requests that were due were sent "
            f"({vitals.sent / vitals.due:.1%}, limit {SENT_LIMIT:.1%})"
        )
    if vitals.late_p99_ms is not None and vitals.late_p99_ms > late_limit_ms:
        faults.append(f"the generator was {vitals.late_p99_ms:.2f} ms late at p99 (limit {late_limit_ms:.2f} ms)")
    if vitals.lag_p99_ms is not None and vitals.lag_p99_ms > late_limit_ms:
        faults.append(
            f"the generator's event loop lagged {vitals.lag_p99_ms:.2f} ms at p99 (limit {late_limit_ms:.2f} ms)"
        )
    if vitals.cpu_share is not None and vitals.cpu_share > CPU_LIMIT:
        faults.append(f"the generator used {vitals.cpu_share:.0%} of a processor (limit {CPU_LIMIT:.0%})")
    if vitals.run_queue_share is not None and vitals.run_queue_share > RUN_QUEUE_LIMIT:
        faults.append(
            f"the generator waited for a processor {vitals.run_queue_share:.0%} of the time "
            f"(limit {RUN_QUEUE_LIMIT:.0%})"
        )
    if vitals.starts_apart_ms > APART_MS:
        faults.append(
            f"shards started one part of the load {vitals.starts_apart_ms:.0f} ms apart (limit {APART_MS:.0f} ms)"
        )
    if vitals.pool_full and (vitals.wait_p99_ms or 0.0) > late_limit_ms:
        faults.append(
            f"{vitals.pool_full} requests found all connections busy and waited for one "
            f"({vitals.wait_p99_ms:.2f} ms at p99)"
        )
    return faults
