"""A filter compares a function, a cast or arithmetic of a column that has an index: that index cannot serve it."""

from __future__ import annotations

from collections.abc import Iterator

from storage.records import Finding
from tasks.components.database.advise.case import Case, Name, ident, index_name, relation
from tasks.components.database.advise.rewrites.reading import Reading, readings, rewrite
from tasks.components.database.advise.shape import Wrapped

ROWS_FLOOR = 1000
"""Smaller tables are read whole anyway."""

_DAYS = frozenset({"date", "date_trunc", "extract", "date_part", "to_char", "timezone"})
_SAME = frozenset({"text", "varchar", "character varying", "bpchar", "character"})


def check(case: Case) -> list[Finding]:
    """One finding per statement and column."""
    found: dict[tuple[str, str, str], Finding] = {}
    for one in readings(case):
        for name, wrapped in hidden(case, one):
            found.setdefault((one.row["queryid"], ".".join(name), wrapped.column), _finding(case, one, name, wrapped))
    return list(found.values())


def hidden(case: Case, one: Reading) -> Iterator[tuple[Name, Wrapped]]:
    """Wrapped columns with a plain index of their own and none on the expression."""
    for wrapped in one.shape.wrapped:
        name = case.owner(one.shape, wrapped.table, wrapped.column)
        if name is None or _harmless(case, name, wrapped) or case.rows_of(name) < ROWS_FLOOR:
            continue
        indexes = [row for row in case.indexes if (row["schema"], row["table"]) == name and row["valid"]]
        plain = any(row["columns"][0].strip('"') == wrapped.column for row in indexes)
        function = wrapped.shown.partition("(")[0]
        served = any(_serves(row["columns"][0], function, wrapped) for row in indexes)
        if plain and not served:
            yield name, wrapped


def _harmless(case: Case, name: Name, wrapped: Wrapped) -> bool:
    """Whether a cast is only a relabelling: varchar as text, or a type as itself."""
    if not wrapped.cast:
        return False
    kind = str(case.columns[name][wrapped.column]["type"]).partition("(")[0]
    return kind == wrapped.cast or (kind in _SAME and wrapped.cast in _SAME)


def _serves(key: str, function: str, wrapped: Wrapped) -> bool:
    """Whether an index's first key is the expression, as far as its text tells."""
    if wrapped.cast:
        return wrapped.column in key and f"::{wrapped.cast}" in key
    return key.startswith(function) and wrapped.column in key


def _finding(case: Case, one: Reading, name: Name, wrapped: Wrapped) -> Finding:
    where, column = ".".join(name), wrapped.column
    function = wrapped.shown.partition("(")[0]
    days = function in _DAYS or wrapped.cast in {"date", "time"}
    return rewrite(
        case,
        "wrapped_column",
        one,
        title=f"A filter on {wrapped.shown} cannot use the index on {where} ({column})",
        detail=f"It compares {wrapped.shown} {wrapped.operator} a value; the index holds {column} itself.",
        summary=_range(column) if days else _expression(case, name, wrapped),
    )


def _range(column: str) -> str:
    return (
        f"Compare the column with a range: {column} >= the day's begin AND {column} < the next day's begin, both "
        "computed by the application in the school's time zone."
    )


def _expression(case: Case, name: Name, wrapped: Wrapped) -> str:
    if not wrapped.shown.endswith(")"):
        return f"Move the computation to the value's side, so that {wrapped.column} stands alone."
    index = index_name(name[1], [wrapped.column, "expr"], [row["name"] for row in case.indexes])
    return (
        f"Store {wrapped.column} in the form that is compared, or index the expression: CREATE INDEX CONCURRENTLY "
        f"{ident(index)} ON {relation(*name)} (({wrapped.shown})); undo: DROP INDEX CONCURRENTLY "
        f"{relation(name[0], index)};"
    )
