"""Engine.IO by HTTP long polling: what the server says comes in answers to GET, what it is told goes by POST.

Of each session one GET and one POST at most are under way, as the protocol demands; what is sent meanwhile goes
together with the next POST. Sessions share two pools of connections; a pool has one time limit for all its
requests, and a GET takes as long as the server has nothing to say.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from tasks.load.socketio.codec import CLOSE, SEPARATOR, batch, packets
from tasks.load.wire.http import Scanner
from tasks.load.wire.pool import Pending, Pool
from tasks.load.wire.wire import Place

_SILENCE_S = 180.0
"""Limit of a GET: above any usual heartbeat, whose absence ends a session earlier."""

_COOKIE = re.compile(rb"(?i)^set-cookie:[ \t]*([^;\r\n]+)", re.MULTILINE)
_OK = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request; times are monotonic ns."""

    error: str | None
    status: int
    head: bytes
    body: bytes
    received_ns: int
    seen_ns: int


Then = Callable[[Answer], None]


class Polls:
    """The HTTP side of all sessions with one server; `headers` are lines of every request, each with its end."""

    def __init__(self, place: Place, *, path: bytes, headers: bytes, sessions: int, timeout_s: float) -> None:
        self.path, self._headers = path, headers
        self._then: dict[Pending, Then] = {}
        self._gets = Pool(place, cap=2 * sessions, timeout_s=_SILENCE_S, ended=self._ended)
        self._posts = Pool(place, cap=2 * sessions, timeout_s=timeout_s, ended=self._ended)

    def get(self, query: bytes, cookie: bytes, then: Then) -> None:
        """Wait for what the server has to say."""
        self._submit(self._gets, b"GET %b?%b HTTP/1.1\r\n%b%b\r\n" % (self.path, query, self._headers, cookie), then)

    def post(self, query: bytes, cookie: bytes, body: bytes, then: Then) -> None:
        """Tell the server something."""
        head = b"POST %b?%b HTTP/1.1\r\n%b%b" % (self.path, query, self._headers, cookie)
        kind = b"Content-Type: text/plain;charset=UTF-8\r\nContent-Length: %d\r\n\r\n" % len(body)
        self._submit(self._posts, head + kind + body, then)

    def tick(self, now_ns: int) -> None:
        """Enforce time limits; to be called about every 20 ms."""
        self._gets.tick(now_ns)
        self._posts.tick(now_ns)

    def close(self) -> None:
        """Close every connection; nobody is told."""
        self._then.clear()
        self._gets.close()
        self._posts.close()

    def _submit(self, pool: Pool, request: bytes, then: Then) -> None:
        now = time.monotonic_ns()
        pending = Pending(now, now, 0, 0, request, keep_body=True)
        self._then[pending] = then
        pool.submit(pending)

    def _ended(
        self, pending: Pending, received_ns: int, seen_ns: int, error: str | None, scanner: Scanner | None
    ) -> None:
        then = self._then.pop(pending, None)
        if then is None:
            return
        if error is not None or scanner is None:
            then(Answer(error or "closed", 0, b"", b"", received_ns, seen_ns))
        else:
            then(Answer(None, scanner.status, scanner.head, bytes(scanner.body), received_ns, seen_ns))


class Session:
    """One session by polling; calls `on_packet(packet, received, seen)` and, once, `on_gone(at, error, status)`."""

    __slots__ = (
        "_cookie",
        "_done",
        "_max_payload",
        "_on_gone",
        "_on_packet",
        "_over",
        "_polls",
        "_posting",
        "_query",
        "_waiting",
    )

    def __init__(
        self,
        polls: Polls,
        query: bytes,
        *,
        on_packet: Callable[[bytes | bytearray, int, int], None],
        on_gone: Callable[[int, str, int], None],
    ) -> None:
        self._polls, self._query = polls, query
        self._on_packet, self._on_gone = on_packet, on_gone
        self._cookie = b""
        self._waiting: list[bytes] = []
        self._max_payload = 0
        self._posting = self._over = False
        self._done: Callable[[int], None] | None = None

    @property
    def cookie(self) -> str:
        """What the server wants back in every request, such as a balancer's mark of the server with the session."""
        return self._cookie.decode("latin-1").removeprefix("Cookie: ").strip()

    def start(self) -> None:
        """Ask for a session; its greeting comes as a packet, and nothing after it before `go_on`."""
        self._polls.get(self._query, b"", self._greeted)

    def go_on(self, sid: str, max_payload: int) -> None:
        """Poll for the session from now on."""
        self._query += b"&sid=" + sid.encode()
        self._max_payload = max_payload
        self._polls.get(self._query, self._cookie, self._polled)

    def send(self, packet: bytes) -> int:
        """Send a packet with the next POST; the moment at which it was put in line."""
        self._waiting.append(packet)
        if not self._posting:
            self._post()
        return time.monotonic_ns()

    def close(self, done: Callable[[int], None]) -> None:
        """Tell the server, after all that waits, that the session is over; `done(at)` when it has heard it."""
        self._done = done
        self.send(b"%c" % CLOSE)

    def abort(self) -> None:
        """Fall silent; the server has to notice by itself."""
        self._over = True

    def _greeted(self, answer: Answer) -> None:
        found = _COOKIE.findall(answer.head)
        if found:
            self._cookie = b"Cookie: %b\r\n" % b"; ".join(found)
        self._take(answer)

    def _polled(self, answer: Answer) -> None:
        if self._take(answer):
            self._polls.get(self._query, self._cookie, self._polled)

    def _take(self, answer: Answer) -> bool:
        """Hand the packets of an answer over; whether the session goes on."""
        if self._over or not self._good(answer):
            return False
        try:
            found = packets(answer.body)
        except ValueError:
            return self._lost(answer.seen_ns, "protocol", answer.status)
        for packet in found:
            if not self._over:
                self._on_packet(packet, answer.received_ns, answer.seen_ns)
        return not self._over

    def _post(self) -> None:
        number = batch(self._waiting, self._max_payload)
        body = SEPARATOR.join(self._waiting[:number])
        del self._waiting[:number]
        self._posting = True
        self._polls.post(self._query, self._cookie, body, self._posted)

    def _posted(self, answer: Answer) -> None:
        self._posting = False
        if self._over or not self._good(answer):
            return
        if self._waiting:
            self._post()
        elif self._done is not None:
            self._over = True
            self._done(answer.received_ns)

    def _good(self, answer: Answer) -> bool:
        if answer.error is not None:
            return self._lost(answer.seen_ns, answer.error, 0)
        return answer.status == _OK or self._lost(answer.seen_ns, "protocol", answer.status)

    def _lost(self, at_ns: int, error: str, status: int) -> bool:
        if not self._over:
            self._over = True
            if self._done is not None:
                self._done(at_ns)
            else:
                self._on_gone(at_ns, error, status)
        return False
