"""The order of findings: how severe, then what they are worth in dollars a month and in milliseconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from storage.records import Finding, Level, Measurement, Severity

_SEVERITY = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 2}
_LEVEL = {Level.HIGH: 0, Level.MEDIUM: 1, Level.LOW: 2}
_MS = ("lambda.duration.p95", "lambda.cold_start.p95")


def ranked(findings: Iterable[Finding], measurements: Sequence[Measurement]) -> list[Finding]:
    """The findings, the one to act on first at the head."""
    seen = {(each.metric, each.labels.get("function", "")): each.value for each in measurements}
    return sorted(findings, key=lambda each: _key(each, seen))


def _key(finding: Finding, seen: Mapping[tuple[str, str], float | None]) -> tuple[int, int, float, float, str]:
    dollars, ms = worth(finding, seen)
    return _SEVERITY[finding.severity], _LEVEL[finding.impact], -dollars, -ms, finding.id


def worth(finding: Finding, seen: Mapping[tuple[str, str], float | None]) -> tuple[float, float]:
    """Dollars a month and ms that its remedy is predicted to save; 0 where nothing is predicted."""
    dollars = ms = 0.0
    for change in finding.remedy.predicted:
        before = seen.get((change.metric, change.labels.get("function", "")))
        if before is None:
            continue
        if change.metric == "lambda.cost.month":
            dollars += before - change.value
        elif change.metric in _MS:
            ms += before - change.value
    return dollars, ms
