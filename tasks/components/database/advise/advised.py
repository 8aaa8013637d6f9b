"""What the advisor recommended, read back: one `Advice` per index, with the words for its evidence."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from storage.records import PredictedChange
from tasks.components.database.advise.case import Case, Row, size_words
from tasks.components.database.statements import label

_SHOWN = 3


@dataclass(frozen=True)
class Advice:
    """One recommended index; `evidence` is the advisor's own, `statements` are queryids that it helps.

    `whole` tells a B-tree over all rows, which serves a foreign key too.
    """

    sql: str
    drop: str
    schema: str
    table: str
    columns: tuple[str, ...]
    statements: tuple[str, ...]
    whole: bool
    evidence: Mapping[str, Any]

    @property
    def shown(self) -> str:
        """What the index holds, as SQL: its keys and all that follows them."""
        first = self.sql.partition(";\n")[0]  # a partitioned table's index takes many statements
        return first.partition(" USING ")[2].partition(" ")[2] or ", ".join(self.columns)

    @property
    def tested(self) -> str:
        """How it was tested, for a sentence."""
        return f"tested: {self.evidence['tested']}, confidence {self.evidence['confidence']}"


def of(case: Case) -> list[Advice]:
    """All recommendations of the window, the best first."""
    return [
        Advice(
            row["sql"],
            row["drop"],
            row["schema"],
            row["table"],
            tuple(row["columns"]),
            tuple(row["statements"]),
            row["whole"],
            json.loads(row["evidence"]),
        )
        for row in case.data.rows("advice")
    ]


def judged(case: Case) -> frozenset[str]:
    """Queryids and names of timed reads that the advisor judged: what it does not recommend for them does not pay."""
    if not _answered(case):
        return frozenset()
    refused = {row["statement"] for row in case.data.rows("advice_refused")}
    rows = [row for row in case.data.rows("statements") if row["queryid"] not in refused]
    return frozenset(name for row in rows if _sent(row) for name in (row["queryid"], row["read"]) if name)


def _answered(case: Case) -> bool:
    return case.data.facts.get("advice_problem") == "" and "advice_how" in case.data.facts


def _sent(row: Row) -> bool:
    return bool(row["text"]) and bool(row["read"] or not row["own"])


def problem(case: Case) -> str:
    """Why nothing was what-if tested; empty where it was."""
    return case.data.facts.get("advice_problem", "") or ""


def effects(advice: Advice) -> str:
    """What it helps and hurts, in words: times where they were measured, the planner's cost otherwise."""
    helps = [_effect(one) for one in advice.evidence["helps"][:_SHOWN]]
    hurts = [_effect(one) for one in advice.evidence["hurts"][:_SHOWN] if _factor(one) < 1]
    more = len(advice.evidence["helps"]) - len(helps)
    text = f"Helps {'; '.join(helps)}{f' and {more} more' if more > 0 else ''}." if helps else ""
    return text + (f" Slows {'; '.join(hurts)}." if hurts else "")


def _factor(effect: Mapping[str, Any]) -> float:
    before, after = _pair(effect)
    return before / after if after else 1.0


def _pair(effect: Mapping[str, Any]) -> tuple[float, float]:
    if effect["measured_before_ms"] and effect["measured_after_ms"]:
        return effect["measured_before_ms"], effect["measured_after_ms"]
    return effect["cost_before"], effect["cost_after"]


def _effect(effect: Mapping[str, Any]) -> str:
    before, after = _pair(effect)
    timed = bool(effect["measured_before_ms"] and effect["measured_after_ms"])
    change = f"{before:,.2f} → {after:,.2f} ms on a copy" if timed else f"cost {before:,.0f} → {after:,.0f}"
    return f"“{_short(effect['text'])}” ({change}, {effect['calls']:,.0f} calls)"


def _short(text: str) -> str:
    return text if len(text) <= 90 else text[:89] + "…"  # noqa: PLR2004 - a line


def price(advice: Advice) -> str:
    """What it costs: size and how that is known, WAL of the workload, writes that become slower."""
    evidence = advice.evidence
    slows = ", ".join(f"“{_short(text)}” by {share:.0%}" for text, share in list(evidence["slows"].items())[:_SHOWN])
    return (
        f"Size {size_words(evidence['bytes'])} ({evidence['size_is']}); WAL of the workload "
        f"{evidence['wal_growth']:+.1%}{f'; slows {slows}' if slows else ''}."
    )


def plans(advice: Advice) -> str:
    """The plan of the statement that gains most, before and after."""
    return " ".join(f"Plan {line}." for line in advice.evidence["plans"])


def predicted(case: Case, advice: Advice) -> tuple[PredictedChange, ...]:
    """Mean times of statements that were timed on a copy: that of the window × after ÷ before."""
    rows = {row["queryid"]: row for row in case.data.rows("statements") if row["calls"] and not row["own"]}
    found = []
    for effect in _timed(advice.evidence["helps"]):
        row = rows.get(effect["statement"])
        if row is None:
            continue
        mean = row["total_ms"] / row["calls"]
        found.append(
            PredictedChange(
                metric="database.statement.mean",
                value=mean * effect["measured_after_ms"] / effect["measured_before_ms"],
                labels={"statement": label(row["queryid"], row["text"])},
                how="the window's mean × (run time with the index ÷ without it), both measured on a copy of the rows",
            )
        )
    return tuple(found)


def _timed(effects: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [one for one in effects if one["measured_before_ms"] and one["measured_after_ms"]]
