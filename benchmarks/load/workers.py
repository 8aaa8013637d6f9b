"""Load workers of the benchmarks: `python -m benchmarks.load.workers`, run by `tasks.load.process.run_worker`.

`what` of the plan: `http` is the engine's own worker; `api` asks by the httpx client, closed with as many `users`, or
open at a `rate`. Where `block_ms` is given, the event loop is blocked that long every `block_every_ms`.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import numpy as np
import uvloop

from storage.errors import NotMeasuredError
from tasks.load import http_worker
from tasks.load.client.client import Engine, Exchange, LoadClient
from tasks.load.pacer import Pacer
from tasks.load.process import Progress, WorkerOutput, serve
from tasks.load.recording.samples import percentile
from tasks.load.schedule import Phase, arrivals


def work(plan: Mapping[str, Any], tell: Progress) -> WorkerOutput:
    """Run what the plan asks for."""
    if plan.get("block_ms"):
        _block_loops(plan["block_ms"] / 1e3, plan["block_every_ms"] / 1e3)
    if plan["what"] == "http":
        return http_worker.work(plan, tell)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return WorkerOutput({}, runner.run(_api(plan)))


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


async def _api(plan: Mapping[str, Any]) -> dict[str, Any]:
    service_ns, errors = array("q"), 0

    def on_exchange(one: Exchange) -> None:
        nonlocal errors
        if one.error is None:
            service_ns.append(one.received - one.sent)
        else:
            errors += 1

    engine = Engine(allow={"127.0.0.1", "localhost"}, timeout_s=5, stamps="kernel" if plan.get("rate") else "loop")
    await engine.prepare(plan["url"])
    async with LoadClient(engine, base_url=plan["url"], on_exchange=on_exchange) as client:
        run = _open if plan.get("rate") else _closed
        began = time.process_time()
        await run(client, plan)
        cpu_s = time.process_time() - began
    engine.close()
    service = np.frombuffer(service_ns, np.int64) / 1e6
    return {
        "requests": len(service) + errors,
        "errors": errors,
        "cpu_s": cpu_s,
        "service_ms": {f"p{q}": percentile(service, q / 100) for q in (50, 95, 99)},
        "fallbacks": dict(engine.fallbacks),
    }


async def _closed(client: LoadClient, plan: Mapping[str, Any]) -> None:
    end = time.monotonic() + plan["seconds"]

    async def user() -> None:
        while time.monotonic() < end:
            if (await client.get("/")).status_code != HTTPStatus.OK:
                raise NotMeasuredError("the server answers with an error")

    await asyncio.gather(*(user() for _ in range(plan["users"])))


async def _open(client: LoadClient, plan: Mapping[str, Any]) -> None:
    schedule = arrivals([Phase("steady", plan["rate"], plan["rate"], plan["seconds"])], jitter="uniform", seed=1)
    tasks: set[asyncio.Task[Any]] = set()
    loop = asyncio.get_running_loop()

    def due(_number: int, _intended: int) -> None:
        task = loop.create_task(client.get("/"))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    pacer = Pacer(loop, (schedule.offsets_ns + time.monotonic_ns()).tolist(), due)
    await pacer.finished
    await asyncio.gather(*tasks)


if __name__ == "__main__":
    serve(work)
