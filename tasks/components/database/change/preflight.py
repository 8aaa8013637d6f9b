"""What must hold before an index is built or removed: read once, judged by pure rules (`problems`, `skipped`)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.changes import ChangeSettings
from tasks.components.database.advisor import size, widths
from tasks.components.database.advisor.records import quoted
from tasks.components.database.change.ownership import Mark, mark_of
from tasks.components.database.change.plan import shape
from tasks.components.database.change.records import Kind, Step
from tasks.load.database.session import QueryError, Session

OLDEST, NEWEST = 130_000, 190_000
"""Server versions that are known: from the first up to below the second."""

DISK_FACTOR = 2
_MB = 1_000_000
_LOOPBACK = ("127.0.0.1", "::1", "localhost")

_TABLE = """
SELECT c.oid, c.relkind::text AS kind, c.relpersistence::text AS persistence, c.reltuples::float8 AS rows,
       p.bytes, pg_catalog.pg_get_userbyid(c.relowner) AS owner, pg_catalog.pg_has_role(c.relowner, 'USAGE') AS owns,
       pg_catalog.has_schema_privilege(n.oid, 'CREATE') AS creates, p.oids, p.foreign, p.others
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (
  WITH RECURSIVE parts AS (
    SELECT c.oid AS oid UNION ALL
    SELECT i.inhrelid FROM parts q JOIN pg_catalog.pg_inherits i ON i.inhparent = q.oid WHERE c.relkind = 'p')
  SELECT sum(pg_catalog.pg_relation_size(o.oid))::int8 AS bytes, pg_catalog.array_agg(o.oid) AS oids,
         min(o.relname) FILTER (WHERE o.relkind NOT IN ('r', 'p')) AS foreign,
         min(o.relname) FILTER (WHERE NOT pg_catalog.pg_has_role(o.relowner, 'USAGE')
           OR NOT pg_catalog.has_schema_privilege(o.relnamespace, 'CREATE')) AS others
  FROM parts q JOIN pg_catalog.pg_class o ON o.oid = q.oid) p
WHERE n.nspname = %(schema)s AND c.relname = %(table)s"""
"""A table, with its partitions where it has any: all their bytes and oids, and one that cannot have an index."""

_INDEXES = """
SELECT ic.relname AS name, t.relname AS of, i.indisvalid AS valid, pg_catalog.obj_description(ic.oid) AS comment,
       pg_catalog.pg_get_indexdef(ic.oid) AS definition
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = ic.relnamespace
WHERE n.nspname = %(schema)s AND (t.relname = %(table)s OR ic.relname = %(name)s)"""

_TAKEN = """
SELECT c.relkind::text AS kind FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = %(name)s AND c.relkind NOT IN ('i', 'I')"""

_OLD = """
SELECT a.pid::text AS who, a.usename AS role, coalesce(a.application_name, '') AS application, a.state AS state,
       extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS age_s
FROM pg_catalog.pg_stat_activity a
WHERE a.datname = current_database() AND a.xact_start < clock_timestamp() - %(age)s * interval '1 second'
  AND a.pid <> pg_catalog.pg_backend_pid() AND a.backend_type NOT IN ('autovacuum worker', 'parallel worker')
  AND (a.backend_xmin IS NOT NULL
       OR EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.pid = a.pid AND l.relation = ANY(%(oids)s::oid[])))
UNION ALL
SELECT 'prepared ' || gid, owner, '', 'prepared', extract(epoch FROM clock_timestamp() - prepared)::float8
FROM pg_catalog.pg_prepared_xacts
WHERE database = current_database() AND prepared < clock_timestamp() - %(age)s * interval '1 second'
ORDER BY age_s DESC LIMIT 1"""

"""Whom CONCURRENTLY waits for: holders of an old snapshot, and of a lock on the table. Sessions without either that
are idle in a transaction do not stand in the way."""

_BUSY = """
SELECT a.pid, left(a.query, 40) AS query, a.backend_type = 'autovacuum worker' AS automatic
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'relation' AND l.granted AND l.relation = ANY(%(oids)s::oid[])
  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database())
  AND l.mode IN ('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
                 'AccessExclusiveLock')
  AND a.pid <> pg_catalog.pg_backend_pid() LIMIT 1"""

_REPLICAS = """
SELECT pg_catalog.count(*) AS n,
       pg_catalog.max(pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), replay_lsn))::float8 AS bytes
