"""The pulse of a scenario: the event loop's pauses, the guard's second, signs of life."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tasks.load.client.client import Engine, Exchange
from tasks.load.pacer import alarm
from tasks.load.scenario.crowd import Crowd
from tasks.load.scenario.executors import ClosedModel, OpenModel
from tasks.load.scenario.records import Records
from tasks.load.trust.guard import Guard, Pulse
from tasks.load.trust.vitals import Pauses

_SECOND = 1_000_000_000
_TICK_NS = 20_000_000


class Heart:
    """Looks at a load every 20 ms and, once a second, has the guard look at it; the guard's stop ends the load."""

    def __init__(  # noqa: PLR0917 - what it looks at, and whom it tells
        self,
        engine: Engine,
        guard: Guard,
        crowd: Crowd,
        model: OpenModel | ClosedModel,
        records: Records,
        tell: Callable[[dict[str, Any]], None],
    ) -> None:
        self._engine = engine
        self._guard = guard
        self._crowd = crowd
        self._model = model
        self._records = records
        self._tell = tell
        self._open = isinstance(model, OpenModel)
        self._latencies_ms: list[float] = []
        self._ended = self._bad = self._bad_total = self._due = self._begun = 0
        self._stage = ""
        self._start_ns = self._tick_at = self._second_at = 0
        self._alarm = alarm(engine.loop, self._tick)
        self.pauses = Pauses()

    def begin(self, start_ns: int) -> None:
        """The load begins at that moment."""
        self._start_ns = self._tick_at = self._second_at = start_ns
        self._rearm(start_ns)

    def follow(self, model: OpenModel | ClosedModel, stage: str) -> None:
        """Another part of the load begins: who is asked what came due, and what a sign of life calls it."""
        self._model, self._stage = model, stage
        self._due, self._begun = model.due - model.withheld, self._crowd.begun

    def beat(self, exchange: Exchange, *, good: bool) -> None:
        """A request ended."""
        self._ended += 1
        self._bad += not good
        if exchange.error is None:
            self._latencies_ms.append((exchange.received - exchange.intended) / 1e6)

    def close(self) -> None:
        """Look no more."""
        self._alarm.close()
        self.pauses.close()

    def _rearm(self, now_ns: int) -> None:
        self._tick_at = max(self._tick_at + _TICK_NS, now_ns)
        self._alarm.arm(self._tick_at)

    def _tick(self) -> None:
        now = time.monotonic_ns()
        self.pauses.tick(max(0, now - self._tick_at))
        if now - self._second_at >= _SECOND:
            self._second_at = now
            self._pulse(now)
        self._rearm(now)

    def _pulse(self, now_ns: int) -> None:
        latencies = sorted(self._latencies_ms)
        p95 = latencies[int(0.95 * len(latencies))] if latencies else None
        oldest = min(
            (at for pool in self._engine.pools.values() if (at := pool.oldest_ns()) is not None), default=None
        )
        waiting_ms = 0.0 if oldest is None else (now_ns - oldest) / 1e6
        due, begun = self._counted()
        self._guard.watch(Pulse(now_ns / _SECOND, self._ended, self._bad, p95, waiting_ms, due, begun))
        self._bad_total += self._bad
        self._tell(
            {
                "elapsed_s": (now_ns - self._start_ns) / _SECOND,
                "rate": self._ended,
                "p95_ms": p95,
                "failed": self._bad_total,
                "stage": self._stage,
                "journeys": self._records.ended,
                "journeys_failed": self._records.failed,
            }
        )
        self._latencies_ms.clear()
        self._ended = self._bad = 0
        if self._guard.reason is not None and not self._crowd.stopped:
            self._model.stop()
            self._crowd.stop()

    def _counted(self) -> tuple[int, int]:
        """Journeys that came due, and that began, since the last pulse; 0 in the closed model, which plans none."""
        if not self._open:
            return 0, 0
        due, begun = self._model.due - self._model.withheld, self._crowd.begun
        fresh = due - self._due, begun - self._begun
        self._due, self._begun = due, begun
        return fresh
