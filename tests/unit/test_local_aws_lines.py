"""Log lines: their exact formats, read back by independent expressions, and what Insights discovers in them."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from deployments.local.aws import function_name
from deployments.local.aws.corpus import generate
from deployments.local.aws.insights_frame import frame_of
from deployments.local.aws.lines import Line
from deployments.local.aws.logstore import LogGroup, groups

NOW_MS = int(datetime(2026, 11, 20, 7, 15, tzinfo=UTC).timestamp() * 1000)
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}"

# the format of the AWS Lambda Developer Guide, written here once more by hand
REPORT = re.compile(
    rf"REPORT RequestId: (?P<id>{UUID})\tDuration: (?P<duration>\d+\.\d\d) ms\tBilled Duration: (?P<billed>\d+) ms\t"
    r"Memory Size: (?P<size>\d+) MB\tMax Memory Used: (?P<used>\d+) MB\t(?:Init Duration: (?P<init>\d+\.\d\d) ms\t)?"
    r"(?:Status: (?P<status>timeout|error)\t)?(?:Error Type: (?P<error>[\w.]+)\t)?\n"
    r"(?:XRAY TraceId: 1-[0-9a-f]{8}-[0-9a-f]{24}\tSegmentId: [0-9a-f]{16}\tSampled: true\t\n)?"
)

ALL = groups(generate(NOW_MS))


def group(key: str) -> LogGroup:
    return ALL[f"/aws/lambda/{function_name(key)}"]


def messages(of: LogGroup, line: Line) -> list[str]:
    return [of.message(int(at)) for at in np.flatnonzero(of.kinds == line)]


@pytest.mark.parametrize("key", ["orders-create", "payments-retry", "pdf-generator", "health"])
def test_report_lines_have_the_exact_format_and_hold_the_corpus(key: str) -> None:
    it = group(key).invocations
    found = [REPORT.fullmatch(text) for text in messages(group(key), Line.REPORT)]
    reports = [match for match in found if match]
    assert len(reports) == len(found) == len(it.start)
    assert sum(float(match["duration"]) for match in reports) == pytest.approx(float(it.duration.sum()))
    assert sum(int(match["billed"]) for match in reports) == int(it.billed.sum())
    assert sum(match["init"] is not None for match in reports) == int(it.cold.sum())
    assert len({match["id"] for match in reports}) == len(reports)


def test_time_outs_and_kills_carry_their_status() -> None:
    retry = [text for text in messages(group("payments-retry"), Line.REPORT) if "Status: timeout\t" in text]
    assert retry
    assert all("\tDuration: 60000.00 ms\t" in text for text in retry)
    killed = [text for text in messages(group("pdf-generator"), Line.REPORT) if "Status: error" in text]
    assert killed
    assert all("Error Type: Runtime.OutOfMemory\t" in text and "Max Memory Used: 1024 MB" in text for text in killed)


def test_an_abandoned_init_is_no_cold_start() -> None:
    orders = group("orders-create")
    abandoned = messages(orders, Line.INIT_REPORT)
    assert abandoned
    assert all(
        re.fullmatch(r"INIT_REPORT Init Duration: 1\d{4}\.\d\d ms\tPhase: init\tStatus: timeout\n", t)
        for t in abandoned
    )
    streams = {orders.stream(int(at)) for at in np.flatnonzero(orders.kinds == Line.INIT_REPORT)}
    for at in np.flatnonzero(orders.kinds == Line.REPORT):
        if orders.stream(int(at)) in streams:
            assert "Init Duration" not in orders.message(int(at))


@pytest.mark.parametrize("key", ["orders-create", "rfid-verify-card", "menus-daily"])
def test_spoofed_lines_are_there_and_are_no_reports(key: str) -> None:
    spoofed = messages(group(key), Line.SPOOF)
    assert len(spoofed) > 30
    assert all("REPORT" in text or "platform.report" in text for text in spoofed)
    assert not any(REPORT.match(text) for text in spoofed)
    if key == "menus-daily":
        assert all("type" not in json.loads(text) for text in spoofed)
    else:
        assert any(text.startswith("REPORT ") for text in spoofed)


def test_json_reports_follow_the_telemetry_schema() -> None:
    of = group("menus-daily")
    it = of.invocations
    reports = [json.loads(text) for text in messages(of, Line.REPORT)]
    assert {report["type"] for report in reports} == {"platform.report"}
    metrics = [report["record"]["metrics"] for report in reports]
    assert math.fsum(each["durationMs"] for each in metrics) == pytest.approx(float(it.duration.sum()))
    assert sum("initDurationMs" in each for each in metrics) == int(it.cold.sum())
    assert {each["memorySizeMB"] for each in metrics} == {512}


def test_provisioned_inits_say_so() -> None:
    texts = messages(group("analytics-executive-dashboard"), Line.PROVISIONED_INIT)
    assert {json.loads(text)["record"]["initializationType"] for text in texts} == {"provisioned-concurrency"}
    on_demand = messages(group("analytics-executive-dashboard"), Line.INIT_START)
    assert {json.loads(text)["record"]["initializationType"] for text in on_demand} == {"on-demand"}


@pytest.mark.parametrize("key", ["orders-create", "pdf-generator", "menus-daily"])
def test_discovered_fields_are_those_of_the_message(key: str) -> None:
    of = group(key)
    frame = frame_of([of], 0, NOW_MS)
    texts = list(frame.column("@message").values)
    expected: dict[str, list[Any]] = {
        name: [] for name in ("@duration", "@billedDuration", "@initDuration", "@maxMemoryUsed")
    }
    for text in texts:
        match = REPORT.fullmatch(text)
        expected["@duration"].append(float(match["duration"]) if match else math.nan)
        expected["@billedDuration"].append(float(match["billed"]) if match else math.nan)
        expected["@initDuration"].append(float(match["init"]) if match and match["init"] else math.nan)
        expected["@maxMemoryUsed"].append(float(match["used"]) * 1e6 if match else math.nan)
    for name, values in expected.items():
        assert np.array_equal(frame.column(name).values, np.array(values), equal_nan=True), name
    types = frame.column("@type").values
    for text, found in zip(texts, types, strict=True):
        assert (found == "REPORT") == (REPORT.fullmatch(text) is not None)
        assert (found == "INIT_REPORT") == text.startswith("INIT_REPORT")


def test_events_are_ordered_and_their_ids_unique() -> None:
    of = group("orders-create")
    assert np.all(np.diff(of.times) >= 0)
    events = [of.event(position) for position in range(0, len(of.times), 7)]
    assert len({event.event_id for event in events}) == len(events)
    assert all(0 < event.ingestion - event.timestamp <= 5000 for event in events)


def test_sizes_are_the_bytes_of_the_messages() -> None:
    of = group("pdf-generator")
    total = sum(len(of.message(position).encode()) for position in range(len(of.times)))
    assert int(of.sizes[-1]) == total
