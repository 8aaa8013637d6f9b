"""What the database component says of servers that are dead, slow, hostile, poor in rights, or old."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from deployments.config import IndexAdviceSettings, ReadStatement, RunConfig, Target, build_config
from storage.errors import NotMeasuredError, TargetUnreachableError
from storage.records import Finding, Measurement
from tasks.components.base import CollectContext, Progress, Samples
from tasks.components.database import DATABASE
from tasks.load.database import session as database_session
from tasks.load.database.session import QueryError, Session, Watchdog, parse
from tests.behind import Connection, asking
from tests.bouncers import bouncer, needs_pgbouncer
from tests.databases import DEBIAN_15, Database, database, needs_debian_15
from tests.sinks import Sink

CANARY = "c4n%40ry%2Fp%3Ass"
NO_ADVICE = IndexAdviceSettings(enabled=False)
READS = (
    ReadStatement(name="history", sql="SELECT * FROM visits WHERE child = 7 ORDER BY at DESC LIMIT 20"),
    ReadStatement(name="one", sql="SELECT 1"),
)
SCHEMA = (
    "CREATE EXTENSION pg_stat_statements",
    "CREATE TABLE children (id integer PRIMARY KEY, name text)",
    "CREATE TABLE visits (id bigserial PRIMARY KEY, child integer REFERENCES children, at timestamptz, note text)",
    "INSERT INTO children SELECT n, 'child ' || n FROM generate_series(1, 500) n",
    """INSERT INTO visits (child, at, note)
    SELECT n % 500 + 1, now() - n * interval '1 minute', repeat('x', 60) FROM generate_series(1, 40000) n""",
    "GRANT SELECT ON ALL TABLES IN SCHEMA public TO PUBLIC",
    "CREATE ROLE poor LOGIN PASSWORD 'poor'",
    "VACUUM ANALYZE",
)


def config(*, seconds: float = 3, **database_settings: Any) -> RunConfig:
    """Development with reads of our own, without the application's name; plans alone tell of missing indexes."""
    built = build_config("development", overrides={"duration_s": str(seconds), "ramp_up_s": "0"})
    settings: dict[str, Any] = {
        "statements": READS,
        "values": {},
        "application": None,
        "pool_size": None,
        "advice": NO_ADVICE,
    }
    settings |= database_settings
    changed = built.environment.database.model_copy(update=settings)
    return built.model_copy(update={"environment": built.environment.model_copy(update={"database": changed})})


def target(url: str) -> Target:
    return Target(database_url=SecretStr(url), local=True)


def measured(
    config: RunConfig, url: str, progress: Callable[[Progress], None] = lambda _: None
) -> tuple[Samples, list[Measurement], list[Finding]]:
    sink = Sink()
    collected = DATABASE.collect(CollectContext(config, target(url), sink, progress))
    samples = Samples(tables=sink, collected=collected)
    measurements = DATABASE.measure(samples, config)
    return samples, measurements, DATABASE.advise(samples, measurements, config)


def value(measurements: list[Measurement], metric: str, **labels: str) -> Measurement:
    return next(m for m in measurements if m.metric == metric and dict(m.labels) == labels)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with database(tmp_path_factory.mktemp("pg18")) as started:
        started.run(*SCHEMA)
        yield started


def poor(server: Database) -> str:
    return f"postgresql://poor:poor@127.0.0.1:{server.server.port}/hasivu"


# --- no server, or one that does not answer ---


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_a_dead_server_is_named_without_the_password(closed_port: int) -> None:
    url = f"postgresql://app:{CANARY}@127.0.0.1:{closed_port}/meals"
    with pytest.raises(TargetUnreachableError) as caught:
        measured(config(), url)
    text = str(caught.value)
    assert f"127.0.0.1:{closed_port}/meals" in text
    assert "\n" not in text
    assert "c4n" not in text
    (check,) = DATABASE.check(config(), target(url))
    assert not check.ok
    assert "DEVELOPMENT_DATABASE_URL" in check.remedy
    assert "c4n" not in check.detail


def test_a_missing_address_names_its_variable() -> None:
    with pytest.raises(NotMeasuredError, match="DEVELOPMENT_DATABASE_URL is not set"):
        DATABASE.collect(CollectContext(config(), Target(), Sink()))


def test_a_wrong_password_is_said_so_and_not_shown(server: Database) -> None:
    url = f"postgresql://poor:{CANARY}@127.0.0.1:{server.server.port}/hasivu"
    with pytest.raises(TargetUnreachableError, match="lets poor not in") as caught:
        measured(config(), url)
    assert "c4n" not in str(caught.value)


