"""What each run of an environment came to, one small row a run, so that no page has to read every report.

    performance-orchestration-reports/<environment>/runs.json

The reports are the truth and the rows are made from them: a row that is missing (an older version wrote the run, or
two runs were published at the same moment) is made again from its report, the row of a removed run is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from storage.errors import DamagedFileError
from storage.parquet import Store
from storage.records import EarlierRun, Report, RunInfo
from storage.runs import ORCHESTRATION, RunFolder, is_run_name
from tasks.report.run_row import RunRow, kind_of, row_of

MOST_EARLIER = 12
"""Earlier runs that a report holds for its trend."""


@dataclass(frozen=True)
class Index:
    """The rows of an environment, the oldest first, and why runs that lie there are not among them."""

    rows: tuple[RunRow, ...]
    problems: Mapping[str, str] = field(default_factory=dict)


_ROWS = TypeAdapter(tuple[RunRow, ...])


def index_name(environment: str) -> str:
    """Where the rows of an environment lie."""
    return f"{ORCHESTRATION}/{environment}/runs.json"


def read_index(store: Store, environment: str) -> Index:
    """The rows of every run that has a report."""
    known = {row.run: row for row in _stored(store, environment)}
    rows: list[RunRow] = []
    problems: dict[str, str] = {}
    for run in store.folders(f"{ORCHESTRATION}/{environment}"):
        if run in known:
            rows.append(known[run])
        elif is_run_name(run):
            made = _from_report(RunFolder(store, environment, run), problems)
            rows += [made] if made else []
    return Index(tuple(sorted(rows, key=lambda row: (row.started, row.run))), problems)


def renewed(store: Store, report: Report) -> Index:
    """The rows with that of `report` in its place, written down."""
    found = read_index(store, report.info.environment)
    others = [row for row in found.rows if row.run != report.info.run]
    rows = tuple(sorted((*others, row_of(report)), key=lambda row: (row.started, row.run)))
    store.write(index_name(report.info.environment), _ROWS.dump_json(rows) + b"\n")
    return Index(rows, found.problems)


def earlier_runs(store: Store, info: RunInfo) -> tuple[EarlierRun, ...]:
    """The newest runs that are like with like and began before this one, the oldest first."""
    kind = kind_of(info)
    before = [
        row
        for row in read_index(store, info.environment).rows
        if row.kind == kind and row.started < info.started and row.run != info.run
    ]
    return tuple(
        EarlierRun.model_validate(row.model_dump(include=set(EarlierRun.model_fields)))
        for row in before[-MOST_EARLIER:]
    )


def _stored(store: Store, environment: str) -> tuple[RunRow, ...]:
    """The rows as they were written; none where there are none yet, or not such that this version reads them."""
    name = index_name(environment)
    if not store.exists(name):
        return ()
    try:
        return _ROWS.validate_json(store.read(name))
    except (ValidationError, DamagedFileError):
        return ()


def _from_report(folder: RunFolder, problems: dict[str, str]) -> RunRow | None:
    """None where the run has no report (yet), or a damaged one: then `problems` says so."""
    if not folder.store.exists(folder.orchestration("report.json")):
        return None
    try:
        row = row_of(folder.report())
    except DamagedFileError as error:
        problems[folder.run] = str(error)
        return None
    if (row.environment, row.run) != (folder.environment, folder.run):
        problems[folder.run] = f"its report is that of run {row.run} of {row.environment}"
        return None
    return row
