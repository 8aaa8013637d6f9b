"""Logs Insights: answers against sums done by hand over the rendered messages, and refusal of what is not known."""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from datetime import UTC, datetime

import numpy as np
import pytest

from deployments.local.aws import ACCOUNT_ID, function_name
from deployments.local.aws.corpus import generate
from deployments.local.aws.errors import AwsError
from deployments.local.aws.insights_eval import Answer, run
from deployments.local.aws.insights_frame import frame_of
from deployments.local.aws.insights_show import show
from deployments.local.aws.insights_syntax import parse
from deployments.local.aws.logstore import LogGroup, groups

NOW_MS = int(datetime(2026, 11, 20, 7, 15, tzinfo=UTC).timestamp() * 1000)
ALL = groups(generate(NOW_MS))
FIELD = re.compile(r"^REPORT RequestId: [0-9a-f-]{36}\tDuration: ([\d.]+) ms\tBilled Duration: (\d+) ms\t")
INIT = re.compile(r"\tInit Duration: ([\d.]+) ms")


def group(key: str) -> LogGroup:
    return ALL[f"/aws/lambda/{function_name(key)}"]


def ask(query: str, *keys: str, start_ms: int = 0, limit: int | None = None) -> Answer:
    return run(parse(query), frame_of([group(key) for key in keys], start_ms, NOW_MS), limit)


def rows(answer: Answer) -> list[dict[str, str]]:
    return [dict(row) for row in answer.rows]


def reports(key: str, start_ms: int = 0) -> list[tuple[int, str]]:
    of = group(key)
    lines = ((int(of.times[at]), of.message(at)) for at in range(*of.window(start_ms, NOW_MS)))
    return [(at, text) for at, text in lines if FIELD.match(text)]


def test_statistics_by_log_equal_sums_over_the_messages() -> None:
    answer = ask(
        'filter @type = "REPORT" | stats count(*) as n, count(@initDuration) as cold, pct(@initDuration, 95) as p95, '
        "max(@maxMemoryUsed)/1e6 as used, sum(@billedDuration) as billed, avg(@duration) as mean by @log",
        "orders-create",
        "rfid-verify-card",
        "menus-daily",
    )
    found = {row["@log"]: row for row in rows(answer)}
    assert set(found) == {f"{ACCOUNT_ID}:{group(key).name}" for key in ("orders-create", "rfid-verify-card")}
    for key in ("orders-create", "rfid-verify-card"):
        texts = [text for _, text in reports(key)]
        inits = [float(match[1]) for text in texts if (match := INIT.search(text))]
        row = found[f"{ACCOUNT_ID}:{group(key).name}"]
        assert int(row["n"]) == len(texts)
        assert int(row["cold"]) == len(inits)
        assert float(row["p95"]) == pytest.approx(
            statistics.quantiles(inits, n=100, method="inclusive")[94], abs=1e-4
        )
        billed = [int(match[2]) for text in texts if (match := FIELD.match(text))]
        assert float(row["billed"]) == sum(billed)
        assert float(row["used"]) == max(int(re.findall(r"Max Memory Used: (\d+)", text)[0]) for text in texts)
    assert answer.matched == sum(len(reports(key)) for key in ("orders-create", "rfid-verify-card"))


def test_bins_and_windows() -> None:
    start_ms = NOW_MS - 3 * 86_400_000
    answer = ask(
        'filter @type = "REPORT" | stats count(*) as n by bin(1h) as hour, @log | sort hour asc',
        "orders-create",
        start_ms=start_ms,
    )
    expected: dict[str, int] = defaultdict(int)
    for at, _ in reports("orders-create", start_ms):
        expected[f"{datetime.fromtimestamp(at // 3_600_000 * 3600, UTC):%Y-%m-%d %H:%M:%S}.000"] += 1
    assert [(row["hour"], int(row["n"])) for row in rows(answer)] == sorted(expected.items())


def test_json_fields() -> None:
    answer = ask(
        'filter type = "platform.report" | stats count(*) as n, count(record.metrics.initDurationMs) as cold, '
        "median(record.metrics.durationMs) as p50",
        "menus-daily",
    )
    it = group("menus-daily").invocations
    (row,) = rows(answer)
    assert (int(row["n"]), int(row["cold"])) == (len(it.start), int(it.cold.sum()))
    assert float(row["p50"]) == pytest.approx(float(np.median(it.duration)), abs=1e-4)


def test_text_and_json_together_by_coalesce() -> None:
    answer = ask(
        'filter @type = "REPORT" or type = "platform.report" '
        "| stats count(coalesce(@initDuration, record.metrics.initDurationMs)) as cold, count(*) as n",
        "orders-create",
        "menus-daily",
    )
    both = [group(key).invocations for key in ("orders-create", "menus-daily")]
    (row,) = rows(answer)
    assert int(row["n"]) == sum(len(it.start) for it in both)
    assert int(row["cold"]) == sum(int(it.cold.sum()) for it in both)


