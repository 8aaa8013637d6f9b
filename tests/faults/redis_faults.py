"""Hostile Redis servers that answer every command alike: each behaviour by name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from tests.load_servers import listening

REPLIES: dict[str, bytes] = {
    "garbage": b"\x00\xff\x16\x03\x01nonsense\r\n",
    "http": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "empty-line": b"\r\n",
    "unknown-type": b"?5\r\nhello\r\n",
    "half-bulk": b"$100\r\nhalf",
    "half-array": b"*3\r\n:1\r\n",
    "bulk-minus": b"$-7\r\n\r\n",
    "bulk-word": b"$five\r\nhello\r\n",
    "bulk-huge": b"$999999999999\r\n",
    "bulk-unended": b"$5\r\nhelloXX",
    "array-minus": b"*-7\r\n",
    "array-huge": b"*999999999\r\n",
    "array-deep": b"*1\r\n" * 2000,
    "integer-word": b":seven\r\n",
    "integer-huge": b":" + b"9" * 400 + b"\r\n",
    "error-not-allowed": b"-NOPERM this user has no permissions\r\n",
    "error-auth": b"-NOAUTH Authentication required.\r\n",
    "error-loading": b"-LOADING Redis is loading the dataset in memory\r\n",
    "error-moved-foreign": b"-MOVED 1 foreign.invalid:6379\r\n",
    "error-moved-nowhere": b"-MOVED 99999 :0\r\n",
    "error-ask": b"-ASK 1 127.0.0.1:1\r\n",
    "error-hostile": b"-ERR \x1b[31m<script>alert(1)</script>\r\n",
    "error-endless-word": b"-ERR " + b"x" * 100_000 + b"\r\n",
    "null": b"$-1\r\n",
    "null-array": b"*-1\r\n",
    "ok": b"+OK\r\n",
    "resp3-map": b"%1\r\n+a\r\n+b\r\n",
    "resp3-push": b">2\r\n+invalidate\r\n*0\r\n",
    "not-utf-8": b"$4\r\n\xff\xfe\xfd\xfc\r\n",
    "two-replies": b"+OK\r\n+OK\r\n",
}
ENDLESS: dict[str, bytes] = {"line-for-ever": b"+" + b"x" * 4096, "bulk-for-ever": b"$2147483647\r\n" + b"y" * 65_536}
"""The first bytes, and then what follows their first line, for ever."""


async def _replies(way: str) -> AsyncIterator[bytes]:
    if way in REPLIES:
        yield REPLIES[way]
    elif way == "silent":
        await asyncio.sleep(3600)
    elif way == "drips":
        while True:
            await asyncio.sleep(0.2)
            yield b"x"
    elif way in ENDLESS:
        start = ENDLESS[way]
        yield start
        while True:
            yield start[-4096:]


@contextmanager
def hostile(way: str) -> Iterator[int]:
    """The port of a server of one behaviour; `silent`, `closes` and `drips` are ways too."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (data := await reader.read(65_536)) and way != "closes":
            for _ in range(max(1, sum(line.startswith(b"*") for line in data.split(b"\r\n")))):
                async for piece in _replies(way):
                    writer.write(piece)
                    await writer.drain()

    with listening(connected) as port:
        yield port


WAYS = ("silent", "closes", "drips", *REPLIES, *ENDLESS)
