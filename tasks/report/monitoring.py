"""What should be watched after a run: the alert limits that it was judged by, and how its figures stand to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from storage.records import AlertLevel, Assessment, Report, Severity
from tasks.report.figures import NOT_MEASURED, figure, seconds
from tasks.report.tables import not_measured
from tasks.report.text import clean
from tasks.report.words import SEVERITIES, Word

_CALM, _FIRES, _UNKNOWN = Word("good", "✓", "within"), Word("poor", "✗", "past it"), Word("none", "–", NOT_MEASURED)


@dataclass(frozen=True)
class AlertRow:
    """A condition that calls someone, and where this run's figure stands."""

    metric: str
    title: str
    severity: Word
    condition: str
    lasting: str
    value: str
    state: Word


def alert_rows(report: Report) -> tuple[AlertRow, ...]:
    """Every alert limit of the run's thresholds, the critical ones first."""
    rows = [_row(*one) for one in _levels(report)]
    return tuple(sorted(rows, key=lambda row: row.severity != SEVERITIES[Severity.CRITICAL]))


def _levels(report: Report) -> Iterator[tuple[Assessment, Severity, AlertLevel, bool]]:
    for part in report.score.components:
        for assessment in part.assessments:
            for severity, level, above in assessment.threshold.alerts:
                yield assessment, severity, level, above


def _row(assessment: Assessment, severity: Severity, level: AlertLevel, above: bool) -> AlertRow:  # noqa: FBT001 - private
    limits, measurement = assessment.threshold, assessment.measurement
    value = measurement.value if measurement else None
    return AlertRow(
        metric=limits.metric,
        title=limits.title,
        severity=SEVERITIES[severity],
        condition=f"{'>' if above else '<'} {figure(level.limit, limits.unit)}",
        lasting=seconds(level.for_s),
        value=figure(value, limits.unit, unlike=level.limit),
        state=_UNKNOWN if value is None else _FIRES if _past(value, level.limit, above) else _CALM,
    )


def _past(value: float, limit: float, above: bool) -> bool:  # noqa: FBT001 - private
    return value > limit if above else value < limit


def blind_spots(report: Report) -> tuple[tuple[str, str], ...]:
    """What this run could not see, and so nobody would be called for."""
    return tuple((clean(what), clean(why)) for what, why in not_measured(report))


def firing(rows: Iterable[AlertRow]) -> int:
    """How many of the conditions hold in this run."""
    return sum(row.state == _FIRES for row in rows)
