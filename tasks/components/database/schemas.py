"""Columns of the raw tables that the database component stores; times UTC, durations ms or s as the name says.

Counters of tables and indexes come as their value at the window's end and, with the suffix `_delta`, as what was
added within the window; a delta is null where the figure was not there at both ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

_TEXT, _INT, _FLOAT, _BOOL = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_TEXTS = pa.list_(pa.string())
_MOMENT = pa.timestamp("us", tz="UTC")


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind) for name, kind in columns.items()])


FACTS = _schema(name=_TEXT, value=_TEXT)
"""One row per fact of the server: version, rights, settings (`setting.…`), reset times, notes of the collection."""

COUNTERS = _schema(name=_TEXT, first=_FLOAT, last=_FLOAT, delta=_FLOAT)
"""pg_stat_database of this database, and counters of WAL, checkpoints and archiver, at both ends.

`checkpoints.since` is no counter: it is when their statistics were reset, in seconds of the epoch.
"""

GAUGES = _schema(name=_TEXT, first=_FLOAT, last=_FLOAT)
"""Ages of transactions and multixacts in this database, and how far a replica is behind in its replay."""

REPLICAS = _schema(name=_TEXT, state=_TEXT, sync_state=_TEXT, unsent_bytes=_FLOAT, lag_bytes=_FLOAT, lag_s=_FLOAT)
"""Replicas that stream from this server, at the window's end."""

SLOTS = _schema(
    name=_TEXT,
    kind=_TEXT,
    database=_TEXT,
    active=_BOOL,
    wal_status=_TEXT,
    invalid=_TEXT,  # why the server gave it up (17+)
    retained_bytes=_FLOAT,
    held_transactions=_INT,
)
"""Replication slots at the window's end: the WAL that each keeps, and the age of what it holds back from vacuum."""

PREPARED = _schema(name=_TEXT, user=_TEXT, age_s=_FLOAT)
"""Prepared transactions of this database that nobody has ended."""

ACTIVITY = _schema(
    sample=_INT,
    at=_MOMENT,
    database=_BOOL,  # whether the sessions are of the database that is measured
    application=_TEXT,
    own=_BOOL,
    state=_TEXT,  # null where the right to see it is missing
    wait_type=_TEXT,
    wait=_TEXT,
    sessions=_INT,
)
"""Client sessions counted in each sample; a sample that saw no session has one row with `sessions` 0."""

SESSIONS = _schema(
    sample=_INT,
    at=_MOMENT,
    pid=_INT,
    application=_TEXT,
    user=_TEXT,
    state=_TEXT,
    transaction_s=_FLOAT,
    state_s=_FLOAT,
    wait_type=_TEXT,
    wait=_TEXT,
    blocked_by=pa.list_(pa.int64()),
    queryid=_TEXT,
)
"""Sessions worth a look in each sample: idle in transaction, long transactions, blocked ones and their blockers."""

RUNNING = _schema(sample=_INT, application=_TEXT, queryid=_TEXT, age_s=_FLOAT)
"""Statements of the application that were running at a sample, and for how long they had run by then."""

LOCKS = _schema(pid=_INT, relation=_TEXT, mode=_TEXT)
"""Locks on tables that a session idle in a transaction, or a long one, was seen to hold."""

POOLS = _schema(
    sample=_INT,
    at=_MOMENT,
    pool=_TEXT,
    user=_TEXT,
    mode=_TEXT,
    size=_INT,  # servers that the pool may open
    clients_active=_INT,
    clients_waiting=_INT,
    servers_active=_INT,
    servers_idle=_INT,
    waited_ms=_FLOAT,  # how long the first client in the queue has waited
)
"""PgBouncer's pools of this database in each sample; none where no console is named."""

STATEMENTS = _schema(
    userid=_INT,
    user=_TEXT,
    queryid=_TEXT,
    toplevel=_BOOL,
    own=_BOOL,
    text=_TEXT,
    read=_TEXT,  # name of the timed read that it is, null where it is none
    calls=_INT,
    plans=_INT,  # those without a call were cancelled; 0 where planning is not tracked
    rows=_INT,
    total_ms=_FLOAT,
    planning_ms=_FLOAT,
    blocks_hit=_INT,
    blocks_read=_INT,
    temp_written=_INT,
    wal_bytes=_INT,
    resets=_INT,
)
"""What each statement added to pg_stat_statements within the window; `resets` counts restarts of its counters."""

TABLES = _schema(
    oid=_INT,
    schema=_TEXT,
    name=_TEXT,
    kind=_TEXT,
    estimated_rows=_FLOAT,
    pages=_INT,
    bytes=_INT,
    total_bytes=_INT,
    grown_bytes=_INT,  # of total_bytes, within the window
    index_bytes=_INT,
    live=_INT,
    dead=_INT,
    modified_since_analyze=_INT,
    last_vacuum=_MOMENT,
    last_analyze=_MOMENT,
    frozen_age=_INT,
    options=_TEXTS,
    seq_scan=_INT,
    seq_scan_delta=_INT,
    seq_rows_delta=_INT,
    idx_scan=_INT,
    idx_scan_delta=_INT,
    idx_rows_delta=_INT,
    inserts_delta=_INT,
    updates_delta=_INT,
    hot_updates_delta=_INT,
    deletes_delta=_INT,
    deletes=_INT,
    blocks_hit_delta=_INT,
    blocks_read_delta=_INT,
)
"""Ordinary tables, materialised views and partitioned tables outside the system's schemas."""

