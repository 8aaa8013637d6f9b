"""Figures over the runs of one kind, with the points at which their level changed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from storage.records import Direction, Threshold, Unit
from tasks.judge.detect import FEWEST, ChangePoint, change_points
from tasks.report.charts import Axis, Mark
from tasks.report.figures import NOT_MEASURED, figure, number
from tasks.report.run_row import RunRow

WIDTH, HEIGHT = 1000.0, 120.0
MOST_RUNS = 200
_DOTS = 40
_LOG_SPREAD = 3.0
_SCORE_EFFECT = 0.03


@dataclass(frozen=True)
class Change:
    """A change of level: where it begins, whether it is for the worse, and in words."""

    x: float
    tone: str
    text: str


@dataclass(frozen=True)
class TrendChart:
    """One figure over runs; `steps` says of each run in words what it was."""

    key: str
    title: str
    summary: str
    path: str
    dots: tuple[tuple[float, float], ...]
    ticks: tuple[Mark, ...]
    limit: Mark | None
    changes: tuple[Change, ...]
    steps: tuple[str, ...]


def trends(rows: Sequence[RunRow], thresholds: Iterable[Threshold]) -> tuple[TrendChart, ...]:
    """The score and every judged figure over runs of one kind, the oldest first; without those never measured."""
    kept = rows[-MOST_RUNS:]
    charts = [_chart(_Figure("score", "Score", Unit.SCORE), kept, [row.score for row in kept], None)]
    for threshold in thresholds:
        values = [_value(row, threshold.metric) for row in kept]
        if any(value is not None for value in values):
            figure_of = _Figure(threshold.metric, threshold.title, threshold.unit)
            charts.append(_chart(figure_of, kept, values, threshold))
    return tuple(charts)


def _value(row: RunRow, metric: str) -> float | None:
    found = row.figures.get(metric)
    return found.value if found else None


@dataclass(frozen=True)
class _Figure:
    key: str
    title: str
    unit: Unit


def _chart(
    of: _Figure, rows: Sequence[RunRow], values: Sequence[float | None], threshold: Threshold | None
) -> TrendChart:
    unit = of.unit
    limit = (threshold.good if threshold.gate is None else threshold.gate) if threshold else None
    scale = _Scale.around([value for value in values if value is not None], limit, unit)
    gap = WIDTH / len(rows)
    points = [None if v is None else (round((at + 0.5) * gap, 1), scale.y(v)) for at, v in enumerate(values)]
    known = [point for point in points if point]
    effect = threshold.minimum_effect if threshold else _SCORE_EFFECT
    found = change_points(values, [row.started for row in rows], effect)
    lower = threshold is not None and threshold.direction is Direction.LOWER
    return TrendChart(
        key=f"trend-{of.key.replace('.', '-').replace('_', '-')}",
        title=of.title,
        summary=_summary(values, unit, found),
        path=_path(points),
        dots=tuple((x / WIDTH * 100, y) for x, y in known) if len(rows) <= _DOTS else (),
        ticks=tuple(Mark("tick", scale.y(value), figure(value, unit)) for value in scale.ticks),
        limit=None if limit is None else Mark("limit", scale.y(limit), f"limit {figure(limit, unit)}"),
        changes=tuple(_change(one, rows, lower=lower) for one in found),
        steps=tuple(_step(row, value, unit) for row, value in zip(rows, values, strict=True)),
    )


def _path(points: Sequence[tuple[float, float] | None]) -> str:
    parts, pen_down = [], False
    for point in points:
        if point:
            place = f"{point[0]:g} {point[1]:g}"
            parts.append(f"L{place}" if pen_down else f"M{place}h0")
        pen_down = point is not None
    return "".join(parts)


def _summary(values: Sequence[float | None], unit: Unit, found: Sequence[ChangePoint]) -> str:
    known = [value for value in values if value is not None]
    text = f"last {figure(values[-1], unit)}; {figure(min(known), unit)} to {figure(max(known), unit)} in "
    text += f"{len(known)} of {len(values)} runs"
    if len(known) < FEWEST:
        return f"{text}; fewer than {FEWEST} say nothing of a change"
    changes = "no change" if not found else "1 change" if len(found) == 1 else f"{len(found)} changes"
    return f"{text}; {changes} of level"


def _change(one: ChangePoint, rows: Sequence[RunRow], *, lower: bool) -> Change:
    row = rows[one.index]
    release = f", release {row.release}" if row.release else ""
    size = f"{'+' if one.effect > 0 else '−'}{number(abs(one.effect) * 100)} %"
    low, high = (number(end * 100).replace("-", "−") for end in one.interval)
    return Change(
        x=round(100 * one.index / len(rows), 2),
        tone="poor" if (one.direction > 0) is lower else "good",
        text=f"{size} ({low} to {high} %), {one.status}, since {row.started:%Y-%m-%d %H:%M} UTC{release}",
    )


def _step(row: RunRow, value: float | None, unit: Unit) -> str:
    release = f", {row.release}" if row.release else ""
    return f"{row.started:%Y-%m-%d %H:%M} UTC{release}: {figure(value, unit) if value is not None else NOT_MEASURED}"


@dataclass(frozen=True)
class _Scale:
    """Values to heights: logarithmic where they spread much, else linear."""

    low: float
    high: float
    axis: Axis | None
    ticks: tuple[float, ...]

    @classmethod
    def around(cls, values: Sequence[float], limit: float | None, unit: Unit) -> _Scale:
        known = [*values, *([] if limit is None else [limit])]
        low, high = min(known), max(known)
        if low > 0 and high / low > _LOG_SPREAD and unit is not Unit.SCORE:
            axis = Axis.around(known)
            return cls(axis.low, axis.high, axis, tuple(axis.ticks()))
        room = (high - low) * 0.1 or abs(high) * 0.05 or 1.0
        low, high = low - room, high + room
        step = 10 ** math.floor(math.log10((high - low) / 2))
        step *= next(times for times in (5, 2, 1) if (high - low) / (step * times) >= 1)
        first = math.ceil(low / step)
        ticks = tuple(round(n * step, 12) for n in range(first, math.floor(high / step) + 1))
        return cls(low, high, None, ticks[:: max(1, len(ticks) // 4)])

    def y(self, value: float) -> float:
        share = self.axis.share(value) if self.axis else (value - self.low) / (self.high - self.low)
        return round(HEIGHT * (1 - share), 1)
