"""Samples within the load window: sessions at steady moments, locks of those that stand out, polls of statements.

A part that cannot be read becomes a note and a missed sample, never a crash and never a figure.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from storage.clock import Clock
from tasks import stopping
from tasks.components.database import activity, statements
from tasks.components.database.facts import Facts
from tasks.components.database.pools import Pools
from tasks.load.database.session import QueryError, Session

POLL_S = 5.0
"""Seconds between two polls of pg_stat_statements (17 ms of server time each with 5,000 entries) and of pools."""

LOCK_LOOKS = 50
"""Sessions whose locks are read, at most."""


@dataclass
class Seen:
    """What the window's loop gathers."""

    activity: list[dict[str, Any]] = field(default_factory=list)
    sessions: list[dict[str, Any]] = field(default_factory=list)
    running: list[dict[str, Any]] = field(default_factory=list)
    locks: list[dict[str, Any]] = field(default_factory=list)
    pools: list[dict[str, Any]] = field(default_factory=list)
    looked_at: set[int] = field(default_factory=set)
    deltas: statements.Deltas = field(default_factory=statements.Deltas)
    samples: int = 0
    missed: int = 0
    reads_problem: str = ""


@dataclass
class Sampler:
    """Fills `seen`; `alive` answers a session that works, or None, and `tell` hears of each sample."""

    known: Facts
    clock: Clock
    total_s: float
    every_s: float
    alive: Callable[[], Session | None]
    tell: Callable[[float, float], None]
    notes: list[str]
    pools: Pools | None = None
    seen: Seen = field(default_factory=Seen)

    def watch(self) -> Seen:
        """Sample until the window's end, at steady moments; a late sample does not shift the next ones."""
        begin, polled = time.monotonic(), -POLL_S
        for number in range(max(1, int(self.total_s / self.every_s))):
            _sleep_until(begin + number * self.every_s)
            elapsed = time.monotonic() - begin
            if elapsed > (number + 1) * self.every_s:  # an operation took longer than the interval
                self.seen.missed += 1
                continue
            due = elapsed - polled >= POLL_S
            polled = elapsed if due else polled
            self._sample(number, polls=due)
            self.tell(elapsed, self.total_s)
        _sleep_until(begin + self.total_s)
        self._poll()
        self.tell(self.total_s, self.total_s)
        return self.seen

    def _sample(self, number: int, *, polls: bool) -> None:
        session = self.alive()
        if session is None:
            self.seen.missed += 1
            return
        try:
            at, rows = self.clock.now(), activity.sample(session, self.known)
        except QueryError as error:
            self.seen.missed += 1
            self.notes.append(f"a sample of the sessions failed: {error}")
            return
        self.seen.samples += 1
        self.seen.activity += activity.counted(number, at, rows)
        self.seen.running += activity.running(number, rows)
        notable = activity.noteworthy(number, at, rows)
        self.seen.sessions += notable
        self._locks(session, {row["pid"] for row in notable})
        if polls:
            self._poll()
            if self.pools is not None:
                self.seen.pools += self.pools.sample(number, at)

    def _locks(self, session: Session, pids: set[int]) -> None:
        """What a session holds, asked once for each that stands out: pg_locks is not for every second."""
        new = pids - self.seen.looked_at
        if not new or len(self.seen.looked_at) > LOCK_LOOKS:
            return
        self.seen.looked_at |= new
        try:
            self.seen.locks += activity.locks(session, sorted(new))
        except QueryError as error:
            self.notes.append(f"locks could not be read: {error}")

    def _poll(self) -> None:
        if self.known.extension is None:
            return
        session = self.alive()
        if session is None:
            return
        try:
            self.seen.deltas.add(statements.poll(session, self.known))
        except QueryError as error:
            self.notes.append(f"a poll of pg_stat_statements failed: {error}")


def _sleep_until(moment: float) -> None:
    stopping.rest(moment - time.monotonic())
