"""The end of a run in a terminal: verdict, failed checks, components, what to do first, where the report lies."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from storage.records import ComponentScore, GateVerdict, Report
from tasks.judge.gate import asked_checks
from tasks.judge.roadmap import top_actions
from tasks.judge.score import display_grade, truncated
from tasks.report.cards import cards
from tasks.report.figures import NOT_MEASURED, check_limit, check_value, figure, share
from tasks.report.functions import function_lines
from tasks.report.since import change_words
from tasks.report.text import ascii_text, clean, one_line
from tasks.report.words import SEVERITIES, check_word, outcome_word, verdict_sentence

_NARROWEST = 40
_COMMAND = "     "
_LONGEST_COMMAND = 240


def summary_lines(report: Report, path: str = "", *, width: int = 100, ascii_only: bool = False) -> tuple[str, ...]:
    """Plain lines without any escape sequence, cut to `width`; commands and the path stay whole, to be copied."""
    wide = max(width, _NARROWEST)
    blocks = [_checks(report), _components(report), _functions(report), _actions(report)]
    lines = [part for line in _verdict(report) for part in wrap(line, wide, subsequent_indent="  ")]
    lines += [_fit(line, wide) for block in blocks if block for line in ("", *block)]
    if path:
        lines += ["", f"Report: {one_line(path)}"]
    return tuple(ascii_text(line) if ascii_only else line for line in lines)


def _verdict(report: Report) -> list[str]:
    score = report.score
    since = [f"  Since the last run: {one_line(change_words(report))}"] if report.earlier else []
    return [
        f"{outcome_word(report).sign} {one_line(verdict_sentence(report))}",
        f"  Score {truncated(score.value)} of 100, grade {display_grade(score)}, coverage {share(score.coverage)}",
        *since,
    ]


def _checks(report: Report) -> list[str]:
    """The checks that do not pass, of what was asked."""
    rows = [
        (
            str(check_word(check)),
            check.title,
            check.detail
            if check.verdict is GateVerdict.NO_DATA
            else f"{check_value(check)} (limit {check_limit(check)})",
        )
        for check in asked_checks(report)
        if check.verdict is not GateVerdict.PASS
    ]
    return ["Checks that do not pass", *_aligned(rows)] if rows else []


def _components(report: Report) -> list[str]:
    scores = {part.component.value: part for part in report.score.components}
    rows = [
        (
            str(card.word),
            card.title,
            NOT_MEASURED if card.score is None else truncated(card.score),
            _worst(scores[card.key]) if card.score is not None else card.reason,
        )
        for card in cards(report)
    ]
    return ["Components", *_aligned(rows)]


def _functions(report: Report) -> list[str]:
    rows = function_lines(report)
    return ["Lambda functions", *_aligned(rows)] if rows else []


def _worst(part: ComponentScore) -> str:
    """What is missing of a component, and the metric that cost it the most."""
    worst = max(
        part.assessments, key=lambda a: (a.threshold.weight > 0, 100 - a.score if a.score is not None else -1)
    )
    value = figure(
        worst.measurement.value if worst.measurement else None, worst.threshold.unit, unlike=worst.threshold.good
    )
    missing = "" if part.coverage == 1 else f"coverage {share(part.coverage)}; "
    return f"{missing}worst: {worst.threshold.title} {value}"


def _actions(report: Report) -> list[str]:
    actions = top_actions(report.findings)
    if not actions:
        return []
    lines = ["What to do first"]
    for number, finding in enumerate(actions, 1):
        lines.append(f"  {number}. {SEVERITIES[finding.severity].text}: {one_line(finding.title)}")
        lines += [f"{_COMMAND}{_command(command)}" for command in finding.remedy.commands[:1]]
    more = len(report.findings) - len(actions)
    return [*lines, f"  and {more} more in the report"] if more > 0 else lines


def _command(command: str) -> str:
    """A command that can be copied, or where to find it: half a command is worse than none."""
    whole = clean(command).strip()
    return whole if len(whole) <= _LONGEST_COMMAND and "\n" not in whole else "(its command is in the report)"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    texts = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in texts) for column in range(len(texts[0]) - 1)]
    return [
        "  " + "  ".join([*(cell.ljust(size) for cell, size in zip(row[:-1], widths, strict=True)), row[-1]]).rstrip()
        for row in texts
    ]


def _fit(line: str, width: int) -> str:
    if line.startswith(_COMMAND):
        return line
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"
