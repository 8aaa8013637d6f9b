"""The report as Markdown: for people who read files, for the step summary of a build, and for Prefect's artifacts.

Text from outside is escaped so that it stays text: no markup, no HTML, no link, no table cell of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from storage.records import Finding, Report
from tasks.judge.roadmap import top_actions
from tasks.judge.score import display_grade, truncated
from tasks.report.advice import index_rows
from tasks.report.attempts import goes
from tasks.report.cards import cards, methods
from tasks.report.changes import change_rows, levers
from tasks.report.figures import check_limit, check_value, figure, margin, moment, share
from tasks.report.functions import function_lines
from tasks.report.predictions import after_words, calibration_rows, verified_rows
from tasks.report.since import change_words
from tasks.report.tables import (
    PartsTable,
    evidence,
    label_text,
    load_rows,
    not_measured,
    pairs,
    parts_tables,
)
from tasks.report.text import shorten, whole_commands
from tasks.report.timelines import time_charts, wrong_kinds
from tasks.report.words import SEVERITIES, check_detail, check_word, verdict_sentence

STEP_SUMMARY_BYTES = 1024 * 1024
"""GitHub refuses a larger step summary whole."""
MOST_FINDINGS, MOST_EVIDENCE = 60, 8

_SPECIAL = re.compile(r"([\\`*_\[\]|~$])")
_LEADING = re.compile(r"^([#+\-=]|\d+(?=[.)]))")


def escape(text: str, most: int = 400) -> str:
    """One line of text from outside, with everything that Markdown or HTML could read made plain."""
    plain = shorten(text, most).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    plain = _LEADING.sub(_unled, _SPECIAL.sub(r"\\\1", plain))
    return plain.replace("://", "&#58;//").replace("www.", "www\\.").replace("@", "&#64;")


def _unled(found: re.Match[str]) -> str:
    """What would begin a heading, a list or a rule: a number keeps its digits and loses its point's meaning."""
    return f"{found[1]}\\" if found[1].isdigit() else f"\\{found[1]}"


def code_block(commands: Sequence[str]) -> str:
    """Commands as they stand, in a fence that none of them can close."""
    text = "\n".join(whole_commands(commands))
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sh\n{text}\n{fence}"


def gate_table(report: Report) -> str:
    """The gate as a Markdown table: value, limit, margin, and the verdict as sign and word."""
    rows = (
        (
            escape(check.title),
            plain(check_value(check)),
            plain(check_limit(check)),
            plain(margin(check)),
            str(check_word(check)),
            escape(check_detail(check), 200),
        )
        for check in report.gate.checks
    )
    return table(("Check", "Value", "Limit", "Margin", "Verdict", "Evidence"), rows)


