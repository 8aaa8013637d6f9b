"""The journal of a load worker: an Arrow stream on disk that grows while load runs, and outlives whoever is killed.

Worker's side: `assign` says where it lies, `begin` opens it and has its rows brought there twice a second by a thread
of its own. Whole batches alone are read back, so a torn end costs the last one. While its writer lives the file is
locked (flock): nobody takes a load that is under way for one that ended.

Owner's side: `Journals` names the files of one attempt at a component; who finds one that is not locked has found
the rows of a load that did not end (`tasks.recovery`).
"""

from __future__ import annotations

import fcntl
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa

from storage.errors import NotMeasuredError

EVERY_S = 0.5
"""How often rows are brought to the journal: half of what may be lost, for a thread that is late."""

_PATIENCE_S = 1.0
_NAME = re.compile(r"^journal-attempt-(?P<attempt>\d+)-\d+(?:\.(?P<table>[a-z]+))?(?:\.\d+)?\.arrows$")

SAMPLES = "samples"
"""The table whose rows a journal holds where its name does not say another one."""


@dataclass(frozen=True)
class Journals:
    """Where the workers of one attempt keep their journals; each asks for a name of its own, from any thread.

    A `temporary` folder goes with its owner: where that was killed, the worker removes it.
    """

    folder: Path
    attempt: int
    temporary: bool = False
    _numbers: Iterator[int] = field(default_factory=lambda: count(1), repr=False, compare=False)
    _whole: set[Path] = field(default_factory=set, repr=False, compare=False)

    def claim(self) -> Path:
        """A name for the journal of one more worker."""
        self.folder.mkdir(parents=True, exist_ok=True)
        names = (self.folder.resolve() / f"journal-attempt-{self.attempt}-{n}.arrows" for n in self._numbers)
        return next(name for name in names if not name.exists())  # of a worker that is about to end

    def ended(self, path: Path) -> None:
        """The worker of a journal handed its output over: once that is stored, the journal is no longer needed."""
        self._whole.add(path)

    def remove(self) -> None:
        """Remove the journals of workers that ended well; what is left is of workers that did not."""
        for path in self._whole:
            for one in (path, *path.parent.glob(f"{path.stem}.*.arrows")):
                one.unlink(missing_ok=True)


def found(folder: Path, table: str = SAMPLES) -> dict[int, list[Path]]:
    """The journals of one table that lie in a folder, by attempt."""
    kept = {attempt: tables.get(table, []) for attempt, tables in every(folder).items()}
    return {attempt: paths for attempt, paths in kept.items() if paths}


def every(folder: Path) -> dict[int, dict[str, list[Path]]]:
    """The journals that lie in a folder, by attempt and table."""
    files: dict[int, dict[str, list[Path]]] = {}
    for path in sorted(folder.glob("journal-attempt-*.arrows")):
        match = _NAME.match(path.name)
        if match:
            files.setdefault(int(match["attempt"]), {}).setdefault(match["table"] or SAMPLES, []).append(path)
    return files


@contextmanager
def taken(paths: Iterable[Path]) -> Iterator[bool]:
    """Take journals for the block; False where a worker still writes one, or another process takes or took them."""
    with ExitStack() as stack:
        yield all(_take(path, stack) for path in paths)


def _take(path: Path, stack: ExitStack) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR)
        stack.callback(os.close, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError):
        return False
    return path.exists()  # who had it before may have removed it


def batches(path: Path) -> Iterator[pa.RecordBatch]:
    """The whole batches of a journal, whatever its end looks like; none where not even its schema is whole."""
    if path.stat().st_size == 0:
        return
    with pa.memory_map(str(path)) as source:
        try:
            yield from pa.ipc.open_stream(source)
        except (pa.ArrowInvalid, pa.ArrowSerializationError, OSError):
            return  # the writer was cut short in the middle of a batch


def table(rows: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """Batches as one table in one piece; names that grew from batch to batch become one dictionary."""
    return pa.Table.from_batches(list(rows), schema).unify_dictionaries().combine_chunks()


# --- the worker's side ---


class Journal:
    """One journal, open for writing; `rows` counts what was written.

    Whatever the disk does not take is a `NotMeasuredError` that names the file, and nothing more is written.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path = path
        self.rows = 0
        self.closed = False
        with self._told():
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # until this process ends, however it does
            self._sink = pa.OSFile(str(path), "wb")
            self._stream = pa.ipc.new_stream(self._sink, schema)

    def append(self, batch: pa.RecordBatch) -> None:
        """Hand one batch to the system, which has it on the disk soon: it outlives this process, not the power."""
        with self._told():
            self._stream.write_batch(batch)
        self.rows += batch.num_rows

    def read(self) -> Iterator[pa.RecordBatch]:
        """What was written so far."""
        return batches(self.path)

    def close(self) -> None:
        """End the stream."""
        self.closed = True
        with self._told():
            self._stream.close()
            self._sink.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.closed = True
            raise NotMeasuredError(
                f"the load was stopped: its rows could not be kept in {self.path}: {_reason(error)} ({self.rows:,} of"
                " them are there); free space, or choose another --output"
            ) from error


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)


@dataclass
class _Process:
    """What this process was told about journals."""

    path: Path | None = None
    failed: Callable[[NotMeasuredError], Any] = lambda _: None
    flushes: list[Callable[[], None]] = field(default_factory=list)


_process = _Process()


def assign(path: Path, failed: Callable[[NotMeasuredError], Any]) -> None:
    """Say where this process keeps its journal, and who is told when it can no longer be written."""
    _process.path = path
    _process.failed = failed


def begin(schema: pa.Schema, flush: Callable[[], None], table: str = SAMPLES) -> Journal | None:
    """Open a journal of this process and call `flush` every `EVERY_S` from a thread; None where none was assigned.

    Each table but `samples` has one journal at most.

    `flush` appends what is there; it is called from that thread and from `flush_all`. Raises what `Journal` raises.
    """
    if _process.path is None:
        return None
    number = len(_process.flushes) + 1
    path = _process.path if number == 1 else _process.path.with_suffix(f".{number}.arrows")
    if table != SAMPLES:
        path = _process.path.with_suffix(f".{table}.arrows")
    opened = Journal(path, schema)
    _process.flushes.append(flush)
    threading.Thread(target=_keep, args=(flush, opened), daemon=True, name="journal").start()
    return opened


def flush_all() -> None:
    """Bring every row there now, as the last act of the process; a second at most, whatever other threads do."""
    last = threading.Thread(target=_flush_each, daemon=True, name="journal-end")
    last.start()
    last.join(_PATIENCE_S)


def _flush_each() -> None:
    for flush in _process.flushes:
        try:
            flush()
        except NotMeasuredError as error:  # the process ends for another reason, which is told
            sys.stderr.write(f"{error}\n")


def _keep(flush: Callable[[], None], opened: Journal) -> None:
    while not opened.closed:
        time.sleep(EVERY_S)
        try:
            flush()
        except NotMeasuredError as error:
            _process.failed(error)
