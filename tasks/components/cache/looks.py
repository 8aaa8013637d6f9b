"""Looks at single keys without disturbing what is measured: batches whose own effect on the counters is known.

TTL, TYPE and OBJECT look a key up, and every lookup moves keyspace_hits or keyspace_misses. A batch therefore runs
inside MULTI … EXEC between two readings of the counters: nobody else is served within a transaction, so their
difference is exactly the batch's own doing, whatever the server's version counts. In a cluster, where a transaction
may not span slots, and where MULTI is refused, lookups are counted by what they answered instead. None of these
commands touches a key's access time (LOOKUP_NOTOUCH in the servers' sources): none makes an unread key look read.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tasks.components.cache.info import counters
from tasks.load.redis.wire import RedisConnection, ReplyError, code_of, parse_info

_ABSENT_KEY = b"hasivu-perf:absent"
_BATCH = 25
NO_KEY = -2
"""PTTL of a key that is gone."""

Command = tuple[str | bytes | int, ...]


@dataclass(frozen=True)
class Look:
    """What one look at a key told; null where the server did not say."""

    server_ms: int
    ttl_ms: int
    idle_s: int | None
    kind: str | None
    size: int | None


class Looker:
    """Looks at keys with what the server's version and the login's rights allow."""

    def __init__(self, connection: RedisConnection, *, cluster: bool = False) -> None:
        self._connection = connection
        self.notes: list[str] = []
        self.time = self._allowed(("TIME",), "moments by the server's clock")
        self.ttl = self._allowed(("PTTL", _ABSENT_KEY), "expiries")
        self.idle = self._allowed(("OBJECT", "IDLETIME", _ABSENT_KEY), "idle times")
        self.kind = self._allowed(("TYPE", _ABSENT_KEY), "types")
        self.size = self._allowed(("MEMORY", "USAGE", _ABSENT_KEY), "sizes of keys")
        self.atomic = not cluster and self._transacts()
        if not self.atomic:
            why = "a transaction of a cluster is limited to one slot" if cluster else "the cache refuses MULTI"
            self.notes.append(
                f"{why}: this tool's own lookups are counted by their answers (found = hit), not by the counters"
            )

    def _transacts(self) -> bool:
        replies = self._connection.pipeline([("MULTI",), ("INFO", "stats"), ("EXEC",)])
        return not any(isinstance(reply, ReplyError) for reply in replies)

    def _allowed(self, command: Command, what: str) -> bool:
        reply = self._connection.pipeline([command])[0]
        if not isinstance(reply, ReplyError) or code_of(reply) == "MOVED":  # allowed, on another node
            return True
        refused = " ".join(word for word in command if isinstance(word, str))
        self.notes.append(f"{what} are not measured: the cache refuses {refused} ({code_of(reply)})")
        return False

    def now_ms(self) -> int:
        """The server's clock; this machine's own where the server refuses TIME."""
        if not self.time:
            return time.time_ns() // 1_000_000
        return _moment_ms(self._connection.call("TIME"))

    def no_idle(self, reason: str) -> None:
        """Stop asking for idle times, for a reason that is noted."""
        if self.idle:
            self.idle = False
            self.notes.append(reason)

    def look(self, keys: Sequence[tuple[bytes, bool]]) -> tuple[list[Look], tuple[int, int]]:
        """Look at (key, in full) pairs; the looks, and the (hits, misses) that they added to the counters."""
        looks: list[Look] = []
        hits = misses = 0
        if not self.ttl:
            return looks, (0, 0)
        for start in range(0, len(keys), _BATCH):
            batch = keys[start : start + _BATCH]
            found, own = self._batch(batch)
            looks += found
            hits, misses = hits + own[0], misses + own[1]
        return looks, (hits, misses)

    def _batch(self, batch: Sequence[tuple[bytes, bool]]) -> tuple[list[Look], tuple[int, int]]:
        commands = [command for key, full in batch for command in self._commands(key, full=full)]
        clock: list[Command] = [("TIME",)] if self.time else []
        if self.atomic:
            wrapped: list[Command] = [("MULTI",), *clock, ("INFO", "stats"), *commands, ("INFO", "stats"), ("EXEC",)]
            answer = self._connection.pipeline(wrapped)[-1]
            if isinstance(answer, ReplyError):
                raise answer
            *moment, before = answer[: len(clock) + 1]
            replies, after = answer[len(clock) + 1 : -1], answer[-1]
            own = _difference(counters(parse_info(before)), counters(parse_info(after)))
        else:
            answer = self._connection.pipeline([*clock, *commands])
            moment, replies = answer[: len(clock)], answer[len(clock) :]
            own = _by_answers(commands, replies)
        server_ms = _moment_ms(moment[0]) if moment else time.time_ns() // 1_000_000
        return self._looks(batch, replies, server_ms), own

    def _commands(self, key: bytes, *, full: bool) -> list[Command]:
        commands: list[Command] = [("PTTL", key)]
        if self.idle:
            commands.append(("OBJECT", "IDLETIME", key))
        if full and self.kind:
            commands.append(("TYPE", key))
        if full and self.size:
            commands.append(("MEMORY", "USAGE", key))
        return commands

    def _looks(self, batch: Sequence[tuple[bytes, bool]], replies: list[Any], server_ms: int) -> list[Look]:
        answers = iter(replies)
        looks = []
        for _, full in batch:
            ttl = next(answers)
            idle = next(answers) if self.idle else None
            kind = next(answers) if full and self.kind else None
            size = next(answers) if full and self.size else None
            looks.append(
                Look(
                    server_ms=server_ms,
                    ttl_ms=ttl if isinstance(ttl, int) else NO_KEY,
                    idle_s=idle if isinstance(idle, int) else None,
                    kind=kind.decode() if isinstance(kind, bytes) else None,
                    size=size if isinstance(size, int) else None,
                )
            )
        return looks


def _moment_ms(answer: Sequence[bytes]) -> int:
    """TIME answers seconds and microseconds."""
    return int(answer[0]) * 1000 + int(answer[1]) // 1000


def _difference(before: tuple[int, int], after: tuple[int, int]) -> tuple[int, int]:
    return after[0] - before[0], after[1] - before[1]


def _by_answers(commands: Sequence[Command], replies: Sequence[Any]) -> tuple[int, int]:
    """(hits, misses) by what lookups answered; MEMORY USAGE looks up without counting (measured on Valkey 9.1)."""
    hits = misses = 0
    for command, reply in zip(commands, replies, strict=True):
        if command[0] == "MEMORY":
            continue
        missed = reply is None or reply in (NO_KEY, b"none")
        hits, misses = hits + (not missed), misses + missed
    return hits, misses
