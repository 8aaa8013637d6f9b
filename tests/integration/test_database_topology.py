"""A server behind others: a replica, its primary, and PgBouncer's queue before its pool."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tasks.components.database import DATABASE
from tests.bouncers import bouncer, needs_pgbouncer
from tests.database_runs import Outcome, config, measured, target
from tests.databases import Database, database
from tests.replicas import replica, wait_for

SCHEMA = (
    "CREATE EXTENSION pg_stat_statements",
    "CREATE TABLE visits (id bigserial PRIMARY KEY, child integer, at timestamptz, note text)",
    """INSERT INTO visits (child, at, note)
    SELECT n % 500, now() - n * interval '1 minute', repeat('x', 60) FROM generate_series(1, 30000) n""",
    "CREATE INDEX visits_note ON visits (note, at)",
    "GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC",
    "CREATE ROLE poor LOGIN PASSWORD 'poor'",
    "VACUUM ANALYZE",
)
READ = "SELECT id, at FROM visits WHERE child = 7 ORDER BY at DESC LIMIT 20"


def run(url: str, *, seconds: float = 3, advice: bool = False, pooler: str | None = None) -> Outcome:
    asked = config(READ, seconds=seconds, advice=advice, pooler_variable="TEST_PGBOUNCER_URL")
    return measured(asked, target(url, pooler))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with database(tmp_path_factory.mktemp("primary")) as started:
        started.run(*SCHEMA)
        yield started


def test_a_replica_and_its_primary_each_have_a_clear_outcome(server: Database) -> None:
    with replica(server) as standby:
        wait_for(server, standby)
        of_replica = run(standby.analysis, advice=True)
        of_primary = run(server.analysis)
    known = of_replica.facts
    assert known["in_recovery"] == "true"
    assert of_replica.notes("could not be read") == []
    assert (known["advice_problem"], known["advice_how"]) == ("", "planner twin")
    assert {name for name in DATABASE.metrics if of_replica.values[name] is None} <= {"database.pool.utilisation"}
    unused = next(one for one in of_replica.findings if one.id == "database.unused_index:public.visits_note")
    assert "this replica counts its own scans only" in unused.detail
    assert any(one.kind == "missing_index" and "planner twin" in one.detail for one in of_replica.findings)
    (row,) = of_primary.rows("replicas")
    assert row["state"] == "streaming"
    assert row["lag_bytes"] >= 0
    assert of_primary.facts["in_recovery"] == "false"


@contextlib.contextmanager
def crowd(url: str, clients: int) -> Iterator[None]:
    """More clients at once than the pool has servers."""
    stop = threading.Event()

    def ask() -> None:
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
            while not stop.is_set():
                connection.execute("SELECT pg_sleep(0.3)")

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.system
@needs_pgbouncer
def test_the_queue_before_a_pool_is_seen_at_the_console(server: Database, tmp_path: Path) -> None:
    poor = f"postgresql://poor:poor@127.0.0.1:{server.server.port}/hasivu"
    with bouncer(server.guardian, poor, tmp_path) as url:
        console = url.rpartition("/")[0] + "/pgbouncer"
        with crowd(url, 9):
            seen = run(server.analysis, seconds=7, pooler=console)
    rows = seen.rows("pools")
    assert {(row["pool"], row["user"], row["mode"], row["size"]) for row in rows} == {
        ("hasivu", "poor", "transaction", 3)
    }
    assert max(row["clients_waiting"] for row in rows) >= 3
    assert any(one.metric == "database.pooler.utilisation" and one.value == 1.0 for one in seen.figures)
    (queue,) = [one for one in seen.findings if one.kind == "pooler_queue"]
    assert "up to 3 of 3 servers worked" in queue.detail
    assert queue.evidence


def test_a_console_that_does_not_answer_is_a_note(server: Database) -> None:
    seen = run(server.analysis, seconds=1, pooler="postgresql://a:s3cr3tw0rd@127.0.0.1:1/pgbouncer")
    (note,) = seen.notes("PgBouncer")
    assert "TEST_PGBOUNCER_URL" in note
    assert "s3cr3tw0rd" not in note
    assert seen.rows("pools") == []
