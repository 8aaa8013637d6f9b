"""What a statement asks of each table: filters, joins, order, and the columns that it needs; by libpg_query. Pure.

`parse` takes the statement apart into `Use`s: one for each table in each query block (subqueries, CTEs, views and the
arms of a UNION are blocks of their own).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tasks.components.database.advisor import ordering
from tasks.components.database.advisor.catalog import Catalog
from tasks.components.database.advisor.conditions import Conditions
from tasks.components.database.advisor.scope import Column, Derived, Relation, Scope
from tasks.components.database.advisor.tree import (
    UnparsableError,
    enum,
    inner,
    kind,
    last_name,
    output_names,
    parts,
    tree_of,
    walk,
)
from tasks.components.database.advisor.uses import Parameter, Parsed, Sort, Use

_QUERIES = frozenset({"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
_WRAPPERS = frozenset({"ExplainStmt", "DeclareCursorStmt", "CreateTableAsStmt", "CopyStmt", "PrepareStmt"})
_DEEPEST_VIEW = 8
"""Views of views of views: beyond this depth a view is taken as unknown."""


def parse(text: str, catalog: Catalog) -> Parsed:
    """The uses of the catalogue's tables in a statement; raises UnparsableError."""
    reader = _Reader(catalog)
    tree: Any = tree_of(text)
    reader.statement(inner(tree.stmts[0].stmt), None)
    return Parsed(tuple(reader.uses), reader.conditions.parameters)


