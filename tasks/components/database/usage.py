"""Which tables an application uses most: calls of statements by the tables that they name. Read once, counted purely.

Where pg_stat_statements cannot be read, or hides the statements of others, the count of scans stands beside, and
`queries` is None: never a guess.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import Field

from storage.records import Count, Finite, Ratio, Record, Utc
from tasks.components.database import catalog as catalogs
from tasks.components.database import facts as server_facts
from tasks.components.database.advisor import catalog as advisor_catalog
from tasks.components.database.advisor.catalog import Catalog
from tasks.components.database.advisor.source import Name
from tasks.components.database.advisor.statement import UnparsableError, parse
from tasks.components.database.facts import PG14, Facts, quoted
from tasks.load.database.session import MARK, Row, Session

MOST = 1000
"""Statements that are parsed, those that were called most: a second of work."""


class TableMetrics(Record):
    """One table since the counters began: `since` those of statements, `tables_since` those of tables (None: ever).

    `queries` are calls of statements that name the table, `time_ms` the time of all of these calls, joins counted in
    full for each of their tables; both are None where statements are not counted. `rows` is the planner's estimate,
    None where the table was never analysed.
    """

    table_schema: str
    name: str
    queries: Count | None
    time_ms: Finite | None
    sequential_scans: Count | None
    index_scans: Count | None
    inserts: Count | None
    updates: Count | None
    deletes: Count | None
    rows: Finite | None
    bytes: Count
    cache_hits: Ratio | None = Field(description="blocks found in shared buffers, None where none was read")
    indexes: Count
    since: Utc | None = None
    tables_since: Utc | None = None


@dataclass(frozen=True)
class Counted:
    """Calls and time of one statement since the counters began."""

    text: str
    calls: int
    time_ms: float


def read(session: Session) -> tuple[tuple[TableMetrics, ...], tuple[str, ...]]:
    """The tables, the one with most queries first, and what could not be read; raises QueryError and its kin."""
    known = server_facts.read(session)
    seen = catalogs.snapshot(session, known)
    notes = [*known.notes, *seen.problems]
    catalog = advisor_catalog.read(session)
    whole = known.extension is not None and known.reads_all_stats  # else statements of others are hidden
    since, counted = _statements(session, known) if whole else (None, None)
    if counted is not None and len(counted) == MOST:
        notes.append(f"queries of tables are those of the {MOST} statements that were called most")
    used, unread = usage(counted, catalog) if counted is not None else (None, 0)
    if unread:
        notes.append(f"{unread} statements could not be parsed: their queries are counted for no table")
    reset = catalogs.since(seen.database)
    return metrics(seen.tables or [], catalog, used, since, reset), tuple(dict.fromkeys(notes))


def _statements(session: Session, known: Facts) -> tuple[datetime | None, list[Counted]]:
    schema = quoted(known.extension or "")
    rows = session.query(
        "SELECT query AS text, sum(calls)::bigint AS calls, sum(total_exec_time)::float8 AS ms "  # noqa: S608 - quoted
        f"FROM {schema}.pg_stat_statements(true) WHERE dbid = %(database)s AND queryid IS NOT NULL "
        f"AND position(%(mark)s IN query) = 0 GROUP BY query ORDER BY 2 DESC LIMIT {MOST}",
        {"database": known.database_oid, "mark": MARK},
    )
    since = None
    if known.version >= PG14:
        since = session.query(f"SELECT stats_reset FROM {schema}.pg_stat_statements_info")[0]["stats_reset"]  # noqa: S608 - quoted
    return since, [Counted(row["text"], row["calls"], row["ms"]) for row in rows]


def usage(statements: Iterable[Counted], catalog: Catalog) -> tuple[Mapping[Name, tuple[int, float]], int]:
    """Calls and milliseconds by table, and how many statements could not be parsed."""
    calls: dict[Name, int] = defaultdict(int)
    times: dict[Name, float] = defaultdict(float)
    unread = 0
    for one in statements:
        try:
            names = {use.table.full_name for use in parse(one.text, catalog).uses}
        except UnparsableError:
            unread += 1
            continue
        for name in names:
            calls[name] += one.calls
            times[name] += one.time_ms
    return {name: (calls[name], times[name]) for name in calls}, unread


def metrics(
    tables: Sequence[Row],
    catalog: Catalog,
    used: Mapping[Name, tuple[int, float]] | None,
    since: datetime | None,
    tables_since: datetime | None,
) -> tuple[TableMetrics, ...]:
    """One record for each table, the one with most queries first; without queries, the one with most scans."""
    found = []
    for row in tables:
        name = (row["schema"], row["name"])
        known = catalog.tables.get(name)
        calls, time_ms = (None, None) if used is None else used.get(name, (0, 0.0))
        blocks = row["blocks_hit"] + row["blocks_read"]
        found.append(
            TableMetrics(
                table_schema=row["schema"],
                name=row["name"],
                queries=calls,
                time_ms=time_ms,
                sequential_scans=row["seq_scan"],
                index_scans=row["idx_scan"],
                inserts=row["inserts"],
                updates=row["updates"],
                deletes=row["deletes"],
                rows=row["estimated_rows"] if row["estimated_rows"] >= 0 else None,
                bytes=row["bytes"],
                cache_hits=row["blocks_hit"] / blocks if blocks else None,
                indexes=len(known.indexes) if known else 0,
                since=since,
                tables_since=tables_since,
            )
        )
    return tuple(sorted(found, key=_most_used))


def _most_used(one: TableMetrics) -> tuple[int, int, str, str]:
    scans = (one.sequential_scans or 0) + (one.index_scans or 0)
    return -(one.queries or 0), -scans, one.table_schema, one.name
