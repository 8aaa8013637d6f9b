"""The session that changes: direct, in autocommit, under an advisory lock; it ends where its client is gone."""

from __future__ import annotations

import time
from collections.abc import Callable

from storage.errors import NotMeasuredError
from tasks.components.database.change.records import ChangeError
from tasks.components.database.facts import PG14
from tasks.load.database.session import QueryError, Server, Session, Watchdog

APPLICATION = "hasivu-perf change"
"""application_name of the session that changes."""

LOCK = (1_212_240_713, 1)
"""Key of the advisory lock ("HASI"): one run at a time changes a database."""

LOCK_WAIT_S = 15.0
"""How long the lock is waited for: the server notices within seconds that a killed run's client is gone."""

ASK_MS = 10_000
"""Limit of every question before and beside the statement that changes, which alone may take long."""

_GONE_CHECK = "2s"
_ASK_S = 0.5

_HOLDER = """
SELECT a.pid, a.application_name AS application, a.client_addr::text AS client,
       to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS since
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.classid = %(first)s AND l.objid = %(second)s
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())"""


class Hand:
    """Opens the session when it is needed, and anew where it was lost; the lock comes with it."""

    def __init__(self, server: Server, watchdog: Watchdog, *, timeout_s: float, say: Callable[[str], None]) -> None:
        """`timeout_s` is the limit for a statement that changes, at the server and here."""
        self._server = server
        self._watchdog = watchdog
        self._timeout_s = timeout_s
        self._say = say
        self._session: Session | None = None

    def session(self) -> Session:
        """The session with the lock; raises `NotMeasuredError` where it cannot be had."""
        if self._session is None or not _answers(self._session):
            self.close()
            self._session = self._opened()
        return self._session

    @property
    def pid(self) -> int:
        """Process id of the session at the server."""
        return self.session().backend_pid

    def run(self, statement: str) -> None:
        """Run one statement; raises `ChangeError` with one line."""
        try:
            self.session().run(statement, limit_s=self._timeout_s)
        except QueryError as error:
            raise ChangeError(str(error), error.state) from None

    def sever(self) -> None:
        """Cut the connection from another thread."""
        if self._session is not None:
            self._session.sever()

    def close(self) -> None:
        """End the session, and with it the lock."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _opened(self) -> Session:
        session = Session(self._server, self._watchdog, timeout_ms=ASK_MS)
        try:
            refuse_pooler(session)
            refuse_replica(session)
            settings = {**_settings(session), "statement_timeout": f"{self._timeout_s * 1000:.0f}"}
            for name, value in settings.items():
                session.run(f"SET {name} = '{value}'")
            self._lock(session)
        except QueryError as error:
            session.close()
            raise NotMeasuredError(f"{self._server.shown} cannot be changed: {error}; {error.remedy}") from None
        except BaseException:
            session.close()
            raise
        return session

    def _lock(self, session: Session) -> None:
        until = time.monotonic() + LOCK_WAIT_S
        keys = {"first": LOCK[0], "second": LOCK[1]}
        told = False
        while True:
            answer = session.query("SELECT pg_catalog.pg_try_advisory_lock(%(first)s, %(second)s) AS got", keys)
            if answer[0]["got"]:
                return
            if not told:
                self._say("another run changes this database: waiting for its lock")
                told = True
            if time.monotonic() > until:
                raise NotMeasuredError(
                    f"{self._server.shown} is being changed by another run ({self._holder(session, keys)}): wait "
                    "until it has ended"
                )
            time.sleep(_ASK_S)

    def _holder(self, session: Session, keys: dict[str, int]) -> str:
        rows = session.query(_HOLDER, keys)
        if not rows:
            return "unknown"
        row = rows[0]
        return f"process {row['pid']}, from {row['client'] or 'the same machine'}, since {row['since']} UTC"


def _answers(session: Session) -> bool:
    """Whether the session is still there: it may have been idle for a whole window."""
    try:
        return session.alive and bool(session.query("SELECT true AS here"))
    except QueryError:
        return False


def _settings(session: Session) -> dict[str, str]:
    """No lock_timeout: it would cancel CONCURRENTLY in the middle and leave an INVALID index behind."""
    found = {
        "default_transaction_read_only": "off",
        "lock_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
        "application_name": APPLICATION,
    }
    if session.version >= PG14:
        found["client_connection_check_interval"] = _GONE_CHECK
    return found


def refuse_pooler(session: Session) -> None:
    """Refuse a pooler: CONCURRENTLY needs a session of its own. A pooler makes up the process id that it tells."""
    own = session.query("SELECT pg_catalog.pg_backend_pid() AS pid")[0]["pid"]
    if session.pooled or own != session.backend_pid:
        raise NotMeasuredError(
            f"{session.server.shown} is a connection pooler: changes need a direct address of PostgreSQL "
            "([database.changes] address, or --dsn)"
        )


def refuse_replica(session: Session) -> None:
    """Refuse a replica: indexes are built on its primary."""
    if session.query("SELECT pg_catalog.pg_is_in_recovery() AS replica")[0]["replica"]:
        raise NotMeasuredError(f"{session.server.shown} is a read-only replica: give the address of its primary")
