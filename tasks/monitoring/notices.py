"""What people are told of a run, in plain words: at most one notice for each reason; a healthy run has none.

A notice goes to chats, mailboxes and pagers that each read some markup. So it is plain text, its length is bounded,
and what comes from outside (titles, names, errors) is made such that none of them finds a link, a mention, a tag or
a template in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from storage.errors import ExitCode
from storage.records import (
    Assessment,
    Direction,
    Finding,
    GateCheck,
    GateVerdict,
    Record,
    Regression,
    Report,
    Severity,
)
from tasks.judge.gate import asked_checks, asked_components, exit_code
from tasks.judge.score import display_grade, truncated
from tasks.report.figures import check_value, figure
from tasks.report.text import shorten
from tasks.report.words import TITLES, environment_title, outcome_word, verdict_sentence

Reason = Literal["not-measured", "gate-failed", "regression", "critical"]

MOST_FINDINGS = 3
MOST_TITLE, MOST_SUBJECT, MOST_LINK = 140, 120, 500
"""Characters. A body is at most about 1,900, within what chats and pagers show whole."""

_PLAIN = str.maketrans({"<": "‹", ">": "›", "`": "'", "*": "∗", "~": "∼", "[": "(", "]": ")", "@": "＠", "|": "¦"})
_ADDRESS = re.compile(r"://")
_HOST = re.compile(r"\bwww\.", re.IGNORECASE)
_TEMPLATE = re.compile(r"([{}%#])(?=[{}%#])")
_USERINFO = re.compile(r"://[^/\s]*@")
_SUBJECTS: dict[Reason, str] = {
    "not-measured": "not all of it could be measured",
    "gate-failed": "the gate failed",
    "regression": "confirmed regression",
    "critical": "critical findings or values",
}
_COMPARED = {"<": "below", ">": "above", ">=": "at least", "==": "exactly"}
"""Signs that would begin a tag, as words."""


class Notice(Record):
    """One message: why, and what it says. `link` leads to the report; `findings` are the most useful ones."""

    reason: Reason
    environment: str
    run: str
    release: str
    verdict: str
    subject: str
    body: str
    link: str
    findings: tuple[str, ...]


def messages(report: Report, link: str) -> tuple[Notice, ...]:
    """What is to be said of a run: that it is incomplete or else that its gate failed, regressions, what is critical.

    `link` is where the report lies; user and password in it are left out.
    """
    told: tuple[tuple[Reason, Callable[[Report], list[str]]], ...] = (
        ("not-measured", _unmeasured),
        ("gate-failed", _failed_checks),
        ("regression", _regressions),
        ("critical", _critical),
    )
    lines = ((reason, of(report)) for reason, of in told)
    return tuple(_notice(report, reason, said, link) for reason, said in lines if said)


def inert(text: str, most: int = MOST_TITLE) -> str:
    """One line of text from outside, in which no chat, mail reader or template finds anything but text."""
    plain = _HOST.sub("www ", _ADDRESS.sub(":∕∕", shorten(text, most).translate(_PLAIN)))
    return _TEMPLATE.sub(r"\1 ", plain).replace("&", "＆")


def _notice(report: Report, reason: Reason, lines: Iterable[str], link: str) -> Notice:
    info = report.info
    findings = tuple(_finding(finding) for finding in report.findings[:MOST_FINDINGS])
    release = inert(info.release or "", 60)
    where = " ".join(filter(None, (environment_title(report), release)))
    address = _USERINFO.sub("://", shorten(link, MOST_LINK))
    verdict = verdict_sentence(report)
    score = f"Score {truncated(report.score.value)}, grade {display_grade(report.score)}."
    numbered = [f"{number}. {finding}" for number, finding in enumerate(findings, 1)]
    body = [f"{verdict} {score}", *lines, *(["What to look at first:", *numbered] if numbered else [])]
    return Notice(
        reason=reason,
        environment=info.environment,
        run=info.run,
        release=release,
        verdict=verdict,
        subject=shorten(f"{where}: {_SUBJECTS[reason]}", MOST_SUBJECT),
        body="\n".join([*body, f"Report: {address}", f"Run: {info.run}"]),
        link=address,
        findings=findings,
    )


def _finding(finding: Finding) -> str:
    return f"{finding.severity.value}: {inert(finding.title)}"


def _unmeasured(report: Report) -> list[str]:
    if exit_code(report) is not ExitCode.INCOMPLETE:
        return []
    return ["Not measured:", *_first(_missing(report)), "A retry of the run in Prefect measures exactly what failed."]


def _missing(report: Report) -> list[str]:
    """Components that failed, and metrics with weight that have no value."""
    asked = asked_components(report.info, report.score)
    failed = {one.component: one.error for one in report.components if one.status == "failed"}
    lines = [f"{TITLES[component]}: {inert(error)}" for component, error in failed.items()]
    return lines + [
        f"{assessment.threshold.title}: {inert(assessment.reason)}"
        for part in report.score.components
        if part.component in asked and part.component not in failed
        for assessment in part.assessments
        if assessment.score is None and assessment.threshold.weight > 0
    ]


def _failed_checks(report: Report) -> list[str]:
    """An incomplete run is told as such alone: its checks count once it is whole."""
    if exit_code(report) is not ExitCode.GATE_FAILED:
        return []
    failed = [
        _check(check) for check in asked_checks(report) if check.verdict is GateVerdict.FAIL and not check.waived
    ]
    return ["Checks that fail:", *_first(failed)] if failed else [f"Outcome: {outcome_word(report).text}"]


def _check(check: GateCheck) -> str:
    limit = f"{_COMPARED[check.comparison]} {figure(check.limit, check.unit)}"
    return f"{check.title}: {check_value(check)}, must be {limit}"


def _regressions(report: Report) -> list[str]:
    found = [_regression(one) for one in report.regressions if one.confirmed]
    return ["Confirmed against earlier runs:", *_first(found)] if found else []


def _regression(one: Regression) -> str:
    where = inert(", ".join(one.labels.values()))
    change = f"{figure(one.baseline, one.unit)} before, {figure(one.value, one.unit)} now ({one.change:+.0%})"
    return f"{one.metric}{f' of {where}' if where else ''}: {change}"


def _critical(report: Report) -> list[str]:
    """Critical findings and values past their critical alert. What could not be measured is another reason."""
    found = [f for f in report.findings if f.severity is Severity.CRITICAL and f.kind != "not_measured"]
    alerts = [text for part in report.score.components for a in part.assessments for text in _alert(a)]
    lines = [*(inert(finding.title) for finding in found), *alerts]
    return [f"Critical ({len(lines)}):", *_first(lines)] if lines else []


def _alert(assessment: Assessment) -> Iterator[str]:
    threshold = assessment.threshold
    value = assessment.measurement.value if assessment.measurement else None
    if threshold.critical is None or value is None:
        return
    limit, lower = threshold.critical.limit, threshold.direction is Direction.LOWER
    if value > limit if lower else value < limit:
        words = f"{figure(value, threshold.unit, unlike=limit)}, alert {'above' if lower else 'below'}"
        yield f"{threshold.title}: {words} {figure(limit, threshold.unit)}"


def _first(lines: list[str]) -> list[str]:
    """The first few as list items, and how many more there are."""
    shown = [f"- {shorten(line, MOST_TITLE + 40)}" for line in lines[:MOST_FINDINGS]]
    more = len(lines) - len(shown)
    return [*shown, f"- and {more} more"] if more else shown
