"""Puts values in the place of parameters in the parser's tree. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tasks.components.database.advisor.tree import tree_of


def nodes(node: Any) -> Iterator[Any]:
    """Every Node under a message, itself first."""
    if type(node).__name__ == "Node":
        yield node
    for descriptor, value in node.ListFields():
        if descriptor.message_type is not None:
            for part in value if descriptor.is_repeated else (value,):
                yield from nodes(part)


def holders(node: Any) -> Iterator[Any]:
    """Every Node that holds a parameter."""
    yield from (one for one in nodes(node) if one.WhichOneof("node") == "param_ref")


def put(holder: Any, value: str, kind: str | None) -> None:
    """Put a literal in the place of a node, with its type where one is given."""
    holder.Clear()
    constant = holder.a_const if kind is None else holder.type_cast.arg.a_const
    constant.sval.sval = value
    if kind is not None:
        cast: Any = tree_of(f"SELECT NULL::{kind}")
        target = cast.stmts[0].stmt.select_stmt.target_list[0].res_target.val
        holder.type_cast.type_name.CopyFrom(target.type_cast.type_name)


def cast(holder: Any, kind: str) -> None:
    """Give the parameter of a Node a type."""
    number = holder.param_ref.number
    put(holder, "", kind)
    holder.type_cast.arg.param_ref.number = number


def put_expression(holder: Any, expression: str, value: str, kind: str | None) -> None:
    """Put what an expression makes of a column's value: for lower(email), lower('…')."""
    tree: Any = tree_of(f"SELECT {expression}")  # from the statement's own parse tree
    target = tree.stmts[0].stmt.select_stmt.target_list[0].res_target.val
    for column in [one for one in nodes(target) if one.WhichOneof("node") == "column_ref"]:
        put(column, value, kind)
    holder.CopyFrom(target)


def put_guess(holder: Any, literal: int | str) -> None:
    """Put a literal without a type in the place of a node."""
    holder.Clear()
    if isinstance(literal, int):
        holder.a_const.ival.ival = literal
    else:
        holder.a_const.sval.sval = literal
