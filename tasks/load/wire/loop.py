"""The wire where the system has no epoll or no kernel stamps: asyncio's transports, stamped by the loop."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable
from typing import cast

from tasks.load.wire.wire import Place, Receiver, Stamps, connecting_kind, handshake_kind, kind_of

_now = time.monotonic_ns


class LoopWire:
    """See `wire.Wire`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.stamps: Stamps = "loop"
        self._loop = loop
        self._streams: set[LoopStream] = set()

    def connect(self, place: Place, receiver: Receiver) -> LoopStream:
        """See `wire.Wire.connect`."""
        stream = LoopStream(self._loop, place, receiver, self._streams.discard)
        self._streams.add(stream)
        return stream

    def close(self) -> None:
        """See `wire.Wire.close`."""
        for stream in tuple(self._streams):
            stream.abort()


class LoopStream(asyncio.Protocol):
    """See `wire.Stream`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        place: Place,
        receiver: Receiver,
        gone: Callable[[LoopStream], None],
    ) -> None:
        self._place = place
        self._receiver = receiver
        self._gone = gone
        self._transport: asyncio.Transport | None = None
        self._over = False
        self._opening = loop.create_task(self._open(loop))

    async def _open(self, loop: asyncio.AbstractEventLoop) -> None:
        place = self._place
        try:
            await loop.create_connection(
                lambda: self, place.ip, place.port, ssl=place.context, server_hostname=place.name
            )
        except OSError as error:  # ssl.SSLError is a kind of it
            self._break(handshake_kind(error) if isinstance(error, ssl.SSLError) else connecting_kind(error.errno))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport stands."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class does not inherit from it
        if self._over:
            self._transport.abort()
        else:
            self._receiver.opened(_now())

    def data_received(self, data: bytes) -> None:
        """Bytes of the peer."""
        now = _now()
        if not self._over:
            self._receiver.received(data, now, now)

    def eof_received(self) -> bool:
        """The peer sends nothing more; a TLS transport closes by itself."""
        if not self._over:
            self._receiver.ended(_now())
        return self._place.context is None and not self._over

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        self._break(kind_of(exc))

    def write(self, data: bytes) -> int:
        """See `wire.Stream.write`."""
        at = _now()
        if self._transport is not None and not self._over:
            self._transport.write(data)
        return at

    def abort(self) -> None:
        """See `wire.Stream.abort`."""
        self._over = True
        self._opening.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._gone(self)

    def _break(self, error: str) -> None:
        if not self._over:
            self.abort()
            self._receiver.lost(_now(), error)

    @property
    def truncated(self) -> bool:
        """See `wire.Stream.truncated`: transports do not tell."""
        return False

    @property
    def ends(self) -> tuple[str, str]:
        """See `wire.Stream.ends`."""
        if self._transport is None:
            return ("", "")
        here = self._transport.get_extra_info("sockname") or ("",)
        there = self._transport.get_extra_info("peername") or ("",)
        return str(here[0]), str(there[0])
