"""Hostile PostgreSQL servers, each behaviour by name: they speak as much of protocol 3 as it takes to be believed.

Messages and their layout: "Message Formats" in PostgreSQL's documentation (a letter, a length that counts itself,
the content).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import trustme

from tests.faults.outcome import SECRET
from tests.load_servers import listening

SSL, GSS = 80_877_103, 80_877_104
HOSTILE_TEXT = "\x1b[31m<script>alert(1)</script>\nsecond line"


def message(letter: bytes, content: bytes = b"") -> bytes:
    return letter + struct.pack("!i", len(content) + 4) + content


def error(state: str, text: str, severity: str = "FATAL") -> bytes:
    fields = (("S", severity), ("V", severity), ("C", state), ("M", text))
    return message(b"E", b"".join(key.encode() + value.encode() + b"\0" for key, value in fields) + b"\0")


_AUTHENTICATION = b"R"
READY = message(b"Z", b"I")
LET_IN = (
    message(_AUTHENTICATION, struct.pack("!i", 0))
    + b"".join(
        message(b"S", f"{name}\0{value}\0".encode())
        for name, value in (("server_version", "18.1"), ("client_encoding", "UTF8"), ("server_encoding", "UTF8"))
    )
    + message(b"K", struct.pack("!ii", 1, 1))
    + READY
)
COLUMN = message(b"T", struct.pack("!h", 1) + b"x\0" + struct.pack("!ihihih", 0, 0, 25, -1, -1, 0))


def row(value: bytes) -> bytes:
    return message(b"D", struct.pack("!hi", 1, len(value)) + value)


def sql_error(state: str, text: str) -> bytes:
    return error(state, text, "ERROR") + READY


GREETINGS: dict[str, tuple[bytes, str]] = {
    "speaks-http": (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "does not speak PostgreSQL's protocol"),
    "speaks-ssh": (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak PostgreSQL's protocol"),
    "wrong-password": (
        error("28P01", 'password authentication failed for user "app"'),
        "check the user and the password",
    ),
    "no-pg-hba": (error("28000", 'no pg_hba.conf entry for host "10.0.0.1"'), "allow this machine"),
    "wants-encryption": (
        error("28000", 'no pg_hba.conf entry for host "10.0.0.1", no encryption'),
        "sslmode=require",
    ),
    "no-such-role": (error("28000", 'role "app" does not exist'), "CREATE ROLE"),
    "no-such-database": (error("3D000", 'database "meals" does not exist'), "correct the database's name"),
    "too-many-clients": (error("53300", "sorry, too many clients already"), "raise max_connections"),
    "slots-reserved": (error("53300", "remaining connection slots are reserved"), "raise max_connections"),
    "too-many-of-the-role": (
        error("53300", 'too many connections for role "app"'),
        "limit of connections of the role",
    ),
    "starting": (error("57P03", "the database system is starting up"), "wait until it has started"),
    "shutting-down": (error("57P03", "the database system is shutting down"), "wait for its restart"),
    "in-recovery": (error("57P03", "the database system is in recovery mode"), "until it has recovered, and look"),
    "standby-not-ready": (
        error("57P03", "the database system is not yet accepting connections"),
        "until it has recovered",
    ),
    "another-language": (error("28P01", "Passwort-Authentifizierung für Benutzer fehlgeschlagen"), "mend that"),
    "hostile-text": (error("XX000", HOSTILE_TEXT), "refuses the connection"),
    "unknown-authentication": (message(_AUTHENTICATION, struct.pack("!i", 99)), "a way to authenticate"),
    "an-endless-error": (b"E" + struct.pack("!i", 2**30) + b"x" * 100_000, "does not answer"),
}
"""What is said to the start-up message, and a word of what the product must say then."""

ANSWERS: dict[str, tuple[bytes, str]] = {
    "terminated": (
        error("57P01", "terminating connection due to administrator command"),
        "terminating connection due to administrator command",
    ),
    "crashed": (
        error("57P02", "terminating connection because of crash of another server process"),
        "crash of another",
    ),
    "statement-timeout": (sql_error("57014", "canceling statement due to statement timeout"), "statement timeout"),
    "lock-timeout": (sql_error("55P03", "canceling statement due to lock timeout"), "lock timeout"),
    "read-only": (sql_error("25006", "cannot execute it in a read-only transaction"), "read-only transaction"),
    "no-rights": (sql_error("42501", "permission denied for view pg_settings"), "permission denied"),
    "no-memory": (sql_error("53200", "out of memory"), "out of memory"),
    "hostile-error": (sql_error("XX000", HOSTILE_TEXT), "script"),
    "no-rows": (COLUMN + message(b"C", b"SELECT 0\0") + READY, "has only 0 rows"),
    "another-column": (COLUMN + row(b"1") + message(b"C", b"SELECT 1\0") + READY, "has no column"),
    "not-utf-8": (COLUMN + row(b"\xff\xfe") + message(b"C", b"SELECT 1\0") + READY, "not UTF-8"),
    "garbage-answer": (b"\x00\xff\x16\x03\x01nonsense" * 50, "lost"),
    "a-row-without-columns": (row(b"1") + READY, "got no result"),
    "half-a-row-then-closed": (COLUMN + row(b"x" * 500)[:200], "lost"),
}
"""What is said to the first statement, and a word of what the product must say then."""

ENDLESS: dict[str, tuple[bytes, bytes, str]] = {
    "endless-rows": (COLUMN, row(b"1") * 5000, "sends too much"),
    "endless-wide-rows": (COLUMN, row(b"x" * 60_000), "sends too much"),
    "a-huge-field": (COLUMN + b"D" + struct.pack("!ihi", 2**30, 1, 2**30 - 10), b"x" * 65_536, "sends too much"),
    "endless-notices": (
        b"",
        message(b"N", b"SNOTICE\0C00000\0M" + b"n" * 500 + b"\0\0") * 50,
        "sends too much",
    ),
}
"""What the answer begins with, what follows it for ever, and the product's word."""

