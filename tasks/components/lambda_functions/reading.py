"""Log events → one row per invocation: each counted once, each start told apart by who waited for it.

Duplicates: a delivery may be repeated, so the same report twice is one invocation. An asynchronous retry is
another invocation under the same request id; it comes a minute after the first at the earliest (Lambda Developer
Guide, "How Lambda handles errors and retries with asynchronous invocation"). Two different reports of one id within
that minute cannot both be the platform's: the later one stands, since the platform writes after user code ended.

Spoofed: what START and END lines contradict (boundaries.py), and a report with blanks for tabs in a log that has
others with tabs: the platform writes one form, a tool that copied the log changes all of it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from math import isnan, nan

import pyarrow as pa

from tasks.components.lambda_functions.boundaries import Boundaries
from tasks.components.lambda_functions.lines import (
    Boundary,
    InitStart,
    Line,
    LooseReport,
    PhaseReport,
    Report,
    Status,
    TimedOut,
    looks_like_report,
    parse,
)
from tasks.components.lambda_functions.rows import Kind, Names, Rows

RETRY_AFTER_MS = 60_000
"""An asynchronous retry begins no earlier than this after the invocation that failed."""

INIT_LIMIT_MS = 10_000
"""An init that a request waits for is ended after 10 s: an environment that began earlier stood ready before."""

_LAMBDA_GROUP = "/aws/lambda/"
_STREAM = re.compile(r"[0-9]{4}/[0-9]{2}/[0-9]{2}/([A-Za-z0-9_-]+)\[[^\]]+\]")
_UNKNOWN_STREAM = -1
_WARM = Kind.WARM


@dataclass(frozen=True, slots=True)
class LogEvent:
    """One event of a log group, as FilterLogEvents and Logs Insights give it; `timestamp` in epoch ms.

    The function is `function` where it is given, else the one that the stream's name tells (several functions may
    share a custom log group), else the last part of the log group's name.
    """

    timestamp: int
    message: str
    function: str = ""
    log_group: str = ""
    log_stream: str = ""
    event_id: str = ""
    ingestion_time: int | None = None

    @property
    def owner(self) -> str:
        """The function whose log this is."""
        if self.function:
            return self.function
        if found := _STREAM.match(self.log_stream):
            return found[1]
        if self.log_group.startswith(_LAMBDA_GROUP):
            return self.log_group.removeprefix(_LAMBDA_GROUP)
        return self.log_group.rpartition("/")[2] or self.log_group


@dataclass(frozen=True, slots=True)
class Refused:
    """What one function's log held beside its invocations.

    `duplicates`: deliveries that were repeated. `suspicious`: lines that begin as a report but are not the
    platform's.
    """

    duplicates: int = 0
    suspicious: int = 0


class Reader:
    """Takes events in any order, one by one; `table` tells what they come to."""

    def __init__(self) -> None:
        self._functions = Names()
        self._streams = Names()
        self._rows = Rows(self._functions)
        self._owners: dict[tuple[str, str, str], tuple[int, int]] = {}
        self._first: defaultdict[int, dict[str, int]] = defaultdict(dict)
        self._more: dict[tuple[int, str], list[int]] = {}
        self._phases: set[tuple[int, int, int, PhaseReport]] = set()
        self._timed_out: dict[tuple[int, str], float] = {}
        self._provisioned_streams: set[int] = set()
        self._provisioned_inits: set[tuple[int, float]] = set()
        self._init_starts: dict[int, list[int]] = defaultdict(list)
        self._repeated_phases: Counter[int] = Counter()
        self._repeated_reports: Counter[int] = Counter()
        self._suspicious: Counter[int] = Counter()
        self._boundaries = Boundaries()
        self._loose: set[int] = set()
        self._spoofed: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, event: LogEvent) -> None:
        """Read one event; what is not the platform's word about an invocation or an init is passed over."""
        line = parse(event.message)
        if line is not None:
            self._take(*self._place(event), event.timestamp, line)
        elif looks_like_report(event.message):
            self._suspicious[self._place(event)[0]] += 1

    def _place(self, event: LogEvent) -> tuple[int, int]:
        """Numbers of the function and of the log stream."""
        key = (event.function, event.log_group, event.log_stream)
        place = self._owners.get(key)
        if place is None:
            stream = _UNKNOWN_STREAM
            if event.log_stream:
                stream = self._streams.number(f"{event.log_group}\0{event.log_stream}")
            place = self._owners[key] = (self._functions.number(event.owner), stream)
        return place

    def _take(self, function: int, stream: int, timestamp: int, line: Line) -> None:
        if isinstance(line, Report):  # nearly all of them
            self._take_report(function, stream, timestamp, line)
            return
        match line:
            case PhaseReport():
                self._take_phase(function, stream, timestamp, line)
            case InitStart(provisioned=True):
                self._provisioned_streams.add(stream)
            case InitStart():
                self._init_starts[stream].append(timestamp)
            case Boundary():
                if stream != _UNKNOWN_STREAM:
                    self._boundaries.add(stream, timestamp, line)
            case TimedOut():
                self._timed_out[function, line.request_id] = line.after_s * 1000

    def _take_report(self, function: int, stream: int, timestamp: int, line: Report) -> None:
        index = len(self._rows)
        first = self._first[function].setdefault(line.request_id, index)
        if first != index:
            self._more.setdefault((function, line.request_id), [first]).append(index)
        if type(line) is LooseReport:
            self._loose.add(index)
        kind = _WARM
        if line.restore_ms is not None:
            kind = Kind.RESTORE
        elif line.init_ms is not None:
            kind = Kind.PROVISIONED if line.provisioned else Kind.COLD
        self._rows.append((function, stream, timestamp, line, kind))

    def _take_phase(self, function: int, stream: int, timestamp: int, line: PhaseReport) -> None:
        if line.provisioned:
            self._provisioned_streams.add(stream)
            self._provisioned_inits.add((function, line.duration_ms))
        if line.status is Status.SUCCESS:
            return
        key = (function, stream, timestamp, line)
        if key in self._phases:
            self._repeated_phases[function] += 1
            return
        self._phases.add(key)
        failed = Report("", nan, nan, 0, 0, line.duration_ms, status=line.status, error_type=line.error_type)
        kind = Kind.FAILED_RESTORE if line.phase == "restore" else Kind.FAILED_INIT
        self._rows.append((function, stream, timestamp, failed, kind))

    def table(self) -> pa.Table:
        """The rows of `REPORTS`, by function and time, each invocation once."""
        self._rows.settle()
        kept = self._kept()
        self._settle_timeouts(kept)
        self._settle_provisioned(kept)
        return self._rows.table(kept)

    def refused(self) -> dict[str, Refused]:
        """What was not counted, by function; complete after `table`."""
        names = self._functions.all
        repeated = self._repeated_phases + self._repeated_reports
        suspicious = self._suspicious + self._spoofed
        return {
            names[number]: Refused(repeated[number], suspicious[number])
            for number in sorted({*repeated, *suspicious})
        }

    def _kept(self) -> list[int]:
        """Indices of the rows that count: one per invocation, and each failed init."""
        dropped = self._spoofs()
        self._spoofed = Counter(self._rows.function[i] for i in dropped)
        self._repeated_reports.clear()
        for (function, _), every in self._more.items():
            indices = [i for i in every if i not in dropped]
            lost = self._repeats(sorted(indices, key=lambda i: (self._rows.timestamp[i], i)))
            dropped |= lost
            self._repeated_reports[function] += len(lost)
        return [i for i in range(len(self._rows)) if i not in dropped]

    def _spoofs(self) -> set[int]:
        """Indices of reports that user code wrote, as far as the log itself proves it."""
        rows = self._rows
        found: set[int] = set()
        if self._boundaries:
            found = self._boundaries.foreign(
                (i, rows.stream[i], rows.timestamp[i], rows.request_id[i])
                for i in range(len(rows))
                if rows.request_id[i]
            )
        if self._loose:
            told = self._loose | found
            strict = {rows.function[i] for i in range(len(rows)) if rows.request_id[i] and i not in told}
            found |= {i for i in self._loose if rows.function[i] in strict}
        return found

    def _repeats(self, indices: list[int]) -> set[int]:
        """Of the reports of one request id, by time: those that repeat another one."""
        rows = self._rows
        kept = indices[:1]
        for index in indices[1:]:
            if rows.timestamp[index] - rows.timestamp[kept[-1]] < RETRY_AFTER_MS:
                if not rows.same(index, kept[-1]):
                    kept[-1] = index
            elif self._may_recur(index) or not any(rows.same(index, other) for other in kept):
                kept.append(index)
        return set(indices) - set(kept)

    def _may_recur(self, index: int) -> bool:
        """Whether an equal report may be another invocation: only time-outs last equally long to the µs."""
        identity = (self._rows.function[index], self._rows.request_id[index])
        return self._rows.is_status(index, Status.TIMEOUT) or identity in self._timed_out

    def _settle_timeouts(self, kept: list[int]) -> None:
        """Mark what an older log tells by its `Task timed out` line alone."""
        rows = self._rows
        for i in kept if self._timed_out else ():
            limit = self._timed_out.get((rows.function[i], rows.request_id[i]))
            if limit is not None and rows.is_status(i, Status.SUCCESS) and rows.duration[i] >= limit - 1:
                rows.set_status(i, Status.TIMEOUT)

    def _settle_provisioned(self, kept: list[int]) -> None:
        """Tell inits that happened before their first request from cold starts that someone waited for."""
        ahead = self._begun_ahead(kept)
        for i in kept:
            if self._rows.is_kind(i, Kind.COLD) and (i in ahead or self._known_provisioned(i)):
                self._rows.set_kind(i, Kind.PROVISIONED)

    def _known_provisioned(self, index: int) -> bool:
        """Whether the log tells the init's type, by the stream of its environment or else by its exact duration."""
        rows = self._rows
        if rows.stream[index] != _UNKNOWN_STREAM:
            return rows.stream[index] in self._provisioned_streams
        return (rows.function[index], rows.init[index]) in self._provisioned_inits

    def _begun_ahead(self, kept: list[int]) -> set[int]:
        """First reports of environments whose INIT_START came longer before the request than an init may take.

        Text logs do not tell the type of an init; a provisioned environment is one that stood ready before.
        """
        rows = self._rows
        by_stream: dict[int, list[int]] = defaultdict(list)
        for i in kept if self._init_starts else ():
            if (
                rows.stream[i] != _UNKNOWN_STREAM
                and rows.stream[i] in self._init_starts
                and not isnan(rows.duration[i])
            ):
                by_stream[rows.stream[i]].append(i)
        found = set()
        for stream, indices in by_stream.items():
            first = min(indices, key=lambda i: rows.timestamp[i])
            began = max((at for at in self._init_starts[stream] if at <= rows.timestamp[first]), default=None)
            if began is None or isnan(rows.init[first]):
                continue
            if rows.timestamp[first] - rows.duration[first] - began > rows.init[first] + INIT_LIMIT_MS:
                found.add(first)
        return found


def read(events: Iterable[LogEvent]) -> tuple[pa.Table, dict[str, Refused]]:
    """Events in any order → the table of `REPORTS`, and what was refused by function."""
    reader = Reader()
    for event in events:
        reader.add(event)
    return reader.table(), reader.refused()
