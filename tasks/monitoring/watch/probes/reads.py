"""Times the environment's representative reads of the database, one at a time, in a read-only session."""

from __future__ import annotations

import random
import time
from itertools import cycle

from deployments.config import DatabaseSettings
from storage.errors import TargetUnreachableError
from tasks.load.database.session import QueryError, Server, Session, Watchdog
from tasks.load.database.worker import draw
from tasks.monitoring.watch.probe import Looked, window
from tasks.monitoring.watch.window import Samples

_SEED = 20_260
_SOURCE = "watch: client time of single representative reads, 95th percentile of its window"


class ReadsProbe:
    """See the module, and `tasks.monitoring.watch.probe.Probe`.

    Without [[database.statements]] it asks `SELECT 1`, by which the database's outages are seen, and times nothing.
    """

    target = "database"

    def __init__(
        self, settings: DatabaseSettings, server: Server, watchdog: Watchdog, *, every_s: float, window_s: float
    ) -> None:
        self.every_s = every_s
        self.limit_s = settings.statement_timeout_ms / 1000 + 12
        self._settings, self._server, self._watchdog = settings, server, watchdog
        self._next = cycle(settings.statements) if settings.statements else None
        self._rng = random.Random(_SEED)  # noqa: S311 - which rows to ask for is no secret
        self._samples = Samples(window_s)
        self._session: Session | None = None

    def look(self, now: float) -> Looked:
        """One read. A read that the server refuses or cuts off failed; a connection that breaks is no answer."""
        try:
            session = self._open()
            took = self._read(session)
        except QueryError as error:
            if self._session is None or not self._session.alive:
                self.close()
                raise TargetUnreachableError(str(error)) from None
            took = None
        if self._next is None:
            return Looked()
        self._samples.add(now, took)
        return Looked([self._samples.p95("database.query.p95", window(self._samples.spans), _SOURCE)])

    def _open(self) -> Session:
        if self._session is None or not self._session.alive:
            self.close()
            self._session = Session(self._server, self._watchdog, timeout_ms=self._settings.statement_timeout_ms)
        return self._session

    def _read(self, session: Session) -> float:
        """Time of one read in ms."""
        if self._next is None:
            session.query("SELECT 1")
            return 0.0
        statement = next(self._next)
        values = draw(self._settings.values, self._rng)
        begin = time.perf_counter()
        session.query(statement.sql, values)
        return (time.perf_counter() - begin) * 1000

    def back(self) -> None:
        """See `Probe.back`."""
        self._samples.clear()

    def close(self) -> None:
        """See `Probe.close`."""
        if self._session is not None:
            self._session.close()
            self._session = None
