"""The vitals of HTTP load from its rows and from what its workers report. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.load.recording.samples import Ints, answered, column, percentile
from tasks.load.shards import starts_apart_ms
from tasks.load.trust.trust import Vitals, added_by_lateness, bunched

Run = Mapping[str, Any]


def vitals_of(rows: pa.Table, judged: pa.Table, runs: Sequence[Run], facts: Mapping[str, Any]) -> Vitals:
    """What the generators saw of themselves in some runs, of which these are all rows; the worst of them speaks.

    `judged` are the rows whose latencies are reported, `facts` those of `tasks.load.http_worker`.
    """
    shares: Sequence[Mapping[str, Any]] = facts["shares"]
    intended, taken, workers = (column(rows, name) for name in ("intended_ns", "taken_ns", "worker"))
    longest = max(runs, key=lambda run: run.get("longest_pause_ms", 0.0), default={})
    laggard = max(runs, key=lambda run: run["lag_p99_ms"] or 0.0, default={})
    return Vitals(
        due=sum(run["due"] for run in runs),
        sent=rows.num_rows,
        late_p99_ms=_worst_p99(taken - intended, workers),
        lag_p99_ms=laggard.get("lag_p99_ms"),
        wait_p99_ms=_worst_p99(column(rows, "sent_ns") - taken, workers),
        pool_full=sum(run["pool_full"] for run in runs),
        cpu_share=_worst(_shares(runs, "cpu_s")),
        run_queue_share=_worst(_shares(runs, "run_delay_s")),
        starts_apart_ms=starts_apart_ms(runs),
        precise_timer=bool(facts["precise_timer"]),
        stamps=_stamps(shares),
        added=added(judged),
        bunched_p99=_worst(bunched(intended[workers == one], taken[workers == one]) for one in np.unique(workers)),
        seen_p99_ms=_worst_p99(column(rows, "seen_ns") - column(rows, "received_ns"), workers),
        pause_cause=laggard.get("pause_cause", ""),
        longest_pause_ms=longest.get("longest_pause_ms", 0.0),
        longest_cause=longest.get("longest_cause", ""),
        steal_share=_worst(_shares(runs, "stolen_s")),
        off_median_ms=_worst(share.get("off_median_ms") for share in shares),
        off_p90_ms=_worst(share.get("off_p90_ms") for share in shares),
        uncalibrated=next((share["uncalibrated"] for share in shares if share.get("uncalibrated")), ""),
        lookup_ms=_worst(share.get("lookup_ms") for share in shares),
        lookups=max((share.get("lookups", 1) for share in shares), default=1),
        withheld=sum(run.get("withheld", 0) for run in runs),
        held_back=sum(run.get("held_back", 0) for run in runs),
    )


def added(judged: pa.Table) -> dict[str, tuple[float, float, float]]:
    """What the generator's lateness adds to the percentiles of some rows: see `trust.added_by_lateness`."""
    got = answered(judged)
    intended, taken, received = (column(judged, name)[got] for name in ("intended_ns", "taken_ns", "received_ns"))
    return added_by_lateness((received - intended) / 1e6, (received - taken) / 1e6)


def _stamps(shares: Sequence[Mapping[str, Any]]) -> Any:
    """`loop` where one of them has to stamp by its event loop."""
    told = {share["stamps"] for share in shares if "stamps" in share}
    return "loop" if "loop" in told else next(iter(told), None)


def _worst_p99(values_ns: Ints, workers: Ints) -> float | None:
    """p99 in ms of the process that has the worst one."""
    return _worst(percentile(values_ns[workers == worker] / 1e6, 0.99) for worker in np.unique(workers))


def _worst(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _shares(runs: Sequence[Run], resource: str) -> Iterator[float | None]:
    """What each process used of a resource, as a share of its time; None where it does not know."""
    for worker in {run["worker"] for run in runs}:
        own = [run for run in runs if run["worker"] == worker]
        elapsed = sum(run["elapsed_s"] for run in own)
        known = elapsed > 0 and all(run.get(resource) is not None for run in own)
        yield float(sum(run[resource] for run in own) / elapsed) if known else None
