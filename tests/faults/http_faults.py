"""Hostile HTTP servers: each behaviour by name, and the kinds of error that a load may find in it.

An empty set of kinds means a whole answer (whatever its status). Where two kinds are named, which of them comes first
depends on how the kernel cuts the stream.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import zlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from tests.load_faults import broken, endless
from tests.load_servers import Answer, Received

OK = b"HTTP/1.1 200 OK\r\n"
FOREIGN = "http://foreign.invalid/stolen"
"""Nobody may be asked for this; the tests count arrivals at a second server by its own address."""


@dataclass(frozen=True)
class Fault:
    """A behaviour; `kinds` are what it may count as, none for a whole answer."""

    answer: Answer
    kinds: frozenset[str] = frozenset()


def drip(pieces: Iterable[bytes], every_s: float) -> Answer:
    """Write piece after piece with pauses, until the other side is gone."""

    async def answer(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            if writer.is_closing():
                return
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(every_s)

    return answer


def whole(data: bytes) -> Answer:
    """Write an answer and keep the connection."""

    async def answer(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(data)

    return answer


def quiet(seconds: float) -> Answer:
    """Say nothing for so long, then close."""

    async def answer(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        writer.close()

    return answer


def half_closed(data: bytes) -> Answer:
    """Write, say that no more comes, and keep the socket."""

    async def answer(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        writer.write_eof()
        await asyncio.sleep(5)

    return answer


def sized(body: bytes, *lines: str, status: str = "200 OK") -> bytes:
    """An answer with a length."""
    head = "".join(f"{line}\r\n" for line in lines)
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode() + body


def chunked(*rest: bytes) -> bytes:
    return OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(rest)


def bomb() -> bytes:
    """Three megabytes on the wire that become three gigabytes."""
    packer = zlib.compressobj(9, wbits=31)
    start = packer.compress(b"0") + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)  # after a full flush it can be repeated
    return start + again * 3000


def lazily(make: Callable[[], bytes]) -> Answer:
    """Make the answer when it is first asked for."""
    made: list[bytes] = []

    async def answer(received: Received, target: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        if not made:
            made.append(await asyncio.to_thread(make))
        writer.write(made[0])
        await writer.drain()

    return answer


def _faults() -> dict[str, Fault]:
    closed, status_line, interim = frozenset({"closed"}), frozenset({"bad_status_line"}), frozenset({"bad_interim"})
    length, encoding, chunk = (
        frozenset({"bad_length"}),
        frozenset({"bad_transfer_encoding"}),
        frozenset({"bad_chunk"}),
    )
    long_head, long_body = frozenset({"head_too_large"}), frozenset({"body_too_large"})
    reset, timeout, fine = frozenset({"reset"}), frozenset({"timeout"}), frozenset[str]()
    cut = closed | reset
    one_x = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    table: dict[str, tuple[Answer, frozenset[str]]] = {
        # --- it ends too early ---
        "nothing": (broken(b""), closed),
        "torn": (broken(b"", reset=True), cut),
        "half-status": (broken(b"HTTP/1.1 2"), closed),
        "half-head": (broken(OK + b"Content-Ty"), closed),
        "half-body": (broken(OK + b"Content-Length: 100\r\n\r\nhalf"), closed),
        "torn-body": (broken(OK + b"Content-Length: 100\r\n\r\nhalf", reset=True), cut),
        "half-chunk": (broken(chunked(b"5\r\nhel")), closed),
        "no-last-chunk": (broken(chunked(b"5\r\nhello\r\n")), closed),
        "half-trailer": (broken(chunked(b"0\r\nX-A: 1\r\n")), closed),
        "half-closed": (half_closed(OK + b"Content-Length: 9\r\n\r\nhalf"), closed),
        "half-closed-silent": (half_closed(b""), closed),
        # --- it is not HTTP ---
        "garbage": (broken(b"\x16\x03\x01 this is not HTTP\r\n\r\n"), status_line),
        "binary": (broken(bytes(range(256)) * 8), status_line),
        "http-0.9": (broken(b"<html>hello</html>"), status_line),
        "tls-alert": (broken(b"\x15\x03\x03\x00\x02\x02\x28"), status_line),
        "ssh": (broken(b"SSH-2.0-OpenSSH_9.2\r\n"), status_line),
        "smtp": (broken(b"220 mail ESMTP\r\n\r\n"), status_line),
        "redis": (broken(b"-ERR unknown command 'GET'\r\n"), status_line),
        "http-2-preface": (broken(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), status_line),
        "http-2-settings": (broken(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00"), status_line),
        "lower-case": (broken(b"http/1.1 200 ok\r\n\r\n"), status_line),
        # --- its status line ---
        "version-3.7": (broken(b"HTTP/3.7 200 OK\r\nContent-Length: 0\r\n\r\n"), status_line),
        "version-1.9": (broken(b"HTTP/1.9 200 OK\r\nContent-Length: 0\r\n\r\n"), status_line),
        "status-99": (broken(b"HTTP/1.1 99 X\r\nContent-Length: 0\r\n\r\n"), status_line),
        "status-600": (broken(b"HTTP/1.1 600 X\r\nContent-Length: 0\r\n\r\n"), status_line),
        "status-000": (broken(b"HTTP/1.1 000 X\r\nContent-Length: 0\r\n\r\n"), status_line),
        "status-2000": (broken(b"HTTP/1.1 2000 X\r\nContent-Length: 0\r\n\r\n"), status_line),
        "status-word": (broken(b"HTTP/1.1 OK 200\r\nContent-Length: 0\r\n\r\n"), status_line),
        "status-minus": (broken(b"HTTP/1.1 -200 OK\r\nContent-Length: 0\r\n\r\n"), status_line),
        "interim-flood": (broken(one_x * 100), interim),
        "interim-for-ever": (endless(b"", one_x), interim),
        "switch": (broken(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"), interim),
        # --- its length ---
        "length-minus": (broken(OK + b"Content-Length: -5\r\n\r\nhello"), length),
        "length-plus": (broken(OK + b"Content-Length: +5\r\n\r\nhello"), length),
        "length-hex": (broken(OK + b"Content-Length: 0x5\r\n\r\nhello"), length),
        "length-float": (broken(OK + b"Content-Length: 5.0\r\n\r\nhello"), length),
        "length-word": (broken(OK + b"Content-Length: five\r\n\r\nhello"), length),
        "length-empty": (broken(OK + b"Content-Length:\r\n\r\nhello"), length),
        "length-unicode": (broken(OK + "Content-Length: ٥\r\n\r\nhello".encode()), length),
        "length-two": (broken(OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"), length),
        "length-list": (broken(OK + b"Content-Length: 5, 6\r\n\r\nhello"), length),
        "length-and-chunked": (
            broken(OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            length,
        ),
        "length-huge": (broken(OK + b"Content-Length: 99999999999\r\n\r\n"), long_body),
        "length-astronomic": (broken(OK + b"Content-Length: " + b"9" * 400 + b"\r\n\r\n"), length),
        "encoding-unknown": (broken(OK + b"Transfer-Encoding: gzip\r\n\r\nhello"), encoding),
        # --- its chunks ---
        "chunk-minus": (broken(chunked(b"-5\r\nhello\r\n0\r\n\r\n")), chunk),
        "chunk-word": (broken(chunked(b"five\r\nhello\r\n0\r\n\r\n")), chunk),
        "chunk-empty": (broken(chunked(b"\r\nhello\r\n0\r\n\r\n")), chunk),
        "chunk-huge": (broken(chunked(b"ffffffff\r\n")), long_body),
        "chunk-overflow": (broken(chunked(b"fffffffffffffffff\r\n")), chunk),
        "chunk-unended": (broken(chunked(b"5\r\nhelloXX0\r\n\r\n")), chunk),
        "chunk-extension": (endless(chunked(b"5;"), b"a" * 4096), chunk),
        "chunk-dust": (drip([chunked(), *itertools.repeat(b"1\r\nx\r\n", 10_000)], 0.05), timeout),
        # --- its headers ---
        "head-huge": (broken(OK + b"X: " + b"a" * 70_000), long_head),
        "head-for-ever": (endless(OK, b"X-More: " + b"y" * 1000 + b"\r\n"), long_head),
        "head-line-for-ever": (endless(OK + b"X: ", b"y" * 4096), long_head),
        "trailer-for-ever": (endless(chunked(b"0\r\n"), b"X-More: " + b"y" * 200 + b"\r\n"), long_head),
        "bare-newlines": (broken(b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"), closed),
        "cookie-hostile": (whole(sized(b"{}", "Set-Cookie: a=\x1b[31mred; Domain=foreign.invalid")), fine),
        "header-latin": (whole(sized(b"{}", "X-Name: Jos\xe9 \x7f")), fine),
        # --- its body ---
        "body-for-ever": (endless(OK + b"\r\n", b"x" * 65_536), long_body),
        "chunks-for-ever": (endless(chunked(), b"10000\r\n" + b"x" * 65_536 + b"\r\n"), long_body),
        "body-until-close": (broken(OK + b"\r\nhello"), fine),
        "more-than-length": (broken(OK + b"Content-Length: 5\r\n\r\nhello and more"), fine),
        "second-answer": (broken(sized(b"{}") + sized(b"stray")), fine),
        "body-of-204": (broken(b"HTTP/1.1 204 No Content\r\n\r\nbody"), fine),
        "gzip-bomb": (lazily(lambda: sized(bomb(), "Content-Encoding: gzip")), fine),
        "gzip-cut": (whole(sized(gzip.compress(b"hello" * 100)[:20], "Content-Encoding: gzip")), fine),
        "gzip-lie": (whole(sized(b"not gzip at all", "Content-Encoding: gzip")), fine),
        "json-lie": (whole(sized(b"<<<not json", "Content-Type: application/json")), fine),
        # --- its time ---
        "silent": (quiet(30), timeout),
        "drip-status": (drip([bytes([byte]) for byte in OK * 100], 0.3), timeout),
        "drip-head": (drip([OK, *itertools.repeat(b"X-A: b\r\n", 1000)], 0.2), timeout),
        "drip-body": (drip([OK + b"Content-Length: 1000\r\n\r\n", *itertools.repeat(b"x", 1000)], 0.2), timeout),
        "drip-without-length": (drip([OK + b"\r\n", *itertools.repeat(b"x", 1000)], 0.2), timeout),
        # --- where it sends one ---
        "redirect-foreign": (whole(sized(b"", f"Location: {FOREIGN}", status="302 Found")), fine),
        "redirect-loop": (whole(sized(b"", "Location: /redirect-loop", status="302 Found")), fine),
        "redirect-file": (whole(sized(b"", "Location: file:///etc/passwd", status="307 X")), fine),
        "redirect-userinfo": (whole(sized(b"", "Location: http://127.0.0.1@foreign.invalid/", status="301 X")), fine),
        "redirect-nowhere": (whole(sized(b"", status="302 Found")), fine),
        # --- how it refuses ---
        "refused-500": (whole(sized(b"oops", status="500 X")), fine),
        "refused-503": (whole(sized(b"", "Retry-After: 1", status="503 X")), fine),
        "later-silly": (whole(sized(b"", "Retry-After: 99999999999", status="429 X")), fine),
        "later-minus": (whole(sized(b"", "Retry-After: -5", status="429 X")), fine),
        "later-word": (whole(sized(b"", "Retry-After: soon\x1b[2J", status="503 X")), fine),
        "later-past": (whole(sized(b"", "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT", status="503 X")), fine),
    }
    return {name: Fault(answer, kinds) for name, (answer, kinds) in table.items()}


FAULTS = _faults()


def hostile() -> Callable[[Received, str, bytes, asyncio.StreamWriter], Awaitable[None]]:
    """Answers as the last part of the path says: `GET /half-body`; anything else is a whole answer."""

    async def answer(received: Received, target: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        name = target.partition("?")[0].rpartition("/")[2]
        fault = FAULTS.get(name)
        if fault is None:
            writer.write(sized(b"{}"))
            return
        await fault.answer(received, target, body, writer)

    return answer
