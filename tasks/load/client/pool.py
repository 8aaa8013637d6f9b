"""The pool of one origin as an HTTP client needs it: calls are awaited, given up, limited in time one by one."""

from __future__ import annotations

import asyncio
import time
from itertools import islice
from typing import Any

from tasks.load.wire.http import Connection, HeadScanner, Scanner
from tasks.load.wire.pool import Pending, Pool
from tasks.load.wire.wire import Place, Stamps

_SECOND = 1_000_000_000
_LOOK_S = 0.05
"""How often a call with limits of its own is looked at."""


class Call(Pending):
    """A request that somebody awaits: `done` is set when it ended, and the rest says how; times are monotonic ns.

    `waited_for` is `connect` or `pool` where time ran out before it was sent; `head` and `body` are of its answer.
    """

    __slots__ = (
        "body", "close", "done", "error", "head", "head_only", "received", "seen", "size", "status", "waited_for",
    )  # fmt: skip
    received: int
    seen: int
    status: int
    size: int
    head: bytes
    body: bytes | bytearray

    def __init__(  # noqa: PLR0917 - likewise
        self,
        intended: int,
        taken: int,
        data: bytes,
        done: asyncio.Future[None],
        head_only: bool = False,  # noqa: FBT001, FBT002 - by position, since one is made for each request
        close: bool = False,  # noqa: FBT001, FBT002 - likewise
    ) -> None:
        # the base's own constructor is left out, what a client's pool does not read, and what only an end can tell
        self.intended = intended
        self.taken = taken
        self.data = data
        self.sent = 0
        self.done = done
        self.head_only = head_only
        self.close = close
        self.error: str | None = None
        self.waited_for: str | None = None

    def __repr__(self) -> str:
        return f"Call(sent={self.sent}, error={self.error})"  # without the request, which may hold secrets

    def fail(self, error: str, at_ns: int) -> None:
        """End it without an answer."""
        self.error = error
        self.received = self.seen = at_ns
        self.status = self.size = 0


class ClientPool(Pool):
    """See `Pool`; besides, connects have a time limit of their own and a call can be given up."""

    def __init__(self, place: Place, *, cap: int, timeout_s: float, connect_s: float, stamps: Stamps) -> None:
        super().__init__(place, cap=cap, timeout_s=timeout_s, ended=_ended, stamps=stamps)
        self._connect_ns = round(min(connect_s, timeout_s) * _SECOND)

    def give_up(self, call: Call, error: str, waited_for: str | None = None) -> None:
        """End a call that has not ended, for a reason of the client's own."""
        if call.sent:
            for connection, pending in self._inflight.items():
                if pending is call:
                    connection.give_up(error)
                    return
        elif call in self._queue:
            self._queue.remove(call)
            now = time.monotonic_ns()
            call.waited_for = waited_for
            _ended(call, now, now, error, None)

    def limit(self, call: Call, *, connect_s: float | None, pool_s: float | None, read_s: float | None) -> None:
        """Bound one call by limits of its own: until it is sent (`pool_s` where all are busy), and from then on."""
        loop = asyncio.get_running_loop()

        def check() -> None:
            if call.done.done():
                return
            waits = self._waits_for(call)
            seconds = read_s if call.sent else pool_s if waits == "pool" else connect_s
            left = (
                _LOOK_S if seconds is None else seconds - (time.monotonic_ns() - (call.sent or call.taken)) / _SECOND
            )
            if left > 0:
                loop.call_later(min(left, _LOOK_S), check)
            elif call.sent:
                self.give_up(call, "timeout")
            else:
                self.give_up(call, "timeout" if waits == "pool" else "connect_timeout", waits)

        check()

    def _waits_for(self, call: Call) -> str:
        """What an unsent call waits for: a connection that is being opened for it, or one that is busy."""
        ahead = len(self._opening)
        return "connect" if any(call is one for one in islice(self._queue, ahead)) else "pool"

    def end(self) -> None:
        """Give up every call and close every connection."""
        for waiting in tuple(self._queue):
            if isinstance(waiting, Call):
                self.give_up(waiting, "aborted")
        for connection in tuple(self._inflight):
            connection.give_up("aborted")
        self._idle.clear()
        self.close()

    def _open_more(self) -> bool:
        if not self._closed:
            return super()._open_more()
        while self._queue:  # nothing would ever take them
            now = time.monotonic_ns()
            _ended(self._queue.popleft(), now, now, "aborted", None)
        return True

    # --- the two ways that every request takes: the base's own, without a call for each step ---

    def _send(self, connection: Any, pending: Any) -> None:
        scanner = connection.scanner
        if pending.head_only is not (scanner.__class__ is HeadScanner):
            scanner = connection.scanner = HeadScanner() if pending.head_only else Scanner()
        self._inflight[connection] = pending
        connection.busy = True
        scanner.reset(keep_body=True)
        pending.sent = connection.stream.write(pending.data)

    def finished(self, connection: Connection, at_ns: int, seen_ns: int, error: str | None) -> None:
        """See `http.Owner.finished`."""
        call: Any = self._inflight.pop(connection)  # a client's pool holds calls
        scanner = connection.scanner
        if error is None:
            call.received = at_ns
            call.seen = seen_ns
            call.status = scanner.status
            call.size = scanner.size
            call.head = scanner.head
            call.body = scanner.body
        else:
            call.fail(error, at_ns)
            call.seen = seen_ns
        if not call.done.done():
            call.done.set_result(None)
        if not scanner.keep_alive or call.close:
            self._retire(connection)
        elif self._queue:
            self._send(connection, self._queue.popleft())
        else:
            connection.idle_since = seen_ns
            self._idle.append(connection)

    def _refused(self, connection: Connection, error: str) -> None:
        if error == self._LATE_CONNECT and self._queue and isinstance(self._queue[0], Call):
            self._queue[0].waited_for = "connect"
        super()._refused(connection, error)


def _ended(call: Any, at_ns: int, seen_ns: int, error: str | None, _: Scanner | None) -> None:
    """A call that no connection took has ended."""
    call.fail(error or "aborted", at_ns)
    call.seen = seen_ns
    if not call.done.done():
        call.done.set_result(None)
