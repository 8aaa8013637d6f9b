"""A blocking connection to a Redis-protocol server, read-only by construction, each call with a total deadline.

It serves whoever looks at a server: counters, key samples, discovery, `doctor`. Replies are parsed by
`hiredis.Reader`. Load goes over `tasks.load.redis.raw`.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Sequence
from typing import Any, Self

import hiredis

from storage.errors import NotMeasuredError, TargetUnreachableError
from tasks.load.redis.address import RedisAddress
from tasks.load.redis.commands import READ_ONLY, Command, Word, encode, login_commands
from tasks.load.redis.headers import TOO_MANY
from tasks.load.wire.deadline import connected, greeted, left

__all__ = [
    "READ_ONLY",
    "RedisAddress",
    "RedisConnection",
    "ReplyError",
    "code_of",
    "encode",
    "login_commands",
    "parse_info",
    "refusal",
    "unreachable",
]

_NO_LOGIN = "NOAUTH"
_REPLY_LIMIT = 64 << 20
_HEADER = 16
_CHUNK = 1 << 16

ReplyError = hiredis.ReplyError
"""An error that the server answered, such as NOPERM: a value among the replies of a pipeline."""

_REMEDIES = {
    "WRONGPASS": "correct user and password in its address",
    "NOAUTH": "its address needs a password: redis[s]://[user]:password@host",
    "NOPERM": "grant its user what docs/cache.md lists (ACL SETUSER)",
}


def code_of(error: Exception) -> str:
    """The first word of a server's error: all of it that may be shown."""
    return (str(error).split() or ["ERR"])[0]


def refusal(address: RedisAddress, error: Exception) -> NotMeasuredError:
    """The error for a login that the server refused; the server's first word alone is shown."""
    code = code_of(error)
    remedy = _REMEDIES.get(code, "check user, password and database of its address")
    return NotMeasuredError(f"the cache at {address.name} refused the login ({code}); {remedy}")


def unreachable(address: RedisAddress, error: BaseException) -> TargetUnreachableError:
    """The error for an address at which nothing answers, or nobody who can prove to be it."""
    name = address.name
    if isinstance(error, ssl.SSLCertVerificationError):
        return TargetUnreachableError(
            f"the certificate of the cache at {name} cannot be verified ({error.verify_message}); "
            "name its authority by ssl_ca_certs in its address"
        )
    reason = "no answer in time" if isinstance(error, TimeoutError) else (str(error) or type(error).__name__)
    return TargetUnreachableError(
        f"the cache at {name} cannot be reached ({reason}); check that it runs and that its address is right"
    )


class RedisConnection:
    """One blocking connection; every call ends by its total deadline, however slowly the peer trickles.

    A `with` block closes it. Errors of the wire are `TargetUnreachableError`; after one, the connection is closed
    and may be opened again.
    """

    def __init__(self, address: RedisAddress, *, timeout_s: float = 5.0) -> None:
        self.address = address
        self.timeout_s = timeout_s
        self.ip = ""
        """Of the server, once it was connected to."""
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
        if not isinstance(pong, ReplyError) and pong != b"PONG":
            self.close()
            raise unreachable(self.address, ValueError("what answers there is no Redis"))

    def _connect(self, end: float) -> socket.socket:
        plain = connected(self.address.host, self.address.port, end)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.ip = str(plain.getpeername()[0])
            context = self.address.tls_context()
            if context is None:
                return plain
            return greeted(plain, context, self.address.host, end)
        except BaseException:
            plain.close()
            raise

    def close(self) -> None:
        """Close the connection; no error where it is closed already."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._reader = hiredis.Reader()

    def call(self, *arguments: Word, timeout_s: float | None = None) -> Any:
        """Send one command and return its reply; an error that the server answers is raised as `ReplyError`."""
        reply = self.pipeline([arguments], timeout_s=timeout_s)[0]
        if isinstance(reply, ReplyError):
            raise reply
        return reply

    def pipeline(self, commands: Sequence[Sequence[Word]], *, timeout_s: float | None = None) -> list[Any]:
        """Send commands at once and return their replies in order; a server's errors stand among them."""
        return self._send([encode(*command) for command in commands], timeout_s)

    def send(self, commands: Sequence[Command], *, timeout_s: float | None = None) -> list[Any]:
        """Like `pipeline`, for commands that were made already, such as those of `OwnKeys`."""
        return self._send([command.data for command in commands], timeout_s)

    def _send(self, encoded: Sequence[bytes], timeout_s: float | None) -> list[Any]:
        end = time.monotonic() + (self.timeout_s if timeout_s is None else timeout_s)
        if self._socket is None:
            self.open()
        return self._exchange(encoded, end)

    def _exchange(self, encoded: Sequence[bytes], end: float) -> list[Any]:
        try:
            return self._converse(encoded, end)
        except (OSError, hiredis.ProtocolError) as error:
            self.close()
            raise unreachable(self.address, error) from error

    def _converse(self, encoded: Sequence[bytes], end: float) -> list[Any]:
        if self._socket is None or not encoded:
            return []
        self._socket.settimeout(left(end))
        self._socket.sendall(b"".join(encoded))
        replies: list[Any] = []
        received, tail = 0, b""
        while len(replies) < len(encoded):
            self._socket.settimeout(left(end))
            chunk = self._socket.recv(_CHUNK)
            received += len(chunk)
            if not chunk:
                raise ConnectionResetError("it closed the connection")
            if received > _REPLY_LIMIT:
                raise ConnectionAbortedError(f"an answer of more than {_REPLY_LIMIT >> 20} MB")
            tail = tail[-_HEADER:] + chunk
            if TOO_MANY.search(tail):
                raise ConnectionAbortedError("it announces an answer of ten million elements or more")
            self._reader.feed(chunk)
            while len(replies) < len(encoded) and (reply := self._reader.gets()) is not False:
                replies.append(reply)
        return replies


def parse_info(reply: bytes) -> dict[str, str]:
    """The fields of an INFO answer, section headings left out; later fields of one name win.

    https://valkey.io/commands/info/: `field:value` lines ended by CR LF.
    """
    text = reply.decode(errors="replace")
    pairs = (line.partition(":") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: value for name, colon, value in pairs if colon}
