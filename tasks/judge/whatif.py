"""Plays with a judged run: some remedies done, some metrics at other values, and what score and gate would say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from storage.errors import UsageError
from storage.records import Finding, GateCheck, GateVerdict, MeasuredComponent, PredictedChange, Report, Severity
from tasks.judge.checks import CRITICAL, SCORE
from tasks.judge.rescore import Outcome, counts, possible, rescored_with, wholes

EVERYTHING = "all"


@dataclass(frozen=True)
class Step:
    """One remedy or setting, with the score once it and all before it are done; `note` where it moves nothing."""

    key: str
    title: str
    after: Outcome
    note: str = ""


@dataclass(frozen=True)
class WhatIf:
    """The answer: step by step, the whole set at once, and the gate's checks with the values they would have."""

    run: str
    before: float
    steps: tuple[Step, ...]
    after: Outcome
    checks: tuple[tuple[GateCheck, GateCheck], ...]


def whatif(report: Report, do: Sequence[str], values: Mapping[str, float] | None = None) -> WhatIf:
    """What the run's score and gate would be with the findings of `do` remedied and metrics set to `values`.

    `do` holds ids of findings, unambiguous parts of ids, or `all`. A value that is set is taken as it is, whatever
    remedies predict of that metric. Raises `UsageError` for what the run does not hold.
    """
    chosen = chosen_findings(report, do)
    measured = [part for part in report.components if isinstance(part, MeasuredComponent)]
    parts = wholes(one for part in measured for one in part.measurements)
    settings = [_setting(report, metric, value) for metric, value in (values or {}).items()]
    fixed = {one.metric for one in settings}
    steps: list[Step] = []
    changes: list[PredictedChange] = []
    for finding in chosen:
        own = [
            one for one in finding.remedy.predicted if counts(report.score, one, parts) and one.metric not in fixed
        ]
        changes += own
        note = "" if own else _why_none(finding)
        steps.append(Step(finding.id, finding.title, rescored_with(report.score, changes, parts), note))
    for one in settings:
        changes.append(one)
        steps.append(Step(one.metric, f"{one.metric} = {one.value:g}", rescored_with(report.score, changes, parts)))
    after = rescored_with(report.score, changes, parts)
    return WhatIf(report.info.run, report.score.value, tuple(steps), after, _checks(report, chosen, after))


def chosen_findings(report: Report, do: Sequence[str]) -> list[Finding]:
    """The findings that are meant, in the order of the roadmap, each once."""
    order = {item.finding: place for place, item in enumerate(report.roadmap)}
    meant = [one for name in do for one in _meant(report, name)]
    return sorted({one.id: one for one in meant}.values(), key=lambda one: order.get(one.id, len(order)))


def _meant(report: Report, name: str) -> list[Finding]:
    if name == EVERYTHING:
        return list(report.findings)
    exact = [one for one in report.findings if one.id == name]
    found = exact or [one for one in report.findings if name in one.id]
    if len({one.id for one in found}) > 1:
        raise UsageError(f"--do {name} means {len(found)} findings: {', '.join(one.id for one in found[:8])}")
    if not found:
        known = ", ".join(one.id for one in report.findings[:8]) or "it has none"
        raise UsageError(f"--do {name}: run {report.info.run} has no such finding; the first are {known}")
    return found


def _setting(report: Report, metric: str, value: float) -> PredictedChange:
    known = {one.threshold.metric: one for part in report.score.components for one in part.assessments}
    if metric not in known:
        raise UsageError(f"--metric {metric}: no such metric; metrics are {', '.join(known)}")
    if known[metric].score is None:
        raise UsageError(f"--metric {metric}: it was not measured in run {report.info.run}, so nothing can change it")
    if value != possible(known[metric].threshold, value):
        raise UsageError(f"--metric {metric}={value:g}: there is no such value; ratios are 0..1")
    return PredictedChange(metric=metric, value=value, interval=(value, value), how="set by hand")


def _why_none(finding: Finding) -> str:
    if not finding.remedy.predicted:
        return "predicts nothing"
    return "predicts figures of parts alone, which do not weigh in the score"


def _checks(report: Report, chosen: Sequence[Finding], after: Outcome) -> tuple[tuple[GateCheck, GateCheck], ...]:
    values: dict[str, float] = {metric: patch.value for metric, patch in after.patches.items()}
    values[SCORE] = after.score.value
    done = {one.id for one in chosen}
    left = sum(one.severity is Severity.CRITICAL and one.id not in done for one in report.findings)
    values[CRITICAL] = left
    return tuple((check, _check(check, values)) for check in report.gate.checks)


def _check(check: GateCheck, values: Mapping[str, float]) -> GateCheck:
    """The check with its new value; what had no data has none still."""
    if check.verdict is GateVerdict.NO_DATA or check.id not in values:
        return check
    value = values[check.id]
    passed = {
        "<": value < check.limit,
        ">": value > check.limit,
        ">=": value >= check.limit,
        "==": value == check.limit,
    }[check.comparison]
    changed = {"value": value, "verdict": GateVerdict.PASS if passed else GateVerdict.FAIL}
    return check if value == check.value else check.model_copy(update={**changed, "detail": "predicted"})
