"""CloudWatch statistics of samples over periods, each period present only where it holds a sample.

Percentiles interpolate linearly between the two closest ranks (R-7, NumPy's default). AWS publishes no definition;
its own percentiles come from compressed distributions and may differ by a few per cent where samples are few.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deployments.local.aws.series import Series

STATISTICS = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")

_REDUCE = {"Sum": np.add.reduceat, "Minimum": np.minimum.reduceat, "Maximum": np.maximum.reduceat}
_HUNDRED = 100.0
_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Buckets:
    """The samples of one metric within a window, cut into periods that begin at the window's start."""

    starts_ms: _Ints  # the beginning of each period that holds samples
    first: _Ints  # where each period's samples begin in `values`
    values: _Floats
    numbers: _Ints  # the number of the period of each sample

    def statistic(self, name: str) -> _Floats:
        """`name` by period: one of STATISTICS, or a percentile such as p99 or p99.9."""
        if not len(self.first):
            return np.empty(0)
        if name in _REDUCE:
            return np.asarray(_REDUCE[name](self.values, self.first), dtype=np.float64)
        counts = np.diff(self.first, append=len(self.values)).astype(np.float64)
        if name == "SampleCount":
            return counts
        if name == "Average":
            return np.asarray(np.add.reduceat(self.values, self.first) / counts, dtype=np.float64)
        percentile = percentile_of(name)
        if percentile is None:
            message = f"{name} is no statistic"
            raise ValueError(message)
        return self._percentile(percentile, counts)

    def _percentile(self, percentile: float, counts: _Floats) -> _Floats:
        ordered = self.values[np.lexsort((self.values, self.numbers))]
        rank = (counts - 1.0) * percentile / _HUNDRED
        below = np.floor(rank).astype(np.int64)
        low = ordered[self.first + below]
        high = ordered[self.first + np.minimum(below + 1, counts.astype(np.int64) - 1)]
        return np.asarray(low + (high - low) * (rank - below), dtype=np.float64)


def cut(series: Series, *, start_ms: int, end_ms: int, period_ms: int) -> Buckets:
    """The samples with `start_ms <= minute < end_ms`, in periods of `period_ms` counted from `start_ms`."""
    window = slice(*np.searchsorted(series.times, [start_ms, end_ms]).tolist())
    times = series.times[window]
    numbers = (times - start_ms) // period_ms
    first = np.flatnonzero(np.diff(numbers, prepend=-1))
    return Buckets(
        starts_ms=start_ms + numbers[first] * period_ms,
        first=first.astype(np.int64),
        values=series.values[window],
        numbers=numbers,
    )


def percentile_of(statistic: str) -> float | None:
    """The percentile that `p50`, `p99.9` or `p100` names, 0..100; None where it names none."""
    digits = statistic[1:]
    if not statistic.startswith("p") or not digits[:1].isdigit() or not digits[-1:].isdigit():
        return None
    if not digits.replace(".", "", 1).isdigit():
        return None
    value = float(digits)
    return value if value <= _HUNDRED else None
