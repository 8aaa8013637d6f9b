"""The process that times calls to a cache: `python -m tasks.load.redis.worker`, a plan in, samples and facts out.

Open model. Calls go by turns over sockets of our own and through redis-py, half a slot apart so that one does not
delay the other: the first tells what the server does, the second what the application sees. They are GETs of keys
that are there; where the plan allows it, a share of them writes, reads and deletes keys of this tool's own.
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from deployments.config import ValueRange
from storage.clock import current_clock
from tasks.load.mix import draw
from tasks.load.pacer import Pacer, alarm
from tasks.load.process import Progress, WorkerOutput, serve
from tasks.load.recording.samples import STEADY, WARMUP, Recorder, column, of_endpoint, of_phase, percentile
from tasks.load.redis.address import RedisAddress
from tasks.load.redis.client import ClientProber
from tasks.load.redis.commands import Command, OwnKeys, get_command
from tasks.load.redis.probe import REFUSALS, WRONG_TYPE, Call, Prober
from tasks.load.redis.raw import RawProber
from tasks.load.redis.sample import KeySample, scan_strings
from tasks.load.redis.topology import Topology, discover
from tasks.load.schedule import Phase, arrivals
from tasks.load.trust.guard import Guard, Pulse
from tasks.load.trust.trust import Vitals, bunched
from tasks.load.trust.vitals import Pauses, Resources
from tasks.load.trust.vitals_of import added

RAW, CLIENT = "GET raw", "GET redis-py"
"""Names of the two probes in samples."""
OWN = ("SET", "GET own", "DEL")
"""What is done in turn with a key of our own; in samples each with ` raw` or ` redis-py` after it."""
ENDPOINTS = (RAW, CLIENT, *(f"{verb} {way}" for verb in OWN for way in ("raw", "redis-py")))

_SECOND = 1_000_000_000
_TICK_NS = 20_000_000


class CachePlan(BaseModel):
    """The plan of one probe; `url` holds a secret: the plan goes by the worker's standard input alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: SecretStr
    keys: tuple[ValueRange, ...] = Field(
        description="where keys are drawn from, by turns; none: from those that SCAN finds"
    )
    rate: float = Field(gt=0, description="calls a second of both probes together")
    warmup_s: float = Field(default=1.0, ge=0)
    duration_s: float = Field(gt=0)
    timeout_s: float = Field(default=2.0, gt=0)
    seed: int = 1
    error_ratio: float
    latency_ms: float
    after_s: float
    write_share: float = Field(default=0.0, ge=0, le=1, description="share of calls on keys of our own")
    run: str = Field(description="the name under which `OwnKeys` are kept apart")

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
        return self.duration_s + 5 * self.timeout_s + 10


def work(plan: Mapping[str, Any], tell: Progress) -> WorkerOutput:
    """Run a plan on the fastest event loop that is there."""
    own = CachePlan.model_validate(plan)
    address = RedisAddress.parse(own.url.get_secret_value())
    topology = discover(address, timeout_s=own.timeout_s)
    sample = [] if own.keys else scan_strings(topology.nodes, timeout_s=own.timeout_s)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_run(own, address, topology, sample, tell))


async def _run(
    plan: CachePlan, address: RedisAddress, topology: Topology, sample: Sequence[bytes], tell: Progress
) -> WorkerOutput:
    return await _Probe(plan, address, topology, sample, tell).run()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not on every system
    except ImportError:
        return None
    return uvloop.new_event_loop


class _Choice:
    """Which command comes next: a GET of somebody's key, or by turns the three on keys of our own."""

    def __init__(self, plan: CachePlan, sample: Sequence[bytes]) -> None:
        self._rng = random.Random(plan.seed)  # noqa: S311 - a load plan, not a secret
        self._ranges = plan.keys
        self._sample = KeySample(sample, self._rng)
        self._share = plan.write_share
        own = OwnKeys(plan.run)
        self._own = (own.sets, own.gets, own.deletes)
        self._turns = [0, 0]

    def next(self, way: int) -> tuple[Command, int]:
        """A command for one of the two ways, and its endpoint; each way has half of our own keys."""
        if self._share and self._rng.random() < self._share:
            number, verb = divmod(self._turns[way], len(OWN))
            self._turns[way] += 1
            half = OwnKeys.NUMBER // 2
            return self._own[verb][number % half + way * half], 2 + 2 * verb + way
        if self._ranges:
            return get_command(draw(self._rng.choice(self._ranges), self._rng)), way
        return self._sample.draw(), way


