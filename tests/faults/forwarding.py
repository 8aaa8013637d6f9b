"""What proxies of HTTP share: a whole request read, and passed on by a connection of its own."""

from __future__ import annotations

import asyncio
from contextlib import closing


async def whole_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[bytes, bytes]:
    """Head and body of the next request; a client that waits for leave to send its body gets it."""
    head = await reader.readuntil(b"\r\n\r\n")
    fields = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
    }
    if fields.get(b"expect", b"").lower() == b"100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
    return head, await reader.readexactly(int(fields.get(b"content-length", b"0")))


async def forwarded(port: int, head: bytes, body: bytes) -> bytes:
    """The whole answer to one request, on a connection of its own."""
    line, _, rest = head.partition(b"\r\n")
    kept = [row for row in rest.split(b"\r\n") if row and not row.lower().startswith((b"connection:", b"expect:"))]
    request = b"\r\n".join([line, *kept, b"Connection: close", b"", b""]) + body
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with closing(writer):
        writer.write(request)
        await writer.drain()
        return await reader.read()
