"""Answers that break: each way has the kind of error that a load must find for it."""

from __future__ import annotations

import asyncio
import socket
import struct

from tests.load_servers import Answer, Received


def broken(data: bytes, *, reset: bool = False) -> Answer:
    """Write some bytes and close, in order or by reset."""

    async def answer(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        if data:
            writer.write(data)
            await writer.drain()
        if reset:
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        writer.close()

    return answer


def endless(start: bytes, more: bytes) -> Answer:
    """Write for ever, until the other side has had enough."""

    async def answer(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while not writer.is_closing():
            writer.write(more)
            await writer.drain()
            await asyncio.sleep(0)  # over TLS, drain may return without a turn of the loop, which has to see the end

    return answer


BROKEN: dict[str, tuple[Answer, str]] = {
    "half": (broken(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), "closed"),
    "nothing": (broken(b""), "closed"),
    "torn": (broken(b"", reset=True), "reset"),
    "half-chunk": (broken(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"), "closed"),
    "garbage": (broken(b"\x16\x03\x01 this is not HTTP\r\n\r\n"), "bad_status_line"),
    "huge-head": (broken(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000), "head_too_large"),
    "huge-body": (broken(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"), "body_too_large"),
    "two-lengths": (broken(b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello"), "bad_length"),
}


ENDLESS: dict[str, Answer] = {
    "body": endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65_536),
    "chunks": endless(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    ),
    "head": endless(b"HTTP/1.1 200 OK\r\n", b"X-More: " + b"y" * 1000 + b"\r\n"),
    "trailer": endless(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-More: " + b"y" * 200 + b"\r\n"
    ),
}
