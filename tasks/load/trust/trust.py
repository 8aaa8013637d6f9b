"""The generator's verdict on itself: can the figures of this run be believed? Pure.

What a generator saw of itself (`Vitals`) is held against limits that were found by measurement (docs/adr/0011). Three
levels: *trusted*; *indicative* (nothing was wrong with the generator, but it shared a machine with its target, or the
system lacks what precise times need); *not trusted*. Each reason is a sentence with its number and its limit.

Lateness is judged by what it does: how much it adds to the reported percentiles, and how many requests it lets loose
at once. Why the generator was late (its own work, no processor, standing still) is said beside it; where lateness did
no harm that is a remark, and no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from storage.records import Trust
from tasks.load.recording.samples import Floats, percentile, percentile_interval
from tasks.load.trust.vitals import Cause, Resources
from tasks.load.wire.wire import Stamps

__all__ = ["Resources", "Verdict", "Vitals", "added_by_lateness", "bunched", "judge"]

LATE_MS = 1.0
LATE_SHARE = 0.01
"""Where only lateness itself is known: p99 of it above max(1 ms, 1 % of the latency at p99) is a fault."""
ADDED: Mapping[str, tuple[float, float]] = {"p50": (0.5, 0.025), "p95": (1.0, 0.05), "p99": (1.0, 0.05)}
"""What lateness may add to a reported percentile, in ms and as a share of it: 1 ms or 5 %, and half of that to a
median; or else half of the width of the figure's own 95 % interval, since then nobody could tell the difference."""
BUNCHED_LIMIT = 5.0
"""So many requests at once at p99 are still as independent arrivals are; more is another load than the plan's."""
LAG_LIMIT_MS = 2.0
"""An event loop whose ticks come later than this at p99 is named, harmful or not."""
STOOD_MS = 100.0
"""A single pause longer than this is named."""
CPU_LIMIT = 0.70
RUN_QUEUE_LIMIT = 0.10
STEAL_LIMIT = 0.05
APART_MS = 50.0
SENT_LIMIT = 0.995
"""CPU above 70 % of a core; more than 10 % of the time runnable but not running; more than 5 % taken by the
hypervisor or a quota; shards that start a part of the load more than 50 ms apart; less than 99.5 % of what was due
sent."""
OFF_MS = 1.0
"""Calibration: the median of |measured − known|, and five times it for p90, since the machine may be busy."""
LOOKUP_MS = 100.0
"""A name service slower than this is named."""

STAMP_NOTE = "receive times are stamped by the event loop, not by the kernel: they include its lag"

_CAUSES: Mapping[Cause, str] = {
    "blocked": "it was blocked by work of its own process",
    "starved": "it waited for a processor that others had",
    "stood": "it stood still, off the processor (stopped, swapped out, or asleep in a call)",
}


@dataclass(frozen=True)
class Vitals:
    """What a generator saw of itself while it ran; a value of None was not measured."""

    due: int
    """Requests whose moment had come before the schedule's end, or before the load was stopped; not those that the
    target asked to withhold."""
    sent: int
    """Those of them that were sent."""
    late_p99_ms: float | None = None
    """p99 of taken − intended: how late the generator took requests up."""
    lag_p99_ms: float | None = None
    """p99 of how late a steady tick of the event loop came."""
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
    stamps: Stamps | None = None
    """Who stamped the answers, as the pool says; None where it is neither wire (a client library's own clock)."""
    added: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """By percentile: the ms that lateness adds to the reported figure, that figure, and half of the width of its own
    95 % interval (see `added_by_lateness`)."""
    bunched_p99: float | None = None
    """p99 of how many requests came due while one of them waited for the generator: what it then sent at once."""
    seen_p99_ms: float | None = None
    """p99 of seen − received: how long answers lay before the generator read them."""
    pause_cause: Cause = ""
    """What most of the time went to by which ticks came late."""
    longest_pause_ms: float = 0.0
    """The latest tick."""
    longest_cause: Cause = ""
    """Why that one was late."""
    steal_share: float | None = None
    """Time that the hypervisor gave to others, or a container's quota withheld ÷ elapsed time."""
    off_median_ms: float | None = None
    """Calibration: the median of |measured − known|, before or after the load, the worse of them."""
    off_p90_ms: float | None = None
    """Calibration: p90 of it."""
    uncalibrated: str = ""
    """Why there was no calibration; empty where there was one, or where nothing is said about it."""
    lookup_ms: float | None = None
    """How long the name service took to resolve the target's name, before the load."""
    lookups: int = 1
    """How often it was asked until it answered."""
    withheld: int = 0
    """Requests that were not sent since the target asked for a pause (Retry-After)."""
    held_back: int = 0
    """Requests that waited since `max_rate` was reached."""


