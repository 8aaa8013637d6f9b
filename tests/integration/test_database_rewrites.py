"""Habits of an application, really run: each is named with its evidence; a tidy application hears of none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from storage.records import Finding, Level, Severity
from tests.behind import asking
from tests.database_runs import config, measured, target
from tests.databases import Database, database

SCHEMA = (
    "CREATE EXTENSION pg_stat_statements",
    "CREATE TABLE parents (id bigint PRIMARY KEY, email text NOT NULL, note text)",
    """CREATE TABLE orders (id bigint PRIMARY KEY, parent bigint NOT NULL REFERENCES parents,
    at timestamptz NOT NULL, state text NOT NULL, address text)""",
    "CREATE TABLE items (id bigint PRIMARY KEY, order_id bigint NOT NULL REFERENCES orders, dish text)",
    "INSERT INTO parents SELECT n, 'Parent' || n || '@school.test', repeat('n', 120) FROM generate_series(1, 5000) n",
    """INSERT INTO orders SELECT n, n % 5000 + 1, now() - n * interval '3 minutes', 'open', repeat('a', 600)
    FROM generate_series(1, 20000) n""",
    "INSERT INTO items SELECT n, n % 20000 + 1, 'rice' FROM generate_series(1, 60000) n",
    "CREATE INDEX parents_email ON parents (email)",
    "CREATE INDEX orders_parent_at ON orders (parent, at)",
    "CREATE INDEX orders_at ON orders (at)",
    "CREATE INDEX items_order ON items (order_id)",
    "GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC",
    "VACUUM (FREEZE, ANALYZE)",
)

Work = Callable[[psycopg.Connection[Any], int], None]


def careless(connection: psycopg.Connection[Any], number: int) -> None:
    """One round of an application with every habit that is looked for."""
    orders = connection.execute("SELECT id FROM orders WHERE parent = %s", (number % 5000 + 1,)).fetchall()
    for (order,) in orders:
        connection.execute("SELECT dish FROM items WHERE order_id = %s", (order,)).fetchall()
    connection.execute("SELECT id FROM parents WHERE lower(email) = %s", (f"parent{number}@school.test",))
    connection.execute("SELECT id, state FROM orders WHERE at::date = %s", ("2026-01-01",))
    connection.execute("SELECT note FROM parents WHERE id = %s", (Decimal(number),)).fetchall()
    connection.execute("SELECT * FROM orders WHERE at > now() - interval '2 hours'").fetchall()
    connection.execute("SELECT id, at FROM orders ORDER BY at DESC LIMIT 20 OFFSET %s", (15_000 + number,)).fetchall()
    if number % 10 == 0:
        connection.execute("SELECT id, email FROM parents").fetchall()


def tidy(connection: psycopg.Connection[Any], number: int) -> None:
    """The same wishes, well put."""
    connection.execute(
        "SELECT o.id, i.dish FROM orders o JOIN items i ON i.order_id = o.id WHERE o.parent = %s",
        (number % 5000 + 1,),
    ).fetchall()
    connection.execute("SELECT id FROM parents WHERE email = %s", (f"Parent{number}@school.test",)).fetchall()
    connection.execute("SELECT note FROM parents WHERE id = %s", (number,)).fetchall()
    connection.execute("SELECT id, at FROM orders WHERE at < now() ORDER BY at DESC LIMIT 20").fetchall()
    connection.execute("UPDATE parents SET note = %s WHERE id = %s", ("seen", number % 5000 + 1))


def found(server: Database, work: Work, *, advice: bool = False) -> list[Finding]:
    asked = config(
        "SELECT note FROM parents WHERE id = 7", seconds=4, advice=advice, application="meals", pool_size=10
    )
    server.run("SELECT pg_stat_statements_reset()")
    with asking(server.application, work):
        return measured(asked, target(server.analysis)).findings


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with database(tmp_path_factory.mktemp("rewrites")) as started:
        started.run(*SCHEMA)
        yield started


def test_a_tidy_database_and_application_hear_of_nothing_grave(server: Database) -> None:
    findings = found(server, tidy, advice=True)
    assert [one.id for one in findings if one.severity is Severity.CRITICAL] == []
    assert [one.id for one in findings if one.severity is Severity.WARNING] == []


def test_each_habit_is_named_with_what_it_costs(server: Database) -> None:
    findings = found(server, careless)
    by_kind: dict[str, list[Finding]] = {}
    for one in findings:
        by_kind.setdefault(one.kind, []).append(one)
    expected = {
        "n_plus_one": "public.items is asked by order_id once for each row",
        "missing_limit": "returns 5,000 rows a call",
        "implicit_cast": "public.parents.id is of another type",
        "select_star": "SELECT * takes all of public.orders",
        "offset_paging": "pages by OFFSET",
    }
    assert set(by_kind) >= {*expected, "wrapped_column"}
    for kind, words in expected.items():
        (one,) = by_kind[kind]
        assert words in one.title
    wrapped = {one.title for one in by_kind["wrapped_column"]}
    assert any("lower(email)" in title for title in wrapped)
    assert any("at::date" in title for title in wrapped)
    for kind in (*expected, "wrapped_column"):
        for one in by_kind[kind]:
            assert one.evidence, one.id
            assert one.remedy.summary
            assert "calls took" in one.detail
    (paging,) = by_kind["offset_paging"]
    assert paging.impact is not Level.LOW


def test_a_foreign_key_of_a_partitioned_table_gets_an_index_by_statements_that_let_writers_on(
    server: Database,
) -> None:
    server.run(
        "CREATE TABLE visits (parent bigint REFERENCES parents, day date) PARTITION BY RANGE (day)",
        "CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
        "CREATE TABLE visits_2 PARTITION OF visits FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')",
        "INSERT INTO visits SELECT n % 5000 + 1, date '2026-01-01' + n % 59 FROM generate_series(1, 60000) n",
        "GRANT SELECT ON visits TO PUBLIC",
    )
    try:
        (finding,) = (
            one for one in found(server, tidy) if one.id == "database.unindexed_foreign_key:public.visits(parent)"
        )
        assert not any(
            one.startswith("CREATE INDEX") and "CONCURRENTLY" not in one for one in finding.remedy.commands[1:]
        )
        assert " ON ONLY " in finding.remedy.commands[0]
        for command in finding.remedy.commands:
            server.run(command)
        assert valid(server) == [True] * 3
        server.run(*finding.remedy.rollback)
        assert valid(server) == []
    finally:
        server.run("DROP TABLE visits")


def valid(server: Database) -> list[bool]:
    """Of each index of the partitioned table and its parts, whether it may be used."""
    with psycopg.connect(server.admin) as connection:
        of_visits = "SELECT indisvalid FROM pg_index WHERE indrelid::regclass::text LIKE 'visits%'"
        return [row[0] for row in connection.execute(of_visits)]
