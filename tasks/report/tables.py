"""What HTML and Markdown show in tables, worked out once: rows of text with the value that they sort by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from storage.records import Assessment, ComponentScore, Direction, LoadSummary, Measurement, Report, Unit
from tasks.judge.score import metric_losses
from tasks.report.figures import NOT_MEASURED, count, figure, number, seconds
from tasks.report.text import shorten
from tasks.report.words import BANDS, TITLES, TRUSTS, Word

MOST_ROWS = 20
"""Rows of a table of parts (endpoints, statements, functions); the others are in the report's JSON."""


_PARTS_NAMED = 3


@dataclass(frozen=True)
class Cell:
    """A cell: what is shown, and what it sorts by (None sorts last)."""

    text: str
    sort: float | str | None = None
    note: str = ""


@dataclass(frozen=True)
class PartsTable:
    """Measurements of a component's parts, one row a part, worst first."""

    component: str
    title: str
    labels: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    left_out: int


@dataclass(frozen=True)
class MetricRow:
    """One metric of a component's card."""

    metric: str
    title: str
    value: str
    interval: str
    word: Word
    lost: str
    reason: str
    limits: str


@dataclass(frozen=True)
class LoadRow:
    """Load that was planned, and what became of it."""

    component: str
    planned: str
    sent: str
    unsent: str
    answered: str
    failed: str
    errors: str
    rate: str
    trust: Word
    reasons: str


def metric_rows(part: ComponentScore) -> tuple[MetricRow, ...]:
    """The metrics of a component with the points that each one lost, and the cap where it bites."""
    lost = {loss.key: loss for loss in metric_losses(part)}
    rows = [_metric_row(a, lost[a.threshold.metric].points) for a in part.assessments]
    if "cap" in lost:
        cap = lost["cap"]
        rows.append(MetricRow("", cap.title, "", "", Word("none", "", ""), _points(cap.points), cap.reason, ""))
    return tuple(rows)


def load_rows(report: Report) -> tuple[LoadRow, ...]:
    """The load of every component that sent some."""
    return tuple(
        _load_row(TITLES[result.component], load)
        for result in report.components
        if result.status == "measured" and (load := result.collected.load) is not None
    )


def parts_tables(report: Report) -> tuple[PartsTable, ...]:
    """A table for each kind of part that a component measured."""
    judged = (a.threshold for part in report.score.components for a in part.assessments)
    higher = frozenset(threshold.metric for threshold in judged if threshold.direction is Direction.HIGHER)
    return tuple(
        _parts_table(TITLES[result.component], names, parts, higher)
        for result in report.components
        if result.status == "measured"
        for names, group in by_labels(result.measurements).items()
        for parts in _kinds(by_part(group))
    )


Parts = dict[tuple[str, ...], dict[str, Measurement]]


def _kinds(parts: Parts) -> list[Parts]:
    """Parts that share no metric are of different kinds, though their labels are called alike."""
    kinds: list[tuple[set[str], Parts]] = []
    for key, values in parts.items():
        alike = [kind for kind in kinds if kind[0] & values.keys()]
        metrics = set(values).union(*(kind[0] for kind in alike))
        merged = {name: part for kind in alike for name, part in kind[1].items()} | {key: values}
        kinds = [kind for kind in kinds if kind not in alike] + [(metrics, merged)]
    return [kind[1] for kind in kinds]


def by_labels(measurements: Iterable[Measurement]) -> dict[tuple[str, ...], list[Measurement]]:
    """Labelled measurements by the names of their labels."""
    groups: dict[tuple[str, ...], list[Measurement]] = {}
    for measurement in measurements:
        if measurement.labels:
            groups.setdefault(tuple(sorted(measurement.labels)), []).append(measurement)
    return groups


def by_part(group: Iterable[Measurement]) -> Parts:
    """Measurements of one kind of part, by the part's label values, then by metric."""
    parts: Parts = {}
    for measurement in group:
        key = tuple(value for _, value in sorted(measurement.labels.items()))
        parts.setdefault(key, {})[measurement.metric] = measurement
    return parts


def named(metric: str, labels: Sequence[str] = ()) -> str:
    """A metric's name as a column is headed: without its component, and without a subject that the rows are."""
    _, subject, *statistic = metric.split(".")
    words = statistic if subject in labels and statistic else [subject, *statistic]
    return " ".join(words).replace("_", " ")


def not_measured(report: Report) -> tuple[tuple[str, str], ...]:
    """What was not measured, and why: whole components, then judged metrics, then the other metrics and parts."""
    return (*judged_gaps(report), *_other_gaps(report))


def judged_gaps(report: Report) -> tuple[tuple[str, str], ...]:
    """Components and judged metrics that were not measured, by their titles, and why."""
    lines = []
    for result in report.components:
        title = TITLES[result.component]
        if result.status == "failed":
            lines.append((title, f"failed: {result.error}"))
        elif result.status == "skipped":
            lines.append((f"{title} (switched off)" if result.switched_off else title, result.reason))
    measured = {result.component for result in report.components if result.status == "measured"}
    present = {result.component for result in report.components}
    for part in report.score.components:
        if part.component not in present:
            lines.append((TITLES[part.component], "the run holds no result of this component"))
        lines += [
            (assessment.threshold.title, assessment.reason)
            for assessment in part.assessments
            if part.component in measured and assessment.score is None
        ]
    return tuple(lines)


