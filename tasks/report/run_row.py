"""A run in a list of runs: what it came to, small enough that a page can hold hundreds of them."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from storage.records import Count, Finite, MetricName, Record, Report, RunInfo, Severity, Unit, Utc
from tasks.judge.gate import ASKED, exit_code
from tasks.judge.score import display_grade
from tasks.report.words import verdict_sentence

Kind = tuple[str, bool, str, tuple[tuple[str, str], ...]]
"""Profile, whether embedded, components, load: what two runs that are like with like have in common."""

_LOAD = ("users", "duration_s", "ramp_up_s", "pace_s")


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
    sentence: str
    score: Finite
    grade: str
    coverage: Finite
    verdict: str
    exit_code: int
    findings: Mapping[str, Count]
    figures: Mapping[MetricName, RowFigure]

    @property
    def kind(self) -> Kind:
        """What must be equal for two runs to be like with like."""
        return self.profile, self.local, self.components, tuple(sorted(self.load.items()))


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
        sentence=verdict_sentence(report),
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


def kind_of(info: RunInfo) -> Kind:
    """The kind of a run that has no row yet."""
    return info.profile, info.local, info.settings.get(ASKED, ""), tuple(sorted(_load_of(info).items()))


def _load_of(info: RunInfo) -> dict[str, str]:
    return {key: info.settings[key] for key in _LOAD if key in info.settings}
