"""The process that sends HTTP load: `python -m tasks.load.http_worker`, a plan in, samples and facts out.

The plan is what `tasks.load.http_load.HttpPlan` writes, or a share of it that `tasks.load.shards` makes. Stages run
one after the other on the same connections; shares of one plan start each stage at an agreed moment.
"""

from __future__ import annotations

import asyncio
import gc
import random
import ssl
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

from deployments.config import ValueRange
from tasks.load.capacity import Limits, Step, judge_step, phase_of
from tasks.load.climb import climb
from tasks.load.generator import Generator, Second
from tasks.load.mix import Request
from tasks.load.process import Progress, WorkerOutput, serve
from tasks.load.recording.samples import Recorder
from tasks.load.schedule import Phase, Schedule, arrivals
from tasks.load.shards import Share
from tasks.load.trust.calibrate import Calibrator
from tasks.load.trust.guard import Guard
from tasks.load.trust.vitals import Resources, is_own, look_up, rss_mb
from tasks.load.wire.address import parse, probe
from tasks.load.wire.wire import Place

_AHEAD_S = 0.02
_CALIBRATION_S = 2.0


def work(plan: Mapping[str, Any], tell: Progress) -> WorkerOutput:
    """Run a plan on the fastest event loop that is there."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_Load(plan, tell).run())


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not on every system
    except ImportError:
        return None
    return uvloop.new_event_loop


class _Load:
    """A plan on its way: its stages, what they planned, and what was seen meanwhile."""

    def __init__(self, plan: Mapping[str, Any], tell: Progress) -> None:
        self._plan = plan
        self._tell = tell
        self._address = parse(plan["url"], variable=plan["variable"])
        values = {name: ValueRange.model_validate(value) for name, value in plan["values"].items()}
        self._requests = [Request(endpoint, values, self._address, plan["headers"]) for endpoint in plan["endpoints"]]
        self._share = Share(**plan.get("share", {}))
        self._recorder = Recorder([request.name for request in self._requests], [], self._share.number)
        self._guard = Guard.from_plan(plan["guard"])
        self._clock = self._share.clock()
        self._recorder.keep(self._clock)
        self._planned = 0
        self._runs: list[dict[str, Any]] = []
        self._steps: list[Step] = []
        self._search_ended: str | None = None
        self._stage = ""

    async def run(self) -> WorkerOutput:
        self._lookup = await asyncio.to_thread(look_up, self._address)
        found = await asyncio.to_thread(probe, self._address)
        self._own = is_own(found.ip)
        context = _context() if self._address.tls else None
        place = Place(found.ip, self._address.port, context, self._address.host if context else None)
        return await self._measure(place, found.detail)

    async def _measure(self, place: Place, found: str) -> WorkerOutput:
        calibrator = self._calibrator()
        async with calibrator:
            await calibrator.take(self._start_ns())
            self._started = max(time.monotonic(), self._start_ns() / 1e9)
            generator = self._generator(place)
            gc.collect()
            gc.freeze()
            try:
                for stage in self._plan["stages"]:
                    await self._run_stage(generator, stage)
            finally:
                generator.close()
            await calibrator.take()
        facts = self._facts(generator, found, calibrator)
        return WorkerOutput({"samples": self._recorder.table(self._clock)}, facts)

    def _start_ns(self) -> int:
        return self._share.start_ns(self._clock)

    def _calibrator(self) -> Calibrator:
        stages = self._plan["stages"]
        rates = [phase["to_rate"] for stage in stages for phase in stage.get("phases", ())]
        seconds = sum(float(stage["duration_s"]) for stage in stages)
        return Calibrator(seconds, max(rates, default=0.0) / self._share.of)

    def _generator(self, place: Place) -> Generator:
        return Generator(
            place,
            self._requests,
            self._recorder,
            max_connections=self._plan["max_connections"],
            timeout_s=self._plan["timeout_s"],
            guard=self._guard,
            rng=random.Random(self._plan["seed"] + self._share.number),  # noqa: S311 - a load plan, not a secret
            max_rate=self._plan["guard"]["max_rate"] / self._share.of,
            on_second=self._on_second,
        )

    async def _run_stage(self, generator: Generator, stage: Mapping[str, Any]) -> None:
        stages: dict[str, Callable[[Generator, Mapping[str, Any]], Coroutine[None, None, None]]] = {
            "schedule": self._run_schedule,
            "search": self._run_search,
        }
        self._guard.watches_rate = stage["kind"] != "search"
        await stages[stage["kind"]](generator, stage)

    async def _run_schedule(self, generator: Generator, stage: Mapping[str, Any]) -> None:
        phases = [Phase.from_json(phase) for phase in stage["phases"]]
        schedule = arrivals(phases, jitter=stage["jitter"], seed=self._plan["seed"])
        await self._run_one(generator, schedule.shard(self._share.number, self._share.of), stage)

    async def _agreed(self, stage: Mapping[str, Any]) -> int:
        """Wait until just before the moment (monotonic ns) at which all shards start a stage; it is 0 without any."""
        start = self._share.start_ns(self._clock, stage.get("from_s", 0.0))
        await asyncio.sleep(max(0.0, (start - time.monotonic_ns()) / 1e9 - _AHEAD_S))
        return start

    async def _run_one(self, generator: Generator, schedule: Schedule, stage: Mapping[str, Any]) -> tuple[int, float]:
        """Run one schedule and note what the generator saw of itself; its start (monotonic ns) and share of CPU."""
        not_before = await self._agreed(stage)
        self._stage = schedule.names[0]
        self._planned += len(schedule)
        before, then, ticks = Resources.read(), _tally(generator), len(generator.pauses.lags_ns)
        endpoints = [int(number) for number in stage["endpoints"]]
        weights = [float(self._plan["endpoints"][number]["weight"]) for number in endpoints]
        start, end = await generator.run(
            schedule, endpoints, weights, self._plan["drain_s"], not_before_ns=not_before
        )
        used, now = Resources.read().since(before), _tally(generator)
        count = {name: now[name] - then[name] for name in now}
        self._runs.append(
            {
                "worker": self._share.number,
                "phases": list(schedule.names),
                "planned": len(schedule),
                "due": count["due"] - count["stopped_unsent"] - count["withheld"],
                "withheld": count["withheld"],
                "held_back": count["held_back"],
                "pool_full": count["pool_full"],
                "start_ns": start + self._clock.offset_ns,
                "end_ns": end + self._clock.offset_ns,
                **generator.pauses.since(ticks),
                **used.to_json(),
            }
        )
        return start, used.cpu_share

    async def _run_search(self, generator: Generator, stage: Mapping[str, Any]) -> None:
        """Raise the rate step by step; no step starts that would end after the plan's `until_s`."""
        end = self._started + stage["until_s"]
        if self._share.of > 1:  # other shares send nothing meanwhile
            generator.restraint.allow(self._plan["guard"]["max_rate"])

        def over() -> str | None:
            if self._guard.reason is not None:
                return "stopped"
            return "time" if time.monotonic() + stage["step_s"] > end else None

        async def make(number: int, attempt: int, rate: float) -> Step:
            return await self._run_step(generator, stage, number, attempt, rate)

        self._search_ended = await climb(stage["rates"], make, over)

    async def _run_step(
        self, generator: Generator, stage: Mapping[str, Any], number: int, attempt: int, rate: float
    ) -> Step:
        phase = Phase(phase_of(number, attempt), rate, rate, stage["step_s"])
        seed = self._plan["seed"] + 1000 * attempt + number
        schedule = arrivals([phase], jitter=stage["jitter"], seed=seed)
        first = len(self._recorder)
        start, cpu_share = await self._run_one(generator, schedule, stage)
        times, codes = self._recorder.rows_since(first)
        step = judge_step(
            times,
            codes,
            number=number,
            attempt=attempt,
            rate=rate,
            planned=len(schedule),
            step_s=stage["step_s"],
            start_ns=start,
            limits=Limits(stage["latency_ms"], stage["error_ratio"]),
            cpu_share=cpu_share,
        )
        offset = self._clock.offset_ns
        self._steps.append(replace(step, start_ns=step.start_ns + offset, end_ns=step.end_ns + offset))
        return step

    def _on_second(self, second: Second) -> None:
        self._tell(
            {
                "elapsed_s": max(0.0, time.monotonic() - self._started),
                "rate": second.sent,
                "p50_ms": second.p50_ms,
                "p95_ms": second.p95_ms,
                "late_ms": second.late_ms,
                "failed": second.bad,
                "stage": self._stage,
            }
        )

    def _facts(self, generator: Generator, found: str, calibrator: Calibrator) -> dict[str, Any]:
        seen = {
            "stamps": generator.pool.stamps,
            "own_target": self._own,
            "lookup_ms": self._lookup.took_ms,
            "lookups": self._lookup.asked,
            "rss_mb": rss_mb(),
            **calibrator.to_json(),
        }
        return {
            "planned": self._planned,
            "runs": self._runs,
            "steps": [step.to_json() for step in self._steps],
            "search_ended": self._search_ended,
            "stopped": self._guard.reason,
            "connects": generator.pool.connects,
            "ends": list(generator.pool.ends),
            "precise_timer": generator.precise,
            "head": generator.first_head.decode("latin-1"),
            "probe": found,
            "clock_offset_ns": self._clock.offset_ns,
            "shares": [self._share.told() | seen],
        }


def _context() -> ssl.SSLContext:
    """Verified TLS, by the system's authorities or those of SSL_CERT_FILE."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _tally(generator: Generator) -> dict[str, int]:
    """What a generator has counted so far, over all its runs."""
    return {
        "due": generator.due,
        "stopped_unsent": generator.stopped_unsent,
        "withheld": generator.restraint.withheld,
        "held_back": generator.restraint.held_back,
        "pool_full": generator.pool.full,
    }


if __name__ == "__main__":
    serve(work)
