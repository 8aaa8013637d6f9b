"""REPORT lines: real shapes, hostile shapes, and statistics whose answers are worked out here."""

from __future__ import annotations

import json
import statistics as stdlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.components.lambda_functions.lines import Report, parse
from tasks.components.lambda_functions.quantiles import interval_ranks
from tasks.components.lambda_functions.reading import read
from tasks.components.lambda_functions.reports import FunctionStatistics, LogEvent, statistics, statistics_of
from tasks.components.lambda_functions.rows import Kind

GROUP = "/aws/lambda/orders-create"
STREAM = "2025/09/02/[$LATEST]10681b291d2547ae90e38612e90b0aeb"
MINUTE = 60_000


def rid(number: int) -> str:
    return f"{number:08x}-1111-4111-8111-111111111111"


def text(number: int = 1, duration: str = "102.25", rest: str = "", *, memory: int = 128, used: int = 58) -> str:
    billed = int(float(duration)) + 1
    return (
        f"REPORT RequestId: {rid(number)}\tDuration: {duration} ms\tBilled Duration: {billed} ms"
        f"\tMemory Size: {memory} MB\tMax Memory Used: {used} MB{rest}\t\n"
    )


def platform(kind: str, record: dict[str, object]) -> str:
    return json.dumps({"time": "2025-09-02T10:00:00.000Z", "type": f"platform.{kind}", "record": record})


def json_report(number: int = 1, *, status: str | None = "success", **more: float) -> str:
    metrics = {"durationMs": 111.21, "billedDurationMs": 112, "memorySizeMB": 128, "maxMemoryUsedMB": 37, **more}
    record: dict[str, object] = {"requestId": rid(number), "metrics": metrics}
    return platform("report", record if status is None else {**record, "status": status})


def shuffle(events: list[LogEvent]) -> None:
    order = np.random.default_rng(1).permutation(len(events))
    events[:] = [events[i] for i in order]


def at(message: str, timestamp: int = 1_756_800_000_000, stream: str = STREAM, group: str = GROUP) -> LogEvent:
    return LogEvent(timestamp=timestamp, message=message, log_group=group, log_stream=stream)


def one(*events: LogEvent) -> FunctionStatistics:
    found = statistics(events)
    assert list(found) == ["orders-create"]
    return found["orders-create"]


