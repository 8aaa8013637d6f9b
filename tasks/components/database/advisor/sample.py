"""Queries that draw values for a statement's parameters from the rows which its joins bring together. Pure.

Values that are drawn column by column rarely meet: most pairs of a genre and a country have no film, and a statement
that finds nothing is quick with any index. A row of the join without its filters has values that do meet, the common
ones as often as the data have them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import postgast

from tasks.components.database.advisor.catalog import Catalog, Table
from tasks.components.database.advisor.placing import nodes
from tasks.components.database.advisor.tree import enum, inner, kind, parts, tree_of, walk
from tasks.components.database.advisor.uses import ANY, Parameter

ROWS = (20_000, 1_000)
"""Rows of a block's largest table that are joined with the others; the fewer where the more take too long."""

DRAWN = 8
"""Rows that are drawn for a block."""

_DRAWN_FOR = frozenset({"=", ANY, "~~", "~~*"})


@dataclass(frozen=True, slots=True)
class Draw:
    """Queries for one block, whose rows give, as text, a value for each of `numbers`.

    `samples` join a part of the largest table's rows, `whole` all of them.
    """

    numbers: tuple[int, ...]
    samples: tuple[str, ...]
    whole: str


def draws(text: str, parameters: Mapping[int, Parameter], catalog: Catalog) -> list[Draw]:
    """One for each block of a statement that compares columns with parameters and can be asked alone."""
    tree: Any = tree_of(text)
    found = (_draw(node, parameters, catalog) for node in walk(tree.stmts[0].stmt) if kind(node) == "SelectStmt")
    return [one for one in found if one is not None]


def _draw(block: Any, parameters: Mapping[int, Parameter], catalog: Catalog) -> Draw | None:
    columns = dict(_compared(block, parameters))
    if not columns or not block.from_clause:
        return None
    query = enum.SelectStmt(limit_option=enum.LIMIT_OPTION_DEFAULT, op=enum.SETOP_NONE)
    query.from_clause.extend(block.from_clause)
    for node in walk(query, into_queries=False):
        if kind(node) == "JoinExpr" and node.HasField("quals"):
            _put(node.quals, [part for part in _conjuncts(node.quals) if _plain(part)])
    aliases = {alias for alias, _ in _relations(query, catalog)}
    conditions = [part for part in _conjuncts(block.where_clause) if _plain(part) and _within(part, aliases)]
    if conditions:
        _put(query.where_clause, conditions)
    if any(kind(node) == "ParamRef" for node in walk(query)):
        return None
    for column in columns.values():
        target = query.target_list.add().res_target.val.type_cast
        target.arg.CopyFrom(column)
        target.type_name.names.add().string.sval = "text"
        target.type_name.typemod = -1
    largest = max((table for _, table in _relations(query, catalog) if table), key=_rows, default=None)
    samples = [_thinned(query, largest, rows, catalog) for rows in ROWS if largest and largest.rows > rows]
    return Draw(tuple(columns), tuple(samples), _drawn(query))


def _compared(block: Any, parameters: Mapping[int, Parameter]) -> Iterator[tuple[int, Any]]:
    """The column that each parameter of a block itself is compared with, as the block names it."""
    for node in (*walk(block.where_clause, into_queries=False), *_join_conditions(block)):
        if kind(node) != "A_Expr":
            continue
        for side, other in ((node.lexpr, node.rexpr), (node.rexpr, node.lexpr)):
            column = next((one for one in nodes(side) if one.WhichOneof("node") == "column_ref"), None)
            for one in walk(other, into_queries=False) if column is not None else ():
                known = parameters.get(one.number) if kind(one) == "ParamRef" else None
                if known is not None and known.operator in _DRAWN_FOR and parts(inner(column))[-1] == known.column:
                    yield one.number, column


def _join_conditions(block: Any) -> Iterator[Any]:
    for item in block.from_clause:
        for node in walk(item, into_queries=False):
            if kind(node) == "JoinExpr":
                yield from walk(node.quals, into_queries=False)


def _relations(query: Any, catalog: Catalog) -> Iterator[tuple[str, Table | None]]:
    """Names by which a block knows its relations, and the tables behind them."""
    for node in walk(_from_clause(query), into_queries=False):
        if kind(node) == "RangeVar":
            yield node.alias.aliasname or node.relname, catalog.find(node.schemaname or None, node.relname)
        elif kind(node) in {"RangeSubselect", "RangeFunction"}:
            yield node.alias.aliasname, None


def _from_clause(query: Any) -> Any:
    """The FROM clause alone, as a statement."""
    alone = enum.SelectStmt()
    alone.from_clause.extend(query.from_clause)
    return alone


def _conjuncts(node: Any) -> Iterator[Any]:
    whole = inner(node)
    if kind(whole) == "BoolExpr" and whole.boolop == enum.AND_EXPR:
        for part in whole.args:
            yield from _conjuncts(part)
    elif kind(whole) != "Node":
        yield node


def _plain(node: Any) -> bool:
    """Whether a condition has neither a parameter nor a subquery."""
    return not any(kind(one) in {"ParamRef", "SubLink"} for one in walk(node))


def _within(node: Any, aliases: set[str]) -> bool:
    """Whether a condition names no relation of a block around it."""
    references = (parts(one) for one in walk(node) if kind(one) == "ColumnRef")
    return all(len(names) < 2 or names[-2] in aliases for names in references)  # noqa: PLR2004 - alias, column


def _put(place: Any, conditions: list[Any]) -> None:
    """Conditions, all of which must hold, in the place of others; none is TRUE."""
    copies = [type(place)() for _ in conditions]
    for copy, one in zip(copies, conditions, strict=True):
        copy.CopyFrom(one)
    place.Clear()
    if not copies:
        place.a_const.boolval.boolval = True
    elif len(copies) == 1:
        place.CopyFrom(copies[0])
    else:
        place.bool_expr.boolop = enum.AND_EXPR
        place.bool_expr.args.extend(copies)


def _thinned(query: Any, table: Table, rows: int, catalog: Catalog) -> str:
    """The query with so many rows of its largest table, on some of its pages."""
    thin = type(query)()
    thin.CopyFrom(query)
    place = next(one for one in nodes(thin) if _is(one, table, catalog))
    relation = type(place)()
    relation.CopyFrom(place)
    place.Clear()
    sample = place.range_table_sample
    sample.relation.CopyFrom(relation)
    sample.method.add().string.sval = "system"
    sample.args.add().a_const.fval.fval = f"{100 * rows / table.rows:.4f}"
    sample.repeatable.a_const.ival.ival = 1
    return _drawn(thin)


def _is(place: Any, table: Table, catalog: Catalog) -> bool:
    if place.WhichOneof("node") != "range_var":
        return False
    return catalog.find(place.range_var.schemaname or None, place.range_var.relname) is table


def _rows(table: Table) -> float:
    return table.rows


def _drawn(query: Any) -> str:
    tree: Any = tree_of("SELECT 1")
    tree.stmts[0].stmt.select_stmt.CopyFrom(query)
    joined = postgast.deparse(tree)  # the statement's own FROM clause, asked on a scratch copy alone
    return f"SELECT * FROM ({joined}) AS joined ORDER BY random() LIMIT {DRAWN}"  # noqa: S608
