"""Connections for load: a request that finds none free opens one, up to a cap; beyond it requests wait in order."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from tasks.load.wire.http import Connection, Scanner
from tasks.load.wire.wire import CONNECTING, Place, Stamps, open_wire

_SECOND = 1_000_000_000
_IDLE_NS = 4 * _SECOND
"""A connection idle for longer is closed: common servers close theirs after 5 s, and a request that is sent at that
very moment would be torn."""
_HANDSHAKES = 4
"""So many TLS handshakes at once, or a quarter of the connections that stand: each costs both ends about 1 ms of
processor time, and a hundred begun together would make every request late, and so begin more."""


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


Ended = Callable[[Pending, int, int, str | None, Scanner | None], None]
"""Told once for each request that was sent: (request, received, seen, error or None, the answer's scanner)."""


class Pool:
    """The connections to one place. `timeout_s` bounds a connect, and a request from its sending.

    `scanner` reads the answers: another one where all requests are HEAD.

    `connects` counts connections that stood, `full` requests that found every connection busy at the cap.
    """

    _LATE_CONNECT = "connect_timeout"
    """What a connect past its limit is told as."""

    def __init__(
        self,
        place: Place,
        *,
        cap: int,
        timeout_s: float,
        ended: Ended,
        stamps: Stamps = "kernel",
        scanner: type[Scanner] = Scanner,
    ) -> None:
        self._wire = open_wire(stamps=stamps)
        self.stamps = self._wire.stamps
        self._place = place
        self._scanner = scanner
        self._cap = cap
        self._timeout_ns = self._connect_ns = round(timeout_s * _SECOND)
        self._ended = ended
        self._connections: set[Connection] = set()
        self._opening: dict[Connection, None] = {}
        self._idle: deque[Connection] = deque()
        self._queue: deque[Pending] = deque()
        self._inflight: dict[Connection, Pending] = {}
        self._closed = False
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
        """Enforce the time limits of connects and requests, and close what has been idle for long."""
        limit = now_ns - self._timeout_ns
        while self._opening:  # in the order of their beginning, since a dict keeps it
            connection = next(iter(self._opening))
            if connection.opening_since > now_ns - self._connect_ns:
                break
            connection.abort()
            self.lost(connection, self._LATE_CONNECT)
        while self._inflight:  # in the order of sending
            connection, pending = next(iter(self._inflight.items()))
            if pending.sent > limit:
                break
            connection.give_up("timeout")
        while self._idle and self._idle[0].idle_since < now_ns - _IDLE_NS:
            self._retire(self._idle[0])

    def close(self) -> None:
        """Close every connection; requests on them are told nothing."""
        self._closed = True
        self._queue.clear()
        self._opening.clear()
        self._wire.close()

    def _send(self, connection: Connection, pending: Pending) -> None:
        self._inflight[connection] = pending
        pending.sent = connection.send(pending.data, keep_body=pending.keep_body)

    def _open_more(self) -> bool:
        """Open what the queue needs and the cap allows; whether a connection is on its way for the queue's last."""
        needed = len(self._queue)
        if self._place.context is not None:
            needed = min(needed, max(_HANDSHAKES, len(self._connections) // _HANDSHAKES))
        while len(self._opening) < needed:
            if self._closed or len(self._opening) + len(self._connections) >= self._cap:
                return False
            connection = Connection(self, self._scanner)
            connection.opening_since = time.monotonic_ns()
            self._opening[connection] = None
            connection.stream = self._wire.connect(self._place, connection)
        return True

    # --- told by connections: see `http.Owner` ---

    def opened(self, connection: Connection) -> None:
        """A connection stands: it takes the request that has waited longest."""
        del self._opening[connection]
        self.connects += 1
        self._connections.add(connection)
        if connection.stream is not None and not self.ends[0]:
            self.ends = connection.stream.ends
        self._free(connection)
        self._open_more()

    def finished(self, connection: Connection, at_ns: int, seen_ns: int, error: str | None) -> None:
        """A request ended: tell of it, and give the connection its next one."""
        pending = self._inflight.pop(connection)
        self._ended(pending, at_ns, seen_ns, error, connection.scanner)
        if connection.scanner.keep_alive:
            self._free(connection)
        else:
            self._retire(connection)

    def lost(self, connection: Connection, error: str) -> None:
        """A connection is gone, or must not be used again, or never came about (the longest waiting fails for it)."""
        if connection in self._opening:
            del self._opening[connection]
            self._refused(connection, error)
        self._connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._open_more()

    def _refused(self, connection: Connection, error: str) -> None:
        if self._queue:
            pending = self._queue.popleft()
            pending.sent = max(connection.opening_since, pending.taken)
            now = time.monotonic_ns()
            self._ended(pending, now, now, error if error in CONNECTING else "connect", None)

    def _free(self, connection: Connection) -> None:
        if self._queue:
            self._send(connection, self._queue.popleft())
        else:
            connection.idle_since = time.monotonic_ns()
            self._idle.append(connection)

    def _retire(self, connection: Connection) -> None:
        connection.abort()
        self.lost(connection, "closed")