FROM pg_catalog.pg_stat_replication"""

_RIGHTS = """
SELECT current_user AS role, pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees_all,
       pg_catalog.pg_is_in_recovery() AS replica"""


@dataclass(frozen=True)
class Existing:
    """An index that is there: of which table, whether valid, whose."""

    name: str
    table: str
    valid: bool
    mark: Mark | None
    definition: str


@dataclass(frozen=True)
class Facts:
    """What was read before a step; None and empty texts stand for what is not there."""

    version: int
    role: str
    sees_all: bool
    replica: bool
    table: Mapping[str, Any] | None
    indexes: Sequence[Existing]
    taken: bool
    old: Mapping[str, Any] | None
    busy: Mapping[str, Any] | None
    replicas: int
    lag_bytes: float | None
    needed_bytes: float
    free_bytes: float | None

    def named(self, name: str) -> Existing | None:
        """The index of that name."""
        return next((one for one in self.indexes if one.name == name), None)


def read(session: Session, step: Step, settings: ChangeSettings) -> Facts:
    """Read all of it by one read-only session; raises QueryError."""
    names = {"schema": step.schema_name, "table": step.table, "name": step.name}
    rights = session.query(_RIGHTS)[0]
    tables = session.query(_TABLE, names)
    table = tables[0] if tables else None
    replicas: dict[str, Any] = {"n": 0, "bytes": None} if rights["replica"] else session.query(_REPLICAS)[0]
    old = session.query(_OLD, {"age": settings.transaction_age_s, "oids": table["oids"] if table else []})
    busy = session.query(_BUSY, {"oids": table["oids"]}) if table else []
    return Facts(
        version=session.version,
        role=rights["role"],
        sees_all=rights["sees_all"],
        replica=rights["replica"],
        table=table,
        indexes=[
            Existing(row["name"], row["of"], row["valid"], mark_of(row["name"], row["comment"]), row["definition"])
            for row in session.query(_INDEXES, names)
        ],
        taken=bool(session.query(_TAKEN, names)),
        old=old[0] if old else None,
        busy=busy[0] if busy else None,
        replicas=int(replicas["n"]),
        lag_bytes=replicas["bytes"],
        needed_bytes=DISK_FACTOR * _estimate(session, step, table) if table else 0.0,
        free_bytes=_free(session, settings),
    )


def _estimate(session: Session, step: Step, table: Mapping[str, Any]) -> float:
    """Bytes that the index may take: by the statistics of its columns, of other kinds those of its table at most."""
    rows = max(0.0, float(table["rows"]))
    wanted = (*step.columns, *step.include)
    if step.method != "btree" or step.expression or rows <= 0:
        return float(table["bytes"])

    def query(sql: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in session.query(sql, values)]

    known = widths.columns(query, step.schema_name, step.table, rows)
    if any(name not in known for name in wanted):
        return float(table["bytes"])
    keys, include = ([known[name] for name in names] for names in (step.columns, step.include))
    return float(size.btree(rows, keys, include, deduplicates=False).bytes)


def _free(session: Session, settings: ChangeSettings) -> float | None:
    """Free bytes on the server's disk: as the environment's file says, or looked up where it is this machine's."""
    if settings.free_disk_mb is not None:
        return settings.free_disk_mb * _MB
    if session.server.parameters.get("host", "") not in _LOOPBACK:
        return None
    try:
        folder = Path(str(session.query("SELECT pg_catalog.current_setting('data_directory') AS at")[0]["at"]))
        port = (folder / "postmaster.pid").read_text().splitlines()[3]
        return (
            float(shutil.disk_usage(folder).free) if port == session.server.parameters.get("port", "5432") else None
        )
    except (QueryError, OSError, IndexError):
        return None


def present(facts: Facts, step: Step) -> str | None:
    """Why there is nothing to do: the index is there, under its name or another, or it is gone already."""
    named = facts.named(step.name)
    if step.kind is Kind.DROP:
        return None if named else f"index {step.name} is gone already"
    for one in facts.indexes:
        if one.valid and one.table == step.table and shape(one.definition) == shape(step.sql):
            other = "" if one.name == step.name else f" under the name {one.name}"
            return f"the index is there already{other}"
    return None


