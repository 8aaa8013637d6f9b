"""A proxy before an S3 that is busy, forgetful or broken: it throttles PUTs, and loses the answers to others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.load_servers import listening

_SLOW = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)


@dataclass
class Troubled:
    """What it did: `slowed` PUTs were refused by SlowDown, `lost` ones were carried out and never answered."""

    address: str = ""
    puts: int = 0
    slowed: int = 0
    lost: int = 0


@contextmanager
def troubled(s3: str, *, slow_every: int = 3, lose_every: int = 7) -> Iterator[Troubled]:
    """Every so many PUTs are refused, and the answer to every so many of the others is lost."""
    told = Troubled()
    port = urlsplit(s3).port

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            fields = {
                name.strip().lower(): value.strip()
                for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
            }
            if fields.get(b"expect", b"").lower() == b"100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                await writer.drain()
            body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
            put = head.startswith(b"PUT ")
            told.puts += put
            if put and told.puts % slow_every == 0:
                told.slowed += 1
                writer.write(b"HTTP/1.1 503 Slow Down\r\nContent-Length: %d\r\n\r\n%b" % (len(_SLOW), _SLOW))
                await writer.drain()
                continue
            answer = await _forwarded(int(port or 0), head, body)
            if put and told.puts % lose_every == 0:
                told.lost += 1
                return
            writer.write(answer)
            await writer.drain()

    with listening(connected) as own:
        told.address = f"http://127.0.0.1:{own}"
        yield told


async def _forwarded(port: int, head: bytes, body: bytes) -> bytes:
    """The whole answer to one request, on a connection of its own."""
    line, _, rest = head.partition(b"\r\n")
    kept = [row for row in rest.split(b"\r\n") if row and not row.lower().startswith((b"connection:", b"expect:"))]
    request = b"\r\n".join([line, *kept, b"Connection: close", b"", b""]) + body
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with closing(writer):
        writer.write(request)
        await writer.drain()
        return await reader.read()
