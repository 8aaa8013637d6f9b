"""The AWS API as a process, spoken to by boto3's own clients: both paths to the corpus, paging, limits, refusals."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import httpx
import numpy as np
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.loaders import Loader

from deployments.local.aws import ACCOUNT_ID, PLANTED, READY_PATH, REGION, function_arn, function_name

ROOT = Path(__file__).resolve().parents[2]
READY_WITHIN_S = 30  # 6 s on an idle machine; others may share the cores
MAX_RSS_MB = 200
REPORT = re.compile(
    r"REPORT RequestId: [0-9a-f-]{36}\tDuration: (?P<duration>[\d.]+) ms\tBilled Duration: (?P<billed>\d+) ms\t"
    r"Memory Size: (?P<size>\d+) MB\tMax Memory Used: (?P<used>\d+) MB\t(?:Init Duration: (?P<init>[\d.]+) ms\t)?"
)


@dataclass
class Server:
    url: str
    process: subprocess.Popen[str]
    client: Callable[[str], Any]


@contextmanager
def serving(*options: str) -> Iterator[Server]:
    """The process with its clients; ended by its pid, whatever happens."""
    command = [sys.executable, "-m", "deployments.local.aws", "--port", "0", *options]
    with ExitStack() as stack:
        process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT))
        stack.callback(process.kill)
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        clients: dict[str, Any] = {}

        def client(service: str) -> Any:
            if service not in clients:
                made = boto3.client(
                    service,  # type: ignore[call-overload]  # any service
                    endpoint_url=url,
                    region_name=REGION,
                    aws_access_key_id="any",
                    aws_secret_access_key="any",
                    config=Config(retries={"total_max_attempts": 1}),
                )
                clients[service] = stack.enter_context(closing(made))
            return clients[service]

        yield Server(url, process, client)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture(scope="module")
def functions(server: Server) -> list[dict[str, Any]]:
    pages = list(server.client("lambda").get_paginator("list_functions").paginate())
    assert [len(page["Functions"]) for page in pages] == [50, 30]
    return [function for page in pages for function in page["Functions"]]


def window() -> tuple[datetime, datetime]:
    """A window that holds the whole corpus."""
    now = datetime.now(UTC)
    return now - timedelta(days=15), now


def metric(name: str, function: str, statistic: str, period: int, **more: str) -> dict[str, Any]:
    dimensions = [{"Name": "FunctionName", "Value": function}, *({"Name": k, "Value": v} for k, v in more.items())]
    about = {"Namespace": "AWS/Lambda", "MetricName": name, "Dimensions": dimensions}
    return {"MetricStat": {"Metric": about, "Period": period, "Stat": statistic}}


def values(server: Server, queries: dict[str, dict[str, Any]]) -> dict[str, list[float]]:
    """The values of each query by its id, over all calls and pages."""
    start, end = window()
    found: dict[str, list[float]] = {name: [] for name in queries}
    listed = [{"Id": name, **query} for name, query in queries.items()]
    paginator = server.client("cloudwatch").get_paginator("get_metric_data")
    for at in range(0, len(listed), 500):
        for page in paginator.paginate(MetricDataQueries=listed[at : at + 500], StartTime=start, EndTime=end):
            for result in page["MetricDataResults"]:
                found[result["Id"]] += result["Values"]
    return found


def events(server: Server, group: str, pattern: str = "", **more: Any) -> list[dict[str, Any]]:
    pages = (
        server.client("logs")
        .get_paginator("filter_log_events")
        .paginate(logGroupName=group, filterPattern=pattern, **more)
    )
    return [event for page in pages for event in page["events"]]


def insights(server: Server, groups: list[str], query: str) -> tuple[list[dict[str, str]], dict[str, float]]:
    start, end = (int(moment.timestamp()) for moment in window())
    logs = server.client("logs")
    query_id = logs.start_query(logGroupNames=groups, startTime=start, endTime=end, queryString=query)["queryId"]
    first = logs.get_query_results(queryId=query_id)
    deadline = time.monotonic() + 20
    answer = first
    while answer["status"] != "Complete":
        assert answer["status"] == "Running"
        assert answer["results"] == []
        assert time.monotonic() < deadline
        time.sleep(0.02)
        answer = logs.get_query_results(queryId=query_id)
    return [{each["field"]: each["value"] for each in row} for row in answer["results"]], answer["statistics"]


def refused(call: Callable[..., Any], /, **arguments: Any) -> str:
    with pytest.raises(ClientError) as error:
        call(**arguments)
    code: str = error.value.response["Error"]["Code"]
    assert error.value.response["ResponseMetadata"]["RequestId"]
    return code


# --- the process --------------------------------------------------------------------------------------------------


def test_it_is_ready_quickly_small_and_ends_on_sigterm() -> None:
    began = time.monotonic()
    with serving() as running:
        assert time.monotonic() - began < READY_WITHIN_S
        assert httpx.get(running.url + READY_PATH, timeout=5).status_code == 200
        values(running, {"q": metric("Duration", function_name("health"), "p99", 60)})
        insights(running, [f"/aws/lambda/{function_name('health')}"], "stats count(*)")
        status = Path(f"/proc/{running.process.pid}/status").read_text(encoding="utf-8")
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert peak is not None
        assert int(peak[1]) / 1024 < MAX_RSS_MB
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(5) == 0


def test_it_ends_with_its_parent() -> None:
    script = (
        "import subprocess, sys\n"
        "command = [sys.executable, '-m', 'deployments.local.aws', '--port', '0']\n"
        "child = subprocess.Popen(command, stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\nprint(child.pid, flush=True)\nimport os\nos._exit(0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=60, check=True
    )
    pid = int(done.stdout)
    deadline = time.monotonic() + 10
    while alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False


def test_a_taken_port_is_an_error(server: Server) -> None:
    port = server.url.rsplit(":", 1)[1]
    command = [sys.executable, "-m", "deployments.local.aws", "--port", port]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=30, check=False)
    assert done.returncode == 1
    assert port in done.stderr


def test_two_processes_of_one_moment_hold_the_same() -> None:
    moment = "2026-11-20T12:30:00+00:00"
    found = []
    for _ in range(2):
        with serving("--now", moment) as running:
            logs = running.client("logs")
            page = logs.filter_log_events(logGroupName=f"/aws/lambda/{function_name('orders-create')}", limit=200)
            found.append((page["events"], page["nextToken"]))
    assert found[0] == found[1]
    assert found[0][0][0]["timestamp"] >= int(datetime(2026, 11, 6, 12, tzinfo=UTC).timestamp() * 1000)


# --- both paths to one corpus ---------------------------------------------------------------------------------------


def test_raw_lines_insights_and_metrics_agree_for_every_text_function(
    server: Server, functions: list[dict[str, Any]]
) -> None:
    text = [each for each in functions if each["LoggingConfig"]["LogFormat"] == "Text"]
    assert len(text) == 76
    groups = {each["FunctionName"]: each["LoggingConfig"]["LogGroup"] for each in text}
    query = (
        'filter @type = "REPORT" | stats count(*) as n, count(@initDuration) as cold, min(@duration) as least, '
        "avg(@duration) as mean, pct(@duration, 50) as p50, pct(@duration, 99) as p99, "
        "pct(@initDuration, 95) as init95, max(@maxMemoryUsed)/1000/1000 as used, "
        "max(@memorySize)/1e6 as size, sum(@billedDuration) as billed by @log"
    )
    rows: dict[str, dict[str, str]] = {}
    scanned = 0.0
    names = sorted(set(groups.values()))
    for at in range(0, len(names), 50):
        found, statistics = insights(server, names[at : at + 50], query)
        rows |= {row["@log"].removeprefix(f"{ACCOUNT_ID}:"): row for row in found}
        scanned += statistics["bytesScanned"]
    counts = values(server, {f"q{n}": metric("Invocations", name, "Sum", 86_400) for n, name in enumerate(groups)})
    period = 30 * 86_400  # one period over the whole window: its percentile is that of all samples
    p99s = values(server, {f"q{n}": metric("Duration", name, "p99", period) for n, name in enumerate(groups)})
    raw_bytes = 0
    for number, (name, group) in enumerate(groups.items()):
        every = events(server, group)
        raw_bytes += sum(len(event["message"].encode()) for event in every)
        reports = [match for event in every if (match := REPORT.match(event["message"]))]
        assert sum(counts[f"q{number}"]) == len(reports), name
        if not reports:
            assert name == function_name("payments-advanced")
            assert group not in rows
            continue
        durations = np.array([float(match["duration"]) for match in reports])
        inits = np.array([float(match["init"]) for match in reports if match["init"]])
        row = rows[group]
        assert int(row["n"]) == len(reports)
        assert int(row["cold"]) == len(inits)
        assert float(row["least"]) == durations.min()
        assert float(row["mean"]) == pytest.approx(durations.mean(), abs=1e-3)
        assert float(row["p50"]) == pytest.approx(np.percentile(durations, 50), abs=1e-3)
        assert float(row["p99"]) == pytest.approx(np.percentile(durations, 99), abs=1e-3)
        assert float(row["init95"]) == pytest.approx(np.percentile(inits, 95), abs=1e-3)
        assert float(row["used"]) == max(int(match["used"]) for match in reports)
        assert float(row["size"]) == max(int(match["size"]) for match in reports)
        assert float(row["billed"]) == sum(int(match["billed"]) for match in reports)
        assert p99s[f"q{number}"] == pytest.approx([np.percentile(durations, 99)])
    assert scanned == raw_bytes


def test_json_functions_agree_too(server: Server, functions: list[dict[str, Any]]) -> None:
    named = [each for each in functions if each["LoggingConfig"]["LogFormat"] == "JSON"]
    assert len(named) == 4
    groups = [each["LoggingConfig"]["LogGroup"] for each in named]
    rows, _ = insights(
        server,
        groups,
        'filter type = "platform.report" | stats count(*) as n, count(record.metrics.initDurationMs) as cold, '
        "pct(record.metrics.initDurationMs, 95) as init95, max(record.metrics.maxMemoryUsedMB) as used by @log",
    )
    found = {row["@log"].split(":")[1]: row for row in rows}
    for each, group in zip(named, groups, strict=True):
        reports = [
            json.loads(e["message"])["record"]["metrics"]
            for e in events(server, group, '{ $.type = "platform.report" }')
        ]
        inits = [report["initDurationMs"] for report in reports if "initDurationMs" in report]
        assert int(found[group]["n"]) == len(reports)
        assert int(found[group]["cold"]) == len(inits)
        assert float(found[group]["init95"]) == pytest.approx(np.percentile(inits, 95), abs=1e-3)
        assert float(found[group]["used"]) == max(report["maxMemoryUsedMB"] for report in reports)
        total = values(server, {"q": metric("Invocations", each["FunctionName"], "Sum", 3600)})["q"]
        assert sum(total) == len(reports)


def test_percentiles_by_hour_equal_numpy_over_the_lines(server: Server) -> None:
    name = function_name("payments-verify")
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=3)
    cloudwatch = server.client("cloudwatch")
    answer = cloudwatch.get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName="Duration",
        Dimensions=[{"Name": "FunctionName", "Value": name}],
        StartTime=start,
        EndTime=start + timedelta(days=3),
        Period=3600,
        ExtendedStatistics=["p50", "p95", "p99.9"],
    )
    also = cloudwatch.get_metric_statistics(
        Namespace="AWS/Lambda",
        MetricName="Duration",
        Dimensions=[{"Name": "FunctionName", "Value": name}],
        StartTime=start,
        EndTime=start + timedelta(days=3),
        Period=3600,
        Statistics=["SampleCount", "Maximum"],
    )
    by_hour: dict[int, list[float]] = defaultdict(list)
    for event in events(server, f"/aws/lambda/{name}", '"REPORT RequestId:"'):
        match = REPORT.match(event["message"])
        if match is None:
            continue  # an application line that quotes one
        # a metric bears the invocation's beginning, a line its end
        began = event["timestamp"] - int(np.ceil(float(match["duration"]) + float(match["init"] or 0)))
        by_hour[began // 3_600_000].append(float(match["duration"]))
    points = {int(point["Timestamp"].timestamp()) // 3600: point for point in answer["Datapoints"]}
    assert set(points) == {hour for hour in by_hour if hour >= start.timestamp() // 3600}
    for hour, point in points.items():
        for statistic, percent in (("p50", 50.0), ("p95", 95.0), ("p99.9", 99.9)):
            assert point["ExtendedStatistics"][statistic] == pytest.approx(np.percentile(by_hour[hour], percent))
        assert point["Unit"] == "Milliseconds"
    for point in also["Datapoints"]:
        hour = int(point["Timestamp"].timestamp()) // 3600
        assert (point["SampleCount"], point["Maximum"]) == (len(by_hour[hour]), max(by_hour[hour]))


def test_nine_hundred_queries_over_fourteen_days_are_fast(server: Server, functions: list[dict[str, Any]]) -> None:
    of_duration = ("Average", "Minimum", "Maximum", "SampleCount", "p50", "p95", "p99")
    asked = [(name, "Sum") for name in ("Invocations", "Errors", "Throttles")]
    asked += [("ConcurrentExecutions", "Maximum"), *(("Duration", statistic) for statistic in of_duration)]
    queries = {
        f"q{number}_{at}": metric(name, each["FunctionName"], statistic, 86_400)
        for number, each in enumerate(functions)
        for at, (name, statistic) in enumerate(asked)
    }
    assert len(queries) == 880
    began = time.monotonic()
    found = values(server, queries)
    assert time.monotonic() - began < 10  # about 0.4 s alone on the machine
    assert 60_000 < sum(sum(found[f"q{number}_0"]) for number in range(80)) < 120_000


# --- Lambda ---------------------------------------------------------------------------------------------------------


def test_configuration(server: Server, functions: list[dict[str, Any]]) -> None:
    facts = json.loads((ROOT / "deployments/local/facts/lambda_functions.json").read_text(encoding="utf-8"))[
        "functions"
    ]
    found = {each["FunctionName"]: each for each in functions}
    assert len(found) == 80
    for row in facts:
        each = found[function_name(row["name"])]
        assert (each["MemorySize"], each["Timeout"]) == (row["memory_mb"], row["timeout_s"])
        assert each["Architectures"] == ["arm64"]
        old = row["name"] == "invoice-templates"
        assert each["Runtime"] == ("nodejs14.x" if old else row["runtime"])


def test_small_pages(server: Server) -> None:
    client = server.client("lambda")
    pages = list(client.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 7}))
    assert [len(page["Functions"]) for page in pages] == [7] * 11 + [3]
    assert len({each["FunctionArn"] for page in pages for each in page["Functions"]}) == 80
    assert len(client.list_functions(MaxItems=10_000)["Functions"]) == 50
    assert refused(client.list_functions, Marker="nonsense") == "InvalidParameterValueException"


def test_one_function_by_name_and_arn(server: Server) -> None:
    client = server.client("lambda")
    name = function_name("orders-create")
    whole = client.get_function(FunctionName=name)
    assert whole["Tags"]["criticality"] == "critical"
    assert whole["Configuration"] == without_metadata(
        client.get_function_configuration(FunctionName=function_arn(name))
    )
    assert client.list_tags(Resource=function_arn(name))["Tags"] == whole["Tags"]
    assert refused(client.get_function, FunctionName="nobody") == "ResourceNotFoundException"
    assert refused(client.get_function, FunctionName=name, Qualifier="7") == "ResourceNotFoundException"


def without_metadata(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key != "ResponseMetadata"}


def test_concurrency(server: Server) -> None:
    client = server.client("lambda")
    reserved = client.get_function_concurrency(FunctionName=function_name("mobile-delivery-tracking"))
    assert reserved["ReservedConcurrentExecutions"] == 2
    assert "ReservedConcurrentExecutions" not in client.get_function_concurrency(FunctionName=function_name("health"))
    limits = client.get_account_settings()
    assert limits["AccountLimit"]["ConcurrentExecutions"] == 1000
    assert limits["AccountLimit"]["UnreservedConcurrentExecutions"] == 998
    assert limits["AccountUsage"]["FunctionCount"] == 80
    name = function_name("analytics-executive-dashboard")
    (config,) = client.list_provisioned_concurrency_configs(FunctionName=name)["ProvisionedConcurrencyConfigs"]
    assert (config["FunctionArn"], config["Status"]) == (function_arn(name, "live"), "READY")
    one = client.get_provisioned_concurrency_config(FunctionName=name, Qualifier="live")
    assert one["AllocatedProvisionedConcurrentExecutions"] == 5
    none = client.list_provisioned_concurrency_configs(FunctionName=function_name("health"))
    assert none["ProvisionedConcurrencyConfigs"] == []
    missing = refused(client.get_provisioned_concurrency_config, FunctionName=name, Qualifier="3")
    assert missing == "ProvisionedConcurrencyConfigNotFoundException"
    (alias,) = client.list_aliases(FunctionName=name)["Aliases"]
    assert alias["FunctionVersion"] == "3"
    assert client.get_alias(FunctionName=name, Name="live")["AliasArn"] == alias["AliasArn"]
    versions = client.list_versions_by_function(FunctionName=name)["Versions"]
    assert [each["Version"] for each in versions] == ["$LATEST", "3"]


def test_provisioned_concurrency_is_seen_by_its_metrics(server: Server) -> None:
    name = function_name("analytics-executive-dashboard")
    found = values(
        server,
        {
            "spent": metric("ProvisionedConcurrencyInvocations", name, "Sum", 86_400, Resource=f"{name}:live"),
            "busy": metric("ProvisionedConcurrencyUtilization", name, "Maximum", 86_400, Resource=f"{name}:live"),
            "latest": metric("Invocations", name, "Sum", 86_400, Resource=name),
            "all": metric("Invocations", name, "Sum", 86_400),
        },
    )
    assert 13 <= sum(found["spent"]) <= 14
    assert max(found["busy"]) == 0.2
    assert sum(found["latest"]) + sum(found["spent"]) == sum(found["all"])


def test_triggers(server: Server) -> None:
    client = server.client("lambda")
    policy = json.loads(client.get_policy(FunctionName=function_name("payments-retry"))["Policy"])
    principals = [statement["Principal"]["Service"] for statement in policy["Statement"]]
    assert principals.count("apigateway.amazonaws.com") == 5
    assert principals.count("events.amazonaws.com") == 1
    sources = [statement["Condition"]["ArnLike"]["AWS:SourceArn"] for statement in policy["Statement"]]
    assert any(source.endswith("/*/GET/payments/retry/*") for source in sources)
    assert client.list_event_source_mappings()["EventSourceMappings"] == []
    name = function_name("analytics-executive-dashboard")
    assert refused(client.get_policy, FunctionName=name, Qualifier="live") == "ResourceNotFoundException"


def test_tags_identity_and_others(server: Server) -> None:
    tagging = server.client("resourcegroupstaggingapi")
    pages = tagging.get_paginator("get_resources").paginate(ResourceTypeFilters=["lambda:function"])
    assert sum(len(page["ResourceTagMappingList"]) for page in pages) == 80
    critical = tagging.get_resources(TagFilters=[{"Key": "criticality", "Values": ["critical"]}])
    names = {each["ResourceARN"].rsplit(":", 1)[1] for each in critical["ResourceTagMappingList"]}
    assert names == {function_name("orders-create"), function_name("rfid-verify-card")}
    assert server.client("sts").get_caller_identity()["Account"] == ACCOUNT_ID
    scaling = server.client("application-autoscaling")
    assert scaling.describe_scalable_targets(ServiceNamespace="lambda")["ScalableTargets"] == []
    optimizer = server.client("compute-optimizer")
    assert refused(optimizer.get_lambda_function_recommendations) == "OptInRequiredException"


# --- metrics, logs: paging and refusals ----------------------------------------------------------------------------


def test_limits_of_cloudwatch(server: Server) -> None:
    cloudwatch = server.client("cloudwatch")
    start, end = window()
    one = metric("Duration", function_name("health"), "Sum", 3600)
    many = [{"Id": f"q{number}", **one} for number in range(501)]
    assert (
        refused(cloudwatch.get_metric_data, MetricDataQueries=many, StartTime=start, EndTime=end) == "ValidationError"
    )
    full = cloudwatch.get_metric_data(MetricDataQueries=many[:500], StartTime=start, EndTime=end)
    assert sum(len(result["Values"]) for result in full["MetricDataResults"]) == 100_800
    assert full["NextToken"]
    assert {result["StatusCode"] for result in full["MetricDataResults"]} == {"Complete", "PartialData"}
    expression = [{"Id": "e", "Expression": "SUM(METRICS())"}]
    assert (
        refused(cloudwatch.get_metric_data, MetricDataQueries=expression, StartTime=start, EndTime=end)
        == "ValidationError"
    )


def test_list_metrics(server: Server) -> None:
    paginator = server.client("cloudwatch").get_paginator("list_metrics")
    pages = list(paginator.paginate(Namespace="AWS/Lambda"))
    assert [len(page["Metrics"]) for page in pages][:-1] == [500] * (len(pages) - 1)
    names = {
        dimension["Value"]
        for page in paginator.paginate(
            Namespace="AWS/Lambda", MetricName="Invocations", Dimensions=[{"Name": "FunctionName"}]
        )
        for each in page["Metrics"]
        for dimension in each["Dimensions"]
        if dimension["Name"] == "FunctionName"
    }
    assert len(names) == 79
    assert function_name("payments-advanced") not in names
    provisioned = list(paginator.paginate(Namespace="AWS/Lambda", MetricName="ProvisionedConcurrentExecutions"))
    assert {each["Dimensions"][0]["Value"] for each in provisioned[0]["Metrics"]} == {
        function_name("analytics-executive-dashboard")
    }
    assert server.client("cloudwatch").list_metrics(Namespace="LambdaInsights")["Metrics"] == []


def test_log_groups(server: Server) -> None:
    logs = server.client("logs")
    pages = list(logs.get_paginator("describe_log_groups").paginate())
    assert [len(page["logGroups"]) for page in pages] == [50, 30]
    (custom,) = logs.describe_log_groups(logGroupNamePrefix="/hasivu/")["logGroups"]
    assert custom["logGroupName"] == "/hasivu/invoices"
    assert len(logs.describe_log_groups(logGroupNamePattern="orders-")["logGroups"]) == 5
    empty = f"/aws/lambda/{function_name('payments-advanced')}"
    assert events(server, empty) == []
    assert refused(logs.filter_log_events, logGroupName="/none") == "ResourceNotFoundException"
    assert refused(logs.describe_log_groups, limit=51) in {"InvalidParameterException", "ParamValidationError"}


def test_events_page_by_bytes_and_by_limit(server: Server) -> None:
    logs = server.client("logs")
    group = f"/aws/lambda/{function_name('orders-create')}"
    first = logs.filter_log_events(logGroupName=group)
    assert first["nextToken"]
    size = sum(len(event["message"].encode()) + 26 for event in first["events"])
    assert 900_000 < size <= 1_048_576
    every = events(server, group)
    assert [event["timestamp"] for event in every] == sorted(event["timestamp"] for event in every)
    assert len({event["eventId"] for event in every}) == len(every)
    limited = list(
        logs.get_paginator("filter_log_events").paginate(logGroupName=group, PaginationConfig={"PageSize": 997})
    )
    assert [event for page in limited for event in page["events"]] == every
    low, high = every[100]["timestamp"], every[400]["timestamp"]
    some = events(server, group, startTime=low, endTime=high)
    assert some == [event for event in every if low <= event["timestamp"] <= high]
    stream = every[0]["logStreamName"]
    assert {event["logStreamName"] for event in events(server, group, logStreamNames=[stream])} == {stream}
    newest = logs.filter_log_events(logGroupName=group, startFromHead=False, limit=10)["events"]
    assert newest == every[:-11:-1]


def test_patterns_select_lines(server: Server) -> None:
    group = f"/aws/lambda/{function_name('orders-create')}"
    every = events(server, group)
    either = events(server, group, "?REPORT ?INIT_REPORT")
    assert either == [e for e in every if re.search(r"\bREPORT\b|\bINIT_REPORT\b", e["message"])]
    assert any(e["message"].startswith("INIT_REPORT ") for e in either)
    assert any(e["message"].startswith("REPORT for school") for e in either)
    assert not any(e["message"].startswith("INIT_REPORT ") for e in events(server, group, "REPORT"))
    assert (
        refused(server.client("logs").filter_log_events, logGroupName=group, filterPattern="[a, b]")
        == "InvalidParameterException"
    )


def test_refusals_of_insights(server: Server, functions: list[dict[str, Any]]) -> None:
    logs = server.client("logs")
    start, end = (int(moment.timestamp()) for moment in window())
    names = [each["LoggingConfig"]["LogGroup"] for each in functions]
    arns = [f"arn:aws:logs:{REGION}:{ACCOUNT_ID}:log-group:{name}" for name in names]
    common: dict[str, Any] = {"startTime": start, "endTime": end, "queryString": "stats count(*)"}
    assert refused(logs.start_query, logGroupNames=names[:51], **common) == "InvalidParameterException"
    assert refused(logs.start_query, logGroupIdentifiers=arns[:51], **common) == "InvalidParameterException"
    assert refused(logs.start_query, **common) == "InvalidParameterException"
    assert refused(logs.start_query, logGroupNames=["/none"], **common) == "ResourceNotFoundException"
    broken = common | {"queryString": "parse @message '*' as x"}
    assert refused(logs.start_query, logGroupNames=names[:1], **broken) == "MalformedQueryException"
    backwards = common | {"startTime": end, "endTime": start}
    assert refused(logs.start_query, logGroupNames=names[:1], **backwards) == "MalformedQueryException"
    assert refused(logs.get_query_results, queryId="none") == "ResourceNotFoundException"
    assert logs.start_query(logGroupIdentifiers=arns[:50], **common)["queryId"]


def test_a_query_that_still_runs_can_be_stopped(server: Server, functions: list[dict[str, Any]]) -> None:
    logs = server.client("logs")
    start, end = (int(moment.timestamp()) for moment in window())
    name = functions[0]["LoggingConfig"]["LogGroup"]

    def stopped() -> str | None:
        """The id of a query that was stopped in time; None where a busy machine let it end before that."""
        query = {"logGroupNames": [name], "startTime": start, "endTime": end, "queryString": "stats count(*)"}
        query_id = str(logs.start_query(**query)["queryId"])
        try:
            assert logs.stop_query(queryId=query_id)["success"]
        except logs.exceptions.InvalidParameterException:
            return None
        return query_id

    query_id = next(filter(None, (stopped() for _ in range(20))))
    assert logs.get_query_results(queryId=query_id)["status"] == "Cancelled"


def test_results_of_a_query_are_paged(server: Server) -> None:
    logs = server.client("logs")
    start, end = (int(moment.timestamp()) for moment in window())
    names = [f"/aws/lambda/{function_name(key)}" for key in ("orders-create", "rfid-verify-card")]
    query = "fields @timestamp, @requestId | filter @type = 'REPORT' | limit 11000"
    query_id = logs.start_query(logGroupNames=names, startTime=start, endTime=end, queryString=query)["queryId"]
    time.sleep(0.1)
    first = logs.get_query_results(queryId=query_id)
    assert (first["status"], len(first["results"])) == ("Complete", 10_000)
    rest = logs.get_query_results(queryId=query_id, nextToken=first["nextToken"])
    assert len(rest["results"]) == 1_000
    assert "nextToken" not in rest


def test_other_operations_regions_and_faults_are_refused_by_name(server: Server) -> None:
    client = server.client("lambda")
    assert refused(client.delete_function, FunctionName="x") == "UnknownOperationException"
    assert refused(server.client("logs").list_log_anomaly_detectors) == "UnknownOperationException"
    with closing(
        boto3.client(
            "logs", endpoint_url=server.url, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
        )
    ) as elsewhere:
        assert refused(elsewhere.describe_log_groups) == "InvalidSignatureException"
    headers = {"X-Amz-Target": "Logs_20140328.DescribeLogGroups"}
    answer = httpx.post(server.url, content=b"{", headers=headers, timeout=5)
    assert (answer.status_code, answer.json()["__type"]) == (400, "SerializationException")


def test_denied_throttled_and_a_thousand_functions() -> None:
    with serving(
        "--deny", "logs:StartQuery", "--deny", "lambda:GetPolicy", "--rate", "cloudwatch=1", "--extra", "60"
    ) as running:
        client = running.client("lambda")
        assert sum(len(page["Functions"]) for page in client.get_paginator("list_functions").paginate()) == 140
        assert refused(client.get_policy, FunctionName=function_name("health")) == "AccessDeniedException"
        logs = running.client("logs")
        code = refused(logs.start_query, logGroupNames=["/x"], startTime=0, endTime=1, queryString="stats count(*)")
        assert code == "AccessDeniedException"
        running.client("cloudwatch").list_metrics()
        assert refused(running.client("cloudwatch").list_metrics) == "Throttling"


def test_answers_hold_only_members_that_boto3_knows(server: Server) -> None:
    loader = Loader()
    name = function_name("analytics-executive-dashboard")
    for path, operation in (
        ("/2015-03-31/functions/", "ListFunctions"),
        (f"/2015-03-31/functions/{name}", "GetFunction"),
        (f"/2015-03-31/functions/{name}/versions", "ListVersionsByFunction"),
        (f"/2015-03-31/functions/{name}/aliases", "ListAliases"),
        (f"/2015-03-31/functions/{name}/policy", "GetPolicy"),
        (f"/2019-09-30/functions/{name}/provisioned-concurrency?List=ALL", "ListProvisionedConcurrencyConfigs"),
        ("/2016-08-19/account-settings/", "GetAccountSettings"),
    ):
        authorization = f"AWS4-HMAC-SHA256 Credential=a/20260101/{REGION}/lambda/aws4_request"
        body = httpx.get(server.url + path, headers={"Authorization": authorization}, timeout=5).json()
        model = loader.load_service_model("lambda", "service-2")
        check(body, model["operations"][operation]["output"]["shape"], model["shapes"], operation)


def check(value: Any, shape: str, shapes: dict[str, Any], where: str) -> None:
    """Every member of an answer is in the service's model, and every enumerated text among its values."""
    known = shapes[shape]
    if known["type"] == "structure":
        for key, inner in value.items():
            assert key in known["members"], f"{where}.{key}"
            check(inner, known["members"][key]["shape"], shapes, f"{where}.{key}")
    elif known["type"] == "list":
        for inner in value:
            check(inner, known["member"]["shape"], shapes, f"{where}[]")
    elif "enum" in known:
        assert value in known["enum"], where


def test_the_planted_functions_exist(functions: list[dict[str, Any]]) -> None:
    assert {case.deployed for case in PLANTED} <= {each["FunctionName"] for each in functions}
