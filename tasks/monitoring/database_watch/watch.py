"""The watch itself: one thread, one read-only session, two questions at their own pace, and events.

    watch = DatabaseWatch(parse("postgresql://…", "DSN"), Limits(slow_ms=100))
    watch.listeners.add("slow_query", print)
    with watch:
        …

It survives an outage and a restart of the server. It costs less than 0.2 % of a core, server and client together,
whatever the number of statements: where a question costs more it is asked less often.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from deployments.masking import describe
from storage.errors import HasivuError, NotMeasuredError
from tasks.components.database import facts as server_facts
from tasks.components.database.facts import Facts
from tasks.load.database.session import QueryError, Server, Session
from tasks.monitoring.database_watch.budget import LOOK_SHARE, POLL_SHARE, UNSEEN_MS, Pace
from tasks.monitoring.database_watch.deliver import Listeners
from tasks.monitoring.database_watch.events import Back, Event, Lost
from tasks.monitoring.database_watch.judge import Counters, Limits, Look
from tasks.monitoring.database_watch.look import Source
from tasks.monitoring.database_watch.teller import EventTeller
from tasks.monitoring.database_watch.watchdog import LazyWatchdog

LOOK_S = 1.0
"""Seconds between two looks at the sessions, at least."""

POLL_S = 5.0
"""Seconds between two polls of pg_stat_statements, at least."""

STOP_S = 2.0
"""How long `stop` takes, at most."""

_TIMEOUT_MS = 3000
_BACK_OFF_S = (0.5, 1.0, 2.0, 4.0)
MOST_DEBT_S = 75.0
"""How long the polls may be put off before the looks are, too."""

TEXTS_PER_POLL = 2.0
"""What it costs to fetch texts, in polls: the server reads its whole file of texts besides."""

_MISS_MS = 5.0
_LOG = logging.getLogger("hasivu.database-watch")


@dataclass(frozen=True)
class Status:
    """How the watch is doing; `missed` are questions without an answer, `failed` what listeners raised."""

    connected: bool
    looks: int
    polls: int
    missed: int
    events: int
    failed: int
    dropped: int
    look_ms: float
    poll_ms: float
    notes: Sequence[str]


class DatabaseWatch:
    """Watches one database; `start` returns at once, and events go to `listeners`."""

    def __init__(
        self,
        server: Server,
        limits: Limits | None = None,
        listeners: Listeners | None = None,
        saw: Callable[[Look, Facts], None] = lambda _look, _facts: None,
    ) -> None:
        """Nothing is asked before `start`. `saw` is given each look at the sessions, in the watch's own thread."""
        self.server = server
        self.limits = limits or Limits()
        self.listeners = listeners or Listeners()
        self._saw = saw
        self._teller = EventTeller(server.shown, self.limits, self._tell)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._session: Session | None = None
        self._facts: Facts | None = None
        self._lost_at: float | None = None
        self._before: Counters | None = None
        self._looks, self._polls, self._missed, self._events = 0, 0, 0, 0
        self._looking, self._polling = Pace(LOOK_SHARE, LOOK_S, 0.0), Pace(POLL_SHARE, POLL_S, 0.0)
        self._error: BaseException | None = None

    def start(self) -> None:
        """Begin to watch; where the database does not answer yet it is told as `lost`, and tried again."""
        if self._thread is not None:
            return
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="database-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End within `STOP_S`; what was told already is delivered."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        until = time.monotonic() + STOP_S
        self._stop.set()
        thread.join(STOP_S / 4)
        if thread.is_alive():
            with suppress(AttributeError):  # it was closed at this moment
                if self._session is not None:
                    self._session.sever()
            thread.join(STOP_S / 4)
        self.listeners.close(max(0.0, until - time.monotonic()))

    def wait(self, seconds: float | None = None) -> None:
        """Wait while it watches, for so long at most; a `HasivuError` where it broke by a mistake of its own."""
        until = None if seconds is None else time.monotonic() + seconds
        while (thread := self._thread) is not None and thread.is_alive():
            left = 0.5 if until is None else min(0.5, until - time.monotonic())
            if left <= 0:
                break
            thread.join(left)
        if self._error is not None:
            raise HasivuError(self._described())

    @property
    def notes(self) -> Sequence[str]:
        """What the role or the server keeps from being seen."""
        return self._facts.notes if self._facts is not None else ()

    @property
    def status(self) -> Status:
        """How it is doing at this moment."""
        return Status(
            connected=self._session is not None,
            looks=self._looks,
            polls=self._polls,
            missed=self._missed,
            events=self._events,
            failed=self.listeners.failed,
            dropped=self.listeners.dropped,
            look_ms=self._looking.cost_ms,
            poll_ms=self._polling.cost_ms,
            notes=self.notes,
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _tell(self, event: Event) -> None:
        self._events += 1
        self.listeners.tell(event)

    def _described(self) -> str:
        return self.server.clean(describe(self._error)) if self._error is not None else ""

    # --- the thread ---

    def _run(self) -> None:
        watchdog = LazyWatchdog()
        try:
            self._keep_watching(watchdog)
        except Exception as error:  # noqa: BLE001 - a thread has nobody to raise to: `wait` does it
            self._error = error
            _LOG.error("the watch of %s ended: %s", self.server.shown, self._described())
        finally:
            watchdog.close()

    def _keep_watching(self, watchdog: LazyWatchdog) -> None:
        attempt = 0
        while not self._stop.is_set():
            begin = time.monotonic()
            try:
                with Session(self.server, watchdog, timeout_ms=_TIMEOUT_MS) as self._session:
                    self._found(server_facts.read(self._session))
                    self._watch(self._session)
            except (NotMeasuredError, QueryError) as error:
                if not self._stop.is_set():
                    self._lose(f"{error}; {error.remedy}" if isinstance(error, QueryError) else str(error))
            finally:
                self._session = None
            attempt = 0 if time.monotonic() - begin > _BACK_OFF_S[-1] else attempt + 1
            self._stop.wait(_BACK_OFF_S[min(attempt, len(_BACK_OFF_S) - 1)])

    def _lose(self, reason: str) -> None:
        if self._lost_at is None:
            self._lost_at = time.monotonic()
            self._tell(Lost(at=datetime.now(UTC), database=self.server.shown, reason=reason))

    def _found(self, now: Facts) -> None:
        """The server answers, for the first time or again; counters of a server that was restarted begin anew."""
        before, self._facts = self._facts, now
        restarted = None if before is None else before.values["started"] != now.values["started"]
        if restarted:
            self._before = None
        if self._lost_at is not None:
            outage, self._lost_at = time.monotonic() - self._lost_at, None
            moment, shown = datetime.now(UTC), self.server.shown
            self._tell(Back(at=moment, database=shown, outage_s=outage, restarted=restarted))

    def _watch(self, session: Session) -> None:
        """Ask at the pace that the budget allows, until the watch or the connection ends."""
        source = Source.of(session, self._known, self.limits)
        self._looking.due = self._polling.due = time.monotonic()
        while not self._stop.is_set():
            now = time.monotonic()
            polls = now >= self._polling.due and source.facts.extension is not None  # a look puts the polls off
            if now >= self._look_due:
                self._ask(source, self._look, self._looking)
            if polls:
                self._ask(source, self._poll, self._polling)
            self._stop.wait(max(0.0, self._look_due - time.monotonic()))

    @property
    def _look_due(self) -> float:
        """Texts are paid by polls put off; what those owe for more than a minute puts the looks off, too."""
        return max(self._looking.due, self._polling.due - MOST_DEBT_S)

    def _ask(
        self, source: Source, question: Callable[[Source], tuple[float, Callable[[], None]]], pace: Pace
    ) -> None:
        """Ask, and tell what comes of it; one that is not answered is counted, or ends this connection."""
        begin = time.thread_time()
        try:
            server_ms, tell = question(source)
            pace.asked(time.monotonic(), server_ms + UNSEEN_MS + (time.thread_time() - begin) * 1000)
            begin, fetches = time.thread_time(), self._teller.fetches
            tell()
            extra = (self._teller.fetches - fetches) * TEXTS_PER_POLL * self._polling.cost_ms
            self._polling.charge(time.monotonic(), extra + (time.thread_time() - begin) * 1000)
        except QueryError as error:
            if not source.session.alive:
                raise
            self._missed += 1
            pace.charge(time.monotonic(), _MISS_MS)
            _LOG.warning("%s did not answer the watch: %s", self.server.shown, error)

    def _look(self, source: Source) -> tuple[float, Callable[[], None]]:
        seen, server_ms = source.look()
        self._looks += 1
        return server_ms, lambda: self._told(source, seen)

    def _told(self, source: Source, seen: Look) -> None:
        self._saw(seen, source.facts)
        self._teller.saw(source, seen, time.monotonic())

    def _poll(self, source: Source) -> tuple[float, Callable[[], None]]:
        polled, server_ms = source.counters()
        before, self._before = self._before, polled
        self._polls += 1
        if before is None:
            return server_ms, lambda: None
        return server_ms, lambda: self._teller.counted(source, before, polled, time.monotonic())

    @property
    def _known(self) -> Facts:
        if self._facts is None:
            raise NotMeasuredError(f"{self.server.shown} was not seen yet")
        return self._facts
