"""Small servers on the loopback with planted behaviour, each in a thread of its own, that count what they receive."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Received:
    """What reached a server."""

    port: int = 0
    connections: int = 0
    requests: int = 0
    targets: Counter[str] = field(default_factory=Counter)
    bodies: list[bytes] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)


Answer = Callable[[Received, str, bytes, asyncio.StreamWriter], Awaitable[None]]
"""(what was received, method and target, body, writer): writes an answer, or breaks off."""


def reply(status: int = 200, body: bytes = b"{}", *, head: str = "") -> bytes:
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode() + body


Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextmanager
def listening(connected: Connected, *, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port of a server with a thread of its own; at the end of the block every connection is gone."""
    writers: list[asyncio.StreamWriter] = []
    ready, loop, ports = threading.Event(), asyncio.new_event_loop(), [0]

    async def kept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError), closing(writer):
            await connected(reader, writer)

    async def serve(stop: asyncio.Event) -> None:
        server = await asyncio.start_server(kept, "127.0.0.1", 0, ssl=context, backlog=1024)
        ports[0] = server.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        await asyncio.sleep(0.05)  # connections that were accepted get their handler
        server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0.02)  # transports close in the loop's next turns

    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(serve(stop)), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield ports[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


@contextmanager
def serving(answer: Answer, *, context: ssl.SSLContext | None = None) -> Iterator[Received]:
    """Serve until the block ends."""
    received = Received()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.connections += 1
        while not writer.is_closing():
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            line, _, rest = head.partition("\r\n")
            lengths = [row[15:] for row in rest.split("\r\n") if row.lower().startswith("content-length:")]
            body = await reader.readexactly(int(lengths[0])) if lengths else b""
            received.requests += 1
            target = line.rpartition(" ")[0]
            received.targets[target.partition("?")[0]] += 1
            received.heads.append(head)
            received.bodies.append(body)
            await answer(received, target, body, writer)

    with listening(connected, context=context) as received.port:
        yield received
