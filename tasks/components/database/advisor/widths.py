"""Reads from pg_attribute and pg_stats what the size of an index depends on (`advisor.size.Column`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tasks.components.database.advisor.size import Column

Query = Callable[[str, Mapping[str, Any]], Sequence[Sequence[Any]]]
"""Runs a statement with named values and answers its rows."""

UNKNOWN_DISTINCT = 200.0
"""What the planner takes for the number of values of a column without statistics (DEFAULT_NUM_DISTINCT)."""

COLUMNS = """
SELECT a.attname, s.avg_width, a.attlen, a.attalign::text, s.null_frac, s.n_distinct, s.most_common_freqs,
       (SELECT pg_catalog.sum(x) FROM unnest(s.most_common_elem_freqs[1:e.count]) x), e.count
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname
CROSS JOIN LATERAL (SELECT pg_catalog.cardinality(s.most_common_elems::text::text[]) AS count) e
WHERE n.nspname = %(schema)s AND c.relname = %(name)s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum, s.inherited DESC"""
"""Columns of a table, or expressions of an index; those of an index have statistics once it was analysed."""

_ALIGN = {"c": 1, "s": 2, "i": 4, "d": 8}
_VARYING_WIDTH = 32.0


def columns(query: Query, schema: str, relation: str, rows: float) -> dict[str, Column]:
    """The columns of a relation with `rows` rows by name; without statistics the planner's own guesses stand in."""
    found = {}
    for name, width, length, align, nulls, distinct, common, often, elements in query(
        COLUMNS, {"schema": schema, "name": relation}
    ):
        fixed = length > 0
        count = UNKNOWN_DISTINCT if distinct is None else float(distinct)
        found[name] = Column(
            width=float(length if fixed else width or _VARYING_WIDTH),
            align=_ALIGN[align] if fixed else 1,  # short values of varying length are not aligned
            fixed=fixed,
            nulls=float(nulls or 0.0),
            distinct=max(1.0, -count * rows if count < 0 else count),
            common=tuple(float(share) for share in common or ()),
            entries=float(often or 0.0),
            elements=float(elements or 0.0),
        )
    return found


def within(column: Column, rows: float, kept: float) -> Column:
    """The column as a partial index over `kept` of `rows` rows sees it: the values that such a sample would hold."""
    if kept >= rows or rows < 1:
        return column
    per_value = rows / max(column.distinct, 1.0)
    seen = column.distinct * (1 - (1 - kept / rows) ** per_value)
    return replace(column, distinct=max(seen, 1.0))
