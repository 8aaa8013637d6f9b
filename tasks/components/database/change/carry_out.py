"""Carries out one statement of a change: in a thread, watched from a second session, cancelled where it must be."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from storage.errors import NotMeasuredError
from tasks.components.database.change import watch
from tasks.components.database.change.hand import APPLICATION, Hand
from tasks.components.database.change.records import ChangeError
from tasks.components.database.change.watch import Limits, Sight, Watch
from tasks.load.database.session import QueryError, Server, Session, Watchdog

TICK_S = 0.2
"""Seconds between two looks."""

SOON_S = 0.02
"""Seconds between two looks for an index that bears no comment yet: until then the ledger alone knows whose it is."""

_CANCEL = """
SELECT pg_catalog.pg_cancel_backend(pid) FROM pg_catalog.pg_stat_activity
WHERE pid = %(pid)s AND application_name = %(application)s"""
"""By name too: should our session be gone, its process id may be somebody else's."""

_CANCEL_S = 10.0
_SESSION_MS = 5000
_TELL_S = 5.0


@dataclass(frozen=True)
class Done:
    """How long a statement took, and the longest time that a session was seen waiting behind it, in seconds."""

    seconds: float
    longest_wait_s: float


@dataclass(frozen=True)
class _Running:
    """A statement that runs: its thread, who watches it, and since when."""

    thread: threading.Thread
    watching: Session
    pid: int
    watched: Watch
    begin: float
    what: str


class Carrier:
    """Runs the statements that change; one at a time."""

    def __init__(
        self, hand: Hand, server: Server, watchdog: Watchdog, limits: Limits, say: Callable[[str], None]
    ) -> None:
        self._hand = hand
        self._server = server
        self._watchdog = watchdog
        self._limits = limits
        self._say = say

    def run(self, statement: str, what: str, *, seen: Callable[[Session], bool] | None = None) -> Done:
        """Run `statement` to its end.

        `seen` is asked at each look, with the watching session, until it answers True. Raises `ChangeError` where the
        statement failed, was cancelled, or could no longer be watched; whatever else ends the watching, such as
        Ctrl-C, cancels the statement too and goes on its way.
        """
        with Session(self._server, self._watchdog, timeout_ms=_SESSION_MS) as watching:
            pid = self._hand.pid
            watched = Watch(pid, self._limits)
            errors: list[ChangeError] = []

            def work() -> None:
                try:
                    self._hand.run(statement)
                except ChangeError as error:
                    errors.append(error)
                except NotMeasuredError as error:
                    errors.append(ChangeError(str(error)))

            begin = time.monotonic()
            thread = threading.Thread(target=work, name="database-change", daemon=True)
            thread.start()
            try:
                self._watch(_Running(thread, watching, pid, watched, begin, what), seen)
            except QueryError as error:
                self._cancel(thread, watching, pid)
                raise ChangeError(f"{what} was cancelled, for it could not be watched: {error}") from None
            except BaseException:
                self._cancel(thread, watching, pid)
                raise
        if errors:
            raise errors[0]
        return Done(time.monotonic() - begin, watched.longest_s)

    def _watch(self, one: _Running, seen: Callable[[Session], bool] | None) -> None:
        told = looked = one.begin
        while one.thread.is_alive():
            one.thread.join(TICK_S if seen is None else SOON_S)
            if not one.thread.is_alive():
                break
            if seen is not None and seen(one.watching):
                seen = None
            if time.monotonic() - looked < TICK_S:
                continue
            looked = time.monotonic()
            sight = watch.look(one.watching)
            objection = one.watched.objection(time.monotonic() - one.begin, sight)
            if objection is not None:
                raise ChangeError(f"{one.what} was cancelled: {objection}{_whom(one.watching, sight, one.pid)}")
            if time.monotonic() - told > _TELL_S:
                told = time.monotonic()
                phase = watch.progress(one.watching, one.pid) or "at work"
                self._say(f"{one.what}: {phase}{_whom(one.watching, sight, one.pid)}")

    def _cancel(self, thread: threading.Thread, watching: Session, pid: int) -> None:
        """Cancel the statement; where the server does not hear it, cut the connection."""
        with suppress(QueryError):
            watching.query(_CANCEL, {"pid": pid, "application": APPLICATION})
            thread.join(_CANCEL_S)
        if thread.is_alive():
            self._hand.sever()
            thread.join(_CANCEL_S)


def _whom(session: Session, sight: Sight, pid: int) -> str:
    who = watch.blocker(session, sight, pid)
    return f"; it waits for {who}" if who else ""
