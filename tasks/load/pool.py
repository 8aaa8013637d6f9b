"""Connections for load: a request that finds none free opens one, up to a cap; beyond it requests wait in order."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from tasks.load.http import Connection, Scanner

_SECOND = 1_000_000_000
_IDLE_NS = 4 * _SECOND
"""A connection idle for longer is closed: common servers close theirs after 5 s, and a request that is sent at that
very moment would be torn."""


@dataclass(frozen=True)
class Peer:
    """Where connections go: a resolved IP, and the TLS context with the name to verify where there is one."""

    ip: str
    port: int
    context: ssl.SSLContext | None = None
    name: str | None = None


@dataclass(slots=True, eq=False)
class Pending:
    """A request that was taken up and has not ended; times are monotonic ns, `sent` 0 while it waits."""

    intended: int
    taken: int
    endpoint: int
    phase: int
    data: bytes
    keep_body: bool
    sent: int = 0


Ended = Callable[[Pending, int, str | None, Scanner | None], None]
"""Told once for each request that was sent: (request, monotonic ns, error or None, the answer's scanner)."""


class Pool:
    """The connections to one peer. `timeout_s` bounds a connect, and a request from its sending."""

    def __init__(self, peer: Peer, *, cap: int, timeout_s: float, ended: Ended) -> None:
        self._loop = asyncio.get_running_loop()
        self._peer = peer
        self._cap = cap
        self._timeout_ns = round(timeout_s * _SECOND)
        self._ended = ended
        self._connections: set[Connection] = set()
        self._idle: deque[Connection] = deque()
        self._queue: deque[Pending] = deque()
        self._inflight: dict[Connection, Pending] = {}
        self._opening: set[asyncio.Task[None]] = set()
        self._emptied = asyncio.Event()
        self.connects = 0
        self.full = 0
        self.ends = ("", "")

    def submit(self, pending: Pending) -> None:
        """Send a request now, or as soon as a connection is free."""
        if self._idle:
            self._send(self._idle.pop(), pending)
            return
        self._queue.append(pending)
        if not self._open_more():
            self.full += 1

    @property
    def quiet(self) -> bool:
        """Whether nothing waits and nothing is on the wire."""
        return not self._queue and not self._inflight

    @property
    def on_wire(self) -> int:
        """How many requests wait for their answer."""
        return len(self._inflight)

    def oldest_ns(self) -> int | None:
        """The earliest intended moment among the first request on the wire and the first that waits."""
        moments = [next(iter(self._inflight.values())).intended] if self._inflight else []
        if self._queue:
            moments.append(self._queue[0].intended)
        return min(moments, default=None)

    def drop_queue(self) -> int:
        """Forget the requests that wait: they are never sent; how many they were."""
        dropped = len(self._queue)
        self._queue.clear()
        return dropped

    def tick(self, now_ns: int) -> None:
        """Enforce the time limit of requests, and close what has been idle for long."""
        limit = now_ns - self._timeout_ns
        while self._inflight:  # in the order of sending, since a dict keeps it
            connection, pending = next(iter(self._inflight.items()))
            if pending.sent > limit:
                break
            connection.give_up("timeout")
        while self._idle and self._idle[0].idle_since < now_ns - _IDLE_NS:
            self._retire(self._idle[0])

    async def close(self) -> None:
        """Close every connection and wait until they are gone."""
        self._queue.clear()
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        for connection in tuple(self._connections):
            connection.abort()
        if self._connections:
            await self._emptied.wait()

    def _send(self, connection: Connection, pending: Pending) -> None:
        self._inflight[connection] = pending
        pending.sent = time.monotonic_ns()
        connection.send(pending.data, keep_body=pending.keep_body)

    def _open_more(self) -> bool:
        """Open what the queue needs and the cap allows; whether a connection is on its way for the queue's last."""
        while len(self._opening) < len(self._queue):
            if len(self._opening) + len(self._connections) >= self._cap:
                return False
            task = self._loop.create_task(self._open())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)
        return True

    async def _open(self) -> None:
        began = time.monotonic_ns()
        peer = self._peer
        try:
            async with asyncio.timeout(self._timeout_ns / _SECOND):
                await self._loop.create_connection(
                    lambda: Connection(self), peer.ip, peer.port, ssl=peer.context, server_hostname=peer.name
                )
        except ssl.SSLError:
            self._refused(began, "tls")
        except OSError:  # refused, unreachable, reset, or past the time limit
            self._refused(began, "connect")

    def _refused(self, began_ns: int, error: str) -> None:
        """No connection came about: the request that has waited longest fails for it."""
        if self._queue:
            pending = self._queue.popleft()
            pending.sent = max(began_ns, pending.taken)
            self._ended(pending, time.monotonic_ns(), error, None)

    # --- told by connections: see `http.Owner` ---

    def opened(self, connection: Connection) -> None:
        """A connection stands: it takes the request that has waited longest."""
        self.connects += 1
        self._emptied.clear()
        self._connections.add(connection)
        self.ends = connection.ends
        self._free(connection)

    def finished(self, connection: Connection, at_ns: int, error: str | None) -> None:
        """A request ended: tell of it, and give the connection its next one."""
        pending = self._inflight.pop(connection)
        self._ended(pending, at_ns, error, connection.scanner)
        if connection.scanner.keep_alive:
            self._free(connection)
        else:
            self._retire(connection)

    def lost(self, connection: Connection) -> None:
        """A connection is gone, or must not be used again."""
        self._connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._open_more()
        if not self._connections:
            self._emptied.set()

    def _free(self, connection: Connection) -> None:
        if self._queue:
            self._send(connection, self._queue.popleft())
        else:
            connection.idle_since = time.monotonic_ns()
            self._idle.append(connection)

    def _retire(self, connection: Connection) -> None:
        connection.abort()
        self.lost(connection)
