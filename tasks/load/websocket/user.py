"""One user of a WebSocket load: subscribes, sends what is due, matches answers, comes back after a drop."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from tasks.load.mix import draw
from tasks.load.websocket.channel import ACK, Channel, Listener
from tasks.load.websocket.plan import ANSWERS, PHASES, SETUP, WebsocketPlan
from tasks.load.websocket.wire import End

_NAMES = tuple(ANSWERS)
_PING, _TRACK, _SUBSCRIBE, _AUTHENTICATE = (
    _NAMES.index(name) for name in ("ping", "track_order", "subscribe", "authenticate")
)
_SETUP = PHASES.index(SETUP)
_CODES = 20
_now = time.monotonic_ns


class Sent(NamedTuple):
    """A message on the wire; times are monotonic ns, `kind` and `phase` are numbers of the recorder."""

    intended: int
    taken: int
    sent: int
    kind: int
    phase: int


class Fleet(Protocol):
    """Whom a user reports to."""

    def sent(self, user: User, sequence: int, message: Sent) -> None:
        """A message is on the wire."""

    def answered(self, message: Sent, times: tuple[int, int], size: int, *, expected: bool) -> None:
        """An answer came: received, seen."""

    def unanswered(self, message: Sent, at_ns: int, error: str) -> None:
        """No answer will come."""

    def pushed(self, user: User, kind: str, sequence: int | None, times: tuple[int, int], size: int) -> None:
        """A message came that answers none: received, seen."""

    def planned(self, messages: int) -> None:
        """The plan grew."""

    def attempting(self, user: User, attempt: int) -> None:
        """An attempt to connect has begun."""

    def attempted(self, row: dict[str, Any]) -> None:
        """An attempt to connect has ended."""

    def lost_for_good(self) -> None:
        """The user will not come back."""


class User:
    """See the module; all of it runs in the event loop's thread."""

    def __init__(
        self,
        number: int,
        *,
        plan: WebsocketPlan,
        token: str | None,
        make: Callable[[Listener], Channel],
        fleet: Fleet,
    ) -> None:
        self.number, self._plan, self._make, self._fleet = number, plan, make, fleet
        self._rng = random.Random(f"{plan.seed}/{number}")  # noqa: S311 - a load plan, not a secret
        self._orders = [
            b'"orderId":%b,' % json.dumps(draw(plan.orders, self._rng)).encode()
            for _ in range(plan.orders_a_connection)
        ]
        self._setup: list[tuple[int, bytes]] = []
        if token is not None and plan.protocol == "websocket":  # Socket.IO carries it in its CONNECT
            self._setup.append((_AUTHENTICATE, b'"token":%b,' % json.dumps(token).encode()))
        if plan.channel:
            self._setup.append((_SUBSCRIBE, b'"channel":%b,' % json.dumps(plan.channel).encode()))
        self._channel: Channel | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._queue: deque[tuple[int, int, int]] = deque()
        self._owed: dict[int, Sent] = {}
        self._sequence = 0
        self._intended = self._started = 0
        self._opened: int | None = None
        self._failures_in_row = 0
        self._stopping = False
        self.attempt = 0
        self.dead = False
        self._given_up: set[int] = set()
        self.late = self.repeated = self.unparsed = 0
        self.failures: Counter[str] = Counter()

    @property
    def setup_messages(self) -> int:
        """How many messages an opening sends."""
        return len(self._setup)

    @property
    def open(self) -> bool:
        """Whether the connection takes messages."""
        return self._channel is not None and self._channel.open

    @property
    def gone(self) -> bool:
        """Whether there is no connection."""
        return self._channel is None

    def owes(self, sequence: int) -> bool:
        """Whether the answer to a message is still awaited."""
        return sequence in self._owed

    def connect(self, intended_ns: int) -> None:
        """Open the connection, now."""
        self._timer = None
        self.attempt += 1
        self._intended, self._started, self._opened = intended_ns, _now(), None
        self._channel = self._make(self)
        self._fleet.attempting(self, self.attempt)
        self._channel.start()

    def opens_in_time(self, attempt: int) -> None:
        """The time limit of an attempt has passed: TCP, TLS and the handshake share it."""
        if self._channel is not None and self.attempt == attempt and self._opened is None:
            self._channel.abort("timeout")

    def take(self, intended_ns: int, phase: int) -> None:
        """A message is due: send it, or keep it until the connection is open."""
        taken = _now()
        if self._channel is not None and self._channel.open:
            self._send_due(intended_ns, taken, phase)
        elif not self.dead:
            self._queue.append((intended_ns, taken, phase))

    def give_up(self, sequence: int, at_ns: int) -> None:
        """Stop waiting for an answer."""
        self._given_up.add(sequence)
        self._fleet.unanswered(self._owed.pop(sequence), at_ns, "timeout")

    def tick(self, now_ns: int) -> None:
        """About once a second: notice a server that has fallen silent."""
        if self._channel is not None:
            self._channel.tick(now_ns)

    def drop(self) -> None:
        """The plan drops the connection, as a failing network would; the user comes back by itself."""
        if self.open and self._channel is not None:
            self._channel.abort(by="storm")

    def stop_reconnecting(self) -> None:
        """The load is over: a drop is recorded, but nobody comes back."""
        self._stopping = True
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()

    def leave(self) -> None:
        """Close the connection in order."""
        self._stopping = True
        if self._channel is not None:
            self._channel.close()

    def abort(self) -> None:
        """End whatever is left."""
        if self._channel is not None:
            self._channel.abort()

    # --- sending ---

    def _send_due(self, intended: int, taken: int, phase: int) -> None:
        if self._rng.random() < self._plan.track_share:
            self._send(_TRACK, self._rng.choice(self._orders), intended, taken, phase)
        else:
            self._send(_PING, b'"timestamp":%d,' % (time.time_ns() // 1_000_000), intended, taken, phase)

    def _send(self, kind: int, content: bytes, intended: int, taken: int, phase: int) -> None:
        if self._channel is None:
            return
        sequence = self._sequence
        self._sequence = sequence + 1
        message = Sent(intended, taken, self._channel.send(_NAMES[kind], content, sequence), kind, phase)
        self._owed[sequence] = message
        self._fleet.sent(self, sequence, message)

    # --- told by the channel: see `websocket_channel.Listener` ---

    def opened(self, at_ns: int) -> None:
        """Send what an opening sends, then what has waited for it."""
        self._opened = at_ns
        self._failures_in_row = 0
        for kind, content in self._setup:
            now = _now()
            self._send(kind, content, now, now, _SETUP)
        while self._queue and self.open:
            self._send_due(*self._queue.popleft())

    def came(
        self, kind: str, sequence: int | None, content: Mapping[str, Any], size: int, times: tuple[int, int]
    ) -> None:
        """Match an answer with its message; what answers none is a push, or late."""
        if sequence is None:
            sequence = self._confirmed(kind)
        message = self._owed.pop(sequence, None) if sequence is not None else None
        if message is None:
            self._unasked(kind, sequence, content, size, times)
            return
        expected = _agrees(content) if kind == ACK else kind == ANSWERS[_NAMES[message.kind]]
        if not expected and len(self.failures) < _CODES:
            self.failures[str(content.get("code") or content.get("error") or kind)[:40]] += 1
        self._fleet.answered(message, times, size, expected=expected)

    def _unasked(
        self, kind: str, sequence: int | None, content: Mapping[str, Any], size: int, times: tuple[int, int]
    ) -> None:
        """A push, or the answer to a message that is over: an acknowledgement beside an event is no news."""
        if sequence is None or not 0 <= sequence < self._sequence:
            number = content.get("seq")
            self._fleet.pushed(self, kind, number if type(number) is int else None, times, size)
        elif sequence in self._given_up:
            self._given_up.discard(sequence)
            self.late += 1
        elif self._plan.protocol == "websocket":
            self.repeated += 1

    def _confirmed(self, kind: str) -> int | None:
        """A server may leave the number out when it confirms what an opening sent."""
        if self._setup and kind in ("subscribed", "connection_status"):
            for number, message in self._owed.items():
                if message.phase == _SETUP and ANSWERS[_NAMES[message.kind]] == kind:
                    return number
        return None

    def unreadable(self) -> None:
        """Count what is no message."""
        self.unparsed += 1

    def ended(self, end: End) -> None:
        """Record the attempt, give up on what is owed, and come back where that is the plan."""
        connected = self._channel.connected_ns if self._channel is not None else None
        self._channel = None
        dropped = self._opened is not None and end.by in ("peer", "lost")
        for message in self._owed.values():
            self._fleet.unanswered(message, end.at_ns, end.error or "aborted")
        self._owed.clear()
        self._fleet.attempted(
            {
                "connection": self.number,
                "attempt": self.attempt,
                "intended_ns": self._intended,
                "started_ns": self._started,
                "connected_ns": connected,
                "opened_ns": self._opened,
                "closed_ns": end.at_ns,
                "ended_by": end.by,
                "close_code": end.code,
                "status": end.status,
                "dropped": dropped,
                "error": end.error,
                "reason": end.reason,
            }
        )
        if not self._stopping:
            self._come_back(wanted=dropped or end.by == "storm" or (self._opened is None and self.attempt > 1))

    def _come_back(self, *, wanted: bool) -> None:
        """Reconnect after the set back-off: a first attempt that failed is final, a drop is not."""
        if not wanted or self.attempt > self._plan.reconnects:
            self.dead = True
            self._queue.clear()
            self._fleet.lost_for_good()
            return
        wait = self._plan.backoff_ns(self.number, self.attempt + 1, self._failures_in_row)
        self._failures_in_row += 1
        intended = _now() + wait
        self._fleet.planned(self.setup_messages)
        self._timer = asyncio.get_running_loop().call_later(wait / 1e9, self.connect, intended)


def _agrees(content: Mapping[str, Any]) -> bool:
    """Whether an acknowledgement says no error."""
    return not content.get("error") and content.get("success") is not False
