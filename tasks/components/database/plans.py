"""Estimated plans of the statements that took the most time, without executing anything.

PostgreSQL 16 and newer plan `$n` texts by EXPLAIN (GENERIC_PLAN); older ones through PREPARE with a forced generic
plan. Timed reads are planned with drawn values. What the planner refuses is kept with its reason.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from tasks.components.database.facts import PG16
from tasks.load.database.session import QueryError, Session

_READS = re.compile(r"^[\s(]*(select|with|table|values)\b", re.IGNORECASE)
_NUMBER = re.compile(r"\$(\d+)")
_NAME = "hasivu_perf_plan"


def of_statement(session: Session, statement: str, text: str | None, name: str) -> dict[str, Any]:
    """A row of `plans` for one statement of pg_stat_statements."""
    row: dict[str, Any] = {"statement": statement, "name": name, "text": text, "how": "GENERIC_PLAN"}
    problem = _unplannable(session, text)
    if text is None or problem:
        return {**row, "error": problem}
    try:
        if session.version >= PG16:
            plan = session.query(f"EXPLAIN (GENERIC_PLAN, VERBOSE, FORMAT JSON) {_body(text)}")
        else:
            row["how"] = "PREPARE"
            plan = _prepared(session, _body(text))
    except QueryError as error:
        return {**row, "error": str(error)}
    return {**row, "plan": _json(plan)}


def of_read(session: Session, name: str, sql: str, values: Mapping[str, str]) -> dict[str, Any]:
    """A row of `plans` for one timed read, planned with drawn values; `statement` is its name."""
    row: dict[str, Any] = {"statement": name, "name": name, "text": sql, "how": "VALUES"}
    try:
        return {**row, "plan": _json(session.query(f"EXPLAIN (VERBOSE, FORMAT JSON) {_body(sql)}", values))}
    except QueryError as error:
        return {**row, "error": str(error)}


def _unplannable(session: Session, text: str | None) -> str | None:
    """Why a text is not handed to the planner at all."""
    if text is None:
        return "its text is not known"
    if not _READS.match(text):
        return "it is not a read"
    if ";" in text.rstrip("; \n\t"):
        return "its text holds a semicolon"
    if session.version < PG16 and session.pooled:
        return "plans of `$n` texts need PostgreSQL 16, or a direct connection"
    return None


def _body(text: str) -> str:
    return text.rstrip("; \n\t")


def _prepared(session: Session, text: str) -> list[dict[str, Any]]:
    """EXPLAIN EXECUTE of a prepared statement with NULL for every parameter: a forced generic plan ignores them."""
    count = max((int(number) for number in _NUMBER.findall(text)), default=0)
    arguments = f"({', '.join(['NULL'] * count)})" if count else ""
    session.run(f"PREPARE {_NAME} AS {text}")
    try:
        session.run("SET plan_cache_mode = force_generic_plan")
        return session.query(f"EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE {_NAME}{arguments}")
    finally:
        session.run("RESET plan_cache_mode")
        session.run(f"DEALLOCATE {_NAME}")


def _json(rows: Iterable[Mapping[str, Any]]) -> str:
    """EXPLAIN's one value as JSON text."""
    value = next(iter(next(iter(rows)).values()))
    return json.dumps(value[0]["Plan"])
