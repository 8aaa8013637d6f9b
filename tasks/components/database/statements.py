"""pg_stat_statements: cheap polls, and what each statement added within the window.

Key: (userid, queryid, toplevel) of the database that is measured. Between two polls an entry that was not there
before was made since (new, or evicted and back), so all of its counters count; an entry whose `stats_since` changed
or whose calls fell was reset, so what it has now counts and what it had gained before the reset is lost. Sums are
therefore lower bounds where entries were evicted or reset, and a note says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tasks.components.database.facts import PG14, PG17, Facts, quoted
from tasks.load.database.session import MARK, Row, Session

Key = tuple[int, int, bool]
FIELDS = (
    "calls",
    "plans",
    "rows",
    "total_ms",
    "planning_ms",
    "blocks_hit",
    "blocks_read",
    "temp_written",
    "wal_bytes",
)
"""Counters that are summed over the window."""

COLUMNS = (
    "calls, plans, rows, total_exec_time AS total_ms, total_plan_time AS planning_ms, shared_blks_hit AS blocks_hit, "
    "shared_blks_read AS blocks_read, temp_blks_written AS temp_written, wal_bytes::bigint AS wal_bytes"
)
"""Those of `FIELDS` as pg_stat_statements has them."""

_DML = re.compile(
    r"^[\s(]*(/\*.*?\*/\s*)*(select|insert|update|delete|merge|with|values|table)\b", re.IGNORECASE | re.DOTALL
)
_TEXT_LIMIT = 20_000
_LABEL = 72


@dataclass(frozen=True)
class Poll:
    """One reading of the counters; `resets` is pg_stat_statements_info's reset time, `evicted` its dealloc (14+)."""

    rows: Mapping[Key, Row]
    evicted: int | None = None
    reset: datetime | None = None


def poll(session: Session, facts: Facts) -> Poll:
    """Read the counters of this database without texts (a quarter of the cost of the view with texts)."""
    rows = session.query(_counters(facts), {"database": facts.database_oid})
    info: Row = {}
    if facts.version >= PG14:
        info = session.query(
            f"SELECT dealloc, stats_reset FROM {quoted(facts.extension or '')}.pg_stat_statements_info"  # noqa: S608 - quoted
        )[0]
    return Poll(
        rows={(row["userid"], row["queryid"], row["toplevel"]): row for row in rows},
        evicted=info.get("dealloc"),
        reset=info.get("stats_reset"),
    )


def _counters(facts: Facts) -> str:
    """The query for PostgreSQL 13 and newer: toplevel since 14, stats_since since 17."""
    toplevel = "toplevel" if facts.version >= PG14 else "true AS toplevel"
    since = "stats_since" if facts.version >= PG17 else "NULL::timestamptz AS stats_since"
    return (
        f"SELECT userid, queryid, {toplevel}, {since}, {COLUMNS} "  # noqa: S608 - quoted
        f"FROM {quoted(facts.extension or '')}.pg_stat_statements(false) "
        "WHERE dbid = %(database)s AND queryid IS NOT NULL"
    )


def texts(session: Session, facts: Facts, keys: Iterable[Key]) -> dict[Key, Row]:
    """Text and role of some statements, fetched once: `{key: {"text", "user"}}`; an evicted one is absent."""
    toplevel = "s.toplevel" if facts.version >= PG14 else "true AS toplevel"
    rows = session.query(
        f"SELECT s.userid, s.queryid, {toplevel}, left(s.query, {_TEXT_LIMIT}) AS text, r.rolname AS user "  # noqa: S608 - quoted
        f"FROM {quoted(facts.extension or '')}.pg_stat_statements(true) s "
        "LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.userid "
        "WHERE s.dbid = %(database)s AND s.queryid = ANY(%(ids)s)",
        {"database": facts.database_oid, "ids": sorted({key[1] for key in keys})},
    )
    return {(row["userid"], row["queryid"], row["toplevel"]): row for row in rows}


