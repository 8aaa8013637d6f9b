"""The closed model: N connections, each of which sends its next request as soon as the last one is answered.

It goes as fast as the target answers, which finds a throughput. It does not find the latency of users: while the
target stands still, a closed loop stands still with it and leaves out the requests that users would have sent
(coordinated omission). Whoever shows its figures says so.

The path of a request is as short as Python allows: an answer whose head is the one before, byte for byte, needs no
parser. Every answer is checked all the same, and everything unusual goes through `http.Scanner`.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass

from tasks.load.pacer import alarm
from tasks.load.recording.samples import ERRORS
from tasks.load.wire.http import BadAnswer, Scanner
from tasks.load.wire.wire import CONNECTING, Place, Stamps, Stream, open_wire

_SECOND = 1_000_000_000
_TICK_NS = 20_000_000
_KEEP_HEAD = 1 << 16

FAILED_BIT = 1 << 10
ERROR_SHIFT = 11
SIZE_SHIFT = 16
MOST_REQUESTS = 10_000_000
"""A closed run ends when it has recorded as many: 24 bytes each while it runs, 63 in its table."""


def code_of(status: int, *, size: int = 0, failed: bool = False, error: str | None = None) -> int:
    """What became of a request in one number: status, failed, the error's place in `ERRORS` + 1, bytes."""
    kind = 0 if error is None else ERRORS.index(error) + 1
    return status | (FAILED_BIT if failed else 0) | kind << ERROR_SHIFT | size << SIZE_SHIFT


@dataclass(frozen=True)
class Pulse:
    """One second of the loop for the live view: requests that ended, and the rows they have, from `first` on."""

    ended: int
    first: int


class ClosedLoop:
    """See the module.

    `sent_ns`, `received_ns` (monotonic) and `codes` hold one entry per request that ended; `started_ns` is when the
    load began. `expect` are the statuses of a good answer. `connects` counts connections that stood; `stopped` says
    why the loop ended before its time.
    """

    def __init__(
        self,
        place: Place,
        request: bytes,
        *,
        connections: int,
        timeout_s: float,
        expect: frozenset[int],
        stamps: Stamps = "loop",
        scanner: type[Scanner] = Scanner,
        most: int = MOST_REQUESTS,
        on_second: Callable[[Pulse], None] = lambda _: None,
    ) -> None:
        self.wire = open_wire(stamps=stamps)
        self.place = place
        self.request = request
        self.expect = expect
        self.scanner = scanner
        self.going = False
        self.connects = 0
        self.sent_ns, self.received_ns, self.codes = array("q"), array("q"), array("q")
        self.usual = Usual()
        self.ends = ("", "")
        self.stopped: str | None = None
        self._most = most
        self._timeout_ns = round(timeout_s * _SECOND)
        self._users = [_User(self) for _ in range(connections)]
        self._on_second = on_second
        self._told = 0
        self._loop = asyncio.get_running_loop()
        self._alarm = alarm(self._loop, self._on_tick)
        self.started_ns = self._end = self._ramp_ns = self._second_at = 0
        self._finished: asyncio.Future[None] = self._loop.create_future()

    async def run(self, duration_s: float, *, ramp_up_s: float = 0.0, not_before_ns: int = 0) -> tuple[int, int]:
        """Load for a time, then wait for the answers on the wire; start and end of the load (monotonic ns).

        Over the ramp the connections begin one after the other. The end is that of sending: answers may come after.
        """
        self.started_ns = max(time.monotonic_ns(), not_before_ns)
        self._end = self.started_ns + round(duration_s * _SECOND)
        self._ramp_ns = round(ramp_up_s * _SECOND)
        self._second_at = self.started_ns
        self.going = True
        self._alarm.arm(self.started_ns)
        try:
            await self._finished
        finally:
            self.going = False
            self._alarm.close()
            self.wire.close()
        return self.started_ns, self._end

    def _on_tick(self) -> None:
        now = time.monotonic_ns()
        if self.going and now >= self._end:
            self.going = False
        elif self.going and len(self.codes) >= self._most:
            self.stop(f"stopped after {len(self.codes):,} requests, the most that a closed run records")
        due = len(self._users)
        if now < self.started_ns + self._ramp_ns:
            due = 1 + (due - 1) * (now - self.started_ns) // self._ramp_ns
        for user in self._users[:due]:
            user.tick(now, now - self._timeout_ns)
        if now - self._second_at >= _SECOND:
            self._second_at = now
            self._on_second(Pulse(len(self.codes) - self._told, self._told))
            self._told = len(self.codes)
        if not self.going and not any(user.busy for user in self._users):
            self._finished.set_result(None)
            return
        self._alarm.arm(now + _TICK_NS)

    def stop(self, reason: str) -> None:
        """Send nothing more; answers are still waited for. It does nothing where the time was up anyway."""
        if self.going:
            self.going = False
            self._end = time.monotonic_ns()
            self.stopped = reason