class _Reader:
    """Walks the blocks of a statement."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._depth = 0
        self.uses: list[Use] = []
        self.conditions = Conditions()

    # --- blocks ---

    def statement(self, node: Any, outer: Scope | None) -> Derived:
        """Read a whole statement or a subquery; what it gives to the block around it."""
        name = kind(node)
        if name in _WRAPPERS:
            return self.statement(inner(node.query), outer) if node.HasField("query") else Derived()
        if name not in _QUERIES:
            return Derived()
        scope = Scope(outer, dict(outer.tables) if outer else {})
        for item in node.with_clause.ctes if node.HasField("with_clause") else ():
            cte = inner(item)
            scope.tables[cte.ctename] = Derived(frozenset(output_names(cte.ctequery)))  # it may name itself
            scope.tables[cte.ctename] = self.statement(inner(cte.ctequery), scope)
        if name == "SelectStmt":
            return self._select(node, scope)
        self._table(node.relation, scope, written=True)
        readers: dict[str, Callable[[Any, Scope], None]] = {
            "InsertStmt": self._insert,
            "UpdateStmt": self._update,
            "DeleteStmt": self._delete,
            "MergeStmt": self._merge,
        }
        readers[name](node, scope)
        return Derived()

    def _insert(self, node: Any, scope: Scope) -> None:
        self.statement(inner(node.select_stmt), scope)

    def _update(self, node: Any, scope: Scope) -> None:
        for item in node.from_clause:
            self._from(inner(item), scope)
        for item in node.target_list:
            self._needs(inner(item).val, scope)
            target = scope.relations[0].use
            if target is not None:
                target.assigned.add(inner(item).name)
        self._filter(inner(node.where_clause), scope)

    def _delete(self, node: Any, scope: Scope) -> None:
        for item in node.using_clause:
            self._from(inner(item), scope)
        self._filter(inner(node.where_clause), scope)

    def _merge(self, node: Any, scope: Scope) -> None:
        self._from(inner(node.source_relation), scope)
        self._filter(inner(node.join_condition), scope)

    def _select(self, node: Any, scope: Scope) -> Derived:
        if node.HasField("larg"):  # UNION, INTERSECT, EXCEPT
            around = scope if scope.tables else scope.outer
            first = self.statement(node.larg, around)
            self.statement(node.rarg, around)
            return first
        for item in node.from_clause:
            self._from(inner(item), scope)
        for item in node.target_list:
            self._needs(inner(item).val, scope)
        self._filter(inner(node.where_clause), scope)
        for part in (*node.group_clause, node.having_clause, *node.window_clause, *node.sort_clause):
            self._needs(part, scope)
        for part in node.values_lists:
            self._needs(part, scope)
        aggregated = len(node.group_clause) > 0
        ordering.read(node, scope, aggregated=aggregated)
        for relation in scope.relations:
            if relation.use is not None:
                relation.use.limited = node.HasField("limit_count") and not aggregated
        columns = dict(_outputs(node, scope))
        return Derived(frozenset({*output_names(node), *columns}), columns)

    # --- relations ---

    def _from(self, node: Any, scope: Scope) -> None:
        match kind(node):
            case "RangeVar":
                self._table(node, scope)
            case "JoinExpr":
                self._join(node, scope)
            case "RangeSubselect":
                found = self.statement(inner(node.subquery), scope)
                scope.relations.append(Relation(node.alias.aliasname, None, found.names, found.columns))
            case "RangeFunction":
                self._needs(node, scope)
                scope.relations.append(Relation(node.alias.aliasname, None, frozenset()))
            case "RangeTableSample":
                self._from(inner(node.relation), scope)

    def _join(self, node: Any, scope: Scope) -> None:
        start = len(scope.relations)
        self._from(inner(node.larg), scope)
        middle = len(scope.relations)
        self._from(inner(node.rarg), scope)
        left, right = scope.relations[start:middle], scope.relations[middle:]
        shared = [inner(item).sval for item in node.using_clause]
        if node.is_natural:
            shared = sorted({name for one in left for name in one.names if any(name in two.names for two in right)})
        for name in shared:
            for relation in (*left, *right):
                column = relation.column(name)
                if column is not None:
                    column[0].joined.add(column[1])
                    column[0].selected.add(column[1])
        self._filter(inner(node.quals), scope)

    def _table(self, node: Any, scope: Scope, *, written: bool = False) -> None:
        alias, schema = node.alias.aliasname or node.relname, node.schemaname or None
        if schema is None and node.relname in scope.tables:
            found = scope.tables[node.relname]
            scope.relations.append(Relation(alias, None, found.names, found.columns))
            return
        table = self._catalog.find(schema, node.relname)
        if table is None:
            found = self._view(schema, node.relname)
            scope.relations.append(Relation(alias, None, found.names, found.columns))
            return
        use = Use(table, written=written)
        self.uses.append(use)
        scope.relations.append(Relation(alias, use, frozenset(table.columns)))

    def _view(self, schema: str | None, name: str) -> Derived:
        """What a view gives: its query is read like a subquery."""
        text = self._catalog.view(schema, name)
        if text is None or self._depth >= _DEEPEST_VIEW:
            return Derived()
        self._depth += 1
        try:
            tree: Any = tree_of(text)
            return self.statement(inner(tree.stmts[0].stmt), None)
        except UnparsableError:
            return Derived()
        finally:
            self._depth -= 1

    # --- columns and conditions ---

    def _filter(self, node: Any, scope: Scope) -> None:
        """A condition that every row must meet."""
        if kind(node) == "BoolExpr" and node.boolop == enum.AND_EXPR:
            for part in node.args:
                self._filter(inner(part), scope)
        elif kind(node) != "Node":  # there is a condition
            self._needs(node, scope)
            self.conditions.read(node, scope)

    def _needs(self, node: Any, scope: Scope) -> None:
        """Everything under a node: its columns are needed, its subqueries are blocks."""
        for one in walk(node, into_queries=False):
            if kind(one) == "ColumnRef":
                _refer(one, scope)
            elif kind(one) == "SubLink":
                self.statement(inner(one.subselect), scope)
            elif kind(one) == "FuncCall" and last_name(one.funcname) in {"min", "max"} and len(one.args) == 1:
                own = scope.own(one.args[0])
                if own is not None:
                    own[0].extremes.add(own[1])


def _refer(node: Any, scope: Scope) -> None:
    if _is_star(node):
        for relation in _starred(node, scope):
            if relation.use is not None:
                relation.use.star = True
        return
    found = scope.find(parts(node))
    column = found[0].column(found[1]) if found is not None else None
    if column is not None:
        column[0].selected.add(column[1])


def _is_star(node: Any) -> bool:
    return kind(node) == "ColumnRef" and kind(inner(node.fields[-1])) == "A_Star"


def _starred(node: Any, scope: Scope) -> list[Relation]:
    """The relations whose columns a star stands for."""
    alias = inner(node.fields[-2]).sval if len(node.fields) > 1 else None
    return [one for one in scope.relations if alias in (None, one.alias)]


def _outputs(node: Any, scope: Scope) -> Iterator[tuple[str, Column]]:
    """The output columns of a SELECT that are a table's column as it is."""
    for item in node.target_list:
        target = inner(item)
        value = inner(target.val)
        if _is_star(value):
            for relation in _starred(value, scope):
                columns = ((name, relation.column(name)) for name in relation.names)
                yield from ((name, column) for name, column in columns if column is not None)
        elif kind(value) == "ColumnRef" and (own := scope.own(value)) is not None:
            yield target.name or parts(value)[-1], own


__all__ = ("Parameter", "Parsed", "Sort", "UnparsableError", "Use", "parse")
