"""Percentiles with their number of samples and a 95 % interval.

Definition: linear interpolation between order statistics, Hyndman and Fan's type 7, as `numpy.percentile` has it by
default: p of n sorted values lies at position p·(n−1). The interval is that of order statistics: the number of
samples below the true quantile is binomial, so ranks of the sample bound it whatever the distribution (Hahn and
Meeker, Statistical Intervals, 5.2). Where n is too small for such ranks to exist there is no interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

LEVELS = (0.50, 0.95, 0.99)
_TAIL = 0.025
_EXACT_UP_TO = 2000

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Percentiles:
    """p50, p95, p99, mean and maximum of `n` samples, in the samples' unit; `intervals` by level where known."""

    n: int
    p50: float
    p95: float
    p99: float
    mean: float
    maximum: float
    intervals: Mapping[float, Interval] = field(default_factory=dict)

    @property
    def p50_interval(self) -> Interval | None:
        """95 % interval of the median, None where n is too small for one."""
        return self.intervals.get(0.50)

    @property
    def p95_interval(self) -> Interval | None:
        """95 % interval of p95, None where n is too small for one (below 72)."""
        return self.intervals.get(0.95)


def percentiles(values: npt.NDArray[np.float64]) -> Percentiles | None:
    """Percentiles of the samples, None where there is none."""
    n = int(values.size)
    if n == 0:
        return None
    ordered = np.sort(values)
    p50, p95, p99 = (float(value) for value in np.quantile(ordered, LEVELS))
    intervals = {}
    for level in LEVELS:
        ranks = interval_ranks(n, level)
        if ranks is not None:
            intervals[level] = (float(ordered[ranks[0]]), float(ordered[ranks[1]]))
    return Percentiles(n, p50, p95, p99, float(ordered.mean()), float(ordered[-1]), intervals)


def interval_ranks(n: int, level: float) -> tuple[int, int] | None:
    """Ranks (from 0) of the order statistics that bound the quantile with at least 95 % confidence, or None."""
    if n > _EXACT_UP_TO:
        spread = NormalDist().inv_cdf(1 - _TAIL) * math.sqrt(n * level * (1 - level))
        low, high = math.floor(n * level - spread), math.ceil(n * level + spread)
        return (low, high) if low >= 0 and high < n else None
    below = _binomial_cdf(n, level)
    low = int(np.searchsorted(below, _TAIL, side="right")) - 1  # the last k with P(B <= k) <= 2.5 %
    high = int(np.searchsorted(below, 1 - _TAIL, side="left"))  # the first k with P(B <= k) >= 97.5 %
    return (low, high) if low >= 0 and high < n else None


def _binomial_cdf(n: int, level: float) -> npt.NDArray[np.float64]:
    """P(B ≤ k) for k = 0..n of a binomial variable, by logarithms of factorials."""
    k = np.arange(n + 1)
    log_factorial = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, n + 1)))))
    log_probability = (
        log_factorial[n]
        - log_factorial[k]
        - log_factorial[n - k]
        + k * math.log(level)
        + (n - k) * math.log1p(-level)
    )
    return np.cumsum(np.exp(log_probability))


def ratio_interval(successes: int, n: int) -> Interval | None:
    """Wilson's 95 % interval of a share (Wilson 1927), None without samples."""
    if n == 0:
        return None
    z = NormalDist().inv_cdf(1 - _TAIL)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)
