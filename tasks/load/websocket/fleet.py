"""All connections of one WebSocket load: when they open, what is due, what became of it.

Open model: each message has an intended moment whatever its connection is doing; one that falls due while it is down
waits for the reconnect, and its latency counts the wait. What was never sent has no row.
"""

from __future__ import annotations

import asyncio
import gc
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from storage.clock import current_clock
from tasks.load.pacer import Pacer, alarm
from tasks.load.process import Progress
from tasks.load.recording.samples import Recorder
from tasks.load.trust.guard import Guard, Pulse
from tasks.load.trust.vitals import Pauses, Resources
from tasks.load.websocket.address import Address
from tasks.load.websocket.channels import Channels
from tasks.load.websocket.plan import ANSWERS, PHASES, SETUP, WebsocketPlan, timetable
from tasks.load.websocket.records import Attempts, Pushes
from tasks.load.websocket.user import Sent, User
from tasks.load.wire.wire import Stamps

_SECOND = 1_000_000_000
_TICK_NS = 20_000_000
_CLOSING_S = 2.0
_POLL_S = 0.01
_SETUP = PHASES.index(SETUP)


class Fleet:
    """See the module; `run` once, then read the rest."""

    def __init__(self, plan: WebsocketPlan, address: Address, tell: Progress) -> None:
        self._plan, self._tell = plan, tell
        self._timeout_ns = round(plan.timeout_s * _SECOND)
        self._guard = Guard(error_ratio=plan.error_ratio, latency_ms=plan.latency_ms, after_s=plan.after_s)
        self._channels = Channels(plan, address)
        self._waiting: deque[tuple[int, User, int]] = deque()
        self._opening: deque[tuple[int, User, int]] = deque()
        self._latencies_ms: list[float] = []
        self._ended = self._bad = self._bad_total = 0
        self._drop_at: int | None = None
        self.clock = current_clock()
        self.recorder = Recorder(list(ANSWERS), PHASES)
        self.attempts = Attempts(self.clock, address.token)
        self.pushes = Pushes(self.clock)
        self.pauses = Pauses()
        self.due = self.started_ns = 0
        self.stopped: str | None = None
        self.precise = False
        self.used = Resources(0, 0, None)
        self.users = [
            User(number, plan=plan, token=address.token, make=self._channels.make, fleet=self)
            for number in range(plan.connections)
        ]
        self._table = timetable(plan)
        self.plan_size = len(self._table.moments_ns) + sum(user.setup_messages for user in self.users)

    @property
    def stamps(self) -> Stamps:
        """Who stamps what is received: kernel or loop."""
        return self._channels.stamps

    async def run(self) -> None:
        """Open connections and send messages as planned, wait for the last answers, close in order."""
        table, users, loop = self._table, self.users, asyncio.get_running_loop()
        self.recorder.keep(self.clock)
        self.attempts.keep()
        self.pushes.keep()
        gc.collect()
        gc.freeze()
        self._tick_at = self._second_at = self.started_ns = time.monotonic_ns()
        if self._plan.storm_at_s is not None:
            self._drop_at = self.started_ns + round(self._plan.storm_at_s * _SECOND)
        self._alarm = alarm(loop, self._on_tick)
        self._on_tick()
        before = Resources.read()
        opens = (table.opens_ns + self.started_ns).tolist()
        self._opener = Pacer(loop, opens, lambda number, at: users[number].connect(at))
        owners, phases = table.connection.tolist(), table.phase.tolist()

        def due(number: int, intended: int) -> None:
            users[owners[number]].take(intended, phases[number])

        self._pacer = Pacer(loop, (table.moments_ns + self.started_ns).tolist(), due)
        self.precise = self._pacer.precise
        await self._pacer.finished
        self._opener.stop()
        self.used = Resources.read().since(before)
        await self._drain()

    async def _drain(self) -> None:
        """Wait for the answers that are still owed, then close every connection in order."""
        for user in self.users:
            user.stop_reconnecting()
        await _until(lambda: not self._waiting or self.stopped is not None, self._plan.timeout_s + 1)
        for user in self.users:
            user.leave()
        await _until(lambda: all(user.gone for user in self.users), _CLOSING_S)
        for user in self.users:
            user.abort()
        self._alarm.close()
        self._channels.close()
        self.pauses.close()

    # --- what users report: see `websocket_user.Fleet` ---

    def sent(self, user: User, sequence: int, message: Sent) -> None:
        """A message is on the wire: its answer is owed until the time-out."""
        self._waiting.append((message.sent + self._timeout_ns, user, sequence))
        self.due += message.phase != _SETUP

    def answered(self, message: Sent, times: tuple[int, int], size: int, *, expected: bool) -> None:
        """An answer came; `expected` tells whether it was of the right type."""
        intended, taken, sent, kind, phase = message
        received, seen = times
        self.recorder.add((intended, taken, sent, received), kind, phase, failed=not expected, size=size, seen=seen)
        self._latencies_ms.append((received - intended) / 1e6)
        self._ended += 1
        self._bad += not expected

    def unanswered(self, message: Sent, at_ns: int, error: str) -> None:
        """No answer will come."""
        intended, taken, sent, kind, phase = message
        self.recorder.add((intended, taken, sent, max(at_ns, sent)), kind, phase, error=error)
        self._ended += 1
        self._bad += 1

    def pushed(self, user: User, kind: str, sequence: int | None, times: tuple[int, int], size: int) -> None:
        """A message came that answers none."""
        self.pushes.add((user.number, user.attempt), kind, sequence, times, size)

    def planned(self, messages: int) -> None:
        """A reconnect adds messages to the plan."""
        self.plan_size += messages

    def attempting(self, user: User, attempt: int) -> None:
        """An attempt to connect has begun: it has a time limit."""
        self._opening.append((time.monotonic_ns() + self._timeout_ns, user, attempt))

    def attempted(self, row: dict[str, Any]) -> None:
        """An attempt to connect has come to its end."""
        self.attempts.add(row)

    def lost_for_good(self) -> None:
        """A connection will not come back; without any other, nothing is left to do."""
        if self._opener.finished.done() and all(user.dead for user in self.users):
            self._stop("every connection was lost or never opened")

    # --- the tick ---

    def _on_tick(self) -> None:
        now = time.monotonic_ns()
        self.pauses.tick(max(0, now - self._tick_at))
        self._channels.tick(now)
        self._expire(now)
        if self._drop_at is not None and now >= self._drop_at:
            self._drop_at = None
            for user in self.users:
                user.drop()
        if now - self._second_at >= _SECOND:
            self._second_at = now
            self._pulse(now)
        self._tick_at = max(self._tick_at + _TICK_NS, now)
        self._alarm.arm(self._tick_at)

    def _expire(self, now: int) -> None:
        """Give up on what has not come in time; entries of what did come fall away on the way."""
        opening, waiting = self._opening, self._waiting
        while opening and opening[0][0] <= now:
            _, user, attempt = opening.popleft()
            user.opens_in_time(attempt)
        while waiting:
            deadline, user, sequence = waiting[0]
            if user.owes(sequence):
                if deadline > now:
                    return
                user.give_up(sequence, now)
            waiting.popleft()

    def _pulse(self, now: int) -> None:
        for user in self.users:
            user.tick(now)
        latencies = sorted(self._latencies_ms)
        p95 = latencies[int(0.95 * len(latencies))] if latencies else None
        oldest_ms = (now - (self._waiting[0][0] - self._timeout_ns)) / 1e6 if self._waiting else 0.0
        self._guard.watch(Pulse(now / _SECOND, self._ended, self._bad, p95, oldest_ms))
        self._bad_total += self._bad
        self._tell(
            {
                "elapsed_s": (now - self.started_ns) / _SECOND,
                "rate": self._ended,
                "p95_ms": p95,
                "failed": self._bad_total,
                "open": sum(user.open for user in self.users),
            }
        )
        self._latencies_ms.clear()
        self._ended = self._bad = 0
        if self._guard.reason is not None:
            self._stop(self._guard.reason)

    def _stop(self, reason: str) -> None:
        if self.stopped is None:
            self.stopped = reason
            self._opener.stop()
            self._pacer.stop()


async def _until(settled: Callable[[], bool], limit_s: float) -> None:
    """Wait until something has settled, `limit_s` at most; the tick goes on meanwhile."""
    for _ in range(math.ceil(limit_s / _POLL_S)):
        if settled():
            return
        await asyncio.sleep(_POLL_S)
