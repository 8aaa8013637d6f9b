"""What the conditions of a query block ask of its tables: equality, ranges, patterns, containment, joins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tasks.components.database.advisor.scope import Column, Scope
from tasks.components.database.advisor.tree import (
    deparsed,
    enum,
    inner,
    kind,
    last_name,
    literal,
    string_constant,
    type_name,
    walk,
)
from tasks.components.database.advisor.uses import ANY, CONTAINS, EQUAL, RANGES, Parameter

_MIRROR = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_LIKES = (enum.AEXPR_LIKE, enum.AEXPR_ILIKE)
_KEEPING = frozenset({"lower", "upper", "trim", "btrim", "ltrim", "rtrim", "unaccent"})
_LISTS = (enum.AEXPR_IN, enum.AEXPR_OP_ANY)
_EXPRESSIONS = frozenset({"FuncCall", "A_Expr", "TypeCast", "CoalesceExpr"})


class Conditions:
    """Reads conditions; `parameters` holds what each `$n` was compared with so far."""

    def __init__(self) -> None:
        self.parameters: dict[int, Parameter] = {}

    def read(self, node: Any, scope: Scope) -> None:
        """Note one condition that every row must meet, in the uses of the tables that it is about."""
        match kind(node):
            case "A_Expr":
                self._comparison(node, scope)
            case "NullTest":
                _null_test(node, scope)
            case "BoolExpr" if node.boolop == enum.OR_EXPR:
                self._either(node, scope)
            case "BoolExpr":
                _flag(node.args[0], "false", scope)
            case "ColumnRef":
                _flag(node, "true", scope)
            case "SubLink":
                _sublink(node, scope)

    def _either(self, node: Any, scope: Scope) -> None:
        """OR: each arm's columns are worth an index of their own (a bitmap OR)."""
        for part in node.args:
            for one in walk(part, into_queries=False):
                if kind(one) == "A_Expr" and (own := scope.own(one.lexpr)) is not None:
                    own[0].either.add(own[1])
                    self._compared(own, "=" if one.kind in _LISTS else last_name(one.name), one.rexpr)

    def _comparison(self, node: Any, scope: Scope) -> None:
        operator = last_name(node.name)
        if node.kind == enum.AEXPR_BETWEEN:
            for bound, way in zip(inner(node.rexpr).items, (">", "<"), strict=False):
                self._side(node.lexpr, bound, way, scope)
        elif node.kind in _LISTS:
            if operator == "=" and scope.knows_before(node.rexpr):
                self._listed(node.lexpr, node.rexpr, scope)
        elif node.kind in _LIKES:
            self._like(node, operator, scope)
        elif node.kind == enum.AEXPR_OP:
            self._operator(node, operator, scope)

    def _operator(self, node: Any, operator: str, scope: Scope) -> None:
        left, right = scope.own(node.lexpr), scope.own(node.rexpr)
        if left is not None and right is not None and left[0] is not right[0]:
            if operator == "=":
                left[0].joined.add(left[1])
                right[0].joined.add(right[1])
            return
        self._side(node.lexpr, node.rexpr, operator, scope)
        self._side(node.rexpr, node.lexpr, _MIRROR.get(operator, operator), scope)

    def _side(self, side: Any, other: Any, operator: str, scope: Scope) -> None:
        """`side operator other`, where side may be a column or an expression of one table."""
        own = scope.own(side)
        if not scope.knows_before(other):
            if own is not None and operator == "=":
                own[0].joined.add(own[1])  # `column = f(other table)`: known once the other table's row is
            return
        if own is None:
            self._expression(side, operator, scope, other)
            return
        self._compared(own, operator, other)
        if operator == "=":
            own[0].equal[own[1]] = literal(other)
        elif operator in RANGES:
            own[0].ranged.add(own[1])
        elif operator in CONTAINS:
            own[0].contains[own[1]] = operator

    def _compared(self, own: Column, operator: str, other: Any, expression: str | None = None) -> None:
        """Remember what the parameters are compared with that are a value itself."""
        for number in _values(inner(other)):
            self.parameters.setdefault(number, Parameter(own[0].table, own[1], operator, expression))

    def _listed(self, side: Any, values: Any, scope: Scope) -> None:
        own = scope.own(side)
        if own is not None:
            own[0].listed.add(own[1])
            bare = inner(inner(values).arg) if kind(inner(values)) == "TypeCast" else inner(values)
            self._compared(own, ANY if kind(bare) == "ParamRef" else "=", values)
        else:
            self._expression(side, "=", scope)

    def _like(self, node: Any, operator: str, scope: Scope) -> None:
        own = scope.own(node.lexpr)
        if own is None:
            return
        self._compared(own, operator, node.rexpr)
        if operator not in {"~~", "~~*"}:
            return
        pattern = string_constant(inner(node.rexpr))
        if operator == "~~" and not (pattern or "").startswith(("%", "_")):
            own[0].prefixed.add(own[1])
        else:
            own[0].infixed.add(own[1])
        if pattern is None:  # a parameter: the pattern may begin with a wildcard
            own[0].infixed.add(own[1])

    def _expression(self, node: Any, operator: str, scope: Scope, other: Any = None) -> None:
        """A filter on an expression of one table's columns, e.g. lower(email) or data ->> 'kind'."""
        node = inner(node)
        if kind(node) not in _EXPRESSIONS or operator not in EQUAL | RANGES | CONTAINS:
            return
        owners = [scope.own(one) for one in walk(node) if kind(one) == "ColumnRef"]
        first = owners[0] if owners else None
        if first is None or any(kind(one) in {"ParamRef", "SubLink"} for one in walk(node)):
            return
        if any(one is None or one[0] is not first[0] for one in owners):
            return
        sql = deparsed(node)
        if operator in CONTAINS:
            first[0].contains[f"({sql})"] = operator
            return
        first[0].expressions[sql] = "=" if operator in EQUAL else "<"
        if len(owners) == 1 and other is not None:
            self._compared(first, operator, other, sql)


def _values(node: Any) -> Iterator[int]:
    """Parameters that stand for the value itself: not an argument, not what is added to another one."""
    match kind(node):
        case "ParamRef":
            yield node.number
        case "TypeCast" if type_name(node) != "interval":
            yield from _values(inner(node.arg))
        case "List" | "A_ArrayExpr":
            for item in node.items if kind(node) == "List" else node.elements:
                yield from _values(inner(item))
        case "A_Expr" if kind(inner(node.lexpr)) in {"TypeCast", "ParamRef"}:  # `$1::date + interval '1 month'`
            yield from _values(inner(node.lexpr))
        case "FuncCall" if last_name(node.funcname) in _KEEPING and len(node.args) == 1:
            yield from _values(inner(node.args[0]))


def _flag(node: Any, value: str, scope: Scope) -> None:
    """A boolean column that stands alone, or behind NOT."""
    own = scope.own(node)
    if own is not None:
        own[0].equal.setdefault(own[1], value)


def _sublink(node: Any, scope: Scope) -> None:
    """`x IN (SELECT …)`: x may be looked up for each row of the subquery."""
    if node.sub_link_type == enum.ANY_SUBLINK and node.HasField("testexpr"):
        own = scope.own(node.testexpr)
        if own is not None:
            own[0].joined.add(own[1])


def _null_test(node: Any, scope: Scope) -> None:
    own = scope.own(node.arg)
    if own is not None:
        own[0].nulls[own[1]] = "IS NULL" if node.nulltesttype == enum.IS_NULL else "IS NOT NULL"
