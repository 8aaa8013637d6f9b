"""Advice is scored as the platform is: how good each kind of it was, and what that makes of its next prediction.

An effect is the logarithm of a factor (times, rates, sizes) or a difference (ratios): `tasks.judge.rescore.Scale`.
Two ways in which advice is wrong are tried on the verified predictions of a kind, and the one that leaves the smaller
median error is taken:

  factor   actual effect = k · predicted effect        k is the median of the quotients
  shift    actual effect = predicted effect + d        d is the median of the differences

Both are shrunk towards "the advice is right" by n / (n + 2), so that three lucky hits change little and fifteen
remove nine tenths of a bias. The interval holds four of five errors, each taken with its own entry left out, by the
rank ⌈0.8·(n+1)⌉: with fewer than four entries there is no such rank, and the prior stands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from storage.records import Calibration, PredictedChange, Unit, Verification
from tasks.judge.rescore import Scale, scale_of

LEAST = 3
"""Verified predictions from which a kind of advice is corrected."""
PRIOR = 0.5
"""Half width of the interval before anything was verified, as a share of the predicted effect."""
LEVEL = 0.8

_SHRINK = 2.0
_HALF = 0.5
_TINY = 1e-12

Key = tuple[str, str]
"""Kind of advice and metric."""


@dataclass(frozen=True)
class _Effect:
    predicted: float
    actual: float


@dataclass(frozen=True)
class _Model:
    """What corrects an effect; `error` measures on the scale on which errors are alike."""

    name: Literal["factor", "shift"]
    fit: Callable[[Sequence[_Effect]], float]
    apply: Callable[[float, float], float]
    size: Callable[[float], float]


_FACTOR = _Model(
    "factor",
    lambda found: 1 + _shrunk(len(found)) * (median(one.actual / one.predicted for one in found) - 1),
    lambda effect, k: effect * k,
    lambda effect: max(abs(effect), _TINY),
)
_SHIFT = _Model(
    "shift",
    lambda found: _shrunk(len(found)) * median(one.actual - one.predicted for one in found),
    lambda effect, d: effect + d,
    lambda _: 1.0,
)


def calibrations(ledger: Iterable[Verification]) -> tuple[Calibration, ...]:
    """How good each kind of advice was, by kind and metric; runs that were not like with like count for nothing."""
    grouped: dict[Key, list[Verification]] = {}
    for one in ledger:
        if not one.unlike:
            grouped.setdefault((one.kind, one.metric), []).append(one)
    return tuple(_calibration(key, grouped[key]) for key in sorted(grouped))


def corrected(change: PredictedChange, before: float, unit: Unit, known: Calibration | None) -> PredictedChange:
    """A prediction as its kind's ledger makes it, always with an interval.

    Without a ledger the value stays, and the interval is the advice's own or, where it has none, the prior.
    """
    scale = scale_of(unit, before, (change.value,))
    effect = scale.effect(change.value)
    if known is None or known.model == "none":
        return change if change.interval else _prior(change, unit, scale, effect)
    model = _FACTOR if known.model == "factor" else _SHIFT
    made = model.apply(effect, known.correction)
    half = known.spread * model.size(effect) if known.spread is not None else PRIOR * abs(made)
    ends = sorted(_possible(unit, scale.value(made + sign * half)) for sign in (-1, 1))
    return change.model_copy(
        update={
            "value": _possible(unit, scale.value(made)),
            "interval": (ends[0], ends[1]),
            "raw": change.value,
            "how": f"{change.how}; corrected by {known.n} verified predictions of its kind (bias {known.bias:+.0%})",
        }
    )


def by_key(found: Iterable[Calibration]) -> Mapping[Key, Calibration]:
    """Calibrations by kind and metric."""
    return {(one.kind, one.metric): one for one in found}


def _prior(change: PredictedChange, unit: Unit, scale: Scale, effect: float) -> PredictedChange:
    ends = (scale.value(effect + sign * PRIOR * abs(effect)) for sign in (-1, 1))
    low, high = sorted(_possible(unit, end) for end in ends)
    said = "no prediction of its kind was verified yet, so the interval is half the effect each way"
    return change.model_copy(update={"interval": (low, high), "how": f"{change.how}; {said}"})


def _possible(unit: Unit, value: float) -> float:
    return min(max(value, 0.0), 1.0) if unit is Unit.RATIO else max(value, 0.0)


def _calibration(key: Key, found: Sequence[Verification]) -> Calibration:
    effects = [_effect(one) for one in found]
    moving = [one for one in effects if abs(one.predicted) > _TINY]
    hits = sum(one.actual / one.predicted >= _HALF for one in moving)
    shown = [one for one in found if one.interval is not None]
    inside = sum(one.interval[0] <= one.actual <= one.interval[1] for one in shown if one.interval)
    model = _best(moving) if len(moving) >= LEAST else None
    return Calibration(
        kind=key[0],
        metric=key[1],
        n=len(found),
        hit_rate=hits / len(moving) if moving else 0.0,
        bias=median(one.actual / one.predicted for one in moving) - 1 if moving else 0.0,
        coverage=inside / len(shown) if shown else None,
        model=model.name if model else "none",
        correction=model.fit(moving) if model else 0.0,
        spread=_spread(model, moving) if model else None,
    )


def _effect(one: Verification) -> _Effect:
    scale = scale_of(one.unit, one.before, (one.predicted, one.actual))
    return _Effect(scale.effect(one.predicted), scale.effect(one.actual))


def _best(found: Sequence[_Effect]) -> _Model:
    return min((_FACTOR, _SHIFT), key=lambda model: median(abs(error) for error in _errors(model, found)))


def _errors(model: _Model, found: Sequence[_Effect]) -> list[float]:
    """Each entry's error under the model fitted without it."""
    errors = []
    for place, one in enumerate(found):
        others = [*found[:place], *found[place + 1 :]]
        errors.append(one.actual - model.apply(one.predicted, model.fit(others)))
    return errors


def _spread(model: _Model, found: Sequence[_Effect]) -> float | None:
    rank = math.ceil(LEVEL * (len(found) + 1))
    if rank > len(found):
        return None
    sizes = [model.size(one.predicted) for one in found]
    errors = sorted(abs(error) / size for error, size in zip(_errors(model, found), sizes, strict=True))
    return errors[rank - 1]


def _shrunk(n: int) -> float:
    return n / (n + _SHRINK)
