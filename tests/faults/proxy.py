"""A TCP proxy on the loopback that breaks what passes through it: each fault by name."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from tests.load_servers import listening

_PIECE = 65_536


@dataclass(frozen=True)
class Fault:
    """What happens to bytes on their way from the server; the way to it is open but where `deaf` is set.

    `after` bytes pass unharmed, then: `end` ("close", "reset", "stall" or "corrupt"). `delay_s` holds each piece,
    `rate` bytes a second pass at most, `piece` bytes at a time. `accept` "close" or "reset" ends each connection as
    it comes, "hold" says nothing to it. `only` counts the connections that are harmed, the first ones.
    """

    after: int = -1
    end: str = ""
    delay_s: float = 0.0
    rate: float = 0.0
    piece: int = _PIECE
    accept: str = ""
    deaf: bool = False
    only: int = 1 << 30


FAULTS: dict[str, Fault] = {
    "closed-at-once": Fault(accept="close"),
    "reset-at-once": Fault(accept="reset"),
    "held": Fault(accept="hold"),
    "deaf": Fault(deaf=True),
    "closed-after-greeting": Fault(after=40, end="close"),
    "closed-after-4k": Fault(after=4096, end="close"),
    "reset-after-greeting": Fault(after=40, end="reset"),
    "reset-after-4k": Fault(after=4096, end="reset"),
    "stalled-after-greeting": Fault(after=40, end="stall"),
    "stalled-after-4k": Fault(after=4096, end="stall"),
    "corrupt-from-the-start": Fault(after=0, end="corrupt"),
    "corrupt-after-4k": Fault(after=4096, end="corrupt"),
    "one-byte-at-a-time": Fault(piece=1),
    "slow-by-50-ms": Fault(delay_s=0.05),
    "a-trickle": Fault(rate=200.0, piece=10),
    "the-first-two-are-reset": Fault(accept="reset", only=2),
}


@dataclass
class Proxy:
    """A proxy that runs: its port, and how many connections it took."""

    port: int = 0
    connections: int = 0


@contextmanager
def proxy(to: int, fault: Fault) -> Iterator[Proxy]:
    """Stand before a port of the loopback until the block ends."""
    told = Proxy()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told.connections += 1
        harmed = fault if told.connections <= fault.only else Fault()
        if harmed.accept:
            await _refuse(harmed.accept, writer)
            return
        there, back = await asyncio.open_connection("127.0.0.1", to)
        with closing(back):
            ways = (_pass(reader, back, deaf=harmed.deaf), _break(there, writer, harmed))
            await asyncio.gather(*ways, return_exceptions=True)

    with listening(connected) as told.port:
        yield told


async def _refuse(how: str, writer: asyncio.StreamWriter) -> None:
    if how == "hold":
        await asyncio.sleep(3600)
    _end(how, writer)


def _end(how: str, writer: asyncio.StreamWriter) -> None:
    if how == "reset":
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    else:
        writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, deaf: bool) -> None:
    while data := await reader.read(_PIECE):
        if not deaf:
            writer.write(data)
            await writer.drain()
    writer.close()


async def _break(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault) -> None:
    noise: Callable[[int], bytes] = random.Random(7).randbytes  # noqa: S311 - a test's
    passed = 0
    while data := await reader.read(fault.piece):
        if fault.delay_s:
            await asyncio.sleep(fault.delay_s)
        if fault.rate:
            await asyncio.sleep(len(data) / fault.rate)
        whole = data if fault.after < 0 else data[: max(0, fault.after - passed)]
        rest = data[len(whole) :]
        passed += len(data)
        writer.write(whole + (noise(len(rest)) if fault.end == "corrupt" else b""))
        await writer.drain()
        if rest and fault.end in ("close", "reset"):
            _end(fault.end, writer)
            return
        if rest and fault.end == "stall":
            await asyncio.sleep(3600)
    writer.close()
