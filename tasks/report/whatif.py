"""The answer of a what-if, for people and as JSON."""

from __future__ import annotations

from typing import Any

from storage.records import GateCheck
from tasks.judge.rescore import Outcome
from tasks.judge.score import grade, truncated
from tasks.judge.whatif import WhatIf
from tasks.report.figures import check_limit, check_value
from tasks.report.text import one_line
from tasks.report.words import VERDICTS


def whatif_json(answer: WhatIf) -> dict[str, Any]:
    """Everything of the answer, scores unrounded."""
    return {
        "run": answer.run,
        "score": answer.before,
        "steps": [
            {"key": one.key, "title": one.title, "note": one.note, **_outcome(one.after)} for one in answer.steps
        ],
        "after": {
            **_outcome(answer.after),
            "grade": answer.after.score.grade,
            "metrics": {
                metric: {"value": patch.value, "interval": patch.interval}
                for metric, patch in answer.after.patches.items()
            },
        },
        "checks": [
            {"id": now.id, "limit": now.limit, "value": now.value, "verdict": now.verdict.value}
            | {"value_after": then.value, "verdict_after": then.verdict.value}
            for now, then in answer.checks
        ],
    }


def whatif_lines(answer: WhatIf) -> list[str]:
    """One line a step, the score of all of them as a set, and the checks of the gate that would change."""
    lines = [f"Run {answer.run}: score {truncated(answer.before)}, {grade(answer.before)}"]
    lines += [
        f"  {_said(one.after)}  {one_line(one.title)}" + (f" ({one.note}: the score stays)" if one.note else "")
        for one in answer.steps
    ]
    lines.append(f"All of it: score {_said(answer.after)}, {answer.after.score.grade}; predicted, not measured")
    changed = [_changed(now, then) for now, then in answer.checks if now.verdict is not then.verdict]
    return [*lines, *(changed or ["  No check of the gate would change its verdict"])]


def _changed(now: GateCheck, then: GateCheck) -> str:
    verdicts = f"{VERDICTS[now.verdict]} → {VERDICTS[then.verdict]}"
    return f"  {verdicts}  {now.title}: {check_value(now)} → {check_value(then)}, limit {check_limit(now)}"


def _outcome(after: Outcome) -> dict[str, Any]:
    return {"score_after": after.score.value, "interval": after.interval}


def _said(after: Outcome) -> str:
    if not after.patches:
        return truncated(after.score.value)
    if after.interval is None:
        return f"{truncated(after.score.value)} (interval not known)"
    low, high = (truncated(end) for end in after.interval)
    return f"{truncated(after.score.value)} (80 %: {low}–{high})"
