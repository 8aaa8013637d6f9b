"""The process that times GETs on a cache: `python -m tasks.load.cache_worker`, a plan in, samples and facts out.

Open model. GETs go by turns over sockets of our own and through redis-py, half a slot apart so that one does not
delay the other: the first tells what the server does, the second what the application sees.
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from deployments.config import ValueRange
from tasks.load.guard import Guard, Pulse
from tasks.load.mix import draw
from tasks.load.pacer import Pacer, alarm
from tasks.load.process import Progress, WorkerOutput, serve
from tasks.load.redis_probe import REFUSED, WRONG_TYPE, Answer, ClientProber, Prober, RawProber
from tasks.load.redis_wire import RedisAddress
from tasks.load.samples import STEADY, WARMUP, Clock, Recorder
from tasks.load.schedule import Phase, arrivals
from tasks.load.trust import Resources, Vitals

RAW, CLIENT = "GET raw", "GET redis-py"
"""Names of the two probes in samples."""

_SECOND = 1_000_000_000
_TICK_NS = 20_000_000
_ABSENT = "hasivu-perf:absent"


class CachePlan(BaseModel):
    """The plan of one probe; `url` holds a secret: the plan goes by the worker's standard input alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: SecretStr
    keys: tuple[ValueRange, ...] = Field(description="where keys are drawn from, by turns; none: one absent key")
    rate: float = Field(gt=0, description="GETs a second of both probes together")
    warmup_s: float = Field(default=1.0, ge=0)
    duration_s: float = Field(gt=0)
    timeout_s: float = Field(default=2.0, gt=0)
    seed: int = 1
    error_ratio: float
    latency_ms: float
    after_s: float

    def to_json(self) -> dict[str, Any]:
        """As it is written to the worker's standard input, the URL in clear."""
        return self.model_dump(mode="json") | {"url": self.url.get_secret_value()}

    @property
    def phases(self) -> list[Phase]:
        """A warm-up and a steady phase within the duration."""
        warmup = min(self.warmup_s, self.duration_s / 4)
        return [
            Phase(WARMUP, self.rate, self.rate, warmup),
            Phase(STEADY, self.rate, self.rate, self.duration_s - warmup),
        ]

    @property
    def deadline_s(self) -> float:
        """The total time that the worker may take."""
        return self.duration_s + 3 * self.timeout_s + 10


def work(plan: Mapping[str, Any], tell: Progress) -> WorkerOutput:
    """Run a plan on the fastest event loop that is there."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_Probe(CachePlan.model_validate(plan), tell).run())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not on every system
    except ImportError:
        return None
    return uvloop.new_event_loop


class _Probe:
    """One run of both probes."""

    def __init__(self, plan: CachePlan, tell: Progress) -> None:
        self._plan = plan
        self._tell = tell
        self._rng = random.Random(plan.seed)  # noqa: S311 - a load plan, not a secret
        self._guard = Guard(error_ratio=plan.error_ratio, latency_ms=plan.latency_ms, after_s=plan.after_s)
        self._clock = Clock.read()
        self._schedule = arrivals(plan.phases, jitter="none")
        self._recorder = Recorder([RAW, CLIENT], self._schedule.names)
        self._lags_ns = array("q")
        self._latencies_ms: list[float] = []
        self._open = self._ended = self._bad = self._bad_total = 0
        url = plan.url.get_secret_value()
        self._probers: Sequence[Prober] = (
            RawProber(RedisAddress.parse(url), plan.timeout_s),
            ClientProber(url, plan.timeout_s),
        )

    async def run(self) -> WorkerOutput:
        try:
            untouched = [await prober.open() for prober in self._probers]
            gc.collect()
            gc.freeze()
            facts = await self._load()
        finally:
            for prober in self._probers:
                await prober.close()
        return WorkerOutput({"samples": self._recorder.table(self._clock)}, facts | {"no_touch": all(untouched)})

    async def _load(self) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        self._started = self._tick_at = self._second_at = time.monotonic_ns()
        self._alarm = alarm(loop, self._on_tick)
        self._on_tick()
        before = Resources.read()
        moments = (self._schedule.offsets_ns + self._started).tolist()
        self._pacer = Pacer(loop, moments, self._due)
        await self._pacer.finished
        used = Resources.read().since(before)
        for _ in range(round(100 * self._plan.timeout_s) + 10):
            if not self._open:
                break
            await asyncio.sleep(0.01)
        self._alarm.close()
        return self._facts(used)

    def _due(self, number: int, intended: int) -> None:
        taken = time.monotonic_ns()
        which = number % 2
        phase = int(self._schedule.phase[number])
        self._open += 1

        def answered(answer: Answer) -> None:
            self._answered((intended, taken, answer.sent_ns, answer.received_ns), which, phase, answer)

        self._probers[which].get(self._key(), answered)

    def _key(self) -> str:
        return draw(self._rng.choice(self._plan.keys), self._rng) if self._plan.keys else _ABSENT

    def _answered(self, times: tuple[int, int, int, int], which: int, phase: int, answer: Answer) -> None:
        self._open -= 1
        self._ended += 1
        failed = answer.status in (WRONG_TYPE, REFUSED)
        self._recorder.add(
            times, which, phase, status=answer.status, error=answer.error, failed=failed, size=answer.size
        )
        if answer.error is not None or answer.status == REFUSED:
            self._bad += 1
        else:
            self._latencies_ms.append((times[3] - times[0]) / 1e6)

    # --- the tick ---

    def _on_tick(self) -> None:
        now = time.monotonic_ns()
        self._lags_ns.append(max(0, now - self._tick_at))
        for prober in self._probers:
            prober.tick(now)
        if now - self._second_at >= _SECOND:
            self._second_at = now
            self._pulse(now)
        self._tick_at = max(self._tick_at + _TICK_NS, now)
        self._alarm.arm(self._tick_at)

    def _pulse(self, now: int) -> None:
        latencies = sorted(self._latencies_ms)
        p95 = latencies[int(0.95 * len(latencies))] if latencies else None
        self._guard.watch(Pulse(now / _SECOND, self._ended, self._bad, p95, 0.0))
        self._bad_total += self._bad
        elapsed_s = (now - self._started) / _SECOND
        self._tell({"elapsed_s": elapsed_s, "rate": self._ended, "p95_ms": p95, "failed": self._bad_total})
        self._latencies_ms.clear()
        self._ended = self._bad = 0
        if self._guard.reason is not None:
            self._pacer.stop()

    def _facts(self, used: Resources) -> dict[str, Any]:
        times, codes = self._recorder.rows_since(0)
        steady = times[codes[:, 1] == self._schedule.names.index(STEADY)]
        due = self._pacer.handed_over
        vitals = Vitals(
            due=due,
            sent=len(self._recorder),
            late_p99_ms=_p99_ms(steady[:, 1] - steady[:, 0]),
            lag_p99_ms=_p99_ms(np.frombuffer(self._lags_ns, np.int64)),
            cpu_share=used.cpu_share,
            run_queue_share=None if used.run_delay_s is None else used.run_delay_s / used.elapsed_s,
            precise_timer=self._pacer.precise,
        )
        return {"planned": len(self._schedule), "vitals": asdict(vitals), "stopped": self._guard.reason}


def _p99_ms(values_ns: np.typing.NDArray[np.int64]) -> float | None:
    return float(np.percentile(values_ns, 99, method="inverted_cdf")) / 1e6 if len(values_ns) else None


if __name__ == "__main__":
    serve(work)
