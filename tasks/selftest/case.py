"""What the gate judges, as one value that can be damaged; and a healthy copy of a stored run to damage.

A run that fails its gate blocks every damaged copy of itself, which proves nothing. So the copy is made healthy
first: each figure at its best, each load trusted, one target, nothing critical. Such a copy is never stored or shown.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from storage.records import (
    Attempt,
    Collected,
    ComponentId,
    ComponentResult,
    GatePolicy,
    MeasuredComponent,
    Measurement,
    Regression,
    Report,
    RunInfo,
    Severity,
    Threshold,
    Trust,
    Waiver,
    Window,
)
from tasks.report.build import build

SOURCE = "self-test of the gate: a figure that never was measured"
_IDENTITY = {"release": "self-test"}
_SAMPLES = 1000


@dataclass(frozen=True)
class Case:
    """All that a report is built from."""

    info: RunInfo
    results: tuple[ComponentResult, ...]
    thresholds: tuple[Threshold, ...]
    weights: Mapping[ComponentId, float]
    policy: GatePolicy
    attempts: tuple[Attempt, ...] = ()
    regressions: tuple[Regression, ...] = ()
    compared: int = 0
    waivers: tuple[Waiver, ...] = field(default=())


def judged(case: Case) -> Report:
    """The report of a case, by the judge that judges real runs; indicative load is no data here."""
    return build(
        case.info,
        case.results,
        case.thresholds,
        case.weights,
        case.regressions,
        compared=case.compared,
        attempts=case.attempts,
        policy=case.policy,
        waivers=case.waivers,
    )


def healthy(
    info: RunInfo,
    results: Sequence[ComponentResult],
    thresholds: Sequence[Threshold],
    weights: Mapping[ComponentId, float],
    policy: GatePolicy,
    *,
    as_it_is: Collection[ComponentId] = (),
) -> Case:
    """A case that must pass; of the components `as_it_is` what is missing stays missing."""
    settings = {key: value for key, value in info.settings.items() if key != "components"}
    return Case(
        info=info.model_copy(update={"settings": settings}),
        results=tuple(_healed(info, one, thresholds, keep=one.component in as_it_is) for one in results),
        thresholds=tuple(thresholds),
        weights=weights,
        policy=policy.model_copy(update={"blocks": True}),
        attempts=(Attempt(number=1, opened=info.started, identity=_IDENTITY, identity_after=_IDENTITY),),
    )


def _healed(
    info: RunInfo, result: ComponentResult, thresholds: Sequence[Threshold], *, keep: bool
) -> ComponentResult:
    if result.status == "skipped" and result.switched_off:
        return result
    own = [one for one in thresholds if one.metric.partition(".")[0] == result.component.value]
    if not isinstance(result, MeasuredComponent):
        return result if keep else _made_up(info, result.component, own)
    return result.model_copy(
        update={
            "attempt": 1,
            "measurements": _good(info, result.measurements, own, keep=keep),
            "findings": tuple(one for one in result.findings if one.severity is not Severity.CRITICAL),
            "collected": _trusted(result.collected),
        }
    )


def _made_up(info: RunInfo, component: ComponentId, own: Sequence[Threshold]) -> MeasuredComponent:
    return MeasuredComponent(
        component=component,
        attempt=1,
        code_version=info.code_version,
        collected=Collected(window=_window(info)),
        measurements=tuple(_figure(info, one) for one in own),
        findings=(),
    )


def _good(
    info: RunInfo, found: Sequence[Measurement], own: Sequence[Threshold], *, keep: bool
) -> tuple[Measurement, ...]:
    """Every own figure at its best; one that is missing is made up, unless what is missing has to stay so."""
    limits = {one.metric: one for one in own}
    made: list[Measurement] = []
    for one in found:
        limit = limits.get(one.metric)
        if one.labels or limit is None or (keep and one.value is None):
            made.append(one)
        elif one.value is None:
            made.append(_figure(info, limit))
        else:
            made.append(one.model_copy(update={"value": limit.best, "interval": None}))
    known = {one.metric for one in found if not one.labels}
    return (*made, *(() if keep else (_figure(info, one) for one in own if one.metric not in known)))


def _figure(info: RunInfo, limit: Threshold) -> Measurement:
    return Measurement(
        metric=limit.metric, value=limit.best, unit=limit.unit, n=_SAMPLES, source=SOURCE, window=_window(info)
    )


def _trusted(collected: Collected) -> Collected:
    if collected.load is None:
        return collected
    return collected.model_copy(update={"load": collected.load.model_copy(update={"trust": Trust.TRUSTED})})


def _window(info: RunInfo) -> Window:
    return Window(start=info.started, end=info.started + timedelta(minutes=1))
