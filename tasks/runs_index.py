"""What each run of an environment came to, one small row a run, so that no page has to read every report.

    performance-orchestration-reports/<environment>/runs.json

The reports are the truth and the rows are made from them: a row that is missing (an older version wrote the run, or
two runs were published at the same moment) is made again from its report, the row of a removed run is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import Field, TypeAdapter, ValidationError

from storage.errors import DamagedFileError
from storage.parquet import Store
from storage.records import Count, EarlierRun, Finite, MetricName, Record, Report, RunInfo, Severity, Unit, Utc
from storage.runs import ORCHESTRATION, RunFolder, is_run_name
from tasks.judge.gate import ASKED, exit_code
from tasks.judge.score import display_grade

MOST_EARLIER = 12
"""Earlier runs that a report holds for its trend."""


class RowFigure(Record):
    """One figure of a run without labels: value, unit, samples, and its 95 % interval where one is known."""

    value: Finite
    unit: Unit
    n: Count
    interval: tuple[Finite, Finite] | None = None


class RunRow(Record):
    """One run in a list of runs."""

    run: str
    environment: str
    profile: str
    local: bool
    components: str = Field(description="the components that were asked for, separated by commas")
    load: Mapping[str, str]
    started: Utc
    release: str | None
    commit: str | None
    code_version: str
    score: Finite
    grade: str
    coverage: Finite
    verdict: str
    exit_code: int
    findings: Mapping[str, Count]
    figures: Mapping[MetricName, RowFigure]

    @property
    def kind(self) -> tuple[str, bool, str, tuple[tuple[str, str], ...]]:
        """What must be equal for two runs to be like with like."""
        return self.profile, self.local, self.components, tuple(sorted(self.load.items()))


@dataclass(frozen=True)
class Index:
    """The rows of an environment, the oldest first, and why runs that lie there are not among them."""

    rows: tuple[RunRow, ...]
    problems: Mapping[str, str] = field(default_factory=dict)


_ROWS = TypeAdapter(tuple[RunRow, ...])
_LOAD = ("users", "duration_s", "ramp_up_s", "pace_s")


def row_of(report: Report) -> RunRow:
    """The row of a report."""
    info, score = report.info, report.score
    measured = [m for part in report.components if part.status == "measured" for m in part.measurements]
    return RunRow(
        run=info.run,
        environment=info.environment,
        profile=info.profile,
        local=info.local,
        components=info.settings.get(ASKED, ""),
        load=_load_of(info),
        started=info.started,
        release=info.release,
        commit=info.commit,
        code_version=info.code_version,
        score=score.value,
        grade=display_grade(score),
        coverage=score.coverage,
        verdict=report.gate.verdict.value,
        exit_code=int(exit_code(report)),
        findings={one.value: sum(found.severity is one for found in report.findings) for one in Severity},
        figures={
            m.metric: RowFigure(value=m.value, unit=m.unit, n=m.n, interval=m.interval)
            for m in measured
            if not m.labels and m.value is not None
        },
    )


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
    kind = info.profile, info.local, info.settings.get(ASKED, ""), tuple(sorted(_load_of(info).items()))
    before = [
        row
        for row in read_index(store, info.environment).rows
        if row.kind == kind and row.started < info.started and row.run != info.run
    ]
    return tuple(
        EarlierRun.model_validate(row.model_dump(include=set(EarlierRun.model_fields)))
        for row in before[-MOST_EARLIER:]
    )


def _load_of(info: RunInfo) -> dict[str, str]:
    return {key: info.settings[key] for key in _LOAD if key in info.settings}


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
        return row_of(folder.report())
    except DamagedFileError as error:
        problems[folder.run] = str(error)
        return None
