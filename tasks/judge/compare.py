"""Holds a run against up to five earlier ones, figure by figure: better, same, worse, inconclusive. Pure; ADR 0020.

Requests of one run are alike, so tests on raw requests alarm on nothing a third of the time. Here a run is one value
per figure: the trimmed mean of the logarithms of the percentile in each of 40 slices of time, which a pause does not
move. What two runs of the same thing differ by is learnt from the baselines, shrunk to a prior where they are few
(as in Smyth 2004, "Linear models and empirical Bayes methods"), and the difference is judged by Student's t.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from storage.records import Direction, Regression, Threshold, Unit
from tasks.judge.student import quantile

MOST_BASELINES = 5
SLICES = 40
"""Slices of time of a run; fewer where a slice would have less than `FEWEST_IN_SLICE` samples."""
FEWEST_SLICES = 8
FEWEST_IN_SLICE = 25
MINIMUM_EFFECT = 0.04
CONFIRMED = 0.20
"""Change from which a comparison with fewer than `ENOUGH` baselines counts as confirmed."""
ENOUGH = 3

Floats = npt.NDArray[np.float64]
Verdict = Literal["better", "same", "worse", "inconclusive", "not_alike"]

_PERCENTILE = re.compile(r"\.p(\d{2})$")
_PRIOR = 0.015
"""What runs of the same thing differ by at least, relative: standard deviation of one run."""
_PRIOR_OF_VALUES = 0.05
"""The same where a run is one number without slices."""
_UNKNOWN = 0.10
"""The same where nothing at all is known of a number's noise: identical code differs by 10 to 30 % elsewhere."""
_PRIOR_RUNS = 4.0
_CONFIDENCE = 0.98
"""Of an interval that must not hold 0: at 0.97 runs that differ by 3 % alarm in 6 of 100 (benchmarks/comparison)."""
_CONFIDENCE_OF_PARTS = 0.997
"""The same for parts of the platform: there are a hundred of them in a run, and each may err."""
_POWER = 0.80
_TRIM = 0.20
_PHI_MOST = 0.6
_NORMAL_975 = 1.959963984540054
_OTHER_SIZE = 0.10
_NEITHER = {"total", "longest", "max"}
_LOAD = ("users", "duration_s", "ramp_up_s", "pace_s")


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of one run. `slices` are its percentile in each slice of time, in the figure's unit."""

    metric: str
    unit: Unit
    value: float
    n: int
    labels: Mapping[str, str] = field(default_factory=dict)
    interval: tuple[float, float] | None = None
    slices: tuple[float, ...] = ()

    @property
    def key(self) -> tuple[str, tuple[tuple[str, str], ...], Unit]:
        """What makes it the same figure in another run."""
        return self.metric, tuple(sorted(self.labels.items())), self.unit


