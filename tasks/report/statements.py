"""The questions that a school-meal service asks of a run, each with its answer in plain words.

An answer is given only of what was measured; where nothing was, it says that nobody knows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from storage.records import Assessment, Band, ComponentId, Report, Trust, Unit
from tasks.report.figures import NOT_MEASURED, count, figure, number
from tasks.report.timelines import in_time
from tasks.report.words import BANDS, Word


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
    counted: bool = True


def _time(milliseconds: float) -> str:
    """Milliseconds as people say them: seconds from one second on."""
    return f"{number(milliseconds / 1000)} s" if milliseconds >= 1000 else figure(milliseconds, Unit.MS)  # noqa: PLR2004


_QUESTIONS = (
    _Question(
        "rfid.throughput",
        "How many children can the RFID gates serve a minute?",
        lambda v: f"{v * 60:,.0f} a minute",
        "cards verified by all readers together",
        counted=False,
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
        "look-ups",
    ),
)


_IN_TIME = {
    ComponentId.RFID: "How many children get their green light in time?",
    ComponentId.API: "How many requests of the app are answered in time?",
}
_PUNCTUAL = 0.95
"""Share in time that is good: it is the limit of the 95th percentile, seen from the other side."""
_MONEY = "lambda.cost.month"
_DOUBTED = Word("fair", "?", "doubted")


def statements(report: Report) -> tuple[Statement, ...]:
    """The questions of the service for the components that the environment has, answered where they were measured."""
    found = {a.threshold.metric: a for part in report.score.components for a in part.assessments}
    doubts = doubted(report)
    asked = [
        _statement(question, found[question.metric], doubts) for question in _QUESTIONS if question.metric in found
    ]
    return (*asked[:1], *_in_time(report), *asked[1:], *_money(report))


def doubted(report: Report) -> frozenset[ComponentId]:
    """Components whose load generator does not trust its own figures: what they say is no answer to build on.

    Not the cache: what this page asks of it, the server's own counters answer.
    """
    return frozenset(
        result.component
        for result in report.components
        if result.status == "measured"
        and result.component is not ComponentId.CACHE
        and result.collected.load is not None
        and result.collected.load.trust is Trust.NOT_TRUSTED
    )


def _in_time(report: Report) -> list[Statement]:
    made = []
    for one in sorted(report.timelines, key=lambda line: line.component is not ComponentId.RFID):
        part = in_time(one)
        if one.component in _IN_TIME and part is not None and one.limit is not None:
            word = BANDS[Band.GOOD if part >= _PUNCTUAL else Band.POOR]
            word = _DOUBTED if one.component in doubted(report) else word
            shown = figure(part, Unit.RATIO).removesuffix(" %")
            answer = f"within {_time(one.limit)}, of {count(one.judged)} asked"
            made.append(Statement(_IN_TIME[one.component], f"{shown} of 100", answer, word))
    return made


def _money(report: Report) -> list[Statement]:
    question = "What do the service's functions cost a month?"
    for result in report.components:
        for one in result.measurements if result.status == "measured" else ():
            if one.metric == _MONEY and not one.labels:
                state = Word("none", "–", "no limit set") if one.value is not None else BANDS[Band.NOT_MEASURED]
                shown = figure(one.value, one.unit).removesuffix(" a month")
                return [Statement(question, shown, one.note or "a month at today's traffic and prices", state)]
    return []


def _statement(question: _Question, assessment: Assessment, doubts: frozenset[ComponentId]) -> Statement:
    measurement = assessment.measurement
    word = BANDS[assessment.band]
    if measurement is None or measurement.value is None or assessment.score is None:
        return Statement(question.text, NOT_MEASURED, assessment.reason, word)
    if question.metric.partition(".")[0] in doubts:
        word = _DOUBTED
    seen = f", of {count(measurement.n)} seen" if question.counted else ""
    return Statement(question.text, question.figure(measurement.value), f"{question.answer}{seen}", word)
