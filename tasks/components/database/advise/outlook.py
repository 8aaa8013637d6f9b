"""What an index does to the timed reads that it helps, or hurts; the judge makes the percentile of all of it.

A read's p95 after the change is its p95 in this run × the advisor's ratio for its statement (run time on a copy
where that was measured, else the planner's cost), but not below what the reads of the same run take besides the
server's work on them: round trip, parsing and the machine's own delays stay, and make the tail of a read that has
become quick. Costs are no times: where the ratio is the planner's, the interval reaches from half as much again to
half of the effect, on the scale of factors; a fifth each way where it was timed. The noise between runs comes on
top.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from storage.records import PredictedChange
from tasks.components.database.advise.advised import Advice
from tasks.components.database.advise.case import Case
from tasks.load.recording.samples import STEADY, endpoints, latency_ms, of_endpoint, of_phase, percentile

_MEASURED, _PLANNED = 0.8, 0.5
"""Share of the effect, on the scale of factors, that the pessimistic end of the interval keeps."""

_NOISE = 0.2
"""ln of what the p95 of one and the same read differs by between two runs, in four of five cases."""

Times = npt.NDArray[np.float64]


def of_reads(case: Case, advice: Advice) -> tuple[PredictedChange, ...]:
    """The predicted p95 of each timed read that the index changes."""
    table = case.data.samples.tables.get("samples")
    factors, timed = _factors(case, advice)
    if table is None or not factors:
        return ()
    steady = of_phase(table, STEADY)
    times = {name: latency_ms(of_endpoint(steady, name)) for name in endpoints(steady)}
    if not any(len(values) for values in times.values()):
        return ()
    floor = _floor(case, times)
    how = f"this run's reads × {'run time on a copy' if timed else 'planner cost'} with the index ÷ without it"
    keeps = _MEASURED if timed else _PLANNED
    made = {name: _of_read(times[name], factor, floor, keeps) for name, factor in factors.items() if name in times}
    return tuple(
        PredictedChange(
            metric="database.query.p95", value=value, interval=interval, labels={"statement": name}, how=how
        )
        for name, (value, interval) in made.items()
    )


@dataclass(frozen=True)
class Floor:
    """What stays of a read however quick it becomes, in ms: in the middle, and in the tail (p95)."""

    middle: float
    tail: float


def floor_of(reads: Iterable[tuple[Times, float | None]]) -> Floor:
    """The floor by the times of each read, and what the server works on it: its mean in ms, None if not known.

    The middle is the quickest read's. The tail is the lower quartile of those whose work is known: some have a tail
    of their own, by the values they ask for, which says nothing of the others.
    """
    found = [(float(np.median(times)), percentile(times, 0.95) or 0.0, work) for times, work in reads if len(times)]
    middle, tail, work = min(found, key=lambda one: one[0])
    tails = [tail - min(work, middle) for middle, tail, work in found if work is not None]
    return Floor(middle - min(work or 0.0, middle), float(np.quantile(tails or [tail], 0.25)))


def _floor(case: Case, times: Mapping[str, Times]) -> Floor:
    return floor_of((values, _work(case, name)) for name, values in times.items())


def _work(case: Case, read: str) -> float | None:
    rows = [row for row in case.data.rows("statements") if row["read"] == read and row["calls"]]
    calls = sum(row["calls"] for row in rows)
    return sum(row["total_ms"] + row["planning_ms"] for row in rows) / calls if calls else None


def _of_read(times: Times, factor: float, floor: Floor, keeps: float) -> tuple[float, tuple[float, float]]:
    """The p95 of one read after the change, and where it may lie: the effect's uncertainty and the runs' noise.

    At best it falls to the middle of the floor, without a tail; as a rule not below the floor's tail.
    """
    now = percentile(times, 0.95) or 0.0
    best = max(now * factor ** (2 - keeps), min(now, floor.middle))
    value, worst = (max(now * factor**share, min(now, floor.tail)) for share in (1.0, keeps))
    noise = math.exp(_NOISE)
    return value, (min(best, value) / noise, max(value, worst) * noise)


def _factors(case: Case, advice: Advice) -> tuple[dict[str, float], bool]:
    """What the index multiplies each timed read by, and whether all of that was measured."""
    reads = {row["queryid"]: row["read"] for row in case.data.rows("statements") if row["read"]}
    found: dict[str, float] = {}
    timed = True
    for effect in (*advice.evidence["helps"], *advice.evidence["hurts"]):
        name = reads.get(effect["statement"])
        if name is None:
            continue
        measured = _ratio(effect["measured_before_ms"], effect["measured_after_ms"])
        timed = timed and measured is not None
        ratio = measured if measured is not None else _ratio(effect["cost_before"], effect["cost_after"])
        if ratio is not None:
            found[name] = ratio
    return found, timed


def _ratio(before: Any, after: Any) -> float | None:
    return float(after) / float(before) if before and after else None
