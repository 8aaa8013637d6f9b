"""Advice with what it is expected to change: the figure before, the one predicted, and how that is known."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from storage.records import ComponentId, Finding, Measurement, PredictedChange, Report, Unit
from tasks.report.charts import Bar
from tasks.report.figures import NOT_MEASURED, figure, number
from tasks.report.tables import label_text
from tasks.report.text import shorten

MOST_BARS = 10
NOT_TRIED = "not tried"
_NAMED = "index"
_PLANS = re.compile(r"Plan before: (.+?)\. Plan after: (.+?)\.(?: |$)")
_TESTED = re.compile(r"Tested: (.+?)\.(?: |$)")
"""How the database's advice tells of the plans that it tried (tasks.components.database.advise.advised)."""


@dataclass(frozen=True)
class IndexRow:
    """One piece of index advice."""

    finding: str
    title: str
    before: str
    after: str
    how: str


@dataclass(frozen=True)
class BarChart:
    """Bars under a title."""

    key: str
    title: str
    bars: tuple[Bar, ...]


def index_rows(report: Report) -> tuple[IndexRow, ...]:
    """A row for each finding about an index; what was not tried says so."""
    return tuple(
        row
        for finding in report.findings
        if finding.component is ComponentId.DATABASE and _about_index(finding)
        for row in _rows(finding)
    )


def _about_index(finding: Finding) -> bool:
    return _NAMED in finding.kind or any("INDEX" in command.upper() for command in finding.remedy.commands)


def _rows(finding: Finding) -> list[IndexRow]:
    """What is predicted; else the plans, where they were tried; else what it costs now."""
    plans = _PLANS.search(finding.detail)
    if finding.remedy.predicted:
        rows = [_predicted(finding, change) for change in finding.remedy.predicted]
        if plans:
            rows.append(replace(rows[0], before=plans[1], after=plans[2], how=_tested(finding.detail)))
        return rows
    if plans:
        return [IndexRow(finding.id, finding.title, plans[1], plans[2], _tested(finding.detail))]
    return [IndexRow(finding.id, finding.title, _first(finding.evidence), NOT_TRIED, "")]


def _tested(detail: str) -> str:
    """How the plans are known; the whole of it is in the finding."""
    found = _TESTED.search(detail)
    return f"tested: {found[1]}" if found else "tried; see the finding"


def _predicted(finding: Finding, change: PredictedChange) -> IndexRow:
    before = next(
        (m for m in finding.evidence if m.metric == change.metric and dict(m.labels) == dict(change.labels)), None
    ) or next((m for m in finding.evidence if m.metric == change.metric), None)
    after = figure(change.value, before.unit) if before else number(change.value)
    if change.interval:
        low, high = (figure(end, before.unit) if before else number(end) for end in change.interval)
        after = f"{after} ({low} to {high})"
    what = f"{change.metric} {label_text(change.labels)}".strip()
    return IndexRow(
        finding.id,
        finding.title,
        figure(before.value, before.unit) if before else NOT_MEASURED,
        after,
        f"{what}: {change.how}",
    )


def predicted_words(finding: Finding) -> tuple[str, ...]:
    """What a remedy is expected to change, in words."""
    rows = [_predicted(finding, change) for change in finding.remedy.predicted]
    return tuple(f"Predicted: {row.before} → {row.after}, {row.how}" for row in rows)


def _first(evidence: Iterable[Measurement]) -> str:
    """The figure that says most of what it costs now: a time where there is one."""
    known = sorted((m for m in evidence if m.value is not None), key=lambda m: m.unit is not Unit.MS)
    if not known:
        return NOT_MEASURED
    words = " ".join(known[0].metric.split(".")[1:]).replace("_", " ")
    return f"{words} {figure(known[0].value, known[0].unit)}"


def function_bars(report: Report) -> tuple[BarChart, ...]:
    """The functions that cost the most a month, and those that start the slowest."""
    measured = [m for part in report.components if part.status == "measured" for m in part.measurements]
    own = [m for m in measured if set(m.labels) == {"function"} and m.value]
    charts = (
        _bars("cost", "Dollars a month, the dearest functions", [m for m in own if m.unit is Unit.USD_PER_MONTH]),
        _bars(
            "cold", "Cold start, p95, the slowest functions", [m for m in own if m.metric == "lambda.cold_start.p95"]
        ),
    )
    return tuple(chart for chart in charts if chart.bars)


def _bars(key: str, title: str, measurements: Iterable[Measurement]) -> BarChart:
    ranked = sorted(measurements, key=lambda m: (-(m.value or 0), m.labels["function"]))[:MOST_BARS]
    largest = max((m.value or 0 for m in ranked), default=1)
    bars = tuple(
        Bar(
            label=shorten(m.labels["function"], 48),
            width=round(100 * (m.value or 0) / largest, 2),
            text=figure(m.value, m.unit),
            tone="none",
        )
        for m in ranked
    )
    return BarChart(f"functions-{key}", title, bars)
