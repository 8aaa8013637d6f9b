"""Measures one side of a change: a window of real work by pg_stat_statements, and scans of the index.

Both readings are whole, so that a window's mean and deviation follow exactly from the cumulative ones.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from storage.clock import Clock, current_clock
from storage.records import Window
from tasks.components.database import facts as server_facts
from tasks.components.database.change.records import Span, Step, Work
from tasks.components.database.change.understand import kind_of, parsed, touches
from tasks.components.database.facts import PG14, PG17, Facts, quoted
from tasks.components.database.statements import Key, is_restart, label, safe_text, texts
from tasks.load.database.session import MARK, Row, Session

_PAGE = 8192
_SLICE_S = 0.5

_SCANS = """
SELECT sum(s.idx_scan)::int8 AS scans FROM pg_catalog.pg_stat_all_indexes s WHERE s.indexrelid IN (
  WITH RECURSIVE tree AS (
    SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %(schema)s AND c.relname = %(name)s
    UNION ALL SELECT h.inhrelid FROM tree JOIN pg_catalog.pg_inherits h ON h.inhparent = tree.oid)
  SELECT oid FROM tree)"""
"""Of an index and its parts: that of a partitioned table is never scanned itself."""

_TABLES = """
SELECT c.relname AS name, c.relkind::text AS kind, c.relispartition AS part FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema')"""


@dataclass(frozen=True)
class Reading:
    """Counters at one moment."""

    at: datetime
    rows: Mapping[Key, Row]
    scans: int | None


def reading(session: Session, facts: Facts, step: Step, clock: Clock) -> Reading:
    """Read the counters; without pg_stat_statements there are no rows."""
    rows = session.query(_counters(facts), {"database": facts.database_oid}) if facts.extension is not None else []
    found = session.query(_SCANS, {"schema": step.schema_name, "name": step.name})
    return Reading(
        at=clock.now(),
        rows={(row["userid"], row["queryid"], row["toplevel"]): row for row in rows},
        scans=int(found[0]["scans"]) if found[0]["scans"] is not None else None,
    )


def _counters(facts: Facts) -> str:
    toplevel = "toplevel" if facts.version >= PG14 else "true AS toplevel"
    since = "stats_since" if facts.version >= PG17 else "NULL::timestamptz AS stats_since"
    return (
        f"SELECT userid, queryid, {toplevel}, {since}, calls, total_exec_time AS total_ms, "  # noqa: S608 - quoted
        "stddev_exec_time AS sd_ms, wal_bytes::float8 AS wal_bytes, wal_fpi "
        f"FROM {quoted(facts.extension or '')}.pg_stat_statements(false) "
        "WHERE dbid = %(database)s AND queryid IS NOT NULL"
    )


def span(session: Session, step: Step, seconds: float) -> tuple[Span, str]:
    """Watch real work for so many seconds; the span, and why it holds no statements where it does not."""
    known = server_facts.read(session)
    clock = current_clock()
    begin = reading(session, known, step, clock)
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(_SLICE_S, left))
    end = reading(session, known, step, clock)
    gained = gains(begin, end)
    work = _named(gained, _texts(session, known, gained), step, _others(session, step))
    scans = None if end.scans is None else end.scans - (begin.scans or 0)
    return Span(window=Window(start=begin.at, end=end.at), work=work, scans=scans), known.extension_problem


@dataclass(frozen=True)
class Gained:
    """What a statement's counters gained between two readings."""

    calls: int
    mean_ms: float
    sd_ms: float
    wal_bytes: float


def gains(begin: Reading, end: Reading) -> dict[Key, Gained]:
    """The calls of the window, their mean and deviation; an entry that began anew counts from its beginning.

    The sum of squares of n calls is n · (sd² + mean²), and sums can be subtracted. Page images that follow a
    checkpoint say nothing of a statement: a page is taken off for each.
    """
    found = {}
    for key, row in end.rows.items():
        old = begin.rows.get(key)
        base = None if old is None or is_restart(old, row) else old
        calls = row["calls"] - (base["calls"] if base else 0)
        if calls <= 0:
            continue
        total = row["total_ms"] - (base["total_ms"] if base else 0.0)
        squares = _squares(row) - (_squares(base) if base else 0.0)
        mean = total / calls
        wal = _wal(row) - (_wal(base) if base else 0.0)
        found[key] = Gained(calls, mean, math.sqrt(max(0.0, squares / calls - mean * mean)), max(0.0, wal))
    return found


def _squares(row: Row) -> float:
    calls = row["calls"]
    return float(calls * row["sd_ms"] ** 2 + row["total_ms"] ** 2 / calls) if calls else 0.0


def _wal(row: Row) -> float:
    return max(0.0, float(row["wal_bytes"]) - _PAGE * float(row["wal_fpi"]))


def _texts(session: Session, known: Facts, gained: Mapping[Key, Gained]) -> Mapping[Key, Row]:
    return texts(session, known, gained) if gained else {}


def _others(session: Session, step: Step) -> frozenset[str]:
    """Names that can only mean another table: what uses nothing else belongs to the control group."""
    rows = session.query(_TABLES)
    plain = {row["name"] for row in rows if row["kind"] in "rm" and not row["part"]}
    doubtful = {row["name"] for row in rows if row["kind"] in "pvf"} | {step.table}
    return frozenset(plain - doubtful)


def _named(
    gained: Mapping[Key, Gained], known: Mapping[Key, Row], step: Step, others: Collection[str]
) -> tuple[Work, ...]:
    """The statements of the application with their texts; those of this program are left out."""
    found = []
    for key, one in gained.items():
        text = known.get(key, {}).get("text")
        if text is None or MARK in text:
            continue
        tree = parsed(text)
        kind = kind_of(tree)
        if kind == "other":
            continue
        found.append(
            Work(
                id=f"{key[0]}/{key[1]}/{int(key[2])}",
                shown=label(str(key[1]), safe_text(text)),
                touches=tree is None or touches(tree, step.table, others),
                writes=kind == "write",
                calls=one.calls,
                mean_ms=one.mean_ms,
                sd_ms=one.sd_ms,
                wal_bytes=one.wal_bytes,
            )
        )
    return tuple(found)
