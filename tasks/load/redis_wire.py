"""Speaks the Redis protocol over sockets of our own: read-only by construction, each call with a total deadline.

The blocking connection serves whoever looks at a server (counters, key samples, `doctor`); `login_commands` and
`encode` serve the probe's event loop as well. Replies are parsed by `hiredis.Reader`. Only commands of `READ_ONLY`
are ever sent: anything else is a `ValueError` before a byte leaves.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

import hiredis

from storage.errors import NotMeasuredError, TargetUnreachableError

READ_ONLY = frozenset(
    {
        "AUTH",
        "CLIENT NO-TOUCH",
        "CLIENT SETNAME",
        "DBSIZE",
        "EXEC",
        "GET",
        "INFO",
        "MEMORY USAGE",
        "MULTI",
        "OBJECT IDLETIME",
        "PING",
        "PTTL",
        "SCAN",
        "SELECT",
        "SLOWLOG GET",
        "TIME",
        "TYPE",
    }
)
"""All that this project ever sends to a cache: none of it changes a key, its expiry or the server's settings."""

_CONTAINERS = frozenset({"CLIENT", "MEMORY", "OBJECT", "SLOWLOG"})
_NO_LOGIN = "NOAUTH"
_REPLY_LIMIT = 64 << 20
_CHUNK = 1 << 16
_PORT = 6379

ReplyError = hiredis.ReplyError
"""An error that the server answered, such as NOPERM: a value among the replies of a pipeline."""


@dataclass(frozen=True)
class RedisAddress:
    """Where a Redis-protocol server is and how to log in; `name` is all of it that may be shown."""

    host: str
    port: int = _PORT
    db: int = 0
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    verify: bool = True
    ca_file: str | None = None

    @property
    def name(self) -> str:
        """`host:port`, as messages show it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read `redis[s]://[[user]:password@]host[:port][/db]`; the text of an error never shows the address."""
        remedy = "give it the form redis[s]://[user:password@]host[:port][/db]"
        try:
            parts = urlsplit(url)
            port = parts.port or _PORT
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            db = int(query.get("db") or parts.path.strip("/") or 0)
        except ValueError:
            raise NotMeasuredError(f"the address of the cache cannot be read; {remedy}") from None
        if parts.scheme not in ("redis", "rediss") or not parts.hostname or db < 0:
            raise NotMeasuredError(f"the address of the cache is not one of Redis; {remedy}")
        return cls(
            host=parts.hostname,
            port=port,
            db=db,
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            tls=parts.scheme == "rediss",
            verify=query.get("ssl_cert_reqs", "required") != "none",
            ca_file=query.get("ssl_ca_certs"),
        )

    def tls_context(self) -> ssl.SSLContext | None:
        """The TLS settings, None for a plain connection; verification is off only where the URL says so."""
        if not self.tls:
            return None
        context = ssl.create_default_context(cafile=self.ca_file)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def encode(*arguments: str | bytes | int) -> bytes:
    """One command in RESP; a `ValueError` where it is not in `READ_ONLY`."""
    words = [part if isinstance(part, bytes) else str(part).encode() for part in arguments]
    verb = words[0].decode().upper()
    if verb in _CONTAINERS and len(words) > 1:
        verb = f"{verb} {words[1].decode().upper()}"
    if verb not in READ_ONLY:
        msg = f"{verb} is not a command that reads only"
        raise ValueError(msg)
    return b"".join([b"*%d\r\n" % len(words), *(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)])


def login_commands(address: RedisAddress) -> list[bytes]:
    """What a new connection sends first, in order: AUTH and SELECT where the address asks for them."""
    commands = []
    if address.password is not None:
        user = (address.username,) if address.username else ()
        commands.append(encode("AUTH", *user, address.password))
    if address.db:
        commands.append(encode("SELECT", address.db))
    return commands


def refusal(address: RedisAddress, error: Exception) -> NotMeasuredError:
    """The error for a login that the server refused; the server's first word alone is shown."""
    code = (str(error).split() or ["ERR"])[0]
    return NotMeasuredError(
        f"the cache at {address.name} refused the login ({code}); check user, password and database of its address"
    )


