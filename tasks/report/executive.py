"""The executive summary: one page in the words of a school-meal service, every figure with what it means at lunch.

A statement is made only of what was measured; where nothing was, the page says that nobody knows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from storage.errors import ExitCode
from storage.records import Assessment, Report, Severity, Unit
from tasks.judge.gate import asked_components, exit_code, is_release_gate
from tasks.judge.roadmap import top_actions
from tasks.judge.score import display_grade, truncated
from tasks.report.charts import score_scale
from tasks.report.figures import NOT_MEASURED, figure, number
from tasks.report.html import page
from tasks.report.markdown import escape
from tasks.report.tables import not_measured
from tasks.report.words import (
    BANDS,
    SEVERITIES,
    Word,
    environment_title,
    outcome_word,
    score_word,
    title_list,
    warns,
)

MOST_GAPS, MOST_ACTIONS = 6, 3


@dataclass(frozen=True)
class Statement:
    """One question that the service asks, with its answer."""

    question: str
    figure: str
    answer: str
    word: Word


@dataclass(frozen=True)
class _Question:
    metric: str
    text: str
    figure: Callable[[float], str]
    answer: str


def _time(milliseconds: float) -> str:
    """Milliseconds as people say them: seconds from one second on."""
    return f"{number(milliseconds / 1000)} s" if milliseconds >= 1000 else figure(milliseconds, Unit.MS)  # noqa: PLR2004


_QUESTIONS = (
    _Question(
        "rfid.throughput",
        "How many children can the RFID gates serve a minute?",
        lambda v: f"{v * 60:,.0f} a minute",
        "cards verified by all readers together",
    ),
    _Question(
        "rfid.latency.p95",
        "How long does a child wait for the reader's green light?",
        _time,
        "or less for 95 of 100 children",
    ),
    _Question(
        "api.latency.p95",
        "How long do parents and kitchens wait for the app?",
        _time,
        "or less for 95 of 100 requests",
    ),
    _Question(
        "api.errors.ratio",
        "How many requests of the app go wrong?",
        lambda v: f"{number(v * 1000)} of 1,000",
        "requests failed or got no answer",
    ),
    _Question(
        "lambda.cold_start.p95",
        "How long is the wait when a part of the service was asleep?",
        _time,
        "or less for 95 of 100 first requests",
    ),
    _Question(
        "database.query.p95",
        "How quickly are orders and menus looked up?",
        _time,
        "or less for 95 of 100 look-ups",
    ),
    _Question(
        "websocket.latency.p95",
        "How quickly does a change of an order reach the screen?",
        _time,
        "or less for 95 of 100 updates",
    ),
    _Question(
        "cache.hits.ratio",
        "How often is an answer at hand without asking the database?",
        lambda v: f"{number(v * 100)} of 100",
        "times",
    ),
)


def statements(report: Report) -> tuple[Statement, ...]:
    """The questions of the service for the components that the environment has, answered where they were measured."""
    found = {a.threshold.metric: a for part in report.score.components for a in part.assessments}
    return tuple(_statement(question, found[question.metric]) for question in _QUESTIONS if question.metric in found)


def meaning(report: Report) -> str:
    """What the verdict means for lunch, in a sentence or two."""
    name = environment_title(report)
    code = exit_code(report)
    passes = code is ExitCode.PASS and not warns(report)
    if code is ExitCode.INCOMPLETE:
        return (
            f"{name}: nobody can say yet whether lunch will run smoothly, because part of it could not be measured."
        )
    if not is_release_gate(report.info, report.score):
        asked = asked_components(report.info, report.score)
        verb = "is" if len(asked) == 1 else "are"
        state = f"{verb} fast enough" if passes else f"{verb} not fast enough"
        return f"{name}: {title_list(asked)} {state}. The rest of the service was not looked at."
    waived = [check.title for check in report.gate.checks if check.waived]
    if passes and waived:
        return f"{name} may serve lunch with limits that it misses and that were waived: {', '.join(waived)}."
    if passes:
        return f"{name} is fast and sound enough to serve lunch."
    return f"{name} should not be released as it is: it misses limits that lunch depends on."


def executive_markdown(report: Report) -> str:
    """The page as Markdown."""
    score = report.score
    measured_on = f"Measured on {report.info.started:%d %B %Y, %H:%M} UTC, run {escape(report.info.run)}."
    lines = [
        f"# {escape(meaning(report))}",
        "",
        f"**{truncated(score.value)} of 100 points, grade {display_grade(score)}.** {measured_on}",
        "",
        "| Question | Answer | State |",
        "| --- | --- | --- |",
        *(f"| {s.question} | **{s.figure}** {escape(s.answer, 160)} | {s.word} |" for s in statements(report)),
        "",
        "## What to decide",
        "",
        *_decisions(report),
    ]
    gaps = not_measured(report)
    if gaps:
        lines += ["", "## What nobody knows yet", ""]
        lines += [f"- {escape(what)}: {escape(why, 200)}" for what, why in gaps[:MOST_GAPS]]
        if len(gaps) > MOST_GAPS:
            lines.append(f"- and {len(gaps) - MOST_GAPS} more in the technical report")
    return "\n".join(lines) + "\n"


def executive_html(report: Report) -> bytes:
    """The page as one self-contained, printable HTML file."""
    gaps = not_measured(report)
    return page(
        "executive.html.j2",
        {
            "report": report,
            "meaning": meaning(report),
            "outcome": outcome_word(report),
            "grade": display_grade(report.score),
            "scale": score_scale(report.score),
            "score_tone": score_word(report.score.value if report.score.coverage else None).tone,
            "statements": statements(report),
            "actions": top_actions(report.findings, MOST_ACTIONS),
            "critical": sum(finding.severity is Severity.CRITICAL for finding in report.findings),
            "severities": SEVERITIES,
            "gaps": gaps[:MOST_GAPS],
            "more_gaps": max(0, len(gaps) - MOST_GAPS),
        },
    )


def _statement(question: _Question, assessment: Assessment) -> Statement:
    measurement = assessment.measurement
    word = BANDS[assessment.band]
    if measurement is None or measurement.value is None or assessment.score is None:
        return Statement(question.text, NOT_MEASURED, assessment.reason, word)
    return Statement(question.text, question.figure(measurement.value), question.answer, word)


def _decisions(report: Report) -> list[str]:
    actions = top_actions(report.findings, MOST_ACTIONS)
    if not actions:
        return ["Nothing: no finding asks for a decision."]
    return [
        f"{place}. {escape(finding.title, 200)} (benefit {finding.impact}, effort {finding.effort})"
        for place, finding in enumerate(actions, 1)
    ]
