"""Ways to damage what was measured, each with the check of the gate that must stop it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from storage.records import (
    Attempt,
    ComponentId,
    ComponentResult,
    Direction,
    FailedComponent,
    Finding,
    Level,
    LoadSummary,
    MeasuredComponent,
    Measurement,
    Regression,
    Remedy,
    Severity,
    SkippedComponent,
    Threshold,
    Trust,
    Unit,
    Waiver,
    Window,
)
from tasks.judge.checks import CRITICAL, REGRESSIONS, SCORE
from tasks.judge.coherence import ONE_TARGET
from tasks.judge.generators import LOAD_TRUST
from tasks.judge.limits import LIMITS
from tasks.selftest.case import Case


@dataclass(frozen=True)
class Mutant:
    """A damaged case; `stops` is the id of the check that must not pass."""

    name: str
    stops: str
    case: Case


def mutants(case: Case) -> Iterator[Mutant]:
    """Every damaged copy of a healthy case."""
    weighed = [one for one in case.thresholds if one.weight > 0 and _component(case, one.metric) is not None]
    for threshold in weighed:
        yield from _of_figure(case, threshold)
    for threshold in (one for one in weighed if one.gate is not None):
        yield from _of_limit(case, threshold)
    for result in case.results:
        if isinstance(result, MeasuredComponent):
            yield from _of_component(case, result)
    yield from _of_run(case)


def _of_figure(case: Case, threshold: Threshold) -> Iterator[Mutant]:
    """One figure is missing, doubled, of another kind, or none that there can be."""
    metric = threshold.metric
    stops = metric if threshold.gate is not None else SCORE

    def damaged(name: str, change: Callable[[Measurement], list[Measurement]]) -> Mutant:
        return Mutant(f"{name}: {metric}", stops, _with_figures(case, metric, change))

    none = {"value": None, "interval": None, "n": 0, "note": "no samples"}
    other = Unit.COUNT if threshold.unit is not Unit.COUNT else Unit.MS
    old = case.info.started - timedelta(days=1)
    endless = -math.inf if threshold.direction is Direction.LOWER else math.inf
    part: dict[str, Any] = {"labels": {"part": "one of many"}}
    yield damaged("zero samples", lambda one: [one.model_copy(update=none)])
    yield damaged("no row", lambda _: [])
    yield damaged("two rows", lambda one: [one, one])
    yield damaged("wrong unit", lambda one: [one.model_copy(update={"unit": other})])
    yield damaged("not a number", lambda one: [one.model_copy(update={"value": math.nan})])
    yield damaged("infinite", lambda one: [one.model_copy(update={"value": endless})])
    yield damaged("below nothing", lambda one: [one.model_copy(update={"value": -1.0})])
    yield damaged("a part for the whole", lambda one: [one.model_copy(update=part)])
    yield damaged("stale figure", lambda one: [one.model_copy(update={"window": Window(start=old, end=old)})])


def _of_limit(case: Case, threshold: Threshold) -> Iterator[Mutant]:
    """The limit is reached exactly, passed, passed under a waiver that has ended, or gone."""
    metric, limit = threshold.metric, threshold.gate or 0.0
    past = _at(case, metric, threshold.worst)

    ended = Waiver(
        check=metric,
        owner="self-test",
        reason="a waiver that has ended",
        until=case.info.started.date() - timedelta(days=1),
    )
    yield Mutant(f"exactly the limit: {metric}", metric, _at(case, metric, limit))
    yield Mutant(f"past the limit: {metric}", metric, past)
    yield Mutant(f"past the limit, ended waiver: {metric}", metric, replace(past, waivers=(ended,)))
    without = tuple(one.model_copy(update={"gate": None}) if one.metric == metric else one for one in case.thresholds)
    rows = tuple(one for one in case.thresholds if one.metric != metric)
    yield Mutant(f"limit removed: {metric}", LIMITS, replace(past, thresholds=without))
    yield Mutant(f"threshold removed: {metric}", LIMITS, replace(past, thresholds=rows))


def _of_component(case: Case, result: MeasuredComponent) -> Iterator[Mutant]:
    """A component is dead, left out, of another run, without weight, or its load is doubted."""
    component = result.component
    old = case.info.started - timedelta(days=1)

    def damaged(name: str, stops: str, *instead: ComponentResult) -> Mutant:
        return Mutant(f"{name}: {component.value}", stops, _with_result(case, component, *instead))

    collected = result.collected.model_copy(update={"window": Window(start=old, end=old)})
    stale = result.model_copy(update={"collected": collected})
    yield damaged("dead", SCORE, FailedComponent(component=component, error="nothing answers"))
    yield damaged("no result", SCORE)
    yield damaged("left out", SCORE, SkippedComponent(component=component, reason="not asked for in this run"))
    yield damaged("without figures", SCORE, result.model_copy(update={"measurements": ()}))
    yield damaged("of an earlier run", SCORE, stale)
    yield damaged("critical finding", CRITICAL, result.model_copy(update={"findings": (_critical(component),)}))
    if result.collected.window.start >= case.info.started:  # it could have sent load in this run
        for trust in (Trust.NOT_TRUSTED, Trust.INDICATIVE):
            yield damaged(f"{trust.value.replace('_', ' ')} load", LOAD_TRUST, _loaded(result, trust))
    if any(one.gate is not None and one.metric.partition(".")[0] == component.value for one in case.thresholds):
        weights = {key: value for key, value in case.weights.items() if key is not component}
        yield Mutant(f"weight removed: {component.value}", LIMITS, replace(case, weights=weights))
    yield Mutant(f"measured on another build: {component.value}", ONE_TARGET, _mixed(case, component))


def _of_run(case: Case) -> Iterator[Mutant]:
    """Something of the run as a whole."""
    low = case
    for one in case.thresholds:
        if one.gate is None:
            low = _at(low, one.metric, one.worst)
    yield Mutant("low score within every limit", SCORE, low)
    first = case.thresholds[0]
    worse = Regression(
        metric=first.metric,
        baseline=first.best,
        value=first.good,
        unit=first.unit,
        change=1.0,
        confirmed=True,
        detail="self-test",
    )
    yield Mutant("confirmed regression", REGRESSIONS, replace(case, regressions=(worse,), compared=1))
    yield Mutant("nothing at all", SCORE, replace(case, results=()))


def _component(case: Case, metric: str) -> MeasuredComponent | None:
    name = metric.partition(".")[0]
    return next(
        (one for one in case.results if isinstance(one, MeasuredComponent) and one.component.value == name), None
    )


def _with_figures(case: Case, metric: str, change: Callable[[Measurement], list[Measurement]]) -> Case:
    part = _component(case, metric)
    if part is None:
        return case
    made = [
        new
        for one in part.measurements
        for new in (change(one) if one.metric == metric and not one.labels else [one])
    ]
    return _with_result(case, part.component, part.model_copy(update={"measurements": tuple(made)}))


def _at(case: Case, metric: str, value: float) -> Case:
    return _with_figures(case, metric, lambda one: [one.model_copy(update={"value": value})])


def _with_result(case: Case, component: ComponentId, *instead: ComponentResult) -> Case:
    kept = [one for one in case.results if one.component is not component]
    return replace(case, results=(*kept, *instead))


def _critical(component: ComponentId) -> Finding:
    return Finding(
        id=f"{component.value}.self_test:x",
        component=component,
        kind="self_test",
        subject="x",
        title="A critical finding",
        detail="Planted by the gate's self-test.",
        severity=Severity.CRITICAL,
        impact=Level.HIGH,
        effort=Level.LOW,
        remedy=Remedy(summary="None."),
    )


def _loaded(result: MeasuredComponent, trust: Trust) -> MeasuredComponent:
    load = result.collected.load or LoadSummary(
        planned=1, sent=1, unsent=0, answered=1, failed=0, target_rate=1, achieved_rate=1, trust=trust
    )
    load = load.model_copy(update={"trust": trust, "reasons": ("self-test",)})
    return result.model_copy(update={"collected": result.collected.model_copy(update={"load": load})})


def _mixed(case: Case, component: ComponentId) -> Case:
    """The component comes from a second attempt, made after the target was deployed anew."""
    later = Attempt(
        number=2,
        opened=case.info.started + timedelta(hours=1),
        identity={"release": "another"},
        identity_after={"release": "another"},
    )
    part = next(one for one in case.results if one.component is component)
    moved = part.model_copy(update={"attempt": 2})
    return replace(_with_result(case, component, moved), attempts=(*case.attempts, later))
