"""A ratio of the whole from its parts: what becomes of an error or hit ratio if some kinds of requests change.

Such a ratio is the mean of its parts' ratios, weighed by their counts, and parts join by addition. Whether a metric
is one is not taken for granted: the weighed mean of its parts has to be the measured whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from storage.records import Measurement, PredictedChange, Unit
from tasks.judge.mixture import Key, key_of

_CLOSE = 0.01
"""How far the weighed mean of the parts may lie from the whole."""


@dataclass(frozen=True)
class Mean:
    """The parts of one ratio: each with its share of all counts, and its value."""

    metric: str
    parts: Mapping[Key, tuple[float, float]]

    def effects(self, changes: Sequence[PredictedChange]) -> tuple[float, tuple[float, float] | None]:
        """What is added to the whole, and how far that may lie below and above (80 %, independent errors)."""
        centre = below = above = 0.0
        known = True
        for one in changes:
            share, value = self.parts[key_of(one.labels)]
            centre += share * (one.value - value)
            if one.interval is None:
                known = False
            else:
                low, high = one.interval
                below = math.hypot(below, share * max(0.0, one.value - low))
                above = math.hypot(above, share * max(0.0, high - one.value))
        return centre, (below, above) if known else None


def means(measurements: Iterable[Measurement]) -> Mapping[str, Mean]:
    """Every ratio whose parts with one label make up its whole."""
    whole: dict[str, float] = {}
    parts: dict[str, dict[Key, Measurement]] = {}
    for one in measurements:
        if one.unit is Unit.RATIO and one.value is not None:
            if not one.labels:
                whole[one.metric] = one.value
            elif len(one.labels) == 1:
                parts.setdefault(one.metric, {})[key_of(one.labels)] = one
    made = {metric: _mean(metric, parts[metric]) for metric in whole if metric in parts}
    return {metric: mean for metric, mean in made.items() if abs(_value(mean) - whole[metric]) <= _CLOSE}


def _mean(metric: str, parts: Mapping[Key, Measurement]) -> Mean:
    n = sum(one.n for one in parts.values())
    return Mean(metric, {key: (one.n / n, one.value or 0.0) for key, one in parts.items()})


def _value(mean: Mean) -> float:
    return math.fsum(share * value for share, value in mean.parts.values())