def added_by_lateness(latency_ms: Floats, from_taken_ms: Floats) -> dict[str, tuple[float, float, float]]:
    """`Vitals.added`: by how much reported percentiles exceed those without the generator's own lateness.

    `latency_ms` of answered requests counts from the intended moment; `from_taken_ms`, of the same requests, from the
    moment at which the generator took them up.
    """
    found = {}
    for name, q in (("p50", 0.50), ("p95", 0.95), ("p99", 0.99)):
        reported, timely = percentile(latency_ms, q), percentile(from_taken_ms, q)
        if reported is not None and timely is not None:
            low, high = percentile_interval(latency_ms, q) or (reported, reported)
            found[name] = (reported - timely, reported, (high - low) / 2)
    return found


def bunched(intended_ns: np.typing.NDArray[np.int64], taken_ns: np.typing.NDArray[np.int64]) -> float | None:
    """`Vitals.bunched_p99` of one generator: arrivals from each request's intended moment until it was taken up."""
    if not len(intended_ns):
        return None
    moments = np.sort(intended_ns)
    came = np.searchsorted(moments, taken_ns, side="right") - np.searchsorted(moments, intended_ns, side="left")
    return float(np.percentile(came, 99, method="inverted_cdf"))


@dataclass(frozen=True)
class Verdict:
    """Trust and the reasons for it, the gravest first."""

    trust: Trust
    reasons: tuple[str, ...]


def judge(vitals: Vitals, *, latency_p99_ms: float | None, same_machine: bool) -> Verdict:
    """The verdict; `latency_p99_ms` of the same run sets what lateness is small where `vitals.added` is not known."""
    late = [*_late(vitals, max(LATE_MS, LATE_SHARE * (latency_p99_ms or 0.0)))]
    faults = [*late, *_other_faults(vitals)]
    doubts = [*_doubts(vitals, same_machine=same_machine)]
    causes = [*_causes(vitals, late=bool(late))]
    remarks = [*_remarks(vitals)]
    if faults:
        return Verdict(Trust.NOT_TRUSTED, (*faults, *causes, *doubts, *remarks))
    if causes:
        causes[-1] += " (no harm: it changed neither the figures nor the load beyond their limits)"
    return Verdict(Trust.INDICATIVE if doubts else Trust.TRUSTED, (*doubts, *causes, *remarks))


def _late(vitals: Vitals, late_limit_ms: float) -> Iterator[str]:
    """Lateness that changed the figures or the load; where only lateness is known, lateness past its own limit."""
    late = vitals.late_p99_ms
    if not vitals.added and vitals.bunched_p99 is None:
        if late is not None and late > late_limit_ms:
            yield f"the generator was {late:.2f} ms late at p99 (limit {late_limit_ms:.2f} ms)"
        lag = vitals.lag_p99_ms
        if vitals.stamps != "kernel" and lag is not None and lag > late_limit_ms:
            yield f"the generator's event loop lagged {lag:.2f} ms at p99 (limit {late_limit_ms:.2f} ms)"
        return
    harmed = {
        name: (added, limit)
        for name, (added, figure, half_width) in vitals.added.items()
        if added > (limit := max(ADDED[name][0], ADDED[name][1] * figure, half_width))
    }
    if harmed:
        told = ", ".join(
            f"{added:.2f} ms to {name} (limit {limit:.2f} ms)" for name, (added, limit) in harmed.items()
        )
        yield f"the generator was {late or 0.0:.2f} ms late at p99, which adds {told}"
    if vitals.bunched_p99 is not None and vitals.bunched_p99 > BUNCHED_LIMIT:
        yield (
            f"the generator let {vitals.bunched_p99:.0f} requests loose at once at p99 (limit {BUNCHED_LIMIT:.0f}), "
            f"being {late or 0.0:.2f} ms late"
        )


