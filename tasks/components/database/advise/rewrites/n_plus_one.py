"""N+1: for each row that one statement returned, another one was sent.

The counters show it without tracing: a statement that finds rows by one key was called about as often as another one,
of the same role, returned rows; and the key is a foreign key between their tables, or the primary key that the other
one's table refers to.
"""

from __future__ import annotations

from storage.records import Finding, Level, Remedy, Severity
from tasks.components.database.advise.case import Case, Name, finding
from tasks.components.database.advise.rewrites.reading import Reading, evidence, readings, weight

FEWEST_CALLS = 30
FEWEST_ROWS = 3.0
"""Rows a call of the parent: below that nothing is saved."""

TOLERANCE = 0.2
"""Calls of the child ÷ rows of the parent may differ from 1 by so much: other callers, the window's ends."""


def check(case: Case) -> list[Finding]:
    """One finding per child, with the parent that fits best."""
    found = list(readings(case))
    pairs = [(child, _parent(case, child, found)) for child in found if child.calls >= FEWEST_CALLS]
    return [_finding(case, child, parent) for child, parent in pairs if parent is not None]


def _parent(case: Case, child: Reading, all_of_them: list[Reading]) -> Reading | None:
    key = _key(case, child)
    if key is None:
        return None
    fits = [
        one
        for one in all_of_them
        if one is not child
        and one.row["userid"] == child.row["userid"]
        and one.rows_a_call >= FEWEST_ROWS
        and one.calls * FEWEST_ROWS <= child.calls
        and abs(child.calls / one.row["rows"] - 1) <= TOLERANCE
        and any(related(case, table, key) for _, table in case.tables_of(one.shape))
    ]
    return min(fits, key=lambda one: abs(child.calls / one.row["rows"] - 1), default=None)


def _key(case: Case, child: Reading) -> tuple[Name, str] | None:
    """Table and column by which a statement on one table finds its rows; None where it is not one key alone."""
    tables = case.tables_of(child.shape)
    keys = {(case.owner(child.shape, alias, column), column) for alias, column in child.shape.equal}
    if len(tables) != 1 or len(keys) != 1:
        return None
    ((name, column),) = keys
    return (name, column) if name is not None else None


def related(case: Case, parent: Name, key: tuple[Name, str]) -> bool:
    """Whether the key leads from the parent's rows to the child's: a foreign key in either direction."""
    (child, column) = key
    for row in case.data.rows("foreign_keys"):
        table, referenced = (row["schema"], row["table"]), tuple(row["referenced"].split(".", 1))
        if table == child and row["columns"] == [column] and referenced == parent:
            return True
        if table == parent and referenced == child and _is_primary(case, child, column):
            return True
    return False


def _is_primary(case: Case, name: Name, column: str) -> bool:
    return any(
        (row["schema"], row["table"]) == name
        and row["unique"]
        and [key.strip('"') for key in row["columns"]] == [column]
        for row in case.indexes
    )


def _finding(case: Case, child: Reading, parent: Reading) -> Finding:
    table, column = _key(case, child) or (("", "?"), "?")
    where, impact = ".".join(table), weight(case, child)
    return finding(
        "n_plus_one",
        child.row["queryid"],
        title=f"N+1: {where} is asked by {column} once for each row of another statement",
        detail=(
            f"{child.calls} calls by {column} followed {parent.calls} calls that returned {parent.row['rows']} rows "
            f"({child.calls / parent.row['rows']:.2f} a row). {child.cost}. Statement: {child.name}. The one before "
            f"it: {parent.name}. Each call also pays a round trip, which the server does not see."
        ),
        severity=Severity.INFO if impact is Level.LOW else Severity.WARNING,
        impact=impact,
        evidence=evidence(case, child, parent),
        effort=Level.MEDIUM,
        remedy=Remedy(
            summary=(
                f"Ask once: join {where} in the first statement, or collect the keys and ask for all of them with "
                f"{column} = ANY($1); an ORM calls that eager loading (include, join fetch)."
            ),
        ),
    )
