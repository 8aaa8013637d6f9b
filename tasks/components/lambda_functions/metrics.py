"""CloudWatch's own counts and percentiles by function: one figure per metric over the whole window.

Percentiles come from CloudWatch over one period that spans the window: a mean of hourly percentiles is no percentile.
Throttled requests are not among `Invocations`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import product
from typing import Any

import pyarrow as pa

from tasks.components.lambda_functions.account import Account

MOST_QUERIES = 500
"""Queries that one GetMetricData call may hold."""

STATISTICS: tuple[tuple[str, str], ...] = (
    ("Invocations", "Sum"),
    ("Errors", "Sum"),
    ("Throttles", "Sum"),
    ("Duration", "Sum"),
    ("Duration", "p50"),
    ("Duration", "p95"),
    ("Duration", "p99"),
    ("ConcurrentExecutions", "Maximum"),
)
INSIGHTS = "LambdaInsights"
"""The namespace of Lambda Insights, an extension that some functions have; its dimension is lower case."""

INSIGHTS_STATISTICS: tuple[tuple[str, str], ...] = (
    ("memory_utilization", "Maximum"),
    ("memory_utilization", "SampleCount"),
    ("init_duration", "p95"),
    ("init_duration", "SampleCount"),
)
PROVISIONED_STATISTICS: tuple[tuple[str, str], ...] = (
    ("ProvisionedConcurrencyInvocations", "Sum"),
    ("ProvisionedConcurrencySpilloverInvocations", "Sum"),
    ("ProvisionedConcurrentExecutions", "Maximum"),
)

_METRICS_FIELDS: list[pa.Field[Any]] = [
    pa.field("function", pa.string()),
    pa.field("metric", pa.string()),
    pa.field("statistic", pa.string()),
    pa.field("value", pa.float64()),
]
METRICS = pa.schema(_METRICS_FIELDS)
"""One row per function, metric and statistic over the window; no row where CloudWatch has no data point."""


@dataclass
class MetricsRead:
    """The figures, how many metrics were asked for, and what is left out because it came in parts."""

    values: dict[tuple[str, str, str], float] = field(default_factory=dict)
    asked: int = 0
    split: set[str] = field(default_factory=set)

    def get(self, function: str, metric: str, statistic: str) -> float | None:
        """One figure, None where CloudWatch has none."""
        return self.values.get((function, metric, statistic))

    def table(self) -> pa.Table:
        """The rows of `METRICS`."""
        rows = [
            {"function": function, "metric": metric, "statistic": statistic, "value": value}
            for (function, metric, statistic), value in sorted(self.values.items())
        ]
        return pa.Table.from_pylist(rows, schema=METRICS)


def read_metrics(
    account: Account,
    names: Sequence[str],
    provisioned: Sequence[str],
    start: datetime,
    end: datetime,
    *,
    statistics: Sequence[tuple[str, str]] = STATISTICS,
) -> MetricsRead:
    """Read the statistics of each function, and those of provisioned concurrency for the functions that have some.

    `start` and `end` are whole minutes; the period is the window, so each figure is one data point.
    """
    period = int((end - start).total_seconds())
    wanted = [(name, *statistic) for name, statistic in product(names, statistics)]
    wanted += [(name, *statistic) for name, statistic in product(provisioned, PROVISIONED_STATISTICS)]
    read = MetricsRead(asked=len(wanted))
    points: dict[tuple[str, str, str], list[float]] = {}
    for first in range(0, len(wanted), MOST_QUERIES):
        batch = wanted[first : first + MOST_QUERIES]
        queries = [_query(number, key, period) for number, key in enumerate(batch)]
        for result in _results(account, queries, start, end):
            points.setdefault(batch[int(result["Id"][1:])], []).extend(result["Values"])
    for key, values in points.items():
        if (value := _one(key[2], values)) is not None:
            read.values[key] = value
        elif values:
            read.split.add(key[0])
    return read


def add_insights(account: Account, names: Sequence[str], start: datetime, end: datetime, read: MetricsRead) -> None:
    """Add the figures of Lambda Insights for those of the functions that have it: one call more where none has."""
    pages = account.pages("cloudwatch", "ListMetrics", Namespace=INSIGHTS, MetricName="memory_utilization")
    found = {
        dimension["Value"]
        for page in pages
        for metric in page["Metrics"]
        for dimension in metric["Dimensions"]
        if dimension["Name"] == "function_name"
    }
    if chosen := sorted(found & set(names)):
        theirs = read_metrics(account, chosen, [], start, end, statistics=INSIGHTS_STATISTICS)
        read.values |= theirs.values
        read.asked += theirs.asked


def _results(
    account: Account, queries: Sequence[Mapping[str, Any]], start: datetime, end: datetime
) -> Iterator[dict[str, Any]]:
    pages = account.pages("cloudwatch", "GetMetricData", MetricDataQueries=queries, StartTime=start, EndTime=end)
    for page in pages:
        yield from page["MetricDataResults"]


def _query(number: int, key: tuple[str, str, str], period: int) -> dict[str, Any]:
    function, metric, statistic = key
    insights = (metric, statistic) in INSIGHTS_STATISTICS
    return {
        "Id": f"q{number}",
        "MetricStat": {
            "Metric": {
                "Namespace": INSIGHTS if insights else "AWS/Lambda",
                "MetricName": metric,
                "Dimensions": [{"Name": "function_name" if insights else "FunctionName", "Value": function}],
            },
            "Period": period,
            "Stat": statistic,
        },
    }


def _one(statistic: str, values: Sequence[float]) -> float | None:
    """One figure of the data points of a window: sums add, maxima compare, percentiles cannot be put together."""
    if not values:
        return None
    if statistic in {"Sum", "SampleCount"}:
        return float(sum(values))
    if statistic == "Maximum":
        return float(max(values))
    return float(values[0]) if len(values) == 1 else None
