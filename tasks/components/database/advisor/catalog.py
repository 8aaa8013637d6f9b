"""What the advisor knows of a database's tables: columns with statistics, indexes, sizes and writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from storage.errors import NotMeasuredError
from tasks.components.database import partitions
from tasks.components.database.advisor.source import Name
from tasks.components.database.facts import PG14
from tasks.components.database.partitions import Partition
from tasks.load.database.session import QueryError, Session


@dataclass(frozen=True, slots=True)
class Column:
    """A column with its statistics.

    `width` is the mean in bytes, `nulls` a share, `distinct` an estimated number of values (0 where unknown),
    `correlation` that of its order with the rows' order (−1..1, None where unknown).
    """

    name: str
    type: str
    not_null: bool
    width: int
    nulls: float
    distinct: float
    correlation: float | None
    commonest: float
    """Share of the rows that the most common value has; 0 where unknown."""


@dataclass(frozen=True, slots=True)
class Existing:
    """An index that is there: its keys and included columns as pg_get_indexdef writes them."""

    name: str
    keys: tuple[str, ...]
    included: tuple[str, ...]
    method: str
    predicate: str | None
    unique: bool
    constraint: bool
    valid: bool
    bytes: int
    scans: int
    definition: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table: estimated rows, bytes, what was written since the counters began, and its indexes."""

    schema: str
    name: str
    rows: float
    bytes: int
    columns: Mapping[str, Column]
    indexes: tuple[Existing, ...] = ()
    inserts: int = 0
    updates: int = 0
    hot_updates: int = 0
    deletes: int = 0
    all_visible: float = 0.0
    """Share of pages that are all-visible: where it is low, an index-only scan visits the table after all."""
    foreign_keys: tuple[tuple[str, ...], ...] = ()
    partitioned: bool = False
    partitions: tuple[Partition, ...] = ()

    @property
    def writes(self) -> int:
        """Rows inserted, updated and deleted."""
        return self.inserts + self.updates + self.deletes

    @property
    def full_name(self) -> Name:
        """Schema and name."""
        return self.schema, self.name

    @property
    def partly_foreign(self) -> bool:
        """Whether a partition is a foreign table, which has no index: that of the whole would stay invalid."""
        return any(one.kind == "f" for one in self.partitions)


@dataclass(frozen=True, slots=True)
class Catalog:
    """Tables by schema and name, and the order in which names without a schema are looked up."""

    tables: Mapping[Name, Table]
    path: tuple[str, ...] = ("public",)
    extensions: frozenset[str] = field(default=frozenset())
    visible: Mapping[str, Table] = field(default_factory=dict)
    """Tables by a name that needs no schema."""
    views: Mapping[Name, str] = field(default_factory=dict)
    """The queries of views."""

    def find(self, schema: str | None, name: str) -> Table | None:
        """A table as a statement names it; None for what is not here (views, catalogues)."""
        return self.tables.get((schema, name)) if schema else self.visible.get(name)

    def view(self, schema: str | None, name: str) -> str | None:
        """The query of a view as a statement names it; None for what is no view."""
        schemas = (schema,) if schema else (*self.path, *(own for own, view in self.views if view == name))
        return next((self.views[one, name] for one in schemas if (one, name) in self.views), None)


_USER = "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'"

