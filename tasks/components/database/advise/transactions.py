"""Transactions that stay open: idle ones and long ones.

An open transaction keeps its locks, and vacuum may not remove any row version that it could still see.
"""

from __future__ import annotations

from collections.abc import Sequence

from storage.records import Finding, Level, Remedy, Severity
from tasks.components.database.advise.case import Case, Row, finding, ident, locks

IDLE_S = 5.0
"""Idle in a transaction for longer is a fault of the application, not a pause between two statements."""

LONG_S = 60.0
"""An active transaction of this age holds vacuum back; batch jobs and dumps may mean it."""

HIGH_S = 300.0
_HOLDS = "Vacuum cannot remove what it could still see."
_LOOK = "SELECT pid, xact_start, state FROM pg_stat_activity WHERE pid = {pid};"


def check(case: Case) -> list[Finding]:
    """Findings by application: idle in transaction, long transactions."""
    rows = case.data.rows("sessions")
    return [*_idle(case, rows), *_long(case, rows)]


def _oldest(rows: Sequence[Row], key: str) -> dict[str, Row]:
    """For each application, the row of the greatest age."""
    found: dict[str, Row] = {}
    for row in rows:
        name = row["application"] or "(no application_name)"
        if name not in found or (row[key] or 0) > (found[name][key] or 0):
            found[name] = row
    return found


def _is_idle(row: Row) -> bool:
    return str(row["state"] or "").startswith("idle in transaction")


def _pids(rows: Sequence[Row], name: str) -> list[int]:
    return sorted({row["pid"] for row in rows if (row["application"] or "(no application_name)") == name})


def _idle(case: Case, rows: Sequence[Row]) -> list[Finding]:
    idle = [row for row in rows if _is_idle(row) and (row["state_s"] or 0) > IDLE_S]
    found = []
    for name, row in sorted(_oldest(idle, "state_s").items()):
        pids = _pids(idle, name)
        found.append(
            finding(
                "idle_in_transaction",
                name,
                title=f"{name} sits idle in a transaction",
                detail=(
                    f"Session {row['pid']} of {name} (role {row['user']}) was idle in a transaction for "
                    f"{row['state_s']:.0f} s, its transaction open for {row['transaction_s'] or 0:.0f} s; "
                    f"{len(pids)} such sessions were seen.{locks(case, row['pid'])} {_HOLDS}"
                ),
                severity=Severity.WARNING,
                impact=Level.HIGH if (row["transaction_s"] or 0) >= HIGH_S else Level.MEDIUM,
                evidence=(
                    *case.evidence(("database.idle_in_transaction.count",)),
                    *case.evidence(("database.idle_in_transaction.age",), application=name),
                ),
                remedy=_end_idle(row),
            )
        )
    return found


def _end_idle(row: Row) -> Remedy:
    role = f"ALTER ROLE {ident(row['user'] or 'postgres')}"
    return Remedy(
        summary=(
            "Commit or roll back at the end of each unit of work, and let the server end forgotten transactions; "
            "ending the session by hand (second command) rolls its work back: ask its owner first."
        ),
        commands=(
            f"{role} SET idle_in_transaction_session_timeout = '60s';",
            f"SELECT pg_terminate_backend({row['pid']});",
        ),
        rollback=(f"{role} RESET idle_in_transaction_session_timeout;",),
    )


def _long(case: Case, rows: Sequence[Row]) -> list[Finding]:
    long = [row for row in rows if not _is_idle(row) and (row["transaction_s"] or 0) > LONG_S]
    return [
        finding(
            "long_transaction",
            name,
            title=f"{name} keeps a transaction open for {row['transaction_s']:.0f} s",
            detail=(
                f"Session {row['pid']} of {name} (role {row['user']}, state {row['state']}) had a transaction open "
                f"for {row['transaction_s']:.0f} s.{locks(case, row['pid'])} {_HOLDS}"
            ),
            severity=Severity.WARNING,
            impact=Level.HIGH if (row["transaction_s"] or 0) >= HIGH_S else Level.MEDIUM,
            effort=Level.MEDIUM,
            evidence=case.evidence(("database.transaction.age",), application=name),
            remedy=Remedy(
                summary="Split the work into shorter transactions, or run it where vacuum does not matter.",
                commands=(_LOOK.format(pid=row["pid"]),),
            ),
        )
        for name, row in sorted(_oldest(long, "transaction_s").items())
    ]
