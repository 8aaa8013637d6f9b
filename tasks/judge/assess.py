"""Holds each metric against its threshold: a score from 0 to 100 and a band, or the reason why there is none.

The curve is piecewise linear through best → 100, good → 95, fair → 75, poor → 40, worst → 0: on ln(value) for
times, rates and throughput, whose effect on people goes by ratios, and on the value itself for ratios, which are
bounded (docs/adr/0002-score.md). What was not measured has no score.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

from storage.records import Assessment, Band, Direction, Measurement, Threshold, Unit

CURVE = (100.0, 95.0, 75.0, 40.0, 0.0)
"""Scores at best, good, fair, poor and worst."""

_ROUNDING = 1e-9


def assess(thresholds: Iterable[Threshold], measurements: Iterable[Measurement]) -> tuple[Assessment, ...]:
    """One assessment per threshold, in their order, from the components' own (unlabelled) measurements."""
    own: dict[str, list[Measurement]] = {}
    for measurement in measurements:
        if not measurement.labels:
            own.setdefault(measurement.metric, []).append(measurement)
    return tuple(_assess_one(threshold, own.get(threshold.metric, [])) for threshold in thresholds)


def metric_score(threshold: Threshold, value: float) -> float:
    """The score of a value, 0..100: at or beyond `best` 100, at or beyond `worst` 0, continuous between."""
    points = list(zip(_levels(threshold), CURVE, strict=True))
    position = _position(threshold, value)
    if position <= _position(threshold, points[0][0]):
        return CURVE[0]
    for (left, high), (right, low) in pairwise(points):
        start, end = _position(threshold, left), _position(threshold, right)
        if position <= end:
            return high - (high - low) * (position - start) / (end - start)
    return CURVE[-1]


def band_of(threshold: Threshold, value: float) -> Band:
    """Good at or beyond the good limit, fair at or beyond the fair one, else poor."""
    position = _position(threshold, value)
    if position <= _position(threshold, threshold.good):
        return Band.GOOD
    return Band.FAIR if position <= _position(threshold, threshold.fair) else Band.POOR


def _levels(threshold: Threshold) -> tuple[float, ...]:
    return (threshold.best, threshold.good, threshold.fair, threshold.poor, threshold.worst)


def _position(threshold: Threshold, value: float) -> float:
    """Where a value lies on the curve's scale, turned so that more is worse."""
    place = value if threshold.unit is Unit.RATIO else _ln(value)
    return place if threshold.direction is Direction.LOWER else -place


def _ln(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def _assess_one(threshold: Threshold, found: Sequence[Measurement]) -> Assessment:
    reason = _unusable(threshold, found)
    if reason:
        kept = found[0] if len(found) == 1 and found[0].value is None else None
        return Assessment(threshold=threshold, measurement=kept, band=Band.NOT_MEASURED, score=None, reason=reason)
    value = found[0].value
    assert value is not None  # noqa: S101 - _unusable answered for None; this tells the type checker
    return Assessment(
        threshold=threshold,
        measurement=found[0],
        band=band_of(threshold, value),
        score=metric_score(threshold, value),
    )


def _unusable(threshold: Threshold, found: Sequence[Measurement]) -> str:
    """Why there is no value to judge; empty where there is one."""
    if not found:
        return f"no measurement of {threshold.metric}"
    if len(found) > 1:
        return f"{len(found)} measurements of {threshold.metric}: which one counts is unknown"
    only = found[0]
    if only.value is None:
        return only.note
    if only.unit is not threshold.unit:
        return f"measured in {only.unit.value}, but the limits are in {threshold.unit.value}"
    if _impossible(threshold, only.value):
        return f"{only.value:g} {only.unit.value} is an impossible value: the measurement is wrong"
    return ""


def _impossible(threshold: Threshold, value: float) -> bool:
    """No finite number, below nothing, or a share above the whole where that would count as better."""
    if not math.isfinite(value) or value < 0:
        return True
    better_above_one = threshold.unit is Unit.RATIO and threshold.direction is Direction.HIGHER
    return better_above_one and value > 1 + _ROUNDING
