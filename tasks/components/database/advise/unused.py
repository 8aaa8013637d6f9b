"""Indexes that no statement has used since the server's statistics were reset.

Statistics are kept per server: an index may be used on a replica alone. So the finding tells since when they count,
and nothing that enforces a rule, or alone serves a foreign key, is named.
"""

from __future__ import annotations

from datetime import datetime

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
from tasks.components.database.advise.foreign_keys import supports
from tasks.components.database.advise.redundant import removable, superfluous

FLOOR_BYTES = 1024 * 1024
"""Smaller ones cost next to nothing."""

LONG_DAYS = 30
"""Statistics over a whole month have seen the monthly statements too."""


def unused(case: Case) -> list[Row]:
    """Indexes without a scan that nothing depends on, the largest first; one that is to replace another stays."""
    others = superfluous(case)
    kept = {keeper["oid"] for _, keeper in others.values()}
    found = [
        row
        for row in case.indexes
        if row["scans"] == 0
        and removable(row)
        and (row["bytes"] or 0) >= FLOOR_BYTES
        and row["oid"] not in others
        and row["oid"] not in kept
        and supports(case, row) is None
    ]
    return sorted(found, key=lambda row: (-row["bytes"], row["name"]))


def check(case: Case) -> list[Finding]:
    """One finding per unused index."""
    days = _days(case)
    return [_finding(case, row, days) for row in unused(case)]


def _days(case: Case) -> float | None:
    moment = case.data.facts.get("statistics_since")
    if not moment:
        return None
    return (case.data.window.end - datetime.fromisoformat(moment)).total_seconds() / 86_400


def _finding(case: Case, index: Row, days: float | None) -> Finding:
    long = days is not None and days >= LONG_DAYS
    known = f"that is {days:.1f} days" if days is not None else "for how long is not known"
    replica = case.data.facts.get("in_recovery") == "true"
    table = f"{index['schema']}.{index['table']}"
    return finding(
        "unused_index",
        qualified(index),
        title=f"Index {index['name']} on {table} is unused ({size_words(index['bytes'])})",
        detail=(
            f"idx_scan is 0 since {case.since}; {known}. Every insert and non-HOT update pays for it. Look at "
            f"replicas and at monthly or yearly jobs before dropping it: this {'replica' if replica else 'server'} "
            "counts its own scans only."
        ),
        severity=Severity.WARNING if long else Severity.INFO,
        impact=Level.MEDIUM if long and index["bytes"] >= 100 * 2**20 else Level.LOW,
        effort=Level.LOW if long else Level.MEDIUM,
        evidence=case.of_index(index),
        remedy=Remedy(
            summary="Drop it once replicas and rare jobs are known not to need it.",
            commands=(drop_index(index),),
            rollback=(recreate_index(index),),
        ),
    )
