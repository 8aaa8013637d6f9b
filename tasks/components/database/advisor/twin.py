"""The planner twin: the source's schema and statistics on a scratch server, with files as large as the real ones.

What the planner says there is what it would say on the source, and nothing is asked of the source after the dump. The
planner multiplies a table's density by the size of its file; so each file is extended, by holes, to the real size.

    with Twin.of(session) as twin:
        before = twin.plan("SELECT * FROM orders WHERE user_id = $1")
        twin.add(index)
        after = twin.plan("SELECT * FROM orders WHERE user_id = $1")

It plans and does not execute: there are no rows, and EXPLAIN ANALYZE would time nothing real. One thread at a time.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import LiteralString, Self

import psycopg

from tasks.components.database.advisor import extended
from tasks.components.database.advisor.candidate import Builder, Built
from tasks.components.database.advisor.explain import explain, parameter_types
from tasks.components.database.advisor.mirror import Connection, Mirror, mirrored
from tasks.components.database.advisor.records import Index, Plan, PlanError
from tasks.components.database.advisor.relfiles import extend, grow_btree
from tasks.components.database.advisor.scratch import Scratch, scratch_server
from tasks.components.database.advisor.source import Name, Source
from tasks.load.database.session import Session

PLAN_S = 10.0
"""How long one plan may take."""

SWITCHES = 500
"""So many indexes are hidden or shown before the catalog is vacuumed."""

_MAJOR = 18
_MOST_FANOUT, _LEAST_FANOUT = 285.0, 20.0
_UPPER_TO_LEAF = 70 / 90
"""Fill of a B-tree's upper pages to that of its leaves."""

_EVICT: LiteralString = "CREATE EXTENSION pg_buffercache; SELECT pg_buffercache_evict_all()"
_FILES: LiteralString = """
SELECT n.nspname, c.relname, c.relkind::text, m.amname, pg_relation_filepath(c.oid), c.reltuples::float8
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_am m ON m.oid = c.relam
WHERE c.relkind IN ('r', 'm', 'i') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')"""
_INDEXES: LiteralString = """
WITH RECURSIVE tree AS (
  SELECT i.indexrelid AS root, i.indexrelid AS member FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE i.indisvalid AND n.nspname NOT IN ('pg_catalog', 'pg_toast')
  UNION ALL SELECT t.root, h.inhrelid FROM tree t JOIN pg_inherits h ON h.inhparent = t.member)
SELECT c.relname, t.member::int8 FROM tree t JOIN pg_class c ON c.oid = t.root"""
_HIDE: LiteralString = """
UPDATE pg_catalog.pg_index SET indisvalid = indexrelid <> ALL (%(hidden)s::oid[])
WHERE indexrelid = ANY (%(changed)s::oid[])"""


