"""What a plan would cost if the planner expects too few rows. Pure.

Estimates of joins are wrong by orders of magnitude (Leis et al., "How good are query optimizers, really?", 2015),
mostly too low. A nested loop that looks each row up in an index then takes as many times longer as there are more
rows. One that scans a table for each row takes a hundred times longer than a hash join would: the planner chose it
for the one row that it expected. Such a plan promises what it may not keep.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tasks.components.database.advisor.explain import nodes

TIMES = 10.0
"""How many times the rows that a join is expected to give are reckoned with."""

SCAN = 100.0
"""Cost for each outer row from which on an inner side is a scan, no look-up in an index (of a few pages at 4.0)."""

_CPU_OPERATOR = 0.0025
_JOINED = 2


def at_risk(root: Mapping[str, Any]) -> float:
    """Cost that would be added to a plan if its joins gave ten times the rows that are expected of them.

    Counted is what nested loops scan again for each row of a join, look-ups are not.
    """
    return sum(_again(*loop) for loop in _loops(root))


def _loops(root: Mapping[str, Any]) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The outer and the inner side of each nested loop whose outer side is a join."""
    for node in nodes(root):
        if node.get("Node Type") == "Nested Loop":
            outer, inner = node["Plans"][:2]
            if sum("Relation Name" in one for one in nodes(outer)) >= _JOINED:
                yield outer, inner


def _again(outer: Mapping[str, Any], inner: Mapping[str, Any]) -> float:
    kept = inner["Node Type"] == "Materialize"  # read from memory from the second time on
    cost = _CPU_OPERATOR * float(inner["Plan Rows"]) if kept else float(inner["Total Cost"])
    return (TIMES - 1) * float(outer["Plan Rows"]) * cost if cost >= SCAN else 0.0