def test_a_server_that_refuses_is_not_called_dead(server: Database) -> None:
    url = f"postgresql://poor:poor@127.0.0.1:{server.server.port}/nowhere"
    with pytest.raises(TargetUnreachableError, match='refuses the connection: database "nowhere" does not exist'):
        measured(config(), url)


@contextlib.contextmanager
def hostile(answer: bytes, *, every_s: float) -> Iterator[int]:
    """A server that sends one byte after the other, for ever."""
    stop = threading.Event()

    def serve(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not stop.is_set():
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    while not stop.wait(every_s):
                        connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            stop.set()
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize("answer", [b"", b"N"], ids=["silent", "trickling"])
def test_a_server_that_never_ends_its_handshake_is_given_up(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_session, "CONNECT_S", 1.5)
    begin = time.monotonic()
    with hostile(answer, every_s=0.1) as port, pytest.raises(TargetUnreachableError):
        measured(config(), f"postgresql://app:x@127.0.0.1:{port}/meals")
    assert time.monotonic() - begin < 6


def test_a_statement_is_cut_off_where_the_server_keeps_no_time_out(server: Database) -> None:
    """The client's own deadline: here the role may lift the server's time-out."""
    watchdog = Watchdog()
    try:
        with Session(parse(server.analysis, "X"), watchdog, timeout_ms=300) as session:
            session.run("SET statement_timeout = 0")
            begin = time.monotonic()
            with pytest.raises(QueryError) as caught:
                session.query("SELECT pg_sleep(30)")
            assert caught.value.kind == "timeout"
            assert time.monotonic() - begin < 3
            assert not session.alive
    finally:
        watchdog.close()


def test_sessions_cannot_write(server: Database) -> None:
    watchdog = Watchdog()
    try:
        with Session(parse(server.application, "X"), watchdog, timeout_ms=2000) as session:
            with pytest.raises(QueryError) as caught:
                session.run("CREATE TABLE forbidden ()")
            assert (caught.value.kind, caught.value.state) == ("refused", "25006")
    finally:
        watchdog.close()


# --- reads that fail ---


def test_slow_reads_count_as_time_outs_and_stay_in_the_percentiles(server: Database) -> None:
    reads = (ReadStatement(name="slow", sql="SELECT pg_sleep(20)"),)
    samples, measurements, _ = measured(
        config(seconds=2, statements=reads, statement_timeout_ms=200, read_rate=5), server.analysis
    )
    load = samples.collected.load
    assert load is not None
    assert load.errors == {"timeout": load.sent}
    assert load.planned == 10 == load.sent + load.unsent
    p95 = value(measurements, "database.query.p95")
    assert p95.value is not None
    assert p95.value >= 200
    assert "timed out" in p95.note
    assert value(measurements, "database.errors.ratio").value == 1.0
    assert any("statement timeout" in note for note in samples.collected.notes)


def test_a_read_that_is_wrong_is_answered_and_failed(server: Database) -> None:
    reads = (ReadStatement(name="wrong", sql="SELECT nothing FROM nowhere"), READS[1])
    samples, measurements, _ = measured(config(statements=reads), server.analysis)
    load = samples.collected.load
    assert load is not None
    assert load.answered == load.sent
    assert 0 < load.failed < load.sent
    assert value(measurements, "database.errors.ratio", statement="wrong").value == 1.0
    assert value(measurements, "database.errors.ratio", statement="one").value == 0.0
    assert value(measurements, "database.query.p95", statement="wrong").value is None


def test_a_server_that_dies_in_the_window_is_measured_by_its_errors(tmp_path: Path) -> None:
    with database(tmp_path) as started:
        started.run(*SCHEMA)

        def die(progress: Progress) -> None:
            if progress.elapsed_s >= 2:
                started.stop()

        # The limit for errors is lifted: here the load must not stop by itself.
        lifted = config(seconds=6, read_rate=5)
        load_limits = lifted.environment.load.model_copy(update={"abort_error_ratio": 1.0})
        lifted = lifted.model_copy(
            update={"environment": lifted.environment.model_copy(update={"load": load_limits})}
        )
        samples, measurements, _ = measured(lifted, started.analysis, die)
    load = samples.collected.load
    assert load is not None
    assert load.answered > 0
    assert sum(load.errors.values()) > 0
    assert set(load.errors) <= {"closed", "connect"}
    ratio = value(measurements, "database.errors.ratio").value
    assert ratio is not None
    assert 0 < ratio < 1
    assert value(measurements, "database.cache.hits_ratio").value is None
    assert any("does not answer" in note for note in samples.collected.notes)


def test_reads_that_keep_failing_are_stopped(server: Database) -> None:
    limited = config(seconds=8, statements=(ReadStatement(name="wrong", sql="SELECT nothing"),))
    load_limits = limited.environment.load.model_copy(update={"abort_after_s": 2.0})
    limited = limited.model_copy(update={"environment": limited.environment.model_copy(update={"load": load_limits})})
    samples, _, _ = measured(limited, server.analysis)
    load = samples.collected.load
    assert load is not None
    assert load.unsent > 0
    assert load.planned == 80
    assert any("stopped" in reason for reason in load.reasons)


# --- rights, extensions, versions ---


def test_a_role_without_rights_says_what_is_missing(server: Database) -> None:
    samples, measurements, _ = measured(config(), poor(server))
    assert any("GRANT pg_monitor TO" in note for note in samples.collected.notes)
    assert value(measurements, "database.pool.utilisation").value is None
    assert "GRANT pg_monitor" in value(measurements, "database.pool.utilisation").note
    assert value(measurements, "database.idle_in_transaction.count").value is None
    assert value(measurements, "database.query.p95").value is not None
    assert value(measurements, "database.connections.utilisation").value is not None
    checks = {check.name: check for check in DATABASE.check(config(), target(poor(server)))}
    assert checks["pg_monitor"].remedy == 'GRANT pg_monitor TO "poor";'
    assert checks["connection"].ok


def test_without_pg_stat_statements_the_rest_is_measured(tmp_path: Path) -> None:
    with database(tmp_path) as started:
        started.run(*SCHEMA[1:])
        samples, measurements, findings = measured(config(), started.analysis)
        checks = {check.name: check for check in DATABASE.check(config(), target(started.analysis))}
    assert any("CREATE EXTENSION pg_stat_statements" in note for note in samples.collected.notes)
    assert "CREATE EXTENSION" in checks["pg_stat_statements"].remedy
    assert value(measurements, "database.query.p95").value is not None
    assert not [m for m in measurements if m.metric.startswith("database.statement.")]
    assert "database.unindexed_foreign_key:public.visits(child)" in {finding.id for finding in findings}


def of_a_child(connection: Connection, number: int) -> None:
    sql = "SELECT id, note FROM visits WHERE child = %s ORDER BY at DESC LIMIT %s"
    connection.execute(sql, (number % 500 + 1, 10)).fetchall()


def assert_index_found(findings: list[Finding]) -> None:
    (found,) = [finding for finding in findings if finding.kind == "missing_index"]
    assert found.remedy.commands == (
        "CREATE INDEX CONCURRENTLY visits_child_at_idx ON public.visits (child, at DESC);",
    )


def test_the_missing_index_is_found_from_generic_plans(server: Database) -> None:
    with asking(server.application, of_a_child):
        samples, measurements, findings = measured(config(application="meals"), server.analysis)
    assert_index_found(findings)
    assert {row["how"] for row in samples.tables["plans"].to_pylist()} == {"GENERIC_PLAN", "VALUES"}
    assert value(measurements, "database.pool.utilisation").value is not None


@pytest.mark.system
@needs_debian_15
def test_postgresql_15_gives_the_same_advice_by_prepared_plans(tmp_path: Path) -> None:
    with database(tmp_path, binaries=DEBIAN_15) as started:
        started.run(*SCHEMA)
        with asking(started.application, of_a_child):
            samples, measurements, findings = measured(config(application="meals"), started.analysis)
    assert samples.collected.fingerprint["server"].startswith("15.")
    assert_index_found(findings)
    assert "PREPARE" in {row["how"] for row in samples.tables["plans"].to_pylist()}
    assert {m.metric for m in measurements if not m.labels and m.value is not None} >= DATABASE.metrics
    assert [note for note in samples.collected.notes if "could not be read" in note] == []


@pytest.mark.system
@needs_pgbouncer
def test_behind_pgbouncer_in_transaction_mode_nothing_leaks_to_other_clients(
    server: Database, tmp_path: Path
) -> None:
    with bouncer(server.guardian, poor(server), tmp_path) as url:
        samples, measurements, _ = measured(config(advice=IndexAdviceSettings(deadline_s=30)), url)
        with psycopg.connect(url, autocommit=True) as client:
            for name, untouched in (("default_transaction_read_only", "off"), ("statement_timeout", "0")):
                assert client.execute(f"SHOW {name}".encode()).fetchone() == (untouched,)
    facts = {row["name"]: row["value"] for row in samples.tables["facts"].to_pylist()}
    assert facts["pooler"] == "true"
    assert "needs a direct address" in facts["advice_problem"]
    assert samples.collected.load is not None
    assert samples.collected.load.failed == 0
    assert value(measurements, "database.query.p95").value is not None
    assert value(measurements, "database.connections.utilisation").value is not None
