"""Requests per client CPU-second: the load engine against httpx, on one server, in one run, as a ratio.

`make bench` runs it. Both ask a small granian application on the loopback for 1 KB of JSON over keep-alive
connections. CPU seconds of the client hold on a noisy machine where wall times do not; the median of several rounds,
taken in turn, is what counts. A user without this engine would write the scenario with httpx.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from deployments.config import Endpoint
from deployments.hosting.guardian import Guardian, Service, start_on_port
from deployments.load import Load
from deployments.local.platform import answers
from tasks.load.http_load import HttpPlan, connections_for, run_http, schedule_stage
from tasks.load.mix import endpoint_plan
from tasks.load.schedule import Phase

ROUNDS = 3
SECONDS = 4.0
RATE = 3000.0
CONNECTIONS = 10
"""httpx gets slower with more: at 50 it managed a sixth of what it does at 10."""


async def app(scope: dict[str, object], _receive: object, send: object) -> None:
    """The server: 1 KB of JSON, whatever is asked."""
    if scope["type"] == "http":
        assert callable(send)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"1024")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'"' + b"x" * 1022 + b'"'})


@contextmanager
def served() -> Iterator[str]:
    """The server in a process of its own."""
    here = Path(__file__).resolve()
    with Guardian(Path(tempfile.mkdtemp(prefix="hasivu-bench-"))) as guardian:

        def service(port: int) -> Service:
            argv = (sys.executable, "-m", "granian", "--interface", "asginl", "--host", "127.0.0.1")
            return Service("server", (*argv, "--port", str(port), f"{here.stem}:app"), cwd=here.parent)

        port = start_on_port(guardian, service, lambda port: answers(port, "/"), deadline=time.monotonic() + 30)
        yield f"http://127.0.0.1:{port}"


def engine(url: str) -> float:
    """Requests per CPU-second of the engine's worker."""
    plan = HttpPlan(
        url=url,
        variable="BENCH_URL",
        endpoints=[endpoint_plan(Endpoint(path="/"))],
        values={},
        stages=[schedule_stage([Phase("steady", RATE, RATE, SECONDS)], [0])],
        load=Load(users=1, duration_s=SECONDS, ramp_up_s=0, max_rate=RATE),
        timeout_s=5,
        max_connections=connections_for(CONNECTIONS),
    )
    run = run_http(plan, lambda _: None)
    return float(run.table.num_rows / sum(one["cpu_s"] for one in run.facts["runs"]))


def httpx_client(url: str) -> float:
    """Requests per CPU-second of a process that asks by httpx."""
    command = [sys.executable, __file__, "httpx", url]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return float(done.stdout)


async def ask(url: str) -> float:
    """As many requests as httpx manages over `CONNECTIONS` connections; per CPU-second of this process."""
    async with httpx.AsyncClient(base_url=url, limits=httpx.Limits(max_connections=CONNECTIONS)) as client:
        end, before, count = time.monotonic() + SECONDS, time.process_time(), 0

        async def user() -> None:
            nonlocal count
            while time.monotonic() < end:
                (await client.get("/")).raise_for_status()
                count += 1

        await asyncio.gather(*(user() for _ in range(CONNECTIONS)))
        return count / (time.process_time() - before)


def main() -> None:
    """Take both in turn and print medians and their ratio."""
    rounds = []
    with served() as url:
        for number in range(ROUNDS):
            rounds.append((engine(url), httpx_client(url)))
            print(f"round {number + 1}: engine {rounds[-1][0]:,.0f}, httpx {rounds[-1][1]:,.0f} requests/CPU-s")
    ours, theirs = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median(a / b for a, b in rounds)
    print(f"median: engine {ours:,.0f}, httpx {theirs:,.0f} requests per client CPU-second; ratio {ratio:.1f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["httpx"]:
        print(asyncio.run(ask(sys.argv[2])))
    else:
        main()
