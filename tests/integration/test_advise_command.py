"""`hasivu-perf advise` on a real server: what it names really helps, and nothing on the server changes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from flows.advise import advise
from storage.errors import ExitCode, NotMeasuredError, UsageError
from tests.advisor_sales import SCHEMA
from tests.databases import DEBIAN_15, Database, database, needs_debian_15

WORKLOAD = (
    "SELECT id, total FROM orders WHERE customer_id = {n} ORDER BY created_at DESC LIMIT 10",
    "SELECT count(*), sum(total) FROM orders WHERE status = 'open' AND created_at > now() - interval '{n} days'",
    "SELECT sum(quantity) FROM items WHERE product_id = {n}",
    "SELECT * FROM customers WHERE lower(email) = 'user{n}@example.com'",
    "SELECT vip, count(*) FROM customers c JOIN orders o ON customer_id = c.id WHERE city = 'city{n}' GROUP BY 1",
    "INSERT INTO items VALUES ({n} + 1000000, 1, 5, 1) ON CONFLICT DO NOTHING",
    "UPDATE orders SET note = 'seen' WHERE id = {n}",
)


def work(url: str) -> None:
    with psycopg.connect(url, autocommit=True, application_name="shop") as connection:
        for n in range(1, 9):
            for text in WORKLOAD:
                connection.execute(text.format(n=n).encode())


def prepare(found: Database) -> None:
    found.run("CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA public")
    found.run(*SCHEMA, url=found.application)
    found.run("SELECT public.pg_stat_statements_reset()")
    work(found.application)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with database(tmp_path_factory.mktemp("advise")) as found:
        prepare(found)
        yield found


def asked(capsys: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
    assert advise(json=True, **options) is ExitCode.PASS
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def state(found: Database) -> list[tuple[Any, ...]]:
    with psycopg.connect(found.application) as connection:
        return connection.execute(
            "SELECT c.relname, c.relkind, pg_relation_size(c.oid) FROM pg_class c JOIN pg_namespace n "
            "ON n.oid = c.relnamespace WHERE n.nspname = 'public' ORDER BY 1"
        ).fetchall()


def pages(found: Database, text: str) -> int:
    """Blocks that a statement reads: what an index saves, whatever the machine does meanwhile."""
    with psycopg.connect(found.application) as connection:
        row = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {text}".encode()).fetchone()
    assert row is not None
    top = row[0][0]["Plan"]
    return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])


def test_advice_helps_when_it_is_followed(server: Database, capsys: pytest.CaptureFixture[str]) -> None:
    before, reads = state(server), [text.format(n=7) for text in WORKLOAD[:4]]
    told = asked(capsys, dsn=server.analysis)
    assert state(server) == before, "advice changes nothing"
    assert told["how"] == "planner twin, rehearsed on a copy", told["notes"]
    assert (told["planned"], told["not_planned"]) == (told["statements"], {})
    assert told["statements"] >= len(WORKLOAD)
    tables = {one["evidence"]["table"] for one in told["recommendations"]}
    assert {"public.orders", "public.items", "public.customers"} <= tables
    assert not re.search(r"@example\.com|city[0-9]", json.dumps(told)), "no value of the database is told"
    cost = [pages(server, text) for text in reads]
    try:
        for one in told["recommendations"]:
            server.run(one["sql"], url=server.application)
        server.run("VACUUM (ANALYZE) orders, items, customers", url=server.application)
        after = [pages(server, text) for text in reads]
        faster = [was / now for was, now in zip(cost, after, strict=True)]
        assert min(faster) >= 1, (cost, after)
        # Open orders lie on most pages of the table, and what an interval holds no statistics tell: it gains less.
        assert sum(factor >= 5 for factor in faster) >= 3, (cost, after)
        again = asked(capsys, dsn=server.analysis, rehearse="never")
        made = {one["sql"] for one in told["recommendations"]}
        assert not made & {one["sql"] for one in again["recommendations"]}, "what is there is not advised again"
    finally:
        for one in told["recommendations"]:
            server.run(one["drop"], url=server.application)


def test_the_budget_and_the_number_are_kept(server: Database, capsys: pytest.CaptureFixture[str]) -> None:
    small = asked(capsys, dsn=server.analysis, budget_mb=1.0, rehearse="never")
    assert sum(one["evidence"]["bytes"] for one in small["recommendations"]) <= 1_000_000
    two = asked(capsys, dsn=server.analysis, max_indexes=2, rehearse="never")
    assert 0 < len(two["recommendations"]) <= 2
    assert any("not proved by run time" in note for note in two["notes"])


def test_a_file_stands_for_the_workload(server: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "work.sql"
    file.write_text("SELECT * FROM items WHERE product_id = 5; SELECT nonsense FROM nowhere")
    told = asked(capsys, dsn=server.analysis, workload=file, rehearse="never")
    assert [one["evidence"]["table"] for one in told["recommendations"]] == ["public.items"]
    assert told["statements"] == 2


@needs_debian_15
def test_postgresql_15_is_advised_likewise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with database(tmp_path, binaries=DEBIAN_15) as found:
        prepare(found)
        told = asked(capsys, dsn=found.analysis, rehearse="never")
    tables = {one["evidence"]["table"] for one in told["recommendations"]}
    assert {"public.orders", "public.items"} <= tables


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with database(tmp_path) as found:
        found.run("CREATE TABLE t AS SELECT n FROM generate_series(1, 5000) n", url=found.application)
        with pytest.raises(NotMeasuredError, match="pg_stat_statements"):
            advise(dsn=found.analysis)
        found.run("CREATE EXTENSION pg_stat_statements", "CREATE ROLE poor LOGIN PASSWORD 'secret-canary'")
        found.run("ANALYZE t", "SELECT count(*) FROM t WHERE n = 5", url=found.application)
        poor = re.sub(r"//[^@]+@", "//poor:secret-canary@", found.analysis)
        with pytest.raises(NotMeasuredError, match="GRANT") as told:
            advise(dsn=poor)
        assert "secret-canary" not in str(told.value)


@pytest.mark.parametrize(("options", "message"), [({"budget_mb": 0}, "above 0"), ({"max_indexes": 0}, "at least 1")])
def test_wrong_usage_is_said(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        advise(dsn="postgresql://u:p@127.0.0.1:1/d", **options)


def test_an_address_that_is_none_is_wrong_usage_and_not_shown() -> None:
    with pytest.raises(UsageError, match="percent-encoded") as told:
        advise(dsn="postgresql://user:canary@word@127.0.0.1:1/d")
    assert "canary" not in str(told.value)
