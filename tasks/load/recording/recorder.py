"""Collects one row per request while load runs: in compact rows, moved to the worker's journal twice a second."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from storage.clock import Clock
from tasks.load.recording import journal
from tasks.load.recording.journal import Journal

_DICTIONARY = pa.dictionary(pa.int16(), pa.string())


def _time(name: str, after: str = "") -> pa.Field[Any]:
    """A moment; storage keeps it to the microsecond, as the difference to another one where that is smaller."""
    return pa.field(name, pa.int64(), nullable=False, metadata={"stored": "us", "after": after})


SCHEMA = pa.schema(
    [
        _time("intended_ns"),
        _time("taken_ns", "intended_ns"),
        _time("sent_ns", "taken_ns"),
        _time("received_ns", "sent_ns"),
        _time("seen_ns", "received_ns"),
        pa.field("endpoint", _DICTIONARY, nullable=False),
        pa.field("phase", _DICTIONARY, nullable=False),
        pa.field("status", pa.int16(), nullable=False),
        pa.field("error", _DICTIONARY),
        pa.field("failed", pa.bool_(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("items", pa.int32(), nullable=False),
        pa.field("worker", pa.int16(), nullable=False),
    ]
)
"""Schema of a samples table; times are UTC epoch nanoseconds by one mapping per worker, so differences are exact.

`intended_ns` schedule · `taken_ns` the generator took it up (its own lateness is taken − intended) · `sent_ns`
handed to the wire (sent − taken is the wait for a free connection; the attempt's start where no connection came
about) · `received_ns` the answer was whole, by the kernel's stamp where the wire has them, or the error was seen ·
`seen_ns` the generator came to know of it (seen − received is its event loop's lag; runs stored by earlier versions
lack it) · `phase` warmup, ramp, steady, `step:<n>`, bulk … · `status` 0 where there is none · `error` null where an
answer came, else one of `ERRORS` · `failed` an answer came but was not the expected one · `bytes` of the answer ·
`items` 1, or how many a bulk request carried · `worker` number of the process. Stored, times are whole microseconds.
"""

ERRORS = (
    "dns",
    "connect",
    "tls",
    "timeout",
    "reset",
    "closed",
    "protocol",
    "too_large",
    "aborted",
    "forbidden",
    "refused",
    "unreachable",
    "connect_timeout",
    "certificate",
    "bad_status_line",
    "bad_interim",
    "bad_head",
    "bad_length",
    "bad_transfer_encoding",
    "bad_chunk",
    "head_too_large",
    "body_too_large",
    "bad_text",
)
"""Why a request got no answer: the closed set of `error`.