class Twin:
    """What-if on a twin of the source; made by `of`."""

    how = "planner twin"

    def __init__(
        self, scratch: Scratch, source: Source, mirror: Mirror, stack: ExitStack, notes: Collection[str] = ()
    ) -> None:
        """Use `of`, which ends everything at the end of its context."""
        self.skipped: Mapping[str, str] = mirror.skipped
        """Relations and indexes (`schema.name`) that could not be brought here, and why."""
        self._notes = [*mirror.notes, *notes, *_differences(source)]
        _take_sizes(scratch, source, mirror)
        self._admin: Connection = stack.enter_context(mirror.connect(admin=True))
        self._planner: Connection = stack.enter_context(mirror.connect())
        self._planner.execute(f"SET statement_timeout = {int(PLAN_S * 1000)}".encode())
        self._planner.execute("SET default_transaction_read_only = on")
        self._builder = Builder(stack.enter_context(mirror.connect()), self._planner, scratch.data)
        self._built: dict[str, Built] = {}
        self._oids: dict[str, set[int]] = {}
        for name, oid in self._admin.execute(_INDEXES):
            self._oids.setdefault(name, set()).add(oid)
        self._hidden: frozenset[int] = frozenset()
        self._switched = 0

    @classmethod
    @contextmanager
    def of(
        cls, session: Session, tables: Collection[Name] | None = None, *, timeout_s: float = 120.0
    ) -> Iterator[Self]:
        """A twin of the database that `session` is connected to; `tables` names what is needed, None is everything.

        Raises NotMeasuredError where the role may not read statistics, a table is locked, or the dump takes longer
        than `timeout_s`; LocalPlatformError where the scratch server does not start.
        """
        source = Source.read(session, tables)
        with scratch_server() as scratch, ExitStack() as stack:
            mirror = mirrored(scratch, source, "statistics", timeout_s=timeout_s)
            with mirror.connect(admin=True) as admin:
                notes = extended.write(admin, extended.read(session, source))
            yield cls(scratch, source, mirror, stack, notes)

    @property
    def notes(self) -> tuple[str, ...]:
        """Where the twin may differ from the source, one line each."""
        return tuple(dict.fromkeys(self._notes))

    def plan(self, text: str, *, hidden: Collection[str] = ()) -> Plan:
        """Plan a statement with all added indexes, without those named in `hidden` (of the source or added).

        Raises PlanError with the planner's reason; where that is a relation that did not come here, with its name.
        """
        self._hide(frozenset().union(*(self._oids.get(name, ()) for name in hidden)))
        try:
            plan = explain(self._planner, text)
        except PlanError as error:
            raise PlanError(self._explained(str(error))) from None
        return Plan(plan.cost, plan.root, frozenset(self._own_name(name) for name in plan.indexes))

    def types(self, text: str) -> list[str]:
        """The types that the planner finds for a text's parameters, by number; raises PlanError."""
        return parameter_types(self._planner, text)

    def add(self, index: Index) -> int:
        """Create an index as if it stood over the source's rows; return its estimated bytes. Raises PlanError.

        An index that is there already is not made again.
        """
        if index.name not in self._built:
            built = self._builder.build(index)
            self._notes += built.notes
            self._built[index.name] = built
            self._oids[index.name] = set(built.oids)
        return self._built[index.name].bytes

    def remove(self, index: Index) -> None:
        """Drop an added index; one that was not added is no error."""
        built = self._built.pop(index.name, None)
        if built is not None:
            self._hidden -= self._oids.pop(index.name)
            self._builder.drop(index)

    def _hide(self, hidden: frozenset[int]) -> None:
        """Have the planner pass over these indexes: an invalid index is kept up to date and not used."""
        changed = hidden ^ self._hidden
        if changed:
            self._admin.execute(_HIDE, {"hidden": list(hidden), "changed": list(changed)})
            self._hidden = hidden
            self._switched += len(changed)
        if self._switched > SWITCHES:
            self._admin.execute("VACUUM pg_catalog.pg_index")  # no autovacuum here: old versions would slow each plan
            self._switched = 0

    def _own_name(self, name: str) -> str:
        """The name of the added index that an index of a partition belongs to."""
        return next((own for own, built in self._built.items() if name in built.names), name)

    def _explained(self, message: str) -> str:
        missing = [f"{name} is not on the twin: {why}" for name, why in self.skipped.items() if _names(message, name)]
        return "; ".join(missing) or message


def _names(message: str, relation: str) -> bool:
    return f'"{relation}"' in message or f'"{relation.partition(".")[2]}"' in message


def _differences(source: Source) -> list[str]:
    """What a twin cannot know: an older planner, and servers behind foreign tables, which nobody here may ask."""
    major, names = source.version // 10_000, [one.shown for one in source.relations if one.kind == "f"]
    notes = [] if major == _MAJOR else [f"the source is PostgreSQL {major}; the twin plans as {_MAJOR} does"]
    if names:
        notes.append(f"foreign tables are planned by defaults, without their servers: {', '.join(names)}")
    return notes


def _take_sizes(scratch: Scratch, source: Source, mirror: Mirror) -> None:
    """Extend every file to its size on the source, and give each B-tree about its height."""
    with psycopg.connect(scratch.dsn, autocommit=True) as connection:
        connection.execute(_EVICT)  # the server must read pages anew where foreign keys had it read them
    with mirror.connect(admin=True) as connection:
        files = connection.execute(_FILES).fetchall()
    for schema, name, kind, method, path, rows in files:
        pages = source.pages.get((schema, name), 0)
        file = scratch.data / path
        if kind == "i" and method == "btree" and pages > 1:
            grow_btree(file, _level(pages, rows))
        if pages > 0:
            extend(file, pages)


def _level(pages: int, rows: float) -> int:
    """The level of a B-tree's root, by how many tuples a page of it holds."""
    leaves = pages - 1
    if leaves <= 1:
        return 0
    fanout = min(max(rows / leaves * _UPPER_TO_LEAF, _LEAST_FANOUT), _MOST_FANOUT)
    return math.ceil(math.log(leaves) / math.log(fanout))
