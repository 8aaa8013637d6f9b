"""Geometry of what goes over time: percentiles of each step of a load, with the limit and the phases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from storage.records import Report, Timeline, Unit
from tasks.report.charts import PERCENTILES, Axis, Mark
from tasks.report.figures import count, figure, number, seconds, share
from tasks.report.words import TITLES

WIDTH, HEIGHT = 1000.0, 200.0
"""Units of a chart's own coordinates; it is stretched to the width of the page."""
_NARROWEST_PHASE = 6.0
_RAMP_WORDS = {"warmup": "warm-up", "ramp": "ramp-up"}


@dataclass(frozen=True)
class Line:
    """One percentile as the data of an SVG path: a gap where nothing was answered."""

    kind: str
    path: str


@dataclass(frozen=True)
class TimeChart:
    """A component's percentiles over time; `steps` says of each step in words what its lines show."""

    key: str
    title: str
    summary: str
    lines: tuple[Line, ...]
    ticks: tuple[Mark, ...]
    limit: Mark | None
    phases: tuple[Mark, ...]
    bad: tuple[Mark, ...]
    steps: tuple[str, ...]


@dataclass(frozen=True)
class WrongKinds:
    """What went wrong with a component's requests, by kind."""

    component: str
    sent: str
    rows: tuple[tuple[str, str, str], ...]


def time_charts(report: Report) -> tuple[TimeChart, ...]:
    """A chart for each timeline that has something to draw."""
    return tuple(_chart(one) for one in report.timelines if any(one.p50))


def wrong_kinds(report: Report) -> tuple[WrongKinds, ...]:
    """For each timeline, the kinds of what went wrong with their count and their share of all requests."""
    return tuple(
        WrongKinds(
            component=TITLES[one.component],
            sent=count(sum(one.sent)),
            rows=tuple((kind, count(n), share(n / sum(one.sent))) for kind, n in _by_count(one)),
        )
        for one in report.timelines
        if sum(one.sent)
    )


def in_time(timeline: Timeline) -> float | None:
    """Share of the judged requests that were answered as expected within the limit; None where there were none."""
    if timeline.in_time is None or not timeline.judged:
        return None
    return timeline.in_time / timeline.judged


def _by_count(timeline: Timeline) -> list[tuple[str, int]]:
    return sorted(timeline.wrong.items(), key=lambda pair: (-pair[1], pair[0]))


def _chart(timeline: Timeline) -> TimeChart:
    columns = {name: getattr(timeline, name) for name in PERCENTILES}
    values = [value for column in columns.values() for value in column if value]
    axis = Axis.around([*values, *([timeline.limit] if timeline.limit else [])])
    limit = timeline.limit
    return TimeChart(
        key=f"time-{timeline.metric.replace('.', '-').replace('_', '-')}",
        title=f"{TITLES[timeline.component]}: {timeline.metric.split('.')[1].replace('_', ' ')} over time",
        summary=_summary(timeline),
        lines=tuple(Line(name, path) for name, column in columns.items() if (path := _path(column, axis))),
        ticks=tuple(Mark("tick", _y(value, axis) * 100 / HEIGHT, figure(value, Unit.MS)) for value in axis.ticks()),
        limit=Mark("limit", _y(limit, axis) * 100 / HEIGHT, f"limit {figure(limit, Unit.MS)}") if limit else None,
        phases=_phases(timeline.phases),
        bad=tuple(
            Mark("bad", round(100 * at / len(timeline.bad), 2), count(n)) for at, n in enumerate(timeline.bad) if n
        ),
        steps=tuple(_step(timeline, at) for at in range(len(timeline.sent))),
    )


def _y(value: float, axis: Axis) -> float:
    return round(HEIGHT * (1 - axis.share(value)), 1)


def _path(values: Sequence[float | None], axis: Axis) -> str:
    """A stroke through the middle of each step; a lone step is a dot, which round ends make visible."""
    width = WIDTH / len(values)
    parts: list[str] = []
    pen_down = False
    for at, value in enumerate(values):
        if value is None or value <= 0:
            pen_down = False
            continue
        place = f"{round((at + 0.5) * width, 1):g} {_y(value, axis):g}"
        parts.append(f"L{place}" if pen_down else f"M{place}h0")
        pen_down = True
    return "".join(parts)


def _phases(phases: Sequence[str]) -> tuple[Mark, ...]:
    """Where each phase begins, in per cent of the width; names only where there is room for them."""
    found, at = [], 0
    for name, group in groupby(phases):
        size = len(list(group))
        if name:
            room = 100 * size / len(phases) >= _NARROWEST_PHASE
            found.append(Mark("phase", round(100 * at / len(phases), 2), _phase_word(name) if room else ""))
        at += size
    return tuple(found)


def _phase_word(name: str) -> str:
    if name.startswith("step:"):
        return f"search {name.removeprefix('step:')}"
    return _RAMP_WORDS.get(name, name)


def _summary(timeline: Timeline) -> str:
    total = sum(timeline.sent)
    text = f"{count(total)} requests in {seconds(len(timeline.sent) * timeline.step_s)}, steps of "
    text += f"{seconds(timeline.step_s)}; {count(sum(timeline.bad))} went wrong"
    part = in_time(timeline)
    if part is None or timeline.limit is None:
        return text
    return f"{text}; {share(part)} of the {count(timeline.judged)} judged within {figure(timeline.limit, Unit.MS)}"


def _step(timeline: Timeline, at: int) -> str:
    begin = f"{number(at * timeline.step_s)} s" + (
        f" ({_phase_word(timeline.phases[at])})" if timeline.phases[at] else ""
    )
    if not timeline.sent[at]:
        return f"{begin}: no request"
    known = [(name, value) for name in PERCENTILES if (value := getattr(timeline, name)[at]) is not None]
    times = ", ".join(f"{name} {figure(value, Unit.MS)}" for name, value in known) or "no answer"
    wrong = f", {count(timeline.bad[at])} wrong" if timeline.bad[at] else ""
    return f"{begin}: {times}; {count(timeline.sent[at])} requests{wrong}"