REAL = {
    # AWS documentation and public test data of other projects: (message, duration, init, restore, status)
    "warm": (
        (
            "REPORT RequestId: 3604209a-e9a3-11e6-939a-754dd98c7be3\tDuration: 12.34 ms\tBilled Duration: 13 ms"
            "\tMemory Size: 128 MB\tMax Memory Used: 18 MB\t\n"
        ),
        (12.34, None, None, "success"),
    ),
    "before 2020, with a blank before the tab": (
        (
            "REPORT RequestId: a7f14ae4-10a4-11e9-ab9d-478d60f1dab7\tDuration: 1162.23 ms\tBilled Duration: 1200 ms "
            "\tMemory Size: 128 MB\tMax Memory Used: 34 MB\t\n"
        ),
        (1162.23, None, None, "success"),
    ),
    "cold with a trace on a line of its own": (
        (
            "REPORT RequestId: 8f507cfc-xmpl-4697-b07a-ac58fc914c95\tDuration: 102.25 ms\tBilled Duration: 103 ms"
            "\tMemory Size: 128 MB\tMax Memory Used: 58 MB\tInit Duration: 305.31 ms\t\n"
            "XRAY TraceId: 1-5e34a614-10bdxmplf1fb44f07bc535a1\tSegmentId: 07f5xmpl2d1f6f85\tSampled: true\t\n"
        ),
        (102.25, 305.31, None, "success"),
    ),
    "cold with a trace on the same line": (
        (
            "REPORT RequestId: 0047a237-bc83-4e23-a034-6c7ab29baec2\tDuration: 2337.93 ms\tBilled Duration: 2400 ms"
            "\tMemory Size: 128 MB\tMax Memory Used: 64 MB\tInit Duration: 137.16 ms"
            "\tXRAY TraceId: 1-5e497526-830095f2b1d59a26d53bd30c\tSegmentId: 524edb79422ff8b3\tSampled: true"
        ),
        (2337.93, 137.16, None, "success"),
    ),
    "SnapStart": (
        (
            "REPORT RequestId: b771fecc-1b53-4faf-922d-1d74357b1676\tDuration: 306.34 ms\tBilled Duration: 610 ms"
            "\tMemory Size: 3009 MB\tMax Memory Used: 155 MB\tRestore Duration: 511.25 ms"
            "\tBilled Restore Duration: 303 ms\t\n"
        ),
        (306.34, None, 511.25, "success"),
    ),
    "time-out": (
        (
            "REPORT RequestId: 6960f94b-add0-473c-ab1a-f854a3f92817\tDuration: 3000.00 ms\tBilled Duration: 3000 ms"
            "\tMemory Size: 128 MB\tMax Memory Used: 35 MB\tStatus: timeout\n"
        ),
        (3000.0, None, None, "timeout"),
    ),
    "out of memory": (
        (
            "REPORT RequestId: 68038378-e817-489b-97dc-1709db3d7631\tDuration: 8948.73 ms\tBilled Duration: 8949 ms"
            "\tMemory Size: 2048 MB\tMax Memory Used: 2048 MB\tInit Duration: 495.04 ms\tStatus: error"
            "\tError Type: Runtime.OutOfMemory\n"
        ),
        (8948.73, 495.04, None, "error"),
    ),
    "JSON with tracing": (
        (
            '{"time":"2022-10-21T14:05:05.766Z","type":"platform.report","record":{"requestId":'
            '"459921b5-681c-4a96-beb0-81e0aa586026","metrics":{"durationMs":2599.4,"billedDurationMs":2600,'
            '"memorySizeMB":128,"maxMemoryUsedMB":94,"initDurationMs":549.04},"tracing":{"spanId":"24cd7d670fa455f0",'
            '"type":"X-Amzn-Trace-Id","value":"Root=1-6352a70e-1e2c502e358361800241fd45;Sampled=1"},"status":"success"}}'
        ),
        (2599.4, 549.04, None, "success"),
    ),
    "JSON over several lines, without status": (
        (
            '{\n  "time":"2022-02-18T11:08:42.159Z",\n  "type":"platform.report",\n  "record": {\n'
            '    "requestId":"78b8f9e2-ee68-424d-a355-84cd91904dff",\n    "metrics": {"durationMs":1154.11,'
            '"billedDurationMs":1155,"memorySizeMB":128,"maxMemoryUsedMB":68,"initDurationMs":216.65}\n  }\n}\n'
        ),
        (1154.11, 216.65, None, "success"),
    ),
}


@pytest.mark.parametrize("name", REAL)
def test_real_lines_are_read(name: str) -> None:
    message, (duration, init, restore, status) = REAL[name]
    table, refused = read([at(message)])
    (row,) = table.to_pylist()
    assert (row["duration_ms"], row["init_ms"], row["restore_ms"], row["status"]) == (duration, init, restore, status)
    assert not refused


FAKE = (
    f"REPORT RequestId: {rid(9)}\tDuration: 9.00 ms\tBilled Duration: 9 ms"
    "\tMemory Size: 128 MB\tMax Memory Used: 1 MB"
)