_TABLES = f"""
WITH RECURSIVE leaves AS (
  SELECT c.oid AS root, c.oid AS member FROM pg_catalog.pg_class c WHERE c.relkind = 'p'
  UNION ALL SELECT l.root, i.inhrelid FROM leaves l JOIN pg_catalog.pg_inherits i ON i.inhparent = l.member),
sums AS (
  SELECT l.root, sum(greatest(c.reltuples, 0))::float8 AS rows, sum(c.relpages) AS pages,
         sum(pg_catalog.pg_relation_size(c.oid))::int8 AS bytes, sum(c.relallvisible) AS visible
  FROM leaves l JOIN pg_catalog.pg_class c ON c.oid = l.member WHERE c.relkind = 'r' GROUP BY l.root)
SELECT n.nspname AS schema, c.relname AS name, c.relkind = 'p' AS partitioned,
       coalesce(p.rows, c.reltuples::float8) AS rows, coalesce(p.pages, c.relpages) AS pages,
       coalesce(p.bytes, pg_catalog.pg_relation_size(c.oid)) AS bytes,
       coalesce(p.visible, c.relallvisible) AS visible,
       coalesce(s.n_tup_ins, 0) AS inserts, coalesce(s.n_tup_upd, 0) AS updates,
       coalesce(s.n_tup_hot_upd, 0) AS hot_updates, coalesce(s.n_tup_del, 0) AS deletes
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_stat_user_tables s ON s.relid = c.oid LEFT JOIN sums p ON p.root = c.oid
WHERE c.relkind IN ('r', 'm', 'p') AND c.relpersistence <> 't' AND {_USER}"""  # noqa: S608 - a constant above

_COLUMNS = f"""
SELECT n.nspname AS schema, c.relname AS table, a.attname AS name,
       pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null,
       coalesce(s.avg_width, CASE WHEN t.typlen > 0 THEN t.typlen ELSE 32 END) AS width,
       coalesce(s.null_frac, 0)::float8 AS nulls, coalesce(s.n_distinct, 0)::float8 AS distinct,
       s.correlation::float8 AS correlation, coalesce(s.most_common_freqs[1], 0)::float8 AS commonest
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_stats s ON s.schemaname = n.nspname AND s.tablename = c.relname AND s.attname = a.attname
  AND NOT s.inherited = (c.relkind <> 'p')
WHERE c.relkind IN ('r', 'm', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND {_USER}
ORDER BY a.attrelid, a.attnum"""  # noqa: S608 - a constant above

_INDEXES = f"""
SELECT n.nspname AS schema, t.relname AS table, c.relname AS name, m.amname AS method,
       ARRAY(SELECT pg_catalog.pg_get_indexdef(x.indexrelid, k, true)
             || CASE WHEN x.indoption[k - 1] & 1 = 1 THEN ' DESC' ELSE '' END
             FROM generate_series(1, x.indnkeyatts) k ORDER BY k) AS keys,
       ARRAY(SELECT pg_catalog.pg_get_indexdef(x.indexrelid, k, true)
             FROM generate_series(x.indnkeyatts + 1, x.indnatts) k ORDER BY k) AS included,
       pg_catalog.pg_get_expr(x.indpred, x.indrelid) AS predicate, x.indisunique AS unique, x.indisvalid AS valid,
       EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = c.oid) OR x.indisreplident AS constraint,
       pg_catalog.pg_relation_size(c.oid) AS bytes, coalesce(s.idx_scan, 0) AS scans,
       pg_catalog.pg_get_indexdef(x.indexrelid) AS definition
FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class c ON c.oid = x.indexrelid
JOIN pg_catalog.pg_am m ON m.oid = c.relam JOIN pg_catalog.pg_class t ON t.oid = x.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
LEFT JOIN pg_catalog.pg_stat_user_indexes s ON s.indexrelid = c.oid
WHERE t.relkind IN ('r', 'm', 'p') AND {_USER}"""  # noqa: S608 - a constant above

_KEYS = f"""
SELECT n.nspname AS schema, t.relname AS table,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY p(number, place)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = p.number
             ORDER BY p.place) AS columns
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class t ON t.oid = k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 AND {_USER}"""  # noqa: S608 - a constant above

_VIEWS = f"""
SELECT n.nspname AS schema, c.relname AS name, pg_catalog.pg_get_viewdef(c.oid) AS text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'v' AND {_USER} ORDER BY 1, 2 LIMIT 2000"""  # noqa: S608 - a constant above

_PATH = "SELECT pg_catalog.current_schemas(false)::text[] AS path"
_EXTENSIONS = "SELECT extname AS name FROM pg_catalog.pg_extension"

Row = Mapping[str, Any]


