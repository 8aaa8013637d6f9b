"""A percentile of the whole from its parts: what becomes of the p95 of all requests if some kinds of them change.

Percentiles do not add up either: with twenty slow statements in the mix, mending one leaves the p95 of all where it
was, and mending all of them does not. So the whole is modelled as a mixture of its parts, each with the distribution
that its own p50, p95 and p99 tell: straight lines between them on a normal-probability scale of ln(time), carried on
beyond (a lognormal where the three agree). Parts weigh by their counts. A change of a part's percentile moves all of
its quantiles by the same factor. The model gives the factor by which the whole changes; the value is the measured one
times that factor, so what the model gets wrong of the present does not enter.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from storage.records import Measurement, PredictedChange

_NORMAL = NormalDist()
_LEVELS = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_Z = tuple(_NORMAL.inv_cdf(level) for level in _LEVELS.values())
_Z80 = _NORMAL.inv_cdf(0.9)
_STEPS = 60
_FLAT = 1e-6
"""Least slope of ln(time) over z: three equal percentiles are a step, not a division by zero."""

Key = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Part:
    """One kind of requests: its count, and ln of its p50, p95, p99."""

    n: int
    logs: tuple[float, float, float]

    def below(self, log: float, shift: float) -> float:
        """Share of the part below exp(log), its quantiles moved by the factor exp(shift)."""
        return _NORMAL.cdf(self._z(log - shift))

    def _z(self, log: float) -> float:
        first, second = (0, 1) if log < self.logs[1] else (1, 2)
        rise = max(self.logs[second] - self.logs[first], _FLAT)
        return _Z[first] + (log - self.logs[first]) * (_Z[second] - _Z[first]) / rise


@dataclass(frozen=True)
class Mixture:
    """The parts of one metric, such as `database.query.p95` by statement."""

    metric: str
    parts: Mapping[Key, Part]

    def factor(self, shifts: Mapping[Key, float]) -> float:
        """What the whole is multiplied by where parts are, by exp of their shifts."""
        level = _LEVELS[self.metric.rpartition(".")[2]]
        return math.exp(self._quantile(level, shifts) - self._quantile(level, {}))

    def shift(self, change: PredictedChange, value: float | None = None) -> float:
        """Ln of what a prediction multiplies its part by; `value` in place of the predicted one."""
        part = self.parts[key_of(change.labels)]
        place = list(_LEVELS).index(self.metric.rpartition(".")[2])
        now = change.value if value is None else value
        return math.log(max(now, math.exp(part.logs[0]) * _FLAT)) - part.logs[place]

    def effects(self, changes: Sequence[PredictedChange]) -> tuple[float, tuple[float, float] | None]:
        """The ln of what the whole is multiplied by, and how far that may lie below and above (80 %).

        Several changes of one part join by their factors. Each part is moved to both ends of its interval, the others
        at their predicted values; the differences join in quadrature, and with them what a percentile of so many
        requests differs by, before and after: much where few slow parts are left, for then it lies at a cliff.
        Without an interval of each there is none.
        """
        shifts = self._shifts(changes)
        centre = math.log(self.factor(shifts))
        (low, high), (lower, higher) = self._sampled({}), self._sampled(shifts)
        below, above = math.hypot(high, lower), math.hypot(low, higher)
        for one in changes:
            if one.interval is None:
                return centre, None
            key = key_of(one.labels)
            moved = [shifts[key] + self.shift(one, end) - self.shift(one) for end in one.interval]
            ends = [math.log(self.factor({**shifts, key: shift})) - centre for shift in moved]
            below, above = math.hypot(below, min(*ends, 0.0)), math.hypot(above, max(*ends, 0.0))
        return centre, (below, above)

    def _sampled(self, shifts: Mapping[Key, float]) -> tuple[float, float]:
        """How far the percentile of a sample of this size lies below and above that of the distribution (80 %).

        The number of requests below the true percentile is binomial, so the percentile of a sample is that of a level
        that differs by z·√(p(1−p)/n).
        """
        level = _LEVELS[self.metric.rpartition(".")[2]]
        n = sum(part.n for part in self.parts.values())
        off = _Z80 * math.sqrt(level * (1 - level) / n)
        centre = self._quantile(level, shifts)
        low, high = max(level - off, 1 / (2 * n)), min(level + off, 1 - 1 / (2 * n))
        return max(0.0, centre - self._quantile(low, shifts)), max(0.0, self._quantile(high, shifts) - centre)

    def _shifts(self, changes: Sequence[PredictedChange]) -> dict[Key, float]:
        shifts: dict[Key, float] = {}
        for one in changes:
            key = key_of(one.labels)
            shifts[key] = shifts.get(key, 0.0) + self.shift(one)
        return shifts

    def _quantile(self, level: float, shifts: Mapping[Key, float]) -> float:
        whole = sum(part.n for part in self.parts.values())
        moved = [(part, shifts.get(key, 0.0)) for key, part in self.parts.items()]
        low = min(part.logs[0] + shift for part, shift in moved) - 10
        high = max(part.logs[2] + shift for part, shift in moved) + 10
        for _ in range(_STEPS):
            middle = (low + high) / 2
            share = math.fsum(part.n * part.below(middle, shift) for part, shift in moved) / whole
            low, high = (middle, high) if share < level else (low, middle)
        return (low + high) / 2


def mixtures(measurements: Iterable[Measurement]) -> Mapping[str, Mixture]:
    """A mixture for each percentile of which at least one part with p50, p95 and p99 was measured."""
    found: dict[str, dict[Key, dict[str, Measurement]]] = {}
    for one in measurements:
        subject, _, statistic = one.metric.rpartition(".")
        if statistic in _LEVELS and len(one.labels) == 1 and one.value is not None and one.value > 0:
            found.setdefault(subject, {}).setdefault(key_of(one.labels), {})[statistic] = one
    made: dict[str, Mixture] = {}
    for subject, parts in found.items():
        whole = {key: _part(figures) for key, figures in parts.items() if len(figures) == len(_LEVELS)}
        for statistic in _LEVELS if whole else ():
            metric = f"{subject}.{statistic}"
            made[metric] = Mixture(metric, whole)
    return made


def key_of(labels: Mapping[str, str]) -> Key:
    """Which part labels name."""
    return tuple(sorted(labels.items()))


def _part(figures: Mapping[str, Measurement]) -> Part:
    logs = [math.log(figures[name].value or 1.0) for name in _LEVELS]
    return Part(figures["p50"].n, (logs[0], max(logs[0], logs[1]), max(logs)))
