"""The shape of a SELECT, by libpg_query: what it takes, from where, and how it compares columns. Pure.

Names are as the statement has them; `advise.case` knows which table has which column.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import postgast
from postgast import find_nodes, pg_query_pb2, unwrap_node
from postgast.pg_query_pb2 import A_Expr, ColumnRef, FuncCall, RangeVar

_COMPARISONS = frozenset({"=", "<", ">", "<=", ">="})
_LISTED = frozenset({pg_query_pb2.AEXPR_IN, pg_query_pb2.AEXPR_OP_ANY})
_AGGREGATES = frozenset(
    {
        *("count", "sum", "avg", "min", "max", "array_agg", "string_agg", "json_agg", "jsonb_agg", "bool_and"),
        *("bool_or", "every", "json_object_agg", "jsonb_object_agg", "stddev", "variance", "percentile_cont"),
    }
)


@dataclass(frozen=True)
class Wrapped:
    """A column that a filter compares through a function, a cast or arithmetic: a plain index cannot serve that.

    `cast` is the type's name where it is a cast, else empty.
    """

    table: str | None
    column: str
    shown: str
    operator: str
    cast: str = ""


@dataclass(frozen=True)
class Shape:
    """What a SELECT asks; `tables` maps aliases to (schema or "", name), `star` holds the aliases that `*` means."""

    tables: tuple[tuple[str, tuple[str, str]], ...]
    star: frozenset[str]
    limited: bool
    offset: bool
    aggregated: bool
    ordered: tuple[str, ...]
    wrapped: tuple[Wrapped, ...]
    equal: tuple[tuple[str | None, str], ...]
    """Pairs of alias (None where none is written) and column that equal a value."""


@lru_cache(maxsize=2048)
def shape(text: str) -> Shape | None:
    """The shape of one SELECT; None for another statement and for what is no SQL."""
    try:
        parsed: Any = postgast.parse(text)
    except postgast.PgQueryError:
        return None
    if len(parsed.stmts) != 1 or parsed.stmts[0].stmt.WhichOneof("node") != "select_stmt":
        return None
    select = parsed.stmts[0].stmt.select_stmt
    tables = {
        one.alias.aliasname or one.relname: (str(one.schemaname), str(one.relname))
        for one in find_nodes(select, RangeVar)
    }
    return Shape(
        tables=tuple(tables.items()),
        star=frozenset(_stars(select)),
        limited=select.HasField("limit_count"),
        offset=select.HasField("limit_offset"),
        aggregated=_aggregated(select),
        ordered=tuple(_ordered(select)),
        wrapped=tuple(one for node in find_nodes(select, A_Expr) for one in _wrapped(node)),
        equal=tuple(one for node in find_nodes(select, A_Expr) for one in _equal(node)),
    )


def _stars(select: Any) -> Iterator[str]:
    """Aliases of a block's own tables that `*` or `alias.*` in its target list means."""
    own = [one.alias.aliasname or one.relname for one in _own_tables(select.from_clause)]
    for target in select.target_list:
        value = unwrap_node(target.res_target.val)
        if not isinstance(value, ColumnRef) or value.fields[-1].WhichOneof("node") != "a_star":
            continue
        yield from own if len(value.fields) == 1 else (value.fields[0].string.sval,)


def _own_tables(items: Any) -> Iterator[Any]:
    for item in items:
        node: Any = unwrap_node(item)
        if isinstance(node, RangeVar):
            yield node
        elif type(node).__name__ == "JoinExpr":
            yield from _own_tables((node.larg, node.rarg))


def _aggregated(select: Any) -> bool:
    if select.group_clause or select.distinct_clause:
        return True
    calls = (call for target in select.target_list for call in find_nodes(target, FuncCall))
    return any(call.funcname[-1].string.sval in _AGGREGATES and not call.HasField("over") for call in calls)


def _ordered(select: Any) -> Iterator[str]:
    for item in select.sort_clause:
        node: Any = unwrap_node(item.sort_by.node)
        if isinstance(node, ColumnRef):
            yield _column(node)[1]


def _column(node: Any) -> tuple[str | None, str]:
    parts = [part.string.sval for part in node.fields]
    return (parts[-2] if len(parts) > 1 else None), parts[-1]


def _references(node: Any) -> list[Any]:
    return list(find_nodes(node, ColumnRef))


def _wrapped(node: Any) -> Iterator[Wrapped]:
    operator = node.name[-1].string.sval if node.name else ""
    if node.kind != pg_query_pb2.AEXPR_OP or operator not in _COMPARISONS:
        return
    for side, other in ((node.lexpr, node.rexpr), (node.rexpr, node.lexpr)):
        inside: Any = unwrap_node(side)
        columns = _references(side)
        if isinstance(inside, ColumnRef) or len(columns) != 1 or _references(other):
            continue
        found = _shown(inside, columns[0])
        if found is not None:
            table, column = _column(columns[0])
            yield Wrapped(table, column, found[0], operator, found[1])


def _shown(node: Any, column: Any) -> tuple[str, str] | None:
    """How a wrapped column reads, and the type of a cast; None for what is neither of the known shapes."""
    name = _column(column)[1]
    match type(node).__name__:
        case "FuncCall":
            function = node.funcname[-1].string.sval
            return None if function in _AGGREGATES else (f"{function}({name})", "")
        case "TypeCast" if isinstance(unwrap_node(node.arg), ColumnRef):
            kind = node.type_name.names[-1].string.sval
            return f"{name}::{kind}", kind
        case "A_Expr" if node.kind == pg_query_pb2.AEXPR_OP:
            return f"{name} {node.name[-1].string.sval} …", ""
    return None


def _equal(node: Any) -> Iterator[tuple[str | None, str]]:
    """Columns that equal a value or one of several."""
    operator = node.name[-1].string.sval if node.name else ""
    if operator != "=" or (node.kind != pg_query_pb2.AEXPR_OP and node.kind not in _LISTED):
        return
    for side, other in ((node.lexpr, node.rexpr), (node.rexpr, node.lexpr)):
        inside = unwrap_node(side)
        if isinstance(inside, ColumnRef) and not _references(other):
            yield _column(inside)
