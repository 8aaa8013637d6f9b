"""Builds an index on a twin in an instant, and gives it the size and the statistics that the real one would have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, LiteralString

import psycopg

from tasks.components.database.advisor import size
from tasks.components.database.advisor.explain import explain, reason
from tasks.components.database.advisor.expression import derive
from tasks.components.database.advisor.mirror import Connection
from tasks.components.database.advisor.records import Index, PlanError, quoted
from tasks.components.database.advisor.relfiles import emptied, extend, grow_btree
from tasks.components.database.advisor.size import Column, Size
from tasks.components.database.advisor.widths import columns, within

BUILD_S = 30
"""How long one build may take; it reads nothing."""

_TRIGRAMS = "gin_trgm_ops"
_MOST_TRIGRAMS = 20_000.0
"""Different trigrams of ordinary text; each character of a value begins one."""

_TABLES: LiteralString = """
WITH RECURSIVE tree AS (
  SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = %(schema)s AND c.relname = %(name)s
  UNION ALL SELECT h.inhrelid FROM tree t JOIN pg_inherits h ON h.inhparent = t.oid
  JOIN pg_class c ON c.oid = t.oid WHERE c.relkind = 'p')
SELECT n.nspname, c.relname, pg_relation_filepath(c.oid) FROM tree JOIN pg_class c USING (oid)
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'm')"""
_LEAVES: LiteralString = """
WITH RECURSIVE tree AS (
  SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = %(schema)s AND c.relname = %(name)s
  UNION ALL SELECT h.inhrelid FROM tree t JOIN pg_inherits h ON h.inhparent = t.oid)
SELECT c.oid::int8, c.relname, c.relkind::text, i.indrelid::int8, tn.nspname, t.relname, pg_relation_filepath(c.oid),
       pg_relation_size(t.oid) / 8192,
       (SELECT bool_and(EXISTS (SELECT FROM pg_amproc p WHERE p.amprocfamily = o.opcfamily AND p.amprocnum = 4))
        FROM unnest(i.indclass::oid[]) AS k (class) JOIN pg_opclass o ON o.oid = k.class)
FROM tree JOIN pg_class c USING (oid) JOIN pg_index i ON i.indexrelid = c.oid
JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace"""
_EXPRESSIONS: LiteralString = """
SELECT a.attname, pg_get_indexdef(a.attrelid, a.attnum, true), format_type(a.atttypid, NULL)
FROM pg_attribute a JOIN pg_index i ON i.indexrelid = a.attrelid
WHERE a.attrelid = %(index)s::oid AND i.indkey[a.attnum - 1] = 0 AND a.attnum <= i.indnkeyatts ORDER BY a.attnum"""
_RESTORE: LiteralString = """
SELECT pg_restore_relation_stats('schemaname', n.nspname::text, 'relname', c.relname::text,
  'relpages', %(pages)s::int, 'reltuples', %(rows)s::real)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %(index)s::oid"""


@dataclass(frozen=True, slots=True)
class Built:
    """An added index: its own and its partitions' oids and names, the bytes of all, and what is to be said of it."""

    oids: tuple[int, ...]
    names: frozenset[str]
    bytes: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Leaf:
    """One index that has a file, and the table it stands on."""

    oid: int
    name: str
    table: int
    schema: str
    table_name: str
    file: Path
    heap_pages: float
    deduplicates: bool


