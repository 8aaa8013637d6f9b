"""Replicas that fall behind, slots that keep WAL or hold vacuum back, and prepared transactions that nobody ended."""

from __future__ import annotations

from storage.records import Finding, Level, Remedy, Severity
from tasks.components.database.advise.case import Case, Row, finding, size_words

LAG_WARNING_S, LAG_HIGH_S = 10.0, 60.0
"""A replica that is older than that shows parents and readers what is no longer so."""

KEPT_WARNING = 1 * 2**30
KEPT_SHARE = 0.5
"""Of max_slot_wal_keep_size: past it the server gives the slot up."""

HELD_TRANSACTIONS = 1_000_000
PREPARED_S = 300.0


def check(case: Case) -> list[Finding]:
    """One finding per replica, slot and prepared transaction that needs one."""
    replicas = [_replica(case, row) for row in case.data.rows("replicas") if (row["lag_s"] or 0) >= LAG_WARNING_S]
    slots = [found for row in case.data.rows("slots") if (found := _slot(case, row)) is not None]
    prepared = [_prepared(case, row) for row in case.data.rows("prepared") if row["age_s"] >= PREPARED_S]
    return [*_own_lag(case), *replicas, *slots, *prepared]


def _replica(case: Case, row: Row) -> Finding:
    return finding(
        "replication_lag",
        row["name"],
        title=f"Replica {row['name']} is {row['lag_s']:.0f} s behind",
        detail=(
            f"It has {size_words(row['lag_bytes'])} of WAL still to replay ({size_words(row['unsent_bytes'])} of it "
            f"not sent yet); state {row['state']}, {row['sync_state']}."
        ),
        severity=Severity.WARNING,
        impact=Level.HIGH if row["lag_s"] >= LAG_HIGH_S else Level.MEDIUM,
        effort=Level.MEDIUM,
        evidence=case.evidence(("database.replication.lag", "database.replication.behind"), replica=row["name"]),
        remedy=Remedy(
            summary=(
                "Unsent WAL points at the network or at the replica's disk; sent but not replayed, at a long query "
                "there (max_standby_streaming_delay) or at its processor."
            ),
            commands=("SELECT application_name, state, write_lag, flush_lag, replay_lag FROM pg_stat_replication;",),
        ),
    )


def _own_lag(case: Case) -> list[Finding]:
    lag = next(iter(case.evidence(("database.replay.lag",))), None)
    if lag is None or (lag.value or 0) < LAG_WARNING_S * 1000:
        return []
    behind = (lag.value or 0) / 1000
    return [
        finding(
            "replication_lag",
            case.data.facts.get("database", "database"),
            title=f"This server is a replica and {behind:.0f} s behind",
            detail=f"{lag.source}. Reads here are that old.",
            severity=Severity.WARNING,
            impact=Level.HIGH if behind >= LAG_HIGH_S else Level.MEDIUM,
            effort=Level.MEDIUM,
            evidence=case.evidence(("database.replay.lag", "database.replay.behind")),
            remedy=Remedy(summary="Look for long queries on the replica and at its disk; send no fresh reads to it."),
        )
    ]


def _slot(case: Case, row: Row) -> Finding | None:
    limit = case.data.bytes("setting.max_slot_wal_keep_size")
    kept, held = row["retained_bytes"] or 0, row["held_transactions"] or 0
    lost = row["wal_status"] == "lost" or bool(row["invalid"])
    heavy = kept >= (KEPT_SHARE * limit if limit else KEPT_WARNING)
    grave = lost or (heavy and not row["active"]) or row["wal_status"] == "unreserved"
    if not grave and held < HELD_TRANSACTIONS:
        return None
    return _slot_finding(case, row, lost=lost, limit=limit)


def _slot_finding(case: Case, row: Row, *, lost: bool, limit: float | None) -> Finding:
    kept, held = row["retained_bytes"] or 0, row["held_transactions"] or 0
    state = "is lost" if lost else f"keeps {size_words(kept)} of WAL" if kept else f"holds back {held} transactions"
    cap = f"the server gives it up at {size_words(limit)}" if limit else "no limit is set: it can fill the disk"
    given_up = f", given up: {row['invalid']}" if row["invalid"] else ""
    drop = f"SELECT pg_drop_replication_slot('{row['name'].replace(chr(39), chr(39) * 2)}');"
    return finding(
        "replication_slot",
        row["name"],
        title=f"Replication slot {row['name']} {state}",
        detail=(
            f"{row['kind']} slot, {'active' if row['active'] else 'nobody reads it'}, wal_status {row['wal_status']}"
            f"{given_up}; it keeps {size_words(kept)} of WAL ({cap}) and row versions of {held} "
            "transactions from vacuum."
        ),
        severity=Severity.WARNING,
        impact=Level.HIGH if not row["active"] and not limit else Level.MEDIUM,
        evidence=case.evidence(("database.slot.retained",), slot=row["name"]),
        remedy=Remedy(
            summary=(
                "Start its reader again; where there is none any more, drop the slot. A dropped slot cannot be "
                "brought back: its reader must be built anew."
            ),
            commands=(drop,) if not row["active"] else (),
        ),
    )


def _prepared(case: Case, row: Row) -> Finding:
    name = row["name"].replace("'", "''")
    return finding(
        "prepared_transaction",
        row["name"],
        title=f"Prepared transaction {row['name']} has been open for {row['age_s'] / 60:.0f} min",
        detail=(
            f"PREPARE TRANSACTION of role {row['user']} was never ended: it keeps its locks, survives restarts, and "
            "vacuum cannot remove what it could still see."
        ),
        severity=Severity.WARNING,
        impact=Level.HIGH,
        effort=Level.MEDIUM,
        evidence=case.evidence(("database.prepared.age",), name=row["name"]),
        remedy=Remedy(
            summary="Ask its coordinator how it ended, and end it the same way: the other way loses or invents data.",
            commands=(f"ROLLBACK PREPARED '{name}';",),
        ),
    )
