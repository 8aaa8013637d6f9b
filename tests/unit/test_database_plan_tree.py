"""Plans as PostgreSQL 18 gives them (shortened), and what is read out of them."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.components.database.advise.plan_tree import Scan, conjuncts, scans, whole_reads


def seq_scan(table: str, condition: str, alias: str | None = None, rows: int = 12) -> dict[str, Any]:
    return {
        "Node Type": "Seq Scan",
        "Relation Name": table,
        "Schema": "public",
        "Alias": alias or table,
        "Plan Rows": rows,
        "Filter": condition,
    }


def one(plan: dict[str, Any]) -> Scan:
    found = list(scans(plan))
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(
    ("expression", "parts"),
    [
        ("(o.user_id = $1)", ["o.user_id = $1"]),
        ("((o.a = $1) AND (o.b > $2))", ["o.a = $1", "o.b > $2"]),
        ("((o.a = 'x AND y'::text) AND (o.b = ANY ('{1,2}'::integer[])))", None),
        ("((o.a = $1) OR ((o.b = $2) AND (o.c = $3)))", ["(o.a = $1) OR ((o.b = $2) AND (o.c = $3))"]),
    ],
)
def test_filters_are_split_at_their_outer_and(expression: str, parts: list[str] | None) -> None:
    expected = ["o.a = 'x AND y'::text", "o.b = ANY ('{1,2}'::integer[])"] if parts is None else parts
    assert conjuncts(expression) == expected


def test_a_filter_under_sort_and_limit_gives_equality_and_order() -> None:
    scan = one(
        {
            "Node Type": "Limit",
            "Plans": [
                {
                    "Node Type": "Sort",
                    "Sort Key": ["payment_orders.created_at DESC"],
                    "Plans": [seq_scan("payment_orders", "(payment_orders.user_id = $1)")],
                }
            ],
        }
    )
    assert (scan.schema, scan.table) == ("public", "payment_orders")
    assert scan.equal == ("user_id",)
    assert scan.order == (("created_at", " DESC"),)
    assert scan.limited


def test_a_sort_without_limit_is_an_order_but_not_limited() -> None:
    plan = {"Node Type": "Sort", "Sort Key": ["t.a"], "Plans": [seq_scan("t", "(t.b = 1)")]}
    assert not one(plan).limited


@pytest.mark.parametrize(("side", "order"), [("Outer", (("a", ""),)), ("Inner", ())])
def test_an_order_above_a_join_reaches_its_outer_side_alone(side: str, order: tuple[tuple[str, str], ...]) -> None:
    join = {"Node Type": "Nested Loop", "Plans": [{**seq_scan("t", "(t.b = 1)"), "Parent Relationship": side}]}
    plan = {"Node Type": "Limit", "Plans": [{"Node Type": "Sort", "Sort Key": ["t.a", "u.c"], "Plans": [join]}]}
    scan = one(plan)
    assert scan.order == order
    assert scan.limited is (side == "Outer")


def test_an_order_above_an_aggregate_does_not_reach_the_scan() -> None:
    group = {"Node Type": "Aggregate", "Plans": [{**seq_scan("t", "(t.b = 1)"), "Parent Relationship": "Outer"}]}
    assert one({"Node Type": "Sort", "Sort Key": ["t.a"], "Plans": [group]}).order == ()


@pytest.mark.parametrize(
    ("condition", "equal", "ranged"),
    [
        ("((t.a = $1) AND (t.b >= $2) AND (t.c < $3))", ("a",), ("b", "c")),
        ("((t.a = $1) AND (t.a > 3))", ("a",), ()),
        ("((t.a)::text = 'x'::text)", ("a",), ()),
        ("(t.a = ANY ('{x,y}'::text[]))", ("a",), ()),
        ("(t.a = t.b)", (), ()),
        ("(lower(t.a) = 'x'::text)", (), ()),
        ("((t.a = 1) OR (t.b = 2))", (), ()),
        ("(t.a IS NULL)", (), ()),
        ("(t.a <> 1)", (), ()),
        ("(t.a = 't.b'::text)", ("a",), ()),
        ('(t."Mixed Case" = 1)', ("Mixed Case",), ()),
        ("(other.a = 1)", (), ()),
    ],
)
def test_columns_that_a_filter_compares(condition: str, equal: tuple[str, ...], ranged: tuple[str, ...]) -> None:
    scan = one(seq_scan("t", condition))
    assert (scan.equal, scan.ranged) == (equal, ranged)


def test_a_scan_with_an_index_condition_is_served() -> None:
    plan = {**seq_scan("t", "(t.b = 1)"), "Node Type": "Index Scan", "Index Cond": "(t.a = 1)"}
    assert list(scans(plan)) == []


def test_a_backward_index_walk_that_throws_rows_away_is_seen() -> None:
    walk = {**seq_scan("t", "(t.b = 1)"), "Node Type": "Index Scan", "Index Name": "i", "Scan Direction": "Backward"}
    scan = one({"Node Type": "Limit", "Plans": [walk]})
    assert (scan.index, scan.backward, scan.limited) == ("i", True, True)


def test_columns_of_joins_above_a_whole_read_are_told() -> None:
    plan = {
        "Node Type": "Hash Join",
        "Hash Cond": "(p.order_id = o.id)",
        "Plans": [
            {**seq_scan("payments", "(p.status = 'x'::text)", alias="p")},
            {"Node Type": "Hash", "Plans": [seq_scan("orders", "(o.user_id = $1)", alias="o")]},
        ],
    }
    assert list(whole_reads(plan, "payments")) == ["order_id status"]
    assert list(whole_reads(plan, "orders")) == ["id user_id"]
