"""What-if by HypoPG, where the source has that extension: its hypothetical indexes live in one session's memory.

Nothing is written and nothing installed. The planner uses the source's own statistics; sizes are HypoPG's, which does
not know of deduplication, and are said to be such. Its B-trees, hash and BRIN indexes only.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tasks.components.database.advisor.explain import PARAMETER, plan_of
from tasks.components.database.advisor.records import Index, Plan, PlanError, quoted
from tasks.components.database.facts import PG16
from tasks.load.database.session import QueryError, Session

_EXTENSION = """
SELECT n.nspname AS schema, e.extversion AS version,
       EXISTS (SELECT FROM pg_catalog.pg_proc p WHERE p.proname = 'hypopg_hide_index' AND p.pronamespace = n.oid)
         AS hides
FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'hypopg'"""
_DATA_EXCEPTION = "22"
_NAME = "hasivu_perf_what_if"


class HypoPG:
    """What-if by hypothetical indexes of one session; made by `of`."""

    how = "HypoPG"

    def __init__(self, session: Session, schema: str, *, hides: bool) -> None:
        """Use `of`, which says whether the extension is there."""
        self._session = session
        self._schema = quoted(schema)
        self._hides = hides
        self._indexes: dict[str, Index] = {}
        self._made: dict[str, tuple[int, str]] = {}
        """By the name of each added index that exists now: HypoPG's oid and name for it."""
        self._hidden: frozenset[str] = frozenset()

    @classmethod
    def of(cls, session: Session) -> HypoPG | None:
        """HypoPG by this session; None where the source has not got it, or a pooler changes the backend beneath."""
        try:
            found = session.query(_EXTENSION)
        except QueryError:
            return None
        if not found or session.pooled:
            return None
        return cls(session, found[0]["schema"], hides=found[0]["hides"])

    def plan(self, text: str, *, hidden: Collection[str] = ()) -> Plan:
        """Plan a statement with every added index and without those of `hidden`; raises PlanError.

        To hide an index that really exists HypoPG 1.4 is needed.
        """
        self._hide(frozenset(hidden))
        names = {made: name for name, (_, made) in self._made.items()}
        plan = plan_of(self._explained(text.rstrip("; \n\t")))
        return Plan(plan.cost, plan.root, frozenset(names.get(name, name) for name in plan.indexes))

    def types(self, text: str) -> list[str]:
        """Not asked of the source: prepared statements of its sessions stay as they are. Raises PlanError."""
        raise PlanError(f"types of parameters are told by a planner twin only ({len(text)} characters)")

    def add(self, index: Index) -> int:
        """Create the hypothetical index; return HypoPG's estimate of its bytes. Raises PlanError."""
        if index.name not in self._made:
            self._make(index)
            self._indexes[index.name] = index
        return int(self._call("hypopg_relation_size", self._made[index.name][0])[0]["hypopg_relation_size"])

    def remove(self, index: Index) -> None:
        """Drop an added index; one that was not added is no error."""
        self._indexes.pop(index.name, None)
        self._hidden -= {index.name}
        self._drop(index.name)

    def _explained(self, text: str) -> dict[str, Any]:
        if ";" in text:
            raise PlanError("its text holds a semicolon")
        if PARAMETER.search(text) is None:
            return self._tree(f"EXPLAIN (VERBOSE, FORMAT JSON) {text}")
        if self._session.version >= PG16:
            return self._tree(f"EXPLAIN (GENERIC_PLAN, VERBOSE, FORMAT JSON) {text}")
        return self._prepared(text)

    def _prepared(self, text: str) -> dict[str, Any]:
        """Before version 16 a forced generic plan of a prepared statement, with NULL for every parameter."""
        count = max(int(word) for word in _numbers(text))
        self._run(f"PREPARE {_NAME} AS {text}")
        try:
            self._run("SET plan_cache_mode = force_generic_plan")
            return self._tree(f"EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE {_NAME}({', '.join(['NULL'] * count)})")
        finally:
            self._run("RESET plan_cache_mode")
            self._run(f"DEALLOCATE {_NAME}")

    def _tree(self, statement: str) -> dict[str, Any]:
        try:
            row = self._session.query(statement)[0]
        except QueryError as error:
            raise _refused(error) from None
        tree: dict[str, Any] = next(iter(row.values()))[0]["Plan"]
        return tree

    def _run(self, statement: str) -> None:
        try:
            self._session.run(statement)
        except QueryError as error:
            raise _refused(error) from None

    def _call(self, function: str, value: object) -> list[dict[str, Any]]:
        try:
            statement = f"SELECT * FROM {self._schema}.{function}(%(value)s)"  # noqa: S608 - quoted, and our own words
            return self._session.query(statement, {"value": value})
        except QueryError as error:
            raise _refused(error) from None

    def _make(self, index: Index) -> None:
        (row,) = self._call("hypopg_create_index", index.definition())
        self._made[index.name] = (int(row["indexrelid"]), str(row["indexname"]))

    def _drop(self, name: str) -> None:
        made = self._made.pop(name, None)
        if made is not None:
            self._call("hypopg_drop_index", made[0])

    def _hide(self, hidden: frozenset[str]) -> None:
        """Added indexes are dropped and made again; those that exist are HypoPG's to hide."""
        for name in hidden - self._hidden:
            if name in self._indexes:
                self._drop(name)
            else:
                self._switch("hypopg_hide_index", name)
            self._hidden |= {name}
        for name in self._hidden - hidden:
            if name in self._indexes:
                self._make(self._indexes[name])
            else:
                self._switch("hypopg_unhide_index", name)
            self._hidden -= {name}

    def _switch(self, function: str, name: str) -> None:
        if not self._hides:
            raise PlanError(f"{name} cannot be hidden by this HypoPG: 1.4 or newer can, or the planner twin")
        for row in self._session.query(
            "SELECT oid FROM pg_catalog.pg_class WHERE relkind = 'i' AND relname = %(name)s", {"name": name}
        ):
            self._call(function, row["oid"])


def _numbers(text: str) -> list[str]:
    return [found[1:] for found in PARAMETER.findall(text)]


def _refused(error: QueryError) -> PlanError:
    """The server's reason; of bad values only the kind is told, since a value may be personal."""
    if error.state.startswith(_DATA_EXCEPTION):
        return PlanError(f"a value does not fit (SQLSTATE {error.state})")
    return PlanError(str(error))
