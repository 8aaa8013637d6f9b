"""Cold starts, durations, memory and failures by function, from the platform's own REPORT lines.

A cold start is an invocation whose caller waited for an initialisation (`Init Duration`). Not cold starts: an init
that timed out or failed (`failed_inits`: no init duration of a working environment was measured), an init of
provisioned concurrency (`provisioned_inits`: it happened before the request), and a SnapStart restore (`restores`,
with its own durations). Percentiles: quantiles.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tasks.components.lambda_functions.lines import Status
from tasks.components.lambda_functions.quantiles import Percentiles, percentiles
from tasks.components.lambda_functions.reading import LogEvent, Refused, read
from tasks.components.lambda_functions.rows import Kind

__all__ = [
    "FunctionStatistics",
    "HourStatistics",
    "LogEvent",
    "MemoryStatistics",
    "Percentiles",
    "statistics",
    "statistics_of",
]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class MemoryStatistics:
    """What invocations did at one Memory Size. `warm_ms` are durations of warm invocations that succeeded."""

    memory_mb: int
    invocations: int
    max_used_mb: int
    mean_used_mb: float
    warm_ms: Percentiles | None


@dataclass(frozen=True, slots=True)
class HourStatistics:
    """Invocations and cold starts of one hour of the day (0..23), over all days."""

    hour: int
    invocations: int
    cold_starts: int
    init_ms: Percentiles | None


@dataclass(frozen=True)
class FunctionStatistics:
    """One function's invocations. Durations in ms, memory in MB; `billed_ms` is the sum.

    `peak_minute` and `peak_hour` are the most invocations that ended within one minute and one hour of the clock;
    0 where that is not known. A count that was not asked for is None.
    """

    function: str
    invocations: int
    cold_starts: int
    restores: int | None
    provisioned_inits: int | None
    failed_inits: int | None
    failed_restores: int | None
    timeouts: int | None
    errors: int | None
    init_ms: Percentiles | None
    restore_ms: Percentiles | None
    duration_ms: Percentiles | None
    billed_ms: float
    billed_gb_s: float
    max_memory_used_mb: int | None
    memory_efficiency: float | None
    memory_sizes_mb: tuple[int, ...]
    by_memory: Mapping[int, MemoryStatistics]
    by_hour: Mapping[int, HourStatistics]
    peak_minute: int = 0
    peak_hour: int = 0
    duplicates: int = 0
    suspicious: int = 0
    error_types: Mapping[str, int] = field(default_factory=dict)

    @property
    def cold_start_ratio(self) -> float | None:
        """Share of invocations that were cold starts, None without invocations."""
        return self.cold_starts / self.invocations if self.invocations else None

    @property
    def memory_mb(self) -> int | None:
        """The largest Memory Size seen, None without invocations."""
        return max(self.memory_sizes_mb, default=None)


def statistics(events: Iterable[LogEvent], *, timezone: str = "UTC") -> dict[str, FunctionStatistics]:
    """Statistics by function of log events in any order, duplicates and foreign lines among them.

    `timezone` is that of the hours. A function appears once it has an invocation, a failed init, or a line that was
    refused.
    """
    table, refused = read(events)
    return statistics_of(table, refused, timezone=timezone)


def statistics_of(
    table: pa.Table, refused: Mapping[str, Refused] | None = None, *, timezone: str = "UTC"
) -> dict[str, FunctionStatistics]:
    """Statistics by function of a table of `REPORTS`."""
    refused = refused or {}
    found = {
        name: _of_function(name, rows, refused.get(name, Refused()), ZoneInfo(timezone))
        for name, rows in by_function(table).items()
    }
    for name in refused.keys() - found.keys():
        found[name] = _of_function(name, table.slice(0, 0), refused[name], ZoneInfo(timezone))
    return dict(sorted(found.items()))


def by_function(table: pa.Table) -> dict[str, pa.Table]:
    """The rows of each function, in their order."""
    if table.num_rows == 0:
        return {}
    column = table.column("function")
    names = column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
    ordered = table.take(pc.sort_indices(names)) if not _grouped(names) else table
    names = ordered.column("function").cast(pa.string())
    encoded = names.combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy()
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    ends = np.append(starts[1:], len(codes))
    return {
        encoded.dictionary[int(codes[start])].as_py(): ordered.slice(int(start), int(end - start))
        for start, end in zip(starts, ends, strict=True)
    }


def _grouped(names: pa.ChunkedArray[Any]) -> bool:
    codes = names.combine_chunks().dictionary_encode().indices.to_numpy()
    return bool(np.all(np.diff(codes) >= 0))


def _of_function(name: str, rows: pa.Table, refused: Refused, zone: ZoneInfo) -> FunctionStatistics:
    kinds = {kind: _is(rows, "kind", kind) for kind in Kind}
    cold = kinds[Kind.COLD]
    invoked = ~(kinds[Kind.FAILED_INIT] | kinds[Kind.FAILED_RESTORE])
    init, restore, duration, billed = (
        _floats(rows, c) for c in ("init_ms", "restore_ms", "duration_ms", "billed_ms")
    )
    memory, used = _floats(rows, "memory_mb"), _floats(rows, "used_mb")
    errors = invoked & _is(rows, "status", Status.ERROR)
    sizes = tuple(int(size) for size in np.unique(memory[invoked]))
    warm = kinds[Kind.WARM] & _is(rows, "status", Status.SUCCESS)
    return FunctionStatistics(
        function=name,
        invocations=int(invoked.sum()),
        cold_starts=int(cold.sum()),
        restores=int(kinds[Kind.RESTORE].sum()),
        provisioned_inits=int(kinds[Kind.PROVISIONED].sum()),
        failed_inits=int(kinds[Kind.FAILED_INIT].sum()),
        failed_restores=int(kinds[Kind.FAILED_RESTORE].sum()),
        timeouts=int((invoked & _is(rows, "status", Status.TIMEOUT)).sum()),
        errors=int(errors.sum()),
        init_ms=percentiles(init[cold]),
        restore_ms=percentiles(restore[kinds[Kind.RESTORE]]),
        duration_ms=percentiles(duration[invoked]),
        billed_ms=float(billed[invoked].sum()),
        billed_gb_s=float((billed[invoked] * memory[invoked]).sum()) / 1024 / 1000,
        max_memory_used_mb=int(used[invoked].max()) if invoked.any() else None,
        memory_efficiency=float((used[invoked] / memory[invoked]).mean()) if invoked.any() else None,
        memory_sizes_mb=sizes,
        by_memory={size: _at_memory(size, memory == size, used, duration, warm) for size in sizes},
        by_hour=_by_hour(_hours(rows, zone), invoked, cold, init),
        peak_minute=_peak(rows, invoked, 60_000),
        peak_hour=_peak(rows, invoked, 3_600_000),
        duplicates=refused.duplicates,
        suspicious=refused.suspicious,
        error_types=_count(_texts(rows, "error_type")[errors]),
    )


def _at_memory(size: int, rows: Mask, used: Floats, duration: Floats, warm: Mask) -> MemoryStatistics:
    return MemoryStatistics(
        size, int(rows.sum()), int(used[rows].max()), float(used[rows].mean()), percentiles(duration[rows & warm])
    )


def _by_hour(hours: npt.NDArray[np.int64], invoked: Mask, cold: Mask, init: Floats) -> dict[int, HourStatistics]:
    found = {}
    for hour in np.unique(hours[invoked]):
        rows = hours == hour
        starts = rows & cold
        found[int(hour)] = HourStatistics(
            int(hour), int((rows & invoked).sum()), int(starts.sum()), percentiles(init[starts])
        )
    return found


def _peak(rows: pa.Table, invoked: Mask, width_ms: int) -> int:
    """The most invocations within one stretch of the clock."""
    ended = np.asarray(rows.column("timestamp").cast(pa.int64()).to_numpy(), dtype=np.int64)[invoked]
    return int(np.unique(ended // width_ms, return_counts=True)[1].max(initial=0))


def _hours(rows: pa.Table, zone: ZoneInfo) -> npt.NDArray[np.int64]:
    local: Any = rows.column("timestamp").cast(pa.timestamp("ms", tz=zone.key))
    return np.asarray(pc.hour(local).to_numpy(), dtype=np.int64)


def _is(rows: pa.Table, column: str, value: str) -> Mask:
    return np.asarray(_texts(rows, column) == value, dtype=np.bool_)


def _texts(rows: pa.Table, column: str) -> npt.NDArray[np.object_]:
    return np.asarray(rows.column(column).cast(pa.string()).to_pylist(), dtype=object)


def _floats(rows: pa.Table, column: str) -> Floats:
    return np.asarray(rows.column(column).cast(pa.float64()).to_numpy(), dtype=np.float64)


def _count(names: npt.NDArray[np.object_]) -> dict[str, int]:
    values, counts = np.unique(names.astype(str), return_counts=True)
    return {str(value) or "unknown": int(count) for value, count in zip(values, counts, strict=True)}
