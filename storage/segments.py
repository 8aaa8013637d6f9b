"""Segments of history: the measurements of many runs in one immutable Parquet file, for queries over years.

    performance-history/<environment>/segment-<sha256>.parquet     rows by metric; the runs in its metadata
    performance-history/<environment>/changed-<run>-<random>.json  the run changed since: read it from its folder
    performance-history/<environment>/retired-<run>.json           retention removed its folder; its rows stay

A segment's name is the checksum of its content. A merged segment names those that it replaces, and whoever sees it
no longer counts them, whether they were removed yet or not: a reader sees all runs or all runs. Two that compact at
once write two segments with the same runs, of which readers take one. Nothing is ever changed in place.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from storage.errors import DamagedFileError, StorageError
from storage.history_records import HistoryRun
from storage.history_rows import ROWS
from storage.parquet import Store, in_arrow
from storage.runs import RunFolder

HISTORY = "performance-history"
VERSION = 1
"""Version of a segment's layout; a newer one is not read, its runs are read from their folders."""

_SEGMENT = re.compile(r"^segment-(?P<sum>[0-9a-f]{32})\.parquet$")
_CHANGED = re.compile(r"^changed-(?P<run>.+)-[0-9a-f]{8}\.json$")
_RETIRED = re.compile(r"^retired-(?P<run>.+)\.json$")
_ROW_GROUP = 8192
_TRIES = 10
_RUNS: TypeAdapter[tuple[HistoryRun, ...]] = TypeAdapter(tuple[HistoryRun, ...])


@dataclass(frozen=True)
class Segment:
    """One segment: its runs, which segments it replaces, and its Parquet file in memory."""

    name: str
    runs: tuple[HistoryRun, ...]
    replaces: frozenset[str]
    content: bytes = field(repr=False)

    def rows(self, metrics: Collection[str] | None = None) -> pa.Table:
        """Its rows, of some metrics only: other row groups are not decoded."""
        chosen: Any = None if metrics is None else [("metric", "in", sorted(metrics))]
        table: pa.Table = pq.read_table(in_arrow(self.content), columns=ROWS.names, filters=chosen)
        return table.replace_schema_metadata(None)

    def metrics(self) -> set[str]:
        """Names of the metrics in it."""
        column = pq.read_table(in_arrow(self.content), columns=["metric"]).column("metric")
        return {str(name) for name in column.unique().to_pylist()}


@dataclass(frozen=True)
class Listing:
    """What lies in an environment's history: names of segments, marks of changes by run, retired runs."""

    segments: frozenset[str]
    changed: dict[str, tuple[str, ...]]
    retired: frozenset[str]


def listing(store: Store, environment: str) -> Listing:
    """What is there now.

    A listing under which files come and go may miss both a segment and the one that replaced it, so it is repeated
    until it says the same twice.
    """
    segments, retired = set(), set()
    changed: dict[str, tuple[str, ...]] = {}
    for name in _names(store, f"{HISTORY}/{environment}"):
        if _SEGMENT.match(name):
            segments.add(name)
        elif match := _CHANGED.match(name):
            changed[match["run"]] = (*changed.get(match["run"], ()), name)
        elif match := _RETIRED.match(name):
            retired.add(match["run"])
    return Listing(frozenset(segments), changed, frozenset(retired))


def checksum(content: bytes) -> str:
    """What a segment of that content is called: the first half of its SHA-256."""
    return hashlib.sha256(content).hexdigest()[:32]


def _names(store: Store, folder: str) -> list[str]:
    before = store.names(folder)
    for _ in range(_TRIES):
        now = store.names(folder)
        if now == before:
            return now
        before = now
    raise StorageError(f"{store.path(folder)} is rewritten all the time; try again")


def load(store: Store, environment: str, name: str) -> Segment:
    """Read a segment; `DamagedFileError` where it is missing, altered, or of a newer version."""
    path = f"{HISTORY}/{environment}/{name}"
    content = store.read(path)
    match = _SEGMENT.match(name)
    if match is None or checksum(content) != match["sum"]:
        raise DamagedFileError(f"{store.path(path)} is not what was written: its checksum differs")
    try:
        metadata = pq.read_schema(in_arrow(content)).metadata or {}
        version = int(metadata[b"hasivu_history_version"])
        if version > VERSION:
            raise DamagedFileError(f"{store.path(path)} has history version {version}; this program reads {VERSION}")
        runs = _RUNS.validate_json(metadata[b"hasivu_runs"])
        return Segment(name, runs, frozenset(json.loads(metadata[b"hasivu_replaces"])), content)
    except (pa.ArrowInvalid, OSError, KeyError, ValueError, ValidationError) as error:
        raise DamagedFileError(f"{store.path(path)} is not a segment of history: {error}") from error


def write(
    store: Store, environment: str, runs: Sequence[HistoryRun], rows: pa.Table, replaces: Collection[str]
) -> str:
    """Write a segment whole; return its name."""
    ordered = sorted(runs, key=lambda run: (run.started, run.run))
    metadata = {
        b"hasivu_history_version": str(VERSION).encode(),
        b"hasivu_runs": _RUNS.dump_json(tuple(ordered)),
        b"hasivu_replaces": json.dumps(sorted(replaces)).encode(),
    }
    sink = pa.BufferOutputStream()
    arranged = rows.sort_by([("metric", "ascending"), ("labels", "ascending")]).replace_schema_metadata(metadata)
    options: dict[str, Any] = {"compression": "zstd", "row_group_size": _ROW_GROUP}
    pq.write_table(arranged, sink, **options)
    content = sink.getvalue().to_pybytes()
    name = f"segment-{checksum(content)}.parquet"
    store.create(f"{HISTORY}/{environment}/{name}", content)  # one that is there already has this very content
    return name


def live(segments: Sequence[Segment]) -> list[Segment]:
    """Without those that another one replaces."""
    replaced = {name for segment in segments for name in segment.replaces}
    return [segment for segment in segments if segment.name not in replaced]


def drop(store: Store, environment: str, names: Collection[str]) -> None:
    """Remove segments that were replaced, or marks that were answered."""
    for name in sorted(names):
        store.remove(f"{HISTORY}/{environment}/{name}")


def of_runs(table: pa.Table, names: frozenset[str]) -> pa.Table:
    """The rows of some runs."""
    return among(table, "run", names)


def among(table: pa.Table, column: str, values: Collection[str]) -> pa.Table:
    """The rows whose text in a column is one of these."""
    wanted = pa.array(sorted(values), pa.string())
    return table.filter(pc.is_in(table.column(column), value_set=wanted))


def mark_changed(folder: RunFolder) -> None:
    """Say that a run changes, so that history reads it from its folder until it takes it up again.

    Each mark has a name of its own: one that comes while history takes the run up outlives that.
    """
    name = f"changed-{folder.run}-{secrets.token_hex(4)}.json"
    folder.store.write_json(f"{HISTORY}/{folder.environment}/{name}", {"run": folder.run})


def mark_if_judged(folder: RunFolder) -> bool:
    """The same for a run that has a report, so that history may have taken it up; whether it did."""
    judged = folder.store.exists(folder.orchestration("report.json"))
    if judged:
        mark_changed(folder)
    return judged


def retire(folder: RunFolder) -> None:
    """Say that a run's folder goes by retention, and that its rows stay."""
    folder.store.create_json(f"{HISTORY}/{folder.environment}/retired-{folder.run}.json", {"run": folder.run})
