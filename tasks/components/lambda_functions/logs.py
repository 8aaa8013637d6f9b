"""Two independent ways to a function's REPORT lines: FilterLogEvents, and Logs Insights.

FilterLogEvents streams whole events and costs nothing beyond calls. Insights is billed by the bytes it scans; it
gives events too (10,000 rows a query, so a busy window is halved until each half fits), or statistics of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from storage.errors import NotMeasuredError
from tasks import stopping
from tasks.components.lambda_functions.account import Account, DeadlineError, as_documented
from tasks.components.lambda_functions.reading import LogEvent

TEXT_LINES = '?"REPORT RequestId" ?INIT_REPORT ?RESTORE_REPORT ?INIT_START ?"Task timed out after"'
"""Filter pattern of all that `lines.parse` reads in text logs."""

JSON_LINES = '?"platform.report" ?"platform.initReport" ?"platform.restoreReport" ?"platform.initStart"'
"""Filter pattern of all that `lines.parse` reads in JSON logs."""

ALL_LINES = f"{TEXT_LINES} {JSON_LINES}"
"""Both, for a log whose format may have changed within the window; each term makes the search slower."""

_PLATFORM_QUERY = (
    "fields @timestamp, @message, @log, @logStream, @ptr "
    "| filter @message like /REPORT|INIT_START|Task timed out after|platform\\.(report|init|restore)/ "
    "| sort @timestamp asc | limit 10000"
)
_ROWS = 10_000
_GROUPS = 50
_POLL_S = 0.25
_STANDSTILL_S = 10.0
"""How long a query may show no progress before it is given up."""
_SECOND_MS = 1000
_FINISHED = frozenset({"Complete", "Failed", "Cancelled", "Timeout", "Unknown"})


@dataclass
class Scanned:
    """What Logs Insights read for its answers."""

    bytes: float = 0.0
    records: float = 0.0
    queries: int = 0


def filter_events(
    account: Account, group: str, start_ms: int, end_ms: int, *, function: str = "", pattern: str = ALL_LINES
) -> Iterator[LogEvent]:
    """Events of a log group that may be the platform's, in order of time, from start to before end.

    Raises `DeniedError` where logs:FilterLogEvents is not allowed, `UnknownResourceError` where the group is missing.
    """
    pages = account.pages(
        "logs",
        "FilterLogEvents",
        logGroupName=group,
        filterPattern=pattern,
        startTime=start_ms,
        endTime=end_ms - 1,
    )
    for page in pages:
        for event in page["events"]:
            with as_documented(f"logs:FilterLogEvents of {group}"):
                found = LogEvent(
                    event["timestamp"],
                    event["message"],
                    function,
                    group,
                    event.get("logStreamName", ""),
                    event.get("eventId", ""),
                    event.get("ingestionTime"),
                )
            yield found


def insights_events(
    account: Account, groups: Sequence[str], start_ms: int, end_ms: int, scanned: Scanned
) -> Iterator[LogEvent]:
    """The same events by Logs Insights, each once; adds what was scanned to `scanned`."""
    for first in range(0, len(groups), _GROUPS):
        batch = groups[first : first + _GROUPS]
        yield from _window_events(account, batch, start_ms // _SECOND_MS, -(-end_ms // _SECOND_MS), scanned)


def _window_events(
    account: Account, groups: Sequence[str], start_s: int, end_s: int, scanned: Scanned
) -> Iterator[LogEvent]:
    """Events of the seconds from start to before end; the range of a query holds both of its ends."""
    rows = run_query(account, groups, _PLATFORM_QUERY, (start_s, end_s), scanned)
    if len(rows) < _ROWS:
        events = (_event(row) for row in rows)
        yield from (event for event in events if start_s <= event.timestamp / _SECOND_MS < end_s)
        return
    if end_s - start_s <= 1:
        raise NotMeasuredError(
            f"more than {_ROWS} log events within one second at {start_s}: Logs Insights cannot page"
        )
    middle = (start_s + end_s) // 2
    yield from _window_events(account, groups, start_s, middle, scanned)
    yield from _window_events(account, groups, middle, end_s, scanned)


def run_query(
    account: Account, groups: Sequence[str], query: str, seconds: tuple[int, int], scanned: Scanned
) -> list[dict[str, str]]:
    """Run a Logs Insights query over at most 50 log groups and wait for its rows, values as texts."""
    started = account.call(
        "logs", "StartQuery", logGroupNames=list(groups), startTime=seconds[0], endTime=seconds[1], queryString=query
    )
    scanned.queries += 1
    progress, moved = None, time.monotonic()
    while True:
        answer = account.call("logs", "GetQueryResults", queryId=started["queryId"])
        if answer["status"] in _FINISHED:
            break
        if account.remaining_s <= 0:
            raise DeadlineError("Logs Insights did not finish within the time for the analysis")
        if (now := (answer["status"], answer.get("statistics"))) != progress:
            progress, moved = now, time.monotonic()
        elif time.monotonic() - moved > _STANDSTILL_S:
            raise NotMeasuredError(
                f"the Logs Insights query stands still as {answer['status']} for {_STANDSTILL_S:.0f} s; run it again"
                " later"
            )
        stopping.rest(_POLL_S)
    if answer["status"] != "Complete":
        raise NotMeasuredError(f"the Logs Insights query ended as {answer['status']}; run it again later")
    scanned.bytes += answer.get("statistics", {}).get("bytesScanned", 0.0)
    scanned.records += answer.get("statistics", {}).get("recordsScanned", 0.0)
    return [{cell["field"]: cell["value"] for cell in row} for row in answer.get("results", [])]


def _event(row: dict[str, Any]) -> LogEvent:
    return LogEvent(
        _epoch_ms(row["@timestamp"]),
        row["@message"],
        log_group=row.get("@log", "").partition(":")[2],
        log_stream=row.get("@logStream", ""),
        event_id=row.get("@ptr", ""),
    )


def _epoch_ms(text: str) -> int:
    moment = datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
    return round(moment.timestamp() * _SECOND_MS)
