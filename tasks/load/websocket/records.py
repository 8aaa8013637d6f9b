"""What a WebSocket load leaves behind beside its samples: attempts to connect, and what the server pushed."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import pyarrow as pa

from storage.clock import Clock
from tasks.load.recording.kept import Kept
from tasks.load.websocket.plan import CONNECTIONS, PUSHES

_TIMES = ("intended_ns", "started_ns", "connected_ns", "opened_ns", "closed_ns")
_NO_SEQUENCE = -1
_COLUMNS = 7
_KINDS = 200
_OTHER = "(other)"


class Attempts(Kept):
    """Rows of the table `connections`, one as an attempt ends."""

    def __init__(self, clock: Clock, token: str | None) -> None:
        super().__init__("connections", CONNECTIONS)
        self._clock, self._token = clock, token
        self._rows: list[dict[str, Any]] = []

    def add(self, row: Mapping[str, Any]) -> None:
        """An attempt has ended; its times are monotonic ns."""
        offset = self._clock.offset_ns
        utc = {name: None if row[name] is None else row[name] + offset for name in _TIMES}
        opened, since = row["opened_ns"], row["connected_ns"] or row["started_ns"]
        self._rows.append(
            {
                **row,
                **utc,
                "connect_ms": None if opened is None else (opened - row["intended_ns"]) / 1e6,
                "handshake_ms": None if opened is None else (opened - since) / 1e6,
                "reason": row["reason"].replace(self._token, "***") if self._token else row["reason"],
            }
        )

    def _fresh(self) -> pa.RecordBatch:
        return pa.RecordBatch.from_pylist(self._rows[:], schema=CONNECTIONS)

    def _forget(self, batch: pa.RecordBatch) -> None:
        del self._rows[: batch.num_rows]


class Pushes(Kept):
    """Rows of the table `pushes`; a server's kinds beyond the first 200 share one name."""

    def __init__(self, clock: Clock) -> None:
        super().__init__("pushes", PUSHES)
        self._clock = clock
        self._kinds: dict[str, int] = {}
        self._rows = array("q")

    def __len__(self) -> int:
        with self._lock:
            return self._journalled + len(self._rows) // _COLUMNS

    def add(
        self, source: tuple[int, int], kind: str, sequence: int | None, times: tuple[int, int], size: int
    ) -> None:
        """A push came from (connection, attempt): received and seen in monotonic ns, its size in bytes."""
        code = self._kinds.get(kind)
        if code is None:
            code = self._kinds.setdefault(kind if len(self._kinds) < _KINDS else _OTHER, len(self._kinds))
        self._rows.extend((*source, code, _NO_SEQUENCE if sequence is None else sequence, *times, size))

    def _fresh(self) -> pa.RecordBatch:
        rows = np.frombuffer(self._rows[:], np.int64).reshape(-1, _COLUMNS)  # a copy: the array goes on growing
        codes = cast("pa.Int16Array", pa.array(rows[:, 2].astype(np.int16)))
        kinds = pa.DictionaryArray.from_arrays(codes, pa.array(list(self._kinds), pa.string()))
        columns = [
            pa.array(rows[:, 0].astype(np.int32)),
            pa.array(rows[:, 1].astype(np.int32)),
            kinds,
            pa.array(rows[:, 3], mask=rows[:, 3] == _NO_SEQUENCE),
            pa.array(rows[:, 4] + self._clock.offset_ns),
            pa.array(rows[:, 5] + self._clock.offset_ns),
            pa.array(rows[:, 6].astype(np.int32)),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=PUSHES)

    def _forget(self, batch: pa.RecordBatch) -> None:
        del self._rows[: batch.num_rows * _COLUMNS]
