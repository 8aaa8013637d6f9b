"""The planner twin against the server that it stands for: the same plans, with and without real indexes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from storage.errors import NotMeasuredError
from tasks.components.database.advisor.records import Index, Key, PlanError
from tasks.components.database.advisor.relfiles import grow_btree
from tasks.components.database.advisor.scratch import scratch_server
from tasks.components.database.advisor.twin import Twin
from tests.advisor_sales import INDEXES, SCHEMA, STATEMENTS, index, real_plan, session, shape
from tests.bouncers import bouncer, needs_pgbouncer
from tests.databases import DEBIAN_15, Database, database, needs_debian_15

ODDITIES = (
    'CREATE SCHEMA "Odd schema"',
    'CREATE TABLE "Odd schema"."Order" ("user" integer, "A key" text)',
    'INSERT INTO "Odd schema"."Order" SELECT n, \'k\' || n FROM generate_series(1, 20000) n',
    "CREATE TABLE visits (at date NOT NULL, child integer, note text) PARTITION BY RANGE (at)",
    *(
        f"CREATE TABLE visits_{n} PARTITION OF visits FOR VALUES FROM ('2026-0{n}-01') TO ('2026-0{n + 1}-01')"
        for n in range(1, 4)
    ),
    "INSERT INTO visits SELECT date '2026-01-01' + n % 90, n % 700, repeat('y', 40) FROM generate_series(1, 60000) n",
    "CREATE MATERIALIZED VIEW daily AS SELECT at, child, count(*) AS n FROM visits GROUP BY 1, 2",
    "CREATE VIEW recent AS SELECT * FROM visits WHERE at > '2026-03-01'",
    """CREATE TABLE places AS SELECT n % 1000 AS zip, n % 100 AS city, n % 10 AS state, n AS id
       FROM generate_series(1, 50000) n""",
    "CREATE STATISTICS zip_city (ndistinct, dependencies, mcv) ON zip, city, state FROM places",
    # a base type needs a superuser, as those of PostGIS do
    "CREATE TYPE shape",
    "CREATE FUNCTION shape_in(cstring) RETURNS shape IMMUTABLE STRICT LANGUAGE internal AS 'textin'",
    "CREATE FUNCTION shape_out(shape) RETURNS cstring IMMUTABLE STRICT LANGUAGE internal AS 'textout'",
    "CREATE TYPE shape (INPUT = shape_in, OUTPUT = shape_out, LIKE = text)",
    "CREATE TABLE areas (id integer PRIMARY KEY, outline shape)",
    "CREATE TABLE secrets (id integer PRIMARY KEY, canary text)",
    "INSERT INTO secrets SELECT n, 'canary-value' FROM generate_series(1, 1000) n",
    "CREATE ROLE poor LOGIN PASSWORD 'poor' IN ROLE pg_monitor",
    "GRANT SELECT ON customers TO poor",
    "VACUUM (ANALYZE)",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with database(tmp_path_factory.mktemp("pg18")) as started:
        started.run(*SCHEMA, *ODDITIES)
        yield started


@pytest.fixture(scope="module")
def twin(server: Database) -> Iterator[Twin]:
    with session(server.analysis) as source, Twin.of(source) as made:
        yield made


@pytest.fixture
def real(server: Database) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(server.admin, autocommit=True) as connection:
        yield connection


def tell(figure: str) -> None:
    """A figure for whoever runs pytest -s; nothing depends on it."""
    sys.stdout.write(f"{figure}\n")


def test_the_twin_plans_as_the_server_does_before_and_after_real_builds(
    twin: Twin, real: psycopg.Connection[Any]
) -> None:
    real_before = {name: shape(real_plan(real, text)) for name, text in STATEMENTS.items()}
    assert {name: shape(twin.plan(text).root) for name, text in STATEMENTS.items()} == real_before
    try:
        for one in INDEXES:
            twin.add(one)
            real.execute(one.definition().encode())
        real.execute("ANALYZE customers")  # a real expression has statistics only then
        foreseen = {name: shape(twin.plan(text).root) for name, text in STATEMENTS.items()}
        came = {name: shape(real_plan(real, text)) for name, text in STATEMENTS.items()}
        differing = {name for name in STATEMENTS if foreseen[name] != came[name]}
        tell(f"plans that agree: {len(STATEMENTS) - len(differing)} of {len(STATEMENTS)}; not: {differing}")
        assert sum(came[name] != real_before[name] for name in STATEMENTS) >= 10  # the indexes matter
        assert len(differing) <= 1  # ANALYZE draws a new sample: one near tie may fall the other way
    finally:
        for one in INDEXES:
            twin.remove(one)
            real.execute(f"DROP INDEX IF EXISTS {one.name}".encode())


def test_costs_are_the_servers_own(twin: Twin, real: psycopg.Connection[Any]) -> None:
    for text in STATEMENTS.values():
        assert twin.plan(text).cost == pytest.approx(real_plan(real, text)["Total Cost"], rel=0.01)


def test_a_candidate_can_be_hidden_and_an_existing_index_too(twin: Twin) -> None:
    one, text = INDEXES[0], STATEMENTS["equal"]
    assert twin.add(one) > 1_000_000
    try:
        with_it = twin.plan(text)
        without = twin.plan(text, hidden=[one.name])
        assert with_it.indexes == {one.name}
        assert without.indexes == frozenset()
        assert without.cost > 50 * with_it.cost
        assert twin.plan(text).indexes == {one.name}
    finally:
        twin.remove(one)
    by_key = "SELECT * FROM orders WHERE id = 5"
    assert twin.plan(by_key).indexes == {"orders_pkey"}
    assert twin.plan(by_key, hidden=["orders_pkey"]).indexes == frozenset()
    assert twin.plan(by_key).indexes == {"orders_pkey"}


def test_a_removed_index_is_gone_and_may_be_added_again(twin: Twin) -> None:
    one, text = index("items", "product_id"), STATEMENTS["covered"]
    for _ in range(2):
        twin.add(one)
        assert twin.plan(text).indexes == {one.name}
        twin.remove(one)
        assert twin.plan(text).indexes == frozenset()
    twin.remove(one)


def test_an_index_of_a_partitioned_table_has_one_name_and_the_size_of_all_parts(twin: Twin) -> None:
    one = index("visits", "child")
    size = twin.add(one)
    try:
        plan = twin.plan("SELECT * FROM visits WHERE child = 5")
        assert plan.indexes == {one.name}
        assert 350_000 < size < 800_000
        assert twin.plan("SELECT * FROM recent WHERE child = 5").indexes == {one.name}
        assert twin.plan("SELECT * FROM visits WHERE child = 5", hidden=[one.name]).indexes == frozenset()
    finally:
        twin.remove(one)


def test_names_that_need_quotes_and_materialized_views_work(twin: Twin) -> None:
    quoted = Index("Odd schema", "Order", (Key("A key", "A key"),))
    view = index("daily", "child")
    twin.add(quoted)
    twin.add(view)
    try:
        assert twin.plan("""SELECT * FROM "Odd schema"."Order" WHERE "A key" = 'k5'""").indexes == {quoted.name}
        assert twin.plan("SELECT * FROM daily WHERE child = 5").indexes == {view.name}
    finally:
        twin.remove(quoted)
        twin.remove(view)


def test_an_expression_has_the_rows_that_a_real_index_gives_it(twin: Twin, real: psycopg.Connection[Any]) -> None:
    one = Index("public", "orders", (Key("date_trunc('day', created_at AT TIME ZONE 'UTC')"),))
    text = "SELECT count(*) FROM orders WHERE date_trunc('day', created_at AT TIME ZONE 'UTC') = current_date - 30"
    twin.add(one)
    try:
        foreseen = next(node["Plan Rows"] for node in [twin.plan(text).root["Plans"][0]])
        real.execute(one.definition().encode())
        real.execute("ANALYZE orders")
        came = real_plan(real, text)["Plans"][0]["Plan Rows"]
        assert foreseen == pytest.approx(came, rel=0.3)  # without statistics it would be 1,000 of 200,000
    finally:
        twin.remove(one)
        real.execute(f"DROP INDEX IF EXISTS {one.name}".encode())


def test_an_expression_over_two_columns_is_said_to_have_no_statistics(twin: Twin) -> None:
    one = Index("public", "orders", (Key("total + customer_id"),))
    twin.add(one)
    twin.remove(one)
    assert [note for note in twin.notes if one.name in note and "no statistics" in note]


def test_extended_statistics_come_along(twin: Twin, real: psycopg.Connection[Any]) -> None:
    text = "SELECT zip, city, state FROM places GROUP BY 1, 2, 3"
    assert twin.plan(text).root["Plan Rows"] == real_plan(real, text)["Plan Rows"] == 1000
    text = "SELECT * FROM places WHERE zip = 5 AND city = 5 AND state = 5"
    assert twin.plan(text).root["Plan Rows"] == pytest.approx(real_plan(real, text)["Plan Rows"], rel=0.1)


def test_what_cannot_come_along_is_named_and_the_rest_works(twin: Twin) -> None:
    assert set(twin.skipped) == {"public.areas", "public.areas_pkey"}
    with pytest.raises(PlanError, match=r"public\.areas is not on the twin: it did not restore"):
        twin.plan("SELECT * FROM areas WHERE id = 1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SELECT * FROM nowhere", 'relation "nowhere" does not exist'),
        ("SELECT * FROM customers WHERE id = 'canary'", "a value does not fit"),
        ("SELECT 1; DROP TABLE orders", "multiple commands"),
        ("SELECT $1; DROP TABLE orders", "semicolon"),
        ("SELEKT", "syntax error"),
    ],
)
def test_a_statement_that_cannot_be_planned_is_an_error_without_its_values(
    twin: Twin, text: str, message: str
) -> None:
    with pytest.raises(PlanError, match=message) as caught:
        twin.plan(text)
    assert "canary" not in str(caught.value)
    assert twin.plan("SELECT * FROM customers WHERE id = 1").indexes == {"customers_pkey"}


@pytest.mark.parametrize(
    "bad",
    [
        index("orders", "no_such_column"),
        index("nowhere", "id"),
        index("orders", "total", method="gin"),
        index("orders", "id", predicate="random() < 1"),
    ],
    ids=["column", "table", "operator class", "predicate"],
)
def test_a_bad_candidate_is_an_error_and_leaves_nothing(twin: Twin, bad: Index) -> None:
    before = twin.plan(STATEMENTS["equal"])
    with pytest.raises(PlanError):
        twin.add(bad)
    assert twin.plan(STATEMENTS["equal"]).cost == before.cost


def test_a_grown_btree_is_sound_to_the_server(tmp_path: Path) -> None:
    with scratch_server() as scratch, psycopg.connect(scratch.dsn, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION amcheck; CREATE EXTENSION pageinspect; CREATE TABLE t (a integer)")
        for level in (0, 1, 3):
            connection.execute(f"CREATE INDEX i{level} ON t (a)".encode())
            path = connection.execute("SELECT pg_relation_filepath(%s::regclass)", (f"i{level}",)).fetchone()
            assert path
            grow_btree(scratch.data / path[0], level)
            meta = connection.execute("SELECT level, fastlevel FROM bt_metap(%s)", (f"i{level}",)).fetchone()
            assert meta == (level, level)
            connection.execute("SELECT bt_index_parent_check(%s::regclass, true, true)", (f"i{level}",))
        connection.execute("SET enable_seqscan = off")
        answers = [
            connection.execute(q).fetchone() for q in (b"SELECT max(a) FROM t", b"SELECT a FROM t WHERE a = 5")
        ]
        assert answers == [(None,), None]


def test_a_twin_of_a_million_rows(server: Database) -> None:
    server.run(
        "CREATE TABLE IF NOT EXISTS million AS SELECT n AS id, n % 5000 AS child FROM generate_series(1, 1000000) n",
        "ANALYZE million",
    )
    with session(server.analysis) as source:
        start = time.monotonic()
        with Twin.of(source) as made:
            seconds = time.monotonic() - start
            one = index("million", "child")
            made.add(one)
            assert made.plan("SELECT * FROM million WHERE child = 5").indexes == {one.name}
    tell(f"twin of 1.6 million rows ready in {seconds:.2f} s")


def test_only_the_tables_that_are_needed_are_read(server: Database) -> None:
    poor = f"postgresql://poor:poor@127.0.0.1:{server.server.port}/hasivu"
    with session(poor) as source:
        with Twin.of(source, [("public", "customers")]) as made:
            assert made.plan("SELECT * FROM customers WHERE id = 5").indexes == {"customers_pkey"}
            with pytest.raises(PlanError, match="does not exist"):
                made.plan("SELECT * FROM orders")
        with (
            pytest.raises(NotMeasuredError, match=r"public\.orders: GRANT pg_read_all_data TO"),
            Twin.of(source, [("public", "customers"), ("public", "orders")]),
        ):
            pass


def test_a_locked_table_is_waited_for_no_longer_than_moments(server: Database) -> None:
    with psycopg.connect(server.admin) as blocker, session(server.analysis) as source:
        blocker.execute("LOCK TABLE secrets IN ACCESS EXCLUSIVE MODE")
        start = time.monotonic()
        with pytest.raises(NotMeasuredError, match="could not be"), Twin.of(source, [("public", "secrets")]):
            pass
        assert time.monotonic() - start < 10


HOLDER = """
import os, sys, time
from tasks.components.database.advisor.twin import Twin
from tests.advisor_sales import session

