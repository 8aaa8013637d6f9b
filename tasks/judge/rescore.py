"""What the score would be if some metrics had other values: by the judge's own formulas, never by adding points.

Because of the caps remedies are not additive: three of four defects mended alone may gain nothing, and all four
together much. So a *set* of predictions becomes one value for each metric, and the run is scored again with these.

What is predicted of a part (one statement, one endpoint, one function) changes the percentile of the whole by a
mixture of all parts (`tasks.judge.mixture`), and a ratio of the whole by their mean (`tasks.judge.means`). Several
predictions of one metric join like this: of times, rates and sizes the factors against the measured value are
multiplied; of ratios, and where the measured value is 0, the differences are added (misses of two key families, or
failures of two endpoints, are different requests). Their intervals join as independent errors, in quadrature.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from storage.records import (
    Assessment,
    ComponentScore,
    Direction,
    Measurement,
    PredictedChange,
    Score,
    Threshold,
    Unit,
)
from tasks.judge.assess import band_of, metric_score
from tasks.judge.means import Mean, means
from tasks.judge.mixture import Mixture, key_of, mixtures
from tasks.judge.score import component_score, summed

NOISE = 0.13
"""ln of what a percentile of the whole differs by between two equal runs, beyond its sampling, in four of five cases:
on a machine that nobody shares (ADR 0021); where others work beside it, identical code differs by 10 to 30 %."""
NO_PARTS: Mapping[str, Whole] = {}
Whole = Mixture | Mean
"""What makes a figure of the whole from its parts."""
SOURCE = "predicted, not measured"
"""Source of a value that a what-if put in place of the measured one."""


@dataclass(frozen=True)
class Patch:
    """What some predictions make of one metric: the value, and the 80 % interval where every one of them has one."""

    value: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Outcome:
    """A run scored again: its score and the 80 % interval of the score (None where a prediction has none)."""

    score: Score
    interval: tuple[float, float] | None
    patches: Mapping[str, Patch]


def rescored(outcome: Score, values: Mapping[str, float]) -> Score:
    """The score with other values of some metrics; a metric that was not measured stays not measured.

    It equals the judge's own score of measurements with those values.
    """
    return summed(tuple(_with(part, values) for part in outcome.components))


def rescored_with(
    outcome: Score, predictions: Iterable[PredictedChange], parts: Mapping[str, Whole] = NO_PARTS
) -> Outcome:
    """The score once everything predicted has come true, with its interval.

    Only predictions of the components' own metrics, and of `parts` of them, count: `counts` tells.
    The interval moves each metric to both ends of its own, the others at their predicted values, and joins the
    differences in quadrature: it is an approximation that takes the errors for independent.
    """
    patches = joined(outcome, predictions, parts)
    values = {metric: patch.value for metric, patch in patches.items()}
    made = rescored(outcome, values)
    if not patches:
        return Outcome(made, (made.value, made.value), {})
    below = above = 0.0
    for metric, patch in patches.items():
        if patch.interval is None:
            return Outcome(made, None, patches)
        ends = [rescored(outcome, {**values, metric: end}).value - made.value for end in patch.interval]
        below, above = math.hypot(below, min(*ends, 0.0)), math.hypot(above, max(*ends, 0.0))
    return Outcome(made, (max(0.0, made.value - below), min(100.0, made.value + above)), patches)


def wholes(measurements: Iterable[Measurement]) -> Mapping[str, Whole]:
    """What makes wholes from parts, by metric: percentiles by a mixture, ratios by a weighed mean."""
    found = tuple(measurements)
    return {**mixtures(found), **means(found)}


def counts(outcome: Score, prediction: PredictedChange, parts: Mapping[str, Whole] = NO_PARTS) -> bool:
    """Whether a prediction moves the score: it is of a component's own measured metric, or a part of one."""
    if prediction.metric not in _measured(outcome):
        return False
    whole = parts.get(prediction.metric)
    return not prediction.labels or (whole is not None and key_of(prediction.labels) in whole.parts)