def _other_gaps(report: Report) -> list[tuple[str, str]]:
    """Measurements without a threshold that have no value; parts that lack the same for one reason are one line."""
    judged = {a.threshold.metric for part in report.score.components for a in part.assessments}
    gaps: dict[tuple[str, str], list[str]] = {}
    for result in report.components:
        for m in result.measurements if result.status == "measured" else ():
            if m.value is None and (m.labels or m.metric not in judged):
                gaps.setdefault((m.metric, m.note), []).append(label_text(m.labels))
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (metric, note), parts in gaps.items():
        alike.setdefault((note, tuple(part for part in parts if part)), []).append(metric)
    return [(", ".join(metrics), _gap(note, parts)) for (note, parts), metrics in alike.items()]


def _gap(note: str, parts: Sequence[str]) -> str:
    """The reason, and for which parts it holds."""
    if not parts:
        return note
    more = f" and {len(parts) - _PARTS_NAMED} more" if len(parts) > _PARTS_NAMED else ""
    return f"{note} ({'; '.join(parts[:_PARTS_NAMED])}{more})"


def label_text(labels: Mapping[str, str]) -> str:
    """Labels as one short line."""
    return ", ".join(f"{name} {shorten(value, 80)}" for name, value in sorted(labels.items()))


def evidence(measurement: Measurement) -> str:
    """What a number rests on: samples, window, source, and its interval where one is known."""
    window = f", over {seconds(measurement.window.seconds)}" if measurement.window else ""
    interval = measurement.interval if measurement.value is not None else None
    between = f", 95 %: {interval_text(interval, measurement.unit)}" if interval else ""
    return f"n {count(measurement.n)}{window}, {measurement.source}{between}"


def interval_text(interval: tuple[float, float], unit: Unit) -> str:
    """An interval with its unit."""
    return " to ".join(figure(end, unit) for end in interval)


def pairs(values: Mapping[str, str]) -> str:
    """Names and values on one line."""
    return ", ".join(f"{name} {shorten(value, 100)}" for name, value in sorted(values.items())) or "–"


def _metric_row(assessment: Assessment, lost: float | None) -> MetricRow:
    threshold, measurement = assessment.threshold, assessment.measurement
    value = measurement.value if measurement and assessment.score is not None else None
    interval = measurement.interval if measurement and value is not None else None
    return MetricRow(
        metric=threshold.metric,
        title=threshold.title,
        value=figure(value, threshold.unit, unlike=threshold.good),
        interval=f"95 %: {interval_text(interval, threshold.unit)}" if interval else "",
        word=BANDS[assessment.band],
        lost=_points(lost),
        reason=assessment.reason,
        limits=f"good {figure(threshold.good, threshold.unit)}, fair {figure(threshold.fair, threshold.unit)}",
    )


def _points(lost: float | None) -> str:
    if lost is None:
        return "unknown"
    return f"−{lost:.1f}" if round(lost, 1) > 0 else "0"


def _load_row(title: str, load: LoadSummary) -> LoadRow:
    errors = ", ".join(f"{kind} {count(n)}" for kind, n in sorted(load.errors.items()) if n)
    return LoadRow(
        component=title,
        planned=count(load.planned),
        sent=count(load.sent),
        unsent=count(load.unsent),
        answered=count(load.answered),
        failed=count(load.failed),
        errors=errors or "none",
        rate=f"{number(load.achieved_rate)}/s of {number(load.target_rate)}/s",
        trust=TRUSTS[load.trust],
        reasons="; ".join(load.reasons),
    )


def _parts_table(component: str, names: tuple[str, ...], parts: Parts, higher: frozenset[str]) -> PartsTable:
    metrics = list(dict.fromkeys(metric for values in parts.values() for metric in values))
    leading = next((m for ending in (".p95", ".total") for m in metrics if m.endswith(ending)), metrics[0])
    sign = 1 if leading in higher else -1
    ranked = sorted(parts.items(), key=lambda item: (*_rank(item[1].get(leading), sign), item[0]))
    subjects = dict.fromkeys(metric.split(".")[1] for metric in metrics)
    spoken = ", ".join(subject.replace("_", " ") for subject in subjects if subject not in names)
    return PartsTable(
        component=component,
        title=f"{component} by {' and '.join(names)}{f': {spoken}' if spoken else ''}",
        labels=names,
        columns=(*(named(m, names) for m in metrics), "n"),
        rows=tuple(_row(key, values, metrics) for key, values in ranked[:MOST_ROWS]),
        left_out=max(0, len(ranked) - MOST_ROWS),
    )


def _rank(measurement: Measurement | None, sign: int) -> tuple[bool, float]:
    """Worst first, what has no value last."""
    value = measurement.value if measurement else None
    return (value is None, sign * (value or 0))


def _row(key: tuple[str, ...], values: Mapping[str, Measurement], metrics: Sequence[str]) -> tuple[Cell, ...]:
    samples = max(measurement.n for measurement in values.values())
    names = (Cell(shorten(name, 120), name) for name in key)
    return (*names, *(_cell(values.get(metric)) for metric in metrics), Cell(count(samples), samples))


def _cell(measurement: Measurement | None) -> Cell:
    if measurement is None:
        return Cell("–", None, "does not apply")
    if measurement.value is None:
        return Cell(NOT_MEASURED, None, measurement.note)
    return Cell(figure(measurement.value, measurement.unit), measurement.value, evidence(measurement))
