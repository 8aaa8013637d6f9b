"""The rows of the gate: raw values held strictly against limits; a missing value is `no_data`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from storage.records import (
    Assessment,
    Direction,
    Finding,
    GateCheck,
    GateVerdict,
    Regression,
    Score,
    Severity,
    Threshold,
    Unit,
)
from tasks.judge.score import truncated

SCORE, CRITICAL, REGRESSIONS = "score", "critical_findings", "confirmed_regressions"
"""Ids of the checks that are no metric; a metric's check is called as the metric."""


def score_check(score: Score, limit: float) -> GateCheck:
    """Whether the score reaches the limit; an incomplete one is not known."""
    known = not score.partial and bool(score.components)
    detail = (
        ""
        if known
        else f"{truncated(score.value)} at a coverage of {score.coverage * 100:.3g} %: the rest is not known"
    )
    return GateCheck(
        id=SCORE,
        title="Score",
        value=score.value if known else None,
        limit=limit,
        unit=Unit.SCORE,
        comparison=">=",
        verdict=held(score.value >= limit) if known else GateVerdict.NO_DATA,
        detail=detail,
    )


def critical_check(score: Score, findings: Iterable[Finding], answered: Collection[str]) -> GateCheck:
    """None found among everything passes; none found where not all was looked at is not known.

    `answered` are ids of critical findings that somebody answers for: they are not among `findings`.
    """
    critical = sum(finding.severity is Severity.CRITICAL for finding in findings)
    absent = [part.component.value for part in score.components if part.score is None]
    unknown = critical == 0 and (bool(absent) or not score.components)
    return GateCheck(
        id=CRITICAL,
        title="Critical findings",
        value=None if unknown else critical,
        limit=0,
        unit=Unit.COUNT,
        comparison="==",
        verdict=GateVerdict.NO_DATA if unknown else held(critical == 0),
        detail="; ".join(
            part
            for part in (
                f"not measured: {', '.join(absent)}" if absent else "",
                f"waived: {', '.join(sorted(answered))}" if answered else "",
            )
            if part
        ),
    )


def metric_check(threshold: Threshold, limit: float, assessment: Assessment | None) -> GateCheck:
    """Whether a metric is strictly within its limit."""
    measurement = assessment.measurement if assessment and assessment.score is not None else None
    value = measurement.value if measurement else None
    lower = threshold.direction is Direction.LOWER
    if measurement is None or value is None:
        verdict, detail = GateVerdict.NO_DATA, assessment.reason if assessment else "not assessed"
    else:
        verdict = held(value < limit if lower else value > limit)
        detail = f"n {measurement.n:,}, {measurement.source}"
    return GateCheck(
        id=threshold.metric,
        title=threshold.title,
        value=value,
        limit=limit,
        unit=threshold.unit,
        comparison="<" if lower else ">",
        verdict=verdict,
        detail=detail,
    )


def regression_check(regressions: Sequence[Regression], compared: int) -> GateCheck:
    """Whether no metric has become worse for certain."""
    confirmed = [regression.metric for regression in regressions if regression.confirmed]
    return GateCheck(
        id=REGRESSIONS,
        title="Confirmed regressions",
        value=len(confirmed),
        limit=0,
        unit=Unit.COUNT,
        comparison="==",
        verdict=held(not confirmed),
        detail=f"among {max(compared, len(regressions))} metrics compared",
    )


def held(passed: bool) -> GateVerdict:  # noqa: FBT001 - the name of the function says what it means
    """Pass or fail."""
    return GateVerdict.PASS if passed else GateVerdict.FAIL
