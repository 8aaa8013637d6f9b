"""What order and what groups a query block asks of one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.components.database.advisor.scope import Scope
from tasks.components.database.advisor.tree import enum, inner, kind, parts
from tasks.components.database.advisor.uses import Sort

_NULLS: Mapping[int, bool] = {enum.SORTBY_NULLS_FIRST: True, enum.SORTBY_NULLS_LAST: False}


def read(node: Any, scope: Scope, *, aggregated: bool) -> None:
    """Note groups and order of a SELECT in the uses of its tables, where all of it is of one table."""
    _grouped([_output(item, node) for item in node.group_clause], scope)
    if len(node.distinct_clause) > 0 and not aggregated:
        given = [item for item in node.distinct_clause if item.WhichOneof("node")]
        _grouped(given or [inner(item).val for item in node.target_list], scope)
    if not aggregated:
        _sorted([inner(item) for item in node.sort_clause], node, scope)


def _grouped(items: list[Any], scope: Scope) -> None:
    owners = [scope.own(item) for item in items]
    first = owners[0] if owners else None
    if first is not None and all(one is not None and one[0] is first[0] for one in owners):
        first[0].groups = tuple(dict.fromkeys(one[1] for one in owners if one is not None))


def _sorted(keys: list[Any], node: Any, scope: Scope) -> None:
    owners = [scope.own(_output(key.node, node)) for key in keys]
    head = owners[0] if owners else None
    if head is None or any(one is None or one[0] is not head[0] for one in owners):
        return
    head[0].sorts = tuple(
        Sort(one[1], key.sortby_dir == enum.SORTBY_DESC, _NULLS.get(key.sortby_nulls))
        for one, key in zip(owners, keys, strict=True)
        if one is not None
    )


def _output(item: Any, select: Any) -> Any:
    """What a position or an output's name in GROUP BY or ORDER BY stands for."""
    one = inner(item)
    if kind(one) == "A_Const" and one.HasField("ival"):
        place = one.ival.ival - 1
        return inner(select.target_list[place]).val if 0 <= place < len(select.target_list) else item
    if kind(one) == "ColumnRef" and len(one.fields) == 1:
        names = parts(one)
        for target in select.target_list:
            if names and inner(target).name == names[0]:
                return inner(target).val
    return item
