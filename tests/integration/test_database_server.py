"""What a run says of a server with a replica, of the replica itself, and of the queue before PgBouncer's pool."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest
from pydantic import SecretStr

from deployments.config import IndexAdviceSettings, ReadStatement, RunConfig, Target, build_config
from storage.errors import NotMeasuredError
from storage.records import Finding, Measurement
from tasks.components.base import CollectContext, Samples
from tasks.components.database import DATABASE, index_advice
from tests.bouncers import bouncer, needs_pgbouncer
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
READ = ReadStatement(name="history", sql="SELECT id, at FROM visits WHERE child = 7 ORDER BY at DESC LIMIT 20")


class Sink(dict[str, pa.Table]):
    def write(self, name: str, table: pa.Table) -> None:
        self[name] = table


def config(*, seconds: float, advice: bool) -> RunConfig:
    built = build_config("development", overrides={"duration_s": str(seconds), "ramp_up_s": "0"})
    settings: dict[str, Any] = {
        "statements": (READ,),
        "values": {},
        "application": None,
        "pool_size": None,
        "sample_every_s": 0.25,
        "pooler_variable": "TEST_PGBOUNCER_URL",
        "advice": IndexAdviceSettings(enabled=advice, deadline_s=60),
    }
    changed = built.environment.database.model_copy(update=settings)
    return built.model_copy(update={"environment": built.environment.model_copy(update={"database": changed})})


def measured(
    url: str, *, seconds: float = 3, advice: bool = False, pooler: str | None = None
) -> tuple[Samples, list[Measurement], list[Finding]]:
    asked, sink = config(seconds=seconds, advice=advice), Sink()
    target = Target(database_url=SecretStr(url), pooler_url=None if pooler is None else SecretStr(pooler), local=True)
    samples = Samples(sink, DATABASE.collect(CollectContext(asked, target, sink)))
    measurements = DATABASE.measure(samples, asked)
    return samples, measurements, DATABASE.advise(samples, measurements, asked)


def facts(samples: Samples) -> dict[str, str]:
    return {row["name"]: row["value"] for row in samples.tables["facts"].to_pylist()}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with database(tmp_path_factory.mktemp("primary")) as started:
        started.run(*SCHEMA)
        yield started


def test_a_replica_and_its_primary_each_have_a_clear_outcome(server: Database) -> None:
    with replica(server) as standby:
        wait_for(server, standby)
        of_replica, figures, findings = measured(standby.analysis, advice=True)
        of_primary, _, _ = measured(server.analysis)
    known = facts(of_replica)
    assert known["in_recovery"] == "true"
    assert [note for note in of_replica.collected.notes if "could not be read" in note] == []
    assert (known["advice_problem"], known["advice_how"]) == ("", "planner twin")
    values = {one.metric: one.value for one in figures if not one.labels}
    assert {name for name in DATABASE.metrics if values[name] is None} <= {"database.pool.utilisation"}
    unused = next(one for one in findings if one.id == "database.unused_index:public.visits_note")
    assert "this replica counts its own scans only" in unused.detail
    assert any(one.kind == "missing_index" and "planner twin" in one.detail for one in findings)
    (row,) = of_primary.tables["replicas"].to_pylist()
    assert row["state"] == "streaming"
    assert row["lag_bytes"] >= 0
    assert facts(of_primary)["in_recovery"] == "false"


def test_what_the_server_did_in_the_window_is_counted(server: Database) -> None:
    stop = threading.Event()
    more = "INSERT INTO visits (child, note) SELECT n, repeat('y', 500) FROM generate_series(1, 2000) n"

    def write() -> None:
        with psycopg.connect(server.application, autocommit=True) as connection:
            connection.execute("SET work_mem = '64kB'")
            while not stop.is_set():
                connection.execute(more.encode())
                connection.execute("SELECT count(*) FROM (SELECT DISTINCT note, id FROM visits) t").fetchall()
                stop.wait(0.1)

    server.run("SELECT pg_create_physical_replication_slot('left_behind', true)")
    server.run("GRANT ALL ON SEQUENCE visits_id_seq TO PUBLIC")
    thread = threading.Thread(target=write)
    thread.start()
    try:
        samples, figures, findings = measured(server.analysis, seconds=4)
    finally:
        stop.set()
        thread.join()
        server.run("SELECT pg_drop_replication_slot('left_behind')")
    values = {(one.metric, *one.labels.values()): one.value or 0 for one in figures}
    assert values["database.wal.written",] > 2_000_000
    assert values["database.temp.written",] > 100_000
    assert values["database.table.growth", "public.visits"] > 1_000_000
    assert values["database.slot.retained", "left_behind"] > 0
    assert 0 < values["database.wraparound.transactions",] < 0.01
    assert sum(one.value or 0 for one in figures if one.metric == "database.wait.sessions") > 0
    assert samples.tables["gauges"].num_rows >= 2
    assert [one.id for one in findings if one.severity.value == "critical"] == []


def test_a_chain_of_waiting_sessions_is_told_from_its_root(server: Database) -> None:
    server.run("CREATE TABLE meals (id integer PRIMARY KEY)", "INSERT INTO meals VALUES (1), (2)")
    server.run("GRANT ALL ON meals TO PUBLIC")
    ready, stop = threading.Event(), threading.Event()

    def hold() -> None:
        with psycopg.connect(server.application, application_name="planner") as connection:
            connection.execute("DELETE FROM meals WHERE id = 1")
            ready.set()
            stop.wait(20)
            connection.rollback()

    def wait(name: str, *rows: int) -> None:
        with psycopg.connect(server.application, application_name=name) as connection:
            for row in rows:
                connection.execute("DELETE FROM meals WHERE id = %s", (row,))
            connection.rollback()

    threads = [threading.Thread(target=hold)]
    threads[0].start()
    assert ready.wait(10)
    for work in (("kitchen", 2, 1), ("counter", 2)):
        threads.append(threading.Thread(target=wait, args=work))
        threads[-1].start()
        time.sleep(0.3)
    try:
        _, figures, findings = measured(server.analysis, seconds=2)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    (chain,) = [one for one in findings if one.kind == "blocking"]
    assert chain.subject == "planner"
    order = [chain.detail.index(name) for name in ("planner (pid", "kitchen (pid", "counter (pid")]
    assert order == sorted(order)
    assert "public.meals (RowExclusiveLock)" in chain.detail
    assert next(one.value for one in figures if one.metric == "database.blocked.count") == 2


def test_an_interrupted_run_ends_the_advisor_and_its_scratch_server(
    server: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    beats = []

    def interrupted() -> None:
        beats.append(time.monotonic())
        if any((tmp_path / "hasivu-perf/scratch").glob("*/scratch/data")) or len(beats) > 20:
            raise NotMeasuredError("interrupted before it was measured")

    asked = [{"id": "1", "text": READ.sql, "calls": 1, "total_ms": 1.0}]
    with pytest.raises(NotMeasuredError, match="interrupted before"):
        index_advice.ask(config(seconds=1, advice=True), server.analysis, asked, local=True, alive=interrupted)
    assert time.monotonic() - beats[-1] < 5
    until = time.monotonic() + 10
    while any((tmp_path / "hasivu-perf/scratch").iterdir()) and time.monotonic() < until:
        time.sleep(0.1)
    assert list((tmp_path / "hasivu-perf/scratch").iterdir()) == []


def test_air_in_tables_and_indexes_is_estimated(server: Database) -> None:
    server.run(
        "CREATE TABLE airy (id bigint PRIMARY KEY, note text NOT NULL)",
        "CREATE TABLE dense (id bigint PRIMARY KEY, note text NOT NULL)",
        "INSERT INTO airy SELECT n, repeat('x', 100) FROM generate_series(1, 200000) n",
        "INSERT INTO dense SELECT n, repeat('x', 100) FROM generate_series(1, 60000) n",
        "CREATE INDEX airy_note ON airy (note, id)",
        "DELETE FROM airy WHERE id % 10 <> 0 AND id < 199999",
    )
    server.run("VACUUM (ANALYZE) airy, dense")
    _, figures, findings = measured(server.analysis, seconds=1)
    share = {one.labels["table"]: one.value or 0 for one in figures if one.metric == "database.table.bloat"}
    assert share["public.airy"] == pytest.approx(0.9, abs=0.05)
    assert share["public.dense"] < 0.1
    found = {one.id for one in findings if one.kind.startswith("bloated")}
    assert found == {"database.bloated_table:public.airy", "database.bloated_index:public.airy_note"}


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
            samples, figures, findings = measured(server.analysis, seconds=7, pooler=console)
    rows = samples.tables["pools"].to_pylist()
    assert {(row["pool"], row["user"], row["mode"], row["size"]) for row in rows} == {
        ("hasivu", "poor", "transaction", 3)
    }
    assert max(row["clients_waiting"] for row in rows) >= 3
    assert any(one.metric == "database.pooler.utilisation" and one.value == 1.0 for one in figures)
    (queue,) = [one for one in findings if one.kind == "pooler_queue"]
    assert "up to 3 of 3 servers worked" in queue.detail
    assert queue.evidence


def test_a_console_that_does_not_answer_is_a_note(server: Database) -> None:
    samples, _, _ = measured(server.analysis, seconds=1, pooler="postgresql://a:s3cr3tw0rd@127.0.0.1:1/pgbouncer")
    (note,) = [one for one in samples.collected.notes if "PgBouncer" in one]
    assert "TEST_PGBOUNCER_URL" in note
    assert "s3cr3tw0rd" not in note
    assert samples.tables["pools"].num_rows == 0
