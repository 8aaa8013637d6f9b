"""Log events → one row per invocation: each counted once, each start told apart by who waited for it.

Duplicates: a delivery may be repeated, so the same report twice is one invocation. An asynchronous retry is
another invocation under the same request id; it comes a minute after the first at the earliest (Lambda Developer
Guide, "How Lambda handles errors and retries with asynchronous invocation"). Two different reports of one id within
that minute cannot both be the platform's: the later one stands, since the platform writes after user code ended.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from math import isnan, nan

import pyarrow as pa

from tasks.components.lambda_functions.lines import (
    InitStart,
    Line,
    PhaseReport,
    Report,
    Status,
    TimedOut,
    looks_like_report,
    parse,
)

RETRY_AFTER_MS = 60_000
"""An asynchronous retry begins no earlier than this after the invocation that failed."""

INIT_LIMIT_MS = 10_000
"""An init that a request waits for is ended after 10 s; an environment older than that was there before the request."""

_LAMBDA_GROUP = "/aws/lambda/"
_STREAM = re.compile(r"[0-9]{4}/[0-9]{2}/[0-9]{2}/([A-Za-z0-9_-]+)\[[^\]]+\]")


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


class Kind(StrEnum):
    """What a row is: an invocation by how its environment came to be, or an initialisation that failed."""

    WARM = "warm"
    COLD = "cold"
    RESTORE = "restore"
    PROVISIONED = "provisioned"
    FAILED_INIT = "failed_init"
    FAILED_RESTORE = "failed_restore"


REPORTS = pa.schema(
    [
        pa.field("function", pa.dictionary(pa.int32(), pa.string())),
        pa.field("timestamp", pa.timestamp("ms", tz="UTC")),
        pa.field("request_id", pa.string()),
        pa.field("duration_ms", pa.float64()),
        pa.field("billed_ms", pa.float64()),
        pa.field("memory_mb", pa.int32()),
        pa.field("used_mb", pa.int32()),
        pa.field("init_ms", pa.float64()),
        pa.field("restore_ms", pa.float64()),
        pa.field("billed_restore_ms", pa.float64()),
        pa.field("status", pa.dictionary(pa.int8(), pa.string())),
        pa.field("error_type", pa.dictionary(pa.int32(), pa.string())),
        pa.field("kind", pa.dictionary(pa.int8(), pa.string())),
    ]
)
"""One row per invocation, and per failed initialisation (its duration in `init_ms`, no request)."""

_KINDS = tuple(Kind)
_STATUSES = tuple(Status)


@dataclass
class _Columns:
    """The rows in compact columns, NaN for null; strings as indices into a list of names."""

    function: array[int] = field(default_factory=lambda: array("l"))
    stream: array[int] = field(default_factory=lambda: array("l"))
    timestamp: array[int] = field(default_factory=lambda: array("q"))
    request_id: list[str] = field(default_factory=list)
    duration: array[float] = field(default_factory=lambda: array("d"))
    billed: array[float] = field(default_factory=lambda: array("d"))
    memory: array[int] = field(default_factory=lambda: array("l"))
    used: array[int] = field(default_factory=lambda: array("l"))
    init: array[float] = field(default_factory=lambda: array("d"))
    restore: array[float] = field(default_factory=lambda: array("d"))
    billed_restore: array[float] = field(default_factory=lambda: array("d"))
    status: bytearray = field(default_factory=bytearray)
    error: array[int] = field(default_factory=lambda: array("l"))
    kind: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True, slots=True)
class Refused:
    """Of one function: deliveries that were repeated, and lines that look like a report but are not the platform's."""

    duplicates: int = 0
    suspicious: int = 0