@dataclass(slots=True)
class Usual:
    """The answer that came last: one of the same head and length is whole, and as good as it was.

    An answer of a Content-Length is whole where head and length are equal; of a chunked one all bytes must be.
    """

    start: bytes = b"\0"
    length: int = -1
    code: int = 0

    def learn(self, data: bytes, scanner: Scanner, code: int) -> None:
        """Take an answer that came whole in one piece and left its connection open."""
        ends = data.find(b"\r\n\r\n") + 4
        counted = len(data) - ends == scanner.size
        self.start = data[:ends] if counted else data
        self.length = len(data)
        self.code = code


class _User:
    """One connection and its request on the wire: a `wire.Receiver`.

    `busy`: a request waits for its answer, or for its connection. `clean`: nothing of the answer came in yet.
    """

    __slots__ = (
        "_add_code",
        "_add_received",
        "_add_sent",
        "_clean",
        "_loop",
        "_scanner",
        "_stream",
        "_up",
        "busy",
        "sent",
    )

    def __init__(self, loop: ClosedLoop) -> None:
        self._loop = loop
        self._add_sent, self._add_received = loop.sent_ns.append, loop.received_ns.append
        self._add_code = loop.codes.append
        self._scanner = loop.scanner()
        self._stream: Stream | None = None
        self._up = self._clean = self.busy = False
        self.sent = 0

    def tick(self, now: int, limit: int) -> None:
        """Begin where there is no connection, and give up what takes too long."""
        if self._stream is None:
            self._connect(now)
        elif self.busy and self.sent <= limit:
            self._fail(now, "timeout" if self._up else "connect_timeout")

    def _connect(self, now: int) -> None:
        if not self._loop.going:
            return
        self._up, self.busy, self.sent = False, True, now
        self._stream = self._loop.wire.connect(self._loop.place, self)

    def _send(self) -> None:
        if self._stream is None or not self._loop.going:
            self.busy = False
            return
        self._clean = self.busy = True
        self.sent = self._stream.write(self._loop.request)

    def _close(self) -> None:
        if self._stream is not None:
            self._stream.abort()
            self._stream = None
        self.busy = False
        self._scanner = self._loop.scanner()

    def _fail(self, at_ns: int, error: str) -> None:
        """The request got no answer. The tick opens the next connection, so that a dead target is not hammered."""
        if self.busy:
            self._record(at_ns, code_of(0, error=error))
        self._close()

    def _record(self, at_ns: int, code: int) -> None:
        self._add_sent(self.sent)
        self._add_received(at_ns)
        self._add_code(code)

    # --- told by the wire: see `wire.Receiver` ---

    def opened(self, at_ns: int) -> None:  # noqa: ARG002 - the protocol's
        """The connection stands: send at once."""
        loop = self._loop
        loop.connects += 1
        self._up = True
        if self._stream is not None and not loop.ends[0]:
            loop.ends = self._stream.ends
        self._send()

    def received(self, data: bytes, stamp_ns: int, seen_ns: int) -> None:  # noqa: ARG002 - the protocol's
        """Bytes of an answer: the usual one, or one for the scanner."""
        loop = self._loop
        usual = loop.usual
        if self._clean and len(data) == usual.length and data.startswith(usual.start):
            self._add_sent(self.sent)
            self._add_received(stamp_ns)
            self._add_code(usual.code)
            if loop.going:
                self.sent = self._stream.write(loop.request)  # type: ignore[union-attr] # it brought the data
            else:
                self._clean = self.busy = False
            return
        self._scan(data, stamp_ns)

    def _scan(self, data: bytes, stamp_ns: int) -> None:
        if not self.busy:
            self._close()  # nobody asked for these bytes
            return
        scanner, whole_read = self._scanner, self._clean
        if self._clean:
            scanner.reset(keep_body=False)
            self._clean = False
        try:
            whole = scanner.feed(data)
        except BadAnswer as bad:
            self._fail(stamp_ns, bad.kind)
            return
        if not whole:
            return
        code = code_of(scanner.status, size=scanner.size, failed=scanner.status not in self._loop.expect)
        self._record(stamp_ns, code)
        if not scanner.keep_alive:
            self._close()
            self._connect(time.monotonic_ns())
            return
        if whole_read and len(data) <= _KEEP_HEAD:
            self._loop.usual.learn(data, scanner, code)
        self._send()

    def ended(self, at_ns: int) -> None:
        """The target closed: the end of an answer without a length, or of the request."""
        scanner = self._scanner
        cut = self._stream is not None and self._stream.truncated  # RFC 9112, 9.8
        if self.busy and not self._clean and scanner.end() and not cut:
            failed = scanner.status not in self._loop.expect
            self._record(at_ns, code_of(scanner.status, size=scanner.size, failed=failed))
            self._close()
            self._connect(time.monotonic_ns())
            return
        self._fail(at_ns, "closed")

    def lost(self, at_ns: int, error: str) -> None:
        """The connection broke or never came about."""
        self._fail(at_ns, error if self._up or error in CONNECTING else "connect")
