"""Collects one account's functions: inventory, CloudWatch's counts, and the REPORT lines of every function.

What is denied or missing is left out and noted; the rest is measured all the same. All of it ends by one deadline.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import Any

import pyarrow as pa

from deployments.config import LambdaSettings
from storage.errors import NotMeasuredError
from storage.records import Collected, ComponentId, Window
from tasks.components.base import CollectContext, Progress, now
from tasks.components.lambda_functions.account import (
    Account,
    DeadlineError,
    DeniedError,
    NotEnrolledError,
    UnknownResourceError,
)
from tasks.components.lambda_functions.aggregates import AGGREGATES, read_aggregates
from tasks.components.lambda_functions.cost import analysis_cost
from tasks.components.lambda_functions.criticality import configured
from tasks.components.lambda_functions.inventory import Inventory, read_inventory, read_reserved, tolerate
from tasks.components.lambda_functions.logs import ALL_LINES, JSON_LINES, TEXT_LINES, Scanned, filter_events
from tasks.components.lambda_functions.metrics import MetricsRead, add_insights, read_metrics
from tasks.components.lambda_functions.optimizer import RECOMMENDATIONS, read_recommendations
from tasks.components.lambda_functions.reading import LogEvent, Reader
from tasks.components.lambda_functions.triggers import TRIGGERS, read_routes, read_schedules

DEADLINE_S = 900.0
"""How long the analysis of an account may take; what is not read by then is not measured."""

_PROGRESS_EVERY_S = 1.0

_LOG_FIELDS: list[pa.Field[Any]] = [
    pa.field("function", pa.string()),
    pa.field("log_group", pa.string()),
    pa.field("path", pa.string()),
    pa.field("events", pa.int64()),
    pa.field("duplicates", pa.int64()),
    pa.field("suspicious", pa.int64()),
    pa.field("note", pa.string()),
]
LOGS = pa.schema(_LOG_FIELDS)
"""One row per function: how its log was read (`events`, `insights`, or `none` with the reason), and what it held."""

_ACCOUNT_FIELDS: list[pa.Field[Any]] = [pa.field("key", pa.string()), pa.field("value", pa.string())]
ACCOUNT = pa.schema(_ACCOUNT_FIELDS)
"""What the account as a whole says: `concurrency_limit`, `unreserved`; no row where it was not read."""

_REQUEST_FIELDS: list[pa.Field[Any]] = [pa.field("permission", pa.string()), pa.field("requests", pa.int64())]
REQUESTS = pa.schema(_REQUEST_FIELDS)
"""Requests that the analysis itself made, retries among them."""


@dataclass
class _Logs:
    """What came of the logs so far."""

    reader: Reader = field(default_factory=Reader)
    rows: list[dict[str, Any]] = field(default_factory=list)
    aggregates: list[dict[str, Any]] = field(default_factory=list)
    scanned: Scanned = field(default_factory=Scanned)
    denied: str = ""


def collect(context: CollectContext, deadline_s: float = DEADLINE_S) -> Collected:
    """Read the account and write the tables `functions`, `metrics`, `samples`, `logs`, `aggregates`, `requests`."""
    settings = context.config.environment.lambda_functions
    window = _window(settings.days)
    account = Account(context.target, deadline_s)
    try:
        return _Collection(context, account, settings, window).run()
    finally:
        account.close()


def _window(days: int) -> Window:
    """Whole days that end at the last whole minute."""
    end = now().replace(second=0, microsecond=0)
    return Window(start=end - timedelta(days=days), end=end)


class _Collection:
    def __init__(self, context: CollectContext, account: Account, settings: LambdaSettings, window: Window) -> None:
        self._context = context
        self._account = account
        self._settings = settings
        self._window = window
        self._logs = _Logs()
        self._notes: list[str] = []
        self._began = time.monotonic()
        self._told = 0.0
        self._expected = 0.0

    def run(self) -> Collected:
        identity = self._account.call("sts", "GetCallerIdentity")
        self._tell("functions")
        inventory = read_inventory(self._account, self._settings.name_prefix, self._settings.log_group)
        self._notes += inventory.notes
        triggers = self._read_triggers(inventory)
        metrics = self._read_metrics(inventory)
        recommended = self._read_recommendations(inventory)
        self._read_logs(inventory, metrics)
        self._write(inventory, metrics)
        sink = self._context.sink
        sink.write("triggers", pa.Table.from_pylist(triggers, schema=TRIGGERS))
        sink.write("recommendations", pa.Table.from_pylist(recommended, schema=RECOMMENDATIONS))
        if not metrics.values and not len(self._logs.reader) and not self._logs.aggregates and self._notes:
            raise NotMeasuredError(f"neither metrics nor logs of the functions could be read: {self._notes[-1]}")
        return Collected(
            window=self._window,
            load_plan=self._plan(metrics),
            fingerprint=_fingerprint(identity["Account"], self._account.region, inventory),
            notes=tuple(self._notes),
        )

    def _read_triggers(self, inventory: Inventory) -> list[dict[str, Any]]:
        self._tell("routes and schedules")
        found: list[dict[str, Any]] = []
        for what, read in (("routes of API Gateway", read_routes), ("schedules of EventBridge", read_schedules)):
            found += tolerate(self._notes, what, partial(read, self._account, inventory)) or []
        return found

    def _read_recommendations(self, inventory: Inventory) -> list[dict[str, Any]]:
        work = partial(read_recommendations, self._account, frozenset(inventory.names))
        try:
            return tolerate(self._notes, "advice of AWS Compute Optimizer", work) or []
        except NotEnrolledError as error:
            self._notes.append(f"no figures of AWS beside ours: {error}")
            return []

    def _read_metrics(self, inventory: Inventory) -> MetricsRead:
        self._tell("metrics")
        provisioned = [row["function"] for row in inventory.functions if row["provisioned"]]
        work = partial(
            read_metrics, self._account, inventory.names, provisioned, self._window.start, self._window.end
        )
        metrics = tolerate(self._notes, "CloudWatch metrics", work) or MetricsRead()
        span = (self._window.start, self._window.end)
        work_beside = partial(add_insights, self._account, inventory.names, *span, metrics)
        tolerate(self._notes, "figures of Lambda Insights", work_beside)
        throttled = [name for name in inventory.names if metrics.get(name, "Throttles", "Sum")]
        if throttled:
            tolerate(self._notes, "reserved concurrency", partial(read_reserved, self._account, inventory, throttled))
        return metrics

    def _read_logs(self, inventory: Inventory, metrics: MetricsRead) -> None:
        functions = [row for row in inventory.functions if not row["managed_instances"]]
        one_by_one, by_insights = share_out(functions, metrics, self._settings)
        self._expected = sum(metrics.get(row["function"], "Invocations", "Sum") or 0.0 for row in one_by_one)
        try:
            for row in one_by_one:
                self._read_log(row)
            if by_insights:
                self._read_aggregates(by_insights)
        except DeadlineError as error:
            self._notes.append(f"logs are read in part: {error}")
        read = {row["function"] for row in self._logs.rows}
        for row in functions:
            if row["function"] not in read:
                self._log_row(row, "none", note="its turn did not come within the time for the analysis")

    def _read_log(self, row: dict[str, Any]) -> None:
        if self._logs.denied:
            self._log_row(row, "none", note=self._logs.denied)
            return
        problems: list[str] = []
        events = []
        for event in self._events(row, problems):
            events.append(event)
            self._tell(f"logs: {row['function']}")
        if problems:  # half of a log would give figures of half of the invocations
            self._log_row(row, "none", note=problems[0])
            return
        for event in events:
            self._logs.reader.add(event)
        self._log_row(row, "events", events=len(events))

    def _events(self, row: dict[str, Any], problems: list[str]) -> Iterator[LogEvent]:
        """Events of a function's log; why they are not all of them is added to `problems`."""
        start, end = _epoch_ms(self._window.start), _epoch_ms(self._window.end)
        pattern = pattern_of(row, self._window)
        group, function = row["log_group"], row["function"]
        try:
            yield from filter_events(self._account, group, start, end, function=function, pattern=pattern)
        except UnknownResourceError:
            problems.append(f"there is no log group {group}")
        except DeadlineError:
            raise
        except NotMeasuredError as error:
            if isinstance(error, DeniedError) or self._account.gave_up("logs"):
                self._logs.denied = str(error)
            problems.append(str(error))
            self._notes.append(f"logs not measured: {error}")

    def _read_aggregates(self, functions: Sequence[dict[str, Any]]) -> None:
        self._tell("Logs Insights")
        self._notes.append(
            f"{len(functions)} functions have more than the {self._settings.max_log_events} invocations that a run "
            "reads one by one: their figures are Logs Insights' own statistics"
        )
        start, end = _epoch_ms(self._window.start), _epoch_ms(self._window.end)
        work = partial(read_aggregates, self._account, functions, start, end, self._logs.scanned)
        rows = tolerate(self._notes, "statistics of Logs Insights", work)
        self._logs.aggregates = rows or []
        for row in functions:
            count = sum(each["invocations"] for each in self._logs.aggregates if each["function"] == row["function"])
            note = "" if rows is not None else self._notes[-1]
            self._log_row(row, "none" if rows is None else "insights", events=count, note=note)

    def _log_row(self, row: dict[str, Any], path: str, *, events: float = 0, note: str = "") -> None:
        self._logs.rows.append(
            {
                "function": row["function"],
                "log_group": row["log_group"],
                "path": path,
                "events": int(events),
                "duplicates": 0,
                "suspicious": 0,
                "note": note,
            }
        )

    def _write(self, inventory: Inventory, metrics: MetricsRead) -> None:
        sink = self._context.sink
        reports = self._logs.reader.table()
        refused = self._logs.reader.refused()
        for row in self._logs.rows:
            if found := refused.get(row["function"]):
                row |= {"duplicates": found.duplicates, "suspicious": found.suspicious}
        requests = [{"permission": name, "requests": count} for name, count in sorted(self._account.requests.items())]
        sink.write("samples", reports)
        sink.write("functions", inventory.table())
        sink.write("metrics", metrics.table())
        sink.write("logs", pa.Table.from_pylist(self._logs.rows, schema=LOGS))
        sink.write("aggregates", pa.Table.from_pylist(self._logs.aggregates, schema=AGGREGATES))
        sink.write("account", pa.Table.from_pylist(_account(inventory), schema=ACCOUNT))
        sink.write("requests", pa.Table.from_pylist(requests, schema=REQUESTS))
        if metrics.split:
            names = ", ".join(sorted(metrics.split))
            self._notes.append(f"CloudWatch gave percentiles in parts, which cannot be put together, for {names}")
        if inventory.concurrency_limit is not None:
            self._notes.append(f"the account may run {inventory.concurrency_limit} invocations at once")

    def _plan(self, metrics: MetricsRead) -> dict[str, str]:
        scanned = self._logs.scanned
        return {
            "requests to AWS": str(sum(self._account.requests.values())),
            "requests for inventory and metrics": str(
                sum(count for name, count in self._account.requests.items() if not name.startswith("logs:"))
            ),
            "metrics asked": str(metrics.asked),
            "log events read": str(len(self._logs.reader)),
            "bytes scanned by Logs Insights": f"{scanned.bytes:.0f}",
            "dollars of this analysis": f"{analysis_cost(metrics.asked, scanned.bytes):.4f}",
        }

    def _tell(self, message: str) -> None:
        """Say once a second what is being read; the whole is judged by the share of invocations read so far."""
        elapsed = time.monotonic() - self._began
        if elapsed - self._told < _PROGRESS_EVERY_S and self._told:
            return
        self._told = elapsed
        read = len(self._logs.reader)
        total = elapsed * max(1.0, self._expected / read) if read else elapsed
        said = f"{message} ({read} invocations read)" if read else message
        self._context.progress(Progress(ComponentId.LAMBDA, elapsed, total, message=said))


