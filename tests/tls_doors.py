"""TLS before servers that speak none, and doors that take both, told apart by the first byte of a connection."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import trustme

_HANDSHAKE = b"\x16"


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: bytes = b"") -> None:
    try:
        writer.write(first)
        while data := await reader.read(65536):
            writer.write(data)
    except OSError:
        pass
    finally:
        writer.close()


async def _joined(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: int, first: bytes = b""
) -> None:
    inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", target)
    await asyncio.gather(_pump(reader, inner_writer, first), _pump(inner_reader, writer))


@asynccontextmanager
async def secured(target: int, authority: trustme.CA, name: str = "127.0.0.1") -> AsyncIterator[int]:
    """TLS before a server that speaks none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    server = await asyncio.start_server(
        lambda reader, writer: _joined(reader, writer, target), "127.0.0.1", 0, ssl=context
    )
    async with server:
        yield int(server.sockets[0].getsockname()[1])


Door = tuple[int, list[bool]]
"""A port, and for each of its connections whether it came by TLS."""


@contextmanager
def doors(authority: trustme.CA, *targets: int) -> Iterator[list[Door]]:
    """Ports that take TLS and what is none, one before each server; they are served by a thread of their own."""
    opened: Future[list[Door]] = Future()
    over: Future[None] = Future()

    async def serve() -> None:
        async with AsyncExitStack() as stack:
            opened.set_result([await stack.enter_async_context(_door(one, authority)) for one in targets])
            await asyncio.wrap_future(over)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        yield opened.result(10)
    finally:
        over.set_result(None)
        thread.join(10)


@asynccontextmanager
async def _door(target: int, authority: trustme.CA) -> AsyncIterator[Door]:
    seen: list[bool] = []
    async with secured(target, authority) as by_tls:

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            first = await reader.read(65536)
            seen.append(first.startswith(_HANDSHAKE))
            await _joined(reader, writer, by_tls if seen[-1] else target, first)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            yield int(server.sockets[0].getsockname()[1]), seen
