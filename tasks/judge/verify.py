"""What applied remedies did: the next run's measurements beside what was predicted. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from storage.records import (
    Applied,
    AppliedChange,
    Calibration,
    Finding,
    Measurement,
    PredictedChange,
    RunInfo,
    Verification,
)
from tasks.judge.calibrate import by_key, corrected
from tasks.judge.rescore import scale_of

MIXED = "mixed"

Place = tuple[str, tuple[tuple[str, str], ...]]
"""A measurement by metric and labels."""


def kind_of(finding: Finding) -> str:
    """The kind of advice that a finding is."""
    return f"{finding.component.value}.{finding.kind}"


def advised(one: Applied) -> str:
    """Which advice was carried out: run and finding."""
    return f"{one.run}/{one.finding}"


def place(metric: str, labels: Mapping[str, str]) -> Place:
    """How a measurement is found again in another run."""
    return metric, tuple(sorted(labels.items()))


def with_ledger(
    findings: Sequence[Finding], measurements: Iterable[Measurement], known: Iterable[Calibration]
) -> tuple[Finding, ...]:
    """The findings, their predictions corrected by the ledgers of their kinds, each with an interval.

    A prediction of something that was not measured stays as it is: there is nothing that it would change.
    """
    values = {place(one.metric, one.labels): one for one in measurements if one.value is not None}
    ledger = by_key(known)

    def better(finding: Finding, change: PredictedChange) -> PredictedChange:
        now = values.get(place(change.metric, change.labels))
        if now is None or now.value is None:
            return change
        return corrected(change, now.value, now.unit, ledger.get((kind_of(finding), change.metric)))

    def remedied(finding: Finding) -> Finding:
        if not finding.remedy.predicted:
            return finding
        changes = tuple(better(finding, one) for one in finding.remedy.predicted)
        return finding.model_copy(update={"remedy": finding.remedy.model_copy(update={"predicted": changes})})

    return tuple(remedied(one) for one in findings)


def applied_changes(finding: Finding, measurements: Iterable[Measurement]) -> tuple[AppliedChange, ...]:
    """What a finding's remedy is to change, with the values before; what was not measured is left out."""
    values = {place(one.metric, one.labels): one for one in measurements}
    made = []
    for change in finding.remedy.predicted:
        now = values.get(place(change.metric, change.labels))
        if now is not None and now.value is not None:
            raw = change.value if change.raw is None else change.raw
            made.append(
                AppliedChange(
                    metric=change.metric,
                    labels=change.labels,
                    unit=now.unit,
                    before=now.value,
                    predicted=raw,
                    shown=change.value,
                    interval=change.interval,
                )
            )
    return tuple(made)


def verified(
    info: RunInfo, measurements: Iterable[Measurement], applied: Iterable[Applied]
) -> tuple[Verification, ...]:
    """Actual beside predicted for every remedy applied before this run and measured by it.

    A run under another load than the one that advised is not like with like, and says so.
    """
    values = {place(one.metric, one.labels): one for one in measurements if one.value is not None}
    grouped: dict[Place, list[tuple[Applied, AppliedChange]]] = {}
    for one in applied:
        for change in one.changes:
            if one.at < info.started and place(change.metric, change.labels) in values:
                grouped.setdefault(place(change.metric, change.labels), []).append((one, change))
    return tuple(_verification(info, values[key], group) for key, group in sorted(grouped.items()))


def _verification(
    info: RunInfo,
    now: Measurement,
    group: Sequence[tuple[Applied, AppliedChange]],
) -> Verification:
    first = group[0][1]
    kinds = {one.kind for one, _ in group}
    last = max((one for one, _ in group), key=lambda one: one.at)
    return Verification(
        kind=kinds.pop() if len(kinds) == 1 else MIXED,
        findings=tuple(sorted({one.finding for one, _ in group})),
        advised=tuple(sorted(advised(one) for one, _ in group)),
        metric=first.metric,
        labels=first.labels,
        unit=first.unit,
        before=first.before,
        predicted=_together(first, [change.predicted for _, change in group]),
        shown=_together(first, [change.shown for _, change in group]),
        interval=_interval(first, [change for _, change in group]),
        actual=now.value or 0.0,
        run_before=last.run,
        run_after=info.run,
        at=info.started,
        unlike=_unlike(info, last),
    )


def _together(first: AppliedChange, values: Sequence[float]) -> float:
    """What several predictions of one measurement make of it together."""
    scale = scale_of(first.unit, first.before, values)
    return scale.value(math.fsum(scale.effect(value) for value in values))


def _interval(first: AppliedChange, changes: Sequence[AppliedChange]) -> tuple[float, float] | None:
    known = [one.interval for one in changes if one.interval is not None]
    if len(known) < len(changes):
        return None
    scale = scale_of(first.unit, first.before, [one.shown for one in changes])
    centre = math.fsum(scale.effect(one.shown) for one in changes)
    pairs = list(zip(changes, known, strict=True))
    below = math.hypot(*(scale.effect(one.shown) - scale.effect(low) for one, (low, _) in pairs))
    above = math.hypot(*(scale.effect(high) - scale.effect(one.shown) for one, (_, high) in pairs))
    return scale.value(centre - below), scale.value(centre + above)


_LOAD = ("users", "duration_s", "ramp_up_s", "pace_s")


def _unlike(info: RunInfo, before: Applied) -> str:
    changed = [
        f"{key} {before.settings.get(key, '?')} then, {info.settings.get(key, '?')} now"
        for key in _LOAD
        if before.settings.get(key) != info.settings.get(key)
    ]
    return ", ".join([*changed, *(["one of them on the embedded platform"] if before.local != info.local else [])])