def slices_of(times: Floats, values: Floats, q: float) -> tuple[float, ...]:
    """The percentile q (0..1, nearest rank) of values in each of up to `SLICES` equal slices of time; empty: too few.

    A slice with less than half of the samples that it should have tells of a pause, and is left out.
    """
    count = min(SLICES, len(values) // FEWEST_IN_SLICE)
    if count < FEWEST_SLICES:
        return ()
    first, last = float(times.min()), float(times.max())
    if last <= first:
        return ()
    which = np.minimum(((times - first) / (last - first) * count).astype(np.int64), count - 1)
    order = np.argsort(which, kind="stable")
    edges = np.searchsorted(which[order], np.arange(count + 1))
    found = []
    for start, end in itertools.pairwise(edges.tolist()):
        if end - start >= FEWEST_IN_SLICE / 2:
            rank = max(math.ceil(q * (end - start)), 1) - 1
            found.append(float(np.partition(values[order[start:end]], rank)[rank]))
    return tuple(found) if len(found) >= FEWEST_SLICES else ()


@dataclass(frozen=True, slots=True)
class RunFigures:
    """All figures of one run, and under which conditions they were measured.

    `context` has the load's settings, `platform`, `cores`, `memory_mb`, `data_size` in bytes, and `thresholds`, a
    digest; what is missing is not known, and is not held against anybody.
    """

    run: str
    figures: tuple[Figure, ...]
    context: Mapping[str, str] = field(default_factory=dict)
    release: str | None = None
    doubted: tuple[str, ...] = ()
    """Components without figures here: their load generator did not trust itself."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure held against its baselines.

    `change` is relative, +0.10 is ten per cent more, with its `interval` of 98 % (of parts 99.7 %, for there are
    many); `smallest` is the smallest change that this comparison would have found four times in five. `baselines`
    counts the runs behind `baseline`, their mean. `reason` says what a verdict rests on, or why there is none.
    """

    metric: str
    labels: Mapping[str, str]
    unit: Unit
    value: float
    baseline: float
    baselines: int
    verdict: Verdict
    change: float
    interval: tuple[float, float]
    smallest: float
    direction: Direction
    reason: str


def compare_runs(
    run: RunFigures, baselines: Sequence[RunFigures], thresholds: Sequence[Threshold] = ()
) -> list[Comparison]:
    """Each figure of a run that a baseline has too, held against at most `MOST_BASELINES` of them.

    `thresholds` say which way is better and which change matters. Where the conditions of all baselines differ from
    the run's, every verdict is "not_alike", and the reason names what differs; where some do, the others count.
    """
    limits = {threshold.metric: threshold for threshold in thresholds}
    differing = {one.run: unlike(run.context, one.context) for one in baselines}
    alike = [one for one in baselines if not differing[one.run]]
    chosen = (alike or list(baselines))[:MOST_BASELINES]
    why = "" if alike else "; ".join(dict.fromkeys(what for whats in differing.values() for what in whats))
    known = [{figure.key: figure for figure in one.figures} for one in chosen]
    found = []
    for figure in run.figures:
        others = [figures[figure.key] for figures in known if figure.key in figures]
        direction = _direction(figure, limits.get(figure.metric))
        if others and direction:
            found.append(_compared(figure, others, direction, limits.get(figure.metric), why))
    return found


def unlike(context: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """What makes two runs not like with like, each in words."""
    said = []
    for key in (*_LOAD, "platform", "cores", "thresholds"):
        now, then = context.get(key), other.get(key)
        if now is not None and then is not None and now != then:
            said.append("other thresholds" if key == "thresholds" else f"{key} {then} then, {now} now")
    for key, title, unit in (("data_size", "data size", 1e6), ("memory_mb", "memory", 1.0)):
        then_, now_ = (_number(one.get(key)) / unit for one in (other, context))
        if then_ > 0 and now_ > 0 and abs(math.log(now_ / then_)) > math.log1p(_OTHER_SIZE):
            said.append(f"{title} {then_:,.0f} MB then, {now_:,.0f} MB now")
    return said


def _number(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0


def _direction(figure: Figure, threshold: Threshold | None) -> Direction | None:
    """Which way is better; None where nobody said so and the unit does not tell.

    A sum grows with the work that was asked for, and a maximum with the time that was looked at.
    """
    if threshold:
        return threshold.direction
    if figure.metric.rpartition(".")[2] in _NEITHER:
        return None
    return {Unit.MS: Direction.LOWER, Unit.PER_SECOND: Direction.HIGHER}.get(figure.unit)


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where a run lies on the scale on which it is compared, and its own standard error; None: not known."""

    at: float
    error: float | None


def _compared(
    figure: Figure, others: Sequence[Figure], direction: Direction, threshold: Threshold | None, why: str
) -> Comparison:
    sliced = [one for one in others if len(one.slices) >= FEWEST_SLICES]
    by_slices = len(figure.slices) >= FEWEST_SLICES and bool(sliced)
    others = sliced if by_slices else list(others)
    logs = figure.unit is not Unit.RATIO and all(one.value > 0 for one in (figure, *others))
    scale = 1.0 if logs else _scale(others, threshold)
    spots = [_sliced(one) if by_slices else _single(one, scale, logs=logs) for one in (figure, *others)]
    prior = _PRIOR if by_slices else _PRIOR_OF_VALUES
    change, error, freedom = _difference(spots[0], spots[1:], prior)
    confidence = _CONFIDENCE_OF_PARTS if figure.labels else _CONFIDENCE
    reach = quantile((1 + confidence) / 2, freedom) * error
    seen = reach + quantile(_POWER, freedom) * error
    least = _least(threshold, logs=logs)
    ends = (change - reach, change + reach)
    told = math.expm1 if logs else float
    few = next((one for one in (figure, *others) if _extreme(one)), None)
    if why:
        verdict: Verdict = "not_alike"
    else:
        verdict = "inconclusive" if few else _verdict(change, ends, least, direction)
    centre = float(np.mean([spot.at for spot in spots[1:]]))
    basis = "slices of time" if by_slices else "values"
    return Comparison(
        metric=figure.metric,
        labels=figure.labels,
        unit=figure.unit,
        value=figure.value,
        baseline=math.exp(centre) if logs and not by_slices else float(np.mean([one.value for one in others])),
        baselines=len(others),
        verdict=verdict,
        change=told(change),
        interval=(told(ends[0]), told(ends[1])),
        smallest=told(max(seen, least)),
        direction=direction,
        reason=_reason(why, few, f"{basis} of {len(others)} {_runs(len(others))}"),
    )


def _reason(why: str, few: Figure | None, basis: str) -> str:
    if why:
        return f"not like with like: {why}"
    return f"of {few.n} samples, the largest stands for this percentile" if few else basis


def _extreme(figure: Figure) -> bool:
    """Whether a percentile is but the largest of few samples."""
    match = _PERCENTILE.search(figure.metric)
    return match is not None and figure.n * (100 - int(match[1])) < 100  # noqa: PLR2004 - per cent


def _runs(count: int) -> str:
    return "run" if count == 1 else "runs"


def _least(threshold: Threshold | None, *, logs: bool) -> float:
    """The smallest change that matters, on the scale of the comparison."""
    effect = threshold.minimum_effect if threshold else MINIMUM_EFFECT
    return math.log1p(effect) if logs else effect


def _verdict(change: float, ends: tuple[float, float], least: float, direction: Direction) -> Verdict:
    clear = ends[0] > 0 or ends[1] < 0
    if clear and abs(change) >= least:
        return "worse" if (change > 0) == (direction is Direction.LOWER) else "better"
    return "same" if max(-ends[0], ends[1]) <= 2 * least else "inconclusive"


def _difference(run: _Spot, baselines: Sequence[_Spot], prior: float) -> tuple[float, float, float]:
    """Run less the mean of its baselines, the standard error of that, and its degrees of freedom."""
    places = np.array([one.at for one in baselines])
    count = len(places)
    known = [one.error**2 for one in (run, *baselines) if one.error is not None]
    within = float(np.mean(known)) if known else _UNKNOWN**2
    expected = prior**2 + within
    observed = float(places.var(ddof=1)) if count > 1 else 0.0
    freedom = _PRIOR_RUNS + count - 1
    variance = (_PRIOR_RUNS * expected + (count - 1) * observed) / freedom
    return float(run.at - places.mean()), math.sqrt(variance * (1 + 1 / count)), freedom


def _sliced(figure: Figure) -> _Spot:
    """Trimmed mean of the logarithms of the slices; its error by Yuen (1974), enlarged for autocorrelation."""
    logs = np.log(np.maximum(np.array(figure.slices, np.float64), 1e-12))
    count = len(logs)
    cut = int(_TRIM * count)
    ordered = np.sort(logs)
    middle = ordered[cut : count - cut]
    kept = np.clip(logs, middle[0], middle[-1])
    rest = kept - kept.mean()
    power = float(rest @ rest)
    phi = min(max(float(rest[:-1] @ rest[1:]) / power, 0.0), _PHI_MOST) if power > 0 else 0.0
    error = float(kept.std(ddof=1)) / ((1 - 2 * _TRIM) * math.sqrt(count)) * math.sqrt((1 + phi) / (1 - phi))
    return _Spot(float(middle.mean()), error)


def _single(figure: Figure, scale: float, *, logs: bool) -> _Spot:
    """A value alone, with the error that its 95 % interval tells of."""
    at = math.log(figure.value) if logs else figure.value / scale
    if figure.interval is None:
        return _Spot(at, None)
    low, high = figure.interval
    if not logs:
        return _Spot(at, (high - low) / scale / (2 * _NORMAL_975))
    return _Spot(at, math.log(high / low) / (2 * _NORMAL_975) if low > 0 else None)


def _scale(others: Sequence[Figure], threshold: Threshold | None) -> float:
    """What a difference of a ratio is relative to: the baseline, never less than good where less is better."""
    mean = abs(float(np.mean([one.value for one in others])))
    least = threshold.good if threshold and threshold.direction is Direction.LOWER else 0.0
    return max(mean, abs(least), 1e-9)


def regressions(
    found: Sequence[Comparison], thresholds: Sequence[Threshold], against: Sequence[str]
) -> list[Regression]:
    """What became worse against the baselines `against`, as the report tells it; parts of the platform left out.

    Confirmed, and so failing the gate, is what at least `ENOUGH` baselines or a change of `CONFIRMED` stand for.
    """
    weighty = {threshold.metric for threshold in thresholds if threshold.weight > 0}
    return [
        Regression(
            metric=one.metric,
            labels=one.labels,
            baseline=one.baseline,
            value=one.value,
            unit=one.unit,
            change=one.change,
            confirmed=one.baselines >= ENOUGH or abs(one.change) >= CONFIRMED,
            detail=f"against {_named(against[: one.baselines])}: 98 % interval {one.interval[0] * 100:+.1f} to"
            f" {one.interval[1] * 100:+.1f} %, by {one.reason}",
            kind="baseline",
            interval=one.interval,
        )
        for one in found
        if one.verdict == "worse" and not one.labels and one.metric in weighty
    ]


def _named(runs: Sequence[str]) -> str:
    more = len(runs) - 1
    return f"run {runs[0]}" if more == 0 else f"run {runs[0]} and {more} more before it"
