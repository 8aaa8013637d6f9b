"""The score of a run: what was measured, weighed; what was not measured adds nothing and is never left out.

Formulas (docs/adr/0002-score.md), with metric scores sᵢ and weights wᵢ inside a component, component weights W:
  component = min(Σ wᵢ·sᵢ / Σ wᵢ over present metrics, min sᵢ + 25)      one bad metric cannot hide
  coverage k = present weight / total weight of the component
  floor = Σ W·k·component                                               what is absent adds nothing
  score = min(floor, min present component + 30)                        one bad component cannot hide
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from storage.records import (
    Assessment,
    ComponentId,
    ComponentResult,
    ComponentScore,
    Measurement,
    Score,
    Threshold,
)
from tasks.judge.assess import assess

METRIC_CAP = 25.0
"""A component scores at most this much above its worst metric."""
COMPONENT_CAP = 30.0
"""The run scores at most this much above its worst component."""
GRADES = ((95.0, "A+"), (85.0, "A"), (75.0, "B"), (65.0, "C"))
"""Lowest unrounded score of each grade; below the last it is D."""

_DIGITS = 9  # removes the noise of binary sums, so that five metrics of exactly 95 are an A+


def score(
    results: Sequence[ComponentResult], thresholds: Sequence[Threshold], weights: Mapping[ComponentId, float]
) -> Score:
    """The score of a run.

    Failed and skipped components are not measured. A component that the environment's file switched off loses its
    weight, and the others share it. With nothing measured the score is 0, grade D, coverage 0.
    """
    return summed(_component_scores(results, thresholds, weights))


def summed(components: tuple[ComponentScore, ...]) -> Score:
    """The score of a run whose components are scored."""
    value = total(components)
    share = math.fsum(c.weight * c.coverage for c in components)
    return Score(
        value=value,
        grade=grade(value),
        coverage=_within(share, 1.0),
        measured_mean=None if share == 0 else _within(_floor(components) / share, 100.0),
        ceiling=total([_completed(c) for c in components]),
        components=components,
    )


def total(components: Iterable[ComponentScore]) -> float:
    """Score of some components, 0..100, their weights taken as shares of each other's sum."""
    chosen = tuple(components)
    present = [c.score for c in chosen if c.score is not None]
    weight = math.fsum(c.weight for c in chosen)
    if not present or weight == 0:
        return 0.0
    return _within(min(_floor(chosen) / weight, min(present) + COMPONENT_CAP), 100.0)


def grade(value: float) -> str:
    """A+ from 95, A from 85, B from 75, C from 65, else D; of the unrounded score."""
    return next((name for lowest, name in GRADES if value >= lowest), "D")


def grade_limit(name: str) -> float:
    """The lowest score that earns a grade."""
    return next(lowest for lowest, known in GRADES if known == name)


def display_grade(outcome: Score) -> str:
    """The grade as it is shown: incomplete coverage adds `(partial)`."""
    return f"{outcome.grade} (partial)" if outcome.partial else outcome.grade


def truncated(value: float) -> str:
    """A score for display, cut to one decimal: 84.96 is shown as 84.9, never as the 85 that it is not."""
    return f"{math.floor(round(value * 10, _DIGITS)) / 10:.1f}"


@dataclass(frozen=True)
class Loss:
    """Points out of 100 that something cost a component or a run; `points` is None where nobody knows."""

    key: str
    title: str
    points: float | None
    reason: str


def metric_losses(component: ComponentScore) -> tuple[Loss, ...]:
    """What each metric cost its component; what is known adds up to 100 − score."""
    present = _weighed(component.assessments)
    weight = math.fsum(a.threshold.weight for a in present)
    losses = []
    for item in component.assessments:
        known = item.score is not None and item.threshold.weight > 0
        points = item.threshold.weight / weight * (100 - (item.score or 0)) if known else None
        losses.append(Loss(item.threshold.metric, item.threshold.title, points, item.reason))
    capped = 100 - (component.score or 0) - math.fsum(x.points for x in losses if x.points is not None)
    if component.score is not None and capped > 10**-_DIGITS:
        losses.append(Loss("cap", "Cap by the worst metric", capped, f"at most {METRIC_CAP:g} above it"))
    return tuple(losses)


