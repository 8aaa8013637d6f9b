"""The parser's tree of a statement, and the few ways in which it is walked; its types stay in this package. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import postgast
from google.protobuf.message import DecodeError, Message

enum = postgast.pg_query_pb2
"""The parser's enumerations."""


class UnparsableError(Exception):
    """A text that is no SQL statement; the message holds nothing of the text."""


def tree_of(text: str) -> Message:
    """The parser's tree of one statement; raises UnparsableError."""
    try:
        parsed = postgast.parse(text)
    except postgast.PgQueryError as error:
        raise UnparsableError(str(error.args[0]).split(" at ")[0] if error.args else "syntax error") from None
    except DecodeError:
        raise UnparsableError("its expressions are nested too deeply") from None
    if len(parsed.stmts) != 1:
        raise UnparsableError(f"{len(parsed.stmts)} statements in one text")
    tree: Message = parsed
    return tree


def inner(node: Any) -> Any:
    """The message within a Node."""
    kind = node.WhichOneof("node") if type(node).__name__ == "Node" else None
    return getattr(node, kind) if kind else node


def kind(node: Any) -> str:
    """The name of a node's type, e.g. SelectStmt."""
    return type(node).__name__


def walk(node: Any, *, into_queries: bool = True) -> Iterator[Any]:
    """Every message under a node, itself first; subqueries only where that is asked for."""
    node = inner(node)
    if not isinstance(node, Message):
        return
    if kind(node) != "Node":
        yield node
    for descriptor, value in node.ListFields():
        if descriptor.message_type is None or (not into_queries and descriptor.name == "subselect"):
            continue
        parts: Iterable[Any] = value if isinstance(value, Iterable) else (value,)
        for part in parts:
            yield from walk(part, into_queries=into_queries)


def parts(node: Any) -> list[str]:
    """The names of a column reference, the column last."""
    return [inner(part).sval for part in node.fields if kind(inner(part)) == "String"]


def last_name(parts: Iterable[Any]) -> str:
    """The last of several names: an operator or function without its schema."""
    return next(reversed([str(inner(part).sval) for part in parts]), "")


def output_names(query: Any) -> Iterator[str]:
    """Names of a subquery's output."""
    node = inner(query)
    while kind(node) == "SelectStmt" and node.HasField("larg"):
        node = node.larg
    for item in node.target_list if kind(node) == "SelectStmt" else ():
        target = inner(item)
        value = inner(target.val)
        if target.name:
            yield target.name
        elif kind(value) == "ColumnRef" and kind(inner(value.fields[-1])) == "String":
            yield parts(value)[-1]
        elif kind(value) == "FuncCall":
            yield last_name(value.funcname)


def type_name(node: Any) -> str:
    """The type of a cast, without its schema."""
    return last_name(node.type_name.names)


def string_constant(node: Any) -> str | None:
    """The text of a string literal."""
    if kind(node) == "TypeCast":
        node = inner(node.arg)
    return str(node.sval.sval) if kind(node) == "A_Const" and node.HasField("sval") else None


def literal(node: Any) -> str | None:
    """A constant as SQL, None for what is known only when the statement runs."""
    whole = inner(node)
    base = inner(whole.arg) if kind(whole) == "TypeCast" else whole
    return deparsed(whole) if kind(base) == "A_Const" else None


def deparsed(node: Any) -> str:
    """An expression as SQL, its columns without their table."""
    whole: Any = postgast.parse("SELECT 1")
    target = whole.stmts[0].stmt.select_stmt.target_list[0].res_target.val
    target.Clear()
    field = next(
        name for name, one in target.DESCRIPTOR.fields_by_name.items() if one.message_type.name == kind(node)
    )
    getattr(target, field).CopyFrom(node)
    for one in walk(target):
        if kind(one) == "ColumnRef" and len(one.fields) > 1:
            del one.fields[:-1]
    sql: str = postgast.deparse(whole)
    return sql.removeprefix("SELECT ")
