"""A server whose delays are known, and which knows its own service times: `python -m benchmarks.load.delay_server`.

One thread, one epoll, the kernel's receive stamps and timerfd, so that it is exact on one core. A request that comes
in at t is answered at t + 20 ms, each 50th at t + 200 ms (or after what the arguments say); where a stall is asked
for, nothing is answered in that window, and everything that was due in it at its end. `GET /truth` answers, at once,
what it measured from a request's kernel stamp to the moment before its answer was handed to the system, and forgets.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import heapq
import json
import os
import select
import socket
import ssl
import struct
import sys
import time
from itertools import count

from storage.clock import Clock
from tasks.load.wire.linux import SO_TIMESTAMPNS

BODY = b'{"meal": "' + b"x" * 1000 + b'"}'
REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
_SPACE = socket.CMSG_SPACE(16)
_unpack = struct.Struct("qq").unpack
_now = time.monotonic_ns


class Peer:
    """One connection, with TLS or without."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        self.sock = sock
        self.buffer = b""
        self.into, self.out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.into, self.out, server_side=True) if context else None
        self.shaken = False

    def read(self) -> tuple[bytes, int | None]:
        """What came in, and the kernel's stamp of it (UTC ns); `ConnectionError` where the peer is gone."""
        data, ancillary, _, _ = self.sock.recvmsg(1 << 16, _SPACE)
        if not data:
            raise ConnectionResetError
        stamp = None
        if ancillary:
            seconds, rest = _unpack(ancillary[0][2])
            stamp = seconds * 1_000_000_000 + rest
        return (self._decrypt(data) if self.tls else data), stamp

    def _decrypt(self, data: bytes) -> bytes:
        assert self.tls is not None
        self.into.write(data)
        plain = b""
        with contextlib.suppress(ssl.SSLWantReadError):
            if not self.shaken:
                self.tls.do_handshake()
                self.shaken = True
            while piece := self.tls.read(1 << 16):
                plain += piece
        if self.out.pending:
            self.sock.send(self.out.read())
        return plain

    def write(self, data: bytes) -> None:
        """Send an answer; it fits into the socket's buffer."""
        if self.tls:
            self.tls.write(data)
            data = self.out.read()
        self.sock.send(data)


class Timer:
    """Linux's timerfd, for epoll's own limit has steps of 1 ms."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        self._armed = 0

    def arm(self, at_ns: int) -> None:
        """Be readable at a moment (monotonic ns)."""
        if at_ns != self._armed:
            self._armed = at_ns
            spec = struct.pack("qqqq", 0, 0, *divmod(max(at_ns, 1), 1_000_000_000))
            self._libc.timerfd_settime(self.fd, 1, spec, None)

    def heard(self) -> None:
        """Be quiet again."""
        self._armed = 0
        with contextlib.suppress(BlockingIOError):
            os.read(self.fd, 8)


class Server:
    """See the module."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.context: ssl.SSLContext | None = None
        if options.cert:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(options.cert)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.listener.setblocking(False)  # noqa: FBT003 - the name of the parameter is not public
        self.epoll = select.epoll()
        self.epoll.register(self.listener.fileno(), select.EPOLLIN)
        self.timer = Timer()
        self.epoll.register(self.timer.fd, select.EPOLLIN)
        self.peers: dict[int, Peer] = {}
        self.due: list[tuple[int, int, Peer, int]] = []
        self.numbers = count(1)
        self.offset_ns, self.synced = Clock.read().offset_ns, _now()
        self.first: int | None = None
        self.stall: tuple[int, int] = (0, 0)
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.service_ns: list[int] = []
        self.first = None
        self.stall = (0, 0)
        self.numbers = count(1)

    def run(self) -> None:
        """Serve until killed."""
        print(self.listener.getsockname()[1], flush=True)
        while True:
            for fd, _ in self.epoll.poll():
                if fd == self.timer.fd:
                    self.timer.heard()
                elif fd == self.listener.fileno():
                    self._accept()
                else:
                    self._read(fd)
            self._answer()
            if self.due:
                self.timer.arm(self.due[0][0])
            if _now() - self.synced > 100_000_000:
                self.offset_ns, self.synced = Clock.read(3).offset_ns, _now()

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                sock, _ = self.listener.accept()
                sock.setblocking(False)  # noqa: FBT003 - the name of the parameter is not public
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
                self.peers[sock.fileno()] = Peer(sock, self.context)
                self.epoll.register(sock.fileno(), select.EPOLLIN)

    def _read(self, fd: int) -> None:
        peer = self.peers[fd]
        try:
            data, stamp = peer.read()
        except BlockingIOError:
            return
        except OSError:
            self.epoll.unregister(fd)
            self.peers.pop(fd).sock.close()
            return
        peer.buffer += data
        while (end := peer.buffer.find(b"\r\n\r\n")) >= 0:
            head, peer.buffer = peer.buffer[:end], peer.buffer[end + 4 :]
            if head.startswith(b"GET /truth"):
                self._tell(peer)
            else:
                self._plan(peer, _now() if stamp is None else stamp - self.offset_ns)

    def _plan(self, peer: Peer, arrived: int) -> None:
        options = self.options
        number = next(self.numbers)
        if self.first is None:
            self.first = arrived
            if options.stall_s:
                start = arrived + round(options.stall_at_s * 1e9)
                self.stall = (start, start + round(options.stall_s * 1e9))
        slow = options.every and number % options.every == 0
        at = arrived + round((options.slow_ms if slow else options.delay_ms) * 1e6)
        if self.stall[0] <= at < self.stall[1]:
            at = self.stall[1]
        heapq.heappush(self.due, (at, number, peer, arrived))

    def _answer(self) -> None:
        while self.due and self.due[0][0] <= _now():
            _, _, peer, arrived = heapq.heappop(self.due)
            self.service_ns.append(_now() - arrived)
            with contextlib.suppress(OSError):  # the client has gone: its own end tells of it
                peer.write(REPLY)

    def _tell(self, peer: Peer) -> None:
        ordered = sorted(self.service_ns)
        ranks = {"p50": 50, "p95": 95, "p99": 99}
        truth = {
            "n": len(ordered),
            "stall": [moment + self.offset_ns for moment in self.stall],
            **{name: ordered[max(0, -(-q * len(ordered) // 100) - 1)] / 1e6 for name, q in ranks.items() if ordered},
        }
        body = json.dumps(truth).encode()
        peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        self.forget()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay-ms", type=float, default=20.0)
    parser.add_argument("--slow-ms", type=float, default=200.0)
    parser.add_argument("--every", type=int, default=50)
    parser.add_argument("--stall-at-s", type=float, default=0.0)
    parser.add_argument("--stall-s", type=float, default=0.0)
    parser.add_argument("--cert")
    try:
        Server(parser.parse_args()).run()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
