"""Why a score is what it is: what cost how many points, the worst metric, and what would raise it most."""

from __future__ import annotations

from storage.records import Assessment, Explanation, Lever, PointsLost, Score
from tasks.judge.assess import CURVE
from tasks.judge.rescore import rescored
from tasks.judge.score import run_losses

_GOOD = CURVE[1]


def explained(outcome: Score) -> Score:
    """The score with its explanation; a metric that is good already is no lever."""
    weighed = [
        one
        for part in outcome.components
        for one in part.assessments
        if one.score is not None and one.threshold.weight > 0
    ]
    below = [one for one in weighed if (one.score or 0.0) < _GOOD]
    levers = sorted((_lever(outcome, one) for one in below), key=lambda lever: (-lever.gain, lever.metric))
    together = rescored(outcome, {lever.metric: lever.target for lever in levers}).value - outcome.value
    losses = [
        PointsLost(key=loss.key, title=loss.title, points=loss.points, reason=loss.reason)
        for loss in run_losses(outcome)
        if loss.points is not None
    ]
    worst = min(weighed, key=lambda one: one.score or 0.0, default=None)
    explanation = Explanation(
        losses=tuple(losses),
        worst=worst.threshold.metric if worst else None,
        levers=tuple(levers),
        together=together,
    )
    return outcome.model_copy(update={"explanation": explanation})


def _lever(outcome: Score, one: Assessment) -> Lever:
    threshold = one.threshold
    value = one.measurement.value if one.measurement else None
    return Lever(
        metric=threshold.metric,
        title=threshold.title,
        value=value or 0.0,
        target=threshold.good,
        unit=threshold.unit,
        gain=rescored(outcome, {threshold.metric: threshold.good}).value - outcome.value,
    )
