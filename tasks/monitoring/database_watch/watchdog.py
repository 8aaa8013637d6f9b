"""A watchdog that sleeps while nothing is asked: one that ticks 20 times a second costs more than the whole watch."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.load.database.session import Session, Watchdog


class LazyWatchdog(Watchdog):
    """Like its base, but its thread is woken only where an operation's end comes before what it waits for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._limits: dict[int, tuple[float, Session]] = {}
        self._wakes_at: float | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._watch, name="database-watchdog", daemon=True)
        self._thread.start()

    @contextmanager
    def limit(self, session: Session, seconds: float) -> Iterator[None]:
        """Cut `session` where the body takes longer than `seconds`."""
        end = time.monotonic() + seconds
        with self._changed:
            self._limits[id(session)] = (end, session)
            if self._wakes_at is None or end < self._wakes_at:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._limits.pop(id(session), None)

    def close(self) -> None:
        """Stop watching."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _watch(self) -> None:
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                for key, (end, session) in list(self._limits.items()):
                    if now >= end:
                        del self._limits[key]
                        session.sever()
                self._wakes_at = min((end for end, _ in self._limits.values()), default=None)
                self._changed.wait(None if self._wakes_at is None else max(0.0, self._wakes_at - time.monotonic()))
