"""The order of work: findings by severity, impact and effort, spread over three months."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from storage.records import (
    ComponentResult,
    FailedComponent,
    Finding,
    Level,
    Measurement,
    Remedy,
    RoadmapItem,
    Severity,
    Unit,
)

_SEVERITY = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 2}
_LEVEL = {Level.HIGH: 0, Level.MEDIUM: 1, Level.LOW: 2}


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The most useful first: severest, then of most impact, then of least effort; ties by id."""
    return tuple(sorted(findings, key=lambda f: (_SEVERITY[f.severity], _LEVEL[f.impact], -_LEVEL[f.effort], f.id)))


def top_actions(findings: Iterable[Finding], n: int = 3) -> tuple[Finding, ...]:
    """The first `n` findings of the order of work."""
    return ordered(findings)[:n]


def roadmap(findings: Iterable[Finding]) -> tuple[RoadmapItem, ...]:
    """Every finding in its month, in order.

    Month 1: what is critical, and quick wins (high impact at low effort). Month 2: the other warnings. Month 3:
    what costs much for little, and mere information.
    """
    items = [
        RoadmapItem(month=_month(f), finding=f.id, title=f.title, impact=f.impact, effort=f.effort)
        for f in ordered(findings)
    ]
    return tuple(sorted(items, key=lambda item: item.month))


def failure_findings(results: Sequence[ComponentResult], environment: str | None = None) -> tuple[Finding, ...]:
    """A failed component is a critical finding: nobody knows how that part of the platform does."""
    return tuple(_failure(result, environment) for result in results if result.status == "failed")


def _month(finding: Finding) -> Literal[1, 2, 3]:
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
