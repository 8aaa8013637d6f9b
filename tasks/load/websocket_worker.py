"""The process that holds WebSocket connections and sends messages: `python -m tasks.load.websocket_worker`.

Open model: each message has an intended moment whatever the connection is doing; one that falls due while its
connection is down waits for the reconnect, and its latency counts the wait. What was never sent has no row.
"""

from __future__ import annotations

import asyncio
import gc
import math
import random
import ssl
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from tasks.load.guard import Guard, Pulse
from tasks.load.pacer import Pacer, alarm
from tasks.load.process import Progress, WorkerOutput, serve
from tasks.load.samples import Clock, Recorder
from tasks.load.trust import Resources, Vitals
from tasks.load.websocket_plan import ANSWERS, CONNECTIONS, PHASES, WebsocketPlan, timetable
from tasks.load.websocket_user import Sent, User
from tasks.load.websocket_wire import Place, parse, resolve

_SECOND = 1_000_000_000
_TICK_NS = 20_000_000
_CLOSING_S = 2.0
_POLL_S = 0.01
_SETUP, _RAMP, _STEADY = range(len(PHASES))


def work(plan: Mapping[str, Any], tell: Progress) -> WorkerOutput:
    """Run a plan on the fastest event loop that is there."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_Fleet(WebsocketPlan.model_validate(plan), tell).run())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not on every system
    except ImportError:
        return None
    return uvloop.new_event_loop


class _Fleet:
    """All connections of one plan and what they recorded."""

    def __init__(self, plan: WebsocketPlan, tell: Progress) -> None:
        self.plan = plan
        self._tell = tell
        self._guard = Guard(error_ratio=plan.error_ratio, latency_ms=plan.latency_ms, after_s=plan.after_s)
        self._clock = Clock.read()
        self._recorder = Recorder(list(ANSWERS), PHASES)
        self._attempts: list[dict[str, Any]] = []
        self._waiting: deque[tuple[int, User, int]] = deque()
        self._latencies_ms: list[float] = []
        self._ended = self._bad = self._bad_total = 0
        self._lags_ns = array("q")
        self._due = self._planned = 0
        self._stopped: str | None = None
        self._users: list[User] = []

    async def run(self) -> WorkerOutput:
        place = await asyncio.to_thread(resolve, parse(self.plan.url.get_secret_value()))
        context = ssl.create_default_context() if place.uri.secure else None
        table = timetable(self.plan)
        self._users = [self._user(number, place, context) for number in range(self.plan.connections)]
        self._planned = len(table.moments_ns) + sum(user.setup_messages for user in self._users)
        gc.collect()
        gc.freeze()
        loop = asyncio.get_running_loop()
        self._tick_at = self._second_at = self._started = time.monotonic_ns()
        self._alarm = alarm(loop, self._on_tick)
        self._on_tick()
        before = Resources.read()
        opens = (table.opens_ns + self._started).tolist()
        self._opener = Pacer(loop, opens, lambda number, at: self._users[number].connect(at))
        owners, steady = table.connection.tolist(), table.steady.tolist()

        def due(number: int, intended: int) -> None:
            self._users[owners[number]].take(intended, _STEADY if steady[number] else _RAMP)

        self._pacer = Pacer(loop, (table.moments_ns + self._started).tolist(), due)
        precise = self._pacer.precise
        await self._pacer.finished
        self._opener.stop()
        used = Resources.read().since(before)
        await self._drain()
        return WorkerOutput(self._tables(), self._facts(used, place, precise=precise))

    def _user(self, number: int, place: Place, context: ssl.SSLContext | None) -> User:
        rng = random.Random(f"{self.plan.seed}/{number}")  # noqa: S311 - a load plan, not a secret
        return User(number, plan=self.plan, place=place, context=context, rng=rng, fleet=self)

    async def _drain(self) -> None:
        """Wait for the answers that are still owed, then close every connection in order."""
        for user in self._users:
            user.stop_reconnecting()
        await _until(lambda: not self._waiting or self._stopped is not None, self.plan.timeout_s + 1)
        for user in self._users:
            user.leave()
        await _until(lambda: all(user.gone for user in self._users), _CLOSING_S)
        for user in self._users:
            user.abort()
        self._alarm.close()

    # --- what users report ---

    def sent(self, user: User, sequence: int, message: Sent) -> None:
        """A message is on the wire: its answer is owed until the time-out."""
        self._waiting.append((message.sent + round(self.plan.timeout_s * _SECOND), user, sequence))
        self._due += message.phase != _SETUP

    def answered(self, message: Sent, at_ns: int, size: int, *, expected: bool) -> None:
        """An answer came; `expected` tells whether it was of the right type."""
        times = (message.intended, message.taken, message.sent, at_ns)
        self._recorder.add(times, message.kind, message.phase, failed=not expected, size=size)
        self._latencies_ms.append((at_ns - message.intended) / 1e6)
        self._ended += 1
        self._bad += not expected

    def unanswered(self, message: Sent, at_ns: int, error: str) -> None:
        """No answer will come."""
        times = (message.intended, message.taken, message.sent, at_ns)
        self._recorder.add(times, message.kind, message.phase, error=error)
        self._ended += 1
        self._bad += 1

    def planned(self, messages: int) -> None:
        """A reconnect adds messages to the plan."""
        self._planned += messages

    def attempted(self, row: dict[str, Any]) -> None:
        """An attempt to connect has come to its end; its times are monotonic ns."""
        offset = self._clock.offset_ns
        utc = {name: row[name] + offset for name in ("intended_ns", "started_ns", "closed_ns")}
        opened = row["opened_ns"]
        row |= utc | {
            "opened_ns": None if opened is None else opened + offset,
            "connect_ms": None if opened is None else (opened + offset - utc["intended_ns"]) / 1e6,
        }
        self._attempts.append(row)

    def lost_for_good(self) -> None:
        """A connection will not come back; without any other, nothing is left to do."""
        if self._opener.finished.done() and all(user.dead for user in self._users):
            self._stop("every connection was lost or never opened")

    # --- the tick ---

    def _on_tick(self) -> None:
        now = time.monotonic_ns()
        self._lags_ns.append(max(0, now - self._tick_at))
        self._expire(now)
        if now - self._second_at >= _SECOND:
            self._second_at = now
            self._pulse(now)
        self._tick_at = max(self._tick_at + _TICK_NS, now)
        self._alarm.arm(self._tick_at)

    def _expire(self, now: int) -> None:
        """Give up on answers whose time has passed; entries of answered messages fall away on the way."""
        waiting = self._waiting
        while waiting:
            deadline, user, sequence = waiting[0]
            if user.owes(sequence):
                if deadline > now:
                    return
                user.give_up(sequence, now)
            waiting.popleft()

    def _pulse(self, now: int) -> None:
        latencies = sorted(self._latencies_ms)
        p95 = latencies[int(0.95 * len(latencies))] if latencies else None
        timeout_ns = round(self.plan.timeout_s * _SECOND)
        oldest_ms = (now - (self._waiting[0][0] - timeout_ns)) / 1e6 if self._waiting else 0.0
        self._guard.watch(Pulse(now / _SECOND, self._ended, self._bad, p95, oldest_ms))
        self._bad_total += self._bad
        self._tell(
            {
                "elapsed_s": (now - self._started) / _SECOND,
                "rate": self._ended,
                "p95_ms": p95,
                "failed": self._bad_total,
                "open": sum(user.open for user in self._users),
            }
        )
        self._latencies_ms.clear()
        self._ended = self._bad = 0
        if self._guard.reason is not None:
            self._stop(self._guard.reason)

    def _stop(self, reason: str) -> None:
        if self._stopped is None:
            self._stopped = reason
            self._opener.stop()
            self._pacer.stop()

    # --- what is left behind ---

    def _tables(self) -> dict[str, pa.Table]:
        return {
            "samples": self._recorder.table(self._clock),
            "connections": pa.Table.from_pylist(self._attempts, schema=CONNECTIONS),
        }

    def _facts(self, used: Resources, place: Place, *, precise: bool) -> dict[str, Any]:
        vitals = Vitals(
            due=self._due,
            sent=self._due,
            late_p99_ms=self._late_p99_ms(),
            lag_p99_ms=_p99_ms(self._lags_ns),
            cpu_share=used.cpu_share,
            run_queue_share=None if used.run_delay_s is None else used.run_delay_s / used.elapsed_s,
            precise_timer=precise,
        )
        return {
            "planned": self._planned,
            "vitals": asdict(vitals),
            "stopped": self._stopped,
            "start_ns": self._started + self._clock.offset_ns,
            "end_ns": time.monotonic_ns() + self._clock.offset_ns,
            "pushes": sum(user.pushes for user in self._users),
            "unparsed": sum(user.unparsed for user in self._users),
            "target": place.shown,
            "failures": _counted(user.failures for user in self._users),
        }

    def _late_p99_ms(self) -> float | None:
        times, codes = self._recorder.rows_since(0)
        planned = times[codes[:, 1] != _SETUP]
        return _p99_ms(array("q", (planned[:, 1] - planned[:, 0]).tolist()))


async def _until(settled: Callable[[], bool], limit_s: float) -> None:
    """Wait until something has settled, `limit_s` at most; the tick goes on meanwhile."""
    for _ in range(math.ceil(limit_s / _POLL_S)):
        if settled():
            return
        await asyncio.sleep(_POLL_S)


def _counted(failures: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Codes of failed answers and how often each came, over all users."""
    total: dict[str, int] = {}
    for one in failures:
        for code, number in one.items():
            total[code] = total.get(code, 0) + number
    return total


def _p99_ms(values_ns: array[int]) -> float | None:
    if not values_ns:
        return None
    return float(np.percentile(np.frombuffer(values_ns, np.int64), 99, method="inverted_cdf")) / 1e6


if __name__ == "__main__":
    serve(work)
