"""The history site: one page an environment with its runs, trends and a comparison; one page over all. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from storage.records import Report, Threshold
from tasks.judge.score import truncated
from tasks.report.figures import figure, share
from tasks.report.html import page
from tasks.report.run_row import RunRow
from tasks.report.trends import MOST_RUNS, trends
from tasks.report.words import VERDICTS, Word

MOST_CURVE = 30
_SCORE_HEIGHT = 36.0


@dataclass(frozen=True)
class RunLine:
    """A run in the table of runs; `report` is its address beside the page."""

    run: str
    started: str
    sort: float
    release: str
    kind: str
    word: Word
    score: str
    points: float
    grade: str
    coverage: str
    critical: int
    report: str


@dataclass(frozen=True)
class Front:
    """An environment on the page over all."""

    name: str
    sentence: str
    word: Word
    last: RunLine
    runs: int
    path: str
    curve: str


def environment_page(
    environment: str, rows: Sequence[RunRow], thresholds: Sequence[Threshold], problems: Mapping[str, str]
) -> bytes:
    """The page of an environment; `rows` oldest first, at least one, `thresholds` those of the newest run."""
    kept = rows[-MOST_RUNS:]
    newest = kept[-1]
    alike = [row for row in rows if row.kind == newest.kind]
    return page(
        "site.html.j2",
        {
            "environment": environment,
            "newest": newest,
            "word_now": _word(newest),
            "lines": [_line(row) for row in reversed(kept)],
            "left_out": len(rows) - len(kept),
            "problems": sorted(problems.items()),
            "trend_charts": trends(alike, thresholds),
            "alike": min(len(alike), MOST_RUNS),
            "kind": kind_words(newest),
            "data": _data(kept, thresholds),
        },
        scripts=("report.js", "site.js"),
    )


def root_page(fronts: Sequence[Front], prefix: str) -> bytes:
    """The page over all environments; `prefix` leads from it to their folders."""
    return page("site-root.html.j2", {"fronts": fronts, "prefix": prefix})


def front(rows: Sequence[RunRow]) -> Front:
    """What the page over all says of an environment."""
    newest = rows[-1]
    alike = [row for row in rows if row.kind == newest.kind][-MOST_CURVE:]
    gap = 1000 / len(alike)
    points = [f"{(at + 0.5) * gap:g} {_SCORE_HEIGHT * (1 - row.score / 100):.1f}" for at, row in enumerate(alike)]
    listed = ", ".join(truncated(row.score) for row in alike)
    return Front(
        name=newest.environment,
        sentence=newest.sentence,
        word=_word(newest),
        last=_line(newest),
        runs=len(rows),
        path="M" + "L".join(points) + ("h0" if len(points) == 1 else ""),
        curve=f"Scores of the last {len(alike)} runs of this kind: {listed}",
    )


def thresholds_of(report: Report) -> list[Threshold]:
    """The limits that a report was judged by."""
    return [a.threshold for part in report.score.components for a in part.assessments]


def kind_words(row: RunRow) -> str:
    """The kind of a run, for the eye."""
    load = (
        f"{row.load['users']} users, {row.load['duration_s']} s" if {"users", "duration_s"} <= set(row.load) else ""
    )
    embedded = "embedded platform" if row.local else ""
    return ", ".join(part for part in (f"profile {row.profile}", load, embedded) if part)


def _word(row: RunRow) -> Word:
    return next(word for verdict, word in VERDICTS.items() if verdict.value == row.verdict)


def _line(row: RunRow) -> RunLine:
    return RunLine(
        run=row.run,
        started=f"{row.started:%Y-%m-%d %H:%M}",
        sort=row.started.timestamp(),
        release=row.release or "",
        kind=kind_words(row),
        word=_word(row),
        score=truncated(row.score),
        points=row.score,
        grade=row.grade,
        coverage=share(row.coverage),
        critical=row.findings.get("critical", 0),
        report=f"{row.run}/report.html",
    )


def _data(rows: Sequence[RunRow], thresholds: Sequence[Threshold]) -> dict[str, Any]:
    """What the script compares: every figure as value, text, interval."""
    return {
        "limits": {
            one.metric: {"title": one.title, "lower": one.direction.value == "lower", "effect": one.minimum_effect}
            for one in thresholds
        },
        "runs": [
            {
                "run": row.run,
                "name": f"{row.started:%Y-%m-%d %H:%M} {row.release or ''} ({truncated(row.score)})",
                "kind": f"{kind_words(row)}; {row.components}",
                "score": row.score,
                "shown": truncated(row.score),
                "figures": {
                    metric: [one.value, figure(one.value, one.unit), *(one.interval or ())]
                    for metric, one in row.figures.items()
                },
            }
            for row in reversed(rows)
        ],
    }
