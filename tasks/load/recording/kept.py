"""A table that a worker collects beside its samples, and that outlives the worker by its journal."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod

import pyarrow as pa

from tasks.load.recording import journal
from tasks.load.recording.journal import Journal


class Kept(ABC):
    """Collects rows of one schema in memory; once `keep` was called, they move to a journal twice a second.

    Rows may be added by one thread while the journal's own takes what is there: what `_fresh` and `_forget` do to
    their container has to be single steps of the interpreter.
    """

    def __init__(self, table: str, schema: pa.Schema) -> None:
        self._table, self._schema = table, schema
        self._journal: Journal | None = None
        self._lock = threading.Lock()

    @abstractmethod
    def _fresh(self) -> pa.RecordBatch:
        """What came since the last `_forget`."""

    @abstractmethod
    def _forget(self, batch: pa.RecordBatch) -> None:
        """A batch that `_fresh` made was written."""

    @property
    def _journalled(self) -> int:
        return self._journal.rows if self._journal else 0

    def keep(self) -> None:
        """From now on, move rows to a journal, where the owner gave one to this process; see `Recorder.keep`."""
        self._journal = journal.begin(self._schema, self.flush, self._table)

    def flush(self) -> None:
        """Move every row so far to the journal."""
        with self._lock:
            if self._journal is not None and not self._journal.closed:
                self._move(self._journal)

    def _move(self, to: Journal) -> None:
        batch = self._fresh()
        if batch.num_rows:
            to.append(batch)
            self._forget(batch)  # only now: what could not be written is still here

    def table(self) -> pa.Table:
        """All rows, in the order in which they were added; ends the journal."""
        if self._journal is None:
            return pa.Table.from_batches([self._fresh()], self._schema)
        with self._lock:
            self._move(self._journal)
            self._journal.close()
        return journal.table(self._journal.read(), self._schema)
