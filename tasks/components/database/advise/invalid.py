"""Indexes that a failed CREATE INDEX CONCURRENTLY left behind: no search uses them, every write pays for them."""

from __future__ import annotations

from storage.records import Finding, Level, Remedy, Severity
from tasks.components.database.advise.case import Case, Row, drop_index, finding, qualified, recreate_index, relation


def check(case: Case) -> list[Finding]:
    """One finding per invalid index; a build under way looks the same, and the finding says so."""
    return [_finding(case, row) for row in case.indexes if not row["valid"] and not row["attached"]]


def _finding(case: Case, index: Row) -> Finding:
    name, table = relation(index["schema"], index["name"]), f"{index['schema']}.{index['table']}"
    binding = index["primary"] or index["exclusion"] or index["constraint"]
    commands = (f"REINDEX INDEX CONCURRENTLY {name};",) if binding else (drop_index(index), recreate_index(index))
    return finding(
        "invalid_index",
        qualified(index),
        title=f"Index {index['name']} on {table} is invalid",
        detail=(
            f"indisvalid is false: a concurrent build failed, or is still under way (look into "
            f"pg_stat_progress_create_index first). No search uses {index['name']}"
            f"{'; every write to the table still pays for it' if index['ready'] else ''}."
        ),
        severity=Severity.WARNING,
        impact=Level.MEDIUM,
        evidence=case.of_index(index),
        remedy=Remedy(
            summary="Where no build is under way: remove it, and build it again if it is wanted.",
            commands=commands,
            rollback=() if binding else (drop_index(index),),
        ),
    )
