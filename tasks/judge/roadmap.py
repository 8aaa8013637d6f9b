"""The order of work: findings by severity, impact and effort, spread over three months."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from storage.records import (
    ComponentResult,
    FailedComponent,
    Finding,
    Level,
    Measurement,
    PredictedChange,
    Remedy,
    RoadmapItem,
    Score,
    Severity,
    Unit,
)
from tasks.judge.dependencies import Before, prerequisites
from tasks.judge.rescore import Outcome, counts, rescored_with, wholes

Month = Literal[1, 2, 3]

_SEVERITY = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 2}
_LEVEL = {Level.HIGH: 0, Level.MEDIUM: 1, Level.LOW: 2}


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The most useful first: severest, then of most impact, then of least effort; ties by id."""
    return tuple(sorted(findings, key=lambda f: (_SEVERITY[f.severity], _LEVEL[f.impact], -_LEVEL[f.effort], f.id)))


def top_actions(findings: Iterable[Finding], n: int = 3) -> tuple[Finding, ...]:
    """The first `n` findings of the order of work."""
    return ordered(findings)[:n]


def roadmap(
    findings: Iterable[Finding], outcome: Score | None = None, measurements: Iterable[Measurement] = ()
) -> tuple[RoadmapItem, ...]:
    """Every finding in its month, in order, with the score after each step where `outcome` is the run's score.

    Month 1: what is critical, and quick wins (high impact at low effort). Month 2: the other warnings. Month 3:
    what costs much for little, and mere information. What another step waits for (`tasks.judge.dependencies`) goes
    before it, and into its month where that is earlier. The score after a step is that of the run re-scored with all
    predictions up to it (`tasks.judge.rescore`), never a sum; `measurements` are those of its parts.
    """
    known = ordered(findings)
    before = prerequisites(known)
    months = _months(known, before)
    steps = [(one, month, before[one.id]) for one, month in months]
    if outcome is None:
        return tuple(_item(*step) for step in steps)
    items: list[RoadmapItem] = []
    so_far: list[PredictedChange] = []
    parts = wholes(measurements)
    after = rescored_with(outcome, so_far)
    for one, month, its in steps:
        own = [change for change in one.remedy.predicted if counts(outcome, change, parts)]
        if own:
            so_far += own
            after = rescored_with(outcome, so_far, parts)
        items.append(_item(one, month, its, after, predicted=bool(own)))
    return tuple(items)


def _months(findings: Sequence[Finding], before: Mapping[str, Before]) -> list[tuple[Finding, Month]]:
    """Every finding once, in the order of work, with its month: whatever waits comes after what it waits for.

    Findings may share an id: two indexes on the same columns, of which one includes more.
    """
    by_id: dict[str, list[Finding]] = {}
    for one in findings:
        by_id.setdefault(one.id, []).append(one)
    placed: dict[str, Month] = {}

    def place(name: str, month: Month) -> None:
        if name in placed:
            return
        for earlier in before[name].ids:
            place(earlier, month)
        placed[name] = month

    for one in sorted(findings, key=_month):
        place(one.id, _month(one))
    return [(one, month) for name, month in placed.items() for one in by_id[name]]


def _item(
    finding: Finding,
    month: Month,
    before: Before,
    after: Outcome | None = None,
    *,
    predicted: bool = False,
) -> RoadmapItem:
    return RoadmapItem(
        month=month,
        finding=finding.id,
        title=finding.title,
        impact=finding.impact,
        effort=finding.effort,
        component=finding.component,
        waits_for=before.ids,
        why_after=before.why,
        score_after=after.score.value if after else None,
        score_interval=after.interval if after else None,
        predicted=predicted,
    )


def failure_findings(results: Sequence[ComponentResult], environment: str | None = None) -> tuple[Finding, ...]:
    """A failed component is a critical finding: nobody knows how that part of the platform does."""
    return tuple(_failure(result, environment) for result in results if result.status == "failed")


def _month(finding: Finding) -> Month:
    quick_win = finding.impact is Level.HIGH and finding.effort is Level.LOW
    if finding.severity is Severity.CRITICAL or (quick_win and finding.severity is Severity.WARNING):
        return 1
    costly = finding.effort is Level.HIGH and finding.impact is not Level.HIGH
    return 2 if finding.severity is Severity.WARNING and not costly else 3


def _failure(result: FailedComponent, environment: str | None) -> Finding:
    component = result.component
    evidence = Measurement(
        metric=f"{component.value}.collection.completed",
        value=None,
        unit=Unit.COUNT,
        n=0,
        source=f"collection, attempt {result.attempt}",
        note=result.error,
    )
    return Finding(
        id=f"{component.value}.not_measured:{component.value}",
        component=component,
        kind="not_measured",
        subject=component.value,
        title=f"The {component.value} component could not be measured",
        detail=result.error,
        severity=Severity.CRITICAL,
        impact=Level.HIGH,
        effort=Level.LOW,
        evidence=(evidence,),
        remedy=Remedy(
            summary="Find out what is missing, put it right, and run the failed stage again.",
            commands=(f"hasivu-perf doctor {environment}",) if environment else (),
        ),
    )
