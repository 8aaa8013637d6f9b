"""The table of reports: one row per invocation, and per initialisation that failed."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import nan
from typing import Any

import pyarrow as pa

from tasks.components.lambda_functions.lines import Report, Status

_FLUSH = 256  # few live tuples keep the garbage collector quiet: a third of the time otherwise


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
"""Durations in ms, memory in MB; a failed initialisation has its duration in `init_ms` and no request."""

KINDS = tuple(Kind)
STATUSES = tuple(Status)
_KIND_NUMBER = {kind: number for number, kind in enumerate(KINDS)}
_STATUS_NUMBER = {status: number for number, status in enumerate(STATUSES)}


class Names:
    """Strings to small numbers and back."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._number: dict[str, int] = {}

    def number(self, name: str) -> int:
        """The number of a name, a new one where it was not seen before."""
        found = self._number.get(name)
        if found is None:
            found = self._number[name] = len(self.all)
            self.all.append(name)
        return found


Row = tuple[int, int, int, Report, Kind]
"""A row to be: function and stream by number (a stream of -1 is unknown), epoch ms, the report, the kind."""


def _integers() -> array[int]:
    return array("q")


def _floats() -> array[float]:
    return array("d")


@dataclass
class Rows:
    """Rows in compact columns, about 130 bytes each; NaN stands for null."""

    functions: Names
    function: array[int] = field(default_factory=_integers)
    stream: array[int] = field(default_factory=_integers)
    timestamp: array[int] = field(default_factory=_integers)
    request_id: list[str] = field(default_factory=list)
    duration: array[float] = field(default_factory=_floats)
    billed: array[float] = field(default_factory=_floats)
    memory: array[int] = field(default_factory=_integers)
    used: array[int] = field(default_factory=_integers)
    init: array[float] = field(default_factory=_floats)
    restore: array[float] = field(default_factory=_floats)
    billed_restore: array[float] = field(default_factory=_floats)
    status: array[int] = field(default_factory=_integers)
    error: array[int] = field(default_factory=_integers)
    kind: array[int] = field(default_factory=_integers)
    errors: Names = field(default_factory=Names)
    _pending: list[Row] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.duration) + len(self._pending)

    def append(self, row: Row) -> None:
        """Add a row; columns are filled in batches, so call `settle` before reading them."""
        self._pending.append(row)
        if len(self._pending) >= _FLUSH:
            self.settle()

    def settle(self) -> None:
        """Move what is pending into the columns."""
        if not self._pending:
            return
        function, stream, timestamp, reports, kind = zip(*self._pending, strict=True)
        self._pending = []
        identity, duration, billed, memory, used, init, restore, billed_restore, status, error, _ = zip(
            *reports, strict=True
        )
        self.function.extend(function)
        self.stream.extend(stream)
        self.timestamp.extend(timestamp)
        self.kind.extend(map(_KIND_NUMBER.__getitem__, kind))
        self.request_id.extend(identity)
        self.duration.extend(duration)
        self.billed.extend(billed)
        self.memory.extend(memory)
        self.used.extend(used)
        for column, values in ((self.init, init), (self.restore, restore), (self.billed_restore, billed_restore)):
            column.extend([nan if value is None else value for value in values])
        self.status.extend(map(_STATUS_NUMBER.__getitem__, status))
        self.error.extend(map(self.errors.number, error))

    def is_kind(self, index: int, kind: Kind) -> bool:
        """Whether a row is of a kind."""
        return self.kind[index] == _KIND_NUMBER[kind]

    def set_kind(self, index: int, kind: Kind) -> None:
        """Correct the kind of a row."""
        self.kind[index] = _KIND_NUMBER[kind]

    def is_status(self, index: int, status: Status) -> bool:
        """Whether a row has a status."""
        return self.status[index] == _STATUS_NUMBER[status]

    def set_status(self, index: int, status: Status) -> None:
        """Correct the status of a row."""
        self.status[index] = _STATUS_NUMBER[status]

    def same(self, one: int, other: int) -> bool:
        """Whether two rows report the same figures."""
        columns = (self.duration, self.billed, self.memory, self.used, self.status)
        return all(column[one] == column[other] for column in columns)

    def table(self, kept: Sequence[int]) -> pa.Table:
        """The rows at `kept`, by function, time and request."""
        names = self.functions.all
        ordered = sorted(kept, key=lambda i: (names[self.function[i]], self.timestamp[i], self.request_id[i]))
        order = pa.array(ordered, pa.int64())
        return pa.Table.from_arrays([column.take(order) for column in self._columns()], schema=REPORTS)

    def _columns(self) -> list[pa.Array[Any]]:
        of_request = [bool(identity) for identity in self.request_id]
        return [
            _named(self.function, self.functions.all, pa.int32()),
            pa.array(self.timestamp, pa.int64()).cast(REPORTS.field("timestamp").type),
            pa.array([identity or None for identity in self.request_id], pa.string()),
            _nullable(self.duration),
            _nullable(self.billed),
            _where(self.memory, of_request),
            _where(self.used, of_request),
            _nullable(self.init),
            _nullable(self.restore),
            _nullable(self.billed_restore),
            _named(self.status, [status.value for status in STATUSES], pa.int8()),
            _named(self.error, self.errors.all, pa.int32()),
            _named(self.kind, [kind.value for kind in KINDS], pa.int8()),
        ]


def _nullable(values: array[float]) -> pa.Array[Any]:
    return pa.array(values, pa.float64(), from_pandas=True)


def _where(values: array[int], known: Sequence[bool]) -> pa.Array[Any]:
    return pa.array([value if there else None for value, there in zip(values, known, strict=True)], pa.int32())


def _named(numbers: array[int], names: list[str], width: pa.DataType) -> pa.Array[Any]:
    indices: Any = pa.array(numbers, pa.int64()).cast(width)
    return pa.DictionaryArray.from_arrays(indices, pa.array(names, pa.string()))
