"""From what was seen to events; asks the server for the texts of statements that are not known yet."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from tasks.components.database.facts import PG14, Facts
from tasks.load.database.session import Row
from tasks.monitoring.database_watch import judge
from tasks.monitoring.database_watch.events import (
    Blocked,
    ConnectionsNearLimit,
    Event,
    IdleInTransaction,
    SlowQuery,
)
from tasks.monitoring.database_watch.judge import Counters, Limits, Look, Slow, Told
from tasks.monitoring.database_watch.look import Known, Source
from tasks.monitoring.database_watch.text import shape

TEXTS = 1000
"""Texts that are remembered."""

UNKNOWN = Known("(text unknown)")
_RESERVED = ("superuser_reserved_connections", "reserved_connections")


class EventTeller:
    """Makes the events of one database; its memory holds over lost connections."""

    def __init__(self, database: str, limits: Limits, tell: Callable[[Event], None]) -> None:
        self._database = database
        self._limits = limits
        self._tell = tell
        self._told = Told(limits)
        self.fetches = 0
        """How often texts were fetched."""
        self._texts: OrderedDict[str, tuple[Known, str | None]] = OrderedDict()

    def saw(self, source: Source, seen: Look, now: float) -> None:
        """Tell of a look at the sessions, at `now` seconds of the monotonic clock."""
        self._told.forget(seen)
        slots = slots_of(source.facts)
        if slots is not None and self._told.crowded(seen.connections, slots):
            share = seen.connections / slots
            self._say(
                ConnectionsNearLimit,
                connections=seen.connections,
                slots=slots,
                share=share,
                limit=self._limits.connections,
            )
        for row, waited in self._told.blocked(seen, now):
            self._blocked(source, row, waited, seen, now)
        for row in self._told.idle(seen):
            known = self._text_of(source, row)
            times = {"idle_s": row["state_s"], "transaction_s": row["transaction_s"] or row["state_s"]}
            self._say(IdleInTransaction, statement=known.text, **times, **_who(row))
        for row in judge.running(seen, self._limits.slow_ms):
            self._running(source, row, now)

    def counted(self, source: Source, before: Counters, polled: Counters, now: float) -> None:
        """Tell of the statements that were slow between two polls."""
        found = list(judge.slow_since(before, polled, self._limits.slow_ms))
        if source.facts.version >= PG14:
            found = [slow for slow in found if self._told.may(str(slow.key[1]), now)]
        self._learn(source, [str(slow.key[1]) for slow in found])
        for slow in found:
            self._slow(source, slow, polled.at - before.at, now)

    def _slow(self, source: Source, slow: Slow, period_s: float, now: float) -> None:
        queryid = str(slow.key[1])
        known, user = self._texts.get(queryid, (UNKNOWN, None))
        if known.own or not self._told.statement(_identity(source.facts, queryid, known), now):
            return
        self._say(
            SlowQuery,
            basis=slow.basis,
            statement=known.text,
            queryid=queryid,
            duration_ms=slow.duration_ms,
            limit_ms=self._limits.slow_ms,
            calls=slow.calls,
            mean_ms=slow.mean_ms,
            slowest_ms=slow.slowest_ms,
            period_s=period_s,
            user=user,
        )

    def _running(self, source: Source, row: Row, now: float) -> None:
        if row["queryid"] is not None and not self._told.may(row["queryid"], now):
            return
        known = self._text_of(source, row)
        if known.own or not self._told.statement(_identity(source.facts, row["queryid"], known), now):
            return
        duration, limit = row["query_s"] * 1000, self._limits.slow_ms
        self._say(SlowQuery, basis="running", statement=known.text, duration_ms=duration, limit_ms=limit, **_who(row))

    def _blocked(self, source: Source, row: Row, waited: float, seen: Look, now: float) -> None:
        known = self._text_of(source, row)
        self._told.statement(_identity(source.facts, row["queryid"], known), now)  # why it is slow is told hereby
        blockers = tuple(sorted(set(row["blocked_by"])))
        described = tuple(_blocker(one) for one in seen.sessions if one["pid"] in blockers)
        described += ("a prepared transaction",) if 0 in blockers else ()
        self._say(
            Blocked, statement=known.text, waited_s=waited, blocked_by=blockers, blockers=described, **_who(row)
        )

    def _text_of(self, source: Source, row: Row) -> Known:
        """The text of a session's statement: as pg_stat_statements has it, else as the session tells it, masked.

        pg_stat_statements does not show a statement whose first execution has not ended.
        """
        queryid = row["queryid"]
        if queryid is None:
            return source.running_text(row) or UNKNOWN
        self._learn(source, [queryid])
        if queryid not in self._texts:
            known = source.running_text(row)
            if known is None:
                return UNKNOWN
            self._texts[queryid] = (known, row["user"])
        return self._texts[queryid][0]

    def _learn(self, source: Source, queryids: Sequence[str]) -> None:
        """Fetch the texts that are not known yet; the oldest ones are forgotten."""
        unknown = [int(one) for one in dict.fromkeys(queryids) if one not in self._texts]
        if unknown:
            self.fetches += 1
            self._texts.update(source.texts(unknown))
        while len(self._texts) > max(TEXTS, len(queryids)):
            self._texts.popitem(last=False)

    def _say(self, kind: type[Any], **fields: Any) -> None:
        self._tell(kind(at=datetime.now(UTC), database=self._database, **fields))


def slots_of(facts: Facts) -> int | None:
    """Connections that ordinary roles may open: max_connections − reserved ones; None where that is not told."""
    most = facts.values.get("setting.max_connections")
    if not most:
        return None
    return max(1, int(most) - sum(int(facts.values.get(f"setting.{name}") or 0) for name in _RESERVED))


def _identity(facts: Facts, queryid: str | None, known: Known) -> str:
    """By what a statement is known: by its text before PostgreSQL 14, where sessions tell no queryid."""
    return queryid if queryid is not None and facts.version >= PG14 else shape(known.text)


def _who(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in ("pid", "user", "application", "queryid")}


def _blocker(row: Row) -> str:
    who = f"{row['user']}, {row['application'] or 'no application name'}, {row['state'] or 'state unknown'}"
    return f"pid {row['pid']} ({who})"
