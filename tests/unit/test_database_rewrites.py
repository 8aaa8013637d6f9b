"""Rewrites on made-up counters: what is told, and above all what is not."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deployments.config import RunConfig, build_config
from storage.records import Collected, Finding, Level, Window
from tasks.components.base import Samples
from tasks.components.database import DATABASE, schemas
from tasks.components.database.advise.shape import shape

START = datetime(2026, 11, 20, 7, 0, tzinfo=UTC)
WINDOW = Window(start=START, end=START + timedelta(seconds=60))


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return build_config("development")


TABLES = [
    {"oid": 1, "schema": "public", "name": "orders", "kind": "r", "estimated_rows": 5e4, "pages": 900, "bytes": 7e6},
    {
        "oid": 2,
        "schema": "public",
        "name": "items",
        "kind": "r",
        "estimated_rows": 2e5,
        "pages": 2000,
        "bytes": 1.6e7,
    },
]
COLUMNS = [
    {"schema": "public", "table": table, "name": name, "type": kind, "width": width, "not_null": True}
    for table, name, kind, width in (
        ("orders", "id", "bigint", 8),
        ("orders", "at", "timestamp with time zone", 8),
        ("orders", "code", "character varying", 12),
        ("orders", "note", "text", 900),
        ("items", "id", "bigint", 8),
        ("items", "order_id", "bigint", 8),
    )
]
KEY = {"schema": "public", "table": "items", "table_oid": 2, "columns": ["order_id"], "name": "items_order_id_fkey"}
FOREIGN_KEYS = [{**KEY, "referenced_oid": 1, "referenced": "public.orders", "on_delete": "a", "on_update": "a"}]


def index(oid: int, table: int, key: str, **values: Any) -> dict[str, Any]:
    binding = ("primary", "exclusion", "replica_identity", "constraint", "attached", "partitioned", "unique")
    return {
        "oid": oid,
        "table_oid": table,
        "schema": "public",
        "table": TABLES[table - 1]["name"],
        "name": f"i{oid}",
        "method": "btree",
        "columns": [key],
        "included": [],
        "attributes": "1",
        "classes": ["1 0 0"],
        "valid": True,
        "ready": True,
        "bytes": 10**6,
        "scans": 9,
        "definition": f"CREATE INDEX i{oid} ON x ({key})",
        **dict.fromkeys(binding, False),
        **values,
    }


INDEXES = [index(11, 1, "id", unique=True), index(12, 1, "at"), index(13, 1, "code"), index(14, 2, "order_id")]


def statement(queryid: str, text: str, *, calls: int, rows: int, ms: float = 100.0, **values: Any) -> dict[str, Any]:
    zero = dict.fromkeys(("plans", "planning_ms", "blocks_read", "temp_written", "wal_bytes", "resets"), 0)
    known = {"queryid": queryid, "text": text, "calls": calls, "rows": rows, "total_ms": ms}
    return {
        **zero,
        **known,
        "userid": 10,
        "user": "app",
        "own": False,
        "toplevel": True,
        "blocks_hit": calls * 4,
        **values,
    }


KINDS = {"n_plus_one", "missing_limit", "wrapped_column", "implicit_cast", "select_star", "offset_paging"}


def found(config: RunConfig, *statements: dict[str, Any], **more: list[dict[str, Any]]) -> dict[str, Finding]:
    tables = {"tables": TABLES, "columns": COLUMNS, "foreign_keys": FOREIGN_KEYS, "indexes": INDEXES, **more}
    stored = {name: schemas.table(name, rows) for name, rows in tables.items()}
    stored["statements"] = schemas.table("statements", statements)
    samples = Samples(tables=stored, collected=Collected(window=WINDOW))
    findings = DATABASE.advise(samples, DATABASE.measure(samples, config), config)
    return {one.kind: one for one in findings if one.kind in KINDS}


PARENT = statement("1", "SELECT id FROM orders WHERE code = $1", calls=10, rows=200)
CHILD = "SELECT id FROM items WHERE order_id = $1"


@pytest.mark.parametrize(
    ("child", "told"),
    [
        (statement("2", CHILD, calls=200, rows=600), True),
        (statement("2", CHILD, calls=180, rows=600), True),
        (statement("2", CHILD, calls=300, rows=600), False),  # not once for each row
        (statement("2", CHILD, calls=200, rows=600, userid=11), False),  # another role
        (statement("2", "SELECT id FROM items WHERE id = $1", calls=200, rows=200), False),  # no key leads there
        (statement("2", "SELECT id FROM items WHERE order_id = ANY($1)", calls=9, rows=600), False),
    ],
)
def test_n_plus_one_needs_the_counts_the_key_and_the_role(
    config: RunConfig, child: dict[str, Any], *, told: bool
) -> None:
    findings = found(config, PARENT, child)
    assert ("n_plus_one" in findings) is told
    if told:
        assert len(findings["n_plus_one"].evidence) == 6  # calls, total and mean of both


@pytest.mark.parametrize(
    ("filtered", "told"),
    [
        ("lower(code) = $1", True),
        ("at::date = $1", True),
        ("date_trunc('day', at) = $1", True),
        ("id + 1 > $1", True),
        ("code::text = $1", False),  # varchar as text is the same
        ("id = $1::bigint", False),
        ("lower(note) = $1", False),  # note has no index that could be used
        ("at > now() - $1::interval", False),
    ],
)
def test_a_wrapped_column_hides_only_an_index_that_is_there(config: RunConfig, filtered: str, *, told: bool) -> None:
    one = statement("3", f"SELECT id FROM orders WHERE {filtered}", calls=5, rows=5)
    assert ("wrapped_column" in found(config, one)) is told


def test_an_index_on_the_expression_serves_it(config: RunConfig) -> None:
    one = statement("3", "SELECT id FROM orders WHERE lower(code) = $1", calls=5, rows=5)
    served = [*INDEXES, index(15, 1, "lower((code)::text)")]
    assert "wrapped_column" not in found(config, one, indexes=served)


@pytest.mark.parametrize(
    ("text", "rows", "told"),
    [
        ("SELECT id FROM orders", 5000, True),
        ("SELECT id FROM orders LIMIT $1", 5000, False),
        ("SELECT at, count(*) FROM orders GROUP BY at", 5000, False),
        ("SELECT id FROM orders", 50, False),
        ("DELETE FROM orders", 5000, False),
    ],
)
def test_many_rows_without_limit(config: RunConfig, text: str, rows: int, *, told: bool) -> None:
    assert ("missing_limit" in found(config, statement("4", text, calls=1, rows=rows))) is told


def test_select_star_weighs_on_wide_rows_alone(config: RunConfig) -> None:
    assert "select_star" in found(config, statement("5", "SELECT o.* FROM orders o", calls=2, rows=200))
    assert "select_star" not in found(config, statement("5", "SELECT o.* FROM orders o", calls=2, rows=4))
    assert "select_star" not in found(config, statement("5", "SELECT * FROM items", calls=2, rows=200))


def test_offset_weighs_by_what_is_thrown_away(config: RunConfig) -> None:
    text = "SELECT id FROM orders ORDER BY at OFFSET $1 LIMIT $2"
    little = found(config, statement("6", text, calls=10, rows=200, ms=9000.0, blocks_hit=200))["offset_paging"]
    much = found(config, statement("6", text, calls=10, rows=200, ms=9000.0, blocks_hit=9000))["offset_paging"]
    assert (little.impact, much.impact) == (Level.LOW, Level.HIGH)


def plan(**values: Any) -> list[dict[str, Any]]:
    node = {"Node Type": "Index Scan", "Relation Name": "orders", "Schema": "public", "Plan Rows": 1, **values}
    return [{"statement": "7", "name": "7", "how": "GENERIC_PLAN", "plan": json.dumps(node)}]


def test_a_value_of_another_type_shows_in_blocks_or_in_the_plan(config: RunConfig) -> None:
    text = "SELECT note FROM orders WHERE id = $1"
    whole = statement("7", text, calls=10, rows=10, blocks_hit=9000)
    assert "implicit_cast" in found(config, whole, plans=plan())
    assert "implicit_cast" not in found(config, statement("7", text, calls=10, rows=10), plans=plan())
    scan = plan(**{"Node Type": "Seq Scan", "Filter": "((orders.id)::numeric = $1)"})
    assert "implicit_cast" in found(config, statement("7", text, calls=10, rows=10), plans=scan)
    relabelled = plan(**{"Node Type": "Seq Scan", "Filter": "((orders.code)::text = $1)"})
    assert "implicit_cast" not in found(config, statement("7", text, calls=10, rows=10), plans=relabelled)


def test_what_is_no_select_has_no_shape() -> None:
    assert shape("UPDATE orders SET at = now()") is None
    assert shape("this is no SQL") is None
    assert shape("SELECT 1; SELECT 2") is None
