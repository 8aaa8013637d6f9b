"""The open model over HTTP/1.1: takes each request up when it is due and records what became of it.

Latency counts from the intended moment, whatever a request had to wait for. Nothing is dropped in silence: what was
not sent when the drain after the schedule ends, when the guard stops the load, or while the target asked for a pause,
has no row and is counted.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tasks.load.mix import Mix, Request
from tasks.load.pacer import Pacer, alarm
from tasks.load.recording.samples import Recorder
from tasks.load.schedule import Schedule
from tasks.load.trust.guard import ASKS_FOR_PAUSE, Guard, Pulse, pause_s
from tasks.load.trust.restraint import Restraint
from tasks.load.trust.vitals import Pauses
from tasks.load.wire.http import HeadScanner, Scanner
from tasks.load.wire.pool import Pending, Pool
from tasks.load.wire.wire import Place

_SECOND = 1_000_000_000
_TICK_NS = 20_000_000
_RETRY_AFTER = re.compile(rb"\r\nretry-after:[ \t]*([^\r\n]*)", re.IGNORECASE)


@dataclass(frozen=True)
class Second:
    """One second of load for the live view."""

    sent: int
    p50_ms: float | None
    p95_ms: float | None
    bad: int
    late_ms: float
    """The latest that a request was taken up."""


class Generator:
    """One load generator; `run` may be called again, one schedule after the other, on the same connections.

    `due` counts requests that had come due, `stopped_unsent` those that the guard's stop left in the queue; `pauses`
    are those of a steady 20 ms tick, the loop's own pulse; `restraint` counts what it held back or withheld. Where
    `max_rate` is given, no second sees more requests than `guard.Ceiling` lets pass.
    """

    def __init__(
        self,
        place: Place,
        requests: Sequence[Request],
        recorder: Recorder,
        *,
        max_connections: int,
        timeout_s: float,
        guard: Guard,
        rng: random.Random,
        max_rate: float,
        on_second: Callable[[Second], None] = lambda _: None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._requests = requests
        self._recorder = recorder
        self._guard = guard
        self._rng = rng
        self._on_second = on_second
        heads = all(request.head_only for request in requests)  # one method has a scanner of its own
        scanner = HeadScanner if heads else Scanner
        self.pool = Pool(place, cap=max_connections, timeout_s=timeout_s, ended=self._ended, scanner=scanner)
        self.restraint = Restraint(self._loop, max_rate, self.pool.submit)
        self._pacer: Pacer | None = None
        self._latencies_ms: list[float] = []
        self._late_ns = 0
        self._ended_count = self._bad = self._bad_total = 0
        self._ended_before = self._due_before = self._due_seen = self._sent_seen = 0
        self._tick_at = self._second_at = time.monotonic_ns()
        self._alarm = alarm(self._loop, self._on_tick)
        self.precise = self._alarm.precise
        self.pauses = Pauses()
        self.stopped_unsent = 0
        self.first_head = b""
        self._wait: tuple[asyncio.Future[None], int | None, Callable[[], bool]] | None = None
        self._rearm(time.monotonic_ns())

    async def run(
        self,
        schedule: Schedule,
        endpoints: Sequence[int],
        weights: Sequence[float],
        drain_s: float,
        *,
        not_before_ns: int = 0,
    ) -> tuple[int, int]:
        """Send a schedule's requests over a mix of endpoints; when it started and ended (monotonic ns).

        `endpoints` are numbers of requests, `weights` their shares. `drain_s` bounds how long after the schedule
        queued requests may still be sent; requests on the wire have their own time limit. Where `not_before_ns`
        (monotonic) lies ahead, the schedule starts then.
        """
        mix = Mix(weights, self._rng)
        phases = [self._phase(name) for name in schedule.names]
        phase_of = [phases[number] for number in schedule.phase.tolist()]

        def due(number: int, intended: int) -> None:
            self._take(intended, endpoints[mix.choose()], phase_of[number])

        start = max(time.monotonic_ns(), not_before_ns)
        self._due_before = self.due
        self._pacer = Pacer(self._loop, (schedule.offsets_ns + start).tolist(), due)
        if self._guard.reason is not None:
            self._pacer.stop()
        await self._pacer.finished
        await self._until(start + schedule.duration_ns, lambda: self._guard.reason is not None)
        await self._until(time.monotonic_ns() + round(drain_s * _SECOND), lambda: self._quiet)
        self.restraint.drop()
        self.pool.drop_queue()
        await self._until(None, lambda: not self.pool.on_wire)  # each has its own time limit
        return start, time.monotonic_ns()

    def close(self) -> None:
        """End the tick and every connection."""
        self._alarm.close()
        self.restraint.close()
        self.pool.close()
        self.pauses.close()

    @property
    def due(self) -> int:
        """Requests that have come due so far, in all runs."""
        return self._due_before + (self._pacer.handed_over if self._pacer is not None else 0)

    @property
    def _quiet(self) -> bool:
        return self.restraint.quiet and self.pool.quiet

    async def _until(self, end_ns: int | None, settled: Callable[[], bool]) -> None:
        """Wait for a moment or a condition, whichever comes first, looked at by each tick."""
        if not settled():
            self._wait = (self._loop.create_future(), end_ns, settled)
            await self._wait[0]
            self._wait = None

    def _phase(self, name: str) -> int:
        phases = self._recorder.phases
        if name not in phases:
            phases.append(name)
        return phases.index(name)

    def _take(self, intended: int, endpoint: int, phase: int) -> None:
        taken = time.monotonic_ns()
        self._late_ns = max(self._late_ns, taken - intended)
        request = self._requests[endpoint]
        data = request.render(self._rng)
        self.restraint.offer(Pending(intended, taken, endpoint, phase, data, request.expect_body is not None))

    def _ended(self, pending: Pending, at_ns: int, seen_ns: int, error: str | None, answer: Scanner | None) -> None:
        request = self._requests[pending.endpoint]
        times = (pending.intended, pending.taken, pending.sent, at_ns)
        self._ended_count += 1
        if error is not None or answer is None:
            self._bad += 1
            self._recorder.add(times, pending.endpoint, pending.phase, error=error, items=request.items, seen=seen_ns)
            return
        failed = answer.status not in request.expect or not request.accepts(answer.body)
        if failed:
            self._bad += 1
            if answer.status in ASKS_FOR_PAUSE:
                self._pause(answer.head)
        elif not self.first_head:
            self.first_head = answer.head
        self._latencies_ms.append((at_ns - pending.intended) / 1e6)
        self._recorder.add(
            times,
            pending.endpoint,
            pending.phase,
            status=answer.status,
            failed=failed,
            size=answer.size,
            items=request.items,
            seen=seen_ns,
        )

    def _pause(self, head: bytes) -> None:
        """Send nothing for as long as the target asks: what comes due meanwhile is withheld, as is what waits."""
        asked = _RETRY_AFTER.search(head)
        seconds = pause_s(asked[1].decode("latin-1").strip()) if asked is not None else 0.0
        if seconds > 0:
            self.restraint.pause(seconds)
            self.restraint.withheld += self.pool.drop_queue()

    # --- the tick: time limits, the loop's lag, the guard ---

    def _rearm(self, now_ns: int) -> None:
        self._tick_at = max(self._tick_at + _TICK_NS, now_ns)
        self._alarm.arm(self._tick_at)

    def _on_tick(self) -> None:
        now = time.monotonic_ns()
        self.pauses.tick(max(0, now - self._tick_at))
        self.pool.tick(now)
        if now - self._second_at >= _SECOND:
            self._second_at = now
            self._on_pulse(now)
        if self._wait is not None:
            future, end, settled = self._wait
            if not future.done() and (settled() or (end is not None and now >= end)):
                future.set_result(None)
        self._rearm(now)

    def _on_pulse(self, now_ns: int) -> None:
        latencies = sorted(self._latencies_ms)
        p50, p95 = (latencies[int(q * len(latencies))] if latencies else None for q in (0.50, 0.95))
        oldest = self.pool.oldest_ns()
        waiting_ms = 0.0 if oldest is None else (now_ns - oldest) / 1e6
        due, sent = self._counted()
        self._guard.watch(Pulse(now_ns / _SECOND, self._ended_count, self._bad, p95, waiting_ms, due, sent))
        self._bad_total += self._bad
        self._on_second(Second(self._ended_count, p50, p95, self._bad_total, self._late_ns / 1e6))
        self._latencies_ms.clear()
        self._late_ns = 0
        self._ended_count = self._bad = 0
        if self._guard.reason is not None and self._pacer is not None and not self._pacer.finished.done():
            self._pacer.stop()
            self.stopped_unsent += self.restraint.drop() + self.pool.drop_queue()

    def _counted(self) -> tuple[int, int]:
        """Requests that came due, and that were sent, since the last pulse; not those that the target withheld."""
        self._ended_before += self._ended_count
        due, sent = self.due - self.restraint.withheld, self._ended_before + self.pool.on_wire
        fresh = due - self._due_seen, sent - self._sent_seen
        self._due_seen, self._sent_seen = due, sent
        return fresh
