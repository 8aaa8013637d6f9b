"""The pacer keeps the schedule on real timers: never early, in order, complete; a stopped generator says so."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from deployments.config import Endpoint
from deployments.load import Load
from tasks.load import pacer
from tasks.load.http_load import HttpPlan, HttpRun, run_http, schedule_stage
from tasks.load.mix import endpoint_plan
from tasks.load.pacer import LoopTimer, Pacer
from tasks.load.schedule import Phase
from tests.load_servers import Received, reply, serving


async def pace(moments: list[int]) -> list[tuple[int, int, int]]:
    seen: list[tuple[int, int, int]] = []
    walker = Pacer(
        asyncio.get_running_loop(), moments, lambda n, intended: seen.append((n, intended, time.monotonic_ns()))
    )
    await asyncio.wait_for(walker.finished, 10)
    walker.stop()
    assert walker.handed_over == len(moments)
    return seen


@pytest.mark.parametrize("precise", [True, False])
def test_moments_come_in_order_and_never_early(precise: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001
    if not precise:
        monkeypatch.setattr(pacer, "alarm", LoopTimer)
    start = time.monotonic_ns() + 20_000_000
    moments = [start + n * 1_000_000 for n in range(200)] + [start + 250_000_000] * 3
    seen = asyncio.run(pace(moments))
    assert [(n, intended) for n, intended, _ in seen] == list(enumerate(moments))
    lates = sorted(at - intended for _, intended, at in seen)
    assert lates[0] >= 0
    assert lates[len(lates) // 2] < 20_000_000


def test_moments_of_the_past_come_at_once() -> None:
    assert len(asyncio.run(pace([1, 2, 3]))) == 3
    assert asyncio.run(pace([])) == []


def worker_of(thread: threading.Thread) -> int:
    """The process that a thread of this one started."""
    children = Path(f"/proc/self/task/{thread.native_id}/children")
    end = time.monotonic() + 10
    while not children.read_text().split():
        assert time.monotonic() < end
        time.sleep(0.01)
    return int(children.read_text().split()[0])


def test_a_generator_that_stood_still_is_not_trusted_and_left_nothing_out() -> None:
    async def answer(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply())

    runs: list[HttpRun] = []
    started = threading.Event()
    with serving(answer) as server:
        plan = HttpPlan(
            url=f"http://127.0.0.1:{server.port}",
            variable="TEST_API_URL",
            endpoints=[endpoint_plan(Endpoint(path="/a"))],
            values={},
            stages=[schedule_stage([Phase("steady", 100, 100, 3)], [0])],
            load=Load(users=1, duration_s=10, ramp_up_s=1, max_rate=1000),
            timeout_s=5,
            max_connections=64,
        )
        thread = threading.Thread(target=lambda: runs.append(run_http(plan, lambda _: started.set())))
        thread.start()
        pid = worker_of(thread)
        assert started.wait(20)
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.4)
        os.kill(pid, signal.SIGCONT)
        thread.join(30)
    load = runs[0].summary(steady="steady", judged=("steady",), rate=100, seconds=3, same_machine=True)
    assert load.sent == load.planned == server.requests == 300
    assert load.trust == "not_trusted"
    assert load.late_p99_ms is not None
    assert load.late_p99_ms > 300
    assert any("ms late at p99" in reason for reason in load.reasons)
