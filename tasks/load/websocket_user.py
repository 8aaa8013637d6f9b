"""One user of a WebSocket load: subscribes, sends what is due, matches answers, comes back once after each drop."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any, Protocol

from tasks.load.mix import draw
from tasks.load.websocket_plan import ANSWERS, PHASES, SETUP, WebsocketPlan
from tasks.load.websocket_wire import Connection, End, Place, connect

_KINDS = {name: number for number, name in enumerate(ANSWERS)}
_NAMES = tuple(ANSWERS)
_SETUP = PHASES.index(SETUP)
_CODES = 20


@dataclass(frozen=True, slots=True)
class Sent:
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

    def answered(self, message: Sent, at_ns: int, size: int, *, expected: bool) -> None:
        """An answer came."""

    def unanswered(self, message: Sent, at_ns: int, error: str) -> None:
        """No answer will come."""

    def planned(self, messages: int) -> None:
        """The plan grew."""

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
        place: Place,
        context: ssl.SSLContext | None,
        rng: random.Random,
        fleet: Fleet,
    ) -> None:
        self._number, self._plan, self._place, self._context = number, plan, place, context
        self._rng, self._fleet = rng, fleet
        self._orders = [draw(plan.orders, rng) for _ in range(plan.orders_a_connection)]
        self._connection: Connection | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._queue: deque[tuple[int, int, int]] = deque()
        self._owed: dict[int, Sent] = {}
        self._sequence = 0
        self._attempt = 0
        self._intended = self._started = 0
        self._opened: int | None = None
        self._stopping = False
        self.dead = False
        self.pushes = self.unparsed = 0
        self.failures: Counter[str] = Counter()

    @property
    def setup_messages(self) -> int:
        """How many messages an opening sends."""
        return 1 if self._place.token is None else 2

    @property
    def open(self) -> bool:
        """Whether the connection takes messages."""
        return self._connection is not None and self._connection.open

    @property
    def gone(self) -> bool:
        """Whether there is no connection."""
        return self._connection is None

    def owes(self, sequence: int) -> bool:
        """Whether the answer to a message is still awaited."""
        return sequence in self._owed

    def connect(self, intended_ns: int) -> None:
        """Open the connection, now."""
        self._attempt += 1
        self._intended, self._started, self._opened = intended_ns, time.monotonic_ns(), None
        connection = Connection(self._place.uri, on_open=self._on_open, on_text=self._on_text, on_end=self._on_end)
        self._connection = connection
        self._connecting = asyncio.get_running_loop().create_task(self._open_in_time(connection))

    async def _open_in_time(self, connection: Connection) -> None:
        """TCP, TLS and the upgrade share one time limit."""
        started = time.monotonic()
        await connect(self._place, connection, self._context, self._plan.timeout_s)
        await asyncio.sleep(max(0.0, self._plan.timeout_s - (time.monotonic() - started)))
        if self._connection is connection and self._opened is None:
            connection.abort("timeout")

    def take(self, intended_ns: int, phase: int) -> None:
        """A message is due: send it, or keep it until the connection is open."""
        taken = time.monotonic_ns()
        if self.open:
            self._send_due(intended_ns, taken, phase)
        elif not self.dead:
            self._queue.append((intended_ns, taken, phase))

    def give_up(self, sequence: int, at_ns: int) -> None:
        """Stop waiting for an answer."""
        self._fleet.unanswered(self._owed.pop(sequence), at_ns, "timeout")

    def stop_reconnecting(self) -> None:
        """The load is over: a drop is recorded, but nobody comes back."""
        self._stopping = True
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()

    def leave(self) -> None:
        """Close the connection in order."""
        self._stopping = True
        if self._connection is not None:
            self._connection.close()

    def abort(self) -> None:
        """End whatever is left."""
        if self._connection is not None:
            self._connection.abort()
        if self._connecting is not None:
            self._connecting.cancel()

    # --- sending ---

    def _send_due(self, intended: int, taken: int, phase: int) -> None:
        if self._rng.random() < self._plan.track_share:
            self._send("track_order", {"orderId": self._rng.choice(self._orders)}, intended, taken, phase)
        else:
            self._send("ping", {"timestamp": time.time_ns() // 1_000_000}, intended, taken, phase)

    def _send(self, kind: str, content: dict[str, Any], intended: int, taken: int, phase: int) -> None:
        if self._connection is None:
            return
        sequence = self._sequence
        self._sequence += 1
        text = json.dumps({"type": kind, **content, "sequenceId": sequence}, separators=(",", ":")).encode()
        message = Sent(intended, taken, self._connection.send(text), _KINDS[kind], phase)
        self._owed[sequence] = message
        self._fleet.sent(self, sequence, message)

    # --- the connection's calls ---

    def _on_open(self, at_ns: int) -> None:
        self._opened = at_ns
        setup: list[tuple[str, dict[str, Any]]] = [("subscribe", {"channel": self._plan.channel})]
        if self._place.token is not None:
            setup.insert(0, ("authenticate", {"token": self._place.token}))
        for kind, content in setup:
            now = time.monotonic_ns()
            self._send(kind, content, now, now, _SETUP)
        while self._queue and self.open:
            self._send_due(*self._queue.popleft())

    def _on_text(self, text: bytes, at_ns: int) -> None:
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            self.unparsed += 1
            return
        sequence = self._sequence_of(answer)
        message = self._owed.pop(sequence, None) if sequence is not None else None
        if message is None:
            self.pushes += 1
            return
        expected = answer.get("type") == ANSWERS[_NAMES[message.kind]]
        if not expected and len(self.failures) < _CODES:
            self.failures[str(answer.get("code") or answer.get("type"))[:40]] += 1
        self._fleet.answered(message, at_ns, len(text), expected=expected)

    def _sequence_of(self, answer: dict[str, Any]) -> int | None:
        """The message that an answer belongs to; a server may leave the number out when it confirms a setup."""
        sequence = answer.get("sequenceId")
        if isinstance(sequence, int):
            return sequence
        for number, message in self._owed.items():
            if message.phase == _SETUP and ANSWERS[_NAMES[message.kind]] == answer.get("type"):
                return number
        return None

    def _on_end(self, end: End) -> None:
        self._connection = None
        dropped = self._opened is not None and end.by in ("peer", "lost")
        for message in self._owed.values():
            self._fleet.unanswered(message, end.at_ns, end.error or "aborted")
        self._owed.clear()
        self._fleet.attempted(
            {
                "connection": self._number,
                "attempt": self._attempt,
                "intended_ns": self._intended,
                "started_ns": self._started,
                "opened_ns": self._opened,
                "closed_ns": end.at_ns,
                "ended_by": end.by,
                "close_code": end.code,
                "status": end.status,
                "dropped": dropped,
                "error": end.error,
            }
        )
        if self._stopping:
            return
        if dropped and self._attempt <= self._plan.reconnects:
            self._come_back()
        else:
            self.dead = True
            self._queue.clear()
            self._fleet.lost_for_good()

    def _come_back(self) -> None:
        """One reconnect after the set back-off, jittered so that many dropped users do not return at once."""
        delay = self._plan.backoff_s * self._rng.uniform(0.5, 1.5)
        loop = asyncio.get_running_loop()
        intended = time.monotonic_ns() + round(delay * 1e9)
        self._fleet.planned(self.setup_messages)
        self._timer = loop.call_later(delay, lambda: self.connect(intended))
