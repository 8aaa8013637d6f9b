"""Change points in a series of runs: the robust confirmed change point. Pure.

A nightly figure wanders, has outliers and a weekly season; a regression is a change of its level that stays. So the
series is taken to logarithms, its season removed where that makes it much quieter, lone outliers are pulled back (at
the tail too: a jump of one or two runs is not believed yet), and the levels are found by the exact least-squares
partition (Jackson et al. 2005, "An algorithm for optimal partitioning of data on an interval"). A change of level is
kept where it is large enough to matter (`minimum_effect`) and clear of the series' own noise, which is measured with
its autocorrelation: runs that follow each other are alike, and tests that forget it alarm on nothing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SUSPECTED = 3
"""Runs after a change from which it is told of."""
CONFIRMED = 7
"""Runs after a change from which it counts as confirmed."""
FEWEST = 8
"""Runs below which nothing can be said."""
MINIMUM_EFFECT = 0.04
"""Relative change of level that matters, where the caller names none."""

FEWEST_OF_DRIFT = 20
"""Runs below which nothing is said of a trend."""

_LONGEST_DRIFT = 120
_PENALTY = 11.0  # at 17 as many false alarms and more changes missed, told late or not at all (ADR 0020)
_CLEAR = 4.0
_KNOWN = 30.0  # runs; of a series that is not much longer neither noise nor week is known well: more is asked
_NEAR = 12  # values on each side of an edge that tell the noise there
_LOUDER = 1.25  # from how much more noise than everywhere on it counts: that of few values is known badly
_HERE = 0.8  # of what the penalty asks for by the noise of the whole series is asked for by that around the edge
_CLEARER = 10.0  # what one line must leave more than two levels, in variances of the noise
_GOES_ON, _SURE = 0.5, 2.0  # a new level's own slope: as a share of the jump, and in standard errors
_JUMP = 0.65  # of a change of level is at least the jump that a common slope leaves: a drift has little of it
_WEEK = 7
_QUIETER = 0.9
_PHI_MOST = 0.6
_MAD = 1.4826
_HAMPEL = 3.0


@dataclass(frozen=True, slots=True)
class ChangePoint:
    """A change of level.

    `index` is the first value of the new level in the series as given. `before` and `after` are the levels (medians,
    in the series' unit), `effect` is after ÷ before − 1 (after − before where the series has values ≤ 0), `interval`
    its 95 % interval. `confidence` is how unlikely noise alone would be, 0..1. `status` follows from how many runs
    stand behind the new level.
    """

    index: int
    direction: Literal[1, -1]
    confidence: float
    before: float
    after: float
    effect: float
    interval: tuple[float, float]
    runs: int
    status: Literal["suspected", "confirmed"]


_ENOUGH = 1e50


@dataclass(frozen=True, slots=True)
class _Noise:
    """What a series does when nothing happens: scale, and the autocorrelation φ of neighbours."""

    scale: float
    phi: float

    @property
    def inflation(self) -> float:
        """How much autocorrelation enlarges the variance of a mean: (1 + φ)/(1 − φ)."""
        return (1 + self.phi) / (1 - self.phi)


def change_points(
    values: Sequence[float | None],
    times: Sequence[datetime | date] | None = None,
    minimum_effect: float = MINIMUM_EFFECT,
    closed: Collection[date] = (),
) -> list[ChangePoint]:
    """The changes of level in a series of runs, oldest first; none where there are fewer than `FEWEST` values.

    `values` in the order of time; None and NaN are runs that did not measure. `times` are the runs' moments: with
    them the season is that of weekdays, without them of every seventh run; `closed` are days without school, which
    are like Sundays. `minimum_effect` is relative. A steady trend is no change of level: `drift` tells of it.
    """
    given = np.array([np.nan if value is None else value for value in values], np.float64)
    place = np.flatnonzero(np.isfinite(given))
    if len(place) < FEWEST:
        return []
    kept = given[place]
    logs = bool((kept > 0).all())
    unit = 1.0 if logs else _size(kept)
    series = np.log(kept) if logs else _sized(kept, unit)
    least = math.log1p(minimum_effect) if logs else minimum_effect * float(np.median(np.abs(series)))
    phases = place % _WEEK if times is None else np.array([_weekday(times[int(at)], closed) for at in place])
    shut = np.array([times is not None and _day(times[int(at)]) in closed for at in place])
    quiet = _despiked(_without_season(series, phases, shut))
    edges, noise = _levels(quiet, least)
    found = [_described(quiet, edges, number, noise, None if logs else unit) for number in range(1, len(edges) - 1)]
    return [replace(one, index=int(place[one.index])) for one in found]


@dataclass(frozen=True, slots=True)
class Drift:
    """A slow change: from the first of `runs` values to the last by `effect`, relative where all are above 0."""

    direction: Literal[1, -1]
    effect: float
    interval: tuple[float, float]
    runs: int
    first: int


def drift(
    values: Sequence[float | None], minimum_effect: float = MINIMUM_EFFECT, since: int | None = None
) -> Drift | None:
    """The trend of the values from index `since` (by default of the last level) on, where it is clear and matters.

    The slope is the median of the slopes of all pairs (Theil 1950, Sen 1968); its standard error is that of least
    squares on the noise that it leaves, enlarged for autocorrelation. It matters from twice the minimum effect.
    """
    if since is None:
        changes = change_points(values, minimum_effect=minimum_effect)
        since = changes[-1].index if changes else 0
    given = np.array([np.nan if value is None else value for value in values[since:]], np.float64)
    place = np.flatnonzero(np.isfinite(given))[-_LONGEST_DRIFT:]
    if len(place) < FEWEST_OF_DRIFT:
        return None
    kept = given[place]
    logs = bool((kept > 0).all())
    unit = 1.0 if logs else _size(kept)
    series = _despiked(np.log(kept) if logs else _sized(kept, unit))
    x = place.astype(np.float64)
    left, right = np.triu_indices(len(x), 1)
    slope = float(np.median((series[right] - series[left]) / (x[right] - x[left])))
    rest = series - slope * x
    noise = _noise(rest, [0, len(rest)])
    error = noise.scale * math.sqrt(noise.inflation / float(((x - x.mean()) ** 2).sum()))
    least = math.log1p(minimum_effect) if logs else minimum_effect * float(np.median(np.abs(series)))
    span = float(x[-1] - x[0])
    if abs(slope) < _CLEAR * error or abs(slope) * span < 2 * least:
        return None
    ends = [span * (slope + k * error) for k in (0, -1.96, 1.96)]
    change, low, high = (math.expm1(end) if logs else end * unit for end in ends)
    return Drift(1 if slope > 0 else -1, change, (low, high), len(place), since + int(place[0]))


def _weekday(moment: datetime | date, closed: Collection[date]) -> int:
    day = _day(moment)
    return _WEEK - 1 if day in closed else day.weekday()


def _day(moment: datetime | date) -> date:
    return moment.date() if isinstance(moment, datetime) else moment


def _size(series: Floats) -> float:
    """How large the values are that are not 0: what follows knows no unit."""
    other = np.abs(series[series != 0])
    return float(np.median(other)) if len(other) else 1.0


def _sized(series: Floats, unit: float) -> Floats:
    """In that unit; beyond `_ENOUGH` a value is only large, so that no square of it overflows."""
    with np.errstate(over="ignore"):
        return np.clip(series / unit, -_ENOUGH, _ENOUGH)


# --- the series made quiet ---


def _without_season(series: Floats, phases: npt.NDArray[np.int64], shut: npt.NDArray[np.bool_]) -> Floats:
    """Without the profile of the week, where that takes at least a tenth of the noise away.

    The level under the profile is that of days with school: a fortnight of Sundays would hide itself.
    """
    school = np.flatnonzero(~shut)
    if len(school) < 3 * _WEEK:
        return series
    level = _rolling_median(series[school], _WEEK)
    rest = series - (level if len(school) == len(series) else np.interp(np.arange(len(series)), school, level))
    profile = np.zeros(_WEEK)
    for phase in range(_WEEK):
        of_phase = rest[phases == phase]
        if len(of_phase) < 3:  # noqa: PLR2004 - a median of two is no profile
            return series
        profile[phase] = np.median(of_phase)
    profile -= profile.mean()
    better = rest - profile[phases]
    return series - profile[phases] if _mad(better) < _QUIETER * _mad(rest) else series


def _despiked(series: Floats) -> Floats:
    """Hampel filter over five values: what stands alone is pulled to its neighbours' median.

    At the tail the five last values are the neighbours, so that a jump of one or two runs is held back until a third
    confirms it.
    """
    n = len(series)
    starts = np.clip(np.arange(n) - 2, 0, n - 5)
    windows = np.lib.stride_tricks.sliding_window_view(series, 5)[starts]
    middle = np.median(windows, axis=1)
    limit = _HAMPEL * max(_scale_of_steps(series), 1e-12)
    return np.where(np.abs(series - middle) > limit, middle, series)


def _rolling_median(series: Floats, width: int) -> Floats:
    n, half = len(series), width // 2
    starts = np.clip(np.arange(n) - half, 0, n - width)
    windows = np.lib.stride_tricks.sliding_window_view(series, width)[starts]
    median: Floats = np.median(windows, axis=1)
    return median


def _mad(series: Floats) -> float:
    return float(_MAD * np.median(np.abs(series - np.median(series))))


def _scale_of_steps(series: Floats) -> float:
    """Noise from the differences of neighbours: a change of level is one difference among many."""
    steps = np.diff(series)
    return float(_MAD * np.median(np.abs(steps)) / math.sqrt(2))


# --- the levels ---


def _levels(series: Floats, least: float) -> tuple[list[int], _Noise]:
    """Edges of the levels, first and last included, and the noise that they leave."""
    noise = _Noise(max(_scale_of_steps(series), 1e-9), 0.0)
    edges = [0, len(series)]
    for _ in range(2):  # the noise is known once the levels are, and the other way round
        edges = _merged(series, _partition(series, _penalty(noise, len(series))), least, noise)
        noise = _noise(series, edges)
        if len(edges) == 2:  # noqa: PLR2004 - one level: the next penalty is not smaller, so it stays one
            break
    return _merged(series, edges, least, noise), noise


def _penalty(noise: _Noise, n: int) -> float:
    return _PENALTY * noise.scale**2 * math.log(n) * noise.inflation


def _noise(series: Floats, edges: Sequence[int]) -> _Noise:
    """Scale and φ of what the levels leave."""
    rest = np.concatenate([series[a:b] - np.median(series[a:b]) for a, b in itertools.pairwise(edges)])
    scale = max(_mad(rest), _scale_of_steps(series), 1e-9)
    bounded = np.clip(rest, -3 * scale, 3 * scale)
    power = float(bounded @ bounded)
    phi = float(bounded[:-1] @ bounded[1:]) / power if power > 0 else 0.0
    return _Noise(scale, min(max(phi, 0.0), _PHI_MOST))


def _partition(series: Floats, penalty: float) -> list[int]:
    """The exact least-squares partition into levels of at least `SUSPECTED` values, each level at a penalty."""
    n, shortest = len(series), SUSPECTED
    centred = series - series.mean()
    sums = np.concatenate(([0.0], np.cumsum(centred)))
    shares = np.append(1 / np.arange(n, 0, -1), 0.0)  # 1 ÷ length of the levels that begin at 0, 1, … and end at n
    rest = np.full(n + 1, np.inf)  # cost of the best partition up to a place, less the sum of squares up to it
    rest[0] = -penalty
    came_from = np.zeros(n + 1, np.int64)
    for end in range(shortest, n + 1):
        count = end - shortest + 1
        total = sums[end] - sums[:count]
        cost = rest[:count] - total * total * shares[n - end : n - end + count]
        chosen = int(cost.argmin())
        came_from[end] = chosen
        rest[end] = cost[chosen] + penalty
    edges = [n]
    while edges[-1] > 0:
        edges.append(int(came_from[edges[-1]]))
    return edges[::-1]


def _merged(series: Floats, edges: list[int], least: float, noise: _Noise) -> list[int]:
    """Levels joined, the weakest change first, until each change matters and is clear of the noise."""
    edges = list(edges)
    n = len(series)
    clear = math.sqrt(noise.inflation) * max(_CLEAR * (1 + _KNOWN / n), _HERE * math.sqrt(_PENALTY * math.log(n)))
    while len(edges) > 2:  # noqa: PLR2004 - first and last
        changes = [_change(series, edges, number, noise) for number in range(1, len(edges) - 1)]
        rated = [min(abs(change) / max(least, 1e-12), abs(change) / error / clear) for change, error in changes]
        rated = [rate if _steps(series, edges, at + 1, noise) else 0.0 for at, rate in enumerate(rated)]
        weakest = int(np.argmin(rated))
        if rated[weakest] >= 1:
            break
        del edges[weakest + 1]
    return edges


def _steps(series: Floats, edges: Sequence[int], number: int, noise: _Noise) -> bool:
    """Whether the stretch around an edge jumps there, or only drifts.

    Two levels must tell clearly more of it than one straight line; where both sides may have a slope in common
    (analysis of covariance), most of the change must still be the jump between them; and what clearly goes on,
    by half as much again, is a ramp and no level.
    """
    start, middle, end = edges[number - 1 : number + 2]
    left, right = _centred(series[start:middle]), _centred(series[middle:end])
    jump, apart = right.mean - left.mean, (end - start) / 2
    within, along, across = left.xx + right.xx, left.xy + right.xy, len(left.y) * len(right.y) / (end - start)
    step = float(left.y @ left.y + right.y @ right.y)
    line = step + across * jump**2 - (along + across * apart * jump) ** 2 / (within + across * apart**2)
    clearer = line - step >= _CLEARER * noise.scale**2 * noise.inflation
    most = (jump - along / within * apart) / (jump or 1.0) >= _JUMP
    sure = abs(right.xy) / math.sqrt(right.xx * noise.inflation) >= _SURE * noise.scale
    goes_on = sure and right.xy / right.xx * len(right.y) / (jump or 1.0) > _GOES_ON
    return clearer and most and not goes_on


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of an edge: its mean, what is left of it, and its sums of squares and products with the place."""

    mean: float
    y: Floats
    xx: float
    xy: float


def _centred(series: Floats) -> _Side:
    x = np.arange(len(series)) - (len(series) - 1) / 2
    mean = float(series.mean())
    y = series - mean
    return _Side(mean, y, float(x @ x), float(x @ y))


def _change(series: Floats, edges: Sequence[int], number: int, noise: _Noise) -> tuple[float, float]:
    """Difference of two neighbouring levels, and its standard error without autocorrelation.

    Where the series is louder around the edge than elsewhere, that noise counts.
    """
    left, right = series[edges[number - 1] : edges[number]], series[edges[number] : edges[number + 1]]
    before, after = float(np.median(left)), float(np.median(right))
    here = _MAD * float(np.median(np.abs(np.concatenate([left[-_NEAR:] - before, right[:_NEAR] - after]))))
    scale = max(noise.scale, here / _LOUDER)
    return after - before, scale * math.sqrt(1 / len(left) + 1 / len(right))


def _described(series: Floats, edges: Sequence[int], number: int, noise: _Noise, unit: float | None) -> ChangePoint:
    """The change at one edge; `unit` is None where the series is of logarithms."""
    change, error = _change(series, edges, number, noise)
    error *= math.sqrt(noise.inflation)
    left, right = series[edges[number - 1] : edges[number]], series[edges[number] : edges[number + 1]]
    before, after = float(np.median(left)), float(np.median(right))
    low, high = change - 1.96 * error, change + 1.96 * error
    runs = len(right)
    return ChangePoint(
        index=edges[number],
        direction=1 if change > 0 else -1,
        confidence=math.erf(abs(change) / error / math.sqrt(2)),
        before=math.exp(before) if unit is None else before * unit,
        after=math.exp(after) if unit is None else after * unit,
        effect=math.expm1(change) if unit is None else change * unit,
        interval=(math.expm1(low), math.expm1(high)) if unit is None else (low * unit, high * unit),
        runs=runs,
        status="confirmed" if runs >= CONFIRMED else "suspected",
    )
