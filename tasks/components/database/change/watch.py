"""Watches a change from a second session: who waits behind it, whom it waits for, how far replicas are behind.

Rules are pure (`Watch.objection`); `Watcher.look` reads. Sessions that wait are taken from pg_locks, for every role
may see them all there; a DDL that waits behind a build makes every writer wait in its turn, so waiting is followed
from session to session.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tasks.load.database.session import Session

_WAITING = """
SELECT w.pid, pg_catalog.pg_blocking_pids(w.pid) AS blockers
FROM (SELECT DISTINCT l.pid FROM pg_catalog.pg_locks l
      JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
      WHERE NOT l.granted AND l.pid IS NOT NULL AND a.datname = current_database()
        AND a.backend_type IS DISTINCT FROM 'autovacuum worker') w"""

_LAG = """
SELECT pg_catalog.max(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), replay_lsn))::float8 AS bytes
FROM pg_catalog.pg_stat_replication"""

_WHO = """
SELECT pid, application_name AS application, usename AS role, state,
       extract(epoch FROM clock_timestamp() - coalesce(xact_start, backend_start))::float8 AS age_s
FROM pg_catalog.pg_stat_activity WHERE pid = ANY(%(pids)s) ORDER BY xact_start NULLS LAST LIMIT 1"""

_PROGRESS = """
SELECT phase, blocks_done, blocks_total, tuples_done, tuples_total
FROM pg_catalog.pg_stat_progress_create_index WHERE pid = %(pid)s"""

_MB = 1_000_000


@dataclass(frozen=True)
class Limits:
    """What a change may cost others: seconds of waiting on either side, seconds in all, bytes of replicas' lag."""

    writer_wait_s: float
    own_wait_s: float
    total_s: float
    lag_bytes: float


@dataclass(frozen=True)
class Sight:
    """One look: sessions that wait and for whom, and the lag of the slowest replica (None where there is none)."""

    waiting: Mapping[int, frozenset[int]] = field(default_factory=dict)
    lag_bytes: float | None = None


def behind(pid: int, waiting: Mapping[int, frozenset[int]]) -> frozenset[int]:
    """Every session that waits for `pid`, at first or at second hand."""
    found: set[int] = set()
    while True:
        more = {one for one, blockers in waiting.items() if one not in found and blockers & (found | {pid})} - {pid}
        if not more:
            return frozenset(found)
        found |= more


class Watch:
    """Remembers since when each session waits."""

    def __init__(self, pid: int, limits: Limits) -> None:
        self._pid = pid
        self._limits = limits
        self._since: dict[int, float] = {}
        self._blocked: float | None = None
        self.longest_s = 0.0
        """The longest time that a session was seen waiting behind the change."""

    def objection(self, elapsed_s: float, sight: Sight) -> str | None:
        """Why the change must be cancelled now, `elapsed_s` seconds after its start; None where it may go on."""
        late = behind(self._pid, sight.waiting)
        self._since = {pid: self._since.get(pid, elapsed_s) for pid in late}
        waited = max((elapsed_s - since for since in self._since.values()), default=0.0)
        self.longest_s = max(self.longest_s, waited)
        own = sight.waiting.get(self._pid, frozenset())
        self._blocked = None if not own else elapsed_s if self._blocked is None else self._blocked
        if waited > self._limits.writer_wait_s:
            return f"{len(late)} sessions waited behind it for more than {self._limits.writer_wait_s:g} s"
        if self._blocked is not None and elapsed_s - self._blocked > self._limits.own_wait_s:
            return f"it waited more than {self._limits.own_wait_s:g} s for older transactions"
        if elapsed_s > self._limits.total_s:
            return f"it took more than {self._limits.total_s:g} s"
        if sight.lag_bytes is not None and sight.lag_bytes > self._limits.lag_bytes:
            return f"a replica is {sight.lag_bytes / _MB:.0f} MB behind"
        return None


def look(session: Session) -> Sight:
    """Read who waits and how far replicas are behind."""
    rows = session.query(_WAITING)
    waiting = {int(row["pid"]): frozenset(int(pid) for pid in row["blockers"]) for row in rows}
    return Sight(waiting, session.query(_LAG)[0]["bytes"])


def blocker(session: Session, sight: Sight, pid: int) -> str:
    """Whom the session `pid` waits for, in words; empty where it waits for nobody."""
    blockers = sight.waiting.get(pid, frozenset())
    rows = session.query(_WHO, {"pids": sorted(blockers)}) if blockers else []
    if not rows:
        return ""
    row = rows[0]
    return (
        f"process {row['pid']} ({row['application'] or 'no application_name'}, role {row['role']}, {row['state']}, "
        f"transaction of {row['age_s']:.0f} s)"
    )


def progress(session: Session, pid: int) -> str:
    """The phase of a CREATE INDEX and how far it is; empty where there is none."""
    rows = session.query(_PROGRESS, {"pid": pid})
    if not rows:
        return ""
    row = rows[0]
    for done, total in ((row["tuples_done"], row["tuples_total"]), (row["blocks_done"], row["blocks_total"])):
        if total:
            return f"{row['phase']}, {100 * done / total:.0f} %"
    return str(row["phase"])
