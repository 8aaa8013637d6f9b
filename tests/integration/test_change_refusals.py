"""Servers, roles, tables and moments that a change refuses, each in one line; replicas and poolers too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from storage.errors import NotMeasuredError, TargetUnreachableError
from tasks.components.database.change.records import State
from tests.bouncers import bouncer, needs_pgbouncer
from tests.changing import GOOD, Change, held, indexes, plan, prepare, replica_of, row
from tests.databases import Database, database


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with database(tmp_path_factory.mktemp("pg18")) as started:
        prepare(started)
        yield started


@pytest.fixture
def change(server: Database, tmp_path: Path) -> Iterator[Change]:
    yield Change(server.application, tmp_path)
    assert indexes(server) == {}


@pytest.fixture(scope="module")
def replica(server: Database) -> Iterator[str]:
    with replica_of(server) as url:
        yield url


def refused(change: Change, *rows: dict[str, str], **settings: object) -> str:
    entry = change.one(plan(*rows or (row(*GOOD),)), **settings)
    assert entry.state is State.FAILED
    assert entry.words.startswith("not begun: ")
    assert "\n" not in entry.words
    return entry.words


def other(server: Database, role: str) -> str:
    return f"postgresql://{role}:x@127.0.0.1:{server.server.port}/hasivu"


def test_a_role_that_does_not_own_the_table(server: Database, tmp_path: Path) -> None:
    server.run("CREATE ROLE guest LOGIN PASSWORD 'x'", "GRANT SELECT ON orders TO guest", "GRANT pg_monitor TO guest")
    words = refused(Change(other(server, "guest"), tmp_path))
    assert "role guest does not own public.orders: GRANT" in words


def test_a_role_that_cannot_see_others(server: Database, tmp_path: Path) -> None:
    server.run("CREATE ROLE blind LOGIN PASSWORD 'x'", "GRANT hasivu_app TO blind WITH INHERIT TRUE")
    server.run("REVOKE pg_monitor FROM hasivu_app")
    try:
        words = refused(Change(other(server, "blind"), tmp_path))
    finally:
        server.run("GRANT pg_monitor TO hasivu_app")
    assert "GRANT pg_monitor TO blind" in words


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("public.parted (id)", "is partitioned: CREATE INDEX CONCURRENTLY cannot be used"),
        ("public.missing (id)", "table public.missing does not exist"),
    ],
)
def test_tables_that_cannot_have_it(change: Change, what: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.changing.TABLES", ("public.parted", "public.missing"))
    assert words in refused(change, row("hasivu_perf_x", what))


def test_a_name_that_is_taken(server: Database, change: Change) -> None:
    server.run("CREATE TABLE hasivu_perf_customer ()")
    try:
        assert "is taken by something else" in refused(change)
    finally:
        server.run("DROP TABLE hasivu_perf_customer")


def test_an_older_transaction_is_named(server: Database, change: Change) -> None:
    with held(server.application, "SELECT pg_sleep(0.6) FROM (SELECT FROM orders LIMIT 1) o"):
        words = refused(change, transaction_age_s=0.5)
    assert "forgotten" in words
    assert "end it, or allow it by transaction_age_s" in words


def test_a_table_that_is_held_is_named(server: Database, change: Change, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.components.database.change.steps.PATIENCE_S", 0.6)
    with held(server.application, "LOCK TABLE orders IN SHARE UPDATE EXCLUSIVE MODE"):
        words = refused(change, transaction_age_s=60)
    assert "the table is held by process" in words
    assert any("waiting for it" in text for text in change.said)


def test_a_disk_that_is_too_small(change: Change) -> None:
    assert "MB of disk are free" in refused(change, free_disk_mb=0.1)


def test_a_database_without_statistics_of_statements_is_changed_by_replays(server: Database, tmp_path: Path) -> None:
    server.run("DROP EXTENSION pg_stat_statements")
    try:
        entry = Change(server.application, tmp_path).one(plan(row(*GOOD)), window_s=0.2)
    finally:
        server.run("CREATE EXTENSION pg_stat_statements")
    assert entry.state is State.UNDONE
    assert entry.before is not None
    assert any("pg_stat_statements" in note for note in entry.before.notes)


def test_a_dead_server_and_a_wrong_password(server: Database, tmp_path: Path) -> None:
    with pytest.raises(TargetUnreachableError, match="lets hasivu_app not in"):
        Change(f"postgresql://hasivu_app:wrong@127.0.0.1:{server.server.port}/hasivu", tmp_path).run(plan())


@pytest.mark.system
@needs_pgbouncer
def test_a_pooler_is_refused_in_one_line(server: Database, tmp_path: Path) -> None:
    server.run("CREATE ROLE pooled LOGIN PASSWORD 'x'")
    with (
        bouncer(server.guardian, other(server, "pooled"), tmp_path) as url,
        pytest.raises(NotMeasuredError, match="is a connection pooler: changes need a direct address"),
    ):
        Change(url, tmp_path).run(plan(row(*GOOD)))


def test_a_replica_is_refused_in_one_line(server: Database, tmp_path: Path, replica: str) -> None:
    with pytest.raises(NotMeasuredError, match="is a read-only replica: give the address of its primary"):
        Change(replica, tmp_path).run(plan(row(*GOOD)))


def test_a_replica_that_is_behind_stops_a_build(server: Database, change: Change, replica: str) -> None:
    port = replica.rpartition(":")[2].partition("/")[0]
    admin = server.admin.replace(f":{server.server.port}/", f":{port}/")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("SELECT pg_wal_replay_pause()")
        server.run("CREATE TABLE filler AS SELECT n, repeat('x', 500) FROM generate_series(1, 20000) n")
        try:
            words = refused(change, replica_lag_mb=1)
        finally:
            connection.execute("SELECT pg_wal_replay_resume()")
    assert "a replica is" in words
