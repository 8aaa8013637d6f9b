"""What the standard library lets a peer or a name service hold up for ever, each within a total time."""

from __future__ import annotations

import select
import socket
import ssl
import time

from tasks.within import GivenUp, TookTooLongError, within

RESOLVE_S = 10.0
"""How long the name service may take where nothing else says so: glibc's own limits add up to half a minute."""

Found = list[tuple[socket.AddressFamily, str]]


def left(end: float) -> float:
    """Seconds until a moment of `time.monotonic`; a `TimeoutError` where it has passed."""
    seconds = end - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("no answer in time")
    return seconds


def resolved(host: str, port: int, *, seconds: float = RESOLVE_S) -> Found:
    """IP addresses of a host in the system's order, each once, of TCP.

    `getaddrinfo` knows no time limit, so it runs in a thread that is left behind; a `TimeoutError` (an `OSError`)
    where the name service does not answer, another `OSError` or `UnicodeError` where it has no such name.
    """

    def ask(_: GivenUp) -> Found:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys((family, str(where[0])) for family, _, _, _, where in found))

    try:
        return within(seconds, ask, name="name-service")
    except TookTooLongError:
        raise TimeoutError(f"the name service did not answer within {seconds:.0f} s") from None


def connected(host: str, port: int, end: float) -> socket.socket:
    """A TCP connection to the first address that accepts one, by `end` in all; `OSError` where none does."""
    problem: OSError = OSError(f"{host} has no address")
    for family, ip in resolved(host, port, seconds=left(end)):
        plain = socket.socket(family, socket.SOCK_STREAM)
        try:
            plain.settimeout(left(end))
            plain.connect((ip, port))
        except OSError as error:
            plain.close()
            problem = error
        else:
            return plain
    raise problem


def greeted(plain: socket.socket, context: ssl.SSLContext, host: str, end: float) -> ssl.SSLSocket:
    """TLS over a connection by `end` in all, however slowly the peer trickles; `plain` is not usable any more.

    `TimeoutError`, `ssl.SSLError` or another `OSError`; then both are closed.
    """
    wrapped = context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
    try:
        wrapped.setblocking(False)  # noqa: FBT003 - the name of the parameter is not public
        ready = select.poll()
        while True:
            try:
                wrapped.do_handshake()
            except ssl.SSLWantReadError:
                ready.register(wrapped, select.POLLIN)
            except ssl.SSLWantWriteError:
                ready.register(wrapped, select.POLLOUT)
            else:
                return wrapped
            ready.poll(1000 * left(end))
    except BaseException:
        wrapped.close()
        raise
