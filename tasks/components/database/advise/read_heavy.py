"""Tables that are read far more than they are written, and take the time: candidates for a cache or a replica."""

from __future__ import annotations

from storage.records import Finding, Level, Remedy, Severity
from tasks.components.database.advise.case import Case, Name, Row, finding
from tasks.components.database.advise.rewrites.reading import BUSY_SHARE, Reading, evidence, readings

READS_A_WRITE = 100
"""Scans for one row written."""

SHARE, QUICK_MS = 0.20, 50.0
FEWEST_CALLS = 50
SMALL_ROWS = 50
SERVER_BUSY = 0.7
"""Of the processors: above it reads are worth taking elsewhere."""


def check(case: Case) -> list[Finding]:
    """One finding per table whose repeated small answers could be cached, and one for a server full of reads."""
    found = list(readings(case))
    return [*_cacheable(case, found), *_replica(case, found)]


def _writes(row: Row) -> int:
    return sum(row[f"{name}_delta"] or 0 for name in ("inserts", "updates", "deletes"))


def _cacheable(case: Case, found: list[Reading]) -> list[Finding]:
    by_table: dict[Name, list[Reading]] = {}
    for one in found:
        tables = case.tables_of(one.shape)
        if len(tables) == 1 and one.calls >= FEWEST_CALLS and one.rows_a_call <= SMALL_ROWS:
            by_table.setdefault(tables[0][1], []).append(one)
    kept = []
    for name, mine in by_table.items():
        row, share = case.by_name[name], sum(one.share for one in mine)
        busy = sum(one.row["total_ms"] for one in mine) >= BUSY_SHARE * 1000 * case.data.window.seconds
        calls, writes = sum(one.calls for one in mine), _writes(row)
        if busy and share >= SHARE and calls >= READS_A_WRITE * max(writes, 1):
            kept.append(_cache(case, name, mine, writes))
    return kept


def _cache(case: Case, name: Name, mine: list[Reading], writes: int) -> Finding:
    calls, share = sum(one.calls for one in mine), sum(one.share for one in mine)
    rate = calls / case.data.window.seconds if case.data.window.seconds else 0.0
    return finding(
        "read_heavy",
        ".".join(name),
        title=f"{'.'.join(name)} is read {rate:,.0f} times a second and hardly written: its answers can be cached",
        detail=(
            f"{calls} reads of few rows and {writes} rows written within the window; the reads took {share:.0%} of "
            f"the database time. How often the same answer was asked for, the counters do not tell: try it on the "
            f"hottest key first. Statements: {'; '.join(one.name for one in mine[:3])}."
        ),
        severity=Severity.INFO,
        impact=Level.MEDIUM,
        effort=Level.MEDIUM,
        evidence=evidence(case, *mine[:3]),
        remedy=Remedy(
            summary=(
                "Keep the answers in the cache with a time to live that the table's writes allow, and remove a key "
                "when its row is written. First see whether an index makes the read cheap enough."
            ),
        ),
    )


def _replica(case: Case, found: list[Reading]) -> list[Finding]:
    """Reads that fill the processors of one server."""
    cores = case.data.number("machine.cores")
    seconds = case.data.window.seconds
    if not cores or not seconds:
        return []
    busy = sum(row["total_ms"] for row in case.data.rows("statements") if not row["own"]) / 1000 / seconds
    reads = sum(one.row["total_ms"] for one in found) / 1000 / seconds
    if busy < SERVER_BUSY * cores or reads < SERVER_BUSY * busy:
        return []
    return [
        finding(
            "read_replica",
            case.data.facts.get("database", "database"),
            title=f"Reads keep {reads:.1f} of {cores:.0f} processors busy",
            detail=(
                f"Statements took {busy:.1f} seconds of each second of the window, {reads / busy:.0%} of it reads "
                "(waits for disk and locks included). Cores: "
                + case.data.facts.get("machine.source", "unknown")
                + "."
            ),
            severity=Severity.WARNING,
            impact=Level.MEDIUM,
            effort=Level.HIGH,
            evidence=evidence(case, *found[:3]),
            remedy=Remedy(
                summary=(
                    "First the indexes and rewrites above; then send reads that may be some seconds old (menus, "
                    "reports) to a replica, or cache them."
                ),
            ),
        )
    ]