class Builder:
    """Creates and drops indexes by a session of its own, which never sees a table at its full size."""

    def __init__(self, connection: Connection, planner: Connection, data: Path) -> None:
        """`planner` is asked how many rows a predicate leaves; `data` is the server's data folder."""
        self._connection = connection
        self._planner = planner
        self._data = data
        self._rows: dict[tuple[str, str, str | None], float] = {}
        self._columns: dict[tuple[str, str], dict[str, Column]] = {}
        connection.execute(f"SET statement_timeout = '{BUILD_S}s'".encode())

    def build(self, index: Index) -> Built:
        """Create the index, estimate it and make it look so; raises PlanError and leaves nothing behind."""
        tables = self._connection.execute(_TABLES, {"schema": index.schema, "name": index.table}).fetchall()
        for schema, name, _ in tables:
            # Before the index exists: planning reads the first page of each, which is to be changed first.
            self._count(schema, name, None)
            self._count(schema, name, index.predicate)
        try:
            with self._emptied([path for *_, path in tables]):
                self._connection.execute(index.definition().encode())
        except psycopg.Error as error:
            raise PlanError(reason(error)) from None
        try:
            return self._estimated(index)
        except (psycopg.Error, PlanError) as error:
            self.drop(index)
            raise PlanError(reason(error) if isinstance(error, psycopg.Error) else str(error)) from None

    def drop(self, index: Index) -> None:
        """Drop the index where it is."""
        self._connection.execute(f"DROP INDEX IF EXISTS {quoted(index.schema)}.{quoted(index.name)}".encode())

    @contextmanager
    def _emptied(self, paths: Sequence[str]) -> Iterator[None]:
        """The build reads the whole table: let it find nothing instead of gigabytes of holes."""
        with ExitStack() as stack:
            for path in paths:
                stack.enter_context(emptied(self._data / path))
            yield

    def _estimated(self, index: Index) -> Built:
        rows = self._connection.execute(_LEAVES, {"schema": index.schema, "name": index.name}).fetchall()
        total, notes = 0, []
        for oid, name, kind, table, schema, table_name, path, heap_pages, deduplicates in rows:
            if kind == "i":
                leaf = _Leaf(oid, name, table, schema, table_name, self._data / path, heap_pages, deduplicates)
                found, said = self._leaf(index, leaf)
                total += found.bytes
                notes += said
        return Built(
            tuple(row[0] for row in rows), frozenset(row[1] for row in rows), total, tuple(dict.fromkeys(notes))
        )

    def _leaf(self, index: Index, leaf: _Leaf) -> tuple[Size, list[str]]:
        """Estimate one index, and give it its statistics, its size and its height."""
        rows = self._count(leaf.schema, leaf.table_name, None)
        kept = self._count(leaf.schema, leaf.table_name, index.predicate)
        notes = self._derived(index, leaf, rows) if _expressions(index) else []
        found = self._size(index, leaf, rows, kept)
        self._connection.execute(_RESTORE, {"pages": found.pages, "rows": kept, "index": leaf.oid})
        if index.method == "btree":
            grow_btree(leaf.file, found.level)
        extend(leaf.file, found.pages)
        return found, notes

    def _count(self, schema: str, table: str, predicate: str | None) -> float:
        """Rows of the table that meet the predicate, as the planner expects them; raises PlanError."""
        key = (schema, table, predicate)
        if key not in self._rows:
            where = f" WHERE {predicate}" if predicate else ""
            text = f"SELECT FROM ONLY {quoted(schema)}.{quoted(table)}{where}"
            self._rows[key] = float(explain(self._planner, text).root["Plan Rows"])
        return self._rows[key]

    def _derived(self, index: Index, leaf: _Leaf, rows: float) -> list[str]:
        """Statistics for the expressions, or a line on each that has none."""
        notes = []
        for attribute, definition, kind in self._connection.execute(_EXPRESSIONS, {"index": leaf.oid}).fetchall():
            found = derive(
                self._connection,
                rows,
                table=leaf.table,
                index=leaf.oid,
                attribute=attribute,
                definition=definition,
                kind=kind,
            )
            if not found:
                notes.append(f"{index.name}: {definition} has no statistics here, the planner's defaults stand in")
        return notes

    def _size(self, index: Index, leaf: _Leaf, rows: float, kept: float) -> Size:
        place_of = (leaf.schema, leaf.table_name)
        if place_of not in self._columns:
            self._columns[place_of] = columns(self._query, *place_of, rows)
        table, own = self._columns[place_of], list[Column]()
        if _expressions(index):
            own = list(columns(self._query, leaf.schema, leaf.name, rows).values())
        keys = [
            within(table[key.column] if key.column is not None else own[place], rows, kept)
            for place, key in enumerate(index.keys)
        ]
        if index.keys[0].opclass and index.keys[0].opclass.endswith(_TRIGRAMS):
            keys = [replace(keys[0], entries=keys[0].width, elements=min(kept, _MOST_TRIGRAMS))]
        include = [table[name] for name in index.include]
        return estimate(index.method, kept, leaf.heap_pages, keys, include, deduplicates=leaf.deduplicates)

    def _query(self, statement: str, values: Mapping[str, Any]) -> Sequence[Sequence[Any]]:
        return self._connection.execute(statement.encode(), values).fetchall()


def _expressions(index: Index) -> bool:
    return any(key.column is None for key in index.keys)


def estimate(
    method: str,
    rows: float,
    heap_pages: float,
    keys: Sequence[Column],
    include: Sequence[Column],
    *,
    deduplicates: bool,
) -> Size:
    """The size of an index by its method."""
    if method == "btree":
        return size.btree(rows, keys, include, deduplicates=deduplicates)
    if method == "brin":
        return size.brin(heap_pages, keys)
    if method == "hash":
        return size.hashed(rows)
    if method == "gin":
        return size.gin(rows, heap_pages, keys[0])
    return size.tree(rows, keys)
