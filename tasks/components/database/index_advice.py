"""Index advice for what ran within the window: the statements go to the advisor, its answer becomes rows.

The workload is the application's statements and the timed reads, with the calls and times of the window alone. What
could not be asked, or not in time, is a problem with its remedy, never an empty advice.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import postgast

from deployments.config import ReadStatement, RunConfig
from storage.errors import NotMeasuredError
from tasks.components.database.statements import is_dml
from tasks.load.database.session import MARK
from tasks.load.process import run_worker

WORKER = "tasks.components.database.index_worker"
MOST_STATEMENTS = 200
"""Statements that are handed to the advisor, those that took the most time first."""

_MB = 1_000_000
_PLACEHOLDER = re.compile(r"%\(\w+\)[sbt]")
_SHOWN = 160

Row = Mapping[str, Any]


@dataclass
class Advised:
    """What the advisor answered: rows of `advice` and `advice_refused`, facts, and notes for the collection."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def named_reads(rows: Iterable[dict[str, Any]], reads: Sequence[ReadStatement]) -> None:
    """Name the timed read that each own statement is: both have one fingerprint, which knows no constants."""
    names = {}
    for read in reads:
        names[_fingerprint(_PLACEHOLDER.sub("$1", read.sql).replace("%%", "%"))] = read.name
    names.pop(None, None)
    for row in rows:
        row["read"] = names.get(_fingerprint(row["text"])) if row["own"] and names else None


def _fingerprint(text: str | None) -> str | None:
    if not text:
        return None
    try:
        return str(postgast.fingerprint(text).hex)
    except postgast.PgQueryError:
        return None


def workload(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Statements as the advisor takes them; entries of one statement by several roles are added up."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        cancelled = max(0, (row["plans"] or 0) - row["calls"])
        wanted = (not row["own"] or row["read"]) and row["text"] and is_dml(row["text"])
        if not wanted or not (row["calls"] or cancelled):
            continue
        one = found.setdefault(
            row["queryid"],
            {
                "id": row["queryid"],
                "text": row["text"].replace(f"{MARK} ", ""),
                **dict.fromkeys(("calls", "total_ms", "rows", "wal_bytes", "cancelled"), 0.0),
            },
        )
        one["calls"] += row["calls"]
        one["total_ms"] += row["total_ms"] + row["planning_ms"]
        one["rows"] += row["rows"]
        one["wal_bytes"] += row["wal_bytes"]
        one["cancelled"] += cancelled
    return sorted(found.values(), key=lambda one: -one["total_ms"])[:MOST_STATEMENTS]


def ask(
    config: RunConfig,
    url: str,
    statements: Sequence[Mapping[str, Any]],
    *,
    local: bool,
    alive: Callable[[], None] = lambda: None,
) -> Advised:
    """Ask the advisor within the deadline; `local` tells whether the rows may be copied where that is wanted.

    `alive` is called twice a second meanwhile; a `NotMeasuredError` of it ends the advisor and is passed on.
    """
    settings = config.environment.database.advice
    if not settings.enabled:
        return _without("switched off by [database.advice] enabled = false")
    if not statements:
        return _without("no statement was seen in the window (pg_stat_statements counted none, or cannot be read)")
    plan = {
        "url": url,
        "variable": config.environment.variables.database_url,
        "statements": list(statements),
        "budget_bytes": None if settings.budget_mb is None else round(settings.budget_mb * _MB),
        "most": settings.max_indexes,
        "rehearse": settings.rehearse if local else "never",
    }
    begin = time.monotonic()
    interrupted: list[NotMeasuredError] = []

    def beat(_: Mapping[str, Any]) -> None:
        try:
            alive()
        except NotMeasuredError as error:
            interrupted.append(error)
            raise

    try:
        answer = run_worker(WORKER, plan, deadline_s=settings.deadline_s, on_progress=beat).facts
    except NotMeasuredError as error:
        if interrupted:
            raise
        late = time.monotonic() - begin >= settings.deadline_s
        return _without(f"not finished within {settings.deadline_s:g} s" if late else str(error))
    return answered(answer, statements, time.monotonic() - begin)


def _without(problem: str) -> Advised:
    return Advised(facts={"advice_problem": problem}, notes=[f"index advice: {problem}"])


def answered(answer: Mapping[str, Any], statements: Sequence[Mapping[str, Any]], seconds: float) -> Advised:
    """The advisor's JSON as rows; statements that it could not plan are known by the beginning of their text."""
    by_text = {_shown(one["text"]): one["id"] for one in statements}
    refused = [
        {"statement": by_text.get(shown, shown), "reason": reason} for shown, reason in answer["not_planned"].items()
    ]
    facts = {
        "advice_problem": "",
        "advice_how": answer["how"],
        "advice_statements": str(answer["statements"]),
        "advice_planned": str(answer["planned"]),
        "advice_seconds": f"{seconds:.1f}",
    }
    notes = [f"index advice: {note}" for note in answer["notes"]]
    if refused:
        first = refused[0]
        notes.append(
            f"index advice: {len(refused)} of {len(statements)} statements were not judged, the first: "
            f"{first['statement']}: {first['reason']}"
        )
    return Advised([_row(one) for one in answer["recommendations"]], refused, facts, notes)


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


def _row(one: Mapping[str, Any]) -> dict[str, Any]:
    made = postgast.parse(one["sql"]).stmts[0].stmt.index_stmt
    return {
        "sql": one["sql"],
        "drop": one["drop"],
        "schema": made.relation.schemaname or "public",
        "table": made.relation.relname,
        "columns": [key.index_elem.name for key in made.index_params],
        "whole": made.access_method in {"", "btree"} and not made.HasField("where_clause"),
        "statements": [effect["statement"] for effect in one["evidence"]["helps"]],
        "evidence": json.dumps(one["evidence"]),
    }
