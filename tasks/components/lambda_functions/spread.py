"""How far a month's dollars may differ because days differ: an interval from the days of the window.

School days and weekends are strata of their own, so that the week's shape is not taken for noise. The variance of the
sum of the days is Σ n·s² over the strata (Cochran, Sampling Techniques, 5.3), its interval Student's t. A ratio of
two sums (dollars per meal) has the variance of its residuals (ibid., 6.3).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, variance

from tasks.components.lambda_functions.quantiles import Interval

LEAST_DAYS = 4
_SATURDAY = 5


@dataclass(frozen=True, slots=True)
class Day:
    """One whole local day: its weekday (0 is Monday), and what was spent and served on it."""

    weekday: int
    dollars: float
    meals: int = 0

    @property
    def stratum(self) -> bool:
        """Whether it is a weekend's."""
        return self.weekday >= _SATURDAY


def sum_half_width(days: Sequence[tuple[bool, float]]) -> float | None:
    """Half of the 95 % interval of a sum over days (stratum, value); None where days are too few to tell."""
    strata: dict[bool, list[float]] = defaultdict(list)
    for stratum, value in days:
        strata[stratum].append(value)
    freedom = sum(len(values) - 1 for values in strata.values())
    if len(days) < LEAST_DAYS or freedom < 2:  # noqa: PLR2004 - Student's t needs some
        return None
    # a stratum of one day has no variance of its own: it gets that of the others, relative to its value
    known = {name: variance(values) for name, values in strata.items() if len(values) > 1}
    total = 0.0
    for name, values in strata.items():
        total += len(values) * known.get(name, max(known.values()))
    return student_t(freedom) * math.sqrt(total)


def per_meal(days: Sequence[Day]) -> tuple[float, Interval | None] | None:
    """Dollars per meal over the days, and its 95 % interval; None where no meal was served."""
    meals = sum(day.meals for day in days)
    if meals == 0:
        return None
    ratio = sum(day.dollars for day in days) / meals
    half = sum_half_width([(day.stratum, day.dollars - ratio * day.meals) for day in days])
    return ratio, None if half is None else (max(0.0, ratio - half / meals), ratio + half / meals)


def student_t(freedom: int) -> float:
    """The 97.5 % point of Student's t (Abramowitz and Stegun 26.7.5; within 1 % from 2 degrees of freedom)."""
    if freedom == 2:  # noqa: PLR2004 - the series is off by 3 % here; the exact value
        return 4.3027
    z = NormalDist().inv_cdf(0.975)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3