def technical_markdown(report: Report) -> str:
    """The whole technical report."""
    sections = [
        _head(report),
        "## Release gate",
        gate_table(report),
        _list(report.notes),
        _regressions(report),
        "## Components",
        _components(report),
        _functions(report),
        _gaps(report),
        _levers(report),
        _load(report),
        _course(report),
        _indexes(report),
        _findings(report),
        _roadmap(report),
        _hints(report),
        _verified(report),
        _advice(report),
        *_parts(parts_tables(report)),
        _method(report),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def step_summary(report: Report, most: int = STEP_SUMMARY_BYTES) -> str:
    """What `$GITHUB_STEP_SUMMARY` gets: verdict, gate, components, what was not measured, and what to do first."""
    actions = [f"**{SEVERITIES[f.severity]}** {escape(f.title)}" for f in top_actions(report.findings)]
    sections = [_head(report), gate_table(report), _list(report.notes), _components(report), _gaps(report)]
    if actions:
        sections += ["### What to do first", _numbered(actions)]
    return capped("\n\n".join(section for section in sections if section) + "\n", most)


def _functions(report: Report) -> str:
    rows = function_lines(report)
    if not rows:
        return ""
    return "## Lambda functions\n\n" + table(("", ""), ((escape(name), plain(value)) for name, value in rows))


def capped(text: str, most: int) -> str:
    """At most so many bytes, cut between lines, and saying so."""
    if len(text.encode()) <= most:
        return text
    note = "\n\n*Cut here: the whole is in the report.*\n"
    kept = text.encode()[: most - len(note.encode())].decode(errors="ignore")
    return kept.rpartition("\n")[0] + note


def _head(report: Report) -> str:
    info, score = report.info, report.score
    mean = "not measured" if score.measured_mean is None else truncated(score.measured_mean)
    release = f", release {escape(info.release)}" if info.release else ""
    return (
        f"# {escape(verdict_sentence(report))}\n\n"
        f"**{truncated(score.value)} of 100, grade {display_grade(score)}** (coverage "
        f"{share(score.coverage)}, mean of the measured {mean}, could reach at most {truncated(score.ceiling)}). "
        f"Since the last run: {escape(change_words(report))}.\n\n"
        f"Run {escape(info.run)} of {escape(info.environment)}, profile {info.profile}{release}, "
        f"started {moment(info.started)}."
    )


def _components(report: Report) -> str:
    rows = []
    for card in cards(report):
        value = "not measured" if card.score is None else truncated(card.score)
        rows.append((f"**{card.title}**", value, str(card.word), "", escape(card.reason, 200)))
        rows += [
            (plain(row.title), plain(row.value), str(row.word), row.lost, escape(row.reason or row.limits, 200))
            for row in card.rows
        ]
    return table(("Component, metric", "Score, value", "State", "Points", "Limits or reason"), rows)


def _gaps(report: Report) -> str:
    gaps = not_measured(report)
    if not gaps:
        return ""
    return "## What was not measured\n\n" + bullets(f"**{escape(what)}**: {escape(why)}" for what, why in gaps)


def _load(report: Report) -> str:
    rows = [
        (
            row.component,
            row.planned,
            row.sent,
            row.unsent,
            row.answered,
            row.failed,
            escape(row.errors),
            row.rate,
            str(row.trust),
            escape(row.reasons),
        )
        for row in load_rows(report)
    ]
    heads = (
        "Component",
        "Planned",
        "Sent",
        "Not sent",
        "Answered",
        "of it wrong",
        "No answer",
        "Rate",
        "Generator",
        "Why",
    )
    return "## Load\n\n" + table(heads, rows) if rows else ""


def _course(report: Report) -> str:
    """The load over time in a sentence a component, and what went wrong by kind."""
    lines = [f"**{escape(chart.title)}**: {plain(chart.summary)}" for chart in time_charts(report)]
    rows = [
        (group.component, escape(kind), amount, part)
        for group in wrong_kinds(report)
        for kind, amount, part in group.rows
    ]
    wrong = table(("Component", "Kind", "Requests", "Share of all"), rows) if rows else ""
    parts = [bullets(lines), f"### What went wrong, by kind\n\n{wrong}" if wrong else ""]
    return "\n\n".join(part for part in parts if part)


def _indexes(report: Report) -> str:
    rows = [
        (escape(row.title, 200), escape(row.before, 160), escape(row.after, 160), escape(row.how, 300))
        for row in index_rows(report)
    ]
    heads = ("Advice", "Now", "Then", "How it is known")
    return "## Index advice\n\n" + table(heads, rows) if rows else ""


def _regressions(report: Report) -> str:
    lines = [
        f"{row.word} **{escape(row.title)}**: {plain(row.before)} → {plain(row.after)}, {row.size}, {row.kind}. "
        f"{escape('. '.join(part for part in (row.place, row.detail) if part), 500)}"
        for row in change_rows(report)
    ]
    return "## Changes for the worse\n\n" + bullets(lines) if lines else ""


def _levers(report: Report) -> str:
    lines = levers(report)
    return "## What would raise the score\n\n" + bullets(map(escape, lines)) if lines else ""


def _findings(report: Report) -> str:
    if not report.findings:
        return ""
    shown = report.findings[:MOST_FINDINGS]
    more = len(report.findings) - len(shown)
    left = f"\n\n{more} more are in report.json." if more else ""
    return "## Findings\n\n" + "\n\n".join(_finding(finding) for finding in shown) + left


def _finding(finding: Finding) -> str:
    parts = [
        f"### {SEVERITIES[finding.severity]}: {escape(finding.title, 200)}",
        f"Impact {finding.impact}, effort {finding.effort}. {escape(finding.detail, 1200)}",
        bullets(
            f"{m.metric} {escape(label_text(m.labels))}: **{plain(figure(m.value, m.unit))}** "
            f"({escape(evidence(m))}{f': {escape(m.note)}' if m.value is None else ''})"
            for m in finding.evidence[:MOST_EVIDENCE]
        ),
        f"What to do: {escape(finding.remedy.summary, 1200)}",
        code_block(finding.remedy.commands) if finding.remedy.commands else "",
        f"Patch:\n\n{code_block(finding.remedy.patches)}" if finding.remedy.patches else "",
        f"How to undo it:\n\n{code_block(finding.remedy.rollback)}" if finding.remedy.rollback else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _roadmap(report: Report) -> str:
    months = [
        f"### Month {month}\n\n"
        + _numbered(
            f"{escape(item.title, 200)} (impact {item.impact}, effort {item.effort}{after_words(item)})"
            for item in report.roadmap
            if item.month == month
        )
        for month in (1, 2, 3)
        if any(item.month == month for item in report.roadmap)
    ]
    return "## Roadmap\n\n" + "\n\n".join(months) if months else ""


def _hints(report: Report) -> str:
    lines = [f"**{escape(one.endpoint)}** and {escape(one.cause)}: {escape(one.detail)}" for one in report.hints]
    return "## Where to look first\n\nCorrelation, no proof.\n\n" + _numbered(lines) if lines else ""


def _verified(report: Report) -> str:
    heads = ("What was done", "Figure", "Before", "Predicted", "80 % interval", "Actual", "Verdict")
    rows = (tuple(escape(cell, 160) for cell in row) for row in verified_rows(report.verifications))
    return "## Predicted, then measured\n\n" + table(heads, rows) if report.verifications else ""


def _advice(report: Report) -> str:
    heads = ("Kind of advice", "Metric", "Verified", "Hit rate", "Bias", "Within the interval", "Later predictions")
    rows = (tuple(escape(cell, 160) for cell in row) for row in calibration_rows(report.calibration))
    return "## How good the advice was\n\n" + table(heads, rows) if report.calibration else ""


def _parts(tables: Iterable[PartsTable]) -> list[str]:
    sections = []
    for one in tables:
        rows = (tuple(escape(cell.text, 120) for cell in row) for row in one.rows)
        left = f"\n\n{one.left_out} more are in report.json." if one.left_out else ""
        heads = tuple(escape(name) for name in (*one.labels, *one.columns))
        sections.append(f"## {escape(one.title)}\n\n{table(heads, rows)}{left}")
    return sections


def _method(report: Report) -> str:
    rows = (
        (
            row.component,
            row.window,
            escape(row.attempt),
            escape(row.plan),
            escape(row.target),
            escape("; ".join(row.notes)),
        )
        for row in methods(report)
    )
    info = report.info
    machine, settings = escape(pairs(info.machine)), escape(pairs(info.settings))
    about = f"Tool {escape(info.code_version)}. Machine: {machine}. Settings: {settings}."
    heads = ("Component", "Window (UTC)", "Attempt, tool", "Load plan", "Target", "Notes")
    attempts = bullets(
        escape(f"Attempt {go.number} measured {go.measured}. {go.times}. Target: {go.target}.", 600)
        for go in goes(report)
    )
    return "\n\n".join(part for part in ("## Method", table(heads, rows), attempts, about) if part)


def plain(text: str) -> str:
    """A figure or title of our own: only a bar or an angle could be misread."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; what stands in its cells must have been escaped."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _list(lines: Iterable[str]) -> str:
    return bullets(escape(line) for line in lines)


def bullets(lines: Iterable[str]) -> str:
    """A list; what stands in its lines must have been escaped."""
    return "\n".join(f"- {line}" for line in lines)


def _numbered(lines: Iterable[str]) -> str:
    return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))
