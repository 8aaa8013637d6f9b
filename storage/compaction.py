"""Takes runs up into segments of history, and merges segments; see `storage.segments` for why nothing is lost.

Only runs at rest are taken up: judged, undamaged, not being removed. A crash between any two steps leaves what was
there before or more of the same: a segment counts once it lies there whole, and what it replaces is removed after.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from storage import segments
from storage.history import History, open_history
from storage.history_records import HistoryRun
from storage.parquet import Store
from storage.runs import RunFolder

LEAST = 16
"""How many runs wait in their folders before they are taken up."""
MOST_SEGMENTS = 8
"""How many segments lie beside each other before they are merged."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """What was done: runs taken up, segments merged into one, and what could not be read, by name."""

    taken_up: tuple[str, ...]
    merged: int
    left_out: dict[str, str]


def compact(store: Store, environment: str, *, least: int = LEAST) -> Compacted:
    """Take up the runs that lie only in their folders, if there are at least so many, and merge where there are many.

    A damaged segment stays where it is: somebody may mend it.
    """
    before = segments.listing(store, environment)  # a mark that comes after this outlives it
    history = open_history(store, environment)
    waiting = _at_rest(history)
    merge = list(history.segments) if len(history.segments) >= MOST_SEGMENTS else []
    if len(waiting) < max(least, 1) and not merge:
        return Compacted((), 0, dict(history.left_out))
    taken = [run.model_copy(update={"revision": _revision(history, run.run)}) for run in waiting]
    runs, tables = list(taken), [history.rows(runs=waiting)] if waiting else []
    for segment in merge:  # with the runs whose folders are gone: they may come back
        fresh = {run.run for run in waiting}
        kept = [run for run in segment.runs if history.owners[run.run][0] is segment and run.run not in fresh]
        runs += kept
        tables.append(segments.of_runs(segment.rows(), frozenset(run.run for run in kept)))
    replaced = {segment.name for segment in merge}
    written = segments.write(store, environment, runs, pa.concat_tables(tables), replaced)
    segments.drop(store, environment, replaced - {written})
    segments.drop(store, environment, {mark for run in taken for mark in before.changed.get(run.run, ())})
    return Compacted(tuple(run.run for run in taken), len(merge), dict(history.left_out))


def retire(store: Store, environment: str, runs: list[str]) -> dict[str, str]:
    """Before retention removes folders: keep the runs' measurements in history; says where that was not possible."""
    if not runs:
        return {}
    compact(store, environment, least=1)
    history = open_history(store, environment)
    problems = {}
    for run in runs:
        if run in history.owners and run not in history.loose:
            segments.retire(RunFolder(store, environment, run))
        else:
            why = next((text for name, text in history.left_out.items() if name.partition("/")[0] == run), "")
            problems[run] = why or "it was never judged"
    return problems


def _at_rest(history: History) -> list[HistoryRun]:
    """Runs read from their folders that will not change by themselves."""
    damaged = {name.partition("/")[0] for name in history.left_out}
    return [run for run in history.runs if run.run in history.loose and run.judged and run.run not in damaged]


def _revision(history: History, run: str) -> int:
    known = history.owners.get(run)
    return known[1].revision + 1 if known else 0
