"""A component at a glance, and how it was measured: what HTML and Markdown show of each."""

from __future__ import annotations

from dataclasses import dataclass

from storage.records import Band, ComponentId, MeasuredComponent, Report
from tasks.report.figures import seconds
from tasks.report.tables import MetricRow, metric_rows, pairs
from tasks.report.words import BANDS, TITLES, Word, score_word

_TIME = "%Y-%m-%d %H:%M:%S"


@dataclass(frozen=True)
class Card:
    """A component at a glance."""

    key: str
    title: str
    word: Word
    score: float | None
    coverage: float
    weight: float
    reason: str
    rows: tuple[MetricRow, ...]


@dataclass(frozen=True)
class Method:
    """How one component was measured."""

    component: str
    window: str
    attempt: str
    plan: str
    target: str
    notes: tuple[str, ...]


def cards(report: Report) -> tuple[Card, ...]:
    """A card for each component that has a result or a weight."""
    results = {result.component: result for result in report.components}
    scores = {part.component: part for part in report.score.components}
    made = []
    for component in ComponentId:
        result, part = results.get(component), scores.get(component)
        if result is None and part is None:
            continue
        measured = result is not None and result.status == "measured"
        made.append(
            Card(
                key=component.value,
                title=TITLES[component],
                word=_card_word(report, component),
                score=part.score if part else None,
                coverage=part.coverage if part else 0,
                weight=part.weight if part else 0,
                reason=_reason(report, component),
                rows=metric_rows(part) if part and measured else (),
            )
        )
    return tuple(made)


def _card_word(report: Report, component: ComponentId) -> Word:
    result = next((r for r in report.components if r.component is component), None)
    if result is not None and result.status == "failed":
        return Word("poor", "✗", "failed")
    if result is not None and result.status == "skipped":
        return Word("none", "–", "switched off" if result.switched_off else "skipped")
    part = next((p for p in report.score.components if p.component is component), None)
    return score_word(part.score) if part else BANDS[Band.NOT_MEASURED]


def _reason(report: Report, component: ComponentId) -> str:
    result = next((r for r in report.components if r.component is component), None)
    if result is None:
        return "Not measured: the run holds no result of this component."
    if result.status == "failed":
        return f"Not measured: {result.error}"
    return f"Not measured: {result.reason}" if result.status == "skipped" else ""


def methods(report: Report) -> tuple[Method, ...]:
    """When, how and against what each measured component was measured."""
    return tuple(_method(result) for result in report.components if result.status == "measured")


def _method(result: MeasuredComponent) -> Method:
    collected = result.collected
    window = collected.window
    return Method(
        component=TITLES[result.component],
        window=f"{window.start:{_TIME}} to {window.end:{_TIME}} ({seconds(window.seconds)})",
        attempt=f"{result.attempt}, {result.code_version}",
        plan=pairs(collected.load_plan),
        target=pairs(collected.fingerprint),
        notes=collected.notes,
    )