HOSTILE = {
    "a report inside a line of the runtime": f"2025-09-02T10:00:00.000Z\t{rid(9)}\tINFO\t{FAKE}\t\n",
    "a report on the second line": f"something\n{FAKE}\t\n",
    "a report with a leading blank": f" {FAKE}\t\n",
    "a report with more behind it": f"{FAKE}\tand so on\n",
    "a report with more lines behind it": f"{FAKE}\t\nhello\n",
    "blanks for tabs": FAKE.replace("\t", " "),
    "cut off": FAKE[:-12],
    "no request": FAKE.replace(rid(9), "none"),
    "negative": FAKE.replace("9.00", "-9.00"),
    "not a number": FAKE.replace("9.00", "nan"),
    "other digits": FAKE.replace("9.00", "٩.٠٠"),
    "a field twice": f"{FAKE}\tInit Duration: 5.00 ms\tInit Duration: 900.00 ms\t\n",
    "an unknown field": f"{FAKE}\tInit: 5.00 ms\t\n",
    "an unknown status": f"{FAKE}\tStatus: fine\t\n",
    "no memory": FAKE.replace("128", "0"),
    "the words alone": "REPORT for school 7: Duration: 99999 ms, Init Duration: 99999 ms\n",
    "JSON that quotes a report": json.dumps({"level": "INFO", "message": json_report(9)}),
    "JSON with the type below": json.dumps({"record": json.loads(json_report(9))}),
    "JSON with a level": json.dumps({**json.loads(json_report(9)), "level": "INFO"}),
    "JSON without metrics": platform("report", {"requestId": rid(9)}),
    "JSON with half of the metrics": platform("report", {"requestId": rid(9), "metrics": {"durationMs": 1}}),
    "JSON with text for a number": json_report(9).replace("111.21", '"111.21"'),
    "JSON with a truth for a number": json_report(9).replace("111.21", "true"),
    "JSON with NaN": json_report(9).replace("111.21", "NaN"),
    "JSON with a number too large": json_report(9).replace("111.21", "1" + "0" * 400),
    "JSON without request": json_report(9).replace(rid(9), ""),
    "JSON of another type": json_report(9).replace("platform.report", "function"),
    "JSON that is cut off": json_report(9)[:-1],
    "JSON too deep": '{"type":"platform.report","record":' + "[" * 100_000,
    "a list": f"[{json_report(9)}]",
    "metrics that are a list": platform("report", {"requestId": rid(9), "metrics": [1, 2]}),
    "INIT_REPORT in a sentence": "INIT_REPORT Init Duration: 412.55 ms  (cold start)",
    "empty": "",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_not_the_platforms_word_does_not_count(name: str) -> None:
    found = one(at(text(1)), at(HOSTILE[name]))
    assert (found.invocations, found.cold_starts, found.failed_inits) == (1, 0, 0)
    assert found.duration_ms is not None
    assert found.duration_ms.maximum == 102.25


def test_refused_reports_are_counted() -> None:
    found = one(at(text(1)), at(HOSTILE["an unknown field"]), at(HOSTILE["cut off"]), at("hello"))
    assert found.suspicious == 2


@given(st.text())
def test_any_text_is_survived(message: str) -> None:
    parse(message)
    parse("REPORT " + message)
    parse('{"type":"platform.report"' + message)


def blanks(message: str) -> str:
    return message.replace("\t\n", "").replace("\t", "  ")


def test_a_log_that_a_tool_copied_with_blanks_for_tabs_is_read() -> None:
    found = one(
        at(blanks(text(1, "10.00", "\tInit Duration: 305.31 ms"))),
        at(blanks(text(2, "20.00", "\tRestore Duration: 619.19 ms\tBilled Restore Duration: 215 ms"))),
        at(blanks(text(3, "3000.00", "\tStatus: timeout\tXRAY TraceId: 1-5e34\tSegmentId: 07f5\tSampled: true"))),
        at("INIT_REPORT Init Duration: 10008.37 ms Phase: init Status: timeout"),
        at(blanks(text(4)) + " and so on"),
    )
    assert (found.invocations, found.cold_starts, found.restores, found.timeouts) == (3, 1, 1, 1)
    assert (found.failed_inits, found.suspicious) == (1, 1)


class TestBoundaries:
    """START and END lines, where a log holds them, tell what user code forged."""

    def served(self, number: int, begin: int) -> list[LogEvent]:
        return [
            at(f"START RequestId: {rid(number)} Version: $LATEST\n", begin),
            at(f"END RequestId: {rid(number)}\n", begin + 900),
            at(text(number, "800.00"), begin + 900),
        ]

    def test_a_report_of_another_request_within_an_invocation_is_forged(self) -> None:
        forged = at(text(77, "9.00", "\tInit Duration: 9999.00 ms"), 500)
        found = one(*self.served(1, 0), forged)
        assert (found.invocations, found.cold_starts, found.suspicious) == (1, 0, 1)

    def test_a_report_without_its_start_is_forged_where_all_others_have_theirs(self) -> None:
        events = [event for number in range(8) for event in self.served(number, number * 10_000)]
        found = one(*events, at(text(99, "9.00"), 5000))
        assert (found.invocations, found.suspicious) == (8, 1)

    def test_a_log_that_holds_few_of_them_keeps_its_reports(self) -> None:
        found = one(*self.served(1, 0), *(at(text(number), 60_000 * number) for number in range(2, 9)))
        assert (found.invocations, found.suspicious) == (8, 0)

    def test_json_boundaries_count_as_well(self) -> None:
        start = platform("start", {"requestId": rid(1), "version": "$LATEST"})
        done = platform("runtimeDone", {"requestId": rid(1), "status": "success", "metrics": {"durationMs": 800.0}})
        found = one(at(start, 0), at(done, 900), at(json_report(1), 901), at(json_report(7), 400))
        assert (found.invocations, found.suspicious) == (1, 1)


def test_cold_starts_percentiles_and_memory() -> None:
    inits = [100.0 + i for i in range(40)]
    events = [at(text(i, "10.00", f"\tInit Duration: {init:.2f} ms")) for i, init in enumerate(inits)]
    events += [at(text(100 + i, f"{20 + i}.00", memory=256, used=128)) for i in range(60)]
    shuffle(events)
    found = one(*events)
    assert (found.invocations, found.cold_starts, found.cold_start_ratio) == (100, 40, 0.4)
    assert found.init_ms is not None
    assert found.init_ms.n == 40
    assert found.init_ms.p50 == pytest.approx(stdlib.median(inits))
    assert found.init_ms.p95 == pytest.approx(stdlib.quantiles(inits, n=100, method="inclusive")[94])
    assert found.init_ms.p50_interval is not None
    assert found.init_ms.p95_interval is None, "40 samples bound no p95"
    assert found.memory_sizes_mb == (128, 256)
    assert found.max_memory_used_mb == 128
    assert found.memory_efficiency == pytest.approx((40 * 58 / 128 + 60 * 0.5) / 100)
    assert found.by_memory[256].warm_ms is not None
    assert found.by_memory[256].warm_ms.p50 == pytest.approx(20 + 59 / 2)
    assert found.by_memory[128].warm_ms is None, "all of them were cold"
    assert found.billed_ms == 40 * 11 + sum(21 + i for i in range(60))
    assert found.billed_gb_s == pytest.approx((40 * 11 * 128 + sum(21 + i for i in range(60)) * 256) / 1024 / 1000)


def test_failures_by_kind() -> None:
    found = one(
        at(text(1, "3000.00", "\tStatus: timeout")),
        at(text(2, "5.00", "\tStatus: error\tError Type: Runtime.OutOfMemory")),
        at(json_report(3, status="timeout")),
        at(json_report(4, status="failure")),
        at(json_report(5, status="error")),
        at(text(6)),
    )
    assert (found.invocations, found.timeouts, found.errors) == (6, 2, 3)
    assert found.error_types == {"Runtime.OutOfMemory": 1, "unknown": 2}


def test_a_failed_init_is_no_cold_start() -> None:
    found = one(
        at("INIT_REPORT Init Duration: 10008.37 ms\tPhase: init\tStatus: timeout\n"),
        at("INIT_REPORT Init Duration: 150.79 ms\tPhase: init\tStatus: error\tError Type: Runtime.Exit\n"),
        at(platform("initReport", {"phase": "init", "status": "timeout", "metrics": {"durationMs": 9999.0}})),
        at(platform("initReport", {"phase": "init", "status": "success", "metrics": {"durationMs": 300.0}})),
        at("INIT_REPORT Init Duration: 9908.09 ms\n"),
        at("RESTORE_REPORT Restore Duration: 10012.00 ms\tStatus: timeout\n"),
        at(text(1)),
    )
    assert (found.failed_inits, found.failed_restores) == (3, 1)
    assert (found.invocations, found.cold_starts, found.init_ms) == (1, 0, None)


def test_a_restore_is_told_apart() -> None:
    rest = "\tRestore Duration: 619.19 ms\tBilled Restore Duration: 215 ms"
    found = one(at(text(1, "10.00", rest)), at(json_report(2, restoreDurationMs=500.0, billedRestoreDurationMs=100)))
    assert (found.restores, found.cold_starts) == (2, 0)
    assert found.restore_ms is not None
    assert found.restore_ms.maximum == 619.19


PROVISIONED_INIT = {"initializationType": "provisioned-concurrency", "phase": "init", "status": "success"}


class TestProvisioned:
    def test_by_the_stream_of_its_environment(self) -> None:
        other = STREAM.replace("1068", "2068")
        found = one(
            at(json_report(1, initDurationMs=700.0), 5000),
            at(platform("initReport", {**PROVISIONED_INIT, "metrics": {"durationMs": 700.0}}), 1000),
            at(json_report(2, initDurationMs=700.0), 5000, other),
        )
        assert (found.provisioned_inits, found.cold_starts) == (1, 1)

    def test_by_its_duration_where_there_is_no_stream(self) -> None:
        events = [
            at(platform("initReport", {**PROVISIONED_INIT, "metrics": {"durationMs": 701.5}}), stream=""),
            at(json_report(1, initDurationMs=701.5), stream=""),
            at(json_report(2, initDurationMs=300.0), stream=""),
        ]
        found = one(*events)
        assert (found.provisioned_inits, found.cold_starts) == (1, 1)

    def test_by_the_age_of_its_environment_in_text_logs(self) -> None:
        start = "INIT_START Runtime Version: nodejs:18.v79\tRuntime Version ARN: arn:aws:lambda:x::runtime:abc\n"
        init = "\tInit Duration: 500.00 ms"
        ready = one(at(start, 0), at(text(1, "10.00", init), 300_000), at(text(2), 400_000))
        assert (ready.provisioned_inits, ready.cold_starts) == (1, 0)
        waited = one(at(start, 0), at(text(1, "10.00", init), 520), at(text(2), 400_000))
        assert (waited.provisioned_inits, waited.cold_starts) == (0, 1)


class TestDuplicates:
    def test_a_repeated_delivery_is_one_invocation(self) -> None:
        event = at(text(1, "10.00", "\tInit Duration: 100.00 ms"))
        again = at(event.message, event.timestamp + 1500)
        late = at(event.message, event.timestamp + 10 * MINUTE)
        found = one(event, event, again, late)
        assert (found.invocations, found.cold_starts, found.duplicates) == (1, 1, 3)

    def test_an_asynchronous_retry_is_another_invocation(self) -> None:
        timed_out = text(1, "3000.00", "\tStatus: timeout")
        found = one(at(timed_out, 0), at(timed_out, 63_000), at(text(1, "20.00"), 190_000))
        assert (found.invocations, found.timeouts, found.duplicates) == (3, 2, 0)

    def test_the_later_of_two_that_contradict_each_other_stands(self) -> None:
        spoof, real = at(text(1, "1.00"), 1000), at(text(1, "20.00"), 1001)
        for events in ((spoof, real), (real, spoof)):
            found = one(*events)
            assert found.duration_ms is not None
            assert (found.invocations, found.duration_ms.maximum, found.duplicates) == (1, 20.0, 1)

    def test_a_failed_init_is_counted_once(self) -> None:
        event = at("INIT_REPORT Init Duration: 10008.37 ms\tPhase: init\tStatus: timeout\n")
        assert one(event, event).failed_inits == 1

    def test_the_order_of_events_changes_nothing(self) -> None:
        events = [
            at(text(i % 30, f"{i % 7}.00", "\tInit Duration: 9.00 ms" if i % 5 else ""), i * 7000) for i in range(90)
        ]
        expected = one(*events)
        shuffle(events)
        assert one(*events) == expected


def test_a_time_out_of_an_older_log_is_told_by_its_own_line() -> None:
    found = one(
        at(text(1, "3003.17")),
        at(f"2019-05-21T15:03:36.123Z {rid(1)} Task timed out after 3.00 seconds\n\n"),
        at(text(2, "5.00")),
        at(f"2019-05-21T15:03:36.123Z {rid(2)} Task timed out after 3.00 seconds\n\n"),
    )
    assert found.timeouts == 1, "an invocation of 5 ms did not time out after 3 s, whatever its log says"


class TestOwner:
    @pytest.mark.parametrize(
        ("event", "owner"),
        [
            (LogEvent(0, "", function="f", log_group="/aws/lambda/g"), "f"),
            (LogEvent(0, "", log_group="/aws/lambda/g", log_stream=STREAM), "g"),
            (LogEvent(0, "", log_group="/shared", log_stream="2025/09/02/h[$LATEST]abc"), "h"),
            (LogEvent(0, "", log_group="/hasivu/invoices"), "invoices"),
        ],
    )
    def test_owner(self, event: LogEvent, owner: str) -> None:
        assert event.owner == owner

    def test_functions_of_one_group_are_told_apart(self) -> None:
        events = [at(text(i), stream=f"2025/09/02/{'ab'[i % 2]}[7]abc", group="/shared") for i in range(5)]
        assert {name: s.invocations for name, s in statistics(events).items()} == {"a": 3, "b": 2}


def test_hours_are_those_of_the_time_zone() -> None:
    event = at(text(1, "10.00", "\tInit Duration: 100.00 ms"), 1_756_801_800_000)  # 2025-09-02 08:30 UTC
    (found,) = statistics([event], timezone="Asia/Kolkata").values()
    assert {hour: (h.invocations, h.cold_starts) for hour, h in found.by_hour.items()} == {14: (1, 1)}


def test_no_events() -> None:
    assert statistics([]) == {}


def test_the_table_gives_the_same_as_the_events() -> None:
    events = [
        at(text(i, f"{i}.50", "\tInit Duration: 9.00 ms" if i % 3 else ""), group=f"/aws/lambda/f{i % 4}")
        for i in range(60)
    ]
    events += [at(HOSTILE["cut off"], group="/aws/lambda/f9")]
    table, refused = read(events)
    assert statistics_of(table, refused) == statistics(events)
    assert statistics(events)["f9"].invocations == 0
    assert set(table.column("kind").to_pylist()) == {Kind.WARM, Kind.COLD}


@pytest.mark.parametrize(
    ("n", "level", "ranks"), [(100, 0.5, (39, 60)), (71, 0.95, None), (72, 0.95, (63, 71)), (10, 0.5, (1, 8))]
)
def test_interval_ranks_of_tables(n: int, level: float, ranks: tuple[int, int] | None) -> None:
    # Conover, Practical Nonparametric Statistics: for n = 10 the 2nd and 9th values bound the median at 97.9 %
    assert interval_ranks(n, level) == ranks


def test_intervals_cover() -> None:
    draw = np.random.default_rng(7)
    for n, level in ((120, 0.95), (60, 0.5), (3000, 0.95)):
        ranks = interval_ranks(n, level)
        assert ranks is not None
        hits = 0
        for _ in range(400):
            values = np.sort(draw.random(n))
            hits += values[ranks[0]] <= level <= values[ranks[1]]
        assert hits >= 370, f"about 95 % or more of 400 must cover the true quantile, {hits} did"


def test_half_a_character_in_a_json_line_is_stored_like_any_other() -> None:
    found = parse(json_report(9, status="error").replace('"requestId"', '"errorType": "\\ud800Error", "requestId"'))
    assert isinstance(found, Report)
    assert found.error_type == "?Error"
