"""A proxy before an S3 that is busy, forgetful or broken: it throttles PUTs, and loses the answers to others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.faults.forwarding import forwarded, whole_request
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
            head, body = await whole_request(reader, writer)
            put = head.startswith(b"PUT ")
            told.puts += put
            if put and told.puts % slow_every == 0:
                told.slowed += 1
                writer.write(b"HTTP/1.1 503 Slow Down\r\nContent-Length: %d\r\n\r\n%b" % (len(_SLOW), _SLOW))
                await writer.drain()
                continue
            answer = await forwarded(int(port or 0), head, body)
            if put and told.puts % lose_every == 0:
                told.lost += 1
                return
            writer.write(answer)
            await writer.drain()

    with listening(connected) as own:
        told.address = f"http://127.0.0.1:{own}"
        yield told
