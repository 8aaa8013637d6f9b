"""What a plan puts at risk, on plans as EXPLAIN writes them; figures are of a plan that took 4.2 s for 0.1 s."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tasks.components.database.advisor.ask import Planner
from tasks.components.database.advisor.fill import Filled
from tasks.components.database.advisor.records import Plan
from tasks.components.database.advisor.risk import at_risk


def node(kind: str, cost: float, rows: float, *plans: Mapping[str, Any], table: str = "") -> dict[str, Any]:
    made = {"Node Type": kind, "Total Cost": cost, "Plan Rows": rows, "Plans": list(plans)}
    return made | ({"Relation Name": table} if table else {})


LOOK_UP = node("Index Scan", 0.47, 2, table="movie_info_idx")
JOIN = node("Nested Loop", 67.1, 1, node("Seq Scan", 1.09, 1, table="kind_type"), LOOK_UP)
SCAN = node("Bitmap Heap Scan", 5759.3, 440, table="movie_info")


def loop(outer: Mapping[str, Any], inner: Mapping[str, Any]) -> dict[str, Any]:
    return node("Aggregate", 5894.7, 1, node("Nested Loop", 5894.7, 1, outer, inner))


def test_a_scan_that_is_repeated_for_each_row_of_a_join_counts_nine_times_more() -> None:
    assert at_risk(loop(JOIN, SCAN)) == pytest.approx(9 * 5759.3)
    assert at_risk(loop(JOIN | {"Plan Rows": 3}, SCAN)) == pytest.approx(27 * 5759.3)


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        (JOIN, LOOK_UP),
        (node("Seq Scan", 1.09, 1, table="kind_type"), SCAN),
        (JOIN, node("Materialize", 5800.0, 440, SCAN)),
        (JOIN, node("Memoize", 0.5, 1, LOOK_UP)),
    ],
    ids=["a look-up", "rows of one table", "few rows kept in memory", "answers that are remembered"],
)
def test_what_bears_more_rows_is_no_risk(outer: Mapping[str, Any], inner: Mapping[str, Any]) -> None:
    assert at_risk(loop(outer, inner)) == 0


def test_many_rows_in_memory_are_gone_through_again() -> None:
    assert at_risk(loop(JOIN, node("Materialize", 5800.0, 48_760, SCAN))) == pytest.approx(9 * 48_760 * 0.0025)


def test_a_hash_join_reads_both_sides_once() -> None:
    assert at_risk(node("Hash Join", 5900.0, 1, JOIN, node("Hash", 5800.0, 440, SCAN))) == 0


class Planned:
    """Plans a statement in one way, whatever there is."""

    how = "one plan"

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.root = root

    def plan(self, text: str, *, hidden: object = ()) -> Plan:
        return Plan(float(self.root["Total Cost"]), self.root, frozenset())


@pytest.mark.parametrize(
    ("before", "cost"),
    [(node("Hash Join", 9000.0, 1, JOIN, SCAN), 5894.7 + 9 * 5759.3), (loop(JOIN, SCAN), 5894.7)],
    ids=["anew", "as today"],
)
def test_only_what_is_put_at_risk_anew_counts(before: Mapping[str, Any], cost: float) -> None:
    whatif = Planned(before)
    planner = Planner(whatif, {"q": [Filled("SELECT 1", whole=True)]})  # type: ignore[arg-type] # plans are all it asks for
    assert planner.settle("q") == pytest.approx(before["Total Cost"])
    whatif.root = loop(JOIN, SCAN)
    assert planner.asked("q", frozenset())[1] == pytest.approx(cost)
