"""Which observations are worth an event; pure: it is given what was seen, and remembers what it told.

A statement is told once in `repeat_s`, whatever told it; a session that is blocked or idle in its transaction once;
the number of connections again only after it had fallen by a margin.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tasks.components.database.statements import Deltas, Key, Poll, is_restart
from tasks.load.database.session import Row

_MARGIN = 0.05


@dataclass(frozen=True)
class Limits:
    """From where on something is told.

    `repeat_s` is for how long a statement that was told is not told again; `connections` is a share of the slots.
    """

    slow_ms: float = 100.0
    blocked_s: float = 1.0
    idle_in_transaction_s: float = 5.0
    connections: float = 0.9
    repeat_s: float = 60.0


@dataclass(frozen=True)
class Look:
    """What one look at pg_stat_activity saw: how many connections, the sessions that stand out, and who blocks them.

    Only those that are `watched` are told of: sessions of this database that are not this program's. `groups` counts
    the sessions of all others by database (`here`), application and state.
    """

    connections: int
    sessions: Sequence[Row] = ()
    groups: Sequence[Row] = ()


@dataclass(frozen=True)
class Slow:
    """A statement whose figures within the period are above the limit; what is not known is None."""

    key: Key
    basis: str
    duration_ms: float
    calls: int | None
    mean_ms: float | None
    slowest_ms: float | None


@dataclass(frozen=True)
class Counters(Poll):
    """A poll of the statements whose slowest call ever was above the limit; `at` is the server's clock in seconds."""

    at: float = 0.0


def slow_since(before: Counters, now: Counters, limit_ms: float) -> Iterator[Slow]:
    """The statements that were slow between two polls, those that took the most time first.

    A statement that the first poll did not list was never slow before it. Where its entry is known to be new all of
    its calls are of this period; else how many are is not known, but its slowest call is: it made the entry listed.
    """
    base = before.rows if before.reset == now.reset else {}
    deltas = Deltas()
    deltas.add(Counters(base, reset=now.reset, at=before.at))
    deltas.add(now)
    for key, gained in sorted(deltas.gained.items(), key=lambda item: -item[1]["total_ms"]):
        row, old = now.rows[key], base.get(key)
        fresh = old is None or is_restart(old, row)
        counted = old is not None or before.reset != now.reset or _made_since(row, before.at)
        calls = int(gained["calls"]) if counted else None
        mean = gained["total_ms"] / calls if calls else None
        rose = fresh or (old is not None and row["max_ms"] > old["max_ms"])
        slowest = float(row["max_ms"]) if rose else None
        if mean is not None and mean > limit_ms:
            yield Slow(key, "mean", mean, calls, mean, slowest)
        elif slowest is not None and slowest > limit_ms:
            yield Slow(key, "slowest", slowest, calls, mean, slowest)


def _made_since(row: Row, moment: float) -> bool:
    """Whether an entry was made after a moment; told by PostgreSQL 17 and newer alone."""
    return row["stats_since"] is not None and row["stats_since"] >= moment


@dataclass
class Told:
    """What was told already, and until when that holds."""

    limits: Limits
    _statements: dict[str, float] = field(default_factory=dict)
    _sessions: set[tuple[str, int, float]] = field(default_factory=set)
    _crowded: bool = False
    _waiting: dict[int, float] = field(default_factory=dict)

    def may(self, identity: str, now: float) -> bool:
        """Whether a statement may be told at `now` (seconds of any clock)."""
        return self._statements.get(identity, now) <= now

    def statement(self, identity: str, now: float) -> bool:
        """Whether a statement is to be told at `now`; then it counts as told."""
        if not self.may(identity, now):
            return False
        self._statements = {key: until for key, until in self._statements.items() if until > now}
        self._statements[identity] = now + self.limits.repeat_s
        return True

    def blocked(self, look: Look, now: float) -> list[tuple[Row, float]]:
        """Sessions seen waiting for a lock for longer than the limit, and for how long; each wait is told once."""
        rows = {row["pid"]: row for row in look.sessions if row["watched"] and row["blocked_by"]}
        self._waiting = {pid: self._waiting.get(pid, now) for pid in rows}
        waited = ((row, now - self._waiting[pid]) for pid, row in rows.items())
        found = [(row, seconds) for row, seconds in waited if seconds >= self.limits.blocked_s]
        return [(row, seconds) for row, seconds in found if self._session("blocked", row, row["query_start"])]

    def idle(self, look: Look) -> list[Row]:
        """Sessions idle in a transaction for longer than the limit; each transaction is told once."""
        limit = self.limits.idle_in_transaction_s
        found = [row for row in look.sessions if row["watched"] and is_idle(row) and row["state_s"] >= limit]
        return [row for row in found if self._session("idle", row, row["xact_start"] or 0.0)]

    def crowded(self, connections: int, slots: int) -> bool:
        """Whether the connections are near their limit and that was not told since they last were not."""
        share = connections / slots
        was, limit = self._crowded, self.limits.connections
        self._crowded = share >= (limit - _MARGIN if was else limit)
        return self._crowded and not was

    def forget(self, look: Look) -> None:
        """Drop what sessions that are gone or at something else were told of."""
        here = {row["pid"] for row in look.sessions}
        self._sessions = {told for told in self._sessions if told[1] in here}

    def _session(self, what: str, row: Row, since: float) -> bool:
        known = (what, row["pid"], since)
        if known in self._sessions:
            return False
        self._sessions.add(known)
        return True


def running(look: Look, limit_ms: float) -> list[Row]:
    """Sessions whose statement has been running for longer than the limit, other than those that wait for a lock."""
    return [
        row
        for row in look.sessions
        if row["watched"] and row["state"] == "active" and row["query_s"] * 1000 > limit_ms and not row["blocked_by"]
    ]


def is_idle(row: Mapping[str, object]) -> bool:
    """Whether a session is idle within a transaction, failed ones among them."""
    return str(row["state"]).startswith("idle in transaction")
