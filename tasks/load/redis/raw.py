"""Calls to a cache over sockets of our own: what the server does, by the kernel's stamps.

In a cluster each call goes to the node that has its key's slot, redirections are followed, and the map is asked for
again when it turned out wrong. Whenever a connection is lost, cluster and sentinels are asked who is in charge now.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import suppress
from typing import Any

from storage.errors import NotMeasuredError
from tasks.load.redis.address import RedisAddress
from tasks.load.redis.commands import ASKING
from tasks.load.redis.node import Node
from tasks.load.redis.probe import CLUSTER_DOWN, Call, Ended, settle
from tasks.load.redis.topology import Topology, discover, place_of
from tasks.load.redis.wire import ReplyError
from tasks.load.wire.wire import Stamps, open_wire

_CONNECTIONS = 4
_HOPS = 5
_AGAIN_NS = 500_000_000
_WATCHFUL_NS = 15_000_000_000
"""For so long after a loss the cluster or the sentinels are asked again and again: they need time to agree."""


class RawProber:
    """See `redis_probe.Prober`: a few connections to each primary, used in turn.

    `events`: `moved` and `asked` redirections, `lost` connections, `discoveries` of who is in charge, and
    `failovers`, those that found other servers than before.
    """

    def __init__(
        self,
        address: RedisAddress,
        topology: Topology,
        *,
        timeout_s: float,
        ended: Ended,
        connections: int = _CONNECTIONS,
        stamps: Stamps = "kernel",
    ) -> None:
        self._address = address
        self._topology = topology
        self._timeout_s = timeout_s
        self._ended = ended
        self._connections = connections
        self._wire = open_wire(stamps=stamps)
        self.stamps = self._wire.stamps
        self.events: Counter[str] = Counter()
        self._nodes: dict[RedisAddress, Node] = {}
        self._primaries: list[Node] = []
        self._retired: list[Node] = []
        self._parked: list[Call] = []
        self._targets: set[RedisAddress] = set()
        self._lost_before = 0
        self._discovery: asyncio.Task[None] | None = None
        self._again_ns = self._watchful_ns = 0
        self._closed = False

    async def open(self) -> bool:
        """See `Prober.open`; `TargetUnreachableError` where nobody answers, `NotMeasuredError` for a wrong login."""
        await self._adopt(self._topology)
        return all(node.untouched for node in self._nodes.values())

    def ask(self, call: Call) -> None:
        """See `Prober.ask`; without a connection the call ends with `connect`, without a node with CLUSTER_DOWN."""
        call.owner = self
        number = self._topology.node_of(call.command.slot)
        if number is None:
            now = time.monotonic_ns()
            call.sent_ns = call.received_ns = call.seen_ns = now
            call.status, call.code = CLUSTER_DOWN, "CLUSTERDOWN"
            self._discover()
            self._ended(call)
            return
        self._send(self._primaries[number], call)

    def _send(self, node: Node, call: Call) -> None:
        if not node.send(call.command.data, call):
            self._unsent(call, "connect")

    def _unsent(self, call: Call, error: str) -> None:
        now = time.monotonic_ns()
        call.sent_ns = call.sent_ns or now
        self.failed(call, error, now)

    # --- told by calls: see `redis_probe.Owner` ---

    def replied(self, call: Call, reply: Any, stamp_ns: int, seen_ns: int) -> None:
        """A reply: the end of a call, or another node to ask."""
        if isinstance(reply, ReplyError) and self._redirected(call, str(reply)):
            return
        call.received_ns, call.seen_ns = stamp_ns, seen_ns
        settle(call, reply)
        if call.status == CLUSTER_DOWN:
            self._discover()
        self._finish(call)

    def failed(self, call: Call, error: str, at_ns: int) -> None:
        """No reply will come."""
        call.error = error
        call.received_ns = call.seen_ns = at_ns
        self._finish(call)

    def _finish(self, call: Call) -> None:
        call.sent_ns = call.first_ns or call.sent_ns
        self._ended(call)

    def _redirected(self, call: Call, error: str) -> bool:
        """Follow `MOVED slot host:port` or `ASK slot host:port`: https://valkey.io/topics/cluster-spec/."""
        kind, _, rest = error.partition(" ")
        if kind not in ("MOVED", "ASK") or call.hops >= _HOPS:
            return False
        host, _, port = rest.partition(" ")[2].rpartition(":")
        if not port.isdecimal():
            return False
        call.hops += 1
        call.first_ns = call.first_ns or call.sent_ns
        target = self._address.at(host, int(port)) if host else None
        node = self._nodes.get(target) if target is not None else None
        self.events["moved" if kind == "MOVED" else "asked"] += 1
        if kind == "MOVED":
            self._discover()
        if node is None:
            self._park(call, target)
        elif kind == "MOVED":
            self._send(node, call)
        elif not node.send_all(ASKING.data + call.command.data, (_Ignored(), call)):
            self._unsent(call, "connect")
        return True

    def _park(self, call: Call, target: RedisAddress | None) -> None:
        """Hold a call until the node that it was sent to is known."""
        if target is not None:
            self._targets.add(target)
        self._parked.append(call)
        self._discover()

    # --- who is in charge ---

    @property
    def _changeable(self) -> bool:
        """Whether other servers may come to be in charge."""
        return self._topology.cluster or self._address.service is not None

    def _discover(self) -> None:
        if self._changeable and self._discovery is None and not self._closed:
            self._discovery = asyncio.get_running_loop().create_task(self._rediscover())

    async def _rediscover(self) -> None:
        try:
            self.events["discoveries"] += 1
            with suppress(NotMeasuredError):  # counted as lost connections, and tried again by the tick
                known = tuple(self._nodes) if self._topology.cluster else ()
                found = await asyncio.to_thread(discover, self._address, timeout_s=self._timeout_s, known=known)
                self.events["failovers"] += set(found.nodes) != set(self._topology.nodes)
                await self._adopt(found)
        finally:
            self._discovery = None
            self._again_ns = time.monotonic_ns() + _AGAIN_NS
            parked, self._parked = self._parked, []
            for call in parked:
                self.ask(call)

    async def _adopt(self, topology: Topology) -> None:
        """Connect to nodes that are new, then take the map over and leave nodes that are in it no more."""
        wanted = (*topology.nodes, *self._targets.difference(topology.nodes))
        nodes = dict(self._nodes)
        for address in wanted:
            if address not in nodes:
                place = await asyncio.to_thread(place_of, address, timeout_s=self._timeout_s)
                node = Node(self._wire, address, place, connections=self._connections, timeout_s=self._timeout_s)
                self._nodes[address] = nodes[address] = node
                await node.open()
        self._topology = topology
        self._primaries = [nodes[address] for address in topology.nodes]
        self._targets.clear()
        self._retired += [self._nodes.pop(address) for address in tuple(self._nodes) if address not in wanted]

    def tick(self, now_ns: int) -> None:
        """See `Prober.tick`."""
        for node in self._nodes.values():
            node.tick(now_ns)
        for node in tuple(self._retired):  # what they still owe is waited for
            node.tick(now_ns)
            if not node.in_flight:
                self._retired.remove(node)
                node.close()
        lost = sum(node.lost_count for node in self._nodes.values())
        if lost > self._lost_before:
            self.events["lost"] += lost - self._lost_before
            self._watchful_ns = now_ns + _WATCHFUL_NS
        self._lost_before = lost
        if self._again_ns <= now_ns < self._watchful_ns:
            self._discover()
        limit = now_ns - round(self._timeout_s * 1e9)
        overdue = [call for call in self._parked if call.first_ns < limit]
        if overdue:
            self._parked = [call for call in self._parked if call.first_ns >= limit]
            for call in overdue:
                self.failed(call, "timeout", now_ns)

    async def close(self) -> None:
        """See `Prober.close`."""
        self._closed = True
        if self._discovery is not None:
            self._discovery.cancel()
            await asyncio.gather(self._discovery, return_exceptions=True)
        now = time.monotonic_ns()
        for call in self._parked:
            self.failed(call, "aborted", now)
        self._parked = []
        for node in (*self._nodes.values(), *self._retired):
            node.close()
        self._wire.close()


class _Ignored:
    """The reply to ASKING says nothing."""

    sent_ns = 0

    def replied(self, reply: Any, stamp_ns: int, seen_ns: int) -> None:
        """See `redis_channel.Exchange`."""

    def failed(self, error: str, at_ns: int) -> None:
        """See `redis_channel.Exchange`."""