class _Names:
    """Strings to small numbers and back."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._index: dict[str, int] = {}

    def index(self, name: str) -> int:
        found = self._index.get(name)
        if found is None:
            found = self._index[name] = len(self.all)
            self.all.append(name)
        return found


class Reader:
    """Takes events in any order, one by one; `table` tells what they come to."""

    def __init__(self) -> None:
        self._rows = _Columns()
        self._functions = _Names()
        self._streams = _Names()
        self._errors = _Names()
        self._owners: dict[tuple[str, str, str], int] = {}
        self._by_id: dict[tuple[int, str], list[int]] = {}
        self._phases: set[tuple[int, int, int, PhaseReport]] = set()
        self._timed_out: dict[tuple[int, str], float] = {}
        self._provisioned_streams: set[int] = set()
        self._provisioned_inits: set[tuple[int, float]] = set()
        self._init_starts: dict[int, list[int]] = defaultdict(list)
        self._duplicates: Counter[int] = Counter()
        self._suspicious: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self._rows.duration)

    def add(self, event: LogEvent) -> None:
        """Read one event; what is not the platform's word about an invocation or an init is passed over."""
        line = parse(event.message)
        if line is None:
            if looks_like_report(event.message):
                self._suspicious[self._function(event)] += 1
            return
        self._take(self._function(event), event, line)

    def _function(self, event: LogEvent) -> int:
        key = (event.function, event.log_group, event.log_stream)
        index = self._owners.get(key)
        if index is None:
            index = self._owners[key] = self._functions.index(event.owner)
        return index

    def _take(self, function: int, event: LogEvent, line: Line) -> None:
        stream = self._streams.index(f"{event.log_group}\0{event.log_stream}") if event.log_stream else -1
        match line:
            case Report():
                self._append(function, stream, event.timestamp, line)
            case PhaseReport():
                self._take_phase(function, stream, event.timestamp, line)
            case InitStart(provisioned=True):
                self._provisioned_streams.add(stream)
            case InitStart():
                self._init_starts[stream].append(event.timestamp)
            case TimedOut():
                self._timed_out[function, line.request_id] = line.after_s * 1000

    def _take_phase(self, function: int, stream: int, timestamp: int, line: PhaseReport) -> None:
        if line.provisioned:
            self._provisioned_streams.add(stream)
            self._provisioned_inits.add((function, line.duration_ms))
        if line.status is Status.SUCCESS:
            return
        key = (function, stream, timestamp, line)
        if key in self._phases:
            self._duplicates[function] += 1
            return
        self._phases.add(key)
        failed = Report("", nan, nan, 0, 0, line.duration_ms, None, None, line.status, line.error_type)
        kind = Kind.FAILED_RESTORE if line.phase == "restore" else Kind.FAILED_INIT
        self._push(function, stream, timestamp, failed, kind)

    def _append(self, function: int, stream: int, timestamp: int, line: Report) -> None:
        self._by_id.setdefault((function, line.request_id), []).append(len(self))
        kind = Kind.WARM
        if line.restore_ms is not None:
            kind = Kind.RESTORE
        elif line.init_ms is not None:
            kind = Kind.PROVISIONED if line.provisioned else Kind.COLD
        self._push(function, stream, timestamp, line, kind)

    def _push(self, function: int, stream: int, timestamp: int, line: Report, kind: Kind) -> None:
        rows = self._rows
        rows.function.append(function)
        rows.stream.append(stream)
        rows.timestamp.append(timestamp)
        rows.request_id.append(line.request_id)
        rows.duration.append(line.duration_ms)
        rows.billed.append(line.billed_ms)
        rows.memory.append(line.memory_mb)
        rows.used.append(line.used_mb)
        rows.init.append(nan if line.init_ms is None else line.init_ms)
        rows.restore.append(nan if line.restore_ms is None else line.restore_ms)
        rows.billed_restore.append(nan if line.billed_restore_ms is None else line.billed_restore_ms)
        rows.status.append(_STATUSES.index(line.status))
        rows.error.append(self._errors.index(line.error_type))
        rows.kind.append(_KINDS.index(kind))

    def refused(self) -> dict[str, Refused]:
        """What was not counted, by function; call it after `table`."""
        names = self._functions.all
        return {
            names[index]: Refused(self._duplicates[index], self._suspicious[index])
            for index in sorted({*self._duplicates, *self._suspicious})
        }

    def table(self) -> pa.Table:
        """The rows of `REPORTS`, by function and time, each invocation once."""
        kept = self._kept()
        self._settle_timeouts(kept)
        self._settle_provisioned(kept)
        rows = self._rows
        kept.sort(key=lambda i: (self._functions.all[rows.function[i]], rows.timestamp[i], rows.request_id[i]))
        order = pa.array(kept, pa.int64())
        return pa.Table.from_arrays([column.take(order) for column in self._arrays()], schema=REPORTS)

    def _arrays(self) -> list[pa.Array]:
        rows = self._rows
        return [
            _named(rows.function, self._functions.all, pa.int32()),
            pa.array(rows.timestamp, pa.int64()).cast(REPORTS.field("timestamp").type),
            pa.array((identity or None for identity in rows.request_id), pa.string()),
            _nullable(rows.duration),
            _nullable(rows.billed),
            pa.array((value or None for value in rows.memory), pa.int32()),
            pa.array((used if size else None for used, size in zip(rows.used, rows.memory, strict=True)), pa.int32()),
            _nullable(rows.init),
            _nullable(rows.restore),
            _nullable(rows.billed_restore),
            _named(rows.status, [status.value for status in _STATUSES], pa.int8()),
            _named(rows.error, self._errors.all, pa.int32()),
            _named(rows.kind, [kind.value for kind in _KINDS], pa.int8()),
        ]

    def _kept(self) -> list[int]:
        """Indices of the rows that count: one per invocation, and each failed init."""
        dropped: set[int] = set()
        self._duplicates.subtract(Counter())
        for (function, _), indices in self._by_id.items():
            if len(indices) > 1:
                lost = self._repeated(sorted(indices, key=lambda i: (self._rows.timestamp[i], i)))
                dropped |= lost
                self._duplicates[function] += len(lost)
        return [i for i in range(len(self)) if i not in dropped]

    def _repeated(self, indices: list[int]) -> set[int]:
        """Of the reports of one request id, by time: those that repeat another one."""
        kept = [indices[0]]
        for index in indices[1:]:
            near = self._rows.timestamp[index] - self._rows.timestamp[kept[-1]] < RETRY_AFTER_MS
            if near:
                kept[-1] = index if not self._same(index, kept[-1]) else kept[-1]
            elif not any(self._same(index, other) and not self._timed_out_at(index) for other in kept):
                kept.append(index)
        return set(indices) - set(kept)

    def _same(self, one: int, other: int) -> bool:
        rows = self._rows
        columns = (rows.duration, rows.billed, rows.memory, rows.used, rows.status)
        return all(column[one] == column[other] for column in columns)

    def _timed_out_at(self, index: int) -> bool:
        """Whether two equal reports may be two invocations: only time-outs last equally long to the hundredth of a ms."""
        rows = self._rows
        identity = (rows.function[index], rows.request_id[index])
        return _STATUSES[rows.status[index]] is Status.TIMEOUT or identity in self._timed_out

    def _settle_timeouts(self, kept: list[int]) -> None:
        """Mark what an older log tells by its `Task timed out` line alone."""
        if not self._timed_out:
            return
        rows = self._rows
        success = _STATUSES.index(Status.SUCCESS)
        for i in kept:
            limit = self._timed_out.get((rows.function[i], rows.request_id[i]))
            if limit is not None and rows.status[i] == success and rows.duration[i] >= limit - 1:
                rows.status[i] = _STATUSES.index(Status.TIMEOUT)

    def _settle_provisioned(self, kept: list[int]) -> None:
        """Tell inits that happened before their first request from cold starts that someone waited for."""
        rows = self._rows
        cold, provisioned = _KINDS.index(Kind.COLD), _KINDS.index(Kind.PROVISIONED)
        ahead = self._begun_ahead(kept)
        for i in kept:
            if rows.kind[i] == cold and (
                (rows.stream[i] >= 0 and rows.stream[i] in self._provisioned_streams)
                or (rows.stream[i] < 0 and (rows.function[i], rows.init[i]) in self._provisioned_inits)
                or i in ahead
            ):
                rows.kind[i] = provisioned

    def _begun_ahead(self, kept: list[int]) -> set[int]:
        """First reports of environments whose INIT_START came longer before the request than an init may take.

        Text logs do not tell the type of an init; a provisioned environment is one that stood ready before.
        """
        if not self._init_starts:
            return set()
        rows = self._rows
        by_stream: dict[int, list[int]] = defaultdict(list)
        for i in kept:
            if rows.stream[i] in self._init_starts and rows.stream[i] >= 0 and not isnan(rows.duration[i]):
                by_stream[rows.stream[i]].append(i)
        found = set()
        for stream, indices in by_stream.items():
            first = min(indices, key=lambda i: rows.timestamp[i])
            began = [at for at in self._init_starts[stream] if at <= rows.timestamp[first]]
            if began and not isnan(rows.init[first]):
                idle = rows.timestamp[first] - rows.duration[first] - max(began)
                if idle > rows.init[first] + INIT_LIMIT_MS:
                    found.add(first)
        return found


def _nullable(values: array[float]) -> pa.Array:
    return pa.array(values, pa.float64(), from_pandas=True)


def _named(indices: array[int] | bytearray, names: list[str], width: pa.DataType) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(indices, width), pa.array(names, pa.string()))


def read(events: Iterable[LogEvent]) -> tuple[pa.Table, dict[str, Refused]]:
    """Events in any order → the table of `REPORTS`, and what was refused by function."""
    reader = Reader()
    for event in events:
        reader.add(event)
    return reader.table(), reader.refused()
