"""The load generator's connections to one server of a cache; a lost one is opened again with a growing back-off."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from tasks.load.redis.address import RedisAddress
from tasks.load.redis.channel import Channel, Exchange
from tasks.load.redis.commands import encode, login_commands
from tasks.load.redis.wire import ReplyError, refusal, unreachable
from tasks.load.wire.wire import Place, Wire

_BACKOFF_NS = (100_000_000, 2_000_000_000)
_NO_TOUCH = encode("CLIENT", "NO-TOUCH", "ON")
_IN_FLIGHT = attrgetter("in_flight")
_FATAL = ("NOAUTH", "WRONGPASS")


class Node:
    """One server.

    `untouched`: whether it promised, on every connection, to leave access times alone; `lost_count` counts
    connections that were in use and went, or could not be opened again.
    """

    def __init__(
        self,
        wire: Wire,
        address: RedisAddress,
        place: Place,
        *,
        connections: int,
        timeout_s: float,
    ) -> None:
        self.address = address
        self.untouched = True
        self.lost_count = 0
        self._wire = wire
        self._place = place
        self._size = connections
        self._timeout_s = timeout_s
        self._login = login_commands(address)
        self._channels: list[Channel] = []
        self._idle: deque[Channel] = deque()
        self._delay_ns, self._retry_at = _BACKOFF_NS[0], 0
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._closed = False

    async def open(self) -> None:
        """Connect and log in before anything is measured; `NotMeasuredError` (or its kin) where that fails."""
        for _ in range(self._size):
            self._connect()
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._opened
        except TimeoutError as error:
            raise unreachable(self.address, error) from None

    def send(self, data: bytes, exchange: Exchange) -> bool:
        """Send over the idlest connection; False where there is none."""
        channel = self._next()
        if channel is not None:
            channel.send(data, exchange)
        return channel is not None

    def send_all(self, data: bytes, exchanges: Sequence[Exchange]) -> bool:
        """Like `send`, several commands in one go."""
        channel = self._next()
        if channel is not None:
            channel.send_all(data, exchanges)
        return channel is not None

    def _next(self) -> Channel | None:
        """An idle connection, the one that has been so for longest; else the one with the fewest in flight."""
        while self._idle:
            channel = self._idle.popleft()
            if channel.ready and not channel.in_flight:
                return channel
        ready = (channel for channel in self._channels if channel.ready)
        return min(ready, key=_IN_FLIGHT, default=None)

    @property
    def in_flight(self) -> int:
        """Commands whose reply is still to come."""
        return sum(channel.in_flight for channel in self._channels)

    def tick(self, now_ns: int) -> None:
        """Enforce the time limits, and open again what was lost.

        Replies come in order: where the oldest is overdue, its connection is given up with all that it owes.
        """
        limit = now_ns - round(self._timeout_s * 1e9)
        for channel in tuple(self._channels):
            since = channel.oldest_ns or (0 if channel.ready else channel.opening_since)
            if since and since < limit:
                channel.end("timeout", now_ns)
        if len(self._channels) < self._size and now_ns >= self._retry_at and not self._closed:
            self._retry_at = now_ns + self._delay_ns
            self._delay_ns = min(2 * self._delay_ns, _BACKOFF_NS[1])
            while len(self._channels) < self._size:
                self._connect()

    def close(self) -> None:
        """End every connection; commands in flight fail with `aborted`."""
        self._closed = True
        for channel in tuple(self._channels):
            channel.end("aborted", time.monotonic_ns())

    def _connect(self) -> None:
        channel = Channel(self)
        channel.opening_since = time.monotonic_ns()
        self._channels.append(channel)
        channel.stream = self._wire.connect(self._place, channel)

    # --- told by channels: see `redis_channel.Owner` ---

    def opened(self, channel: Channel) -> None:
        """Log in."""
        steps = [*self._login, _NO_TOUCH]
        channel.send_all(b"".join(steps), [_Step(self, channel, last=step is _NO_TOUCH) for step in steps])

    def idle(self, channel: Channel) -> None:
        """A connection is free."""
        self._idle.append(channel)

    def lost(self, channel: Channel, error: str) -> None:
        """Forget a connection; the next tick opens another."""
        self._channels.remove(channel)
        if self._closed:
            return
        self._retry_at = max(self._retry_at, time.monotonic_ns() + _BACKOFF_NS[0])
        if not self._opened.done():
            self._opened.set_exception(unreachable(self.address, ConnectionError(error)))
            return
        self.lost_count += 1

    def logged_in(self, channel: Channel) -> None:
        """A connection may be used; `open` is over once all may."""
        channel.ready = True
        if all(one.ready for one in self._channels) and len(self._channels) == self._size:
            self._delay_ns = _BACKOFF_NS[0]
            if not self._opened.done():
                self._opened.set_result(None)

    def refused(self, channel: Channel, error: ReplyError) -> None:
        """The server refuses the login of a connection."""
        if not self._opened.done():
            self._opened.set_exception(refusal(self.address, error))
        channel.end("aborted", time.monotonic_ns())


class _Step:
    """A step of a login; the last one, CLIENT NO-TOUCH, may be refused for any reason but a missing login."""

    __slots__ = ("_channel", "_last", "_node", "sent_ns")

    def __init__(self, node: Node, channel: Channel, *, last: bool) -> None:
        self._node, self._channel, self._last = node, channel, last
        self.sent_ns = 0

    def replied(self, reply: Any, stamp_ns: int, seen_ns: int) -> None:  # noqa: ARG002 - the protocol's
        """See `redis_channel.Exchange`."""
        if isinstance(reply, ReplyError):
            if not self._last or str(reply).startswith(_FATAL):
                self._node.refused(self._channel, reply)
                return
            self._node.untouched = False
        if self._last:
            self._node.logged_in(self._channel)

    def failed(self, error: str, at_ns: int) -> None:
        """The owner hears of the lost connection anyway."""
