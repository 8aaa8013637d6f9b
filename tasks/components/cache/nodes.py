"""The servers that are watched: one, or every primary of a cluster; a connection and its rights for each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.crc import key_slot

from storage.clock import current_clock
from storage.errors import TargetUnreachableError
from tasks.components.cache.info import Row, command_rows, info_row, keys_of, summed, summed_commands
from tasks.components.cache.looks import Look, Looker
from tasks.load.redis.address import RedisAddress
from tasks.load.redis.topology import Topology, discover
from tasks.load.redis.wire import RedisConnection, ReplyError, code_of, parse_info

_COUNT = 500
_INNER = 0.95
_SCAN_BUDGET_S = 2.0
_SLOWLOG = 128
_OWN = b"hasivu-perf:"


@dataclass(frozen=True)
class Reading:
    """The counters of all nodes at one moment: a row of `info`, and the first node's fields."""

    row: Row
    fields: dict[str, str]
    keys: int


@dataclass(frozen=True)
class Scanned:
    """Keys of one node in scan order, without this tool's own; `inner` lacks the ragged edge of a scan cut short."""

    node: int
    keys: list[bytes]
    inner: list[bytes]
    whole: bool


class Nodes:
    """See the module. Errors: `TargetUnreachableError` where a node does not answer; then `find_again` may help."""

    def __init__(self, address: RedisAddress, timeout_s: float) -> None:
        self.address = address
        self.clock = current_clock()
        self._timeout_s = timeout_s
        self._connections: list[RedisConnection] = []
        self._lookers: list[Looker] = []
        self._notes: dict[str, None] = {}
        self._no_idle = ""
        self.topology: Topology

    def open(self) -> None:
        """Find the nodes, connect to each, and find out what is allowed there."""
        self._use(discover(self.address, timeout_s=self._timeout_s))

    def find_again(self) -> None:
        """Ask who is in charge now, and go on with them; nothing changes where nobody can tell."""
        if not self.topology.cluster and self.address.service is None:
            return
        try:
            found = discover(self.address, timeout_s=self._timeout_s, known=self.topology.nodes)
            if found.nodes != self.topology.nodes:
                self.note("other servers than at the start came to be in charge of the cache (a fail-over)")
                self._use(found)
            self.topology = found
        except TargetUnreachableError:
            return

    def _use(self, topology: Topology) -> None:
        self.close()
        connections = [RedisConnection(node, timeout_s=self._timeout_s) for node in topology.nodes]
        lookers = [Looker(connection, cluster=topology.cluster) for connection in connections]
        self.topology, self._connections, self._lookers = topology, connections, lookers
        for looker in lookers:
            self._notes |= dict.fromkeys(looker.notes)
        if self._no_idle:
            self.no_idle(self._no_idle)

    def close(self) -> None:
        """Disconnect."""
        for connection in self._connections:
            connection.close()

    def note(self, text: str) -> None:
        """Say once what could not be collected, or what happened."""
        self._notes[text] = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What was noted so far."""
        return tuple(self._notes)

    def no_idle(self, reason: str) -> None:
        """Stop asking for idle times, for a reason that is noted."""
        self._no_idle = reason
        for looker in self._lookers:
            looker.no_idle(reason)
            self._notes |= dict.fromkeys(looker.notes)

    def now_ms(self) -> list[int]:
        """Each node's clock."""
        return [looker.now_ms() for looker in self._lookers]

    def info(self, own: tuple[int, int]) -> Reading | None:
        """The counters; None where a node refuses INFO. `own` lookups were added to them by this tool."""
        found: list[dict[str, str]] = []
        for connection in self._connections:
            reply = connection.pipeline([("INFO",)])[0]
            if isinstance(reply, ReplyError):
                return None
            found.append(parse_info(reply))
        at_ns = self.clock.now_ns()
        row = summed([info_row(fields, at_ns=at_ns, own=own) for fields in found])
        return Reading(row, found[0], sum(keys_of(fields) for fields in found))

    def commands(self, end: str) -> list[Row]:
        """Rows of `commands`; none where INFO is refused."""
        rows: list[Row] = []
        for connection in self._connections:
            stats, latency = connection.pipeline([("INFO", "commandstats"), ("INFO", "latencystats")])
            if isinstance(stats, ReplyError):
                return []
            fields = parse_info(stats) | ({} if isinstance(latency, ReplyError) else parse_info(latency))
            rows += command_rows(fields, end)
        return summed_commands(rows)

    def slowlog(self) -> list[tuple[int, Sequence[Any]]]:
        """(number of the node, entry) of slow commands; a refusal is noted."""
        found: list[tuple[int, Sequence[Any]]] = []
        for number, connection in enumerate(self._connections):
            entries = connection.pipeline([("SLOWLOG", "GET", _SLOWLOG)])[0]
            if isinstance(entries, ReplyError):
                self.note(f"slow commands are not measured: the cache refuses SLOWLOG ({code_of(entries)})")
                return []
            found += [(number, entry) for entry in entries]
        return found

    def scan(self, limit: int) -> list[Scanned]:
        """Different keys of each node, `limit` over all of them at most."""
        share = max(1, limit // len(self._connections))
        budget = _SCAN_BUDGET_S / len(self._connections)
        return [self._scan(number, share, budget) for number in range(len(self._connections))]

    def _scan(self, number: int, limit: int, budget_s: float) -> Scanned:
        """A limited scan always starts at cursor 0 and so looks at the same share of the hash table each time.

        That is a stable sample of the keys that has nothing to do with their names.
        """
        keys: dict[bytes, None] = {}
        cursor: Any = 0
        end = time.monotonic() + budget_s
        while True:
            cursor, found = self._connections[number].call("SCAN", cursor, "COUNT", min(_COUNT, limit))
            keys.update(dict.fromkeys(key for key in found if not key.startswith(_OWN)))
            if cursor in (b"0", 0):
                return Scanned(number, list(keys), list(keys), whole=True)
            if len(keys) >= limit or time.monotonic() > end:
                return Scanned(number, list(keys), list(keys)[: int(len(keys) * _INNER)], whole=False)

    def look(self, keys: Sequence[tuple[bytes, bool]]) -> tuple[dict[bytes, Look], tuple[int, int]]:
        """Look at (key, in full) pairs; what was seen by key, and the (hits, misses) it added to the counters."""
        groups: dict[int, list[tuple[bytes, bool]]] = {}
        for key, full in keys:
            number = self.node_of(key)
            if number is not None:
                groups.setdefault(number, []).append((key, full))
        looks: dict[bytes, Look] = {}
        hits = misses = 0
        for number, group in groups.items():
            found, own = self._lookers[number].look(group)
            looks |= {key: look for (key, _), look in zip(group, found, strict=bool(found))}
            hits, misses = hits + own[0], misses + own[1]
        return looks, (hits, misses)

    def node_of(self, key: bytes) -> int | None:
        """The number of the node that has a key; None where no node serves its slot."""
        return self.topology.node_of(key_slot(key) if self.topology.cluster else 0)
