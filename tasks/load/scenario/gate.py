"""What every request of a scenario passes on its way to the wire: `max_rate`, the target's pauses, the stop."""

from __future__ import annotations

import asyncio
import time

from tasks.load.scenario.sleeper import Sleeper
from tasks.load.trust.guard import Ceiling

_SECOND = 1_000_000_000


class Gate:
    """Lets requests through in order, as fast as they may go.

    `held_back` counts requests that waited for `max_rate`, `paused` those that waited since the target had asked for
    a pause (Retry-After). Once `shut`, whoever comes is cancelled: no request is sent any more.
    """

    def __init__(self, sleeper: Sleeper, max_rate: float) -> None:
        self._sleeper = sleeper
        self._ceiling = Ceiling(max_rate)
        self._paused_until = 0
        self._queue = asyncio.Lock()  # its waiters keep their order
        self._shut = False
        self.held_back = 0
        self.paused = 0

    @property
    def pausing(self) -> bool:
        """Whether the target's pause is on."""
        return time.monotonic_ns() < self._paused_until

    def open(self) -> bool:
        """Pass at once where that is allowed; False where `enter` has to be awaited."""
        if self._shut:
            raise asyncio.CancelledError
        now = time.monotonic_ns()
        if self._queue.locked() or now < self._paused_until or self._ceiling.free_at(now) > now:
            return False
        self._ceiling.passes(now)
        return True

    async def enter(self) -> bool:
        """Pass as soon as it is allowed; whether the target's pause was waited for."""
        paused = self.pausing
        self.paused += paused
        self.held_back += not paused
        async with self._queue:
            while (free := self._free_at(now := time.monotonic_ns())) > now:
                await self._sleeper.until(free)
            if self._shut:
                raise asyncio.CancelledError
            self._ceiling.passes(now)
        return paused

    def further(self) -> None:
        """Count a request that was not asked for by itself, such as the hop of a redirect."""
        self._ceiling.passes(time.monotonic_ns())

    def allow(self, max_rate: float) -> None:
        """Another `max_rate` from now on: that of a part which this process sends alone."""
        self._ceiling = Ceiling(max_rate)

    def pause(self, seconds: float) -> None:
        """Let nothing through for so long."""
        self._paused_until = max(self._paused_until, time.monotonic_ns() + round(seconds * _SECOND))

    def shut(self) -> None:
        """Let nothing through any more."""
        self._shut = True
        self._paused_until = 0

    def _free_at(self, now_ns: int) -> int:
        if self._shut:
            return now_ns
        return max(self._paused_until, self._ceiling.free_at(now_ns))