def test_rows_of_events_are_newest_first_with_a_pointer() -> None:
    answer = ask("fields @timestamp, @requestId | filter @type like /^REPORT$/ | limit 5", "orders-create")
    found = rows(answer)
    assert len(found) == 5
    assert [row["@timestamp"] for row in found] == sorted((row["@timestamp"] for row in found), reverse=True)
    assert all(set(row) == {"@timestamp", "@requestId", "@ptr"} for row in found)
    assert answer.matched == len(reports("orders-create"))


def test_sort_limit_display_and_arithmetic() -> None:
    slow = rows(
        ask(
            "filter ispresent(@duration) and @duration + 0 > 100 and not (@type in ['START', 'END']) "
            "| fields @duration / 1000 as seconds | sort seconds desc, @requestId | limit 3 | display seconds",
            "orders-create",
        )
    )
    expected = sorted((float(m[1]) for _, text in reports("orders-create") if (m := FIELD.match(text))), reverse=True)
    assert [float(row["seconds"]) for row in slow] == pytest.approx([each / 1000 for each in expected[:3]], abs=1e-4)


def test_two_stats_in_a_row() -> None:
    answer = ask(
        'filter @type = "REPORT" | stats count(*) as n by bin(1d) | stats max(n) as most, count(*) as days', "health"
    )
    per_day: dict[int, int] = defaultdict(int)
    for at, _ in reports("health"):
        per_day[at // 86_400_000] += 1
    assert rows(answer) == [{"most": str(max(per_day.values())), "days": str(len(per_day))}]


def test_the_default_name_of_an_aggregate_is_its_text() -> None:
    (row,) = rows(ask('filter @type="REPORT" | stats count(*), pct(@duration, 50), max(@memorySize)/1e6', "health"))
    assert list(row) == ["count(*)", "pct(@duration, 50)", "max(@memorySize)/1e6"]


def test_no_rows_no_answer_and_missing_values_are_absent() -> None:
    assert rows(ask("filter @type = 'NOTHING' | stats count(*)", "health")) == []
    (row,) = rows(ask("filter @type = 'START' | stats count(*) as n, max(@duration) as most", "health"))
    assert set(row) == {"n"}


def test_a_missing_field_passes_no_comparison() -> None:
    assert ask("filter nowhere != 'x'", "health").matched == 0
    assert ask("filter not ispresent(nowhere)", "health").matched == len(group("health").times)


def test_a_limit_of_the_request() -> None:
    assert len(ask("fields @timestamp", "health", limit=7).rows) == 7


def test_a_prefix_of_source() -> None:
    query = parse("SOURCE logGroups(namePrefix: ['/aws/lambda/', '/hasivu/']) | stats count(*)")
    assert query.prefixes == ("/aws/lambda/", "/hasivu/")


@pytest.mark.parametrize(
    "query",
    [
        "",
        "filter",
        "parse @message '* *' as a, b",
        "dedup @requestId",
        "pattern @message",
        "filter @type = ",
        "filter @duration",
        "stats @duration by @log",
        "stats count(*) by @log |",
        "stats stddev(@duration)",
        "stats pct(@duration)",
        "stats pct(@duration, 101)",
        "stats sum(max(@duration))",
        "stats max(@duration) + @billedDuration",
        "stats count(*) by bin(3)",
        "stats count(*) by bin(1mo)",
        "filter strcontains(@message, 'x')",
        "filter @message like 5",
        "filter @message like /(/",
        "filter a not = 1",
        "limit many",
        "stats count(*) | stats count(*) | stats count(*)",
        "fields @message ! 3",
        "SOURCE logGroups(namePrefix: ['a','b','c','d','e','f']) | stats count(*)",
        "filter @type = 'REPORT' stats count(*)",
    ],
)
def test_what_is_not_understood_is_malformed(query: str) -> None:
    with pytest.raises(AwsError) as refused:
        ask(query, "payments-advanced", "health")
    assert refused.value.code == "MalformedQueryException"
    assert refused.value.members["queryCompileError"]["message"]


def test_comments_and_lines() -> None:
    text = "# how many\nfilter @type = 'REPORT' # only these\n| stats count(*) as n"
    assert rows(ask(text, "health")) == [{"n": str(len(reports("health")))}]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3.0, "3"),
        (0.5, "0.5"),
        (1234.56789, "1234.5679"),
        (1.04e8, "1.04E8"),
        (1.0e7, "1.0E7"),
        (0.0, "0"),
        (-2.5, "-2.5"),
    ],
)
def test_numbers_are_written_as_the_service_writes_them(value: float, expected: str) -> None:
    assert show("number", value) == expected


def test_times_are_written_in_utc() -> None:
    assert show("time", 1_700_000_000_123.0) == "2023-11-14 22:13:20.123"
