"""A read-only PostgreSQL session in which every operation has a total deadline; errors name the server, no secret.

A time-out of libpq counts per read, and `statement_timeout` needs a server that keeps its word: a peer that trickles
bytes would hold a client for ever. Here a watchdog cuts the socket when an operation's time is over.

Through PgBouncer in transaction mode a session setting would leak to other clients. A pooler refuses start-up
options, and then each statement runs in a transaction of its own, `READ ONLY` and with `SET LOCAL` time-outs.
"""

from __future__ import annotations

import math
import os
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict

from storage.errors import NotMeasuredError, TargetUnreachableError
from tasks.load.database import bounded
from tasks.load.database.bounded import AnswerTooLargeError, BoundedConnection

APPLICATION = "hasivu-perf"
"""application_name of every session of this project."""

MARK = "/* hasivu-perf */"
"""Stands inside each statement of this project, so that pg_stat_statements tells it from the application's."""

CONNECT_S = 10.0
"""Total time for a connection, name service and handshake included."""

_FIRST_WORD = re.compile(r"^(\s*\w+)")
_HOST = re.compile(r"^[A-Za-z0-9_.:%/-]*$")
_POOLERS = ("unsupported startup parameter", "RDS Proxy")
"""What PgBouncer and RDS Proxy say of start-up options."""

_LOCK_MS = 500
_IDLE_IN_TRANSACTION_MS = 10_000
_GRACE_S = 1.0
_TICK_S = 0.05
_CLOSE_TICK_S = 0.01
"""While a statement lasts: a fast peer sends tens of megabytes in a longer one."""

_LINE = 300

Row = bounded.Row
Kind = Literal["timeout", "closed", "protocol", "too_large", "refused"]


class QueryError(Exception):
    """A statement without a result; the text is one line without secrets, `kind` says what became of it.

    `timeout` the server's or the client's limit · `closed` the connection broke · `protocol` bytes that cannot be
    read, or not what was asked for · `too_large` more bytes than this program takes · `refused` the server answered
    with an error, whose SQLSTATE is `state`.
    """

    def __init__(self, message: str, kind: Kind, state: str = "") -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.state = state

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return _BY_STATE.get(self.state) or _BY_KIND[self.kind]


_BY_KIND: Mapping[Kind, str] = {
    "timeout": "check the server's load and the network",
    "closed": "look into the server's log for why the session ended, and check the network",
    "protocol": "check that a PostgreSQL server of a known version answers there, and nothing else",
    "too_large": "check what answers there: no catalog of an ordinary database is that large",
    "refused": "mend that at the server",
}
_BY_STATE: Mapping[str, str] = {
    "25006": "give the address of the primary, or of a role whose sessions may write",
    "42501": "GRANT pg_monitor and pg_read_all_data to the role",
    "53100": "free disk space at the server",
    "53200": "free memory at the server",
    "53300": "raise max_connections, or end sessions that nobody needs",
    "55P03": "wait until the lock is free, or end who holds it",
    "57P01": "start the server again, or wait for its restart",
    "57P02": "wait until the server has recovered, and look into its log",
}
"""By SQLSTATE (PostgreSQL's documentation, "PostgreSQL Error Codes"), where more is known than by the kind."""


@dataclass(frozen=True)
class Server:
    """Where to connect: libpq's parameters, and how a message calls it (`host:port/dbname`)."""

    parameters: Mapping[str, str] = field(repr=False)
    shown: str

    @property
    def user(self) -> str:
        """The role that connects; empty where the address leaves it to the operating system."""
        return self.parameters.get("user", "")

    def clean(self, text: str) -> str:
        """One short line of a message: the password masked, plain and percent-quoted, and nothing for terminals."""
        lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
        line = "".join(one if one.isprintable() else "?" for one in lines[0]) if lines else "no message"
        for secret in _secrets(self.parameters):
            line = line.replace(secret, "***")
        return line if len(line) <= _LINE else line[: _LINE - 1] + "…"


class _Answer(Row):
    """One row; a column that is not there is the server's fault, not this program's."""

    def __missing__(self, column: str) -> Any:
        raise QueryError(f"an answer has no column {column}: this is no PostgreSQL that is known here", "protocol")


