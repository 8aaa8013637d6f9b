"""What was predicted and what came of it, as rows of tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from storage.records import Calibration, RoadmapItem, Verification
from tasks.judge.score import truncated
from tasks.report.figures import figure, share
from tasks.report.tables import label_text
from tasks.report.text import one_line

_WORDS = {"factor": "effect times", "shift": "effect plus", "none": "as predicted: too few"}


MOST_NAMED = 2
"""How many of the findings that a step waits for are named; the others are counted."""


def after_words(item: RoadmapItem) -> str:
    """What a step of the roadmap waits for, and the score after it; empty where neither is known."""
    return _waiting(item) + _score_after(item)


def _waiting(item: RoadmapItem) -> str:
    if not item.waits_for:
        return ""
    named, others = item.waits_for[:MOST_NAMED], len(item.waits_for) - MOST_NAMED
    more = f" and {others} more" if others > 0 else ""
    return f"; after {', '.join(named)}{more}: {item.why_after}"


def _score_after(item: RoadmapItem) -> str:
    if not item.predicted or item.score_after is None:
        return ""
    ends = item.score_interval
    interval = f", 80 %: {truncated(ends[0])} to {truncated(ends[1])}" if ends else ""
    return f"; score {truncated(item.score_after)} once this and all before it are done{interval}"


def verified_rows(found: Iterable[Verification]) -> tuple[tuple[str, ...], ...]:
    """Finding, figure, before, predicted, interval, actual, and what that says of the prediction."""
    return tuple(
        (
            ", ".join(one.findings),
            f"{one.metric} {label_text(one.labels)}".strip(),
            figure(one.before, one.unit),
            figure(one.shown, one.unit),
            "not known" if one.interval is None else " to ".join(figure(end, one.unit) for end in one.interval),
            figure(one.actual, one.unit),
            _verdict(one),
        )
        for one in found
    )


def calibration_rows(found: Iterable[Calibration]) -> tuple[tuple[str, ...], ...]:
    """Kind, metric, count, hit rate, bias, coverage of the interval, and what corrects the next prediction."""
    return tuple(
        (
            one.kind,
            one.metric,
            f"{one.n:,}",
            share(one.hit_rate),
            f"{one.bias * 100:+.0f} %",
            "not known" if one.coverage is None else share(one.coverage),
            _WORDS[one.model] + (f" {one.correction:.2f}" if one.model != "none" else ""),
        )
        for one in found
    )


def calibration_lines(found: Sequence[Calibration]) -> list[str]:
    """The ledger for a terminal."""
    if not found:
        return ["No prediction was verified yet: note what was done by `hasivu-perf applied`, and run again."]
    heads = ("kind of advice", "metric", "n", "hits", "bias", "in interval", "later predictions")
    rows = [heads, *calibration_rows(found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    return [one_line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))) for row in rows]


def _verdict(one: Verification) -> str:
    if one.unlike:
        return f"not like with like: {one.unlike}"
    if one.interval is None:
        return "no interval was predicted"
    return "as predicted" if one.interval[0] <= one.actual <= one.interval[1] else "outside the interval"
