"""An index of a partitioned table, built without a lock that lasts: which statements make it. Pure, but for `read`.

PostgreSQL builds such an index in one go only, under a lock against writes for as long as that takes. Its manual's
way around it: the index ON ONLY the parent, which holds no row; one of each partition, CONCURRENTLY; each attached.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import postgast

from tasks.components.database.advisor.records import quoted
from tasks.load.database.session import Session

_NAME_BYTES = 63

_PARTITIONS = """
WITH RECURSIVE parts AS (
  SELECT c.oid AS root, i.inhrelid AS oid, i.inhparent AS parent, 1 AS depth
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_inherits i ON i.inhparent = c.oid WHERE c.relkind = 'p'
  UNION ALL SELECT p.root, i.inhrelid, i.inhparent, p.depth + 1
  FROM parts p JOIN pg_catalog.pg_inherits i ON i.inhparent = p.oid)
SELECT rn.nspname AS root_schema, r.relname AS root, n.nspname AS schema, c.relname AS name, c.relkind::text AS kind,
       pn.nspname AS parent_schema, pc.relname AS parent
FROM parts p JOIN pg_catalog.pg_class c ON c.oid = p.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class pc ON pc.oid = p.parent JOIN pg_catalog.pg_namespace pn ON pn.oid = pc.relnamespace
JOIN pg_catalog.pg_class r ON r.oid = p.root JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace"""
"""The partitions of every partitioned table (the root), at whatever depth."""

_ORDER = " ORDER BY p.depth, n.nspname, c.relname"
ALL = _PARTITIONS + _ORDER
"""Of every partitioned table, parents before their parts."""

_ONE = f"{_PARTITIONS} WHERE rn.nspname = %(schema)s AND r.relname = %(table)s{_ORDER}"


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition of a table, at whatever depth: its kind is 'r', 'p' where it is partitioned itself, or another."""

    schema: str
    name: str
    kind: str
    parent_schema: str
    parent: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Partition:
        """A row of `ALL`."""
        return cls(row["schema"], row["name"], row["kind"], row["parent_schema"], row["parent"])


@dataclass(frozen=True, slots=True)
class Part:
    """The index of one partition: how it is made, and joined to the index of the partition's parent."""

    schema: str
    table: str
    name: str
    partitioned: bool
    sql: str
    attach: str


def read(session: Session, schema: str, table: str) -> list[Partition]:
    """The partitions of a table, parents before their parts; none where it is not partitioned. Raises QueryError."""
    return [Partition.of(row) for row in session.query(_ONE, {"schema": schema, "table": table})]


def of_table(rows: Iterable[Mapping[str, Any]], schema: str, table: str) -> tuple[Partition, ...]:
    """The partitions of one table among rows of `ALL`."""
    return tuple(Partition.of(row) for row in rows if (row["root_schema"], row["root"]) == (schema, table))


def only(definition: str) -> str:
    """A CREATE INDEX of a partitioned table as the one that holds no row: ON ONLY, not CONCURRENTLY."""
    tree, node = _index(definition)
    return _written(tree, node.relation.schemaname, node.relation.relname, node.idxname, partitioned=True)


def parts(definition: str, partitions: Sequence[Partition]) -> Iterator[Part]:
    """The indexes of the partitions, in the order in which they are made, for a CREATE INDEX of their table."""
    tree, node = _index(definition)
    schema, table, name = node.relation.schemaname, node.relation.relname, node.idxname
    names = {(schema, table): (schema, name)}
    for one in partitions:
        partitioned = one.kind == "p"
        part = part_name(name, one)
        names[one.schema, one.name] = (one.schema, part)
        above = ".".join(quoted(word) for word in names[one.parent_schema, one.parent])
        yield Part(
            schema=one.schema,
            table=one.name,
            name=part,
            partitioned=partitioned,
            sql=_written(tree, one.schema, one.name, part, partitioned=partitioned),
            attach=f"ALTER INDEX {above} ATTACH PARTITION {quoted(one.schema)}.{quoted(part)}",
        )


def commands(definition: str, partitions: Sequence[Partition]) -> tuple[str, ...]:
    """Every statement, in order: what a person runs by hand, and what is done for an approved plan."""
    each = ((part.sql, part.attach) for part in parts(definition, partitions))
    return (only(definition), *(statement for pair in each for statement in pair))


def part_name(index: str, partition: Partition) -> str:
    """The name of a partition's index: it follows from both, so that it is found again after a kill."""
    digest = hashlib.sha256(repr((index, partition.schema, partition.name)).encode()).hexdigest()[:8]
    return f"{index.encode()[: _NAME_BYTES - 9].decode(errors='ignore')}_{digest}"


def _index(definition: str) -> tuple[Any, Any]:
    tree: Any = postgast.parse(definition)
    return tree, tree.stmts[0].stmt.index_stmt


def _written(tree: Any, schema: str, table: str, name: str, *, partitioned: bool) -> str:
    """The statement with these names; the tree is as before afterwards."""
    copy = type(tree)()
    copy.CopyFrom(tree)
    made = copy.stmts[0].stmt.index_stmt
    made.relation.schemaname, made.relation.relname, made.idxname = schema, table, name
    made.relation.inh, made.concurrent = not partitioned, not partitioned
    return str(postgast.deparse(copy))
