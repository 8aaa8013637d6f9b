"""The executive summary: one page in the words of a school-meal service, every figure with what it means at lunch.

A statement is made only of what was measured; where nothing was, the page says that nobody knows.
"""

from __future__ import annotations

from storage.errors import ExitCode
from storage.records import ComponentId, Report, Severity
from tasks.judge.gate import asked_components, exit_code, is_release_gate
from tasks.judge.roadmap import top_actions
from tasks.judge.score import display_grade, truncated
from tasks.report.charts import score_scale
from tasks.report.html import page
from tasks.report.markdown import escape
from tasks.report.since import change_words, since
from tasks.report.statements import doubted, statements
from tasks.report.tables import judged_gaps, not_measured
from tasks.report.words import (
    SEVERITIES,
    TITLES,
    environment_title,
    outcome_word,
    score_word,
    title_list,
    warns,
)

MOST_GAPS, MOST_ACTIONS = 4, 3
AREAS = {
    ComponentId.DATABASE: "Looking up orders and menus",
    ComponentId.LAMBDA: "The service's functions",
    ComponentId.API: "The app",
    ComponentId.WEBSOCKET: "Live updates on the screen",
    ComponentId.CACHE: "Answers at hand",
    ComponentId.RFID: "The readers at the gate",
}
"""What each component is to those who decide."""


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
        f"Since the last run: {escape(change_words(report))}.",
        "",
        "| Question | Answer | State |",
        "| --- | --- | --- |",
        *(f"| {s.question} | **{s.figure}** {escape(s.answer, 160)} | {s.word} |" for s in statements(report)),
        "",
        "## What to decide",
        "",
        *_decisions(report),
    ]
    gaps, more = _gaps(report)
    if gaps:
        lines += ["", "## What nobody knows yet", ""]
        lines += [f"- {escape(what)}: {escape(why, 200)}" for what, why in gaps]
    if more:
        lines += ["", f"{more} further figures of parts of the service were not measured: see the technical report."]
    return "\n".join(lines) + "\n"


def executive_html(report: Report) -> bytes:
    """The page as one self-contained, printable HTML file."""
    gaps, more = _gaps(report)
    return page(
        "executive.html.j2",
        {
            "report": report,
            "meaning": meaning(report),
            "since": since(report),
            "outcome": outcome_word(report),
            "grade": display_grade(report.score),
            "scale": score_scale(report.score),
            "score_tone": score_word(report.score.value if report.score.coverage else None).tone,
            "statements": statements(report),
            "actions": top_actions(report.findings, MOST_ACTIONS),
            "critical": sum(finding.severity is Severity.CRITICAL for finding in report.findings),
            "severities": SEVERITIES,
            "areas": AREAS,
            "gaps": gaps,
            "more_gaps": more,
        },
    )


def _gaps(report: Report) -> tuple[tuple[tuple[str, str], ...], int]:
    """What of the answers above is not known, and how much else the technical report names."""
    absent = judged_gaps(report)
    why = "answers are doubted: the machine that asked could not keep up"
    doubts = [(title, why) for component, title in TITLES.items() if component in doubted(report)]
    shown = (*absent, *doubts)[:MOST_GAPS]
    return shown, len(not_measured(report)) + len(doubts) - len(shown)


def _decisions(report: Report) -> list[str]:
    actions = top_actions(report.findings, MOST_ACTIONS)
    if not actions:
        return ["Nothing: no finding asks for a decision."]
    return [
        f"{place}. **{AREAS[finding.component]}**: {escape(finding.title, 200)} "
        f"(benefit {finding.impact}, effort {finding.effort})"
        for place, finding in enumerate(actions, 1)
    ]
