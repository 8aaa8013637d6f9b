"""Finds the servers behind an address: one, the primary that sentinels name, or every primary of a cluster.

Blocking; an event loop calls it in a thread.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.crc import REDIS_CLUSTER_HASH_SLOTS

from storage.errors import NotMeasuredError, TargetUnreachableError
from tasks.load.redis.address import RedisAddress
from tasks.load.redis.wire import RedisConnection, ReplyError, code_of, parse_info, unreachable
from tasks.load.wire.wire import Place


@dataclass(frozen=True)
class Topology:
    """The primaries, and in a cluster which of them has which slot.

    `slots` holds a place in `nodes` for each of the 16384 slots, −1 for one that nobody serves; empty where it is no
    cluster, so that the only node has all keys.
    """

    nodes: tuple[RedisAddress, ...]
    slots: array[int]

    @property
    def cluster(self) -> bool:
        """Whether keys are spread over the nodes by slot."""
        return bool(self.slots)

    def node_of(self, slot: int) -> int | None:
        """The place in `nodes` of the one that serves a slot."""
        if not self.slots:
            return 0
        number = self.slots[slot]
        return number if number >= 0 else None


def discover(address: RedisAddress, *, timeout_s: float = 5.0, known: Sequence[RedisAddress] = ()) -> Topology:
    """Ask for the primaries; the nodes that are `known` already are asked too, where the address does not answer.

    `TargetUnreachableError` where nobody answers, `NotMeasuredError` where the login is refused, or may not know the
    map of a cluster.
    """
    failure: NotMeasuredError | None = None
    for one in (address, *known):
        try:
            primary = _by_sentinels(one, timeout_s) if one.service is not None else one
            with RedisConnection(primary, timeout_s=timeout_s) as connection:
                return _map(primary, connection)
        except TargetUnreachableError as error:
            failure = failure or error
    raise failure or unreachable(address, TimeoutError())


def place_of(node: RedisAddress, *, timeout_s: float) -> Place:
    """Where to connect to a node: the first of its IPs that takes a connection, and whom TLS must find there."""
    with RedisConnection(node, timeout_s=timeout_s) as connection:
        return Place(connection.ip, node.port, node.tls_context(), node.host if node.tls else None)


def _by_sentinels(address: RedisAddress, timeout_s: float) -> RedisAddress:
    """The primary of the address's service, by the first sentinel that knows it."""
    failure: NotMeasuredError | None = None
    for host, port in address.sentinels:
        try:
            with RedisConnection(address.sentinel_at(host, port), timeout_s=timeout_s) as sentinel:
                found = sentinel.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", address.service or "")
        except TargetUnreachableError as error:
            failure = failure or error
        except ReplyError as error:
            failure = NotMeasuredError(
                f"the sentinel at {host}:{port} does not tell who the primary is ({code_of(error)}); "
                "check the address, and that its user may call SENTINEL GET-MASTER-ADDR-BY-NAME"
            )
        else:
            if found:
                return address.at(found[0].decode(), int(found[1]))
            failure = NotMeasuredError(
                f"the sentinel at {host}:{port} knows no service {address.service}; correct it in the cache's address"
            )
    raise failure or unreachable(address, TimeoutError())


def _map(primary: RedisAddress, connection: RedisConnection) -> Topology:
    info, ranges = connection.pipeline([("INFO", "cluster"), ("CLUSTER", "SLOTS")])
    if not isinstance(ranges, ReplyError):
        return topology_of(primary, ranges)
    enabled = not isinstance(info, ReplyError) and parse_info(info).get("cluster_enabled") == "1"
    if enabled:
        raise NotMeasuredError(
            f"the cache at {primary.name} is a cluster and refuses its map ({code_of(ranges)}); "
            "grant +cluster|slots to its user (ACL SETUSER)"
        )
    return Topology((primary,), array("h"))  # "cluster support disabled", or a server without the command


def topology_of(asked: RedisAddress, ranges: Sequence[Any]) -> Topology:
    """The answer of CLUSTER SLOTS as a topology: https://valkey.io/commands/cluster-slots/.

    A node without a host is where it was asked.
    """
    if not ranges:
        raise NotMeasuredError(
            f"the cluster at {asked.name} serves no slots; check that it was put together (CLUSTER ADDSLOTS)"
        )
    slots = array("h", [-1]) * REDIS_CLUSTER_HASH_SLOTS
    nodes: dict[RedisAddress, int] = {}
    try:
        for first, last, primary, *_ in ranges:
            host = primary[0].decode() if primary[0] and primary[0] != b"?" else asked.host
            number = nodes.setdefault(asked.at(host, int(primary[1])), len(nodes))
            slots[first : last + 1] = array("h", [number]) * (last - first + 1)
    except (TypeError, ValueError, IndexError, AttributeError):
        raise NotMeasuredError(
            f"the cache at {asked.name} answers CLUSTER SLOTS with what is no map; check what stands before it"
        ) from None
    return Topology(tuple(nodes), slots)
