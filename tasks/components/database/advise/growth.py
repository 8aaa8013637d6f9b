"""Tables that grow: how long until their size is felt, at the pace of this window."""

from __future__ import annotations

from storage.records import Finding, Level, Remedy, Severity
from tasks.components.database.advise.case import Case, Row, finding, qualified, size_words

FLOOR_BYTES = 16 * 2**20
"""Less within a window is the step of one extension, and nothing to extrapolate."""

_KEEP = (
    "Decide how long its rows are kept, and partition it by time where old ones go, so that removing them is a DROP, "
    "not a DELETE."
)


def check(case: Case) -> list[Finding]:
    """One finding per table that grew by at least 16 MB within the window, the fastest first."""
    rows = [row for row in case.tables.values() if (row.get("grown_bytes") or 0) >= FLOOR_BYTES]
    return [_finding(case, row) for row in sorted(rows, key=lambda row: -row["grown_bytes"])]


def _finding(case: Case, row: Row) -> Finding:
    where, seconds = qualified(row), case.data.window.seconds
    hour = row["grown_bytes"] / seconds * 3600 if seconds else 0.0
    net = (row["inserts_delta"] or 0) - (row["deletes_delta"] or 0)
    bloats = (row["updates_delta"] or 0) > 10 * max(net, 1)
    why = "mostly by updates: dead rows are not reused fast enough" if bloats else f"by {net} rows more"
    return finding(
        "growing_table",
        where,
        title=f"{where} grew by {size_words(row['grown_bytes'])} within the window",
        detail=(
            f"It has {size_words(row['total_bytes'])} with its indexes now, and grew {why}. At this pace it would be "
            f"{size_words(hour)} an hour; a window of {seconds:.0f} s says nothing of a day, its history does "
            "(metric database.table.size)."
        ),
        severity=Severity.INFO,
        impact=Level.LOW,
        effort=Level.MEDIUM,
        evidence=case.of_table(row),
        remedy=Remedy(
            summary="Let autovacuum run there more often." if bloats else _KEEP,
        ),
    )
