"""The release gate, and the exit code that follows from it.

The gate is for a whole environment: score ≥ 85, no critical finding, every gated metric strictly within its limit,
no confirmed regression. It judges raw values; a missing value is `no_data`, which is no pass and goes before `fail`.
How strict it is, is the environment's profile (`GatePolicy`); for what fails somebody may answer (`Waiver`).

A run of chosen components (`quick`, one component alone) is no release gate: what it left out has no data, so its
gate can never pass. Its exit code answers for what was asked (`exit_code`): 3 where part of that was not measured,
1 where a check of it fails or its score misses the limit, else 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from storage.errors import ExitCode
from storage.records import (
    Attempt,
    ComponentId,
    ComponentResult,
    ComponentScore,
    Finding,
    Gate,
    GateCheck,
    GatePolicy,
    GateVerdict,
    Regression,
    Report,
    RunInfo,
    Score,
    Severity,
    Threshold,
    Waiver,
    WaiverState,
)
from tasks.judge.checks import (
    CRITICAL,
    REGRESSIONS,
    SCORE,
    critical_check,
    metric_check,
    regression_check,
    score_check,
)
from tasks.judge.coherence import ONE_TARGET, one_target
from tasks.judge.generators import LOAD_TRUST, load_trust, refused
from tasks.judge.limits import LIMITS, limits
from tasks.judge.score import grade_limit, total
from tasks.judge.waivers import in_force, uses, waived

SCORE_LIMIT = grade_limit("A")
"""The gate asks for grade A: a score of at least 85."""
STRICT = GatePolicy(score=SCORE_LIMIT)
"""The policy of whoever says nothing."""
SELF_TEST = "self_test"
"""Id of the check that `tasks.selftest` adds."""
PROTECTED = frozenset({CRITICAL, LIMITS, ONE_TARGET, LOAD_TRUST, SELF_TEST})
"""Checks that nobody can waive: all critical findings at once, and doubts about the evidence itself."""
ASKED = "components"
"""Key of `RunInfo.settings`: the components that this run was asked for, separated by commas."""


def gate(
    score: Score,
    results: Sequence[ComponentResult],
    thresholds: Sequence[Threshold],
    findings: Iterable[Finding],
    regressions: Sequence[Regression] = (),
    *,
    compared: int = 0,
    attempts: Sequence[Attempt] = (),
    indicative: bool = False,
    policy: GatePolicy = STRICT,
    waivers: Sequence[Waiver] = (),
    on: date = date.min,
) -> Gate:
    """The production checklist, check by check; `on` is the day by which waivers end.

    `compared` counts the metrics that were held against history or a baseline. Where it is 0 there is nothing to
    regress from: the check is left out, and `left_out` says so. So are checks of switched-off components. `attempts`
    say which target each part was measured on: parts of different builds never pass together. Figures of a load
    generator that does not trust itself are no data; indicative ones are data where `indicative` is set. Then
    nothing passes; but what failed by other components' figures has failed all the same.
    """
    current = in_force(waivers, on)
    findings = tuple(findings)
    critical = {one.id for one in findings if one.severity is Severity.CRITICAL}
    findings = tuple(one for one in findings if one.id not in current)
    checks = [score_check(score, policy.score), critical_check(score, findings, critical & current.keys())]
    assessed = {a.threshold.metric: a for c in score.components for a in c.assessments}
    off = switched_off(results)
    checks += [
        metric_check(threshold, threshold.gate, assessed.get(threshold.metric))
        for threshold in thresholds
        if threshold.gate is not None and threshold.metric.partition(".")[0] not in off
    ]
    if compared or regressions:
        checks.append(regression_check(regressions, compared))
    further = (
        limits(policy, thresholds, score, off),
        one_target(results, attempts),
        load_trust(results, indicative=indicative),
    )
    checks += [check for check in further if check is not None]
    checks = [waived(check, current, PROTECTED) for check in checks]
    doubted = refused(results, indicative=indicative)
    return Gate(
        verdict=_verdict_of(checks, doubted, findings),
        checks=tuple(checks),
        policy=policy,
        waivers=uses(waivers, on, checks, critical, PROTECTED),
    )


def again(report: Report, policy: GatePolicy, further: GateCheck | None = None) -> Gate:
    """The gate of a report by another policy, with the values that its checks have, and perhaps a further check."""
    score = report.score
    checks = [
        score_check(score, policy.score) if check.id == SCORE and check.limit != policy.score else check
        for check in report.gate.checks
    ]
    checks += [further] if further else []
    trusted = next((check.verdict is not GateVerdict.NO_DATA for check in checks if check.id == LOAD_TRUST), True)
    doubted = frozenset() if trusted else refused(report.components, indicative=True)
    verdict = _verdict_of(checks, doubted, report.findings)
    return report.gate.model_copy(update={"verdict": verdict, "checks": tuple(checks), "policy": policy})


def _verdict_of(checks: Sequence[GateCheck], doubted: frozenset[str], findings: Sequence[Finding]) -> GateVerdict:
    """The worst of what counts: what is waived does not, and doubted load hides no failure of other components."""
    counting = [check for check in checks if not check.waived]
    failed = any(check.verdict is GateVerdict.FAIL and _is_firm(check, doubted, findings) for check in counting)
    return _worst(check.verdict for check in counting if not (failed and check.id == LOAD_TRUST))


def _is_firm(check: GateCheck, doubted: frozenset[str], findings: Sequence[Finding]) -> bool:
    """Whether a check says what it says without the figures of generators that are doubted."""
    if check.id == CRITICAL:
        return any(one.severity is Severity.CRITICAL and one.component.value not in doubted for one in findings)
    return "." in check.id and check.id.partition(".")[0] not in doubted


def left_out(
    results: Sequence[ComponentResult], thresholds: Sequence[Threshold], *, compared: int = 0
) -> tuple[str, ...]:
    """One sentence for each check that this gate does not hold, and why."""
    off = switched_off(results)
    sentences = [
        f"{threshold.title} is not checked: {threshold.metric.partition('.')[0]} is switched off"
        for threshold in thresholds
        if threshold.gate is not None and threshold.metric.partition(".")[0] in off
    ]
    if not compared:
        sentences.append("Regressions are not checked: no earlier run was compared, so there is no baseline")
    return tuple(sentences)


def switched_off(results: Iterable[ComponentResult]) -> frozenset[str]:
    """Names of the components that the environment's file turned off."""
    return frozenset(r.component.value for r in results if r.status == "skipped" and r.switched_off)


