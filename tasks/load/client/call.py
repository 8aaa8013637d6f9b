"""From a call to its exchange: what every path of a client has in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx

from tasks.load.client.engine import Engine, UnresolvedError
from tasks.load.client.exchange import Exchange, HostNotAllowedError, OnExchange, failure
from tasks.load.client.pool import Call, ClientPool
from tasks.load.client.request import Origin
from tasks.load.client.response import Head
from tasks.load.wire.http import BadAnswer
from tasks.load.wire.wire import Stamps

Limits = Mapping[str, float | None]
"""httpx's time limits by name: connect, read, write, pool; None is none."""


@dataclass(slots=True)
class Answer:
    """The head of a whole answer, and its exchange."""

    head: Head
    exchange: Exchange


_tuple = tuple.__new__
"""Makes a named tuple in a third of the time that its own constructor takes."""


class Caller:
    """Makes the calls of one client and tells of their exchanges.

    `intended_ns` (monotonic) is when the next request should have begun, used up by it; 0 is the moment of the call.
    """

    __slots__ = ("engine", "intended_ns", "on_exchange")

    def __init__(self, engine: Engine, on_exchange: OnExchange | None) -> None:
        self.engine = engine
        self.on_exchange = on_exchange
        self.intended_ns = 0

    def call(self, taken: int, data: bytes, *, head_only: bool = False, close: bool = False) -> Call:
        """A call that can be performed."""
        intended, self.intended_ns = self.intended_ns or taken, 0
        return Call(intended, taken, data, self.engine.loop.create_future(), head_only, close)

    async def perform(
        self, call: Call, name: str, origin: Origin, request: Callable[[], httpx.Request], limits: Limits | None
    ) -> Answer:
        """Send a call and wait for its end; raises what httpx would, and tells of its exchange in any case."""
        pool = self.engine.pools.get(origin)
        if pool is None:
            pool = await self.open(call, name, origin, request)
        pool.submit(call)
        if limits is not None and limits != self.engine.limits:
            pool.limit(call, connect_s=limits.get("connect"), pool_s=limits.get("pool"), read_s=limits.get("read"))
        try:
            await call.done
        except BaseException:  # given up by whoever awaits it
            self.give_up(call, name, pool)
            raise
        return Answer(self.head_of(call, name, request), self.tell(call, name))

    async def open(self, call: Call, name: str, origin: Origin, request: Callable[[], httpx.Request]) -> ClientPool:
        """The pool of an origin that was not used before, if its host is allowed and has an address."""
        self.check_host(origin.host, call, name, request)
        try:
            return await self.engine.open(origin)
        except UnresolvedError:
            call.sent = time.monotonic_ns()
            call.fail("dns", call.sent)
        except BaseException:  # given up by whoever awaits it
            call.fail("aborted", time.monotonic_ns())
            self.tell(call, name)
            raise
        raise self.failed(call, name, request)

    def check_host(self, host: str, call: Call, name: str, request: Callable[[], httpx.Request]) -> None:
        """`HostNotAllowedError` where a host is not on the allow-list."""
        if self.engine.allows(host):
            return
        self.engine.refused[host] += 1
        call.fail("forbidden", time.monotonic_ns())
        self.tell(call, name)
        raise HostNotAllowedError(f"{host} is not among the hosts that may be asked", request=request())

    def give_up(self, call: Call, name: str, pool: ClientPool) -> None:
        """End a call that nobody waits for any more, if it has not ended."""
        pool.give_up(call, "aborted")
        self.tell(call, name)

    def failed(self, call: Call, name: str, request: Callable[[], httpx.Request]) -> httpx.TransportError:
        """Tell of a call that got no answer; the exception to raise."""
        self.tell(call, name)
        return failure(call.error or "aborted", request(), waited_for=call.waited_for)

    def head_of(self, call: Call, name: str, request: Callable[[], httpx.Request]) -> Head:
        """The head of a call's answer, read; where there is none, its exception, and it is told of."""
        if call.error is None:
            try:
                return Head.of(call.head)
            except BadAnswer as bad:
                call.fail(bad.kind, call.received)
        raise self.failed(call, name, request)

    def tell(self, call: Call, name: str, stamps: Stamps | None = None) -> Exchange:
        """The exchange that a call was; whoever listens is told."""
        exchange = _tuple(
            Exchange,
            (
                name, call.intended, call.taken, call.sent, call.received, call.seen,
                call.status, call.error, call.size, stamps or self.engine.stamps,
            ),
        )  # fmt: skip
        if self.on_exchange is not None:
            self.on_exchange(exchange)
        return exchange