def share_out(
    functions: Sequence[dict[str, Any]], metrics: MetricsRead, settings: LambdaSettings
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Which functions are read one by one, and which by Insights because they exceed `max_log_events` together.

    Functions named critical come first, then those with the fewest invocations: as many as possible are exact.
    """
    calls = {row["function"]: metrics.get(row["function"], "Invocations", "Sum") or 0.0 for row in functions}
    critical = configured(list(calls), settings)
    left = float(settings.max_log_events)
    exact: list[dict[str, Any]] = []
    rest: list[dict[str, Any]] = []
    for row in sorted(functions, key=lambda row: (row["function"] not in critical, calls[row["function"]])):
        name = row["function"]
        left -= calls[name]
        (exact if left >= 0 else rest).append(row)
    return exact, rest


def pattern_of(row: Mapping[str, Any], window: Window) -> str:
    """The filter pattern of a function's log: that of its format, both where it was changed within the window."""
    try:
        modified = datetime.strptime(row["modified"] or "", "%Y-%m-%dT%H:%M:%S.%f%z")
    except ValueError:
        return ALL_LINES
    if modified >= window.start:
        return ALL_LINES
    return JSON_LINES if row["log_format"] == "JSON" else TEXT_LINES


def _account(inventory: Inventory) -> list[dict[str, str]]:
    known = {"concurrency_limit": inventory.concurrency_limit, "unreserved": inventory.unreserved}
    return [{"key": key, "value": str(value)} for key, value in known.items() if value is not None]


def _fingerprint(account: str, region: str, inventory: Inventory) -> dict[str, str]:
    """The account without its first digits, its region, and a hash of the functions' revisions."""
    revisions = "\n".join(f"{row['function']} {row['revision']}" for row in inventory.functions)
    return {
        "account": f"…{account[-4:]}",
        "region": region,
        "functions": str(len(inventory.functions)),
        "revisions": sha256(revisions.encode()).hexdigest()[:16],
    }


def _epoch_ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
