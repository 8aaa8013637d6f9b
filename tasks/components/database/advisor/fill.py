"""Values in the place of `$n`, so that plans and rehearsals know how many rows a statement means.

pg_stat_statements keeps no values. They are drawn from the statistics of the column that a parameter is compared
with: common ones for equality, quantiles for ranges, of which each variant takes another share of the rows. A
generic plan would take a third of the table for every range instead. The values are personal data: texts with them
are planned and run, never shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import postgast

from storage.errors import NotMeasuredError
from tasks.components.database.advisor.catalog import Catalog
from tasks.components.database.advisor.placing import holders, put, put_expression, put_guess
from tasks.components.database.advisor.source import Name
from tasks.components.database.advisor.tree import inner, tree_of, walk
from tasks.components.database.advisor.typing_by_place import cast_by_place
from tasks.components.database.advisor.uses import Parameter, Parsed
from tasks.components.database.advisor.values import LISTED, Columns, Drawn, Values, literals
from tasks.load.database.session import QueryError, Session

LIMIT, OFFSET = 20, "0"
_GUESSES: tuple[int | str, ...] = (1, "1", "a", "2024-01-01")
SQUASHED = "/*, ... */"
"""How pg_stat_statements of PostgreSQL 18 shortens a list of constants."""


_BY_TYPE: Mapping[str, str] = {
    "interval": "30 days",
    "int2": "1",
    "int4": "1",
    "int8": "1",
    "numeric": "1",
    "float4": "1",
    "float8": "1",
    "date": "2024-01-01",
    "timestamp": "2024-01-01",
    "timestamptz": "2024-01-01",
    "bool": "true",
}


_BY_NAME: Mapping[str, str] = {
    "interval": "30 days",
    "smallint": "1",
    "integer": "1",
    "bigint": "1",
    "numeric": "1",
    "real": "1",
    "double precision": "1",
    "date": "2024-01-01",
    "timestamp without time zone": "2024-01-01",
    "timestamp with time zone": "2024-01-01",
    "boolean": "true",
    "text": "a",
    "character varying": "a",
    "character": "a",
    "jsonb": "{}",
    "json": "{}",
    "uuid": "00000000-0000-0000-0000-000000000000",
}
"""Values for parameters that no column tells anything of, by the name that PostgreSQL shows for a type."""


_BY_PLACE: Mapping[tuple[str, int], str] = {
    ("extract", 0): "year",
    ("date_part", 0): "year",
    ("date_trunc", 0): "month",
    ("timezone", 0): "UTC",
    ("to_char", 1): "YYYY-MM",
}
"""Words that a function takes at a place: it fails with any other, and `extract($1 FROM …)` is no SQL at all."""


_STATISTICS = """
SELECT s.schemaname AS schema, s.tablename AS table, s.attname AS name,
       s.most_common_vals::text::text[] AS common, s.histogram_bounds::text::text[] AS bounds,
       pg_catalog.format_type(a.atttypid, -1) AS type
FROM pg_catalog.pg_stats s
JOIN unnest(%(schemas)s::text[], %(tables)s::text[], %(columns)s::text[]) AS w (schema, rel, col)
  ON w.schema = s.schemaname AND w.rel = s.tablename AND w.col = s.attname
JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.to_regclass(
  pg_catalog.quote_ident(s.schemaname) || '.' || pg_catalog.quote_ident(s.tablename))
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = s.attname
WHERE s.inherited = (c.relkind = 'p')"""


def read(session: Session, parsed: Sequence[Parsed]) -> Columns:
    """The statistics of every column that a parameter of the statements is compared with; raises NotMeasuredError."""
    wanted = sorted({(one.table.full_name, one.column) for each in parsed for one in each.parameters.values()})
    arguments = {
        "schemas": [table[0] for table, _ in wanted],
        "tables": [table[1] for table, _ in wanted],
        "columns": [column for _, column in wanted],
    }
    try:
        rows = session.query(_STATISTICS, arguments)
    except QueryError as error:
        raise NotMeasuredError(f"statistics of {session.server.shown} could not be read: {error}") from None
    return {
        ((row["schema"], row["table"]), row["name"]): Values(
            row["type"], tuple(row["common"] or ()), tuple(row["bounds"] or ())
        )
        for row in rows
    }


@dataclass(frozen=True, slots=True)
class Filled:
    """A text with values; `whole` where no parameter is left, so that it can be run."""

    text: str
    whole: bool


def filled(
    text: str, parsed: Parsed, columns: Columns, *, variants: int = 3, drawn: Drawn = (), limit: int = LIMIT
) -> list[Filled]:
    """The statement with values, in up to so many variants; a text without parameters as it is.

    `limit` stands for a parameter that limits the rows of the whole statement.
    """
    if "$" not in text:
        return [Filled(text, whole=True)]
    found = [_filled(text, parsed, columns, variant, drawn, limit=limit) for variant in range(variants)]
    return list(dict.fromkeys(found))


def types_of(parsed: Parsed, columns: Columns) -> dict[int, str]:
    """The types of the parameters whose column has statistics, by number."""
    found = {number: columns.get((one.table.full_name, one.column)) for number, one in parsed.parameters.items()}
    return {number: one.type for number, one in found.items() if one is not None}


def completed(given: Sequence[Filled], types: Callable[[str], Sequence[str]]) -> list[Filled]:
    """Texts in which every parameter that is left has a value of its type, so that they can be run.

    `types` tells the types of a text's `$1` to `$n`; it raises PlanError.
    """
    return list(dict.fromkeys(one if one.whole else _completed(one.text, types) for one in given))


def _completed(text: str, types: Callable[[str], Sequence[str]]) -> Filled:
    tree: Any = tree_of(text)
    left = list(holders(tree.stmts[0].stmt))
    numbers = sorted({one.param_ref.number for one in left})
    kinds = dict(zip(numbers, types(_without_gaps(text, numbers)), strict=False))
    whole = True
    for one in left:
        kind = kinds.get(one.param_ref.number, "")
        value = "{}" if kind.endswith("[]") else _BY_NAME.get(kind)
        if value is None:
            whole = False
        else:
            put(one, value, kind)
    return Filled(postgast.deparse(tree), whole)


def _without_gaps(text: str, numbers: Sequence[int]) -> str:
    """The text with its parameters numbered from 1: a server asks for those that values stand for by now, too."""
    tree: Any = tree_of(text)
    for one in holders(tree.stmts[0].stmt):
        one.param_ref.number = numbers.index(one.param_ref.number) + 1
    renumbered: str = postgast.deparse(tree)
    return renumbered


def guessed(one: Filled) -> list[Filled]:
    """The text with the same literal in the place of every parameter that is left, for planning alone.

    For what the planner cannot give a type: `$1 + $2`, an argument of an overloaded function.
    """
    found = []
    for literal in _GUESSES:
        tree: Any = tree_of(one.text)
        for holder in list(holders(tree.stmts[0].stmt)):
            put_guess(holder, literal)
        found.append(Filled(postgast.deparse(tree), whole=False))
    return found


def _filled(text: str, parsed: Parsed, columns: Columns, variant: int, drawn: Drawn, *, limit: int) -> Filled:
    tree: Any = tree_of(text)
    known = literals(parsed.parameters, columns, variant, drawn)
    cast_by_place(tree, types_of(parsed, columns))
    expressions = {number: one.expression for number, one in parsed.parameters.items() if one.expression}
    whole = inner(tree.stmts[0].stmt)
    for node in list(walk(tree.stmts[0].stmt)):
        kind = type(node).__name__
        if kind == "SelectStmt":
            _limit(node, limit if node is whole else LIMIT)
        elif kind == "A_Expr" and SQUASHED in text:
            _lengthen(node, parsed.parameters, columns)
        elif kind == "TypeCast":
            _by_type(node, known)
        elif kind == "FuncCall":
            _by_place(node, known)
    left = False
    for holder in list(holders(tree.stmts[0].stmt)):
        number = holder.param_ref.number
        if number in known and number in expressions:
            put_expression(holder, expressions[number], *known[number])
        elif number in known:
            put(holder, *known[number])
        else:
            left = True
    return Filled(postgast.deparse(tree), whole=not left)


def _limit(node: Any, limit: int) -> None:
    for field, value in (("limit_count", str(limit)), ("limit_offset", OFFSET)):
        if node.HasField(field):
            for holder in holders(getattr(node, field)):
                put(holder, value, "int8")


def _lengthen(node: Any, parameters: Mapping[int, Parameter], columns: Columns) -> None:
    """A shortened list gets some values more."""
    values = inner(node.rexpr)
    if type(values).__name__ not in {"List", "A_ArrayExpr"}:
        return
    items = values.items if type(values).__name__ == "List" else values.elements
    if len(items) != 1 or items[0].WhichOneof("node") != "param_ref":
        return
    one = parameters.get(items[0].param_ref.number)
    known = columns.get((one.table.full_name, one.column)) if one is not None else None
    for variant in range(1, LISTED) if known is not None else ():
        value = known.equal(variant) if known is not None else None
        if value is not None and known is not None:
            put(items.add(), value, known.type)


def _by_type(node: Any, literals: Mapping[int, object]) -> None:
    """A parameter whose type stands beside it and whose column is not known."""
    name = str(inner(node.type_name.names[-1]).sval)
    if name not in _BY_TYPE or node.arg.WhichOneof("node") != "param_ref" or node.arg.param_ref.number in literals:
        return
    put(node.arg, _BY_TYPE[name], None)


def _by_place(node: Any, literals: Mapping[int, object]) -> None:
    """A parameter that is a word of the function's own, such as the unit of date_trunc."""
    name = str(inner(node.funcname[-1]).sval)
    for place, holder in enumerate(node.args):
        word = _BY_PLACE.get((name, place))
        if word and holder.WhichOneof("node") == "param_ref" and holder.param_ref.number not in literals:
            put(holder, word, None)


def tables_of(parsed: Sequence[Parsed], catalog: Catalog) -> list[Name]:
    """The tables that statements use, in the catalogue's order."""
    used = {use.table.full_name for one in parsed for use in one.uses}
    return [name for name in catalog.tables if name in used]
