"""Geometry of the charts: from a Report to positions in per cent of the width, which the templates draw as SVG.

Per cent and not pixels, so that the text keeps its size on a phone and on a projector.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from storage.records import Measurement, Report, Score, Threshold, Unit
from tasks.judge.score import GRADES, Loss, run_losses, truncated
from tasks.report.figures import figure, number
from tasks.report.tables import by_labels, by_part
from tasks.report.text import shorten
from tasks.report.words import TITLES

PERCENTILES = ("p50", "p95", "p99")
MOST_BARS = MOST_RANGES = 12
_LEFT, _RIGHT = 1.5, 98.5
_LABEL = 48
_MOST_TICKS = 7


@dataclass(frozen=True)
class Mark:
    """A point on a chart's horizontal axis."""

    kind: str
    x: float
    text: str


@dataclass(frozen=True)
class RangeRow:
    """One part's percentiles."""

    label: str
    description: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class RangeChart:
    """Percentiles of a component's parts on a logarithmic axis, with the limit where there is one."""

    key: str
    title: str
    rows: tuple[RangeRow, ...]
    ticks: tuple[Mark, ...]
    limit: Mark | None
    left_out: int


@dataclass(frozen=True)
class Bar:
    """A horizontal bar; `tone` is poor for what was lost by measure, none for what was not measured."""

    label: str
    width: float
    text: str
    tone: str


@dataclass(frozen=True)
class ScoreScale:
    """The score on its scale with the grades' limits, and the ceiling that full coverage could reach."""

    value: float
    ceiling: float
    text: str
    ceiling_text: str
    grades: tuple[Mark, ...]


def score_scale(score: Score) -> ScoreScale:
    """The scale of a score from 0 to 100."""
    grades = tuple(Mark(name, lowest, f"{lowest:g}") for lowest, name in reversed(GRADES))
    return ScoreScale(
        value=round(score.value, 2),
        ceiling=round(score.ceiling, 2),
        text=truncated(score.value),
        ceiling_text=truncated(score.ceiling),
        grades=grades,
    )


def loss_bars(score: Score) -> tuple[Bar, ...]:
    """Where the points went, most first; together they are 100 − score (the smallest are put together)."""
    losses = [loss for loss in run_losses(score) if loss.points]
    shown, rest = losses[:MOST_BARS], losses[MOST_BARS:]
    if rest:
        amount = math.fsum(loss.points or 0 for loss in rest)
        shown = [*shown, Loss("rest", f"{len(rest)} smaller ones", amount, "")]
    largest = max((loss.points or 0 for loss in shown), default=1)
    return tuple(_bar(loss, largest) for loss in shown)


def range_charts(report: Report) -> tuple[RangeChart, ...]:
    """A chart for each kind of part and subject that has a p50 and a p95."""
    limits = {a.threshold.metric: a.threshold for part in report.score.components for a in part.assessments}
    charts = [
        _range_chart(TITLES[result.component], subject, names, group, limits.get(f"{subject}.p95"))
        for result in report.components
        if result.status == "measured"
        for names, group in by_labels(result.measurements).items()
        for subject in _subjects(group)
    ]
    return tuple(chart for chart in charts if chart is not None)


def _bar(loss: Loss, largest: float) -> Bar:
    component = loss.key.partition(".")[0]
    title = next((title for key, title in TITLES.items() if key.value == component), "")
    absent = loss.key.endswith(".absent")
    label = (
        f"{title}: {loss.title[:1].lower() + loss.title[1:]}"
        if title and (absent or loss.key.endswith(".cap"))
        else ""
    )
    points = loss.points or 0
    return Bar(
        label=label or loss.title,
        width=round(100 * points / largest, 2),
        text=f"−{points:.1f}" if points >= 0.05 else "−<0.1",  # noqa: PLR2004 - half of the last digit shown
        tone="none" if absent else "poor",
    )


def _subjects(group: Iterable[Measurement]) -> list[str]:
    """Subjects such as `api.latency` of which both p50 and p95 were measured."""
    metrics = {m.metric for m in group if m.value is not None}
    found = [metric.removesuffix(".p95") for metric in metrics if metric.endswith(".p95")]
    return sorted(subject for subject in found if f"{subject}.p50" in metrics)


def _range_chart(
    title: str, subject: str, names: Sequence[str], group: Sequence[Measurement], threshold: Threshold | None
) -> RangeChart | None:
    parts = [(key, _percentiles(subject, values)) for key, values in by_part(group).items()]
    parts = [(key, found) for key, found in parts if "p95" in found and min(m.value or 0 for m in found.values()) > 0]
    if not parts:
        return None
    parts.sort(key=lambda part: (-(part[1]["p95"].value or 0), part[0]))
    shown = parts[:MOST_RANGES]
    unit = shown[0][1]["p95"].unit
    limit = _limit(threshold, unit)
    axis = Axis.around([*(m.value or 0 for _, found in shown for m in found.values()), *([limit] if limit else [])])
    return RangeChart(
        key=f"{subject}-{'-'.join(names)}".replace(".", "-").replace("_", "-"),
        title=f"{title}: {subject.partition('.')[2].replace('_', ' ')} by {' and '.join(names)}",
        rows=tuple(_range_row(" ".join(key), found, axis) for key, found in shown),
        ticks=tuple(Mark("tick", axis.x(value), figure(value, unit)) for value in axis.ticks()),
        limit=Mark("limit", axis.x(limit), f"limit {figure(limit, unit)}") if limit else None,
        left_out=len(parts) - len(shown),
    )


def _limit(threshold: Threshold | None, unit: Unit) -> float | None:
    """The gate's limit, or the good one where the gate has none; None where the units differ."""
    if threshold is None or threshold.unit is not unit:
        return None
    return threshold.good if threshold.gate is None else threshold.gate


def _percentiles(subject: str, values: Mapping[str, Measurement]) -> dict[str, Measurement]:
    found = {p: values[f"{subject}.{p}"] for p in PERCENTILES if f"{subject}.{p}" in values}
    return {p: m for p, m in found.items() if m.value is not None}


def _range_row(label: str, found: Mapping[str, Measurement], axis: Axis) -> RangeRow:
    marks = tuple(Mark(p, axis.x(m.value or 0), figure(m.value, m.unit)) for p, m in found.items())
    described = ", ".join(f"{mark.kind} {mark.text}" for mark in marks)
    return RangeRow(shorten(label, _LABEL), f"{shorten(label)}: {described}", marks)


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis from `low` to `high`."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Iterable[float]) -> Axis:
        """An axis that holds values above 0, with some room at both ends."""
        found = list(values)
        return cls(min(found) / 1.15, max(found) * 1.15)

    def share(self, value: float) -> float:
        """Where a value lies, 0 at the low end, 1 at the high one; what is beyond an end lies at it."""
        return min(1.0, max(0.0, math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)))

    def x(self, value: float) -> float:
        """The same as a position in per cent of a chart's width."""
        return round(_LEFT + (_RIGHT - _LEFT) * self.share(value), 2)

    def ticks(self) -> list[float]:
        """Round values on the axis: 1, 2, 5 of each decade, or the decades alone where those are too many."""
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for steps in ((1, 2, 5), (1,)):
            values = [step * 10.0**power for power in range(first, last + 1) for step in steps]
            inside = [float(number(v).replace(",", "")) for v in values if self.low <= v <= self.high]
            if 0 < len(inside) <= _MOST_TICKS:
                return inside
        return inside[:: max(1, len(inside) // _MOST_TICKS)]
