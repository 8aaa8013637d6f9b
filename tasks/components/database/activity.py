"""pg_stat_activity, sampled: sessions by state, application and wait, and the sessions worth a look.

No text of a statement is read: it could hold personal data. A session is known by pid, role and application.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tasks.components.database.facts import PG14, Facts
from tasks.load.database.session import APPLICATION, Row, Session

LONG_S = 5.0
"""A transaction, or an idle state within one, is worth a row of `sessions` from this age on, in seconds."""


def sample(session: Session, facts: Facts) -> list[Row]:
    """All client sessions of the server at this moment; state and waits are null where the right is missing."""
    query_id = "query_id" if facts.version >= PG14 else "NULL::bigint"
    return session.query(
        f"""SELECT pid, coalesce(application_name, '') AS application, usename AS user, state,
       datid = %(database)s AS database, wait_event_type AS wait_type, wait_event AS wait,
       extract(epoch FROM clock_timestamp() - xact_start)::float8 AS transaction_s,
       extract(epoch FROM clock_timestamp() - state_change)::float8 AS state_s,
       extract(epoch FROM clock_timestamp() - query_start)::float8 AS age_s,
       CASE WHEN wait_event_type = 'Lock' THEN pg_catalog.pg_blocking_pids(pid)::bigint[] END AS blocked_by,
       {query_id}::text AS queryid
FROM pg_catalog.pg_stat_activity
WHERE backend_type = 'client backend'""",  # noqa: S608 - a column's name
        {"database": facts.database_oid},
    )


def counted(number: int, at: datetime, sessions: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows of `activity` for one sample."""
    groups = Counter(
        (
            bool(row["database"]),
            row["application"],
            row["application"] == APPLICATION,
            row["state"],
            row["wait_type"] if row["state"] == "active" else None,
            row["wait"] if row["state"] == "active" else None,
        )
        for row in sessions
    )
    names = ("database", "application", "own", "state", "wait_type", "wait")
    return [
        {"sample": number, "at": at, "sessions": many, **dict(zip(names, group, strict=True))}
        for group, many in groups.items()
    ] or [{"sample": number, "at": at, "sessions": 0}]


def noteworthy(number: int, at: datetime, sessions: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows of `sessions` for one sample: idle in transaction, long transactions, the blocked and their blockers."""
    blockers = {pid for row in sessions for pid in row["blocked_by"] or ()}
    return [
        {"sample": number, "at": at, **row}
        for row in sessions
        if row["database"] and row["application"] != APPLICATION and (_stands_out(row) or row["pid"] in blockers)
    ]


def running(number: int, sessions: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows of `running` for one sample."""
    return [
        {"sample": number, **row}
        for row in sessions
        if row["database"]
        and row["application"] != APPLICATION
        and row["state"] == "active"
        and row["age_s"] is not None
    ]


def _stands_out(row: Row) -> bool:
    state = row["state"] or ""
    waiting = state.startswith("idle in transaction") and (row["state_s"] or 0) >= 1
    return waiting or bool(row["blocked_by"]) or (row["transaction_s"] or 0) >= LONG_S


def locks(session: Session, pids: Sequence[int]) -> list[Row]:
    """Tables that some sessions hold locks on; by name, in this database alone."""
    return session.query(
        """SELECT DISTINCT l.pid, n.nspname || '.' || c.relname AS relation, l.mode
FROM pg_catalog.pg_locks l
JOIN pg_catalog.pg_class c ON c.oid = l.relation
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_database d ON d.oid = l.database AND d.datname = current_database()
WHERE l.granted AND l.pid = ANY(%(pids)s) AND c.relkind IN ('r', 'm', 'p', 'S')
  AND n.nspname NOT IN ('pg_catalog', 'information_schema')""",
        {"pids": list(pids)},
    )
