"""Watches a cache server while the load runs: its counters each second, and which keys come, go and are read.

One blocking connection, read-only commands, bounded work: at most `scan_limit` keys a round in small SCAN steps, at
most `_LOOKS` single keys a round, and never more than about a third of the time.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from deployments.config import CacheSettings
from storage.errors import TargetUnreachableError
from tasks.components.cache.families import OTHER, Families
from tasks.components.cache.info import command_rows, counters, info_row, keys_of
from tasks.components.cache.looks import NO_KEY, Looker
from tasks.components.cache.panel import Panel
from tasks.components.cache.tables import table_of
from tasks.load.redis_wire import RedisAddress, RedisConnection, ReplyError, parse_info

ROUND_S = 1.0
_COUNT = 500
_REST = 2.0
_INNER = 0.95
_SCAN_BUDGET_S = 2.0
_SLOWLOG = 128
_FAMILY_KEYS = 200_000

Row = dict[str, object]


class Observer:
    """Collects the tables `info`, `scans`, `keys`, `commands` and `slowlog`; `notes` say what could not be."""

    def __init__(self, address: RedisAddress, settings: CacheSettings, *, timeout_s: float = 5.0) -> None:
        self._connection = RedisConnection(address, timeout_s=timeout_s)
        self._families = Families(settings.families)
        self._scan_limit = settings.scan_limit
        self._random = random.Random(1)  # noqa: S311 - picks keys to look at, guards nothing
        self._rows: dict[str, list[Row]] = {name: [] for name in ("info", "scans", "keys", "commands", "slowlog")}
        self._own = (0, 0)
        self._round = 0
        self._before: list[bytes] = []
        self._before_whole = True
        self._before_ms = 0
        self._before_misses: int | None = None
        self._family: dict[bytes, str] = {}
        self._absent_ms: dict[bytes, int] = {}
        self._panel = Panel(lambda key: (self._family_of(key), key in self._absent_ms))
        self._seen: set[tuple[str, int]] = set()
        self._lost = 0
        self._server: dict[str, str] = {}
        self._notes: list[str] = []

    def start(self) -> None:
        """Connect, find out what is allowed, read the first counters; `TargetUnreachableError` where none is."""
        self._connection.open()
        self._looker = Looker(self._connection)
        self._server = self._read_info()
        if "lfu" in self._server.get("maxmemory_policy", ""):
            self._looker.no_idle("idle times are not measured: the server keeps frequencies (an LFU policy) instead")
        if not self._server:
            self._notes.append("the server's counters are not measured: the cache refuses INFO")
        self._read_commands("start")
        self._started_s = self._looker.now_ms() // 1000

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
        except ReplyError as error:
            self._note(f"a round of looking at keys was refused ({str(error).split()[0]})")

    def observe(self) -> None:
        """One round: counters, then a scan, then looks at some keys."""
        self._panel.new_round()
        at_ns = time.time_ns()
        fields = self._read_info()
        if self._scan_limit:
            self._scan(fields, at_ns)

    def finish(self) -> None:
        """Read the last counters and the slow log, and disconnect."""
        try:
            self._read_info()
            self._read_commands("end")
            self._read_slowlog()
        except TargetUnreachableError as error:
            self._note(str(error))
        finally:
            self._connection.close()

    def close(self) -> None:
        """Disconnect, whatever the state."""
        self._connection.close()

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be collected, and why."""
        lost = [f"{self._lost} rounds of watching were lost: the cache did not answer in time"] if self._lost else []
        return (*self._looker.notes, *self._notes, *lost)

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

    def _note(self, text: str) -> None:
        if text not in self._notes:
            self._notes.append(text)

    def _read_info(self) -> dict[str, str]:
        reply = self._connection.pipeline([("INFO",)])[0]
        if isinstance(reply, ReplyError):
            return {}
        fields = parse_info(reply)
        self._rows["info"].append(info_row(fields, at_ns=time.time_ns(), own=self._own))
        return fields

    def _read_commands(self, end: str) -> None:
        stats, latency = self._connection.pipeline([("INFO", "commandstats"), ("INFO", "latencystats")])
        if isinstance(stats, ReplyError):
            return
        fields = parse_info(stats) | ({} if isinstance(latency, ReplyError) else parse_info(latency))
        self._rows["commands"] += command_rows(fields, end)

    def _read_slowlog(self) -> None:
        entries = self._connection.pipeline([("SLOWLOG", "GET", _SLOWLOG)])[0]
        if isinstance(entries, ReplyError):
            self._note(f"slow commands are not measured: the cache refuses SLOWLOG ({str(entries).split()[0]})")
            return
        self._rows["slowlog"] += [
            {"id": entry[0], "at_s": entry[1], "usec": entry[2]} | self._anonymous(entry[3])
            for entry in entries
            if entry[1] >= self._started_s
        ]

    def _anonymous(self, words: Sequence[bytes]) -> Row:
        """A slow command without its arguments: its name and the family of its key."""
        name = words[0].decode(errors="replace").upper()
        family = self._families.of(words[1]) if len(words) > 1 and b":" in words[1] else OTHER
        return {"command": name, "family": family}

    def _scan(self, fields: dict[str, str], at_ns: int) -> None:
        started_ms = self._looker.now_ms()
        misses = counters(fields)[1] - self._own[1] if fields else None
        keys, whole = self._scanned()
        inner = keys if whole else keys[: int(len(keys) * _INNER)]
        before, present = set(self._before), set(keys)
        new = [key for key in inner if key not in before] if self._round else []
        gone = [key for key in self._before_inner() if key not in present] if self._round else []
        if len(self._seen) < _FAMILY_KEYS:
            self._seen |= {
                (self._family_of(key), self._families.marker(key)) for key in (new if self._round else keys)
            }
        self._absent_ms |= dict.fromkeys(new, self._before_ms)
        scan: Row = {"round": self._round, "at_ns": at_ns, "scanned": len(inner), "keys": keys_of(fields)}
        came = [key for key in inner if key in self._absent_ms]
        self._add_scan_rows(scan, {"seen": inner, "new": new, "came": came, "gone": gone}, misses)
        self._forget(before - present)
        self._look(self._panel.choose(keys, new))
        self._before, self._before_whole, self._before_ms = keys, whole, started_ms
        self._before_misses = misses
        self._round += 1

    def _family_of(self, key: bytes) -> str:
        """The family of a key, worked out once."""
        family = self._family.get(key)
        if family is None:
            family = self._family[key] = self._families.of(key)
        return family

    def _before_inner(self) -> list[bytes]:
        """Keys of the round before, without the ragged edge of a scan that was cut at its limit."""
        return self._before if self._before_whole else self._before[: int(len(self._before) * _INNER)]

    def _scanned(self) -> tuple[list[bytes], bool]:
        """Different keys in scan order, and whether that was all of them.

        A limited scan always starts at cursor 0 and so looks at the same share of the hash table each time: a
        stable sample of the keys that has nothing to do with their names.
        """
        keys: dict[bytes, None] = {}
        cursor: Any = 0
        end = time.monotonic() + _SCAN_BUDGET_S
        while True:
            cursor, found = self._connection.call("SCAN", cursor, "COUNT", min(_COUNT, self._scan_limit))
            keys.update(dict.fromkeys(found))
            if cursor in (b"0", 0):
                return list(keys), True
            if len(keys) >= self._scan_limit or time.monotonic() > end:
                return list(keys), False

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
        looks, own = self._looker.look(pairs)
        self._own = (self._own[0] + own[0], self._own[1] + own[1])
        now = time.monotonic()
        for (key, first), look in zip(pairs, looks, strict=bool(looks)):
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
