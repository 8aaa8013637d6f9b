"""The end of a run in a terminal: verdict, failed checks, components, what to do first, where the report lies."""

from __future__ import annotations

from collections.abc import Sequence

from storage.records import GateVerdict, Report
from tasks.judge.gate import asked_checks
from tasks.judge.roadmap import top_actions
from tasks.judge.score import display_grade, truncated
from tasks.report.cards import cards
from tasks.report.figures import NOT_MEASURED, check_limit, check_value, share
from tasks.report.text import ascii_text, one_line
from tasks.report.words import SEVERITIES, VERDICTS, outcome_word, verdict_sentence

_NARROWEST = 40


def summary_lines(report: Report, path: str = "", *, width: int = 100, ascii_only: bool = False) -> tuple[str, ...]:
    """Plain lines, none longer than `width` (but the path, which is to be copied), without any escape sequence."""
    blocks = [_verdict(report), _checks(report), _components(report), _actions(report)]
    lines = [_fit(line, max(width, _NARROWEST)) for block in blocks if block for line in ("", *block)][1:]
    if path:
        lines += ["", f"Report: {one_line(path)}"]
    return tuple(ascii_text(line) if ascii_only else line for line in lines)


def _verdict(report: Report) -> list[str]:
    score = report.score
    return [
        f"{outcome_word(report).sign} {verdict_sentence(report)}",
        f"  Score {truncated(score.value)} of 100, grade {display_grade(score)}, coverage {share(score.coverage)}",
    ]


def _checks(report: Report) -> list[str]:
    """The checks that do not pass, of what was asked."""
    rows = [
        (str(VERDICTS[check.verdict]), check.title, f"{check_value(check)} ({check_limit(check)})", check.detail)
        for check in asked_checks(report)
        if check.verdict is not GateVerdict.PASS
    ]
    shown = [(word, title, value if word.startswith("✗") else f"{value}: {why}") for word, title, value, why in rows]
    return ["Checks that do not pass", *_aligned(shown)] if shown else []


def _components(report: Report) -> list[str]:
    rows = [
        (
            str(card.word),
            card.title,
            NOT_MEASURED if card.score is None else truncated(card.score),
            "; ".join(f"{row.title} {row.value}" for row in card.rows if row.value) or card.reason,
        )
        for card in cards(report)
    ]
    return ["Components", *_aligned(rows)]


def _actions(report: Report) -> list[str]:
    actions = top_actions(report.findings)
    if not actions:
        return []
    lines = ["What to do first"]
    for number, finding in enumerate(actions, 1):
        lines.append(f"  {number}. {SEVERITIES[finding.severity].text}: {one_line(finding.title)}")
        lines += [f"     {one_line(command)}" for command in finding.remedy.commands[:1]]
    more = len(report.findings) - len(actions)
    return [*lines, f"  and {more} more in the report"] if more > 0 else lines


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    clean = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in clean) for column in range(len(clean[0]) - 1)]
    return [
        "  " + "  ".join([*(cell.ljust(size) for cell, size in zip(row[:-1], widths, strict=True)), row[-1]]).rstrip()
        for row in clean
    ]


def _fit(line: str, width: int) -> str:
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"
