"""Which table has most queries, counted from statements; without them the scans decide, and nothing is guessed."""

from __future__ import annotations

from typing import Any

from tasks.components.database.advisor.catalog import Catalog, Table
from tasks.components.database.usage import Counted, metrics, usage

TABLES = {
    (schema, name): Table(schema, name, 10.0, 8192, {}) for schema, name in (("a", "t"), ("b", "t"), ("a", "u"))
}
CATALOG = Catalog(TABLES, ("a",), visible={"t": TABLES["a", "t"], "u": TABLES["a", "u"]})


def row(schema: str, name: str, scans: int) -> dict[str, Any]:
    counters = dict.fromkeys(("idx_scan", "inserts", "updates", "deletes", "blocks_hit", "blocks_read"), 0)
    return {
        "schema": schema, "name": name, "seq_scan": scans, "estimated_rows": -1.0, "bytes": 8192, **counters,
    }  # fmt: skip


ROWS = [row("a", "t", 1), row("b", "t", 3), row("a", "u", 2)]


def test_calls_are_counted_for_each_table_that_a_statement_names() -> None:
    statements = [
        Counted("SELECT * FROM t JOIN u USING (id) WHERE id = $1", 5, 50.0),
        Counted("WITH u AS (SELECT 1 AS id) SELECT * FROM u", 100, 1.0),  # its own u, no table
        Counted("UPDATE b.t SET x = (SELECT max(id) FROM u)", 7, 7.0),
        Counted("SELEC", 3, 3.0),
    ]
    used, unread = usage(statements, CATALOG)
    assert used == {("a", "t"): (5, 50.0), ("a", "u"): (12, 57.0), ("b", "t"): (7, 7.0)}
    assert unread == 1
    found = metrics(ROWS, CATALOG, used, None, None)
    assert [(one.table_schema, one.name, one.queries) for one in found] == [
        ("a", "u", 12),
        ("b", "t", 7),
        ("a", "t", 5),
    ]


def test_without_statements_queries_are_unknown_and_scans_decide() -> None:
    found = metrics(ROWS, CATALOG, None, None, None)
    assert [(one.table_schema, one.name) for one in found] == [("b", "t"), ("a", "u"), ("a", "t")]
    assert {(one.queries, one.time_ms) for one in found} == {(None, None)}
    assert found[0].cache_hits is None  # no block was read
    assert found[0].rows is None  # it was never analysed
