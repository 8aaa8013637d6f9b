"""The change since the last run and the trend before it, in words and as a line."""

from __future__ import annotations

from dataclasses import dataclass

from storage.records import Report
from tasks.judge.score import truncated
from tasks.report.figures import number

_HEIGHT = 36.0
_STEADY = 0.05


@dataclass(frozen=True)
class TrendPoint:
    """A point of the trend: x in per cent of the width, y in px."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class Since:
    """`words` is the change since the last run; `trend` holds the scores as points, `path` is their line."""

    words: str
    trend: tuple[TrendPoint, ...]
    path: str
    trend_words: str


def since(report: Report) -> Since:
    """What changed since the last run that is like with like; there is no trend without one."""
    if not report.earlier:
        return Since("no earlier run of this kind", (), "", "")
    scores = [*((run.started, run.score) for run in report.earlier), (report.info.started, report.score.value)]
    gap = 100 / len(scores)
    points = tuple(
        TrendPoint(
            x=round((at + 0.5) * gap, 2),
            y=round(_HEIGHT * (1 - value / 100), 1),
            text=f"{started:%Y-%m-%d %H:%M} UTC: {truncated(value)}",
        )
        for at, (started, value) in enumerate(scores)
    )
    path = "M" + "L".join(f"{point.x * 10:g} {point.y:g}" for point in points)
    listed = ", ".join(truncated(value) for _, value in scores)
    return Since(change_words(report), points, path, f"Scores of the last {len(scores)} runs of this kind: {listed}")


def change_words(report: Report) -> str:
    """The change of the score since the last run: `+3.2 points since 2025-03-02 06:30 UTC`."""
    if not report.earlier:
        return "no earlier run of this kind"
    last = report.earlier[-1]
    change = report.score.value - last.score
    if abs(change) < _STEADY:
        return f"unchanged since {last.started:%Y-%m-%d %H:%M} UTC"
    points = number(abs(round(change, 1)))
    return f"{'+' if change > 0 else '−'}{points} points since {last.started:%Y-%m-%d %H:%M} UTC"
