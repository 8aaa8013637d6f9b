"""One connection of the load generator to a cache: commands out, replies in their order, with the kernel's times."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

import hiredis

from tasks.load.redis.headers import AGGREGATES, TOO_MANY
from tasks.load.wire.wire import Stream

_REPLY_LIMIT = 64 << 20


class Exchange(Protocol):
    """A command whose reply is awaited; times are monotonic ns."""

    sent_ns: int

    def replied(self, reply: Any, stamp_ns: int, seen_ns: int) -> None:
        """The reply, an error of the server included (`hiredis.ReplyError`): received, and seen by this process."""

    def failed(self, error: str, at_ns: int) -> None:
        """No reply will come: one of `samples.ERRORS`."""


class Owner(Protocol):
    """Who is told what becomes of a connection."""

    def opened(self, channel: Channel) -> None:
        """It stands, and nothing was sent over it yet."""

    def idle(self, channel: Channel) -> None:
        """Every command on it has its reply; told just before the last of them is handed over."""

    def lost(self, channel: Channel, error: str) -> None:
        """It is gone, or never came about; everything in flight was told before. Told once."""


class Channel:
    """See `wire.Receiver`; `stream` is set by whoever opened it."""

    __slots__ = (
        "_feed",
        "_gets",
        "_has_data",
        "_held",
        "_over",
        "_owner",
        "_waiting",
        "opening_since",
        "ready",
        "stream",
    )

    def __init__(self, owner: Owner) -> None:
        reader = hiredis.Reader()
        self._feed, self._gets, self._has_data = reader.feed, reader.gets, reader.has_data
        self._owner = owner
        self._waiting: deque[Exchange] = deque()
        self._held = 0
        self._over = False
        self.stream: Stream | None = None
        self.opening_since = 0
        self.ready = False
        """Whether it is logged in; its owner says so."""

    @property
    def in_flight(self) -> int:
        """Commands whose reply is still to come."""
        return len(self._waiting)

    @property
    def oldest_ns(self) -> int | None:
        """When the oldest of them was sent."""
        return self._waiting[0].sent_ns if self._waiting else None

    def send(self, data: bytes, exchange: Exchange) -> None:
        """Put a command on the wire."""
        self._waiting.append(exchange)
        if self.stream is not None:
            exchange.sent_ns = self.stream.write(data)

    def send_all(self, data: bytes, exchanges: Sequence[Exchange]) -> None:
        """Put several commands on the wire in one go, an exchange for each."""
        self._waiting.extend(exchanges)
        if self.stream is not None:
            at = self.stream.write(data)
            for exchange in exchanges:
                exchange.sent_ns = at

    def end(self, error: str, at_ns: int) -> None:
        """Close at once, for a reason of the generator's own: everything in flight fails with it."""
        if self.stream is not None:
            self.stream.abort()
        self.lost(at_ns, error)

    # --- told by the wire: see `wire.Receiver` ---

    def opened(self, at_ns: int) -> None:  # noqa: ARG002 - the protocol's
        """The connection stands."""
        self._owner.opened(self)

    def received(self, data: bytes, stamp_ns: int, seen_ns: int) -> None:
        """Bytes of replies; what nobody asked for, or nobody could hold, ends the connection."""
        waiting = self._waiting
        if data[0] in AGGREGATES and TOO_MANY.match(data) and not self._has_data():  # else it goes on with a value
            self.end("too_large", seen_ns)
            return
        self._held += len(data)
        try:
            self._feed(data)
            while (reply := self._gets()) is not False:
                self._held = 0
                if not waiting:
                    self.end("protocol", seen_ns)
                    return
                exchange = waiting.popleft()
                if not waiting:
                    self._owner.idle(self)
                exchange.replied(reply, stamp_ns, seen_ns)
        except hiredis.ProtocolError:
            self.end("protocol", seen_ns)
            return
        if self._held > _REPLY_LIMIT:
            self.end("too_large", seen_ns)

    def ended(self, at_ns: int) -> None:
        """The server closed in order."""
        self.end("closed", at_ns)

    def lost(self, at_ns: int, error: str) -> None:
        """The connection is gone, or never came about."""
        if self._over:
            return
        self._over, self.ready = True, False
        while self._waiting:
            self._waiting.popleft().failed(error, at_ns)
        self._owner.lost(self, error)
