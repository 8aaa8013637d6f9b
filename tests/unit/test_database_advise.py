"""Checks on made-up catalogues: what is named, what must not be named, and the commands."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deployments.config import RunConfig, build_config
from storage.records import Collected, Finding, Severity, Window
from tasks.components.base import Samples
from tasks.components.database import DATABASE, schemas
from tasks.components.database.advise.blocking import chains
from tasks.components.database.catalog import sequence, with_deltas

START = datetime(2026, 11, 20, 7, 0, tzinfo=UTC)
WINDOW = Window(start=START, end=START + timedelta(seconds=60))
FACTS = {
    "reads_all_stats": "true",
    "statistics_since": (START - timedelta(days=40)).isoformat(),
    "setting.autovacuum_vacuum_threshold": "50",
    "setting.autovacuum_vacuum_scale_factor": "0.2",
    "setting.autovacuum": "on",
    "version_number": "180006",
    "samples_taken": "60",
}


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return build_config("development")


def found(config: RunConfig, **tables: list[dict[str, Any]]) -> dict[str, Finding]:
    stored = {name: schemas.table(name, rows) for name, rows in tables.items()}
    stored["facts"] = schemas.table("facts", [{"name": name, "value": value} for name, value in FACTS.items()])
    samples = Samples(tables=stored, collected=Collected(window=WINDOW))
    findings = DATABASE.advise(samples, DATABASE.measure(samples, config), config)
    assert len({finding.id for finding in findings}) == len(findings)
    return {finding.id: finding for finding in findings}


def table(**values: Any) -> dict[str, Any]:
    return {
        "oid": 1,
        "schema": "public",
        "name": "orders",
        "kind": "r",
        "estimated_rows": 200_000.0,
        "live": 200_000,
        "dead": 0,
        "pages": 5000,
        "bytes": 5000 * 8192,
        "seq_scan_delta": 0,
        "idx_scan_delta": 0,
        **values,
    }


BINDING = ("unique", "primary", "exclusion", "replica_identity", "constraint", "attached", "partitioned")


def index(oid: int, name: str, columns: list[str], **values: Any) -> dict[str, Any]:
    return {
        "oid": oid,
        "table_oid": 1,
        "schema": "public",
        "table": "orders",
        "name": name,
        "method": "btree",
        "columns": columns,
        "included": [],
        "attributes": " ".join(str(number + 1) for number, _ in enumerate(columns)),
        "classes": ["1 0 0"] * len(columns),
        "predicate": None,
        "valid": True,
        "ready": True,
        "bytes": 4 * 2**20,
        "scans": 10,
        "definition": f"CREATE INDEX {name} ON public.orders USING btree ({', '.join(columns)})",
        **dict.fromkeys(BINDING, False),
        **values,
    }


KEY = {
    "name": "orders_user_id_fkey",
    "schema": "public",
    "table": "orders",
    "table_oid": 1,
    "columns": ["user_id"],
    "referenced_oid": 2,
    "referenced": "public.users",
    "on_delete": "c",
    "on_update": "a",
}


def test_a_foreign_key_without_index_is_named_with_its_index(config: RunConfig) -> None:
    finding = found(config, tables=[table()], foreign_keys=[KEY])[
        "database.unindexed_foreign_key:public.orders(user_id)"
    ]
    assert finding.severity is Severity.INFO  # nothing was seen to pay for it
    assert finding.remedy.commands == ("CREATE INDEX CONCURRENTLY orders_user_id_idx ON public.orders (user_id);",)
    assert finding.remedy.rollback == ("DROP INDEX CONCURRENTLY public.orders_user_id_idx;",)
    assert finding.evidence


def test_deletes_of_referenced_rows_make_it_weigh(config: RunConfig) -> None:
    tables = [table(), table(oid=2, name="users", deletes=12)]
    finding = found(config, tables=tables, foreign_keys=[KEY])[
        "database.unindexed_foreign_key:public.orders(user_id)"
    ]
    assert finding.severity is Severity.WARNING
    assert "12 rows of public.users were deleted" in finding.detail


@pytest.mark.parametrize(
    ("served", "values"),
    [
        (True, {"columns": ["user_id"]}),
        (True, {"columns": ["user_id", "created_at"]}),
        (True, {"columns": ["user_id"], "method": "hash"}),
        (True, {"columns": ["user_id"], "predicate": "(user_id IS NOT NULL)"}),
        (False, {"columns": ["created_at", "user_id"]}),
        (False, {"columns": ["user_id"], "predicate": "(status = 'open'::text)"}),
        (False, {"columns": ["user_id"], "valid": False}),
        (False, {"columns": ["user_id"], "method": "gin"}),
    ],
)
def test_which_index_serves_a_foreign_key(config: RunConfig, *, served: bool, values: dict[str, Any]) -> None:
    columns = values.pop("columns")
    findings = found(config, tables=[table()], foreign_keys=[KEY], indexes=[index(5, "i", columns, **values)])
    assert ("database.unindexed_foreign_key:public.orders(user_id)" not in findings) is served


def test_an_index_on_both_columns_in_any_order_serves_a_composite_key(config: RunConfig) -> None:
    key = {**KEY, "columns": ["a", "b"]}
    findings = found(config, tables=[table()], foreign_keys=[key], indexes=[index(5, "i", ["b", "a"])])
    assert not [name for name in findings if "unindexed" in name]


def test_empty_tables_are_not_named_but_partitioned_ones_are(config: RunConfig) -> None:
    assert found(config, tables=[table(bytes=0, pages=0)], foreign_keys=[KEY]) == {}
    part = {"root_schema": "public", "root": "orders", "kind": "r", "parent_schema": "public", "parent": "orders"}
    parts = [{**part, "schema": "public", "name": "orders_1"}, {**part, "schema": "archive", "name": "orders 2"}]
    finding = found(config, tables=[table(kind="p", bytes=0, pages=0)], foreign_keys=[KEY], partitions=parts)
    remedy = finding["database.unindexed_foreign_key:public.orders(user_id)"].remedy
    only, first, attach, second, _ = remedy.commands
    assert only == "CREATE INDEX orders_user_id_idx ON ONLY public.orders USING btree (user_id);"
    assert first.startswith("CREATE INDEX CONCURRENTLY orders_user_id_idx_")
    assert attach.startswith("ALTER INDEX public.orders_user_id_idx ATTACH PARTITION public.orders_user_id_idx_")
    assert ' ON archive."orders 2" USING btree (user_id);' in second
    assert remedy.rollback == ("DROP INDEX public.orders_user_id_idx;",)
    assert "without blocking" in remedy.summary


def test_where_partitions_are_not_known_the_remedy_says_that_it_blocks(config: RunConfig) -> None:
    finding = found(config, tables=[table(kind="p", bytes=0, pages=0)], foreign_keys=[KEY])
    remedy = finding["database.unindexed_foreign_key:public.orders(user_id)"].remedy
    assert remedy.commands == ("CREATE INDEX orders_user_id_idx ON public.orders (user_id);",)
    assert "blocks writers" in remedy.summary
    assert remedy.rollback == ("DROP INDEX public.orders_user_id_idx;",)


def plan(text: str = "SELECT 1", *, where: str = "(orders.user_id = $1)", rows: int = 12) -> dict[str, Any]:
    scan = {
        "Node Type": "Seq Scan",
        "Relation Name": "orders",
        "Schema": "public",
        "Alias": "orders",
        "Plan Rows": rows,
        "Filter": where,
    }
    sort = {"Node Type": "Sort", "Sort Key": ["orders.created_at DESC"], "Plans": [scan]}
    limit = {"Node Type": "Limit", "Plans": [sort]}
    return {"statement": "42", "name": "42 SELECT 1", "how": "GENERIC_PLAN", "text": text, "plan": json.dumps(limit)}


STATEMENT = {
    "queryid": "42",
    "text": "SELECT 1",
    "own": False,
    "calls": 100,
    "rows": 1200,
    "total_ms": 2000.0,
    "blocks_hit": 1,
    "blocks_read": 1,
    "temp_written": 0,
    "resets": 0,
}


def test_a_filter_and_sort_gives_equality_then_order(config: RunConfig) -> None:
    findings = found(config, tables=[table()], plans=[plan()], statements=[STATEMENT])
    finding = findings["database.missing_index:public.orders(user_id,created_at)"]
    assert finding.remedy.commands == (
        "CREATE INDEX CONCURRENTLY orders_user_id_created_at_idx ON public.orders (user_id, created_at DESC);",
    )
    assert finding.impact == "high"
    assert "100% of the database time" in finding.detail
    assert "not what-if tested" in finding.detail
    assert {m.metric for m in finding.evidence} >= {"database.statement.total", "database.table.size"}


def test_the_wider_index_is_offered_for_the_foreign_key_too(config: RunConfig) -> None:
    findings = found(config, tables=[table()], plans=[plan()], statements=[STATEMENT], foreign_keys=[KEY])
    key = findings["database.unindexed_foreign_key:public.orders(user_id)"]
    assert key.remedy == key.remedy.model_copy(
        update={"commands": findings["database.missing_index:public.orders(user_id,created_at)"].remedy.commands}
    )
    assert key.severity is Severity.WARNING


@pytest.mark.parametrize(
    "change",
    [
        {"tables": [table(estimated_rows=500.0, live=500)]},
        {"tables": [table(pages=10)]},
        {"indexes": [index(5, "i", ["user_id", "created_at"])]},
        {"plans": [plan(where="(orders.status = ANY (orders.allowed))")]},
        {"plans": [{**plan(), "plan": None, "error": "could not determine data type of parameter $1"}]},
    ],
)
def test_no_index_where_none_is_worth_it(config: RunConfig, change: dict[str, Any]) -> None:
    findings = found(config, **{"tables": [table()], "plans": [plan()], "statements": [STATEMENT], **change})
    assert not [name for name in findings if "missing_index" in name]


def test_a_slow_statement_tells_of_the_index_that_is_proposed_for_it(config: RunConfig) -> None:
    slow = {**STATEMENT, "total_ms": 30_000.0}
    finding = found(config, tables=[table()], plans=[plan()], statements=[slow])["database.slow_statement:42"]
    assert finding.severity is Severity.WARNING
    assert "An index on public.orders (user_id, created_at DESC) is proposed" in finding.detail


def test_an_unselective_filter_without_limit_gives_no_index(config: RunConfig) -> None:
    wide = json.loads(plan(rows=150_000)["plan"])["Plans"][0]["Plans"][0]
    findings = found(config, tables=[table()], plans=[{**plan(), "plan": json.dumps(wide)}])
    assert not [name for name in findings if "missing_index" in name]


def dropped(findings: dict[str, Finding]) -> set[str]:
    return {finding.subject.removeprefix("public.") for finding in findings.values() if "_index" in finding.kind}


def test_of_two_equal_indexes_the_younger_goes_and_never_both(config: RunConfig) -> None:
    indexes = [index(5, "old", ["a"], scans=0), index(6, "young", ["a"], scans=0)]
    findings = found(config, tables=[table()], indexes=indexes)
    assert dropped(findings) == {"young"}
    finding = findings["database.duplicate_index:public.young"]
    assert finding.remedy.commands == ("DROP INDEX CONCURRENTLY public.young;",)
    assert finding.remedy.rollback == ("CREATE INDEX CONCURRENTLY young ON public.orders USING btree (a);",)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({}, {"unique": True}, {"one"}),
        ({"unique": True}, {}, {"other"}),
        ({"unique": True}, {"unique": True}, set()),
        ({"constraint": True}, {"constraint": True}, set()),
        ({"predicate": "(a > 1)"}, {}, set()),
        ({"predicate": "(a > 1)"}, {"predicate": "(a > 1)"}, {"other"}),
        ({"classes": ["2 0 0"]}, {}, set()),
        ({"classes": ["1 0 3"]}, {}, set()),
        ({"classes": ["1 950 0"]}, {}, set()),
        ({"method": "hash"}, {}, set()),
        ({"included": ["b"]}, {}, {"other"}),
        ({"included": ["b"]}, {"included": ["c"]}, set()),
        ({"columns": ["lower(a)"], "attributes": "0"}, {}, set()),
        ({"valid": False}, {}, {"one"}),
        ({"replica_identity": True}, {"primary": True}, set()),
        ({"attached": True}, {"attached": True}, set()),
        ({"table_oid": 2}, {}, set()),
    ],
)
def test_which_of_two_indexes_is_superfluous(
    config: RunConfig, one: dict[str, Any], other: dict[str, Any], expected: set[str]
) -> None:
    first = {**index(5, "one", ["a"]), **one}
    second = {**index(6, "other", ["a"]), **other}
    findings = found(config, tables=[table(), table(oid=2, name="users")], indexes=[first, second])
    assert dropped(findings) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {"narrow"}),
        ({"unique": True}, set()),
        ({"method": "gist"}, set()),
        ({"classes": ["1 0 3"]}, set()),
        ({"predicate": "(a > 1)"}, set()),
        ({"columns": ["b"]}, set()),
        ({"included": ["c"]}, set()),
        ({"included": ["b"]}, {"narrow"}),
    ],
)
def test_a_prefix_of_another_index_is_redundant(
    config: RunConfig, values: dict[str, Any], expected: set[str]
) -> None:
    narrow = {**index(5, "narrow", ["a"]), **values}
    method = values.get("method", "btree")
    wide = index(6, "wide", ["a", "b"], unique=True, method=method)
    assert dropped(found(config, tables=[table()], indexes=[narrow, wide])) == expected


def test_a_chain_of_prefixes_keeps_its_widest(config: RunConfig) -> None:
    indexes = [index(5, "a", ["a"]), index(6, "ab", ["a", "b"]), index(7, "abc", ["a", "b", "c"])]
    findings = found(config, tables=[table()], indexes=indexes)
    assert dropped(findings) == {"a", "ab"}
    assert all("abc" in finding.detail for finding in findings.values())


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, True),
        ({"scans": 1}, False),
        ({"scans": None}, False),
        ({"unique": True}, False),
        ({"primary": True}, False),
        ({"constraint": True}, False),
        ({"bytes": 8192}, False),
    ],
)
def test_which_index_is_unused(config: RunConfig, *, values: dict[str, Any], named: bool) -> None:
    findings = found(config, tables=[table()], indexes=[{**index(5, "i", ["a"], scans=0), **values}])
    assert ("database.unused_index:public.i" in findings) is named


def test_an_unused_index_tells_since_when_and_of_replicas(config: RunConfig) -> None:
    finding = found(config, tables=[table()], indexes=[index(5, "i", ["a"], scans=0)])[
        "database.unused_index:public.i"
    ]
    assert "40.0 days" in finding.detail
    assert "replicas" in finding.detail


def test_an_unused_index_that_alone_serves_a_foreign_key_stays(config: RunConfig) -> None:
    indexes = [index(5, "i", ["user_id"], scans=0)]
    assert found(config, tables=[table()], indexes=indexes, foreign_keys=[KEY]) == {}


def test_an_invalid_index_is_named(config: RunConfig) -> None:
    finding = found(config, tables=[table()], indexes=[index(5, "i", ["a"], valid=False)])
    assert finding["database.invalid_index:public.i"].remedy.commands[0] == "DROP INDEX CONCURRENTLY public.i;"


def session(**values: Any) -> dict[str, Any]:
    return {
        "sample": 1,
        "at": START,
        "pid": 77,
        "application": "batch",
        "user": "app",
        "state": "idle in transaction",
        "transaction_s": 40.0,
        "state_s": 30.0,
        "blocked_by": None,
        **values,
    }


def test_who_is_idle_in_a_transaction_and_what_it_locks(config: RunConfig) -> None:
    activity = [
        {"sample": 1, "at": START, "database": True, "own": False, "application": "batch", "sessions": 1}
        | {"state": "idle in transaction"}
    ]
    locks = [{"pid": 77, "relation": "public.menu_plans", "mode": "RowExclusiveLock"}]
    finding = found(config, activity=activity, sessions=[session()], locks=locks)[
        "database.idle_in_transaction:batch"
    ]
    assert "public.menu_plans (RowExclusiveLock)" in finding.detail
    assert "SELECT pg_terminate_backend(77);" in finding.remedy.commands
    assert "ALTER ROLE app RESET idle_in_transaction_session_timeout;" in finding.remedy.rollback
    assert {m.metric for m in finding.evidence} == {
        "database.idle_in_transaction.count",
        "database.idle_in_transaction.age",
    }


def test_a_short_pause_in_a_transaction_is_no_finding(config: RunConfig) -> None:
    assert found(config, sessions=[session(state_s=2.0, transaction_s=2.0)]) == {}


def test_blockers_are_named_by_application(config: RunConfig) -> None:
    waiting = session(pid=78, application="api", state="active", transaction_s=3.0, state_s=3.0, blocked_by=[77])
    behind = session(pid=79, application="api", state="active", transaction_s=2.0, state_s=2.0, blocked_by=[78])
    findings = found(config, sessions=[session(), waiting, behind])
    assert "database.blocking:api" not in findings, "the one in the middle is a victim itself"
    finding = findings["database.blocking:batch"]
    assert "2 sessions waited" in finding.detail
    assert (
        "batch (pid 77, idle in transaction for 30 s) ← api (pid 78, active for 3 s) ← api (pid 79, active for 2 s)"
        in finding.detail
    )


def test_a_ring_of_waits_ends() -> None:
    rows = [session(pid=1, blocked_by=[2]), session(pid=2, blocked_by=[1])]
    assert chains(rows) == [(2, 1), (1, 2)]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        # PostgreSQL's rule: threshold 50 + 0.2 × 200,000 = 40,050 dead rows.
        ({"dead": 60_000, "options": ["autovacuum_enabled=false"]}, True),
        ({"dead": 39_000, "live": 100_000, "options": ["autovacuum_enabled=false"]}, False),
        ({"dead": 60_000}, False),  # autovacuum is on: it may be on its way
        ({"dead": 90_000}, True),
        ({"dead": 90_000, "options": ["autovacuum_vacuum_scale_factor=0.9"]}, False),
    ],
)
def test_which_table_needs_a_vacuum(config: RunConfig, *, values: dict[str, Any], named: bool) -> None:
    assert ("database.vacuum:public.orders" in found(config, tables=[table(**values)])) is named


def test_wraparound_is_critical_only_near_the_end(config: RunConfig) -> None:
    assert found(config, tables=[table(frozen_age=199_000_000)]) == {}
    warned = found(config, tables=[table(frozen_age=600_000_000)])["database.wraparound:public.orders"]
    assert warned.severity is Severity.WARNING
    critical = found(config, tables=[table(frozen_age=1_600_000_000)])["database.wraparound:public.orders"]
    assert critical.severity is Severity.CRITICAL


def sequence_row(**values: Any) -> dict[str, Any]:
    row = {
        "schema": "public",
        "name": "seq",
        "column": None,
        "column_type": None,
        "sequence_type": "bigint",
        "last": 2_000_000_000.0,
        "lowest": 1.0,
        "highest": 9.2e18,
        "increment": 1,
        "cycles": False,
    }
    return sequence({**row, **values})


def test_a_sequence_counts_by_the_narrowest_of_type_and_column(config: RunConfig) -> None:
    assert found(config, sequences=[sequence_row()]) == {}
    narrow = sequence_row(column="public.orders.number", column_type="integer")
    finding = found(config, sequences=[narrow])["database.sequence:public.seq"]
    assert finding.severity is Severity.WARNING
    assert finding.remedy.commands[0] == "ALTER TABLE public.orders ALTER COLUMN number TYPE bigint;"
    late = sequence_row(sequence_type="integer", highest=2147483647.0, last=2_100_000_000.0)
    assert found(config, sequences=[late])["database.sequence:public.seq"].severity is Severity.CRITICAL
    assert found(config, sequences=[{**late, "cycles": True}]) == {}


def test_deltas_survive_a_reset_and_an_object_that_is_new() -> None:
    first = [{"oid": 1, "n": 100}, {"oid": 2, "n": 50}]
    last = [{"oid": 1, "n": 130}, {"oid": 2, "n": 4}, {"oid": 3, "n": 9}]
    assert [row["n_delta"] for row in with_deltas(first, last, ["n"])] == [30, 4, None]
    assert [row["n_delta"] for row in with_deltas(first, None, ["n"])] == [None, None]


def test_a_tidy_database_has_no_finding(config: RunConfig) -> None:
    indexes = [
        index(5, "orders_pkey", ["id"], primary=True, unique=True, constraint=True),
        index(6, "orders_user_id_idx", ["user_id"]),
    ]
    assert (
        found(
            config,
            tables=[table()],
            indexes=indexes,
            foreign_keys=[KEY],
            statements=[{**STATEMENT, "total_ms": 90.0}],
        )
        == {}
    )
