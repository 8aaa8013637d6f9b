"""The measurements of every run of an environment, as one table that can be asked.

    history = open_history(Store(output), "staging")
    for series in history.series(metric="api.latency.p95"):
        …

What counts are the runs' own folders, in Parquet, each file proved by its checksum; segments (`storage.segments`)
only spare the reading of thousands of small files, and where one is damaged its runs are read from their folders. A
run that cannot be read, or whose folder somebody deleted, is left out and named in `left_out`; a clock that went
backwards is named in `notes`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from storage.errors import DamagedFileError, StorageError
from storage.history_records import HistoryRun, Series
from storage.history_rows import ROWS, labels_of, labels_text, read_run, rows_of
from storage.parquet import Store
from storage.records import Unit
from storage.runs import ANALYSIS, RunFolder, is_run_name
from storage.segments import HISTORY, Listing, Segment, among, listing, live, load, of_runs

Floats = npt.NDArray[np.float64]

__all__ = ["History", "HistoryRun", "Series", "open_history"]

_READERS = 8
_TRIES = 5
_AHEAD = timedelta(minutes=5)
"""How far in the future a run may have started before its clock is doubted."""


@dataclass(frozen=True)
class History:
    """What was there when it was opened: `runs` by when they started, the oldest first.

    `loose` names the runs that were read from their folders, `owners` the segment that speaks for each other one.
    """

    store: Store
    environment: str
    runs: tuple[HistoryRun, ...]
    left_out: Mapping[str, str]
    notes: tuple[str, ...]
    loose: frozenset[str]
    segments: tuple[Segment, ...] = field(repr=False)
    owners: Mapping[str, tuple[Segment, HistoryRun]] = field(repr=False)
    _sources: tuple[tuple[Segment, frozenset[str]], ...] = field(repr=False)
    _loose: pa.Table = field(repr=False)

    def metrics(self) -> list[str]:
        """Names of all metrics, sorted."""
        found = {str(name) for name in self._loose.column("metric").unique().to_pylist()}
        return sorted(found.union(*(segment.metrics() for segment, _ in self._sources)))

    def select(
        self,
        *,
        release: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        runs: Collection[str] | None = None,
    ) -> list[HistoryRun]:
        """Runs of a release, started from `since` to before `until`, or with these names."""
        return [
            run
            for run in self.runs
            if (release is None or run.release == release)
            and (since is None or run.started >= since)
            and (until is None or run.started < until)
            and (runs is None or run.run in runs)
        ]

    def rows(
        self,
        *,
        metric: str | None = None,
        component: str | None = None,
        labels: Mapping[str, str] | None = None,
        runs: Iterable[HistoryRun] | None = None,
    ) -> pa.Table:
        """Rows of `ROWS`: of a metric (`*` and `?` match), a component, a part, some runs.

        `labels` of `{}` are the component's own figures, None are all.
        """
        chosen = self.runs if runs is None else tuple(runs)
        names = frozenset(run.run for run in chosen)
        metrics = self._named(metric, component)
        tables = [of_runs(segment.rows(metrics), owned & names) for segment, owned in self._sources]
        loose = self._loose if metrics is None else among(self._loose, "metric", metrics)
        table = pa.concat_tables([*tables, loose if runs is None else among(loose, "run", names)])
        return (
            table
            if labels is None
            else table.filter(pc.equal(table.column("labels"), pa.scalar(labels_text(labels))))
        )

    def series(
        self,
        *,
        metric: str | None = None,
        component: str | None = None,
        labels: Mapping[str, str] | None = None,
        runs: Iterable[HistoryRun] | None = None,
    ) -> list[Series]:
        """The same rows as series, by metric and labels."""
        return _series(self.rows(metric=metric, component=component, labels=labels, runs=runs), self.runs)

    def series_with(self, run: HistoryRun, measured: pa.Table, earlier: Sequence[HistoryRun]) -> list[Series]:
        """Series of some earlier runs and of one more, whose measurements (`MEASUREMENTS`) are given."""
        table = pa.concat_tables([self.rows(runs=earlier), rows_of(run.run, measured)])
        return _series(table, [*earlier, run])

    def _named(self, metric: str | None, component: str | None) -> list[str] | None:
        """The names that are asked for; None for all of them."""
        if metric is None and component is None:
            return None
        if metric is not None and component is None and not set("*?[") & set(metric):
            return [metric]
        return [
            name
            for name in self.metrics()
            if (metric is None or fnmatchcase(name, metric))
            and (component is None or name.partition(".")[0] == component)
        ]


def open_history(store: Store, environment: str, *, now: datetime | None = None) -> History:
    """All runs of an environment as they are now; `StorageError` where the place itself cannot be read."""
    found, listed, damaged = _segments(store, environment)
    folders = frozenset(name for name in store.folders(f"{ANALYSIS}/{environment}") if is_run_name(name))
    kept = {run for segment in found for run in (one.run for one in segment.runs)}
    gone = {run for run in kept if run not in folders and run not in listed.retired}
    fresh = sorted(folders - (kept - listed.changed.keys()))
    read, left_out = _read(store, environment, fresh)
    left_out |= {run: f"its folder {store.path(f'{ANALYSIS}/{environment}/{run}')} is gone" for run in gone}
    left_out |= damaged
    owners = _owners(found)
    changed = set(fresh) & set(owners)  # read again from the folder, or damaged there
    sources = [(segment, _owned(segment, owners) - gone - changed) for segment in found]
    runs = [run for name, (_, run) in owners.items() if name not in gone | changed] + [run for run, _ in read]
    return History(
        store=store,
        environment=environment,
        runs=tuple(sorted(runs, key=lambda run: (run.started, run.run))),
        left_out=left_out,
        notes=_clock(runs, now or datetime.now(UTC)),
        loose=frozenset(run.run for run, _ in read),
        segments=tuple(found),
        owners=owners,
        _sources=tuple((segment, owned) for segment, owned in sources if owned),
        _loose=pa.concat_tables([ROWS.empty_table(), *(table for _, table in read)]),
    )


def _segments(store: Store, environment: str) -> tuple[list[Segment], Listing, dict[str, str]]:
    """Every segment that counts; where one vanishes meanwhile it was merged, and the place is listed anew."""
    for attempt in range(_TRIES):
        listed = listing(store, environment)
        found, damaged = [], {}
        for name in sorted(listed.segments):
            try:
                found.append(load(store, environment, name))
            except DamagedFileError as error:
                damaged[name] = str(error)
        missing = any(not store.exists(f"{HISTORY}/{environment}/{name}") for name in damaged)
        if not missing or attempt == _TRIES - 1:
            return live(found), listed, damaged
    raise StorageError(f"{store.path(HISTORY)} is rewritten all the time; try again")


def _owners(found: Sequence[Segment]) -> dict[str, tuple[Segment, HistoryRun]]:
    """Which segment speaks for a run: the one that took it up last."""
    owners: dict[str, tuple[Segment, HistoryRun]] = {}
    for segment in found:
        for run in segment.runs:
            other = owners.get(run.run)
            if other is None or _later(segment, run) > _later(*other):
                owners[run.run] = (segment, run)
    return owners


def _owned(segment: Segment, owners: Mapping[str, tuple[Segment, HistoryRun]]) -> frozenset[str]:
    return frozenset(run.run for run in segment.runs if owners[run.run][0] is segment)


def _later(segment: Segment, run: HistoryRun) -> tuple[int, int, str]:
    return run.attempt, run.revision, segment.name


def _read(
    store: Store, environment: str, names: Sequence[str]
) -> tuple[list[tuple[HistoryRun, pa.Table]], dict[str, str]]:
    """Runs from their folders, and why others are left out."""
    left_out: dict[str, str] = {}

    def read(name: str) -> tuple[HistoryRun, pa.Table] | None:
        try:
            run, table, damaged = read_run(RunFolder(store, environment, name))
        except DamagedFileError as error:
            left_out[name] = str(error)
            return None
        left_out.update(damaged)
        return run, table

    if not names:
        return [], left_out
    with ThreadPoolExecutor(_READERS, thread_name_prefix="history") as pool:
        return [one for one in pool.map(read, names) if one], left_out


def _clock(runs: Iterable[HistoryRun], now: datetime) -> tuple[str, ...]:
    notes = []
    for run in runs:
        notes += [f"{run.run}: {note}" for note in run.notes]
        if run.started > now + _AHEAD:
            when = f"{run.started:%Y-%m-%d %H:%M} UTC"
            notes.append(f"{run.run} started at {when}, which is yet to come: a clock is or was wrong")
    return tuple(notes)


def _series(table: pa.Table, runs: Sequence[HistoryRun]) -> list[Series]:
    """Rows as series: sorted by series and the place of the run, then cut where the series changes."""
    if table.num_rows == 0:
        return []
    place = {run.run: number for number, run in enumerate(runs)}
    run_codes, run_names = _coded(table, "run")
    order_of = np.array([place[name] for name in run_names])[run_codes]
    coded = [_coded(table, column) for column in ("metric", "labels", "unit")]
    codes = [codes for codes, _ in coded]
    order = np.lexsort((order_of, codes[2], codes[1], codes[0]))
    keys = np.stack([column[order] for column in codes])
    cuts = np.flatnonzero((np.diff(keys, axis=1) != 0).any(axis=0)) + 1
    values, low, high = (_floats(table, name)[order] for name in ("value", "interval_low", "interval_high"))
    n = table.column("n").to_numpy()[order]
    note_codes, note_texts = _coded(table, "note")
    note_codes, at = note_codes[order], order_of[order]
    found = []
    for start, end in zip([0, *cuts.tolist()], [*cuts.tolist(), len(order)], strict=True):
        metric, labels, unit = (names[keys[row, start]] for row, (_, names) in enumerate(coded))
        found.append(
            Series(
                metric=metric,
                labels=labels_of(labels),
                unit=Unit(unit),
                runs=tuple(runs[number] for number in at[start:end].tolist()),
                values=values[start:end],
                n=n[start:end],
                low=low[start:end],
                high=high[start:end],
                notes=tuple(note_texts[code] for code in note_codes[start:end].tolist()),
            )
        )
    return sorted(found, key=lambda series: (series.metric, labels_text(series.labels), series.unit))


def _coded(table: pa.Table, column: str) -> tuple[npt.NDArray[np.int64], list[str]]:
    """A column of texts as numbers, and the texts by number."""
    chunk: Any = table.column(column).combine_chunks()
    encoded: Any = pc.dictionary_encode(pc.fill_null(chunk, ""))
    return encoded.indices.to_numpy().astype(np.int64), [str(text) for text in encoded.dictionary.to_pylist()]


def _floats(table: pa.Table, column: str) -> Floats:
    """Null becomes NaN."""
    values: Floats = table.column(column).to_numpy().astype(np.float64)
    return values
