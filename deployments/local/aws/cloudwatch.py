"""The CloudWatch API: GetMetricData, GetMetricStatistics, ListMetrics, with AWS's limits and refusals."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from deployments.local.aws import paging
from deployments.local.aws.aggregate import STATISTICS, Buckets, cut, percentile_of
from deployments.local.aws.errors import AwsError, validation
from deployments.local.aws.series import MINUTE_MS, NAMESPACE, Dimensions, MetricStore

MAX_QUERIES = 500
"""MetricDataQuery structures in one GetMetricData call."""

MAX_DATA_POINTS = 100_800
"""Data points in one answer of GetMetricData."""

MAX_STATISTICS_POINTS = 1_440
"""Data points that one GetMetricStatistics call may ask for."""

LIST_PAGE = 500
RECENT_MS = 3 * 3_600_000
SHORT_PERIODS_S = frozenset({1, 5, 10, 20, 30})
_QUERY_ID = re.compile(r"[a-z][A-Za-z0-9_]{0,254}")

Params = Mapping[str, Any]


class CloudWatch:
    """The operations of CloudWatch over one store of metrics."""

    def __init__(self, store: MetricStore) -> None:
        self._store = store

    def get_metric_data(self, params: Params) -> dict[str, Any]:
        """Statistics of up to 500 metrics, paged by data points."""
        queries: list[Params] = params.get("MetricDataQueries") or []
        _check_queries(queries)
        start_ms, end_ms = _window(params)
        room = _max_points(params)
        descending = params.get("ScanBy", "TimestampDescending") == "TimestampDescending"
        request = {key: value for key, value in params.items() if key != "NextToken"}
        number, offset = _position(params.get("NextToken"), request)
        results: list[dict[str, Any]] = []
        token: str | None = None
        wanted = [query for query in queries if query.get("ReturnData", True)]
        for at in range(number, len(wanted)):
            if token is not None:
                results.append(_result(wanted[at], [], [], complete=False))
                continue
            times, values = self._points(wanted[at]["MetricStat"], start_ms, end_ms, descending=descending)
            begin, offset = offset, 0
            taken = times[begin : begin + room]
            room -= len(taken)
            complete = begin + len(taken) == len(times)
            results.append(_result(wanted[at], taken, values[begin : begin + len(taken)], complete=complete))
            if not complete:
                token = paging.issue([at, begin + len(taken)], request)
        answer: dict[str, Any] = {"MetricDataResults": results, "Messages": []}
        return answer | ({"NextToken": token} if token else {})

    def get_metric_statistics(self, params: Params) -> dict[str, Any]:
        """Statistics of one metric; the data points come in no particular order, as from AWS."""
        names = list(params.get("Statistics") or [])
        extended = list(params.get("ExtendedStatistics") or [])
        if not names and not extended:
            raise AwsError(
                "InvalidParameterCombination", "At least one of Statistics and ExtendedStatistics is required"
            )
        _check_statistics(names, extended)
        start_ms, end_ms = _window(params)
        period_ms = _period_ms(params.get("Period"))
        asked = -(-(end_ms - start_ms) // period_ms)
        if asked > MAX_STATISTICS_POINTS:
            raise AwsError(
                "InvalidParameterCombination",
                f"You have requested up to {asked} datapoints, which exceeds the limit of {MAX_STATISTICS_POINTS}. "
                "You may reduce the datapoints requested by increasing Period, or decreasing the time range.",
            )
        buckets, unit = self._buckets(params, start_ms, end_ms, period_ms)
        points = _datapoints(buckets, unit, names, extended) if buckets is not None else []
        return {"Label": params["MetricName"], "Datapoints": points}

    def list_metrics(self, params: Params) -> dict[str, Any]:
        """The metrics that had samples, 500 a page; all given dimensions must be among those of the metric."""
        request = {key: value for key, value in params.items() if key != "NextToken"}
        (begin,) = _position(params.get("NextToken"), request, length=1)
        namespace = params.get("Namespace", NAMESPACE)
        found = [entry for entry in self._store.names(namespace) if self._listed(entry, params)]
        page = found[begin : begin + LIST_PAGE]
        answer: dict[str, Any] = {
            "Metrics": [
                {
                    "Namespace": namespace,
                    "MetricName": name,
                    "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions],
                }
                for name, dimensions in page
            ]
        }
        if begin + LIST_PAGE < len(found):
            answer["NextToken"] = paging.issue([begin + LIST_PAGE], request)
        return answer

    def _listed(self, entry: tuple[str, Dimensions], params: Params) -> bool:
        name, dimensions = entry
        if params.get("MetricName", name) != name:
            return False
        has = dict(dimensions)
        for wanted in params.get("Dimensions") or []:
            if wanted["Name"] not in has or wanted.get("Value", has[wanted["Name"]]) != has[wanted["Name"]]:
                return False
        if params.get("RecentlyActive"):
            now_ms = int(datetime.now(UTC).timestamp() * 1000)
            return self._store.last(name, dimensions) >= now_ms - RECENT_MS
        return True

    def _points(
        self, stat: Params, start_ms: int, end_ms: int, *, descending: bool
    ) -> tuple[list[float], list[float]]:
        """The times (epoch seconds) and values of one query."""
        buckets, _ = self._buckets(
            stat["Metric"] | {"Unit": stat.get("Unit")}, start_ms, end_ms, stat["Period"] * 1000
        )
        if buckets is None:
            return [], []
        step = -1 if descending else 1
        return (buckets.starts_ms // 1000)[::step].tolist(), buckets.statistic(stat["Stat"])[::step].tolist()

    def _buckets(self, metric: Params, start_ms: int, end_ms: int, period_ms: int) -> tuple[Buckets | None, str]:
        pairs = tuple(sorted((each["Name"], each["Value"]) for each in metric.get("Dimensions") or []))
        series = self._store.get(metric["Namespace"], metric["MetricName"], pairs)
        if series is None or metric.get("Unit") not in {None, series.unit}:
            return None, "None"
        return cut(series, start_ms=start_ms, end_ms=end_ms, period_ms=period_ms), series.unit


def _datapoints(buckets: Buckets, unit: str, names: list[str], extended: list[str]) -> list[dict[str, Any]]:
    columns = {name: buckets.statistic(name).tolist() for name in names}
    further = {name: buckets.statistic(name).tolist() for name in extended}
    points: list[dict[str, Any]] = []
    for at, start_ms in enumerate(buckets.starts_ms.tolist()):
        point: dict[str, Any] = {"Timestamp": start_ms // 1000, "Unit": unit}
        point |= {name: values[at] for name, values in columns.items()}
        if further:
            point["ExtendedStatistics"] = {name: values[at] for name, values in further.items()}
        points.append(point)
    return sorted(points, key=lambda point: point["Timestamp"] * 2_654_435_761 % 2**32)


def _result(query: Params, times: list[float], values: list[float], *, complete: bool) -> dict[str, Any]:
    return {
        "Id": query["Id"],
        "Label": query.get("Label") or query["MetricStat"]["Metric"]["MetricName"],
        "Timestamps": times,
        "Values": values,
        "StatusCode": "Complete" if complete else "PartialData",
    }


def _check_queries(queries: list[Params]) -> None:
    if not queries:
        raise validation("The parameter MetricDataQueries is required.")
    if len(queries) > MAX_QUERIES:
        raise validation(f"The collection MetricDataQueries must not have a size greater than {MAX_QUERIES}.")
    seen: set[str] = set()
    for query in queries:
        name = query.get("Id", "")
        if not _QUERY_ID.fullmatch(name):
            raise validation(f"The value '{name}' for parameter Id does not start with a lower-case letter.")
        if name in seen:
            raise validation(f"The values for parameter id in MetricDataQueries are not unique: {name}.")
        seen.add(name)
        _check_query(query)


def _check_query(query: Params) -> None:
    if "Expression" in query:
        raise validation("Expressions are not emulated here: ask for the metrics and compute.")
    stat = query.get("MetricStat")
    if stat is None:
        raise validation(f"Query {query['Id']} has neither MetricStat nor Expression.")
    _period_ms(stat.get("Period"))
    _check_statistics([stat.get("Stat", "")], [])


def _check_statistics(names: list[str], extended: list[str]) -> None:
    for name in names:
        if name not in STATISTICS and percentile_of(name) is None:
            raise validation(f"The value {name} for parameter Stat is not supported.")
    for name in extended:
        if percentile_of(name) is None:
            raise AwsError(
                "InvalidParameterValue", f"The value {name} for parameter ExtendedStatistics is not supported."
            )


def _period_ms(period: object) -> int:
    if not isinstance(period, int) or period < 1 or (period % 60 and period not in SHORT_PERIODS_S):
        raise validation(f"The value {period} for parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60.")
    return period * 1000


def _window(params: Params) -> tuple[int, int]:
    """Start and end in epoch ms, both rounded down to the minute."""
    start_ms, end_ms = (_epoch_ms(params.get(key), key) // MINUTE_MS * MINUTE_MS for key in ("StartTime", "EndTime"))
    if start_ms >= end_ms:
        raise validation("The parameter StartTime must be less than the parameter EndTime.")
    return start_ms, end_ms


def _epoch_ms(value: object, name: str) -> int:
    if isinstance(value, int | float):
        return int(value * 1000)
    if isinstance(value, str):
        try:
            return int(datetime.fromisoformat(value).timestamp() * 1000)
        except ValueError as error:
            raise validation(f"The parameter {name} must be a time stamp.") from error
    raise validation(f"The parameter {name} is required.")


def _max_points(params: Params) -> int:
    points = params.get("MaxDatapoints", MAX_DATA_POINTS)
    if not isinstance(points, int) or not 1 <= points <= MAX_DATA_POINTS:
        raise validation(f"The value {points} for parameter MaxDatapoints must be between 1 and {MAX_DATA_POINTS}.")
    return points


def _position(token: str | None, request: Params, *, length: int = 2) -> list[int]:
    if token is None:
        return [0] * length
    try:
        position: list[int] = paging.redeem(token, request)
    except ValueError as error:
        raise AwsError("InvalidNextToken", f"The next token is not valid: {error}") from error
    return position
