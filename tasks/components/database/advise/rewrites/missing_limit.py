"""A read without LIMIT that returns many rows: it grows with the table, and nobody reads a thousand lines."""

from __future__ import annotations

from storage.records import Finding
from tasks.components.database.advise.case import Case
from tasks.components.database.advise.rewrites.reading import readings, rewrite

MANY_ROWS = 1000
"""Rows a call, on average."""


def check(case: Case) -> list[Finding]:
    """Neither LIMIT nor aggregate, and at least a thousand rows a call."""
    return [
        rewrite(
            case,
            "missing_limit",
            one,
            title=f"A read without LIMIT returns {one.rows_a_call:,.0f} rows a call",
            detail="It has neither LIMIT nor an aggregate, so its answer grows with the table.",
            summary=(
                "Page it: ORDER BY a unique key with LIMIT, and continue after the last key seen; where an export "
                "wants all rows, read through a server-side cursor, outside of a request."
            ),
        )
        for one in readings(case)
        if not one.shape.limited and not one.shape.aggregated and one.rows_a_call >= MANY_ROWS
    ]