with session(os.environ["SOURCE_URL"]) as source, Twin.of(source, [("public", "secrets")]):
    print("ready", flush=True)
    time.sleep(600)
"""


def test_its_files_are_private_and_gone_when_the_owner_is_killed(server: Database, tmp_path: Path) -> None:
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "SOURCE_URL": server.analysis}
    root = Path(__file__).resolve().parents[2]
    command = (sys.executable, "-c", HOLDER)
    with subprocess.Popen(command, env=env, cwd=root, stdout=subprocess.PIPE) as owner:
        try:
            assert owner.stdout is not None
            assert owner.stdout.readline() == b"ready\n"
            (folder,) = (tmp_path / "hasivu-perf" / "scratch").iterdir()
            paths = [folder, *folder.rglob("*")]
            assert [path for path in paths if path.stat().st_mode & 0o077] == []
            logs = b"".join(path.read_bytes() for path in (folder / "logs").iterdir())
            assert b"canary" not in logs
        finally:
            owner.send_signal(signal.SIGKILL)
    until = time.monotonic() + 10
    while folder.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not folder.exists()


@pytest.mark.system
@needs_debian_15
def test_a_twin_of_postgresql_15_plans_as_it_does(tmp_path: Path) -> None:
    with database(tmp_path, binaries=DEBIAN_15) as started:
        started.run(*SCHEMA)
        with session(started.analysis) as source, Twin.of(source) as made:
            assert made.notes == ("the source is PostgreSQL 15; the twin plans as 18 does",)
            assert made.skipped == {}
            plain = {name: text for name, text in STATEMENTS.items() if "$1" not in text}
            agreed = 0
            with psycopg.connect(started.admin, autocommit=True) as real:
                before = {name: shape(made.plan(text).root) for name, text in plain.items()}
                agreed += sum(before[name] == shape(real_plan(real, text)) for name, text in plain.items())
                for one in INDEXES:
                    made.add(one)
                    real.execute(one.definition().encode())
                real.execute("ANALYZE customers")
                after = {name: shape(made.plan(text).root) for name, text in plain.items()}
                agreed += sum(after[name] == shape(real_plan(real, text)) for name, text in plain.items())
    tell(f"plans that agree across versions: {agreed} of {2 * len(plain)}")
    assert agreed >= 2 * len(plain) - 4  # 16 and newer can do an anti join by hashing the other side


@pytest.mark.system
@needs_pgbouncer
def test_a_pooler_is_refused_before_anything_is_dumped(server: Database, tmp_path: Path) -> None:
    with (
        bouncer(server.guardian, f"postgresql://poor:poor@127.0.0.1:{server.server.port}/hasivu", tmp_path) as url,
        session(url) as source,
        pytest.raises(NotMeasuredError, match="is a connection pooler"),
        Twin.of(source),
    ):
        pass