class _Probe:
    """One run of both probes."""

    def __init__(
        self, plan: CachePlan, address: RedisAddress, topology: Topology, sample: Sequence[bytes], tell: Progress
    ) -> None:
        self._plan = plan
        self._tell = tell
        self._choice = _Choice(plan, sample)
        self._sampled = len(sample)
        self._nodes = len(topology.nodes)
        self._guard = Guard(error_ratio=plan.error_ratio, latency_ms=plan.latency_ms, after_s=plan.after_s)
        self._clock = current_clock()
        self._schedule = arrivals(plan.phases, jitter="none")
        self._recorder = Recorder(ENDPOINTS, self._schedule.names)
        self._pauses = Pauses()
        self._latencies_ms: list[float] = []
        self._refused: Counter[str] = Counter()
        self._open = self._ended = self._bad = self._bad_total = 0
        self._raw = RawProber(address, topology, timeout_s=plan.timeout_s, ended=self._answered)
        self._client = ClientProber(address, topology, timeout_s=plan.timeout_s, ended=self._answered)
        self._probers: Sequence[Prober] = (self._raw, self._client)

    async def run(self) -> WorkerOutput:
        try:
            untouched = [await prober.open() for prober in self._probers]
            self._recorder.keep(self._clock)
            gc.collect()
            gc.freeze()
            used = await self._load()
        finally:
            for prober in self._probers:
                await prober.close()
            self._pauses.close()
        samples = self._recorder.table(self._clock)
        return WorkerOutput({"samples": samples}, self._facts(used, samples) | {"no_touch": all(untouched)})

    async def _load(self) -> Resources:
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
        return used

    def _due(self, number: int, intended: int) -> None:
        taken = time.monotonic_ns()
        way = number % 2
        command, endpoint = self._choice.next(way)
        self._open += 1
        phase = int(self._schedule.phase[number])
        self._probers[way].ask(Call(command, endpoint, phase, intended, taken))

    def _answered(self, call: Call) -> None:
        self._open -= 1
        self._ended += 1
        refused = call.status in REFUSALS
        self._recorder.add(
            (call.intended_ns, call.taken_ns, call.sent_ns, call.received_ns),
            call.endpoint,
            call.phase,
            status=call.status,
            error=call.error,
            failed=refused or call.status == WRONG_TYPE,
            size=call.size,
            seen=call.seen_ns,
        )
        if refused:
            self._refused[call.code] += 1
        if call.error is not None or refused:
            self._bad += 1
        else:
            self._latencies_ms.append((call.received_ns - call.intended_ns) / 1e6)

    # --- the tick ---

    def _on_tick(self) -> None:
        now = time.monotonic_ns()
        self._pauses.tick(max(0, now - self._tick_at))
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

    def _facts(self, used: Resources, samples: pa.Table) -> dict[str, Any]:
        return {
            "planned": len(self._schedule),
            "vitals": asdict(self._vitals(used, samples)),
            "stopped": self._guard.reason,
            "sampled_keys": self._sampled,
            "nodes": self._nodes,
            "refused": dict(self._refused),
            "events": {"raw": dict(self._raw.events), "redis-py": dict(self._client.events)},
        }

    def _vitals(self, used: Resources, samples: pa.Table) -> Vitals:
        """What the probe saw of itself; what is judged is what is reported of the server, over our own sockets."""
        steady = of_phase(samples, STEADY)
        raw = of_endpoint(steady, RAW)
        intended, taken = column(steady, "intended_ns"), column(steady, "taken_ns")
        return Vitals(
            due=self._pacer.handed_over,
            sent=samples.num_rows,
            late_p99_ms=percentile((taken - intended) / 1e6, 0.99),
            cpu_share=used.cpu_share,
            run_queue_share=_share(used.run_delay_s, used.elapsed_s),
            steal_share=_share(used.stolen_s, used.elapsed_s),
            precise_timer=self._pacer.precise,
            stamps=self._raw.stamps,
            added=added(raw),
            bunched_p99=bunched(intended, taken),
            seen_p99_ms=percentile((column(raw, "seen_ns") - column(raw, "received_ns")) / 1e6, 0.99),
            **self._pauses.since(0),
        )


def _share(part_s: float | None, whole_s: float) -> float | None:
    return None if part_s is None else part_s / whole_s


if __name__ == "__main__":
    serve(work)
