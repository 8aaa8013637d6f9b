"""What an index costs those who write: time of their statements, and bytes of WAL. Estimates; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tasks.components.database.advisor.catalog import Table
from tasks.components.database.advisor.records import Index
from tasks.components.database.advisor.uses import Parsed, Use
from tasks.components.database.advisor.workload import Statement

_RECORD_BYTES = 64
"""WAL of one B-tree insertion without its key: record header, block reference, tuple header (xloginsert.h)."""

_SLOWS = {"btree": 0.08, "gin": 0.4, "brin": 0.01, "gist": 0.2, "hash": 0.06}
"""Share by which one more index slows a row's insertion; order of magnitude, refined by a rehearsal."""


def slows(
    index: Index, table: Table, statements: Sequence[Statement], parsed: Mapping[str, Parsed]
) -> dict[str, float]:
    """Share of its time that each writing statement takes longer."""
    found = {}
    for one in statements:
        share = sum(_row_share(index, table, use, one) for use in _written(parsed.get(one.id), table))
        if share > 0:
            found[one.id] = share * _SLOWS.get(index.method, 0.2)
    return found


def wal_growth(index: Index, table: Table, statements: Sequence[Statement], parsed: Mapping[str, Parsed]) -> float:
    """Share by which the workload's WAL grows; 0 where no WAL was counted."""
    total = sum(one.wal_bytes for one in statements)
    if total <= 0:
        return 0.0
    width = sum(table.columns[key.column].width if key.column else 16 for key in index.keys)
    width += sum(table.columns[name].width for name in index.include)
    entry = (_RECORD_BYTES + width) * (1 if index.method != "brin" else 0.02)
    added = 0.0
    for one in statements:
        for use in _written(parsed.get(one.id), table):
            added += one.rows * _row_share(index, table, use, one) * entry
    return added / total


def _row_share(index: Index, table: Table, use: Use, one: Statement) -> float:
    """How many index entries more are written for a row of a statement.

    A HOT update writes none; where the index holds a column that is set, no update of it is HOT any more, and all
    indexes of the table get an entry.
    """
    verb = one.text.lstrip(" (\n\t").split(None, 1)[0].lower()
    if verb == "delete":
        return 0.0
    if not use.assigned:
        return 1.0
    hot = table.hot_updates / table.updates if table.updates else 0.0
    touched = use.assigned & {*(key.column for key in index.keys), *index.include}
    touched |= {name for name in use.assigned if index.predicate and name in index.predicate}
    touched |= {name for name in use.assigned for key in index.keys if key.column is None and name in key.expression}
    return 1.0 + hot * len(table.indexes) if touched else 1.0 - hot


def _written(parsed: Parsed | None, table: Table) -> list[Use]:
    uses = parsed.uses if parsed is not None else ()
    return [use for use in uses if use.written and use.table.full_name == table.full_name]
