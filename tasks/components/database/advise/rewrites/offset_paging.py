"""OFFSET paging: every row before the page is read and thrown away, so each page costs more than the last."""

from __future__ import annotations

from storage.records import Finding, Level
from tasks.components.database.advise.case import Case, ident
from tasks.components.database.advise.rewrites.reading import Reading, readings, rewrite, weight

WASTED_BLOCKS = 4.0
"""Blocks read for each row returned, from which rows are seen to be thrown away."""


def check(case: Case) -> list[Finding]:
    """One finding per read with OFFSET; it weighs only where many blocks were read for few rows."""
    return [_finding(case, one) for one in readings(case) if one.shape.offset]


def _finding(case: Case, one: Reading) -> Finding:
    wasted = one.blocks_a_call / max(one.rows_a_call, 1.0)
    order = ", ".join(ident(column) for column in one.shape.ordered) or "id"
    return rewrite(
        case,
        "offset_paging",
        one,
        title="A read pages by OFFSET",
        detail=f"The rows before each page are read and thrown away: {wasted:,.1f} blocks were read for a row.",
        summary=(
            f"Page by key: WHERE ({order}) < (the last row's {order}) ORDER BY {order} LIMIT n, with a unique last "
            "column; each page then costs what the first one costs."
        ),
        impact=weight(case, one) if wasted >= WASTED_BLOCKS else Level.LOW,
    )
