"""Load workers of the benchmarks: `python -m benchmarks.load.workers`, run by `tasks.load.process.run_worker`.

`what` of the plan: `http` is the engine's own worker; `api` asks by the httpx client, closed with as many `users`,
or open at a `rate`: then its rows and facts are those of the engine's own worker, for the same verdict. Where
`block_ms` is given, the event loop is blocked that long every `block_every_ms`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import numpy as np
import uvloop

from storage.clock import Clock
from storage.errors import NotMeasuredError
from tasks.load import http_worker
from tasks.load.client.client import Engine, Exchange, LoadClient
from tasks.load.pacer import Pacer
from tasks.load.process import Progress, WorkerOutput, serve
from tasks.load.recording.samples import STEADY, Recorder, percentile
from tasks.load.schedule import Phase, arrivals
from tasks.load.trust.vitals import Resources

HOSTS = ("127.0.0.1", "localhost")


def work(plan: Mapping[str, Any], tell: Progress) -> WorkerOutput:
    """Run what the plan asks for."""
    if plan.get("block_ms"):
        _block_loops(plan["block_ms"] / 1e3, plan["block_every_ms"] / 1e3)
    if plan["what"] == "http":
        return http_worker.work(plan, tell)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_open(plan)) if plan.get("rate") else WorkerOutput({}, runner.run(_closed(plan)))


def _block_loops(for_s: float, every_s: float) -> None:
    """Each event loop of this process is blocked now and then, as by a scenario that computes."""
    made = uvloop.new_event_loop

    def make() -> uvloop.Loop:
        loop = made()

        def block() -> None:
            time.sleep(for_s)
            loop.call_later(every_s - for_s, block)

        loop.call_later(every_s, block)
        return loop

    uvloop.new_event_loop = make


async def _closed(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Users that ask as fast as they are answered; only counts, since nothing else may cost anything."""
    answered = errors = 0

    def on_exchange(one: Exchange) -> None:
        nonlocal answered, errors
        answered += one.error is None
        errors += one.error is not None

    engine = Engine(allow=HOSTS, timeout_s=5, stamps="loop")
    await engine.prepare(plan["url"])
    async with LoadClient(engine, base_url=plan["url"], on_exchange=on_exchange) as client:
        began = time.process_time()
        end = time.monotonic() + plan["seconds"]

        async def user() -> None:
            while time.monotonic() < end:
                if (await client.get("/")).status_code != HTTPStatus.OK:
                    raise NotMeasuredError("the server answers with an error")

        await asyncio.gather(*(user() for _ in range(plan["users"])))
        cpu_s = time.process_time() - began
    engine.close()
    return {
        "requests": answered + errors,
        "errors": errors,
        "cpu_s": cpu_s,
        "fallbacks": dict(engine.fallbacks),
    }


async def _open(plan: Mapping[str, Any]) -> WorkerOutput:
    """Arrivals at a rate: each request counts from its intended moment, which the schedule gives to the client."""
    recorder, clock = Recorder(["GET /"], [STEADY]), Clock.read()

    def on_exchange(one: Exchange) -> None:
        times = (one.intended, one.taken, one.sent or one.taken, one.received)
        recorder.add(times, 0, 0, status=one.status, error=one.error, size=one.size, seen=one.seen)

    engine = Engine(allow=HOSTS, timeout_s=5, stamps="kernel")
    await engine.prepare(plan["url"])
    schedule = arrivals([Phase(STEADY, plan["rate"], plan["rate"], plan["seconds"])], jitter="uniform", seed=1)
    tasks: set[asyncio.Task[Any]] = set()
    loop = asyncio.get_running_loop()
    async with LoadClient(engine, base_url=plan["url"], on_exchange=on_exchange) as client:

        async def ask(intended: int) -> None:
            client.intended_ns = intended  # it is taken up before anybody else has a turn
            await client.get("/")

        def due(_number: int, intended: int) -> None:
            task = loop.create_task(ask(intended))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        before, start = Resources.read(), time.monotonic_ns()
        pacer = Pacer(loop, (schedule.offsets_ns + start).tolist(), due)
        await pacer.finished
        await asyncio.gather(*tasks)
        used, end = Resources.read().since(before), time.monotonic_ns()
    ends = [pool.ends for pool in engine.pools.values()]
    run = {
        "worker": 0,
        "phases": [STEADY],
        "due": len(schedule),
        "pool_full": engine.full,
        "lag_p99_ms": percentile(np.frombuffer(engine.lags_ns, np.int64) / 1e6, 0.99),
        "start_ns": start + clock.offset_ns,
        "end_ns": end + clock.offset_ns,
        **used.to_json(),
    }
    facts = {
        "planned": len(schedule),
        "runs": [run],
        "ends": list(ends[0]) if ends else ["", ""],
        "precise_timer": engine.precise,
        "shares": [{"stamps": engine.stamps}],
    }
    engine.close()
    return WorkerOutput({"samples": recorder.table(clock)}, facts)


if __name__ == "__main__":
    serve(work)
