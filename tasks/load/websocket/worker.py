"""The process that holds WebSocket connections and sends messages: `python -m tasks.load.websocket.worker`."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from tasks.load.process import Progress, WorkerOutput, serve
from tasks.load.recording.samples import STEADY, column, of_phase, percentile
from tasks.load.trust.trust import Vitals, bunched
from tasks.load.trust.vitals_of import added
from tasks.load.websocket.address import Address, parse, resolve
from tasks.load.websocket.fleet import Fleet
from tasks.load.websocket.limits import make_room
from tasks.load.websocket.plan import PHASES, SETUP, WebsocketPlan


def work(plan: Mapping[str, Any], tell: Progress) -> WorkerOutput:
    """Run a plan on the fastest event loop that is there."""
    own = WebsocketPlan.model_validate(plan)
    make_room(own.connections * (1 if own.protocol == "websocket" else 4))  # GET, POST, probe, and a reconnect's
    address = resolve(parse(own.url.get_secret_value()))
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_run(own, address, tell))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not on every system
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _run(plan: WebsocketPlan, address: Address, tell: Progress) -> WorkerOutput:
    fleet = Fleet(plan, address, tell)
    await fleet.run()
    samples = fleet.recorder.table(fleet.clock)
    tables = {
        "samples": samples,
        "connections": fleet.attempts.table(),
        "pushes": fleet.pushes.table(),
    }
    return WorkerOutput(tables, _facts(fleet, samples, address))


def _facts(fleet: Fleet, samples: pa.Table, address: Address) -> dict[str, Any]:
    return {
        "planned": fleet.plan_size,
        "vitals": asdict(_vitals(fleet, samples)),
        "stamps": fleet.stamps,
        "stopped": fleet.stopped,
        "start_ns": fleet.started_ns + fleet.clock.offset_ns,
        "end_ns": time.monotonic_ns() + fleet.clock.offset_ns,
        "cpu_s": fleet.used.cpu_s,
        "pushes": len(fleet.pushes),
        "late": sum(user.late for user in fleet.users),
        "repeated": sum(user.repeated for user in fleet.users),
        "unparsed": sum(user.unparsed for user in fleet.users),
        "target": address.shown,
        "failures": dict(sum((user.failures for user in fleet.users), Counter())),
    }


def _vitals(fleet: Fleet, samples: pa.Table) -> Vitals:
    """What the generator saw of itself; messages of an opening have no schedule to be late for."""
    used = fleet.used
    planned = of_phase(samples, *(phase for phase in PHASES if phase != SETUP))
    intended, taken, received, seen = (
        column(planned, f"{name}_ns") for name in ("intended", "taken", "received", "seen")
    )
    return Vitals(
        due=fleet.due,
        sent=fleet.due,
        late_p99_ms=percentile((taken - intended) / 1e6, 0.99),
        cpu_share=used.cpu_share,
        run_queue_share=_share(used.run_delay_s, used.elapsed_s),
        steal_share=_share(used.stolen_s, used.elapsed_s),
        precise_timer=fleet.precise,
        stamps=fleet.stamps,
        added=added(of_phase(samples, STEADY)),
        bunched_p99=bunched(intended, taken),
        seen_p99_ms=percentile((seen - received) / 1e6, 0.99),
        **fleet.pauses.since(0),
    )


def _share(part_s: float | None, whole_s: float) -> float | None:
    return None if part_s is None else part_s / whole_s


if __name__ == "__main__":
    serve(work)
