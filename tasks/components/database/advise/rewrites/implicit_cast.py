"""An index that a cast hides: PostgreSQL casts the column, not the value, where the value's type is the wider one.

Two signs. In a plan, the column of a condition is cast to a type that the statement's text does not name. Or the
plan of the normalised statement finds one row by a unique index, while the calls of the window read most of the
table: the driver sends the value as another type (numeric for bigint, text for uuid) than the plan assumes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from storage.records import Finding
from tasks.components.database.advise.case import Case, Name
from tasks.components.database.advise.rewrites.reading import Reading, readings, rewrite

PAGES_FLOOR = 64
"""Smaller tables say nothing: all of them is read in no time."""

MOST_OF_IT = 0.5
"""Share of the table's pages that a call reads, though an index finds its one row."""

_WIDER = r"(?P<kind>numeric|double precision|real|text)"
_CAST = re.compile(rf'\((?:"?(?P<alias>\w+)"?\.)?"?(?P<column>\w+)"?\)::{_WIDER}\b')
_CONDITIONS = ("Filter", "Join Filter", "Hash Cond", "Merge Cond", "Index Cond", "Recheck Cond")
_NEVER_TEXT = ("uuid", "integer", "bigint", "smallint", "numeric", "date", "timestamp")
"""Types whose cast to text is no relabelling; that of a domain over text would be."""


def check(case: Case) -> list[Finding]:
    """One finding per statement."""
    plans = {row["statement"]: json.loads(row["plan"]) for row in case.data.rows("plans") if row["plan"]}
    found = []
    for one in readings(case):
        plan = plans.get(one.row["queryid"])
        sign = plan and (_cast(case, one, plan) or _read_whole(case, one, plan))
        if sign:
            found.append(_finding(case, one, *sign))
    return found


def nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every node of a plan."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def _cast(case: Case, one: Reading, plan: Mapping[str, Any]) -> tuple[Name, str, str] | None:
    """The first column that a plan casts though the text does not."""
    text = one.row["text"]
    for node in nodes(plan):
        for match in (found for part in _CONDITIONS for found in _CAST.finditer(str(node.get(part, "")))):
            column, kind = match["column"], match["kind"]
            name = case.owner(one.shape, match["alias"], column)
            if name is None or "::" in text or "cast(" in text.lower():
                continue
            own = str(case.columns[name][column]["type"])
            harmless = kind == own or (kind == "text" and not own.startswith(_NEVER_TEXT))
            if harmless or not _is_indexed(case, name, column):
                continue
            return name, column, f"its plan casts {column} ({own}) to {kind}"
    return None


def _is_indexed(case: Case, name: Name, column: str) -> bool:
    return any(
        (row["schema"], row["table"]) == name and row["columns"][0].strip('"') == column for row in case.indexes
    )


def _read_whole(case: Case, one: Reading, plan: Mapping[str, Any]) -> tuple[Name, str, str] | None:
    """The table of a plan of one index scan for one row, whose calls read most of its pages."""
    node = plan
    while node["Node Type"] == "Limit" and len(node.get("Plans", ())) == 1:
        node = node["Plans"][0]
    if node["Node Type"] not in {"Index Scan", "Index Only Scan"} or node.get("Plan Rows", 0) > 1:
        return None
    name = (str(node.get("Schema", "public")), str(node.get("Relation Name")))
    table = case.by_name.get(name)
    pages = (table or {}).get("pages") or 0
    if table is None or pages < PAGES_FLOOR or one.blocks_a_call < MOST_OF_IT * pages:
        return None
    column = next((found for alias, found in one.shape.equal if case.owner(one.shape, alias, found) == name), "key")
    return name, column, f"its plan finds one row by an index, but a call read {one.blocks_a_call:,.0f} blocks"


def _finding(case: Case, one: Reading, name: Name, column: str, sign: str) -> Finding:
    kind = case.columns.get(name, {}).get(column, {}).get("type", "its own type")
    return rewrite(
        case,
        "implicit_cast",
        one,
        title=f"A comparison with {'.'.join(name)}.{column} is of another type, so its index is not used",
        detail=f"The sign: {sign} ({'.'.join(name)} has {(case.by_name.get(name) or {}).get('pages') or 0} pages).",
        summary=(
            f"Send the value as {kind}: bind it with that type in the driver, or cast the value in the statement "
            f"(${{n}}::{kind}); where two columns are joined, give both one type."
        ),
    )
