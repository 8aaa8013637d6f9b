"""The sockets of a load generator: one epoll for all of them, with the kernel's own receive times.

An answer's time is the moment at which the kernel took its last bytes off the network (`SO_TIMESTAMPNS`, see
socket(7)), not the moment at which a busy event loop came round to reading them. Where the system has no epoll or no
such stamps, asyncio's transports stand in and the stamps are the loop's: `Wire.stamps` says which.

Protocols (HTTP, WebSocket, Redis) are `Receiver`s: they get bytes with two times, and write to their `Stream`.
"""

from __future__ import annotations

import asyncio
import errno
import platform
import socket
import ssl
from dataclasses import dataclass, field
from typing import Literal, Protocol

Stamps = Literal["kernel", "loop"]


@dataclass(frozen=True)
class Place:
    """Where to connect: a resolved IP, and the TLS context with the name to verify where there is one."""

    ip: str
    port: int
    context: ssl.SSLContext | None = field(default=None, repr=False)
    name: str | None = None

    @property
    def family(self) -> socket.AddressFamily:
        """IPv6 or IPv4."""
        return socket.AF_INET6 if ":" in self.ip else socket.AF_INET


class Receiver(Protocol):
    """Who is told what happens to a stream; all times are monotonic ns."""

    def opened(self, at_ns: int) -> None:
        """The connection stands (with TLS: its handshake is over), and can be written to."""

    def received(self, data: bytes, stamp_ns: int, seen_ns: int) -> None:
        """Bytes came: when the system received the last of them, and when this process saw them."""

    def ended(self, at_ns: int) -> None:
        """The peer closed in order and sends nothing more; the receiver still has to close its side."""

    def lost(self, at_ns: int, error: str) -> None:
        """The connection broke or never came about (one of `samples.ERRORS`); told once, and nothing after it."""


class Stream(Protocol):
    """One connection; its receiver is told nothing more once it was aborted."""

    def write(self, data: bytes) -> int:
        """Hand bytes to the system, or keep what it does not take yet; the moment (monotonic ns) just before."""

    def abort(self) -> None:
        """Close at once, whatever is still to be written; harmless when repeated."""

    @property
    def truncated(self) -> bool:
        """Whether the peer closed without TLS's farewell: what only the connection's end bounds may not be whole.

        False where this wire cannot know, and without TLS.
        """

    @property
    def ends(self) -> tuple[str, str]:
        """IP addresses of this end and of the other; empty strings before the connection stands."""


class Wire(Protocol):
    """Opens streams."""

    stamps: Stamps
    """Who stamps what is received: the kernel, or the event loop when it comes to it."""

    def connect(self, place: Place, receiver: Receiver) -> Stream:
        """Begin a connection; its receiver hears of its success or failure later, never within this call.

        There is no time limit here: the owner aborts what takes too long.
        """

    def close(self) -> None:
        """Abort every stream and free what the system lent."""


def open_wire(loop: asyncio.AbstractEventLoop | None = None, *, stamps: Stamps = "kernel") -> Wire:
    """The best wire that this system has, on the running loop where none is given.

    `stamps="loop"` does without the kernel's stamps, which cost about a fifth of a request's processor time: right
    where the generator saturates itself by design (a closed loop without pauses), so that nothing is measured but
    throughput.
    """
    running = loop or asyncio.get_running_loop()
    if platform.system() == "Linux":
        from tasks.load.wire.linux import LinuxWire  # noqa: PLC0415 - needs modules that only Linux has

        return LinuxWire(running, stamps=stamps)
    from tasks.load.wire.loop import LoopWire  # noqa: PLC0415 - the other systems' wire

    return LoopWire(running)


def kind_of(error: BaseException | None) -> str:
    """The kind of `samples.ERRORS` that an exception of connecting, reading or writing is."""
    if isinstance(error, ssl.SSLError):
        return "tls"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConnectionResetError | BrokenPipeError | ConnectionAbortedError):
        return "reset"
    return "closed" if error is None else "connect"


CONNECTING = frozenset({"connect", "refused", "unreachable", "connect_timeout", "certificate", "tls"})
"""The kinds of `samples.ERRORS` for a connection that never came about."""

_CONNECTING = {
    errno.ECONNREFUSED: "refused",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.ETIMEDOUT: "connect_timeout",
}


def connecting_kind(code: int | None) -> str:
    """The kind of a failed connect by its number in `errno`."""
    return _CONNECTING.get(code or 0, "connect")


def handshake_kind(error: ssl.SSLError) -> str:
    """The kind of a failed TLS handshake."""
    return "certificate" if isinstance(error, ssl.SSLCertVerificationError) else "tls"