def unreachable(address: RedisAddress, error: BaseException) -> TargetUnreachableError:
    """The error for an address at which nothing answers."""
    reason = "no answer in time" if isinstance(error, TimeoutError) else (str(error) or type(error).__name__)
    return TargetUnreachableError(
        f"the cache at {address.name} cannot be reached ({reason}); check that it runs and that its address is right"
    )


class RedisConnection:
    """One blocking connection; every call ends by its total deadline, however slowly the peer trickles.

    A `with` block closes it. Errors of the wire are `TargetUnreachableError`; after one, the connection is closed
    and may be opened again.
    """

    def __init__(self, address: RedisAddress, *, timeout_s: float = 5.0) -> None:
        self.address = address
        self.timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self._reader = hiredis.Reader()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Connect and log in."""
        self.close()
        end = time.monotonic() + self.timeout_s
        try:
            self._socket = self._connect(end)
        except OSError as error:
            raise unreachable(self.address, error) from error
        *login, pong = self._exchange([*login_commands(self.address), encode("PING")], end)
        for reply in (*login, pong):
            if isinstance(reply, ReplyError) and (reply is not pong or str(reply).startswith(_NO_LOGIN)):
                self.close()
                raise refusal(self.address, reply)

    def _connect(self, end: float) -> socket.socket:
        plain = socket.create_connection((self.address.host, self.address.port), timeout=_left(end))
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            context = self.address.tls_context()
            if context is None:
                return plain
            plain.settimeout(_left(end))
            return context.wrap_socket(plain, server_hostname=self.address.host)
        except BaseException:
            plain.close()
            raise

    def close(self) -> None:
        """Close the connection; no error where it is closed already."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._reader = hiredis.Reader()

    def call(self, *arguments: str | bytes | int, timeout_s: float | None = None) -> Any:
        """Send one command and return its reply; an error that the server answers is raised as `ReplyError`."""
        reply = self.pipeline([arguments], timeout_s=timeout_s)[0]
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    def pipeline(
        self, commands: Sequence[Sequence[str | bytes | int]], *, timeout_s: float | None = None
    ) -> list[Any]:
        """Send commands at once and return their replies in order; a server's errors stand among them."""
        end = time.monotonic() + (self.timeout_s if timeout_s is None else timeout_s)
        if self._socket is None:
            self.open()
        return self._exchange([encode(*command) for command in commands], end)

    def _exchange(self, encoded: Sequence[bytes], end: float) -> list[Any]:
        try:
            return self._converse(encoded, end)
        except (OSError, hiredis.ProtocolError) as error:
            self.close()
            raise unreachable(self.address, error) from error

    def _converse(self, encoded: Sequence[bytes], end: float) -> list[Any]:
        if self._socket is None or not encoded:
            return []
        self._socket.settimeout(_left(end))
        self._socket.sendall(b"".join(encoded))
        replies: list[Any] = []
        received = 0
        while len(replies) < len(encoded):
            self._socket.settimeout(_left(end))
            chunk = self._socket.recv(_CHUNK)
            received += len(chunk)
            if not chunk:
                raise ConnectionResetError("it closed the connection")
            if received > _REPLY_LIMIT:
                raise ConnectionAbortedError(f"an answer of more than {_REPLY_LIMIT >> 20} MB")
            self._reader.feed(chunk)
            while len(replies) < len(encoded) and (reply := self._reader.gets()) is not False:
                replies.append(reply)
        return replies


def _left(end: float) -> float:
    """Seconds until the deadline; a `TimeoutError` where it has passed."""
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    return left


def parse_info(reply: bytes) -> dict[str, str]:
    """The fields of an INFO answer, section headings left out; later fields of one name win.

    https://valkey.io/commands/info/: `field:value` lines ended by CR LF.
    """
    text = reply.decode(errors="replace")
    pairs = (line.partition(":") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: value for name, colon, value in pairs if colon}
