"""Watches a cache while the load runs: its counters each second, and which keys come, go and are read.

One blocking connection to each primary, read-only commands, bounded work: at most `scan_limit` keys a round in small
SCAN steps, at most `panel.LOOKS` single keys a round, and never more than about a third of the time.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa

from deployments.config import CacheSettings
from storage.errors import TargetUnreachableError
from tasks.components.cache.families import OTHER, Families
from tasks.components.cache.looks import NO_KEY
from tasks.components.cache.nodes import Nodes, Reading, Scanned
from tasks.components.cache.panel import Panel
from tasks.components.cache.tables import table_of
from tasks.load.redis.topology import Topology
from tasks.load.redis.wire import RedisAddress, ReplyError, code_of

ROUND_S = 1.0
_REST = 2.0
_FAMILY_KEYS = 200_000

Row = dict[str, object]


class Observer:
    """Collects the tables `info`, `scans`, `keys`, `commands` and `slowlog`; `notes` say what could not be."""

    def __init__(self, address: RedisAddress, settings: CacheSettings, *, timeout_s: float = 5.0) -> None:
        self._nodes = Nodes(address, timeout_s)
        self._families = Families(settings.families)
        self._scan_limit = settings.scan_limit
        self._random = random.Random(1)  # noqa: S311 - picks keys to look at, guards nothing
        self._rows: dict[str, list[Row]] = {name: [] for name in ("info", "scans", "keys", "commands", "slowlog")}
        self._own = (0, 0)
        self._round = 0
        self._before: set[bytes] = set()
        self._before_inner: list[bytes] = []
        self._before_ms: list[int] = []
        self._before_misses: int | None = None
        self._family: dict[bytes, str] = {}
        self._absent_ms: dict[bytes, int] = {}
        self._panel = Panel(lambda key: (self._family_of(key), key in self._absent_ms))
        self._seen: set[tuple[str, int]] = set()
        self._lost = 0
        self._server: dict[str, str] = {}

    def start(self) -> None:
        """Connect, find out what is allowed, read the first counters; `TargetUnreachableError` where none is."""
        self._nodes.open()
        reading = self._read_info()
        self._server = reading.fields if reading is not None else {}
        if "lfu" in self._server.get("maxmemory_policy", ""):
            self._nodes.no_idle("idle times are not measured: the server keeps frequencies (an LFU policy) instead")
        if reading is None:
            self._nodes.note("the server's counters are not measured: the cache refuses INFO")
        self._rows["commands"] += self._nodes.commands("start")
        self._started_s = [moment // 1000 for moment in self._nodes.now_ms()]

    def run(self, stopped: Callable[[float], bool]) -> None:
        """One round after the other until `stopped(seconds to wait)` answers that it is time to stop."""
        rest = 0.0
        while not stopped(rest):
            started = time.monotonic()
            self._guarded(self.observe)
            spent = time.monotonic() - started
            pause = ROUND_S * self._random.uniform(0.8, 1.2)  # no lock-step with the server's whole seconds
            end = started + max(pause, min(spent * _REST, 60.0))
            while (due := self._panel.next_expiry()) is not None and due < end:
                if stopped(max(due - time.monotonic(), 0.0)):
                    return
                self._guarded(lambda: self._look(self._panel.expiring()))
            rest = max(end - time.monotonic(), 0.05)

    def _guarded(self, step: Callable[[], None]) -> None:
        """Take one step; a cache that does not answer costs the step, and is counted."""
        try:
            step()
        except TargetUnreachableError:
            self._lost += 1
            self._nodes.find_again()
        except ReplyError as error:
            self._nodes.note(f"a round of looking at keys was refused ({code_of(error)})")
            self._nodes.find_again()

    def observe(self) -> None:
        """One round: counters, then a scan, then looks at some keys."""
        self._panel.new_round()
        at_ns = self._nodes.clock.now_ns()
        reading = self._read_info()
        if self._scan_limit:
            self._scan(reading, at_ns)

    def finish(self) -> None:
        """Read the last counters and the slow log, and disconnect."""
        try:
            self._read_info()
            self._rows["commands"] += self._nodes.commands("end")
            self._read_slowlog()
        except TargetUnreachableError as error:
            self._nodes.note(str(error))
        finally:
            self._nodes.close()

    def close(self) -> None:
        """Disconnect, whatever the state."""
        self._nodes.close()

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be collected, and why."""
        lost = [f"{self._lost} rounds of watching were lost: the cache did not answer in time"] if self._lost else []
        return (*self._nodes.notes, *lost)

    @property
    def topology(self) -> Topology:
        """The servers that were watched last."""
        return self._nodes.topology

    @property
    def server(self) -> dict[str, str]:
        """The first INFO answer: version, mode, limits."""
        return self._server

    def tables(self) -> dict[str, pa.Table]:
        """All tables; families that are too rare to be named are folded into `(other)`."""
        rare = self._families.rare(self._seen)
        for name in ("scans", "keys", "slowlog"):
            for row in self._rows[name]:
                if row["family"] in rare:
                    row["family"] = OTHER
        return {name: table_of(name, rows) for name, rows in self._rows.items()}

    def _read_info(self) -> Reading | None:
        reading = self._nodes.info(self._own)
        if reading is not None:
            self._rows["info"].append(reading.row)
        return reading

    def _read_slowlog(self) -> None:
        self._rows["slowlog"] += [
            {"id": entry[0], "at_s": entry[1], "usec": entry[2]} | self._anonymous(entry[3])
            for number, entry in self._nodes.slowlog()
            if number < len(self._started_s) and entry[1] >= self._started_s[number]
        ]

    def _anonymous(self, words: Sequence[bytes]) -> Row:
        """A slow command without its arguments: its name and the family of its key."""
        name = words[0].decode(errors="replace").upper()
        family = self._families.of(words[1]) if len(words) > 1 and b":" in words[1] else OTHER
        return {"command": name, "family": family}

    def _scan(self, reading: Reading | None, at_ns: int) -> None:
        started_ms = self._nodes.now_ms()
        known = reading is not None and reading.row["misses"] is not None
        misses = reading.row["misses"] - self._own[1] if reading is not None and known else None
        parts = self._nodes.scan(self._scan_limit)
        keys = [key for part in parts for key in part.keys]
        present = set(keys)
        inner = [key for part in parts for key in part.inner]
        new = self._new(parts) if self._round else []
        gone = [key for key in self._before_inner if key not in present] if self._round else []
        if len(self._seen) < _FAMILY_KEYS:
            self._seen |= {
                (self._family_of(key), self._families.marker(key)) for key in (new if self._round else keys)
            }
        number = reading.keys if reading is not None else 0
        scan: Row = {"round": self._round, "at_ns": at_ns, "scanned": len(inner), "keys": number}
        came = [key for key in inner if key in self._absent_ms]
        self._add_scan_rows(scan, {"seen": inner, "new": new, "came": came, "gone": gone}, misses)
        self._forget(self._before - present)
        self._look(self._panel.choose(keys, new))
        self._before, self._before_inner, self._before_ms = present, inner, started_ms
        self._before_misses = misses
        self._round += 1

    def _new(self, parts: Sequence[Scanned]) -> list[bytes]:
        """Keys that were not there in the round before; when that was, by the clock of their node, is kept."""
        new: list[bytes] = []
        for part in parts:
            fresh = [key for key in part.inner if key not in self._before]
            if part.node < len(self._before_ms):
                self._absent_ms |= dict.fromkeys(fresh, self._before_ms[part.node])
            new += fresh
        return new

    def _family_of(self, key: bytes) -> str:
        """The family of a key, worked out once."""
        family = self._family.get(key)
        if family is None:
            family = self._family[key] = self._families.of(key)
        return family

    def _add_scan_rows(self, scan: Row, groups: Mapping[str, list[bytes]], misses: int | None) -> None:
        numbers = {name: Counter(self._family_of(key) for key in group) for name, group in groups.items()}
        missed = None if misses is None or self._before_misses is None else misses - self._before_misses
        self._rows["scans"] += [
            scan | {name: number[family] for name, number in numbers.items()} | {"family": family, "misses": missed}
            for family in sorted(numbers["seen"] | numbers["gone"]) or [OTHER]
        ]

    def _forget(self, lost: set[bytes]) -> None:
        """Forget keys that are gone, so that memory stays bounded by the scan limit."""
        self._panel.forget(lost)
        for key in lost:
            self._absent_ms.pop(key, None)
            self._family.pop(key, None)

    def _look(self, keys: Sequence[bytes]) -> None:
        pairs = [(key, not self._panel.knows(key)) for key in keys]
        looks, own = self._nodes.look(pairs)
        self._own = (self._own[0] + own[0], self._own[1] + own[1])
        now = time.monotonic()
        for key, first in pairs:
            look = looks.get(key)
            if look is None:
                continue
            self._panel.looked(key, now, look.ttl_ms)
            if look.ttl_ms == NO_KEY:
                continue
            self._rows["keys"].append(
                {
                    "round": self._round,
                    "family": self._family_of(key),
                    "marker": self._families.marker(key),
                    "server_ms": look.server_ms,
                    "ttl_ms": look.ttl_ms,
                    "idle_s": look.idle_s,
                    "first": first,
                    "absent_ms": self._absent_ms.get(key),
                    "type": look.kind,
                    "bytes": look.size,
                }
            )