def problems(facts: Facts, step: Step, settings: ChangeSettings) -> Iterator[str]:
    """Every reason not to begin, each one line with its remedy."""
    if not OLDEST <= facts.version < NEWEST:
        yield f"PostgreSQL {facts.version // 10_000} is not known to this program: it knows 13 to 18"
    if facts.replica:
        yield "this server is a read-only replica: give the address of its primary"
    if facts.table is None:
        yield f"table {step.table_name} does not exist"
        return
    yield from _table(facts.table, facts, step)
    yield from _moment(facts, settings)
    if facts.free_bytes is not None and facts.free_bytes < facts.needed_bytes:
        yield (
            f"{facts.free_bytes / _MB:.0f} MB of disk are free, {facts.needed_bytes / _MB:.0f} MB are wanted (twice "
            "the index's estimate): free some"
        )


def _table(table: Mapping[str, Any], facts: Facts, step: Step) -> Iterator[str]:
    yield from _kind(table, step)
    if table["persistence"] == "t":
        yield f"{step.table_name} is temporary"
    if not table["owns"]:
        yield (
            f"role {facts.role} does not own {step.table_name}: GRANT {quoted(table['owner'])} TO "
            f"{quoted(facts.role)}"
        )
    elif not table["creates"]:
        yield f"role {facts.role} may not create in {step.schema_name}: GRANT CREATE ON SCHEMA {step.schema_name}"
    named = facts.named(step.name)
    if facts.taken or (named is not None and named.table != step.table):
        yield f"the name {step.name} is taken by something else in {step.schema_name}: rename one"
    elif named is not None and step.kind is Kind.CREATE:
        state = "" if named.valid else "INVALID "
        yield f"an {state}index {step.name} is there that another made: look at it, and drop it by hand"
    elif named is not None and step.kind is Kind.DROP and named.mark is None:
        yield f"index {step.name} does not bear this program's comment: it is not ours to drop"


def _kind(table: Mapping[str, Any], step: Step) -> Iterator[str]:
    if table["kind"] not in ("r", "m", "p"):
        yield f"{step.table_name} is no table"
    elif table["kind"] == "p" and not step.partitioned:
        yield (
            f"{step.table_name} is partitioned: CREATE INDEX CONCURRENTLY cannot be used on it; write CREATE INDEX "
            f"{step.name} ON ONLY {step.table_name} …, and each partition's own is built CONCURRENTLY"
        )
    elif table["kind"] != "p" and step.partitioned:
        yield f"{step.table_name} is not partitioned: write CREATE INDEX CONCURRENTLY without ONLY"
    if table["kind"] == "p":
        yield from _partitions(table, step)


def _partitions(table: Mapping[str, Any], step: Step) -> Iterator[str]:
    if table["foreign"] is not None:
        yield f"partition {table['foreign']} of {step.table_name} lies elsewhere: index each of the others by itself"
    if table["others"] is not None and table["owns"] and table["creates"]:
        yield f"partition {table['others']} of {step.table_name} has another owner or schema: GRANT as for the table"


def _moment(facts: Facts, settings: ChangeSettings) -> Iterator[str]:
    """What would block a build, or be hurt by it, just now."""
    if not facts.sees_all:
        yield f"role {facts.role} cannot see other sessions' transactions: GRANT pg_monitor TO {quoted(facts.role)}"
    if facts.old is not None:
        yield (
            f"transaction of process {facts.old['who']} ({facts.old['application'] or 'no application_name'}, role "
            f"{facts.old['role']}, {facts.old['state']}) is {facts.old['age_s']:.0f} s old, a build would wait for "
            f"it: end it, or allow it by transaction_age_s (now {settings.transaction_age_s:g})"
        )
    if facts.busy is not None:
        what = "autovacuum" if facts.busy["automatic"] else str(facts.busy["query"]).split("\n")[0]
        yield f"the table is held by process {facts.busy['pid']} ({what}): wait until it has ended"
    limit = settings.replica_lag_mb * _MB
    if facts.replicas and facts.lag_bytes is None and facts.sees_all:
        yield "the lag of a replica is not known: see pg_stat_replication"
    if facts.lag_bytes is not None and facts.lag_bytes > limit:
        yield f"a replica is {facts.lag_bytes / _MB:.0f} MB behind, {settings.replica_lag_mb:g} MB are allowed: wait"


def skipped(facts: Facts) -> Iterator[str]:
    """What could not be looked at."""
    if facts.free_bytes is None:
        yield "free disk of the server was not looked at: set free_disk_mb in [database.changes]"
