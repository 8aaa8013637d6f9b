"""Indexes that another one makes superfluous: the same keys, or a prefix of its keys.

Two indexes are compared by method, operator class, collation and sort options of each key part, by expressions,
predicate and included columns. An index that enforces or carries something (unique, primary, exclusion, a constraint,
the replica identity, a part of a partitioned index) is never proposed for removal.
"""

from __future__ import annotations

from storage.records import Finding, Level, Remedy, Severity
from tasks.components.database.advise.case import (
    Case,
    Row,
    drop_index,
    finding,
    qualified,
    recreate_index,
    size_words,
)

_BINDING = ("unique", "primary", "exclusion", "constraint", "replica_identity", "attached", "partitioned")


def removable(index: Row) -> bool:
    """Whether nothing but speed depends on an index."""
    return not any(index[name] for name in _BINDING) and bool(index["valid"])


def _parts(index: Row) -> list[tuple[str, str]]:
    return list(zip(index["columns"], index["classes"], strict=True))


def duplicates(one: Row, other: Row) -> bool:
    """Whether two indexes hold the same keys in the same way, and `other` holds all that `one` includes."""
    return _comparable(one, other) and _parts(one) == _parts(other)


def is_prefix(one: Row, other: Row) -> bool:
    """Whether the keys of `one` are the first keys of `other`: only B-trees are searched by a prefix."""
    mine, theirs = _parts(one), _parts(other)
    shorter = len(mine) < len(theirs) and theirs[: len(mine)] == mine
    return shorter and one["method"] == "btree" and _comparable(one, other)


def _comparable(one: Row, other: Row) -> bool:
    return bool(
        one["table_oid"] == other["table_oid"]
        and one["method"] == other["method"]
        and one["predicate"] == other["predicate"]
        and other["valid"]
        and set(one["included"]) <= {*other["included"], *other["columns"]}
    )


def superfluous(case: Case) -> dict[int, tuple[str, Row]]:
    """By oid of the index to drop: `duplicate` or `redundant`, and the index that serves instead."""
    found: dict[int, tuple[str, Row]] = {}
    by_oid = {row["oid"]: row for row in case.indexes}
    for table in {row["table_oid"] for row in case.indexes}:
        found |= _superfluous(case.indexes_of(table))
    return {oid: (kind, by_oid[_survivor(found, other["oid"])]) for oid, (kind, other) in found.items()}


def _superfluous(indexes: list[Row]) -> dict[int, tuple[str, Row]]:
    """The same for the indexes of one table; the one that serves may be superfluous itself."""
    found: dict[int, tuple[str, Row]] = {}
    ordered = sorted(indexes, key=lambda row: (removable(row), _age(row)))
    for place, index in enumerate(ordered):
        if not removable(index):
            continue
        twin = next(
            (
                other
                for number, other in enumerate(ordered)
                if number != place and duplicates(index, other) and _keeps(number, other, place, index)
            ),
            None,
        )
        wider = twin or next((other for other in ordered if is_prefix(index, other)), None)
        if wider is not None:
            found[index["oid"]] = ("duplicate" if twin else "redundant", wider)
    return found


def _survivor(found: dict[int, tuple[str, Row]], oid: int) -> int:
    """The index that is left at the end of a chain: a is served by b, and b by c."""
    while oid in found:
        oid = found[oid][1]["oid"]
    return oid


def _keeps(number: int, other: Row, place: int, index: Row) -> bool:
    """Of two equal indexes the one that binds, or includes more, or is older, stays."""
    if not duplicates(other, index):
        return True
    return number < place


def _age(row: Row) -> int:
    return int(row["oid"])


def check(case: Case) -> list[Finding]:
    """One finding per superfluous index, the largest first."""
    found = superfluous(case)
    rows = [row for row in case.indexes if row["oid"] in found]
    return [_finding(case, row, *found[row["oid"]]) for row in sorted(rows, key=lambda row: -(row["bytes"] or 0))]


def _finding(case: Case, index: Row, kind: str, other: Row) -> Finding:
    size, table = size_words(index["bytes"]), f"{index['schema']}.{index['table']}"
    writes = _writes(case, index)
    if kind == "duplicate":
        relationship = f"has the same keys ({', '.join(index['columns'])}) as {other['name']}"
    else:
        relationship = (
            f"holds a prefix ({', '.join(index['columns'])}) of {other['name']} ({', '.join(other['columns'])})"
        )
    return finding(
        f"{kind}_index",
        qualified(index),
        title=f"Drop {index['name']} on {table}: it {relationship}",
        detail=(
            f"{index['name']} ({size}, {index['scans'] or 0} scans since {case.since}) {relationship}, which serves "
            f"the same searches. {writes}"
        ),
        severity=Severity.WARNING if kind == "duplicate" else Severity.INFO,
        impact=Level.MEDIUM if (index["bytes"] or 0) >= 100 * 2**20 else Level.LOW,
        evidence=(*case.of_index(index), *case.of_index(other)),
        remedy=Remedy(
            summary=f"Drop it; {other['name']} takes its place.",
            commands=(drop_index(index),),
            rollback=(recreate_index(index),),
        ),
    )


def _writes(case: Case, index: Row) -> str:
    table = case.tables.get(index["table_oid"])
    if table is None or table["inserts_delta"] is None:
        return "Every insert pays for it."
    writes = (table["inserts_delta"] or 0) + (table["updates_delta"] or 0) - (table["hot_updates_delta"] or 0)
    return f"Every insert and non-HOT update pays for it ({max(0, writes)} in the window)."