HANGS: dict[str, str] = {
    "silent": "does not answer",
    "silent-after-ssl": "does not answer",
    "authentication-hangs": "does not answer",
    "never-ready": "does not answer",
    "statement-hangs": "did not answer within",
    "statement-drips": "did not answer within",
    "closes": "the connection was closed",
    "resets": "the connection was closed",
    "closes-after-start-up": "the connection was closed",
    "resets-in-authentication": "the connection was closed",
    "closes-at-statement": "lost",
    "resets-at-statement": "lost",
}

ENCRYPTED: dict[str, tuple[str, str]] = {
    "no-encryption": ("require", "let the server speak TLS"),
    "garbage-for-encryption": ("require", "TLS"),
    "closes-for-encryption": ("require", "the connection was closed"),
    "unknown-certificate": ("verify-full", "mend the server's certificate"),
}
"""The address's sslmode, and a word of what must be said."""

EXPECTED: dict[str, str] = {
    **{way: word for way, (_, word) in (*GREETINGS.items(), *ANSWERS.items())},
    **{way: word for way, (_, _, word) in ENDLESS.items()},
    **{way: word for way, (_, word) in ENCRYPTED.items()},
    **HANGS,
}
"""Every behaviour with a word of what must be said of it."""


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _unknown() -> ssl.SSLContext:
    """A certificate of an authority that nobody knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


class _Peer:
    """One connection of one behaviour."""

    def __init__(self, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.way, self.reader, self.writer = way, reader, writer

    async def serve(self) -> None:
        if self.way == "silent":
            await asyncio.sleep(3600)
        if self.way in ("closes", "resets"):
            return self._end()
        await self._start_up()
        if self.way in GREETINGS:
            self.writer.write(GREETINGS[self.way][0])
            return await self._flush()
        if self.way == "closes-after-start-up":
            return self._end()
        if self.way in ("authentication-hangs", "resets-in-authentication"):
            self.writer.write(message(_AUTHENTICATION, struct.pack("!i", 5) + b"salt"))
            await self.reader.read(1)
            return self._end() if self.way.startswith("resets") else await asyncio.sleep(3600)
        if self.way == "never-ready":
            self.writer.write(message(_AUTHENTICATION, struct.pack("!i", 0)))
            return await self._for_ever(message(b"S", b"a\0b\0"), 0.2)
        self.writer.write(LET_IN)
        return await self._statements()

    async def _start_up(self) -> None:
        """Take the start-up message; requests for encryption before it are denied."""
        while True:
            length, code = struct.unpack("!ii", await self.reader.readexactly(8))
            if code not in (SSL, GSS):
                await self.reader.readexactly(length - 8)
                return
            if self.way == "silent-after-ssl":
                await asyncio.sleep(3600)
            if self.way == "garbage-for-encryption":
                self.writer.write(b"S")
                await self.reader.read(1)
                self.writer.write(GREETINGS["speaks-http"][0])
                await asyncio.sleep(3600)
            if self.way == "closes-for-encryption":
                self._end()
            if self.way == "unknown-certificate":
                self.writer.write(b"S")
                await self._flush()
                await self.writer.start_tls(_unknown())
            self.writer.write(b"N")

    async def _statements(self) -> None:
        while True:
            letter, length = struct.unpack("!ci", await self.reader.readexactly(5))
            await self.reader.readexactly(length - 4)
            if letter in (b"Q", b"S"):
                # of the extended protocol the parser and the binding have succeeded
                self.writer.write(b"" if letter == b"Q" else message(b"1") + message(b"2"))
                await self._answer()

    async def _answer(self) -> None:
        if self.way in ("closes-at-statement", "resets-at-statement"):
            self._end()
        elif self.way == "statement-hangs":
            await asyncio.sleep(3600)
        elif self.way == "statement-drips":
            await self._for_ever(message(b"S", b"a\0b\0"), 0.2)
        elif self.way in ENDLESS:
            first, rest, _ = ENDLESS[self.way]
            self.writer.write(first)
            await self._for_ever(rest, 0)
        else:
            self.writer.write(ANSWERS[self.way][0])
            await self._flush()
            if "FATAL" in str(ANSWERS[self.way][0]) or self.way.startswith(("half", "garbage")):
                self._end()

    async def _for_ever(self, piece: bytes, pause_s: float) -> None:
        while True:
            self.writer.write(piece)
            await self._flush()
            await asyncio.sleep(pause_s)

    async def _flush(self) -> None:
        await self.writer.drain()

    def _end(self) -> None:
        if self.way.startswith("resets"):
            _reset(self.writer)
        else:
            self.writer.close()


@contextmanager
def hostile(way: str) -> Iterator[int]:
    """The port of a server of one behaviour."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _Peer(way, reader, writer).serve()

    with listening(connected) as port:
        yield port


def address(way: str, port: int) -> str:
    """The address of a server of one behaviour, with the encryption that it is about."""
    mode = f"?sslmode={ENCRYPTED[way][0]}" if way in ENCRYPTED else ""
    return f"postgresql://app:{SECRET}@127.0.0.1:{port}/meals{mode}"
