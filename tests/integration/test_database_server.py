"""What a run sees of the whole server: what it wrote, who waits for whom, the air in its files; and how it ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from storage.errors import NotMeasuredError
from tasks.components.database import index_advice
from tests.behind import Connection, asking
from tests.database_runs import Outcome, config, measured, target
from tests.databases import Database, database

SCHEMA = (
    "CREATE EXTENSION pg_stat_statements",
    "CREATE TABLE visits (id bigserial PRIMARY KEY, child integer, at timestamptz, note text)",
    """INSERT INTO visits (child, at, note)
    SELECT n % 500, now() - n * interval '1 minute', repeat('x', 60) FROM generate_series(1, 30000) n""",
    "GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC",
    "VACUUM ANALYZE",
)
READ = "SELECT id, at FROM visits WHERE child = 7 ORDER BY at DESC LIMIT 20"


def run(server: Database, *, seconds: float = 3) -> Outcome:
    return measured(config(READ, seconds=seconds, sample_every_s=0.25), target(server.analysis))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with database(tmp_path_factory.mktemp("primary")) as started:
        started.run(*SCHEMA)
        yield started


def test_what_the_server_did_in_the_window_is_counted(server: Database) -> None:
    more = "INSERT INTO visits (child, note) SELECT n, repeat('y', 500) FROM generate_series(1, 2000) n"

    def write(connection: Connection, number: int) -> None:
        if number == 1:
            connection.execute("SET work_mem = '64kB'")
        connection.execute(more.encode())
        connection.execute("SELECT count(*) FROM (SELECT DISTINCT note, id FROM visits) t").fetchall()

    server.run("SELECT pg_create_physical_replication_slot('left_behind', true)")
    server.run("GRANT ALL ON SEQUENCE visits_id_seq TO PUBLIC")
    try:
        with asking(server.application, write, pause_s=0.1):
            seen = run(server, seconds=4)
    finally:
        server.run("SELECT pg_drop_replication_slot('left_behind')")
    values = {(one.metric, *one.labels.values()): one.value or 0 for one in seen.figures}
    assert values["database.wal.written",] > 2_000_000
    assert values["database.temp.written",] > 100_000
    assert values["database.table.growth", "public.visits"] > 1_000_000
    assert values["database.slot.retained", "left_behind"] > 0
    assert 0 < values["database.wraparound.transactions",] < 0.01
    assert len(seen.rows("gauges")) >= 2
    assert [one.id for one in seen.findings if one.severity.value == "critical"] == []


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
        seen = run(server, seconds=2)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    (chain,) = [one for one in seen.findings if one.kind == "blocking"]
    assert chain.subject == "planner"
    order = [chain.detail.index(name) for name in ("planner (pid", "kitchen (pid", "counter (pid")]
    assert order == sorted(order)
    assert "public.meals (RowExclusiveLock)" in chain.detail
    assert next(one.value for one in seen.figures if one.metric == "database.blocked.count") == 2
    waits = {one.labels["wait"]: one.value for one in seen.figures if one.metric == "database.wait.sessions"}
    assert sum(value or 0 for value in waits.values()) >= 1, waits


def test_an_interrupted_run_ends_the_advisor_and_its_scratch_server(
    server: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    beats = []

    def interrupted() -> None:
        beats.append(time.monotonic())
        if any((tmp_path / "hasivu-perf/scratch").glob("*/scratch/data")) or len(beats) > 20:
            raise NotMeasuredError("interrupted before it was measured")

    asked = [{"id": "1", "text": READ, "calls": 1, "total_ms": 1.0}]
    with pytest.raises(NotMeasuredError, match="interrupted before"):
        index_advice.ask(config(READ, seconds=1, advice=True), server.analysis, asked, local=True, alive=interrupted)
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
    seen = run(server, seconds=1)
    share = {one.labels["table"]: one.value or 0 for one in seen.figures if one.metric == "database.table.bloat"}
    assert share["public.airy"] == pytest.approx(0.9, abs=0.05)
    assert share["public.dense"] < 0.1
    found = {one.id for one in seen.findings if one.kind.startswith("bloated")}
    assert found == {"database.bloated_table:public.airy", "database.bloated_index:public.airy_note"}