class _Answers(list[Row]):
    """All rows; one that should be there and is not is the server's fault, too."""

    def __getitem__(self, which: Any) -> Any:
        try:
            return super().__getitem__(which)
        except IndexError:
            message = f"an answer has only {len(self)} rows: this is no PostgreSQL that is known here"
            raise QueryError(message, "protocol") from None


def marked(sql: str) -> str:
    """A statement with this project's mark behind its first word (at its end where it begins otherwise)."""
    found, count = _FIRST_WORD.subn(rf"\1 {MARK}", sql, count=1)
    return found if count else f"{sql} {MARK}"


def _secrets(parameters: Mapping[str, str]) -> list[str]:
    found = [parameters[name] for name in ("password", "sslpassword") if parameters.get(name)]
    return sorted({form for secret in found for form in (secret, quote(secret, safe=""))}, key=len, reverse=True)


def parse(url: str, variable: str) -> Server:
    """Take an address apart; `NotMeasuredError` names the variable that held it, never what it holds.

    A password with an unquoted `@`, `:` or `/` would turn up in half as host, port or database: such an address is
    refused before anything could print it.
    """
    wanted = "set it to postgresql://user:password@host:5432/dbname, with @ : / ? # % in the password percent-encoded"
    try:
        given = {key: str(value) for key, value in conninfo_to_dict(url.strip()).items() if value is not None}
    except (psycopg.Error, ValueError):
        raise NotMeasuredError(f"{variable} is not a valid PostgreSQL address: {wanted}") from None
    host, port, name = given.get("host", ""), given.get("port", ""), given.get("dbname", "")
    plausible = all(_HOST.match(part) for part in host.split(",")) and re.fullmatch(r"[0-9,]*", port)
    if not plausible or "@" in name or "/" in name or "://" in name:
        raise NotMeasuredError(f"{variable} is not a valid PostgreSQL address: {wanted}")
    return Server(given, f"{host or 'localhost'}:{port or '5432'}/{name or given.get('user', '')}")


class Watchdog:
    """One thread that cuts the socket of each operation whose time is over, or whose answer is too large."""

    def __init__(self) -> None:
        self._ends: dict[int, tuple[float, Session]] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="database-watchdog", daemon=True)
        self._thread.start()

    @contextmanager
    def limit(self, session: Session, seconds: float) -> Iterator[None]:
        """Cut `session` where the body takes longer than `seconds`."""
        with self._lock:
            self._ends[id(session)] = (time.monotonic() + seconds, session)
        try:
            yield
        finally:
            with self._lock:
                self._ends.pop(id(session), None)

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        before: set[tuple[float, Session]] = set()
        lasting = False
        while not self._stop.wait(_CLOSE_TICK_S if lasting else _TICK_S):
            now = time.monotonic()
            with self._lock:
                going = set(self._ends.values())
                for end, session in going:
                    if now >= end or session.flooded:
                        self._ends.pop(id(session), None)
                        session.sever()
            lasting = not going.isdisjoint(before)
            before = going


