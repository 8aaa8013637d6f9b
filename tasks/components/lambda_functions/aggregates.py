"""Statistics that Logs Insights itself computes, for functions with more invocations than a run reads one by one.

Sizes are bytes of 1,000 × 1,000 a MB there. Percentiles are Insights' own; there is no interval and no hour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from tasks.components.lambda_functions.account import Account
from tasks.components.lambda_functions.logs import Scanned, run_query
from tasks.components.lambda_functions.quantiles import Percentiles
from tasks.components.lambda_functions.reports import FunctionStatistics, MemoryStatistics

_GROUPS = 50
_MB = 1e6

_COLUMNS: dict[str, str] = {
    "invocations": "count(*)",
    "cold_starts": "count({init})",
    "init_p50": "pct({init}, 50)",
    "init_p95": "pct({init}, 95)",
    "init_p99": "pct({init}, 99)",
    "init_mean": "avg({init})",
    "init_max": "max({init})",
    "duration_p50": "pct({duration}, 50)",
    "duration_p95": "pct({duration}, 95)",
    "duration_p99": "pct({duration}, 99)",
    "duration_mean": "avg({duration})",
    "duration_max": "max({duration})",
    "memory_mb": "max({memory})",
    "used_mb": "max({used})",
    "used_mean_mb": "avg({used})",
    "billed_ms": "sum({billed})",
}
_TEXT = {
    "init": "@initDuration",
    "duration": "@duration",
    "memory": "@memorySize",
    "used": "@maxMemoryUsed",
    "billed": "@billedDuration",
}
_JSON = {
    "init": "record.metrics.initDurationMs",
    "duration": "record.metrics.durationMs",
    "memory": "record.metrics.memorySizeMB",
    "used": "record.metrics.maxMemoryUsedMB",
    "billed": "record.metrics.billedDurationMs",
}
_IN_BYTES = ("memory_mb", "used_mb", "used_mean_mb")

_FIELDS: list[pa.Field[Any]] = [pa.field("function", pa.string()), *(pa.field(c, pa.float64()) for c in _COLUMNS)]
AGGREGATES = pa.schema(_FIELDS)
"""One row per function: counts, percentiles in ms, memory in MB."""


def query(fields: Mapping[str, str], condition: str) -> str:
    """The Insights query for one log format."""
    columns = ", ".join(f"{how.format(**fields)} as {name}" for name, how in _COLUMNS.items())
    return f"filter {condition} | stats {columns} by @log"


def read_aggregates(
    account: Account, functions: Sequence[Mapping[str, Any]], start_ms: int, end_ms: int, scanned: Scanned
) -> list[dict[str, Any]]:
    """Rows of `AGGREGATES` for functions (rows of the inventory); those without a report have no row."""
    rows: list[dict[str, Any]] = []
    forms = (("Text", _TEXT, '@type = "REPORT"', _MB), ("JSON", _JSON, 'type = "platform.report"', 1.0))
    for form, fields, condition, per_mb in forms:
        owners = {
            row["log_group"]: row["function"]
            for row in functions
            if (row["log_format"] == "JSON") == (form == "JSON")
        }
        groups = list(owners)
        for first in range(0, len(groups), _GROUPS):
            seconds = (start_ms // 1000, end_ms // 1000)
            found = run_query(account, groups[first : first + _GROUPS], query(fields, condition), seconds, scanned)
            rows += [_row(each, owners, per_mb) for each in found]
    return rows


def _row(found: Mapping[str, str], owners: Mapping[str, str], per_mb: float) -> dict[str, Any]:
    values: dict[str, Any] = {name: float(found[name]) if name in found else None for name in _COLUMNS}
    for name in _IN_BYTES:
        values[name] = None if values[name] is None else values[name] / per_mb
    return {"function": owners[found["@log"].partition(":")[2]], **values}


def statistics_from(table: pa.Table) -> dict[str, FunctionStatistics]:
    """Statistics by function from rows of `AGGREGATES`; what Insights was not asked is None or empty."""
    return {row["function"]: _statistics(row) for row in table.to_pylist()}


def _statistics(row: Mapping[str, Any]) -> FunctionStatistics:
    size, n = round(row["memory_mb"]), round(row["invocations"])
    return FunctionStatistics(
        function=row["function"],
        invocations=n,
        cold_starts=round(row["cold_starts"]),
        restores=None,
        provisioned_inits=None,
        failed_inits=None,
        failed_restores=None,
        timeouts=None,
        errors=None,
        init_ms=_percentiles(row, "init", round(row["cold_starts"])),
        restore_ms=None,
        duration_ms=_percentiles(row, "duration", n),
        billed_ms=row["billed_ms"],
        billed_gb_s=row["billed_ms"] / 1000 * size / 1024,
        max_memory_used_mb=round(row["used_mb"]),
        memory_efficiency=row["used_mean_mb"] / row["memory_mb"],
        memory_sizes_mb=(size,),
        by_memory={size: MemoryStatistics(size, n, round(row["used_mb"]), row["used_mean_mb"], None)},
        by_hour={},
    )


def _percentiles(row: Mapping[str, Any], what: str, n: int) -> Percentiles | None:
    if n == 0 or row[f"{what}_p95"] is None:
        return None
    p50, p95, p99, mean, most = (row[f"{what}_{name}"] for name in ("p50", "p95", "p99", "mean", "max"))
    return Percentiles(n, p50, p95, p99, mean, most)
