"""Statements whose mean time is high: the limits are those of the database's read time."""

from __future__ import annotations

from storage.records import Finding, Level, Remedy, Severity
from tasks.components.database.advise.candidates import candidates
from tasks.components.database.advise.case import Case, Row, finding, qualified
from tasks.components.database.advise.missing_index import share
from tasks.components.database.facts import PG16
from tasks.components.database.statements import label

FEWEST_CALLS = 3
SHOWN = 10
_COMMAND_LIMIT = 1500
_HIGH_SHARE = 0.2


def check(case: Case) -> list[Finding]:
    """One finding per statement whose mean is above the limit `good`, by time; a warning above `fair`."""
    limits = case.threshold("database.query.p95")
    if limits is None:
        return []
    slow = [
        row
        for row in case.data.rows("statements")
        if not row["own"] and row["calls"] >= FEWEST_CALLS and row["total_ms"] / row["calls"] > limits.good
    ]
    cures = {
        queryid: f"{qualified(candidate.table)} ({candidate.shown})"
        for candidate in candidates(case)
        for queryid in candidate.queryids
    }
    return [_finding(case, row, limits.fair, cures.get(row["queryid"])) for row in slow[:SHOWN]]


def _finding(case: Case, row: Row, fair: float, cure: str | None) -> Finding:
    mean, name = row["total_ms"] / row["calls"], label(row["queryid"], row["text"])
    part = share(case, [row["queryid"]]) or 0.0
    read = row["blocks_hit"] + row["blocks_read"]
    return finding(
        "slow_statement",
        row["queryid"],
        title=f"A statement takes {mean:.0f} ms on average: {name}",
        detail=(
            f"{row['calls']} calls took {row['total_ms']:.0f} ms ({part:.0%} of the database time of the window), "
            f"{row['rows'] / row['calls']:.1f} rows and {read / row['calls']:.0f} blocks a call"
            f"{', with temporary files' if row['temp_written'] else ''}. Role: {row['user'] or 'unknown'}."
            f"{f' An index on {cure} is proposed for it.' if cure else ''}"
        ),
        severity=Severity.WARNING if mean > fair else Severity.INFO,
        impact=Level.HIGH if part >= _HIGH_SHARE else Level.MEDIUM,
        effort=Level.MEDIUM,
        evidence=case.evidence(
            ("database.statement.calls", "database.statement.total", "database.statement.mean"), statement=name
        ),
        remedy=Remedy(
            summary="Look at its plan: rows read against rows returned, sorts, and estimates far from the truth.",
            commands=_explain(case, row["text"]),
        ),
    )


def _explain(case: Case, text: str | None) -> tuple[str, ...]:
    version = case.data.number("version_number") or 0
    if not text or len(text) > _COMMAND_LIMIT or version < PG16:
        return ()
    return (f"EXPLAIN (GENERIC_PLAN) {text.rstrip('; ')};",)
