"""Judges what was measured and puts it together: the one Report that every rendering is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from storage.records import (
    Attempt,
    ComponentId,
    ComponentResult,
    EarlierRun,
    GatePolicy,
    MeasuredComponent,
    Regression,
    Report,
    RunInfo,
    Score,
    Threshold,
    Timeline,
    Trust,
    Verification,
    Waiver,
)
from tasks.judge.calibrate import calibrations
from tasks.judge.causes import hints
from tasks.judge.coherence import one_target, unknown_target
from tasks.judge.explain import explained
from tasks.judge.freshness import fresh
from tasks.judge.gate import STRICT, asked_components, gate, is_release_gate, left_out
from tasks.judge.roadmap import failure_findings, ordered, roadmap
from tasks.judge.score import score
from tasks.judge.verify import with_ledger
from tasks.judge.waivers import sentence
from tasks.report.words import TITLES, title_list


def build(
    info: RunInfo,
    results: Sequence[ComponentResult],
    thresholds: Sequence[Threshold],
    weights: Mapping[ComponentId, float],
    regressions: Sequence[Regression] = (),
    *,
    compared: int = 0,
    attempts: Sequence[Attempt] = (),
    notes: Sequence[str] = (),
    indicative: bool = False,
    timelines: Sequence[Timeline] = (),
    earlier: Sequence[EarlierRun] = (),
    policy: GatePolicy = STRICT,
    waivers: Sequence[Waiver] = (),
    on: date | None = None,
    ledger: Sequence[Verification] = (),
    verifications: Sequence[Verification] = (),
    previous: Report | None = None,
) -> Report:
    """The report of a run. Pure: the same inputs give the same report.

    `compared` counts the metrics that were held against history or a baseline; 0 says that there was none, and the
    gate then leaves the check of regressions out. `attempts` are all goes at measuring this run; `indicative`
    says that the gate takes load figures which are no more than that; `policy` is how strict it is; `on` is the day
    by which waivers end, by default that of the run; `notes` go before the report's own; `timelines` and `earlier`
    are kept as they are. `ledger` is what was verified before, which corrects predictions; `verifications` is
    what this run verified; `previous` is a run like this one before it, for hints of what changed together.
    """
    arranged = tuple(fresh(info, result) for result in _arranged(results))
    outcome = explained(score(arranged, thresholds, weights))
    known = calibrations(ledger)
    figures = [one for result in _measured(arranged) for one in result.measurements]
    advised = [finding for result in _measured(arranged) for finding in result.findings]
    found = with_ledger(advised, figures, known)
    findings = ordered([*found, *failure_findings(arranged, info.environment)])
    judged = gate(
        outcome,
        arranged,
        thresholds,
        findings,
        regressions,
        compared=compared,
        attempts=attempts,
        indicative=indicative,
        policy=policy,
        waivers=waivers,
        on=on or info.started.date(),
    )
    return Report(
        info=info,
        components=arranged,
        score=outcome,
        gate=judged,
        findings=findings,
        roadmap=roadmap(findings, outcome, figures),
        regressions=tuple(regressions),
        attempts=tuple(attempts),
        notes=(
            *_scope(info, outcome),
            *_policy(policy),
            *map(sentence, judged.waivers),
            *_absent(arranged, outcome),
            *notes,
            *left_out(arranged, thresholds, compared=compared),
            *unknown_target(one_target(arranged, attempts), attempts),
            *_mixed(arranged),
            *_untrusted(arranged),
        ),
        timelines=tuple(timelines),
        earlier=tuple(earlier),
        hints=hints(_measured(arranged), findings, thresholds, previous),
        verifications=tuple(verifications),
        calibration=known,
    )


def _arranged(results: Sequence[ComponentResult]) -> tuple[ComponentResult, ...]:
    """In the order of `ComponentId`, whichever finished first; two results of one component are an error."""
    order = list(ComponentId)
    arranged = tuple(sorted(results, key=lambda result: order.index(result.component)))
    if len({result.component for result in arranged}) != len(arranged):
        msg = f"more than one result of a component: {', '.join(result.component for result in arranged)}"
        raise ValueError(msg)
    return arranged


def _measured(results: Sequence[ComponentResult]) -> list[MeasuredComponent]:
    return [result for result in results if result.status == "measured"]


def _scope(info: RunInfo, outcome: Score) -> list[str]:
    if is_release_gate(info, outcome):
        return []
    asked = title_list(asked_components(info, outcome))
    return [f"This run was asked for {asked} alone: it is no release gate, and its exit code answers for that alone"]


def _policy(policy: GatePolicy) -> list[str]:
    if policy.blocks:
        return []
    return [f"The gate's profile {policy.name!r} only warns: what fails does not change the exit code"]


def _absent(results: Sequence[ComponentResult], outcome: Score) -> list[str]:
    notes = [
        f"{TITLES[result.component]} is switched off for this environment and weighs nothing: {result.reason}"
        for result in results
        if result.status == "skipped" and result.switched_off
    ]
    present = {result.component for result in results}
    missing = [TITLES[part.component] for part in outcome.components if part.component not in present]
    if missing:
        notes.append(f"The run holds no result of {', '.join(missing)}: not measured")
    return notes


def _mixed(results: Sequence[ComponentResult]) -> list[str]:
    """A retry measures at another time, perhaps by other code: said wherever it happened."""
    measured = _measured(results)
    notes = [
        f"{TITLES[result.component]} was measured by attempt {result.attempt}, from "
        f"{result.collected.window.start:%Y-%m-%d %H:%M:%S} UTC: not in the same minutes as the rest"
        for result in measured
        if result.attempt > 1
    ]
    versions = sorted({result.code_version for result in measured})
    if len(versions) > 1:
        notes.append(f"The components were measured by different versions of this tool: {', '.join(versions)}")
    return notes


def _untrusted(results: Sequence[ComponentResult]) -> list[str]:
    words = {
        Trust.NOT_TRUSTED: "the load generator does not trust its own figures of",
        Trust.INDICATIVE: "the load generator calls its figures indicative only for",
    }
    notes = []
    for result in _measured(results):
        load = result.collected.load
        if load is not None and load.trust in words:
            reasons = "; ".join(load.reasons) or "no reason given"
            sentence = f"{words[load.trust]} {TITLES[result.component]}: {reasons}"
            notes.append(sentence[0].upper() + sentence[1:])
    return notes
