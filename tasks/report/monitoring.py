"""What should be watched after a run: the alert limits that it was judged by, and how its figures stand to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from storage.records import Assessment, Report, Severity
from tasks.monitoring.watch.names import name_of
from tasks.monitoring.watch.rules import Rule, of_threshold
from tasks.report.figures import NOT_MEASURED, figure, seconds
from tasks.report.tables import not_measured
from tasks.report.text import clean
from tasks.report.words import SEVERITIES, Word

_CALM, _FIRES, _UNKNOWN = Word("good", "✓", "within"), Word("poor", "✗", "past it"), Word("none", "–", NOT_MEASURED)


@dataclass(frozen=True)
class AlertRow:
    """A condition that calls someone, and where this run's figure stands; `series` is its name on `/metrics`."""

    name: str
    metric: str
    series: str
    title: str
    severity: Word
    condition: str
    lasting: str
    value: str
    state: Word


def alert_rows(report: Report) -> tuple[AlertRow, ...]:
    """Every alert limit of the run's thresholds, the critical ones first."""
    return tuple(sorted(_rows(report), key=lambda row: row.severity != SEVERITIES[Severity.CRITICAL]))


def _rows(report: Report) -> Iterator[AlertRow]:
    for part in report.score.components:
        for assessment in part.assessments:
            for rule in of_threshold(assessment.threshold):
                yield _row(assessment, rule)


def _row(assessment: Assessment, rule: Rule) -> AlertRow:
    limits, measurement = assessment.threshold, assessment.measurement
    value = measurement.value if measurement else None
    past = value is not None and (value > rule.limit if rule.above else value < rule.limit)
    return AlertRow(
        name=rule.name,
        metric=limits.metric,
        series=name_of(limits),
        title=limits.title,
        severity=SEVERITIES[Severity(rule.severity)],
        condition=f"{'>' if rule.above else '<'} {figure(rule.limit, limits.unit)}",
        lasting=seconds(rule.for_s),
        value=figure(value, limits.unit, unlike=rule.limit),
        state=_UNKNOWN if value is None else _FIRES if past else _CALM,
    )


def blind_spots(report: Report) -> tuple[tuple[str, str], ...]:
    """What this run could not see, and so nobody would be called for."""
    return tuple((clean(what), clean(why)) for what, why in not_measured(report))


def firing(rows: Iterable[AlertRow]) -> int:
    """How many of the conditions hold in this run."""
    return sum(row.state == _FIRES for row in rows)
