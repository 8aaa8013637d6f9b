"""Waits for moments of the monotonic clock, many at once, by one precise alarm."""

from __future__ import annotations

import asyncio
import heapq
import time
from itertools import count

from tasks.load.pacer import alarm


class Sleeper:
    """One per event loop: timerfd wakes to 0.05 ms where the loop's own timer is up to 1 ms late."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._alarm = alarm(loop, self._ring)
        self.precise = self._alarm.precise

    async def until(self, at_ns: int) -> None:
        """Return at that moment (monotonic), or after the loop's next turn where it is past."""
        if at_ns <= time.monotonic_ns():
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = self._loop.create_future()
        entry = (at_ns, next(self._numbers), future)
        heapq.heappush(self._waiting, entry)
        if self._waiting[0] is entry:
            self._alarm.arm(at_ns)
        await future

    def close(self) -> None:
        """Wake nobody any more."""
        self._alarm.close()
        self._waiting.clear()

    def _ring(self) -> None:
        now = time.monotonic_ns()
        waiting = self._waiting
        while waiting and (waiting[0][0] <= now or waiting[0][2].done()):
            future = heapq.heappop(waiting)[2]
            if not future.done():
                future.set_result(None)
        if waiting:
            self._alarm.arm(waiting[0][0])