INDEXES = _schema(
    oid=_INT,
    table_oid=_INT,
    schema=_TEXT,
    table=_TEXT,
    name=_TEXT,
    method=_TEXT,
    columns=_TEXTS,  # key parts as SQL: a column or an expression
    included=_TEXTS,
    attributes=_TEXT,  # indkey: 0 stands for an expression
    classes=_TEXTS,  # per key part: operator class, collation, sort options
    expressions=_TEXT,
    predicate=_TEXT,
    unique=_BOOL,
    primary=_BOOL,
    exclusion=_BOOL,
    nulls_not_distinct=_BOOL,
    valid=_BOOL,
    ready=_BOOL,
    immediate=_BOOL,
    replica_identity=_BOOL,
    constraint=_BOOL,  # a constraint stands on it, a foreign key of another table included
    partitioned=_BOOL,  # the index of a partitioned table: cannot be dropped or made concurrently
    attached=_BOOL,  # a part of a partitioned index: cannot be dropped alone
    definition=_TEXT,
    bytes=_INT,
    entries=_FLOAT,  # estimated
    pages=_INT,
    scans=_INT,
    scans_delta=_INT,
    blocks_hit_delta=_INT,
    blocks_read_delta=_INT,
)
"""All indexes of those tables."""

COLUMNS = _schema(
    schema=_TEXT,
    table=_TEXT,
    name=_TEXT,
    type=_TEXT,
    not_null=_BOOL,
    width=_INT,  # mean bytes; null where the role may not read the column, or it was never analyzed
    nulls=_FLOAT,
)
"""Columns of those tables with the planner's statistics; no values."""

FOREIGN_KEYS = _schema(
    name=_TEXT,
    schema=_TEXT,
    table=_TEXT,
    table_oid=_INT,
    columns=_TEXTS,
    referenced_oid=_INT,
    referenced=_TEXT,
    on_delete=_TEXT,
    on_update=_TEXT,
)
"""Foreign keys of those tables; columns in the constraint's order."""

PARTITIONS = _schema(
    root_schema=_TEXT,
    root=_TEXT,
    schema=_TEXT,
    name=_TEXT,
    kind=_TEXT,
    parent_schema=_TEXT,
    parent=_TEXT,
)
"""Partitions of every partitioned table (the root) at whatever depth, parents before their parts."""

SEQUENCES = _schema(
    schema=_TEXT,
    name=_TEXT,
    column=_TEXT,  # schema.table.column that it feeds, null where none
    type=_TEXT,  # the narrower of the sequence's and the column's type
    last=_FLOAT,
    first=_FLOAT,
    limit=_FLOAT,
    increment=_INT,
    cycles=_BOOL,
    readable=_BOOL,
)
"""Sequences with the value at which the narrowest of sequence, type and column ends."""

PLANS = _schema(
    statement=_TEXT,
    name=_TEXT,
    how=_TEXT,  # GENERIC_PLAN, PREPARE, VALUES
    text=_TEXT,
    plan=_TEXT,  # JSON of EXPLAIN, null where the planner refused
    error=_TEXT,
)
"""Plans of the statements that took the most time, and of the timed reads; estimates, nothing was executed."""

ADVICE = _schema(
    sql=_TEXT,
    drop=_TEXT,
    schema=_TEXT,
    table=_TEXT,
    columns=_TEXTS,  # keys in their order; "" stands for an expression
    whole=_BOOL,  # a B-tree without a predicate
    statements=_TEXTS,  # queryids of the statements that it helps
    evidence=_TEXT,  # JSON of the advisor's evidence: effects, plans, size, write cost, how it was tested
)
"""Indexes that the advisor recommends for what ran within the window."""

ADVICE_REFUSED = _schema(statement=_TEXT, reason=_TEXT)
"""Queryids of the statements that the advisor could not judge, and why."""

SCHEMAS: Mapping[str, pa.Schema] = {
    "facts": FACTS,
    "counters": COUNTERS,
    "gauges": GAUGES,
    "replicas": REPLICAS,
    "slots": SLOTS,
    "prepared": PREPARED,
    "activity": ACTIVITY,
    "sessions": SESSIONS,
    "running": RUNNING,
    "locks": LOCKS,
    "pools": POOLS,
    "statements": STATEMENTS,
    "tables": TABLES,
    "indexes": INDEXES,
    "columns": COLUMNS,
    "foreign_keys": FOREIGN_KEYS,
    "partitions": PARTITIONS,
    "sequences": SEQUENCES,
    "plans": PLANS,
    "advice": ADVICE,
    "advice_refused": ADVICE_REFUSED,
}
"""All raw tables but `samples`, whose schema is `tasks.load.recording.samples.SCHEMA`."""


def table(name: str, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Rows as the table `name`; keys that the schema does not have are left out, missing ones are null."""
    schema = SCHEMAS[name]
    return pa.Table.from_pylist([{column: row.get(column) for column in schema.names} for row in rows], schema=schema)
