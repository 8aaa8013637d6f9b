"""Two ways to GET a key: over sockets of our own, as the server does it, and by redis-py, as applications see it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

import hiredis
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tasks.load.redis_wire import RedisAddress, ReplyError, encode, login_commands, refusal, unreachable

HIT, MISS, WRONG_TYPE, REFUSED = 1, 2, 3, 4
"""Statuses of a probe's answer: a value; nil; a key of another type (found, so a hit for the counters); another
error of the server, which refused before it looked."""

_BACKOFF_S = (0.1, 2.0)
_CONNECTIONS = 4


@dataclass(frozen=True)
class Answer:
    """What became of one GET: either a status, or one of `samples.ERRORS`."""

    sent_ns: int
    received_ns: int
    status: int = 0
    error: str | None = None
    size: int = 0


Answered = Callable[[Answer], None]


class Prober(Protocol):
    """A way to GET."""

    async def open(self) -> bool:
        """Connect before anything is measured; whether the server promised to leave access times alone."""

    def get(self, key: str, answered: Answered) -> None:
        """Send a GET now; `answered` is called once, with the answer or the error."""

    def tick(self, now_ns: int) -> None:
        """Give up on what has waited too long."""

    async def close(self) -> None:
        """Disconnect."""


def status_of(reply: object) -> int:
    """The status of a reply or of the error that the server answered."""
    if isinstance(reply, Exception):
        return WRONG_TYPE if str(reply).startswith(("WRONGTYPE", "Operation against a key")) else REFUSED
    return MISS if reply is None else HIT


class _Wire(asyncio.Protocol):
    """One connection: replies come in the order of the commands."""

    def __init__(self, ended: Callable[[_Wire], None]) -> None:
        self.transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader()
        self._waiting: deque[tuple[int, Callable[[Any, int], None]]] = deque()
        self._ended = ended

    @property
    def in_flight(self) -> int:
        """Commands whose reply is still to come."""
        return len(self._waiting)

    @property
    def oldest_ns(self) -> int | None:
        """When the oldest of them was sent."""
        return self._waiting[0][0] if self._waiting else None

    def send(self, command: bytes, replied: Callable[[Any, int], None]) -> int:
        """Send a command; `replied(reply or kind of error, at_ns)` follows; the moment before the bytes left."""
        at = time.monotonic_ns()
        self._waiting.append((at, replied))
        if self.transport is not None:
            self.transport.write(command)
        return at

    def end(self, kind: str) -> None:
        """Close, and answer everything in flight with a kind of error."""
        if self.transport is not None:
            self.transport.abort()
        self._finish(kind)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own class does not inherit from it

    def data_received(self, data: bytes) -> None:
        at = time.monotonic_ns()
        try:
            self._reader.feed(data)
            while self._waiting and (reply := self._reader.gets()) is not False:
                self._waiting.popleft()[1](reply, at)
        except hiredis.ProtocolError:
            self.end("protocol")

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish("closed" if exc is None else "reset")

    def _finish(self, kind: str) -> None:
        waiting, self._waiting = self._waiting, deque()
        at = time.monotonic_ns()
        for _, replied in waiting:
            replied(_Lost(kind), at)
        self.transport = None
        self._ended(self)


@dataclass(frozen=True)
class _Lost:
    """Stands for a reply that will not come."""

    kind: str


class RawProber:
    """GETs over a few connections of our own, in turn; a lost one is opened again with a growing back-off."""

    def __init__(self, address: RedisAddress, timeout_s: float) -> None:
        self._address = address
        self._timeout_ns = round(timeout_s * 1e9)
        self._timeout_s = timeout_s
        self._wires: list[_Wire | None] = [None] * _CONNECTIONS
        self._turn = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def open(self) -> bool:
        """See `Prober.open`; `TargetUnreachableError` where nobody answers, `NotMeasuredError` for a wrong login."""
        untouched = True
        for place in range(_CONNECTIONS):
            try:
                untouched &= await self._open(place)
            except ReplyError as error:
                raise refusal(self._address, error) from None
            except OSError as error:
                raise unreachable(self._address, error) from error
        return untouched

    async def _open(self, place: int) -> bool:
        wire = _Wire(lambda lost: self._lost(place, lost))
        try:
            async with asyncio.timeout(self._timeout_s):
                untouched = await self._greet(wire)
        except BaseException:
            wire.end("aborted")
            raise
        self._wires[place] = wire
        return untouched

    async def _greet(self, wire: _Wire) -> bool:
        """Connect and log in; whether the server promised to leave access times alone."""
        context = self._address.tls_context()
        await asyncio.get_running_loop().create_connection(
            lambda: wire,
            self._address.host,
            self._address.port,
            ssl=context,
            server_hostname=self._address.host if context else None,
        )
        for command in login_commands(self._address):
            await self._call(wire, command)
        try:
            await self._call(wire, encode("CLIENT", "NO-TOUCH", "ON"))
        except ReplyError as error:
            if str(error).startswith("NOAUTH"):
                raise
            return False
        return True

    async def _call(self, wire: _Wire, command: bytes) -> None:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        wire.send(command, lambda reply, _: None if future.done() else future.set_result(reply))
        reply = await future
        if isinstance(reply, _Lost):
            raise ConnectionResetError("it closed the connection")
        if isinstance(reply, ReplyError):
            raise reply

    def _lost(self, place: int, wire: _Wire) -> None:
        if self._wires[place] is not wire:
            return
        self._wires[place] = None
        if not self._closed:
            task = asyncio.get_running_loop().create_task(self._reopen(place))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _reopen(self, place: int) -> None:
        delay, longest = _BACKOFF_S
        while not self._closed:
            await asyncio.sleep(delay)
            try:
                await self._open(place)
            except (OSError, ReplyError):
                delay = min(2 * delay, longest)
            else:
                return

    def get(self, key: str, answered: Answered) -> None:
        """See `Prober.get`; without any connection the answer is the error `connect`, at once."""
        wire = self._next()
        if wire is None:
            now = time.monotonic_ns()
            answered(Answer(now, now, error="connect"))
            return
        sent = 0

        def replied(reply: Any, at_ns: int) -> None:
            if isinstance(reply, _Lost):
                answered(Answer(sent, at_ns, error=reply.kind))
            else:
                size = len(reply) if isinstance(reply, bytes) else 0
                answered(Answer(sent, at_ns, status=status_of(reply), size=size))

        sent = wire.send(encode("GET", key), replied)

    def _next(self) -> _Wire | None:
        """The next open connection, an idle one first."""
        self._turn += 1
        order = [self._wires[(self._turn + step) % _CONNECTIONS] for step in range(_CONNECTIONS)]
        open_ones = [wire for wire in order if wire is not None and wire.transport is not None]
        return min(open_ones, key=lambda wire: wire.in_flight, default=None)

    def tick(self, now_ns: int) -> None:
        """Replies come in order: where the oldest is overdue, the connection is given up with all that it owes."""
        for wire in self._wires:
            oldest = wire.oldest_ns if wire is not None else None
            if wire is not None and oldest is not None and now_ns - oldest > self._timeout_ns:
                wire.end("timeout")

    async def close(self) -> None:
        """See `Prober.close`."""
        self._closed = True
        for wire in self._wires:
            if wire is not None:
                wire.end("aborted")
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class ClientProber:
    """GETs by redis-py's asyncio client with a pool, each once: the library's own retries are off."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._untouched = True
        self._pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            redis_connect_func=self._on_connect,
        )
        self._redis: Redis = Redis(connection_pool=self._pool)
        self._tasks: set[asyncio.Task[None]] = set()

    async def _on_connect(self, connection: Any) -> None:
        await connection.on_connect()
        try:
            await connection.send_command("CLIENT", "NO-TOUCH", "ON")
            await connection.read_response()
        except ResponseError:
            self._untouched = False

    async def open(self) -> bool:
        """See `Prober.open`: fill the pool."""
        pool = cast("Any", self._pool)  # the library leaves this method without types
        held = [await pool.get_connection() for _ in range(_CONNECTIONS)]
        for connection in held:
            await pool.release(connection)
        return self._untouched

    def get(self, key: str, answered: Answered) -> None:
        """See `Prober.get`; `sent_ns` is the moment of the call, as an application would stamp it."""
        task = asyncio.get_running_loop().create_task(self._get(key, answered, time.monotonic_ns()))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _get(self, key: str, answered: Answered, sent: int) -> None:
        status, error, size = 0, None, 0
        try:
            async with asyncio.timeout(self._timeout_s):
                value = await self._redis.get(key)
            status, size = status_of(value), len(value or b"")
        except ResponseError as refused:
            status = status_of(refused)
        except (TimeoutError, RedisTimeoutError):
            error = "timeout"
        except (RedisConnectionError, OSError):
            error = "reset"
        except RedisError:
            error = "protocol"
        except asyncio.CancelledError:
            answered(Answer(sent, time.monotonic_ns(), error="aborted"))
            raise
        answered(Answer(sent, time.monotonic_ns(), status, error, size))

    def tick(self, now_ns: int) -> None:
        """Each GET has its own time limit."""

    async def close(self) -> None:
        """See `Prober.close`."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._redis.aclose()
        await self._pool.disconnect()