def asked_components(info: RunInfo, score: Score) -> frozenset[ComponentId]:
    """The components with weight that the run was asked for; all of them where the run does not say."""
    weighted = {part.component for part in score.components}
    named = {name.strip() for name in info.settings.get(ASKED, "").split(",")}
    asked = frozenset(component for component in weighted if component.value in named)
    return asked or frozenset(weighted)


def is_release_gate(info: RunInfo, score: Score) -> bool:
    """Whether the run was asked for everything that the environment has."""
    return asked_components(info, score) == {part.component for part in score.components}


def asked_score(report: Report) -> float:
    """The score of the components that were asked for, as if there were no others."""
    return total(_asked(report))


def asked_checks(report: Report) -> tuple[GateCheck, ...]:
    """The gate's checks that speak of what was asked: all of them, or in a run of chosen components theirs.

    In the latter the score's check has no data by construction, and that of critical findings answers only where
    there are some.
    """
    if is_release_gate(report.info, report.score):
        return report.gate.checks
    names = {component.value for component in asked_components(report.info, report.score)}
    return tuple(check for check in report.gate.checks if _speaks_of(check, names))


def exit_code(report: Report) -> ExitCode:
    """0 pass, 1 gate failed, 3 something that was asked for could not be measured (goes before 1).

    Under a profile that does not block, 1 becomes 0: the words still say that checks fail. 3 stays 3.
    """
    whole = is_release_gate(report.info, report.score)
    checks = [check for check in asked_checks(report) if not check.waived]
    verdict = report.gate.verdict if whole else _worst(check.verdict for check in checks)
    asked = _asked(report)
    incomplete = not asked or any(part.score is None or not _whole(part) for part in asked)
    if incomplete or verdict is GateVerdict.NO_DATA:
        return ExitCode.INCOMPLETE
    low = asked_score(report) < report.gate.policy.score and not _is_waived(report, SCORE)
    if report.gate.policy.blocks and (verdict is GateVerdict.FAIL or low):
        return ExitCode.GATE_FAILED
    return ExitCode.PASS


def _is_waived(report: Report, check: str) -> bool:
    return any(use.state is WaiverState.HONOURED and use.waiver.check == check for use in report.gate.waivers)


def _asked(report: Report) -> tuple[ComponentScore, ...]:
    wanted = asked_components(report.info, report.score)
    return tuple(part for part in report.score.components if part.component in wanted)


def _whole(part: ComponentScore) -> bool:
    return all(a.score is not None for a in part.assessments if a.threshold.weight > 0)


def _speaks_of(check: GateCheck, names: set[str]) -> bool:
    if check.id == CRITICAL:
        return check.verdict is not GateVerdict.NO_DATA
    return check.id in (REGRESSIONS, ONE_TARGET, LOAD_TRUST, LIMITS, SELF_TEST) or check.id.partition(".")[0] in names


def _worst(verdicts: Iterable[GateVerdict]) -> GateVerdict:
    seen = set(verdicts)
    order = (GateVerdict.NO_DATA, GateVerdict.FAIL, GateVerdict.PASS)
    return next((verdict for verdict in order if verdict in seen), GateVerdict.PASS)