def _other_faults(vitals: Vitals) -> Iterator[str]:
    if vitals.due and vitals.sent / vitals.due < SENT_LIMIT:
        yield (
            f"only {vitals.sent} of {vitals.due} requests that were due were sent "
            f"({vitals.sent / vitals.due:.1%}, limit {SENT_LIMIT:.1%})"
        )
    if vitals.pool_full and (vitals.wait_p99_ms or 0.0) > LATE_MS:
        yield (
            f"{vitals.pool_full} requests found all connections busy and waited for one "
            f"({vitals.wait_p99_ms:.2f} ms at p99)"
        )
    if vitals.cpu_share is not None and vitals.cpu_share > CPU_LIMIT:
        yield f"the generator used {vitals.cpu_share:.0%} of a processor (limit {CPU_LIMIT:.0%})"
    if vitals.steal_share is not None and vitals.steal_share > STEAL_LIMIT:
        yield (
            f"{vitals.steal_share:.0%} of the processors' time was taken by the hypervisor or a quota "
            f"(limit {STEAL_LIMIT:.0%})"
        )
    if vitals.starts_apart_ms > APART_MS:
        yield f"shards started one part of the load {vitals.starts_apart_ms:.0f} ms apart (limit {APART_MS:.0f} ms)"
    yield from _off(vitals)
    if vitals.stamps != "kernel" and (vitals.run_queue_share or 0.0) > RUN_QUEUE_LIMIT:
        yield _starved(vitals)


def _off(vitals: Vitals) -> Iterator[str]:
    for name, off, limit in (("the median", vitals.off_median_ms, OFF_MS), ("p90", vitals.off_p90_ms, 5 * OFF_MS)):
        if off is not None and off > limit:
            yield f"calibration: {name} was {off:.2f} ms off a known server's truth (limit {limit:.2f} ms)"


def _starved(vitals: Vitals) -> str:
    share = vitals.run_queue_share or 0.0
    return f"the generator waited for a processor {share:.0%} of the time (limit {RUN_QUEUE_LIMIT:.0%})"


def _causes(vitals: Vitals, *, late: bool) -> Iterator[str]:
    """What made the generator late, by its own observation; also where that did no harm, if it was much."""
    if vitals.stamps == "kernel" and (vitals.run_queue_share or 0.0) > RUN_QUEUE_LIMIT:
        yield _starved(vitals)
    lag = vitals.lag_p99_ms
    if vitals.pause_cause and lag is not None and (late or lag > LAG_LIMIT_MS):
        yield (
            f"its event loop came {lag:.1f} ms late at p99 (limit {LAG_LIMIT_MS:.0f} ms): "
            f"{_CAUSES[vitals.pause_cause]}"
        )
    if vitals.longest_cause and vitals.longest_pause_ms > STOOD_MS:
        yield f"once, for {vitals.longest_pause_ms:.0f} ms, {_CAUSES[vitals.longest_cause]}"


def _doubts(vitals: Vitals, *, same_machine: bool) -> Iterator[str]:
    """What makes figures indicative at best."""
    if same_machine:
        yield "the generator and its target share a machine: they compete for its processors"
    if vitals.stamps == "loop":
        yield STAMP_NOTE
    if not vitals.precise_timer:
        yield "the schedule was kept by the event loop's own timer: this system has no timerfd"


def _remarks(vitals: Vitals) -> Iterator[str]:
    """What a reader may want to know, and no figure suffers from."""
    if vitals.lookup_ms is not None and (vitals.lookup_ms > LOOKUP_MS or vitals.lookups > 1):
        retried = f", asked {vitals.lookups} times" if vitals.lookups > 1 else ""
        yield (
            f"the name service took {vitals.lookup_ms:.0f} ms (limit {LOOKUP_MS:.0f} ms{retried}): before the load, "
            "so no figure holds it, but the target's own callers may wait for it"
        )
    if vitals.withheld:
        yield f"{vitals.withheld} requests were withheld, since the target asked for a pause (Retry-After)"
    if vitals.held_back:
        yield f"{vitals.held_back} requests waited, so that max_rate was not passed"
    if vitals.uncalibrated:
        yield f"not calibrated: {vitals.uncalibrated}"
