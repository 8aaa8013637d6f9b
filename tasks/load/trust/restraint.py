"""What stands between a schedule and the wire: `max_rate`, and the pauses that a target asks for."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from tasks.load.pacer import alarm
from tasks.load.trust.guard import Ceiling
from tasks.load.wire.pool import Pending

_SECOND = 1_000_000_000


class Restraint:
    """Passes requests on as fast as they may go; what must wait keeps its order.

    `held_back` counts requests that waited for `max_rate`, `withheld` those that were given up since the target had
    asked for a pause: they are never sent.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, max_rate: float, submit: Callable[[Pending], None]) -> None:
        self._ceiling = Ceiling(max_rate)
        self._submit = submit
        self._waiting: deque[Pending] = deque()
        self._paused_until = 0
        self._alarm = alarm(loop, self._ring)
        self.held_back = 0
        self.withheld = 0

    def offer(self, pending: Pending) -> None:
        """Pass a request on now, or when it may go; or not at all within a pause."""
        now = time.monotonic_ns()
        if now < self._paused_until:
            self.withheld += 1
        elif self._waiting or self._ceiling.free_at(now) > now:
            self.held_back += 1
            self._waiting.append(pending)
            self._rearm(now)
        else:
            self._pass(pending, now)

    def allow(self, max_rate: float) -> None:
        """Another `max_rate` from now on: that of a part which this process sends alone."""
        self._ceiling = Ceiling(max_rate)

    def pause(self, seconds: float) -> None:
        """Pass nothing on for so long; what waits is withheld."""
        self._paused_until = max(self._paused_until, time.monotonic_ns() + round(seconds * _SECOND))
        self.withheld += self.drop()

    def drop(self) -> int:
        """Forget what waits; how many they were."""
        dropped = len(self._waiting)
        self._waiting.clear()
        return dropped

    @property
    def quiet(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting

    def close(self) -> None:
        """Pass nothing on any more."""
        self._waiting.clear()
        self._alarm.close()

    def _pass(self, pending: Pending, now_ns: int) -> None:
        self._ceiling.passes(now_ns)
        self._submit(pending)

    def _ring(self) -> None:
        now = time.monotonic_ns()
        while self._waiting and self._ceiling.free_at(now) <= now:
            self._pass(self._waiting.popleft(), now)
        self._rearm(now)

    def _rearm(self, now_ns: int) -> None:
        if self._waiting:
            self._alarm.arm(self._ceiling.free_at(now_ns))
