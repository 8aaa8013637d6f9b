"""What a statement of the workload is and which tables it mentions, by libpg_query. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

import postgast

_NODES = postgast.pg_query_pb2
_WRITES = (_NODES.InsertStmt, _NODES.UpdateStmt, _NODES.DeleteStmt, _NODES.MergeStmt)
_WRITING = frozenset({"insert_stmt", "update_stmt", "delete_stmt", "merge_stmt", "copy_stmt"})

Sort = Literal["read", "write", "other"]


def parsed(text: str) -> Any | None:
    """The tree of one statement; None where it cannot be parsed, or is more than one."""
    try:
        tree: Any = postgast.parse(text)
    except postgast.PgQueryError:
        return None
    return tree if len(tree.stmts) == 1 else None


def kind_of(tree: Any | None) -> Sort:
    """Whether a statement reads, writes, or is neither (BEGIN, SET, DDL); what is not understood may write."""
    if tree is None:
        return "write"
    node = tree.stmts[0].stmt.WhichOneof("node")
    if node in _WRITING:
        return "write"
    if node != "select_stmt":
        return "other"
    locked = bool(tree.stmts[0].stmt.select_stmt.locking_clause)
    inner = any(True for kind in _WRITES for _ in postgast.find_nodes(tree, kind))
    return "write" if locked or inner else "read"


def tables_of(tree: Any) -> frozenset[str]:
    """Names, without schemas, of the relations that a statement mentions; those of its own WITH are none."""
    own = {node.ctename for node in postgast.find_nodes(tree, _NODES.CommonTableExpr)}
    return frozenset(str(name).rpartition(".")[2] for name in postgast.extract_tables(tree) if name not in own)


def functions_of(tree: Any) -> frozenset[str]:
    """Names, without schemas, of the functions that a statement calls."""
    return frozenset(str(name).rpartition(".")[2] for name in postgast.extract_functions(tree))


def touches(tree: Any | None, table: str, others: Collection[str]) -> bool:
    """Whether a statement may use a table: it names it, or a view, or nothing that is known (a function)."""
    if tree is None:
        return True
    names = tables_of(tree)
    return table in names or not names or not names <= set(others)