@dataclass
class Deltas:
    """Adds up what statements gained from poll to poll."""

    gained: dict[Key, dict[str, float]] = field(default_factory=dict)
    resets: dict[Key, int] = field(default_factory=dict)
    evicted: int = 0
    was_reset: bool = False
    _last: Poll | None = None

    def add(self, now: Poll) -> None:
        """Take a poll in; the first one is the window's start and adds nothing."""
        before, self._last = self._last, now
        if before is None:
            return
        self.evicted += _evictions(before, now)
        self.was_reset = self.was_reset or before.reset != now.reset
        for key, row in now.rows.items():
            old = before.rows.get(key)
            restarted = old is not None and is_restart(old, row)
            if restarted:
                self.resets[key] = self.resets.get(key, 0) + 1
            base = None if restarted else old
            # A plan without a call is a statement that was cancelled.
            if base is None or any(row[name] != base[name] for name in ("calls", "plans", "total_ms")):
                self._gain(key, row, base)

    def _gain(self, key: Key, row: Row, base: Row | None) -> None:
        sums = self.gained.setdefault(key, dict.fromkeys(FIELDS, 0.0))
        for name in FIELDS:
            sums[name] += float(row[name]) - (float(base[name]) if base is not None else 0.0)

    @property
    def notes(self) -> tuple[str, ...]:
        """What makes the sums lower bounds."""
        found = []
        if self.evicted:
            found.append(
                f"pg_stat_statements evicted entries {self.evicted} times in the window: figures by statement are "
                "lower bounds; raise pg_stat_statements.max"
            )
        if self.was_reset or self.resets:
            found.append("pg_stat_statements was reset within the window: figures by statement are lower bounds")
        return tuple(found)


def is_restart(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether an entry's counters began anew between two polls."""
    if old["stats_since"] != new["stats_since"]:
        return True
    return bool(new["calls"] < old["calls"] or new["total_ms"] < old["total_ms"])


def _evictions(before: Poll, now: Poll) -> int:
    if before.evicted is None or now.evicted is None:
        return 0
    return now.evicted - before.evicted if now.evicted >= before.evicted else now.evicted


def rows(deltas: Deltas, known: Mapping[Key, Row]) -> list[dict[str, Any]]:
    """Rows of the table `statements`, the most expensive first.

    Own statements (`own`) are those whose text holds this project's mark. Where the application shares role and
    statement shape with a timed read, the server keeps one entry for both, under the text that came first.
    """
    found = []
    for key, sums in deltas.gained.items():
        entry = known.get(key, {})
        text = entry.get("text")
        found.append(
            {
                "userid": key[0],
                "user": entry.get("user"),
                "queryid": str(key[1]),
                "toplevel": key[2],
                "own": bool(text and MARK in text),
                "text": safe_text(text),
                "resets": deltas.resets.get(key, 0),
                **{name: sums[name] if name.endswith("_ms") else int(sums[name]) for name in FIELDS},
            }
        )
    return sorted(found, key=lambda row: (-row["total_ms"], row["queryid"]))


def is_dml(text: str) -> bool:
    """Whether a text is a statement on rows, and not one that changes the schema or a setting."""
    return bool(_DML.match(text))


def safe_text(text: str | None) -> str | None:
    """A statement's text where it is normalised; of a utility statement its first two words alone.

    Before PostgreSQL 16 utility statements keep their constants: `ALTER ROLE … PASSWORD '…'` would be a leak.
    """
    if text is None or is_dml(text):
        return text
    return " ".join(text.split()[:2]) + " …"


def label(queryid: str, text: str | None) -> str:
    """How measurements and findings call a statement: its queryid and the beginning of its text, one line."""
    short = " ".join(text.split()) if text else "text unknown"
    return f"{queryid} {short if len(short) <= _LABEL else short[: _LABEL - 1] + '…'}"
