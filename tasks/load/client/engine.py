"""What all HTTP clients of one generator share: connections, resolved names, TLS, the allow-list, the time limits."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from array import array
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress

import httpx

from storage.errors import NotMeasuredError
from tasks.load.client.pool import ClientPool
from tasks.load.client.request import Origin, Profile
from tasks.load.pacer import alarm
from tasks.load.wire.deadline import resolved
from tasks.load.wire.wire import Place, Stamps

_TICK_NS = 20_000_000
_PROFILES = 4096


class UnresolvedError(Exception):
    """A host has no address."""


class Engine:
    """One per process and event loop; `LoadClient`s are cheap and come and go on it.

    `allow` names the hosts that may be asked: names or IP addresses, IPv6 without brackets. `connections` caps the
    connections to each origin; beyond it requests wait in order. `timeout_s` bounds an answer from its sending,
    `connect_s` a connect with its handshake. TLS is verified by `context`, else by the system's authorities or those
    of the variable SSL_CERT_FILE, besides `ca_file` where it is given. `stamps` is of the wire: see `open_wire`.

    `fallbacks` counts what could not take the fast path, by reason; `lags_ns` are the lags of a steady 20 ms tick,
    the loop's own pulse; `refused` counts requests to hosts that are not allowed.
    """

    def __init__(
        self,
        *,
        allow: Iterable[str],
        connections: int = 1000,
        timeout_s: float = 30.0,
        connect_s: float = 10.0,
        context: ssl.SSLContext | None = None,
        ca_file: str | None = None,
        stamps: Stamps = "kernel",
    ) -> None:
        self._allow = frozenset(host.strip("[]").lower() for host in allow)
        self.connections = connections
        self.timeout_s = timeout_s
        self.connect_s = min(connect_s, timeout_s)
        self.timeout = httpx.Timeout(timeout_s, connect=self.connect_s)
        self.limits = self.timeout.as_dict()
        self._profiles: dict[object, Profile] = {}
        self._context = context
        self._ca_file = ca_file
        self._http2_context: ssl.SSLContext | None = None
        self.stamps: Stamps = stamps
        self.pools: dict[Origin, ClientPool] = {}
        self._opening: dict[Origin, asyncio.Task[ClientPool]] = {}
        self.fallbacks: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.lags_ns = array("q")
        self._closed = False
        self.loop = asyncio.get_running_loop()
        self._tick_at = time.monotonic_ns()
        self._alarm = alarm(self.loop, self._on_tick)
        self.precise = self._alarm.precise
        self._rearm(self._tick_at)

    async def prepare(self, *urls: str) -> None:
        """Resolve the hosts of URLs: no request waits for it then. `NotMeasuredError` where one has no address."""
        for url in urls:
            origin = Origin.of(httpx.URL(url))
            if not self.allows(origin.host):
                raise NotMeasuredError(
                    f"{origin.host} is not among the hosts that may be asked: allow it, or drop it"
                )
            try:
                await self.open(origin)
            except UnresolvedError:
                raise NotMeasuredError(
                    f"{origin.host} has no address: correct the URL, or the name service"
                ) from None

    def allows(self, host: str) -> bool:
        """Whether a host may be asked."""
        return host in self._allow

    async def open(self, origin: Origin) -> ClientPool:
        """The pool of an origin; its name is resolved now where it was not before, or it is an `UnresolvedError`."""
        if self._closed:
            raise RuntimeError("the engine is closed")
        pool = self.pools.get(origin)
        if pool is not None:
            return pool
        task = self._opening.get(origin)
        if task is None:
            task = self._opening[origin] = asyncio.create_task(self._open(origin))
            task.add_done_callback(lambda _: self._opening.pop(origin, None))
        return await asyncio.shield(task)

    async def _open(self, origin: Origin) -> ClientPool:
        ip = await asyncio.to_thread(_address_of, origin.host, origin.port, self.connect_s)
        context, name = (self.context, origin.host) if origin.scheme == "https" else (None, None)
        pool = ClientPool(
            Place(ip, origin.port, context, name),
            cap=self.connections,
            timeout_s=self.timeout_s,
            connect_s=self.connect_s,
            stamps=self.stamps,
        )
        if self._closed:
            pool.close()
            raise RuntimeError("the engine is closed")
        self.stamps = pool.stamps  # the loop's where the kernel's are not to be had
        self.pools[origin] = pool
        return pool

    def profile(self, base: httpx.URL, headers: httpx.Headers, params: httpx.QueryParams) -> Profile:
        """The templates of all clients with this base URL, these headers and parameters."""
        key = (str(base), tuple(headers.raw), str(params))
        profile = self._profiles.get(key)
        if profile is None:
            if len(self._profiles) >= _PROFILES:
                self._profiles.clear()
            profile = self._profiles[key] = Profile(base, headers)
        return profile

    @property
    def context(self) -> ssl.SSLContext:
        """The TLS context of HTTP/1.1, made when it is first needed."""
        if self._context is None:
            self._context = self.new_context()
            self._context.set_alpn_protocols(["http/1.1"])
        return self._context

    @property
    def http2_context(self) -> ssl.SSLContext:
        """The TLS context of HTTP/2, likewise; httpx names the protocols itself."""
        if self._http2_context is None:
            self._http2_context = self.new_context()
        return self._http2_context

    def new_context(self) -> ssl.SSLContext:
        """A verifying TLS context by the same authorities."""
        context = ssl.create_default_context()
        if self._ca_file is not None:
            try:
                context.load_verify_locations(self._ca_file)
            except OSError as error:  # ssl.SSLError is a kind of it
                raise NotMeasuredError(f"the authorities' file {self._ca_file} cannot be used: {error}") from None
        return context

    @property
    def connects(self) -> int:
        """How many connections stood so far."""
        return sum(pool.connects for pool in self.pools.values())

    @property
    def full(self) -> int:
        """How many requests found every connection busy at the cap."""
        return sum(pool.full for pool in self.pools.values())

    @property
    def on_wire(self) -> int:
        """How many requests wait for their answer."""
        return sum(pool.on_wire for pool in self.pools.values())

    def close(self) -> None:
        """End the tick and every connection; a request on the wire ends as `aborted`. Harmless when repeated."""
        if self._closed:
            return
        self._closed = True
        self._alarm.close()
        for task in tuple(self._opening.values()):
            task.cancel()
        for pool in self.pools.values():
            pool.end()

    def _on_tick(self) -> None:
        now = time.monotonic_ns()
        self.lags_ns.append(max(0, now - self._tick_at))
        for pool in tuple(self.pools.values()):
            pool.tick(now)
        self._rearm(now)

    def _rearm(self, now_ns: int) -> None:
        self._tick_at = max(self._tick_at + _TICK_NS, now_ns)
        self._alarm.arm(self._tick_at)


def _address_of(host: str, port: int, connect_s: float) -> str:
    """The host's first IP that accepts a connection, or its first where none does: requests then fail themselves."""
    try:
        ips = [ip for _, ip in resolved(host, port)]
    except (OSError, UnicodeError):
        raise UnresolvedError(host) from None
    if len(ips) > 1:
        for ip in ips:
            with suppress(OSError), socket.create_connection((ip, port), timeout=min(connect_s, 3.0)):
                return ip
    return ips[0]