class Patience:
    """How long a peer may keep its caller waiting in all, whatever it is asked and in however many sessions."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.spent_s = 0.0

    @property
    def left_s(self) -> float:
        """What is left of it; 0 where it is over."""
        return max(0.0, self._seconds - self.spent_s)

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Count the time of the body."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.spent_s += time.monotonic() - began


class Session:
    """One read-only connection in autocommit; `query` answers rows or raises `QueryError`."""

    def __init__(
        self,
        server: Server,
        watchdog: Watchdog,
        *,
        timeout_ms: int,
        console: bool = False,
        patience: Patience | None = None,
    ) -> None:
        """Connect; `TargetUnreachableError` where nothing answers or lets us in, `NotMeasuredError` where refused.

        `console` is for PgBouncer's admin console, which knows neither settings nor transactions nor comments.
        `patience` is how long all that is asked may take together, by this session and others that share it: where a
        network trickles or stalls, each statement keeps its own limit.
        """
        self.server = server
        self._patience = patience or Patience(math.inf)
        self._console = console
        self.timeout_ms = timeout_ms
        self._watchdog = watchdog
        self._socket: socket.socket | None = None
        self._severed = self._flooded = False
        self.pooled = False
        """Whether a pooler stands between: settings are set per transaction."""
        with self._patience.spending():
            self._connection = self._connected()
        self._socket = socket.socket(fileno=os.dup(self._connection.fileno()))
        self._connection.counted = bounded.narrowed(self._socket)

    def _connected(self) -> BoundedConnection:
        """A connection with our settings, or through a pooler without them."""
        try:
            return self._connect(options=not self._console)
        except psycopg.OperationalError as error:
            if not any(sign in str(error) for sign in _POOLERS):
                raise _unreachable(self.server, error) from None
        except psycopg.Error as error:
            raise _unreachable(self.server, error) from None
        self.pooled = True
        try:
            return self._connect(options=False)
        except psycopg.Error as error:
            raise _unreachable(self.server, error) from None

    def _connect(self, *, options: bool) -> BoundedConnection:
        parameters = dict(self.server.parameters)
        parameters.setdefault("connect_timeout", "5")
        parameters.setdefault("keepalives_idle", "60")  # a session may be silent for a window of half an hour
        parameters |= {"application_name": APPLICATION, "client_encoding": "UTF8"}
        if options:
            given = f"{parameters.get('options', '')} {_OPTIONS} -c statement_timeout={self.timeout_ms}"
            parameters["options"] = given.strip()
        return bounded.connect(parameters, min(CONNECT_S, self._patience.left_s))

    @property
    def version(self) -> int:
        """The server's version number, e.g. 180006."""
        return self._connection.info.server_version

    @property
    def backend_pid(self) -> int:
        """The process id that the server told; a pooler makes one up."""
        return self._connection.info.backend_pid

    @property
    def alive(self) -> bool:
        """Whether the connection can take another statement."""
        return not (self._severed or self._connection.closed or self._connection.broken)

    def query(self, sql: str, values: Mapping[str, Any] | Sequence[Any] | None = None) -> list[Row]:
        """Run one statement and fetch all of its rows, within `statement_timeout` and a second of grace."""
        text = sql if self._console else marked(sql)
        with self._within(self.timeout_ms / 1000 + _GRACE_S), self._transaction():
            found = self._connection.execute(text.encode(), values, prepare=False).fetchall()
        return _Answers(map(_Answer, found))

    def run(self, sql: str, *, limit_s: float | None = None) -> None:
        """Run one statement that answers no rows, such as PREPARE; `limit_s` where it may take longer than others."""
        with self._within((limit_s or self.timeout_ms / 1000) + _GRACE_S), self._transaction():
            self._connection.execute(marked(sql).encode(), prepare=False)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """A read-only transaction with its own limits where a pooler forbids settings of the session."""
        if not self.pooled:
            yield
            return
        self._connection.execute("BEGIN READ ONLY")
        try:
            self._connection.execute(
                f"SET LOCAL statement_timeout = {self.timeout_ms}; SET LOCAL lock_timeout = {_LOCK_MS}; "
                f"SET LOCAL idle_in_transaction_session_timeout = {_IDLE_IN_TRANSACTION_MS}"
            )
            yield
        finally:
            if self.alive:
                self._connection.execute("ROLLBACK")

    @contextmanager
    def _within(self, seconds: float) -> Iterator[None]:
        if not self._patience.left_s:
            took = f"its answers took {self._patience.spent_s:.0f} s together"
            raise QueryError(f"{self.server.shown} is too slow to be read: {took}", "timeout")
        seconds = min(seconds, self._patience.left_s)
        try:
            with self._patience.spending(), self._watchdog.limit(self, seconds):
                yield
        except psycopg.Error as error:
            raise self._explained(error, seconds) from None
        except UnicodeDecodeError as error:
            raise QueryError(f"{self.server.shown} sent text that is not UTF-8: {error.reason}", "protocol") from None

    def _explained(self, error: psycopg.Error, seconds: float) -> QueryError:
        """What became of the statement, in one line."""
        if self._flooded or isinstance(error, AnswerTooLargeError):
            return QueryError(f"{self.server.shown} sends too much: {AnswerTooLargeError()}: cut off", "too_large")
        if self._severed:
            return QueryError(f"{self.server.shown} did not answer within {seconds:.1f} s: cut off", "timeout")
        message = self.server.clean(str(error))
        if isinstance(error, errors.QueryCanceled | errors.LockNotAvailable):
            return QueryError(message, "timeout", error.sqlstate or "")
        if not self.alive or (error.sqlstate is None and isinstance(error, psycopg.OperationalError)):
            kind: Kind = "protocol" if "synchronization" in message else "closed"
            return QueryError(f"connection to {self.server.shown} lost: {message}", kind, error.sqlstate or "")
        if error.sqlstate is not None:
            return QueryError(message, "refused", error.sqlstate)
        return QueryError(f"an answer of {self.server.shown} cannot be read: {message}", "protocol")

    @property
    def flooded(self) -> bool:
        """Whether the answer that comes in is too large."""
        return self._connection.flooded

    def sever(self) -> None:
        """Cut the connection from another thread: whoever waits on it is woken with an error."""
        self._flooded = self.flooded
        self._severed = True
        if self._socket is not None:
            with suppress(OSError):  # the peer was faster
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End the session; safe to call twice."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_OPTIONS = (
    "-c default_transaction_read_only=on "
    f"-c lock_timeout={_LOCK_MS} -c idle_in_transaction_session_timeout={_IDLE_IN_TRANSACTION_MS}"
)


