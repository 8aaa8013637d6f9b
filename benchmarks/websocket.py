"""Client CPU time a WebSocket message: the load engine's channel beside websockets (asyncio) and aiohttp.

`python benchmarks/websocket.py` starts an echo server on the other core and lets 100 connections send and await
messages in turn, as fast as they get answers. A message is one that was sent and answered, its number matched. What
counts is the client's CPU time for it, which holds on a noisy machine: the median of rounds taken in turn.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, cast

import aiohttp
import uvloop
from websockets.asyncio.client import connect
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.speedups import apply_mask

from tasks.load.websocket.address import parse, resolve
from tasks.load.websocket.channel import JsonChannel
from tasks.load.websocket.wire import End
from tasks.load.wire.wire import open_wire

CONNECTIONS = 100
SECONDS = 2.0
ROUNDS = 3
LIMIT_US = 28.0
TEXT = '{"type":"ping","timestamp":%d,"sequenceId":%d}'


class Echo(asyncio.Protocol):
    """Turns short frames round without their masks: a server that costs less than any of its clients."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class does not inherit from it
        self._rest = b""
        self._handshake: ServerProtocol | None = ServerProtocol()

    def data_received(self, data: bytes) -> None:
        """Accept the upgrade, then echo."""
        if self._handshake is not None:
            self._handshake.receive_data(data)
            events = self._handshake.events_received()
            if events:
                assert isinstance(events[0], Request)
                self._handshake.send_response(self._handshake.accept(events[0]))
                self._transport.write(b"".join(self._handshake.data_to_send()))
                self._handshake = None
            return
        rest = self._rest + data
        while len(rest) > 5 and len(rest) >= (end := 6 + (rest[1] & 0x7F)):
            self._transport.write(bytes((rest[0], end - 6)) + apply_mask(rest[6:end], rest[2:6]))
            if rest[0] == 0x88:  # a close frame
                self._transport.close()
            rest = rest[end:]
        self._rest = rest


async def serve() -> None:
    """Echo until killed."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Asker:
    """A user of the engine's channel: sends the next message when an answer came."""

    def __init__(self, until_ns: int) -> None:
        self.channel: JsonChannel | None = None
        self.left = asyncio.Event()
        self.done = 0
        self._until_ns = until_ns

    def _ask(self) -> None:
        assert self.channel is not None
        self.channel.send("ping", b'"timestamp":%d,' % (time.time_ns() // 1_000_000), self.done)

    def opened(self, at_ns: int) -> None:
        """Send the first message."""
        del at_ns
        self._ask()

    def came(
        self, kind: str, sequence: int | None, content: Mapping[str, Any], size: int, times: tuple[int, int]
    ) -> None:
        """Match the answer."""
        assert (kind, sequence, len(content)) == ("ping", self.done, 3)
        assert size
        self.done += 1
        if times[1] < self._until_ns:
            self._ask()
        else:
            self.left.set()

    def unreadable(self) -> None:
        """Every echo is a message."""
        raise AssertionError

    def ended(self, end: End) -> None:
        """No connection ends before the wire is closed."""
        raise AssertionError(end)


async def engine(port: int, seconds: float) -> int:
    """Messages through the channels that a load's users speak through."""
    address, wire = resolve(parse(f"ws://127.0.0.1:{port}/")), open_wire()
    askers = [Asker(time.monotonic_ns() + round(seconds * 1e9)) for _ in range(CONNECTIONS)]
    for asker in askers:
        asker.channel = JsonChannel(wire, address.place(None), address.uri, asker)
        asker.channel.start()
    for asker in askers:
        await asker.left.wait()
    wire.close()
    return sum(asker.done for asker in askers)


async def by_websockets(port: int, seconds: float) -> int:
    """Messages through `websockets`' own asyncio client."""
    end = time.monotonic() + seconds

    async def user() -> int:
        done = 0
        async with connect(f"ws://127.0.0.1:{port}/", ping_interval=None, compression=None) as peer:
            while time.monotonic() < end:
                await peer.send(TEXT % (time.time_ns() // 1_000_000, done))
                assert json.loads(await peer.recv())["sequenceId"] == done
                done += 1
        return done

    return sum(await asyncio.gather(*(user() for _ in range(CONNECTIONS))))


async def by_aiohttp(port: int, seconds: float) -> int:
    """Messages through aiohttp's client."""
    end = time.monotonic() + seconds

    async def user(session: aiohttp.ClientSession) -> int:
        done = 0
        async with session.ws_connect(f"http://127.0.0.1:{port}/") as peer:
            while time.monotonic() < end:
                await peer.send_str(TEXT % (time.time_ns() // 1_000_000, done))
                assert json.loads(await peer.receive_str())["sequenceId"] == done
                done += 1
        return done

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        return sum(await asyncio.gather(*(user(session) for _ in range(CONNECTIONS))))


CLIENTS: dict[str, Callable[[int, float], Awaitable[int]]] = {
    "engine": engine,
    "websockets": by_websockets,
    "aiohttp": by_aiohttp,
}


async def client(name: str, port: int) -> float:
    """This process's µs of CPU time a message, once warm."""
    await CLIENTS[name](port, SECONDS / 8)
    before = time.process_time()
    number = await CLIENTS[name](port, SECONDS)
    return (time.process_time() - before) * 1e6 / number


def program(core: int, *arguments: str) -> list[str]:
    """The command of a part of this benchmark on its own core, where the machine has several."""
    cores = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cores[core % len(cores)]), sys.executable, str(Path(__file__).resolve()), *arguments]


def main() -> None:
    """Take all clients in turn and print µs of CPU time a message."""
    figures: dict[str, list[float]] = {name: [] for name in CLIENTS}
    with subprocess.Popen(program(1, "serve"), stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        try:
            for _ in range(ROUNDS):
                for name, values in figures.items():
                    done = subprocess.run(
                        program(0, name, port), stdout=subprocess.PIPE, text=True, check=True, timeout=60
                    )
                    values.append(float(done.stdout))
        finally:
            server.kill()
    for name, values in figures.items():
        print(
            f"{name:<12}{statistics.median(values):6.1f} µs of CPU a message (rounds {min(values):.1f} to "
            f"{max(values):.1f})"
        )
    for name in ("websockets", "aiohttp"):
        ratio = statistics.median(a / b for a, b in zip(figures["engine"], figures[name], strict=True))
        print(f"engine ÷ {name}: {ratio:.2f}")
    print(f"limit of the engine on a quiet machine: {LIMIT_US:.0f} µs")


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        uvloop.run(serve())
    elif len(sys.argv) == 3:
        print(uvloop.run(client(sys.argv[1], int(sys.argv[2]))))
    else:
        main()
