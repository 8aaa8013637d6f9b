"""CloudWatch aggregation against NumPy, and the limits of its operations."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from werkzeug.test import Client

from deployments.local.aws import READY_PATH, function_name
from deployments.local.aws.aggregate import cut, percentile_of
from deployments.local.aws.cloudwatch import CloudWatch
from deployments.local.aws.corpus import generate
from deployments.local.aws.errors import AwsError
from deployments.local.aws.guard import Guard
from deployments.local.aws.series import MetricStore, Series, in_flight
from deployments.local.aws.wire import Application

CORPUS = generate(int(datetime(2026, 11, 20, 7, 15, tzinfo=UTC).timestamp() * 1000))
CLOUDWATCH = CloudWatch(MetricStore(CORPUS))
START, END = CORPUS.start_ms // 1000, CORPUS.end_ms // 1000


def stat(name: str, statistic: str, period: int = 3600, key: str = "orders-create") -> dict[str, Any]:
    dimensions = [{"Name": "FunctionName", "Value": function_name(key)}]
    metric = {"Namespace": "AWS/Lambda", "MetricName": name, "Dimensions": dimensions}
    return {"Id": "q0", "MetricStat": {"Metric": metric, "Period": period, "Stat": statistic}}


def data(*queries: dict[str, Any], **more: Any) -> dict[str, Any]:
    return CLOUDWATCH.get_metric_data(
        {"MetricDataQueries": list(queries), "StartTime": START, "EndTime": END, **more}
    )


def by_hand(statistic: str, values: list[float]) -> float:
    known: dict[str, Callable[[list[float]], float]] = {
        "Sum": math.fsum,
        "Average": statistics.fmean,
        "Minimum": min,
        "Maximum": max,
        "SampleCount": len,
    }
    return known[statistic](values) if statistic in known else float(np.percentile(values, float(statistic[1:])))


@pytest.mark.parametrize(
    "statistic", ["Sum", "Average", "Minimum", "Maximum", "SampleCount", "p50", "p95", "p99.9", "p100"]
)
@pytest.mark.parametrize("period", [60, 3600, 86_400])
def test_each_statistic_equals_numpy(statistic: str, period: int) -> None:
    it = CORPUS.invocations["orders-create"]
    buckets: dict[int, list[float]] = defaultdict(list)
    for start, duration in zip(it.start.tolist(), it.duration.tolist(), strict=True):
        buckets[START + (start // 60_000 * 60 - START) // period * period].append(duration)
    (result,) = data(stat("Duration", statistic, period), ScanBy="TimestampAscending")["MetricDataResults"]
    assert result["Timestamps"] == sorted(buckets)
    assert result["Values"] == pytest.approx([by_hand(statistic, buckets[at]) for at in sorted(buckets)])
    assert result["StatusCode"] == "Complete"


def test_counts_agree_with_the_corpus() -> None:
    it = CORPUS.invocations["mobile-delivery-tracking"]
    key = "mobile-delivery-tracking"
    (result,) = data(stat("Throttles", "Sum", 86_400, key))["MetricDataResults"]
    assert sum(result["Values"]) == len(it.throttled)
    (result,) = data(stat("Throttles", "SampleCount", 86_400, key))["MetricDataResults"]
    assert sum(result["Values"]) == len(it.throttled) + len(it.start)
    (result,) = data(stat("ConcurrentExecutions", "Maximum", 60, key))["MetricDataResults"]
    assert max(result["Values"]) == 2


def test_the_whole_account_is_the_sum_of_its_functions() -> None:
    query = {
        "Id": "all",
        "MetricStat": {
            "Metric": {"Namespace": "AWS/Lambda", "MetricName": "Invocations"},
            "Period": 86_400,
            "Stat": "Sum",
        },
    }
    (result,) = data(query)["MetricDataResults"]
    assert sum(result["Values"]) == CORPUS.total


def test_no_traffic_no_data() -> None:
    (result,) = data(stat("Invocations", "Sum", key="payments-advanced"))["MetricDataResults"]
    assert (result["Timestamps"], result["Values"], result["StatusCode"]) == ([], [], "Complete")


def test_paging_gives_every_point_once() -> None:
    queries = [stat("Duration", each) | {"Id": f"q{number}"} for number, each in enumerate(("Sum", "p95", "Maximum"))]
    whole = {each["Id"]: each["Values"] for each in data(*queries)["MetricDataResults"]}
    paged: dict[str, list[float]] = defaultdict(list)
    token: dict[str, str] = {}
    pages = 0
    while True:
        answer = data(*queries, MaxDatapoints=50, **token)
        pages += 1
        assert sum(len(each["Values"]) for each in answer["MetricDataResults"]) <= 50
        for each in answer["MetricDataResults"]:
            paged[each["Id"]] += each["Values"]
        if "NextToken" not in answer:
            break
        token = {"NextToken": answer["NextToken"]}
    assert paged == whole
    assert pages > 3


def test_a_token_belongs_to_its_request() -> None:
    token = data(stat("Duration", "Sum"), MaxDatapoints=5)["NextToken"]
    with pytest.raises(AwsError, match="InvalidNextToken"):
        data(stat("Duration", "Maximum"), MaxDatapoints=5, NextToken=token)
    with pytest.raises(AwsError, match="InvalidNextToken"):
        data(stat("Duration", "Sum"), NextToken="!")


@pytest.mark.parametrize(
    ("queries", "more"),
    [
        ([stat("Duration", "Sum") | {"Id": f"q{number}"} for number in range(501)], {}),
        ([stat("Duration", "Sum"), stat("Duration", "Sum")], {}),
        ([stat("Duration", "Sum") | {"Id": "Q"}], {}),
        ([stat("Duration", "p101")], {}),
        ([stat("Duration", "tm90")], {}),
        ([stat("Duration", "Sum", 90)], {}),
        ([{"Id": "e", "Expression": "SUM(METRICS())"}], {}),
        ([stat("Duration", "Sum")], {"EndTime": START}),
        ([stat("Duration", "Sum")], {"MaxDatapoints": 100_801}),
        ([], {}),
    ],
)
def test_what_aws_refuses_is_refused(queries: list[dict[str, Any]], more: dict[str, Any]) -> None:
    with pytest.raises(AwsError, match="ValidationError"):
        data(*queries, **more)


def test_statistics_of_one_metric_are_limited() -> None:
    metric = stat("Duration", "Sum")["MetricStat"]["Metric"]
    request = {**metric, "StartTime": START, "EndTime": END, "Period": 60, "Statistics": ["Sum"]}
    with pytest.raises(AwsError, match="exceeds the limit of 1440"):
        CLOUDWATCH.get_metric_statistics(request)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("p50", 50.0),
        ("p99.9", 99.9),
        ("p100", 100.0),
        ("p101", None),
        ("Sum", None),
        ("p", None),
        ("p9.", None),
        ("pp5", None),
    ],
)
def test_names_of_percentiles(name: str, expected: float | None) -> None:
    assert percentile_of(name) == expected


def test_periods_are_cut_from_the_start() -> None:
    times = np.array([0, 60_000, 120_000, 600_000], dtype=np.int64)
    buckets = cut(
        Series(times, np.array([1.0, 2.0, 4.0, 8.0]), "Count"), start_ms=60_000, end_ms=600_000, period_ms=120_000
    )
    assert buckets.starts_ms.tolist() == [60_000]
    assert buckets.statistic("Sum").tolist() == [6.0]


def test_in_flight_counts_itself() -> None:
    start, end = np.array([0, 10, 20, 30]), np.array([25, 15, 30, 40])
    assert in_flight(start, end).tolist() == [1, 2, 2, 1]


def test_the_guard_throttles_and_denies() -> None:
    guard = Guard(["logs:StartQuery"], {"logs": 2.0})
    with pytest.raises(AwsError, match="AccessDeniedException"):
        guard.admit("logs", "StartQuery")
    guard.admit("logs", "FilterLogEvents")
    guard.admit("logs", "FilterLogEvents")
    with pytest.raises(AwsError, match="ThrottlingException"):
        guard.admit("logs", "FilterLogEvents")
    guard.admit("lambda", "ListFunctions")


def test_it_is_not_ready_before_it_is_seeded() -> None:
    application = Application(Guard())
    client = Client(application)
    assert client.get(READY_PATH).status_code == 503
    application.seed(CORPUS)
    assert client.get(READY_PATH).status_code == 200
    assert client.get("/anything").status_code == 400
