"""What became worse since before, where it began, and what would raise the score: in words for every rendering."""

from __future__ import annotations

from dataclasses import dataclass

from storage.records import Place, Regression, Report
from tasks.report.figures import figure, number
from tasks.report.tables import label_text
from tasks.report.words import Word

_KINDS = {
    "level": "change of level",
    "drift": "drift",
    "disaster": "past every limit in one run",
    "baseline": "against the baseline",
}
_CONFIRMED, _SUSPECTED = Word("poor", "✗", "confirmed"), Word("fair", "!", "suspected")
_FAINT = 0.05


@dataclass(frozen=True)
class ChangeRow:
    """One change for the worse."""

    title: str
    metric: str
    word: Word
    before: str
    after: str
    size: str
    kind: str
    place: str
    detail: str


def change_rows(report: Report) -> tuple[ChangeRow, ...]:
    """The report's regressions, the confirmed ones first."""
    titles = {a.threshold.metric: a.threshold.title for part in report.score.components for a in part.assessments}
    ranked = sorted(report.regressions, key=lambda one: not one.confirmed)
    return tuple(_row(one, titles.get(one.metric, one.metric)) for one in ranked)


def _row(one: Regression, title: str) -> ChangeRow:
    size = f"{one.change * 100:+.1f} %".replace("-", "−")
    if one.interval:
        size += f" ({one.interval[0] * 100:+.1f} to {one.interval[1] * 100:+.1f} %)".replace("-", "−")
    return ChangeRow(
        title=f"{title} ({label_text(one.labels)})" if one.labels else title,
        metric=one.metric,
        word=_CONFIRMED if one.confirmed else _SUSPECTED,
        before=figure(one.baseline, one.unit),
        after=figure(one.value, one.unit),
        size=size,
        kind=_KINDS[one.kind] + (f", {one.runs} runs" if one.runs > 1 else ""),
        place=_place(one.place) if one.place else "",
        detail=one.detail,
    )


def _place(place: Place) -> str:
    words = [f"since run {place.first} of {place.since:%Y-%m-%d %H:%M} UTC, after {place.after}"]
    for name, (before, after) in (("release", place.releases), ("commit", place.commits)):
        if before or after:
            words.append(f"{name} {before or 'unknown'} → {after or 'unknown'}")
    return "; ".join(words)


def levers(report: Report) -> tuple[str, ...]:
    """What would raise the score most, each by itself, and all of it together: points do not add up."""
    why = report.score.explanation
    if why is None:
        return ()
    gains = [
        f"{one.title}: {figure(one.value, one.unit)} → {figure(one.target, one.unit)} alone is worth "
        f"{number(round(one.gain, 1))} points"
        for one in why.levers
        if one.gain >= _FAINT
    ]
    if len(gains) > 1:
        gains.append(f"All of these metrics at their good limits: {number(round(why.together, 1))} points")
    return tuple(gains)
