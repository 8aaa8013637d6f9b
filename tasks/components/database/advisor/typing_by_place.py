"""Types for parameters of which the server could not tell them: `$1 + $2`, `sum(CASE … THEN $1 ELSE $2 END)`. Pure.

A constant has its type from how it is written; the `$n` in its place has none, and PostgreSQL takes several of them
together for text or refuses them. Here such a parameter gets a cast, by the place where it stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import postgast

from tasks.components.database.advisor.placing import cast
from tasks.components.database.advisor.tree import enum, inner, kind, last_name, tree_of, walk

NUMBER = "integer"
"""What a number is taken for: it becomes numeric, bigint or double precision wherever that is wanted."""

_ARITHMETIC = frozenset({"+", "-", "*", "/", "%"})
_OF_NUMBERS = frozenset({"sum", "avg", "stddev", "stddev_samp", "variance", "abs", "round", "ceil", "floor", "sqrt"})


def typed(text: str, known: Mapping[int, str]) -> str:
    """The statement with such casts; `known` are the types of parameters whose column is known."""
    tree: Any = tree_of(text)
    return postgast.deparse(tree) if cast_by_place(tree, known) else text


def cast_by_place(tree: Any, known: Mapping[int, str]) -> bool:
    """Put the casts into a tree; whether there were any."""
    found = list(_untyped(tree.stmts[0].stmt, known))
    for holder, name in found:
        cast(holder, name)
    return bool(found)


def _untyped(statement: Any, known: Mapping[int, str]) -> Iterator[tuple[Any, str]]:
    for node in walk(statement):
        match kind(node):
            case "A_Expr" if node.kind == enum.AEXPR_OP and last_name(node.name) in _ARITHMETIC:
                yield from _operands(node, known)
            case "FuncCall" if node.args and last_name(node.funcname) in _OF_NUMBERS:
                yield from ((one, NUMBER) for one in _results(node.args[0]))


def _operands(node: Any, known: Mapping[int, str]) -> Iterator[tuple[Any, str]]:
    """Of two parameters the first one as the column that their sum is compared with; a CASE has numbers."""
    left, right = node.lexpr, node.rexpr
    if _parameter(right) and (_parameter(left) or not node.HasField("lexpr")):
        yield right, NUMBER
        if node.HasField("lexpr"):
            yield left, known.get(left.param_ref.number, NUMBER)
    for side in (left, right):
        if not _parameter(side):
            yield from ((one, NUMBER) for one in _results(side))


def _results(node: Any) -> list[Any]:
    """The parameters that alone are what an argument can be: itself, or all results of a CASE or COALESCE."""
    if _parameter(node):
        return [node]
    whole = inner(node)
    if kind(whole) == "CaseExpr":
        holders = [inner(arm).result for arm in whole.args] + (
            [whole.defresult] if whole.HasField("defresult") else []
        )
    else:
        holders = list(whole.args) if kind(whole) == "CoalesceExpr" else []
    return holders if all(_parameter(one) for one in holders) else []


def _parameter(node: Any) -> bool:
    return kind(inner(node)) == "ParamRef"
