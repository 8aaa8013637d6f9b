"""The wire on Linux: own non-blocking sockets, one epoll inside the event loop's, receive stamps by the kernel.

The loop watches a single descriptor, the epoll's; when it rings, every socket that has something is served in one
go, which costs a third of what a callback of the loop for each would.
"""

from __future__ import annotations

import asyncio
import errno
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from tasks.load.wire.wire import Place, Receiver, Stamps, connecting_kind, handshake_kind, kind_of

SO_TIMESTAMPNS: Final = 35
"""asm-generic/socket.h, the option of systems with 64-bit times; Python's socket module does not name it."""

_CHUNK = 1 << 16
_BATCH = 256
_ANCILLARY = socket.CMSG_SPACE(16)
_RESYNC_NS = 100_000_000
_IN, _OUT = select.EPOLLIN, select.EPOLLOUT
_unpack = struct.Struct("qq").unpack
_now = time.monotonic_ns


class LinuxWire:
    """See `wire.Wire`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, stamps: Stamps = "kernel") -> None:
        self.stamps: Stamps = stamps
        self._loop = loop
        self._epoll = select.epoll()
        self._streams: dict[int, _Stream] = {}
        self._synced_ns = 0
        self._rung_ns = 0
        self.before_ns = 0
        self.offset_ns = 0
        self.sync(_now())
        loop.add_reader(self._epoll.fileno(), self._ring)

    def connect(self, place: Place, receiver: Receiver) -> _Stream:
        """See `wire.Wire.connect`."""
        stream = _TlsStream(self, place, receiver) if place.context is not None else _Stream(self, place, receiver)
        stream.begin()
        return stream

    def close(self) -> None:
        """See `wire.Wire.close`."""
        if self._epoll.closed:
            return
        for stream in tuple(self._streams.values()):
            stream.abort()
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def watch(self, fd: int, stream: _Stream, events: int) -> None:
        """Serve a stream's events from now on."""
        self._streams[fd] = stream
        self._epoll.register(fd, events)

    def change(self, fd: int, events: int) -> None:
        """Ask for other events."""
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Serve a stream no more."""
        if self._streams.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def soon(self, call: Callable[[], None]) -> None:
        """Call when the current callbacks of the loop are over."""
        self._loop.call_soon(call)

    def _ring(self) -> None:
        now = _now()
        self.before_ns, self._rung_ns = self._rung_ns, now
        streams = self._streams
        for fd, events in self._epoll.poll(0, _BATCH):
            stream = streams.get(fd)  # None: an earlier event of this batch closed it
            if stream is not None:
                stream.serve(events)
        if now - self._synced_ns > _RESYNC_NS:
            self.sync(now)

    def sync(self, now: int) -> None:
        """Kernel stamps are UTC, which is slewed and may be set: how far it is ahead of the monotonic clock now."""
        best = 1 << 62
        for _ in range(3):
            before, wall, after = _now(), time.time_ns(), _now()
            if after - before < best:
                best, self.offset_ns = after - before, wall - (before + after) // 2
        self._synced_ns = now


class _Stream:
    """A plain TCP connection: connecting, then open, then closed; see `wire.Stream`."""

    __slots__ = (
        "_aborted", "_fd", "_pending", "_place", "_receiver", "_recv", "_send", "_socket", "_stamped", "_take", "_up",
        "_wire",
    )  # fmt: skip

    def __init__(self, wire: LinuxWire, place: Place, receiver: Receiver) -> None:
        self._wire = wire
        self._place = place
        self._receiver = receiver
        self._take: Callable[[bytes, int, int], None] = receiver.received
        self._stamped = wire.stamps == "kernel"
        self._socket: socket.socket | None = None
        self._fd = -1
        self._up = False
        self._aborted = False
        self._pending = bytearray()

    def begin(self) -> None:
        """Start to connect; a failure is told when the loop comes round."""
        try:
            made = socket.socket(self._place.family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        except OSError:  # no descriptor is left
            self._wire.soon(self._never)
            return
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._stamped:
            made.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket, self._fd = made, made.fileno()
        self._recv: Callable[..., Any] = made.recvmsg if self._stamped else made.recv
        self._send = made.send
        code = made.connect_ex((self._place.ip, self._place.port))
        if code in (0, errno.EINPROGRESS):
            self._wire.watch(self._fd, self, _OUT)
            return
        self._wire.soon(lambda: self._break(connecting_kind(code)))

    def _never(self) -> None:
        """No socket was to be had."""
        if not self._aborted:
            self._receiver.lost(_now(), "connect")

    def serve(self, events: int) -> None:
        """Do what the socket is ready for."""
        if not self._up:
            self._connected()
            return
        if events == _IN:
            self._read()
            return
        if events & _OUT:
            self._drain()
        if events & ~_OUT and self._socket is not None:
            self._read()

    def _connected(self) -> None:
        if self._socket is None:
            return
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._break(connecting_kind(code))
            return
        self._up = True
        self._wire.change(self._fd, _IN)
        self._stands()

    def _stands(self) -> None:
        self._receiver.opened(_now())

    def _read(self) -> None:
        try:
            if self._stamped:
                wire = self._wire
                data, ancillary, _, _ = self._recv(_CHUNK, _ANCILLARY)
                seen = _now()
                if ancillary:
                    seconds, rest = _unpack(ancillary[0][2])
                    utc = seconds * 1_000_000_000 + rest
                    if utc - wire.offset_ns < wire.before_ns:  # older than two rings: the clock was set
                        wire.sync(seen)
                    stamp = min(utc - wire.offset_ns, seen)
                else:  # the kernel begins to stamp a moment after the first socket asks for it
                    stamp = seen
            else:
                data = self._recv(_CHUNK)
                stamp = seen = _now()
        except BlockingIOError:
            return
        except OSError as error:
            self._break(kind_of(error) if self._up else "connect")
            return
        if data:
            self._take(data, stamp, seen)
        else:
            self._finish(seen)

    def _finish(self, at_ns: int) -> None:
        """The peer closed: read nothing more, since a closed socket is always readable."""
        if self._socket is not None:
            self._wire.change(self._fd, _OUT if self._pending else 0)
        self._receiver.ended(at_ns)

    def write(self, data: bytes) -> int:
        """See `wire.Stream.write`."""
        at = _now()
        if self._pending:
            self._pending += data
            return at
        if self._socket is None:
            return at
        try:
            sent = self._send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            kind = kind_of(error)
            self._wire.soon(lambda: self._break("reset" if kind == "connect" else kind))
            return at
        if sent < len(data):
            self._pending += data[sent:]
            self._wire.change(self._fd, _IN | _OUT)
        return at

    def _drain(self) -> None:
        try:
            sent = self._send(self._pending) if self._pending else 0
        except BlockingIOError:
            return
        except OSError as error:
            self._break(kind_of(error))
            return
        del self._pending[:sent]
        if not self._pending:
            self._wire.change(self._fd, _IN)

    def abort(self) -> None:
        """See `wire.Stream.abort`."""
        self._aborted = True
        if self._socket is not None:
            self._wire.forget(self._fd)
            self._socket.close()
            self._socket = None
            self._pending.clear()

    def _break(self, error: str) -> None:
        if self._socket is not None:
            self.abort()
            self._receiver.lost(_now(), error)

    @property
    def truncated(self) -> bool:
        """See `wire.Stream.truncated`."""
        return False

    @property
    def ends(self) -> tuple[str, str]:
        """See `wire.Stream.ends`."""
        if self._socket is None or not self._up:
            return ("", "")
        with suppress(OSError):
            return str(self._socket.getsockname()[0]), str(self._socket.getpeername()[0])
        return ("", "")


class _TlsStream(_Stream):
    """TLS over a plain stream, by `ssl.SSLObject` on memory buffers; verified for the place's name."""

    __slots__ = ("_farewell", "_in", "_out", "_secure", "_tls")

    def __init__(self, wire: LinuxWire, place: Place, receiver: Receiver) -> None:
        super().__init__(wire, place, receiver)
        self._take = self._decrypt
        if place.context is None:
            raise ValueError("TLS needs a context")
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = place.context.wrap_bio(self._in, self._out, server_hostname=place.name)
        self._secure = self._farewell = False

    def _stands(self) -> None:
        self._shake(_now())

    def _shake(self, at_ns: int) -> bool:
        """Carry the handshake on; whether it is over."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as error:
            self._flush()  # the alert that tells the peer why
            self._break(handshake_kind(error))
            return False
        self._secure = True
        self._flush()
        self._receiver.opened(at_ns)
        return True

    def _decrypt(self, data: bytes, stamp_ns: int, seen_ns: int) -> None:
        self._in.write(data)
        if not self._secure and not self._shake(seen_ns):
            return
        try:
            while self._socket is not None:
                plain = self._tls.read(_CHUNK)
                if not plain:
                    self._farewell = True
                    self._finish(seen_ns)
                    return
                self._receiver.received(plain, stamp_ns, seen_ns)
        except ssl.SSLWantReadError:
            self._flush()  # an answer to a key update
        except ssl.SSLZeroReturnError:
            self._farewell = True
            self._finish(seen_ns)
        except ssl.SSLError:
            self._break("tls")

    def _finish(self, at_ns: int) -> None:
        if self._secure:
            super()._finish(at_ns)
        else:
            self._break("tls")

    def write(self, data: bytes) -> int:
        """See `wire.Stream.write`."""
        at = _now()
        try:
            self._tls.write(data)
        except ssl.SSLError:
            self._wire.soon(lambda: self._break("tls"))
            return at
        super().write(self._out.read())
        return at

    @property
    def truncated(self) -> bool:
        """See `wire.Stream.truncated`."""
        return self._secure and not self._farewell

    def _flush(self) -> None:
        if self._out.pending:
            super().write(self._out.read())