def read(session: Session) -> Catalog:
    """Read the catalogue of the database that a session is connected to; raises NotMeasuredError."""
    try:
        rows = {
            name: session.query(query)
            for name, query in (
                ("tables", _TABLES),
                ("columns", _COLUMNS),
                ("indexes", _INDEXES),
                ("keys", _KEYS),
                ("partitions", partitions.ALL),
                ("views", _VIEWS),
                ("path", _PATH),
                ("extensions", _EXTENSIONS),
            )
        }
    except QueryError as error:
        raise NotMeasuredError(f"the catalogue of {session.server.shown} could not be read: {error}") from None
    tables = {(row["schema"], row["name"]): _table(row, rows) for row in rows["tables"]}
    path = tuple(rows["path"][0]["path"]) or ("public",)
    views = {(row["schema"], row["name"]): row["text"] for row in rows["views"] if row["text"]}
    extensions = frozenset(row["name"] for row in rows["extensions"])
    return Catalog(tables, path, extensions, _visible(tables, path), views)


def check_statistics(session: Session, catalog: Catalog) -> None:
    """Raise NotMeasuredError where no statistics can be seen at all although there are tables with columns."""
    columns = [column for table in catalog.tables.values() for column in table.columns.values()]
    if columns and not any(column.correlation is not None or column.distinct for column in columns):
        remedy = "GRANT pg_read_all_data" if session.version >= PG14 else "GRANT SELECT on its tables"
        raise NotMeasuredError(
            f"no statistics of {session.server.shown} can be seen: {remedy} TO {session.server.user}, or run ANALYZE"
        )


def _visible(tables: Mapping[Name, Table], path: Sequence[str]) -> dict[str, Table]:
    """Tables by name alone: those of the path first, then names that only one schema has."""
    found: dict[str, Table] = {}
    for schema in path:
        for (own, name), table in tables.items():
            if own == schema:
                found.setdefault(name, table)
    elsewhere: dict[str, list[Table]] = {}
    for (_, name), table in tables.items():
        elsewhere.setdefault(name, []).append(table)
    return {**{name: some[0] for name, some in elsewhere.items() if len(some) == 1}, **found}


def _table(row: Row, rows: Mapping[str, Sequence[Row]]) -> Table:
    mine = (row["schema"], row["name"])
    count = max(0.0, float(row["rows"]))
    return Table(
        schema=row["schema"],
        name=row["name"],
        rows=count,
        bytes=int(row["bytes"]),
        columns={one["name"]: _column(one, count) for one in rows["columns"] if _of(one) == mine},
        indexes=tuple(_existing(one) for one in rows["indexes"] if _of(one) == mine),
        inserts=int(row["inserts"]),
        updates=int(row["updates"]),
        hot_updates=int(row["hot_updates"]),
        deletes=int(row["deletes"]),
        all_visible=min(1.0, row["visible"] / row["pages"]) if row["pages"] else 0.0,
        partitioned=row["partitioned"],
        partitions=partitions.of_table(rows["partitions"], *mine),
        foreign_keys=tuple(tuple(one["columns"]) for one in rows["keys"] if _of(one) == mine),
    )


def _of(row: Row) -> Name:
    return row["schema"], row["table"]


def _column(row: Row, rows: float) -> Column:
    distinct = float(row["distinct"])
    return Column(
        name=row["name"],
        type=row["type"],
        not_null=row["not_null"],
        width=int(row["width"]),
        nulls=float(row["nulls"]),
        distinct=-distinct * rows if distinct < 0 else distinct,
        correlation=row["correlation"],
        commonest=float(row["commonest"]),
    )


def _existing(row: Row) -> Existing:
    return Existing(
        name=row["name"],
        keys=tuple(row["keys"]),
        included=tuple(row["included"]),
        method=row["method"],
        predicate=row["predicate"],
        unique=row["unique"],
        constraint=row["constraint"],
        valid=row["valid"],
        bytes=int(row["bytes"]),
        scans=int(row["scans"]),
        definition=row["definition"],
    )
