"""Which figures of a run have become worse, seen over the runs before it. Pure; docs/adr/0020.

For each metric: the change of level that holds now (suspected from 3 runs, confirmed from 7), a slow drift, and the
single run that falls past every limit. A change counts until it is undone, accepted (a baseline pinned at or after
it), or `RECENT` runs old: then that is how things are.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache

import numpy as np

from storage.history_records import HistoryRun, Series
from storage.records import Direction, Place, Regression, Threshold, Trust, Unit
from tasks.judge.detect import FEWEST, ChangePoint, change_points, drift

RECENT = 30
"""Runs after which a change of level is no news any more."""
RUNS = 250
"""How many earlier runs, the newest, are looked at."""
RUNS_OF_PARTS = 120
"""How many of them for parts of the platform, of which there are hundreds."""
MOST_PARTS = 20
"""How many changed parts of the platform are told of, the largest changes first."""

_PART_EFFECTS = 2
_NIGHTS = 3
_LOAD = ("users", "duration_s", "ramp_up_s", "pace_s")
_LOCAL = timezone(timedelta(hours=5, minutes=30))
"""Where the schools are."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What history shows of a run: changes for the worse, how many figures were looked at, and what to say of it."""

    regressions: tuple[Regression, ...] = ()
    compared: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Calendar:
    """What is known of time besides runs: days without school, and since when things are accepted as they are."""

    closed: Collection[date] = field(default_factory=frozenset)
    accepted: datetime | None = None


def like(run: HistoryRun, other: HistoryRun) -> bool:
    """Whether two runs put the same load on the same kind of platform, so that their figures make one series."""
    same = all(run.settings.get(key) == other.settings.get(key) for key in _LOAD)
    return same and run.local == other.local


def local_days(series: Series) -> list[date]:
    """The days on which the runs started, by the schools' clock: a weekday is theirs."""
    return [_local_day(run.started) for run in series.runs]


@lru_cache(maxsize=4096)
def _local_day(moment: datetime) -> date:
    return moment.astimezone(_LOCAL).date()


def over_runs(series: Sequence[Series], thresholds: Sequence[Threshold], calendar: Calendar | None = None) -> Seen:
    """What the series show, each of which ends with the run that is judged."""
    known = calendar or Calendar()
    limits = {threshold.metric: threshold for threshold in thresholds}
    own, parts, few = [], [], {}
    compared = 0
    for one in series:
        threshold = limits.get(one.metric)
        if threshold is None and one.unit is not Unit.MS:
            continue  # which way is better is not known
        judged = _trusted(one)
        count = int(np.isfinite(judged.values).sum())
        if not one.labels and threshold and threshold.weight > 0:
            if count < FEWEST:
                few[one.metric] = count
            else:
                compared += 1
            own += _of_series(judged, threshold, known)
        elif one.labels and count >= FEWEST:
            parts += _of_part(judged, threshold, known)
    parts.sort(key=lambda found: -abs(math.log1p(max(found.change, -0.999))))
    return Seen((*own, *parts[:MOST_PARTS]), compared, tuple(_notes(few, compared, len(parts))))


def _notes(few: Mapping[str, int], compared: int, parts: int) -> list[str]:
    notes = [f"Changes over runs were looked for in {compared} figures"] if compared else []
    if few:
        least, most = min(few.values()), max(few.values())
        counted = f"{least}" if least == most else f"{least} to {most}"
        notes.append(f"Changes over runs need {FEWEST} like runs: of {len(few)} figures there are {counted} so far")
    if parts > MOST_PARTS:
        notes.append(f"{parts} parts became worse over runs, the {MOST_PARTS} largest are shown")
    return notes


def _trusted(series: Series) -> Series:
    """Without the values of generators that did not trust themselves."""
    component = series.metric.partition(".")[0]
    doubted = [
        component in run.components and run.components[component].trust is Trust.NOT_TRUSTED for run in series.runs
    ]
    values = np.where(doubted, np.nan, series.values)
    return Series(
        series.metric,
        series.labels,
        series.unit,
        series.runs,
        values,
        series.n,
        series.low,
        series.high,
        series.notes,
    )


def _newest(series: Series, count: int) -> Series:
    return Series(
        series.metric,
        series.labels,
        series.unit,
        series.runs[-count:],
        series.values[-count:],
        series.n[-count:],
        series.low[-count:],
        series.high[-count:],
        series.notes[-count:],
    )


def _of_series(series: Series, threshold: Threshold, known: Calendar) -> list[Regression]:
    """All that a component's own figure shows."""
    values = series.values.tolist()
    days = local_days(series)
    changes = change_points(values, days, threshold.minimum_effect, known.closed)
    found = [_level(series, change, threshold) for change in _standing(series, changes, threshold.direction, known)]
    found = [one for one in found if _matters(one, threshold)]
    if not found:
        found = [*_disaster(series, changes, threshold), *_drift(series, changes, threshold, known)]
    return found


def _of_part(series: Series, threshold: Threshold | None, known: Calendar) -> list[Regression]:
    """Changes of level of a part that are confirmed and large: there are hundreds of parts, and each may err."""
    series = _newest(series, RUNS_OF_PARTS)
    direction = threshold.direction if threshold else Direction.LOWER
    least = _PART_EFFECTS * (threshold.minimum_effect if threshold else 0.04)
    days = local_days(series)
    changes = change_points(series.values.tolist(), days, least, known.closed)
    standing = [one for one in _standing(series, changes, direction, known) if one.status == "confirmed"]
    return [_level(series, change, threshold) for change in standing]


