"""Request samples → how they went over time: the `Timeline` that a report draws with the limit. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.records import ComponentId, Threshold, Timeline
from tasks.load.recording import samples

MOST_STEPS = 120
"""Steps of a timeline; the samples hold every request."""
WANTED = 30
"""Requests that a step should hold, so that its p95 is more than its largest."""
FEWEST = {"p50": 1, "p95": 20, "p99": 100}
"""Answers below which a step has no such percentile: its largest value would stand for it."""
_SOME = 10
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
_SECOND = 1_000_000_000
_HTTP = frozenset({ComponentId.API, ComponentId.RFID})
_NO_PHASE = ""


def is_samples(table: pa.Table) -> bool:
    """Whether a table holds requests, as `recorder.SCHEMA` describes them."""
    return {"intended_ns", "received_ns", "endpoint", "phase", "status", "error", "failed"} <= set(table.column_names)


def timeline(component: ComponentId, threshold: Threshold, table: pa.Table, judged: Sequence[str]) -> Timeline | None:
    """The timeline of a component's requests; None for none.

    `threshold` is that of the judged percentile: its gate's limit, or the good one, is what counts as in time.
    `judged` names the phases that the percentile speaks of.
    """
    if table.num_rows == 0:
        return None
    intended = samples.column(table, "intended_ns")
    start, end = int(intended.min()), int(intended.max())
    step_s = _step((end - start) / _SECOND, table.num_rows)
    number = ((intended - start) // (step_s * _SECOND)).astype(np.int64)
    steps = int(number.max()) + 1
    got = samples.answered(table)
    bad = ~got | samples.failed(table)
    latency = (samples.column(table, "received_ns") - intended) / 1e6
    limit = threshold.good if threshold.gate is None else threshold.gate
    within = _within(table, judged)
    return Timeline(
        component=component,
        metric=threshold.metric,
        start=datetime.fromtimestamp(start / 1e9, UTC),
        step_s=step_s,
        limit=limit,
        phases=_phases(table, number, steps),
        sent=tuple(np.bincount(number, minlength=steps).tolist()),
        bad=tuple(np.bincount(number[bad], minlength=steps).tolist()),
        **_percentiles(number[got], latency[got], steps),
        wrong=_wrong(component, table),
        judged=int(within.sum()),
        in_time=int((within & ~bad & (latency <= limit)).sum()),
    )


def _step(seconds: float, requests: int) -> int:
    """The shortest step of whole seconds with enough requests in it; at most `MOST_STEPS`, but some."""
    least = max(seconds / MOST_STEPS, min(WANTED * seconds / requests, seconds / _SOME))
    return next((step for step in _STEPS_S if step > least), int(least) + 1)


def _percentiles(number: samples.Ints, latency: samples.Floats, steps: int) -> dict[str, tuple[float | None, ...]]:
    order = np.argsort(number, kind="stable")
    parts = np.split(latency[order], np.searchsorted(number[order], np.arange(1, steps)))
    return {
        name: tuple(samples.percentile(part, q) if len(part) >= FEWEST[name] else None for part in parts)
        for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }


def _phases(table: pa.Table, number: samples.Ints, steps: int) -> tuple[str, ...]:
    """The phase of most requests of each step."""
    names = pc.cast(table.column("phase"), pa.string()).to_numpy(zero_copy_only=False)
    known, codes = np.unique(names.astype(str), return_inverse=True)
    counted = np.zeros((steps, len(known)), np.int64)
    np.add.at(counted, (number, codes), 1)
    return tuple(str(known[row.argmax()]) if row.any() else _NO_PHASE for row in counted)


def _within(table: pa.Table, judged: Sequence[str]) -> samples.Mask:
    phase = pc.cast(table.column("phase"), pa.string())
    mask: samples.Mask = pc.is_in(phase, value_set=pa.array(list(judged), pa.string())).to_numpy()
    return mask


def _wrong(component: ComponentId, table: pa.Table) -> dict[str, int]:
    """What went wrong by kind, the most frequent first; only HTTP has statuses that speak for themselves."""
    unexpected = table.filter(pa.array(samples.failed(table)))
    kinds: Counter[str] = Counter(samples.errors_by_kind(table))
    if component in _HTTP:
        kinds.update({f"status {status}": count for status, count in samples.statuses(unexpected).items()})
    elif unexpected.num_rows:
        kinds["unexpected answer"] = unexpected.num_rows
    return dict(sorted(kinds.items(), key=lambda pair: (-pair[1], pair[0])))