def joined(
    outcome: Score, predictions: Iterable[PredictedChange], parts: Mapping[str, Whole] = NO_PARTS
) -> dict[str, Patch]:
    """One patch for each metric that some predictions change."""
    measured = _measured(outcome)
    grouped: dict[str, list[PredictedChange]] = {}
    for one in predictions:
        if counts(outcome, one, parts):
            grouped.setdefault(one.metric, []).append(one)
    return {metric: _joined(measured[metric], group, parts.get(metric)) for metric, group in grouped.items()}


def possible(threshold: Threshold, value: float) -> float:
    """The value, or the nearest one that there can be: nothing is below 0, and no share of what is good above 1."""
    most = 1.0 if threshold.unit is Unit.RATIO and threshold.direction is Direction.HIGHER else math.inf
    return min(max(value, 0.0), most)


def _measured(outcome: Score) -> dict[str, Assessment]:
    return {
        one.threshold.metric: one
        for part in outcome.components
        for one in part.assessments
        if one.score is not None and one.threshold.weight > 0
    }


def _joined(measured: Assessment, group: Sequence[PredictedChange], whole_of: Whole | None) -> Patch:
    threshold, before = measured.threshold, _value(measured)
    whole = [one for one in group if not one.labels]
    of_parts = [one for one in group if one.labels]
    scale = scale_of(threshold.unit, before, [one.value for one in whole])
    centre = math.fsum(scale.effect(one.value) for one in whole)
    spreads = [_spread(scale, one) for one in whole]
    if of_parts and whole_of is not None and scale.adds == isinstance(whole_of, Mean):
        effect, spread = whole_of.effects(of_parts)
        noise = 0.0 if scale.adds else NOISE
        centre += effect
        spreads.append(spread and (math.hypot(spread[0], noise), math.hypot(spread[1], noise)))
    value = possible(threshold, scale.value(centre))
    if any(spread is None for spread in spreads):
        return Patch(value, None)
    known = [spread for spread in spreads if spread is not None]
    low = centre - math.sqrt(math.fsum(below**2 for below, _ in known))
    high = centre + math.sqrt(math.fsum(above**2 for _, above in known))
    return Patch(value, (possible(threshold, scale.value(low)), possible(threshold, scale.value(high))))


@dataclass(frozen=True)
class Scale:
    """Effects on a measured value: differences, or logarithms of factors."""

    before: float
    adds: bool

    def effect(self, value: float) -> float:
        """What makes `before` the value."""
        return value - self.before if self.adds else math.log(max(value, 1e-12) / self.before)

    def value(self, effect: float) -> float:
        """What an effect makes of `before`."""
        return self.before + effect if self.adds else self.before * math.exp(effect)


def scale_of(unit: Unit, before: float, values: Iterable[float]) -> Scale:
    """On which scale effects on a value join: differences for ratios, and where a logarithm has no meaning."""
    return Scale(before, adds=unit is Unit.RATIO or before <= 0 or any(value <= 0 for value in values))


def _spread(scale: Scale, one: PredictedChange) -> tuple[float, float] | None:
    """How far the effect may lie below and above the predicted one."""
    if one.interval is None:
        return None
    centre = scale.effect(one.value)
    low, high = (scale.effect(end) for end in one.interval)
    return max(0.0, centre - low), max(0.0, high - centre)


def _value(assessment: Assessment) -> float:
    value = assessment.measurement.value if assessment.measurement else None
    if value is None:
        msg = f"{assessment.threshold.metric} has no value: it cannot be re-scored"
        raise ValueError(msg)
    return value


def _with(part: ComponentScore, values: Mapping[str, float]) -> ComponentScore:
    if not any(one.threshold.metric in values for one in part.assessments):
        return part
    assessments = tuple(_patched(one, values) for one in part.assessments)
    return component_score(part.component, part.weight, assessments)


def _patched(one: Assessment, values: Mapping[str, float]) -> Assessment:
    value = values.get(one.threshold.metric)
    if value is None or one.measurement is None or one.score is None:
        return one
    changed = one.measurement.model_copy(update={"value": value, "interval": None, "source": SOURCE})
    return Assessment(
        threshold=one.threshold,
        measurement=changed,
        band=band_of(one.threshold, value),
        score=metric_score(one.threshold, value),
    )