def _standing(
    series: Series, changes: Sequence[ChangePoint], direction: Direction, known: Calendar
) -> list[ChangePoint]:
    """Changes for the worse that are recent, not accepted, and not undone by what came after."""
    worse = 1 if direction is Direction.LOWER else -1
    oldest = series.runs[max(len(series.runs) - RECENT, 0)].started
    since = max(oldest, known.accepted) if known.accepted else oldest
    now = changes[-1].after if changes else math.nan
    return [
        change
        for change in changes
        if change.direction == worse
        and series.runs[change.index].started > since
        and (now - change.before) * worse > abs(change.after - change.before) / 2
    ]


def _level(series: Series, change: ChangePoint, threshold: Threshold | None) -> Regression:
    relative = series.values[np.isfinite(series.values)].min() > 0
    scale = 1.0 if relative else _scale(change.before, threshold)
    low, high = (end / scale for end in change.interval)
    place = _place(series, change.index)
    confirmed = change.status == "confirmed"
    part = "; a part of the platform, which does not fail the gate by itself" if series.labels else ""
    return Regression(
        metric=series.metric,
        labels=series.labels,
        baseline=change.before,
        value=change.after,
        unit=series.unit,
        change=change.effect / scale,
        confirmed=confirmed and not series.labels,
        detail=f"{change.status} over {change.runs} runs: {_between(place)}{part}",
        kind="level",
        interval=(low, high),
        runs=change.runs,
        place=place,
    )


def _matters(found: Regression, threshold: Threshold) -> bool:
    """Whether a change of a ratio that may be 0 is large beside the limit of good."""
    return threshold.unit is not Unit.RATIO or abs(found.change) >= threshold.minimum_effect


def _scale(before: float, threshold: Threshold | None) -> float:
    """What a difference is relative to: the level before, but never less than what is good where less is better."""
    least = threshold.good if threshold and threshold.direction is Direction.LOWER else 1e-9
    return max(abs(before), least, 1e-12)


def _disaster(series: Series, changes: Sequence[ChangePoint], threshold: Threshold) -> list[Regression]:
    """This run alone past the limit of poor, where the runs before it were better than fair: no need to wait."""
    values = series.values
    start = changes[-1].index if changes else 0
    before = values[start:-1][np.isfinite(values[start:-1])]
    now = float(values[-1])
    if not math.isfinite(now) or len(before) < _NIGHTS:
        return []
    level = float(np.median(before[-FEWEST:]))
    lower = threshold.direction is Direction.LOWER
    past = now > threshold.poor if lower else now < threshold.poor
    was = level < threshold.fair if lower else level > threshold.fair
    if not (past and was):
        return []
    return [
        Regression(
            metric=series.metric,
            labels=series.labels,
            baseline=level,
            value=now,
            unit=series.unit,
            change=(now - level) / _scale(level, threshold if threshold.unit is Unit.RATIO else None),
            confirmed=True,
            detail=f"past the limit of poor ({threshold.poor:g}), where the {len(before[-FEWEST:])} runs before it"
            " were better than fair: such a fall needs no second run",
            kind="disaster",
            place=_place(series, len(values) - 1),
        )
    ]


def _drift(series: Series, changes: Sequence[ChangePoint], threshold: Threshold, known: Calendar) -> list[Regression]:
    start = changes[-1].index if changes else 0
    if known.accepted:
        start = max(start, sum(run.started <= known.accepted for run in series.runs))
    found = drift(series.values.tolist(), threshold.minimum_effect, start)
    if found is None or (found.direction > 0) != (threshold.direction is Direction.LOWER):
        return []
    kept = series.values[found.first :]
    kept = kept[np.isfinite(kept)]
    relative = bool((kept > 0).all())
    level = float(np.median(kept[:_NIGHTS]))
    scale = 1.0 if relative else _scale(level, threshold)
    first = series.runs[found.first]
    return [
        Regression(
            metric=series.metric,
            labels=series.labels,
            baseline=level,
            value=float(np.median(kept[-_NIGHTS:])),
            unit=series.unit,
            change=found.effect / scale,
            confirmed=False,
            detail=f"drifts, a little with each of {found.runs} runs since {first.run}: no one run did it",
            kind="drift",
            interval=(found.interval[0] / scale, found.interval[1] / scale),
            runs=found.runs,
        )
    ]


def _place(series: Series, index: int) -> Place:
    """Between the last run before that has a value and the first of the new level."""
    last = max(at for at in range(index) if math.isfinite(series.values[at]))
    before, first = series.runs[last], series.runs[index]
    return Place(
        after=before.run,
        first=first.run,
        since=first.started,
        releases=(before.release, first.release),
        commits=(before.commit, first.commit),
    )


def _between(place: Place) -> str:
    """Where it changed, in words: by commit, else by release, else by run."""
    for what, (before, after) in (("commits", place.commits), ("releases", place.releases)):
        if before and after and before != after:
            span = (before[:12], after[:12]) if what == "commits" else (before, after)
            return f"between the {what} {span[0]} and {span[1]} (runs {place.after} and {place.first})"
    same = f", both of release {place.releases[1]}" if place.releases[0] and place.releases[1] else ""
    return f"between the runs {place.after} and {place.first}{same}"
