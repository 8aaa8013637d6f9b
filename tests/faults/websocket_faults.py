"""Hostile WebSocket servers: each behaviour by name, what becomes of a connection there, and its kinds of error."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import re
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.load_servers import Received, serving

Talk = Callable[[str, asyncio.StreamWriter], Awaitable[None]]
"""(value of Sec-WebSocket-Accept, writer): what a server does once it has read the request."""


@dataclass(frozen=True)
class Fault:
    """A behaviour; `opens` is whether connections open there at all, `kinds` are the errors that may be told."""

    talk: Talk
    opens: bool
    kinds: frozenset[str]


def frame(opcode: int, payload: bytes, *, fin: bool = True, masked: bool = False, length: int | None = None) -> bytes:
    """A frame of RFC 6455, 5.2, with another length than its own where one is asked for."""
    size = len(payload) if length is None else length
    mask = 0x80 if masked else 0
    head = bytes([(0x80 if fin else 0) | opcode])
    if size < 126:
        head += bytes([mask | size])
    elif size < 1 << 16:
        head += bytes([mask | 126]) + struct.pack("!H", size)
    else:
        head += bytes([mask | 127]) + struct.pack("!Q", size)
    return head + (bytes(4) if masked else b"") + payload


def accepted(accept: str) -> bytes:
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n\r\n"
    ).encode()


def refusing(data: bytes, *, close: bool = True) -> Talk:
    async def talk(_accept: str, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if close:
            writer.close()
        else:
            await asyncio.sleep(30)

    return talk


def opening(*pieces: bytes, every_s: float = 0.0, close: bool = False, repeat: bool = False) -> Talk:
    """Open in order, then write the pieces."""

    async def talk(accept: str, writer: asyncio.StreamWriter) -> None:
        writer.write(accepted(accept))
        await writer.drain()
        for piece in itertools.cycle(pieces) if repeat else pieces:
            if writer.is_closing():
                return
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(every_s)
        if close:
            writer.close()
        else:
            await asyncio.sleep(30)

    return talk


def dripping(data: bytes, every_s: float) -> Talk:
    async def talk(_accept: str, writer: asyncio.StreamWriter) -> None:
        for byte in data:
            if writer.is_closing():
                return
            writer.write(bytes([byte]))
            await asyncio.sleep(every_s)

    return talk


def _faults() -> dict[str, Fault]:
    def shut(talk: Talk, *kinds: str) -> Fault:
        return Fault(talk, opens=False, kinds=frozenset(kinds))

    def open_(talk: Talk, *kinds: str) -> Fault:
        return Fault(talk, opens=True, kinds=frozenset(kinds))

    switch = b"HTTP/1.1 101 Switching Protocols\r\n"
    upgrade = switch + b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
    text, binary, ping = 1, 2, 9
    return {
        # --- the handshake ---
        "nothing": shut(refusing(b""), "closed"),
        "silent": shut(refusing(b"", close=False), "timeout"),
        "drips": shut(dripping(upgrade * 100, 0.2), "timeout"),
        "garbage": shut(refusing(b"\x16\x03\x01 nonsense\r\n\r\n"), "protocol", "closed"),
        "ssh": shut(refusing(b"SSH-2.0-OpenSSH_9.2\r\n"), "protocol", "closed"),
        "status-200": shut(refusing(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"), "protocol"),
        "status-302": shut(refusing(b"HTTP/1.1 302 X\r\nLocation: ws://foreign.invalid/\r\n\r\n"), "protocol"),
        "status-401": shut(refusing(b"HTTP/1.1 401 X\r\nContent-Length: 0\r\n\r\n"), "protocol"),
        "status-403-long": shut(refusing(b"HTTP/1.1 403 X\r\nContent-Length: 999999999\r\n\r\n"), "protocol"),
        "status-429": shut(refusing(b"HTTP/1.1 429 X\r\nRetry-After: 99999999\r\n\r\n"), "protocol"),
        "status-500": shut(refusing(b"HTTP/1.1 500 X\r\n\r\n<html>"), "protocol"),
        "no-accept": shut(refusing(upgrade + b"\r\n"), "protocol"),
        "wrong-accept": shut(refusing(upgrade + b"Sec-WebSocket-Accept: AAAA\r\n\r\n"), "protocol"),
        "no-upgrade": shut(refusing(switch + b"Connection: Upgrade\r\n\r\n"), "protocol"),
        "http-1.0": shut(refusing(b"HTTP/1.0 101 X\r\nUpgrade: websocket\r\n\r\n"), "protocol"),
        "half-head": shut(refusing(upgrade), "closed"),
        "huge-head": shut(refusing(upgrade + b"X: " + b"y" * 70_000), "too_large"),
        "endless-head": shut(refusing(switch + b"X-More: yyyyyyyyyyyyyyyy\r\n" * 100_000), "too_large", "protocol"),
        # --- the frames ---
        "reserved-bit": open_(opening(b"\xc1\x00"), "protocol"),
        "unknown-opcode": open_(opening(frame(3, b"")), "protocol"),
        "unknown-control": open_(opening(frame(11, b"")), "protocol"),
        "masked": open_(opening(frame(text, b"hello", masked=True)), "protocol"),
        "not-utf-8": open_(opening(frame(text, b"\xff\xfe\xfd")), "bad_text"),
        "long-ping": open_(opening(frame(ping, b"p" * 200)), "protocol"),
        "split-ping": open_(opening(frame(ping, b"", fin=False)), "protocol"),
        "continued-nothing": open_(opening(frame(0, b"x")), "protocol"),
        "message-in-message": open_(opening(frame(text, b"a", fin=False), frame(text, b"b")), "protocol"),
        "too-large": open_(opening(frame(text, b"", length=(1 << 20) + 1)), "too_large"),
        "absurdly-large": open_(opening(frame(text, b"", length=1 << 62)), "too_large"),
        "negative-length": open_(opening(b"\x81\x7f" + b"\xff" * 8), "protocol", "too_large"),
        "endless-fragments": open_(
            opening(frame(text, b"x" * 65_536, fin=False), *[frame(0, b"x" * 65_536, fin=False)] * 40), "too_large"
        ),
        "half-frame": open_(opening(frame(text, b"half", length=100), close=True), "closed", "reset", "protocol"),
        "close-at-once": open_(opening(frame(8, struct.pack("!H", 1001)), close=True), "closed"),
        "close-without-code": open_(opening(frame(8, b""), close=True), "closed"),
        "close-of-one-byte": open_(opening(frame(8, b"\x03")), "protocol"),
        "close-code-bad": open_(opening(frame(8, struct.pack("!H", 1005))), "protocol"),
        "close-reason-bad": open_(opening(frame(8, struct.pack("!H", 1000) + b"\xff")), "protocol"),
        "gone-at-once": open_(opening(close=True), "closed", "reset"),
        # --- what it says ---
        "mute": open_(opening(), "timeout"),
        "ping-flood": open_(opening(frame(ping, b"x"), every_s=0.001, repeat=True), "timeout"),
        "binary-noise": open_(opening(frame(binary, bytes(range(256))), every_s=0.02, repeat=True), "timeout"),
        "not-json": open_(opening(frame(text, b"<<<"), every_s=0.02, repeat=True), "timeout"),
        "json-of-odd-types": open_(opening(frame(text, b'[1, null, {"type": 7, "seq": "x"}]')), "timeout"),
        "deep-json": open_(opening(frame(text, b"[" * 200_000)), "timeout"),
        "huge-number": open_(opening(frame(text, b'{"type": "x", "seq": ' + b"9" * 5000 + b"}")), "timeout"),
        "hostile-type": open_(opening(frame(text, b'{"type": "\\u001b[31m<script>", "seq": 1}')), "timeout"),
        "foreign-answers": open_(
            opening(frame(text, b'{"type": "pong", "id": "not-asked"}'), every_s=0.02, repeat=True), "timeout"
        ),
    }


FAULTS = _faults()
_KEY = re.compile(r"sec-websocket-key:\s*(\S+)", re.IGNORECASE)
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@contextmanager
def hostile(way: str) -> Iterator[Received]:
    """A server of one behaviour."""

    async def answer(received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        key = _KEY.search(received.heads[-1])
        accept = hashlib.sha1(((key[1] if key else "") + _GUID).encode()).digest()  # noqa: S324 - RFC 6455, 1.3
        await FAULTS[way].talk(base64.b64encode(accept).decode(), writer)

    with serving(answer) as received:
        yield received