No connection: `dns` no address · `refused` nobody listens · `unreachable` no route · `connect_timeout` · `connect`
any other way · `certificate` not to be trusted · `tls` any other way of a handshake to fail. No whole answer:
`timeout` · `reset` the connection was torn · `closed` the target closed it in order. An answer that breaks its
protocol: of HTTP `bad_…` says where (`bad_interim`: too many 1xx, or a switch that nobody asked for), of WebSocket
`bad_text` is a text that is not UTF-8, `protocol` is any other. An answer beyond this client's bounds:
`head_too_large`, `body_too_large`, `too_large`. `aborted` the generator gave it up itself · `forbidden` it would have
gone to a host outside the allow-list, and nothing of it was sent. They
are stored by name; new ones are added at the end."""

Ints = NDArray[np.int64]

_TIMES = SCHEMA.names[:5]
_ROW = struct.Struct("=6qihhhb?4x")
_FIELDS = np.dtype(
    {
        "names": [*_TIMES, "bytes", "items", "endpoint", "phase", "status", "error", "failed"],
        "formats": ["i8"] * 6 + ["i4", "i2", "i2", "i2", "i1", "?"],
        "offsets": [0, 8, 16, 24, 32, 40, 48, 52, 54, 56, 58, 59],
        "itemsize": _ROW.size,
    }
)
_CODES = ("endpoint", "phase", "status", "error", "failed", "bytes", "items")
_pack = _ROW.pack


class Recorder:
    """Collects rows while load runs, 64 bytes each; times are monotonic nanoseconds.

    `endpoints` and `phases` name what the rows refer to by number; phases may be appended while it records. One
    thread adds (or several, one at a time); another one may move rows to the journal meanwhile.
    """

    def __init__(self, endpoints: Sequence[str], phases: Sequence[str], worker: int = 0) -> None:
        self.endpoints = list(endpoints)
        self.phases = list(phases)
        self.worker = worker
        self._rows = bytearray()
        self._journal: Journal | None = None
        self._clock = Clock(0)
        self._lock = threading.Lock()  # of the journal and the front of `_rows`; `add` only ever extends their end

    def __len__(self) -> int:
        with self._lock:
            return self._journalled + len(self._rows) // _ROW.size

    @property
    def _journalled(self) -> int:
        return self._journal.rows if self._journal else 0

    def add(
        self,
        times: tuple[int, int, int, int],
        endpoint: int,
        phase: int,
        *,
        status: int = 0,
        error: str | None = None,
        failed: bool = False,
        size: int = 0,
        items: int = 1,
        seen: int = 0,
    ) -> None:
        """Record one request: times are (intended, taken, sent, received); `error` is one of `ERRORS` or None.

        `seen` is when the generator came to know of its end, where that is not when it was received.
        """
        intended, taken, sent, received = times
        code = -1 if error is None else ERRORS.index(error)
        self._rows.extend(
            _pack(
                intended, taken, sent, received, seen or received, size, items, endpoint, phase, status, code, failed
            )
        )

    def keep(self, clock: Clock, table: str = journal.SAMPLES) -> None:
        """From now on, move rows to the journal that the owner gave to this process, where it gave one.

        Then a worker that is killed loses what it recorded in the last second at most, and its memory stays bounded.
        `clock` is the one that `table` will be called with. One recorder of a worker is kept for each table, once:
        what the journal of `samples` holds is what a report calls the rows of the load.
        """
        if self._journal is not None:
            raise ValueError("the rows are journalled already")
        self._clock = clock
        self._journal = journal.begin(SCHEMA, self.flush, table)

    def flush(self) -> None:
        """Move every row so far to the journal."""
        with self._lock:
            if self._journal is not None and not self._journal.closed:
                self._move(self._journal)

    def _move(self, to: Journal) -> None:
        whole = len(self._rows)
        if whole:
            to.append(self._batch(self._rows[:whole]))
            del self._rows[:whole]  # only now: what could not be written is still here

    def rows_since(self, first: int) -> tuple[Ints, Ints]:
        """Copies of the rows from number `first` on, as times and codes.

        Times are (intended, taken, sent, received, seen) in monotonic ns; codes are (endpoint, phase, status, the
        error's place in `ERRORS` or −1, failed, bytes, items).
        """
        with self._lock:
            written = self._journalled
            fresh = np.frombuffer(self._rows[_ROW.size * max(0, first - written) :], _FIELDS)
            times = [np.stack([fresh[name] for name in _TIMES], 1)]
            codes = [np.stack([fresh[name].astype(np.int64) for name in _CODES], 1)]
            if self._journal is not None and first < written:
                batches = list(_from(self._journal.read(), first))
                times[:0] = [_columns(batch, _TIMES) - self._clock.offset_ns for batch in batches]
                codes[:0] = [_columns(batch, _CODES) for batch in batches]
        return np.concatenate(times), np.concatenate(codes)

    def table(self, clock: Clock) -> pa.Table:
        """All rows as a table of `SCHEMA`, in the order in which the requests ended; ends the journal."""
        if self._journal is None:
            self._clock = clock
            return pa.Table.from_batches([self._batch(self._rows[:])], SCHEMA)
        if clock != self._clock:
            raise ValueError("the rows were journalled by another clock")
        with self._lock:
            self._move(self._journal)
            self._journal.close()
        return journal.table(self._journal.read(), SCHEMA)

    def _batch(self, raw: bytearray) -> pa.RecordBatch:
        """Packed rows as columns of `SCHEMA`; the names are read after the rows that refer to them."""
        rows = np.frombuffer(raw, _FIELDS)
        columns = [
            *(pa.array(rows[name] + self._clock.offset_ns) for name in _TIMES),
            _encoded(rows["endpoint"], self.endpoints),
            _encoded(rows["phase"], self.phases),
            pa.array(np.ascontiguousarray(rows["status"])),
            _encoded(rows["error"], ERRORS),
            pa.array(np.ascontiguousarray(rows["failed"])),
            pa.array(np.ascontiguousarray(rows["bytes"])),
            pa.array(np.ascontiguousarray(rows["items"])),
            pa.array(np.full(len(rows), self.worker, np.int16)),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def _encoded(codes: NDArray[Any], names: Sequence[str]) -> pa.Array[Any]:
    """A dictionary column from codes; a negative code is null."""
    indices = cast("pa.Int16Array", pa.array(codes.astype(np.int16), mask=codes < 0))
    return pa.DictionaryArray.from_arrays(indices, pa.array(list(names), pa.string()))


def _from(batches: Iterable[pa.RecordBatch], first: int) -> Iterable[pa.RecordBatch]:
    """The rows from number `first` on."""
    passed = 0
    for batch in batches:
        if passed + batch.num_rows > first:
            yield batch.slice(max(0, first - passed))
        passed += batch.num_rows


def _columns(batch: pa.RecordBatch, names: Sequence[str]) -> Ints:
    """Some columns side by side; dictionary columns as the recorder's own codes, −1 for null."""
    return np.stack([_numbers(batch.column(name)) for name in names], 1)


def _numbers(column: pa.Array[Any]) -> Ints:
    if isinstance(column, pa.DictionaryArray):
        column = column.indices.fill_null(-1)
    return column.to_numpy(zero_copy_only=False).astype(np.int64)
