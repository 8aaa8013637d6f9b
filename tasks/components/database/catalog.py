"""Tables, indexes, foreign keys, sequences and database counters: read at both ends of the window, then joined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tasks.components.database import partitions, queries, server
from tasks.components.database.facts import Facts
from tasks.load.database.session import QueryError, Row, Session

COLUMNS_OF = 1000
"""Tables whose columns are read, at most."""

_TYPE_LIMITS: Mapping[str, float] = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}


@dataclass
class Snapshot:
    """One reading of the statistics; a part that could not be read is None, and `problems` say why."""

    database: Row | None = None
    tables: list[Row] | None = None
    indexes: list[Row] | None = None
    standing: server.Standing | None = None
    problems: list[str] = field(default_factory=list)


def snapshot(session: Session, facts: Facts) -> Snapshot:
    """Read counters of the database, its tables and indexes."""
    found = Snapshot()
    database = _attempt(session, queries.DATABASE, "database counters", found.problems)
    found.database = database[0] if database else None
    found.tables = _sized(session, queries.TABLES, "tables", found.problems)
    found.indexes = _sized(session, queries.indexes(facts.version), "indexes", found.problems)
    found.standing = server.read(session)
    found.problems += found.standing.problems
    return found


def foreign_keys(session: Session, problems: list[str]) -> list[Row]:
    """Foreign keys of the database; none with a problem where they could not be read."""
    return _attempt(session, queries.filled(queries.FOREIGN_KEYS), "foreign keys", problems) or []


def partitions_of(session: Session, problems: list[str]) -> list[Row]:
    """Rows of the table `partitions`; none with a problem where they could not be read."""
    return _attempt(session, partitions.ALL, "partitions", problems) or []


def columns(session: Session, tables: Iterable[Mapping[str, Any]], problems: list[str]) -> list[Row]:
    """Columns of the tables that were asked most, then of the largest, with the planner's statistics.

    None with a problem where they could not be read; a database of many thousand tables is not read whole.
    """
    ordered = sorted(tables, key=lambda row: (-_asked(row), -(row["bytes"] or 0)))
    wanted = [row["oid"] for row in ordered[:COLUMNS_OF]]
    return _attempt(session, queries.COLUMNS, "columns", problems, {"tables": wanted}) or []


def _asked(row: Mapping[str, Any]) -> int:
    return (row["seq_scan_delta"] or 0) + (row["idx_scan_delta"] or 0)


def sequences(session: Session, problems: list[str]) -> list[dict[str, Any]]:
    """Rows of the table `sequences`."""
    found = _attempt(session, queries.filled(queries.SEQUENCES), "sequences", problems) or []
    return [sequence(row) for row in found]


def sequence(row: Row) -> dict[str, Any]:
    """The narrowest limit of a sequence: its own bounds, its type, or the column that it feeds."""
    upward = row["increment"] > 0
    types = [kind for kind in (row["sequence_type"], row["column_type"]) if kind in _TYPE_LIMITS]
    reach = min((_TYPE_LIMITS[kind] for kind in types), default=_TYPE_LIMITS["bigint"])
    narrow = min(types, key=lambda kind: _TYPE_LIMITS[kind], default="bigint")
    limit = min(row["highest"], reach) if upward else max(row["lowest"], -reach - 1)
    first = row["lowest"] if upward else row["highest"]
    return {**row, "type": narrow, "first": float(first), "limit": float(limit)}


def _sized(session: Session, query: str, what: str, problems: list[str]) -> list[Row] | None:
    """With real sizes; where a lock or a right denies them, with those of the catalogue."""
    try:
        return session.query(queries.filled(query, exact=True))
    except QueryError as error:
        problems.append(f"sizes of {what} are the catalogue's estimates: {error}")
        return _attempt(session, queries.filled(query, exact=False), what, problems)


def _attempt(
    session: Session, query: str, what: str, problems: list[str], values: Mapping[str, Any] | None = None
) -> list[Row] | None:
    try:
        return session.query(query, values)
    except QueryError as error:
        problems.append(f"{what} could not be read: {error}")
        return None


def with_deltas(
    first: Sequence[Row] | None, last: Sequence[Row] | None, counters: Iterable[str]
) -> list[dict[str, Any]]:
    """The last reading of each object with `<counter>_delta`; an object that is only in one reading has none.

    Statistics that were reset in between start at zero again: a value below the first one is itself what came since.
    """
    before = {row["oid"]: row for row in first or ()}
    joined = []
    for row in last if last is not None else first or ():
        old = before.get(row["oid"]) if last is not None else None
        deltas = {f"{name}_delta": _gain(old[name], row[name]) if old else None for name in counters}
        joined.append({**row, **deltas})
    return joined


def _gain(before: int | None, now: int | None) -> int | None:
    if before is None or now is None:
        return None
    return now - before if now >= before else now


def tables(first: Snapshot, last: Snapshot) -> list[dict[str, Any]]:
    """Rows of the table `tables`; growth is null where a size was not read at both ends."""
    before = {row["oid"]: row["total_bytes"] for row in first.tables or ()}
    rows = with_deltas(first.tables, last.tables, queries.TABLE_COUNTERS)
    for row in rows:
        old, new = before.get(row["oid"]), row["total_bytes"]
        row["grown_bytes"] = new - old if last.tables is not None and None not in {old, new} else None
    return rows


def gauges(first: Snapshot, last: Snapshot) -> list[dict[str, Any]]:
    """Rows of the table `gauges`, those that were read at the window's end."""
    if last.standing is None:
        return []
    before = first.standing.gauges if first.standing else {}
    return [{"name": name, "first": before.get(name), "last": value} for name, value in last.standing.gauges.items()]


def server_counters(first: Snapshot, last: Snapshot) -> list[dict[str, Any]]:
    """Counters of the whole server, for the table `counters`."""
    if first.standing is None or last.standing is None:
        return []
    return counters(first.standing.counters, {**dict.fromkeys(first.standing.counters), **last.standing.counters})


def counters(first: Row | None, last: Row | None) -> list[dict[str, Any]]:
    """Rows of the table `counters`."""
    if first is None or last is None:
        return []
    return [
        {"name": name, "first": first[name], "last": last[name], "delta": _gain(first[name], last[name])}
        for name in first
        if isinstance(first[name], int | float) and isinstance(last[name], int | float)
    ]


def was_reset(first: Row | None, last: Row | None) -> bool:
    """Whether the database's statistics were reset within the window."""
    return first is not None and last is not None and first["stats_reset"] != last["stats_reset"]


def since(row: Row | None) -> datetime | None:
    """Since when the database's statistics count; None where they never were reset or are unknown."""
    return row["stats_reset"] if row else None