_LET_IN = (
    ("authentication failed", "check the user and the password"),
    ("no password supplied", "put the password into the address"),
    ("no encryption", "add sslmode=require to the address: the server wants TLS"),
    ("no pg_hba.conf entry", "allow this machine, role and database in pg_hba.conf"),
    ("server does not support SSL", "let the server speak TLS, or take sslmode=require out of the address"),
    ("certificate", "mend the server's certificate, or name its authority by sslrootcert in the address"),
    ("SSL", "check that both sides speak the same TLS"),
)
"""What to do where a log-in or its TLS fails, by what a server or libpq says; the first that fits."""

_REFUSED = (
    *_LET_IN,
    ("too many clients", "raise max_connections, or end sessions that nobody needs"),
    ("remaining connection slots", "raise max_connections, or end sessions that nobody needs"),
    ("too many connections", "raise the limit of connections of the role or database, or end sessions"),
    ("is starting up", "wait until it has started"),
    ("is shutting down", "start it again, or wait for its restart"),
    ("due to administrator command", "start it again, or wait for its restart"),
    ("in recovery mode", "wait until it has recovered, and look at its log for why it had to"),
    ("not yet accepting connections", "wait until it has recovered"),
    ("role", "CREATE ROLE, or correct the user in the address"),
    ("database", "correct the database's name in the address, or create it"),
)
"""The same where a server refuses. Where it speaks another language: none."""

_CLOSED = "the connection was closed: look whether something else listens there, and at its log"
_BROKEN = (
    *_LET_IN,
    ("unexpectedly", _CLOSED),
    ("reset by peer", _CLOSED),
    ("expected authentication request", "what answers does not speak PostgreSQL's protocol: check the port"),
    ("received invalid", "what answers does not speak PostgreSQL's protocol: check the port"),
    ("lost synchronization", "what answers does not speak PostgreSQL's protocol: check the port"),
    ("authentication method", "the server wants a way to authenticate that this client has not: check pg_hba.conf"),
    ("SCRAM", "the server does not prove that it knows the password: check that it is the right server"),
    ("refused", "check that it runs and the address"),
)


def _unreachable(server: Server, error: psycopg.Error) -> NotMeasuredError:
    """Why no session came about, with the remedy; libpq's prefix repeats the address and is left out."""
    text = server.clean(str(error))
    _, refused, reason = text.rpartition("FATAL:")
    text = reason.strip() if refused else text.removeprefix("connection failed: ")
    if "authentication failed" in text or "no pg_hba.conf entry" in text:
        how = f"lets {server.user} not in"
    elif refused:
        how = "refuses the connection"
    else:
        how = "does not answer"
    told = _REFUSED if refused else _BROKEN
    otherwise = "mend that at the server" if refused else "check that it runs and the address"
    remedy = next((remedy for sign, remedy in told if sign in text), otherwise)
    return TargetUnreachableError(f"database {server.shown} {how}: {text}; {remedy}")
