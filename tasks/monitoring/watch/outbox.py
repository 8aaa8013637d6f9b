"""Sends what must arrive, in a thread of its own: a receiver that is away for a while still gets it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from tasks.monitoring.watch.alarm import Alert
from tasks.monitoring.watch.spool import Spool

WAITING = 200
"""Messages that may wait; where there are more the oldest go."""

TRY_FOR_S = 900.0
"""How long a message is tried."""

_DELAYS_S = (1.0, 5.0, 15.0, 60.0)
_LOG = logging.getLogger("hasivu.watch")


class Outbox:
    """Call it with a message; `send` is called with it, again and again until it does not raise.

    Messages go in their order. `lost` counts those that were given up. Alerts that wait are kept in the spool, if
    there is one: what another outbox left in it goes first, and what is being sent when this process is killed may
    go twice.
    """

    def __init__(self, send: Callable[[Any], None], what: str, spool: Spool | None = None) -> None:
        self._send, self._what, self._spool = send, what, spool
        until = time.monotonic() + TRY_FOR_S
        self._waiting: deque[tuple[float, Any]] = deque((until, one) for one in (spool.left() if spool else ()))
        self._under_way: list[Any] = []
        self._changed = threading.Condition()
        self._closed = False
        self.lost = 0
        self._thread = threading.Thread(target=self._run, name="watch-outbox", daemon=True)
        self._thread.start()

    def __call__(self, message: Any) -> None:
        """Take a message; returns at once."""
        with self._changed:
            self._waiting.append((time.monotonic() + TRY_FOR_S, message))
            if len(self._waiting) > WAITING:
                self._waiting.popleft()
                self.lost += 1
            self._keep()
            self._changed.notify()

    def close(self, within_s: float) -> None:
        """Try to send what waits, within `within_s`."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(within_s)

    def _run(self) -> None:
        failures = 0
        while (found := self._next()) is not None:
            until, message = found
            try:
                self._send(message)
            except Exception as error:  # noqa: BLE001 - whatever a client of a channel raises, it is tried again
                failures += 1
                self._failed(until, message, error, failures)
            else:
                failures = 0
                self._done()

    def _failed(self, until: float, message: Any, error: Exception, failures: int) -> None:
        """Put the message back to the front and wait, or give it up. The error's type alone is logged."""
        delay = _DELAYS_S[min(failures, len(_DELAYS_S)) - 1]
        with self._changed:
            if self._closed or time.monotonic() + delay > until:
                self.lost += 1
                _LOG.warning("%s was not told: %s", self._what, type(error).__name__)
                if not self._closed:  # else the next watch tells it
                    self._done()
                return
            self._waiting.appendleft((until, message))
            self._under_way.clear()
            self._changed.wait_for(lambda: self._closed, delay)

    def _next(self) -> tuple[float, Any] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._waiting:
                return None
            found = self._waiting.popleft()
            self._under_way.append(found[1])
            return found

    def _done(self) -> None:
        """What was under way is told, or given up."""
        with self._changed:
            self._under_way.clear()
            self._keep()

    def _keep(self) -> None:
        if self._spool is not None:
            waiting = [*self._under_way, *(message for _, message in self._waiting)]
            self._spool.keep([one for one in waiting if isinstance(one, Alert)])
