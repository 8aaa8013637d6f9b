"""Holds a run against one earlier run: which figures became worse, by how much, and whether noise could explain it.

A single earlier run knows nothing of how much runs differ among themselves, so this asks for much before it calls a
change confirmed: at least `CONFIRMED`, several minimum effects, and 95 % intervals that do not touch. What is less is
"suspected", and does not block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from storage.records import Direction, Measurement, Regression, Report, RunInfo, Threshold, Unit

CONFIRMED = 0.20
"""Relative change for the worse from which one run against one other counts as confirmed."""
SUSPECTED = 0.10
EFFECTS = 3
"""Minimum effects that a confirmed change must reach."""

_TINY = 1e-9
_LOAD = ("users", "duration_s", "ramp_up_s", "pace_s")


@dataclass(frozen=True)
class Comparison:
    """What became worse, how many figures were held against each other, and what to say of it."""

    regressions: tuple[Regression, ...] = ()
    compared: int = 0
    notes: tuple[str, ...] = ()


def against(
    info: RunInfo, measurements: Sequence[Measurement], baseline: Report, thresholds: Sequence[Threshold]
) -> Comparison:
    """The run's own figures (without labels, with weight) held against those of an earlier run.

    Runs under another load, or against the embedded platform and a real one, are not like with like: nothing is
    compared then, and a note says why.
    """
    unlike = _unlike(info, baseline.info)
    if unlike:
        why = f"Not compared with run {baseline.info.run}, since that is not like with like: {', '.join(unlike)}"
        return Comparison(notes=(why,))
    earlier = {one.metric: one for part in _measured(baseline) for one in part if not one.labels}
    now = {one.metric: one for one in measurements if not one.labels}
    pairs = [
        (threshold, earlier[threshold.metric], now[threshold.metric])
        for threshold in thresholds
        if threshold.weight > 0 and _valued(earlier.get(threshold.metric)) and _valued(now.get(threshold.metric))
    ]
    found = [_regression(threshold, before, after, baseline.info) for threshold, before, after in pairs]
    release = f" of release {baseline.info.release}" if baseline.info.release else ""
    return Comparison(
        tuple(one for one in found if one),
        len(pairs),
        (f"Compared with run {baseline.info.run}{release}: {len(pairs)} figures",),
    )


def _unlike(info: RunInfo, other: RunInfo) -> list[str]:
    keys = [key for key in _LOAD if info.settings.get(key) != other.settings.get(key)]
    found = [f"{key} {other.settings.get(key, '?')} then, {info.settings.get(key, '?')} now" for key in keys]
    return [*found, "one of them on the embedded platform"] if info.local != other.local else found


def _measured(report: Report) -> list[tuple[Measurement, ...]]:
    return [part.measurements for part in report.components if part.status == "measured"]


def _valued(measurement: Measurement | None) -> bool:
    return measurement is not None and measurement.value is not None


def _regression(threshold: Threshold, before: Measurement, after: Measurement, than: RunInfo) -> Regression | None:
    """The change for the worse between two values, or None where it is none, or too small to speak of."""
    old, new = before.value or 0.0, after.value or 0.0
    change = (new - old) / _scale(threshold, old)
    worse = change if threshold.direction is Direction.LOWER else -change
    if worse < max(SUSPECTED, threshold.minimum_effect):
        return None
    apart = _apart(before, after)
    confirmed = apart and worse >= max(CONFIRMED, EFFECTS * threshold.minimum_effect)
    return Regression(
        metric=threshold.metric,
        baseline=old,
        value=new,
        unit=threshold.unit,
        change=change,
        confirmed=confirmed,
        detail=f"against run {than.run}; the 95 % intervals {'are apart' if apart else 'touch or are not known'}",
    )


def _scale(threshold: Threshold, old: float) -> float:
    """What a change is relative to: the old value, but never less than the limit of good where less is better.

    An error ratio that goes from 0 to a tenth of what is good has not become infinitely worse.
    """
    least = threshold.good if threshold.direction is Direction.LOWER else abs(threshold.worst)
    return max(abs(old), least) if threshold.unit is Unit.RATIO else max(abs(old), _TINY)


def _apart(one: Measurement, other: Measurement) -> bool:
    """Whether both have an interval and the two do not touch."""
    if one.interval is None or other.interval is None:
        return False
    return one.interval[1] < other.interval[0] or other.interval[1] < one.interval[0]