def run_losses(outcome: Score) -> tuple[Loss, ...]:
    """What each metric, each thing not measured and the cap cost the run, most first; adds up to 100 − score."""
    losses = [loss for part in outcome.components for loss in _share_of_run(part)]
    capped = 100 - outcome.value - math.fsum(x.points for x in losses if x.points is not None)
    if capped > 10**-_DIGITS and outcome.components:
        losses.append(Loss("cap", "Cap by the worst component", capped, f"at most {COMPONENT_CAP:g} above it"))
    return tuple(sorted(losses, key=lambda loss: -(loss.points or 0)))


def _share_of_run(part: ComponentScore) -> list[Loss]:
    """A component's losses in points of the run, where its coverage counts too."""
    losses = [
        replace(loss, key=f"{part.component.value}.{loss.key}" if loss.key == "cap" else loss.key, points=points)
        for loss in metric_losses(part)
        if (points := part.weight * part.coverage * (loss.points or 0)) > 0
    ]
    absent = part.weight * (1 - part.coverage) * 100
    if absent > 10**-_DIGITS:
        missing = [a.threshold.title for a in part.assessments if a.score is None]
        losses.append(Loss(f"{part.component.value}.absent", "Not measured", absent, ", ".join(missing)))
    return losses


def _component_scores(
    results: Sequence[ComponentResult], thresholds: Sequence[Threshold], weights: Mapping[ComponentId, float]
) -> tuple[ComponentScore, ...]:
    by_id = {result.component: result for result in results}
    off = {r.component for r in results if r.status == "skipped" and r.switched_off}
    kept = {component: weight for component, weight in weights.items() if component not in off and weight > 0}
    whole = math.fsum(kept.values())
    return tuple(
        _component_score(component, _within(weight / whole, 1.0), by_id.get(component), thresholds)
        for component, weight in kept.items()
    )


def _component_score(
    component: ComponentId, weight: float, result: ComponentResult | None, thresholds: Sequence[Threshold]
) -> ComponentScore:
    own = [t for t in thresholds if t.metric.partition(".")[0] == component.value]
    assessments = assess(own, _measurements(result))
    if result is None or result.status != "measured":
        why = _why_not(result)
        assessments = tuple(a.model_copy(update={"reason": why}) for a in assessments)
    return component_score(component, weight, assessments)


def component_score(component: ComponentId, weight: float, assessments: tuple[Assessment, ...]) -> ComponentScore:
    """The score of a component whose metrics are assessed; `weight` is its share of the run."""
    value, coverage = _judge(assessments)
    return ComponentScore(component=component, weight=weight, score=value, coverage=coverage, assessments=assessments)


def _measurements(result: ComponentResult | None) -> tuple[Measurement, ...]:
    return result.measurements if result is not None and result.status == "measured" else ()


def _why_not(result: ComponentResult | None) -> str:
    if result is None:
        return "the run holds no result of this component"
    return f"failed: {result.error}" if result.status == "failed" else getattr(result, "reason", "")


def _judge(
    assessments: Sequence[Assessment], absent: Callable[[Assessment], float | None] = lambda _: None
) -> tuple[float | None, float]:
    """Score and coverage of a component; `absent` may give what is not measured a score to try."""
    tried = [(a.threshold.weight, absent(a) if a.score is None else a.score) for a in assessments]
    present = [(weight, value) for weight, value in tried if value is not None and weight > 0]
    whole = math.fsum(weight for weight, _ in tried)
    if not present:
        return None, 0.0
    share = math.fsum(weight for weight, _ in present)
    mean = math.fsum(weight * value for weight, value in present) / share
    worst = min(value for _, value in present)
    return _within(min(mean, worst + METRIC_CAP), 100.0), _within(share / whole, 1.0)


def _weighed(assessments: Iterable[Assessment]) -> list[Assessment]:
    return [a for a in assessments if a.score is not None and a.threshold.weight > 0]


def _completed(component: ComponentScore) -> ComponentScore:
    """The component as if everything missing had scored 100."""
    value, coverage = _judge(component.assessments, lambda _: 100.0)
    return component.model_copy(update={"score": value, "coverage": coverage})


def _floor(components: Iterable[ComponentScore]) -> float:
    return math.fsum(c.weight * c.coverage * c.score for c in components if c.score is not None)


def _within(value: float, most: float) -> float:
    return min(max(round(value, _DIGITS), 0.0), most)
