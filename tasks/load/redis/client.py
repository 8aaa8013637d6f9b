"""Calls to a cache by redis-py's asyncio client, as applications make them: what the application sees."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster, SSLConnection
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    NoPermissionError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from storage.errors import NotMeasuredError
from tasks.load.redis.address import RedisAddress
from tasks.load.redis.probe import CLUSTER_DOWN, REFUSED, WRONG_TYPE, Call, Ended, settle
from tasks.load.redis.topology import Topology
from tasks.load.redis.wire import refusal, unreachable

_CONNECTIONS = 4
_CODES: tuple[tuple[type[Exception], str], ...] = ((NoPermissionError, "NOPERM"), (ClusterDownError, "CLUSTERDOWN"))

OnConnect = Callable[[Any], Any]


class ClientProber:
    """See `redis_probe.Prober`; each call is made once: the library's own retries are off.

    `sent_ns` is the moment of the call and `received_ns` that at which it returned, as an application would stamp it.
    """

    def __init__(self, address: RedisAddress, topology: Topology, *, timeout_s: float, ended: Ended) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._ended = ended
        self._untouched: bool | None = None
        self._sentinels = _sentinels(address, timeout_s)
        self._client = _client(address, topology, timeout_s, self._on_connect, self._sentinels)
        self._tasks: set[asyncio.Task[None]] = set()
        self.events: Counter[str] = Counter()

    async def _on_connect(self, connection: Any) -> None:
        """As the library does, and ask the server to leave access times alone."""
        await connection.on_connect()
        try:
            await connection.send_command("CLIENT", "NO-TOUCH", "ON")
            await connection.read_response()
        except ResponseError:
            self._untouched = False
        else:
            self._untouched = self._untouched is not False

    async def open(self) -> bool:
        """See `Prober.open`: fill the pool; it is not known of a cluster's nodes where the library opens none."""
        try:
            if isinstance(self._client, RedisCluster):
                await self._open_cluster(self._client)
            else:
                pool = cast("Any", self._client.connection_pool)  # the library leaves its methods without types
                held = [await pool.get_connection() for _ in range(_CONNECTIONS)]
                for connection in held:
                    await pool.release(connection)
        except AuthenticationError:
            raise refusal(self._address, ResponseError("WRONGPASS")) from None
        except NoPermissionError:
            raise NotMeasuredError(
                f"the cache at {self._address.name} refuses what redis-py asks of a cluster (NOPERM); "
                "grant +cluster|slots and +command to its user (ACL SETUSER)"
            ) from None
        except (RedisError, RedisClusterException, OSError) as error:
            raise unreachable(self._address, ConnectionError(type(error).__name__)) from None
        return self._untouched is True

    @staticmethod
    async def _open_cluster(cluster: RedisCluster) -> None:
        await cluster.initialize()
        for node in cluster.get_primaries():
            try:
                await node.execute_command("PING")
            except ResponseError:
                continue  # it may not: the connection is open all the same

    def ask(self, call: Call) -> None:
        """See `Prober.ask`."""
        call.sent_ns = time.monotonic_ns()
        task = asyncio.get_running_loop().create_task(self._ask(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, call: Call) -> None:
        verb, *rest = call.command.words
        try:
            async with asyncio.timeout(self._timeout_s):
                settle(call, await cast("Any", self._client).execute_command(verb.decode(), *rest))
        except ResponseError as refused:
            _refuse(call, refused)
        except (RedisError, RedisClusterException, OSError) as error:
            call.error = _kind(error)
        finally:  # a call ends whatever happens: here it was cancelled
            if not call.status and call.error is None:
                call.error = "aborted"
            self._end(call)

    def _end(self, call: Call) -> None:
        call.received_ns = call.seen_ns = time.monotonic_ns()
        self._ended(call)

    def tick(self, now_ns: int) -> None:
        """Each call has its own time limit."""

    async def close(self) -> None:
        """See `Prober.close`."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()
        if isinstance(self._client, Redis):
            await self._client.connection_pool.disconnect()
        for sentinel in self._sentinels.sentinels if self._sentinels is not None else ():
            await sentinel.aclose()


def _limits(timeout_s: float) -> dict[str, Any]:
    return {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
    }


def _sentinels(address: RedisAddress, timeout_s: float) -> Any:
    """The library's sentinels; None for an address without them."""
    if address.service is None:
        return None
    login = {"username": address.sentinel_username, "password": address.sentinel_password}
    own = _limits(timeout_s) | login | _tls(address)
    return cast("Any", Sentinel)(list(address.sentinels), sentinel_kwargs=own)  # the library leaves it without types


def _client(
    address: RedisAddress, topology: Topology, timeout_s: float, on_connect: OnConnect, sentinels: Any
) -> Redis | RedisCluster:
    """The library's client for a server, a cluster, or what sentinels name."""
    own = _limits(timeout_s) | {"username": address.username, "password": address.password}
    tls = _tls(address)
    if topology.cluster:
        nodes = [ClusterNode(node.host, node.port, **own, **_connection(tls)) for node in topology.nodes]
        cluster = RedisCluster(startup_nodes=nodes, **own, **tls)
        cluster.connection_kwargs["redis_connect_func"] = on_connect
        return cluster
    own |= {"db": address.db, "redis_connect_func": on_connect}
    if sentinels is not None:
        return cast("Redis", sentinels.master_for(address.service, **own, **tls))
    own |= {"host": address.host, "port": address.port, "max_connections": _CONNECTIONS, "timeout": timeout_s}
    return Redis(connection_pool=BlockingConnectionPool(**own, **_connection(tls)))


def _connection(tls: dict[str, Any]) -> dict[str, Any]:
    """`ssl=True` as those of the library's classes take it that make no choice between connections themselves."""
    rest = {name: value for name, value in tls.items() if name != "ssl"}
    return {"connection_class": SSLConnection} | rest if tls else {}


def _tls(address: RedisAddress) -> dict[str, Any]:
    if not address.tls:
        return {}
    return {
        "ssl": True,
        "ssl_cert_reqs": "required" if address.verify else "none",
        "ssl_check_hostname": address.verify,
        "ssl_ca_certs": address.ca_file,
    }


def _refuse(call: Call, error: ResponseError) -> None:
    """Note an error that the server answered; the library drops the first word of those it has classes for."""
    text = str(error)
    call.code = next((code for kind, code in _CODES if isinstance(error, kind)), (text.split() or ["ERR"])[0])
    wrong = text.startswith(("WRONGTYPE", "Operation against a key"))
    call.status = WRONG_TYPE if wrong else CLUSTER_DOWN if call.code == "CLUSTERDOWN" else REFUSED


def _kind(error: Exception) -> str:
    """The kind of `samples.ERRORS`."""
    if isinstance(error, TimeoutError | RedisTimeoutError):
        return "timeout"
    if isinstance(error, RedisClusterException):
        return "connect"
    return "reset" if isinstance(error, RedisConnectionError | OSError) else "protocol"
