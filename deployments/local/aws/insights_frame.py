"""Rows of log events as columns: what Logs Insights discovers in an event, made when a query asks for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from deployments.local.aws.lines import TRACED_ONE_IN, Line
from deployments.local.aws.logstore import LogGroup
from deployments.local.aws.names import ACCOUNT_ID

MEGABYTE = 1_000_000
"""Insights answers @memorySize and @maxMemoryUsed in bytes of 1,000 x 1,000 a megabyte."""

Kind = Literal["number", "string", "time", "boolean"]


@dataclass(frozen=True, slots=True)
class Column:
    """One value for each row: floats with NaN, texts with None, epoch ms with NaN, or booleans."""

    kind: Kind
    values: npt.NDArray[Any]

    def take(self, rows: npt.NDArray[Any]) -> Column:
        """The same column for some of the rows."""
        return Column(self.kind, self.values[rows])

    def present(self) -> npt.NDArray[np.bool_]:
        """Which rows have a value."""
        if self.kind == "string":
            return np.fromiter((value is not None for value in self.values), np.bool_, len(self.values))
        if self.kind == "boolean":
            return np.ones(len(self.values), dtype=np.bool_)
        return np.asarray(~np.isnan(self.values), dtype=np.bool_)


class Frame:
    """Rows with named columns; `source` makes the columns that no command has made."""

    def __init__(
        self, length: int, source: Callable[[str], Column], columns: dict[str, Column] | None = None
    ) -> None:
        self.length = length
        self._source = source
        self.columns = columns or {}

    def column(self, name: str) -> Column:
        """The column of that name; all values missing where no row has such a field."""
        if name not in self.columns:
            self.columns[name] = self._source(name)
        return self.columns[name]

    def take(self, rows: npt.NDArray[Any]) -> Frame:
        """Some of the rows, by mask or by position."""
        positions = np.arange(self.length)[rows]
        source = self._source
        if isinstance(source, _Events):
            smaller: Callable[[str], Column] = source.take(positions)
        else:
            smaller = missing(len(positions))
        return Frame(len(positions), smaller, {name: each.take(positions) for name, each in self.columns.items()})


def missing(length: int) -> Callable[[str], Column]:
    """A source that knows no column."""
    return lambda _name: Column("string", np.full(length, None, dtype=object))


def frame_of(groups: Sequence[LogGroup], start_ms: int, end_ms: int) -> Frame:
    """The events of some log groups within `[start_ms, end_ms]`, newest first."""
    owners: list[npt.NDArray[np.int32]] = []
    positions: list[npt.NDArray[np.int64]] = []
    for number, group in enumerate(groups):
        start, stop = group.window(start_ms, end_ms)
        positions.append(np.arange(start, stop, dtype=np.int64))
        owners.append(np.full(stop - start, number, dtype=np.int32))
    owner, position = np.concatenate(owners), np.concatenate(positions)
    times = np.concatenate([group.times[each] for group, each in zip(groups, positions, strict=True)])
    order = np.argsort(-times, kind="stable")
    return Frame(len(order), _Events(tuple(groups), owner[order], position[order]))


@dataclass(frozen=True)
class _Events:
    """The discovered fields of the events at `position` of the group number `owner`."""

    groups: tuple[LogGroup, ...]
    owner: npt.NDArray[np.int32]
    position: npt.NDArray[np.int64]
    _documents: dict[int, Any] = field(default_factory=dict)

    def take(self, rows: npt.NDArray[np.int64]) -> _Events:
        return _Events(self.groups, self.owner[rows], self.position[rows])

    def __call__(self, name: str) -> Column:
        if name in _TIMES:
            return Column("time", self._gather(_TIMES[name]))
        if name in _NUMBERS:
            return Column("number", self._gather(_NUMBERS[name]))
        if name in _SHARED_TEXTS:
            return Column("string", self._fill(_SHARED_TEXTS[name]))
        if name in _TEXTS:
            return Column("string", self._each(_TEXTS[name]))
        return self._json(name)

    def _gather(self, pick: Callable[[LogGroup, npt.NDArray[np.int64]], npt.NDArray[Any]]) -> npt.NDArray[np.float64]:
        """A number for each row, made group by group."""
        values = np.full(len(self.owner), np.nan)
        for number, group in enumerate(self.groups):
            rows = np.flatnonzero(self.owner == number)
            if len(rows):
                values[rows] = pick(group, self.position[rows])
        return values

    def _fill(self, pick: Callable[[LogGroup, npt.NDArray[np.int64]], Any]) -> npt.NDArray[Any]:
        """A text for each row, made group by group."""
        values = np.full(len(self.owner), None, dtype=object)
        for number, group in enumerate(self.groups):
            rows = np.flatnonzero(self.owner == number)
            values[rows] = pick(group, self.position[rows])
        return values

    def _each(self, pick: Callable[[LogGroup, int], str | None]) -> npt.NDArray[Any]:
        values = np.full(len(self.owner), None, dtype=object)
        for row, (number, at) in enumerate(zip(self.owner.tolist(), self.position.tolist(), strict=True)):
            values[row] = pick(self.groups[number], at)
        return values

    def _json(self, name: str) -> Column:
        """A field of the JSON in the messages, by its dotted path; numbers where every value found is one."""
        steps = name.split(".")
        found = [_resolve(self._document(row), steps) for row in range(len(self.owner))]
        scalars = [value if isinstance(value, str | int | float) else None for value in found]
        numbers = [value for value in scalars if value is not None]
        if numbers and all(isinstance(value, int | float) and not isinstance(value, bool) for value in numbers):
            return Column("number", np.array([np.nan if v is None else float(v) for v in scalars]))
        texts = [None if value is None else str(value) for value in scalars]
        return Column("string", np.array(texts, dtype=object) if texts else np.empty(0, dtype=object))

    def _document(self, row: int) -> Any:
        """The JSON of one message; of a text line, its first embedded fragment."""
        group, at = self.groups[self.owner[row]], int(self.position[row])
        text_line = group.function.log_format == "Text"
        if text_line and group.kinds[at] != Line.FAILURE:
            return None  # no other text line holds a brace
        if row not in self._documents:
            message = group.message(at)
            begin = message.find("{")
            self._documents[row] = json.JSONDecoder().raw_decode(message[begin:])[0] if begin >= 0 else None
        return self._documents[row]


def _resolve(document: Any, steps: list[str]) -> Any:
    for step in steps:
        if not isinstance(document, dict):
            return None
        document = document.get(step)
    return document


def _report(pick: Callable[[LogGroup, npt.NDArray[Any]], Any]) -> Callable[[LogGroup, npt.NDArray[np.int64]], Any]:
    """A field that Insights discovers in the REPORT lines of text logs alone."""

    def of(group: LogGroup, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        values = np.full(len(positions), np.nan)
        if group.function.log_format == "Text":
            rows = np.flatnonzero(group.kinds[positions] == Line.REPORT)
            values[rows] = pick(group, group.refs[positions[rows]])
        return values

    return of


_NUMBERS: dict[str, Callable[[LogGroup, npt.NDArray[np.int64]], Any]] = {
    "@duration": _report(lambda group, refs: group.invocations.duration[refs]),
    "@billedDuration": _report(lambda group, refs: group.invocations.billed[refs]),
    "@initDuration": _report(lambda group, refs: group.invocations.init[refs]),
    "@memorySize": _report(lambda group, refs: group.invocations.memory[refs].astype(np.float64) * MEGABYTE),
    "@maxMemoryUsed": _report(lambda group, refs: group.invocations.used[refs].astype(np.float64) * MEGABYTE),
}

_TYPES: dict[int, str] = {
    Line.REPORT: "REPORT",
    Line.START: "START",
    Line.END: "END",
    Line.INIT_START: "INIT_START",
    Line.INIT_REPORT: "INIT_REPORT",
}


_TYPE_OF_KIND = np.array([_TYPES.get(kind) for kind in range(len(Line))], dtype=object)


def _types(group: LogGroup, positions: npt.NDArray[np.int64]) -> Any:
    return _TYPE_OF_KIND[group.kinds[positions]] if group.function.log_format == "Text" else None


def _request(group: LogGroup, at: int) -> str | None:
    spoken = {Line.REPORT, Line.START, Line.END, Line.APPLICATION, Line.FAILURE}
    return group.request_id(at) if group.function.log_format == "Text" and group.kinds[at] in spoken else None


def _trace(number: int) -> Callable[[LogGroup, int], str | None]:
    def of(group: LogGroup, at: int) -> str | None:
        traced = group.function.traced and group.function.log_format == "Text"
        if not traced or group.kinds[at] != Line.REPORT or int(group.refs[at]) % TRACED_ONE_IN:
            return None
        return group.message(at).split("XRAY ", 1)[1].split("\t")[number].split(": ")[1]

    return of


_TIMES: dict[str, Callable[[LogGroup, npt.NDArray[np.int64]], Any]] = {
    "@timestamp": lambda group, at: group.times[at],
    "@ingestionTime": lambda group, at: group.ingested(at),
}
_SHARED_TEXTS: dict[str, Callable[[LogGroup, npt.NDArray[np.int64]], Any]] = {
    "@type": _types,
    "@log": lambda group, _at: f"{ACCOUNT_ID}:{group.name}",
}
_TEXTS: dict[str, Callable[[LogGroup, int], str | None]] = {
    "@message": lambda group, at: group.message(at),
    "@logStream": lambda group, at: group.stream(at),
    "@ptr": lambda group, at: group.event(at).event_id,
    "@requestId": _request,
    "@xrayTraceId": _trace(0),
    "@xraySegmentId": _trace(1),
}
