"""Hands events to those who asked for them, in a thread of its own: no listener can hold the watch up or end it.

What a listener raises is counted and logged; where listeners are so slow that more than `WAITING` events wait, the
newest are dropped and counted.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TextIO

from tasks.monitoring.database_watch.events import KINDS, Event, Kind

WAITING = 1000
"""Events that may wait for slow listeners."""

Listener = Callable[[Any], object]
"""Takes one event; a coroutine function is run in the event loop within which it was registered."""

_LOG = logging.getLogger("hasivu.database-watch")


class Listeners:
    """Who hears of which kind of event; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_kind: dict[Kind, list[tuple[Listener, Listener]]] = {kind: [] for kind in KINDS}
        self._queue: queue.Queue[Event | None] = queue.Queue(WAITING)
        self._thread: threading.Thread | None = None
        self.failed = 0
        """How often a listener raised."""
        self.dropped = 0
        """Events that nobody heard, for too many waited."""

    def add(self, kind: Kind, listener: Listener) -> None:
        """Have `listener` called with each event of a kind; a coroutine function needs a running event loop."""
        called = self._in_loop(listener) if inspect.iscoroutinefunction(listener) else listener
        with self._lock:
            self._by_kind[kind].append((listener, called))

    def remove(self, kind: Kind, listener: Listener | None = None) -> None:
        """Call `listener`, or everyone, no more for a kind."""
        with self._lock:
            kept = [one for one in self._by_kind[kind] if listener is not None and one[0] != listener]
            self._by_kind[kind] = kept

    def tell(self, event: Event) -> None:
        """Have the event delivered; returns at once."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._deliver, name="database-events", daemon=True)
                self._thread.start()
        try:
            self._queue.put_nowait(event)
        except queue.Full:
            self.dropped += 1

    def close(self, within_s: float) -> None:
        """Deliver what waits, within `within_s`; the thread of a listener that does not return is left behind."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is None or thread is threading.current_thread():
            return
        until = time.monotonic() + within_s
        try:
            self._queue.put(None, timeout=within_s)
        except queue.Full:
            return
        thread.join(max(0.0, until - time.monotonic()))

    def _deliver(self) -> None:
        while (event := self._queue.get()) is not None:
            with self._lock:
                listeners = [called for _, called in self._by_kind[event.event]]
            for listener in listeners:
                try:
                    listener(event)
                except Exception as error:  # noqa: BLE001 - whatever a listener raises, the others are called
                    self._count(error)

    def _in_loop(self, listener: Listener) -> Listener:
        loop = asyncio.get_running_loop()

        def called(event: Event) -> None:
            if loop.is_closed():
                raise RuntimeError("the event loop of this listener is closed")
            future: Future[Any] = asyncio.run_coroutine_threadsafe(listener(event), loop)  # type: ignore[arg-type]
            future.add_done_callback(self._ended)

        return called

    def _ended(self, future: Future[Any]) -> None:
        error = None if future.cancelled() else future.exception()
        if error is not None:
            self._count(error)

    def _count(self, error: BaseException) -> None:
        """The error's type alone is logged: its words may hold anything."""
        self.failed += 1
        _LOG.warning("a listener of database events raised %s; it stays registered", type(error).__name__)


class JsonLines:
    """A listener that writes each event as one line of JSON, at once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, event: Event) -> None:
        """Write one event."""
        self._stream.write(event.model_dump_json() + "\n")
        self._stream.flush()
