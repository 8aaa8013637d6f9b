"""The Python API where the server is no plain primary with all rights: each way there is a clear outcome."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.errors import HasivuError, NotMeasuredError, TargetUnreachableError
from tasks.components.database.change.records import Outcome, State
from tasks.database_service import DatabasePerformanceService, PerformanceMetrics
from tests.behind import behind
from tests.bouncers import bouncer, needs_pgbouncer
from tests.changing import GOOD, OF_CUSTOMER, OF_TAGS, advice, busy, indexes, prepare, write_environments
from tests.databases import Database, database
from tests.replicas import replica, wait_for

ROLES = (
    "CREATE ROLE poor LOGIN PASSWORD 'poor-canary'",
    "CREATE ROLE pooled LOGIN PASSWORD 'pooled-canary' IN ROLE pg_monitor",
    "GRANT SELECT ON ALL TABLES IN SCHEMA public TO poor, pooled",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """The shop, in which somebody works."""
    with database(tmp_path_factory.mktemp("places")) as started:
        prepare(started)
        started.run(*ROLES)
        with busy(started.application, OF_CUSTOMER, OF_TAGS):
            yield started


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_environments(tmp_path)
    monkeypatch.setenv("HASIVU_PERF_ENVIRONMENTS", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def by(server: Database, role: str) -> str:
    return f"postgresql://{role}:{role}-canary@127.0.0.1:{server.server.port}/hasivu"


def service(dsn: str) -> DatabasePerformanceService:
    return DatabasePerformanceService("development", dsn=dsn)


def measured(dsn: str) -> PerformanceMetrics:
    return service(dsn).get_performance_metrics(2)


def table(found: PerformanceMetrics, name: str) -> int | None:
    (one,) = [one for one in found.table_metrics if one.name == name]
    return one.queries


def test_a_replica_is_measured_and_advised_by_its_own_reads_and_never_changed(server: Database) -> None:
    with replica(server) as standby:
        wait_for(server, standby)
        with busy(standby.application, OF_CUSTOMER):
            time.sleep(1)
            found = measured(standby.application)
            told = service(standby.application).get_optimization_recommendations(rehearse="never")
            with pytest.raises(NotMeasuredError, match="is a read-only replica: give the address of its primary"):
                service(standby.application).apply_automatic_optimizations(advice(*GOOD))
    assert found.value("database.query.p95") is not None
    assert (table(found, "orders") or 0) > 0
    assert table(found, "tags") == 0, "the replica counts its own statements"
    assert any("(customer)" in one.sql for one in told.recommendations)
    assert indexes(server) == {}


@pytest.mark.system
@needs_pgbouncer
def test_behind_pgbouncer_it_is_measured_and_the_rest_asks_for_a_direct_address(
    server: Database, tmp_path: Path
) -> None:
    with bouncer(server.guardian, by(server, "pooled"), tmp_path) as url:
        found = measured(url)
        with pytest.raises(NotMeasuredError, match="needs a direct address of PostgreSQL"):
            service(url).get_optimization_recommendations()
        with pytest.raises(NotMeasuredError, match="changes need a direct address of PostgreSQL"):
            service(url).apply_automatic_optimizations(advice(*GOOD))
    assert found.value("database.query.p95") is not None
    assert (table(found, "orders") or 0) > 0


def test_what_a_role_may_not_see_is_none_and_no_advice_is_made_of_it(server: Database) -> None:
    found = measured(by(server, "poor"))
    assert table(found, "orders") is None, "not 0: the statements of others are hidden"
    assert any('GRANT pg_monitor TO "poor"' in note for note in found.notes)
    with pytest.raises(NotMeasuredError, match='hidden from role poor: GRANT pg_read_all_stats TO "poor"'):
        service(by(server, "poor")).get_optimization_recommendations()
    outcome: Outcome = service(by(server, "poor")).apply_automatic_optimizations(advice(*GOOD))
    assert [entry.state for entry in outcome.entries] == [State.FAILED]
    assert "does not own public.orders" in outcome.entries[0].words
    assert indexes(server) == {}


def test_its_own_statements_are_advised_on_and_the_hidden_ones_are_named(server: Database) -> None:
    with busy(by(server, "poor"), OF_CUSTOMER):
        time.sleep(1)
    told = service(by(server, "poor")).get_optimization_recommendations(rehearse="never")
    assert any("(customer)" in one.sql for one in told.recommendations)
    assert any("hidden from role poor" in note for note in told.notes)


def test_without_statistics_of_statements_tables_are_counted_by_their_scans(tmp_path: Path) -> None:
    with database(tmp_path) as bare:
        bare.run("CREATE TABLE t AS SELECT n FROM generate_series(1, 500) n", url=bare.application)
        found = measured(bare.application)
        with pytest.raises(NotMeasuredError, match="CREATE EXTENSION pg_stat_statements"):
            service(bare.application).get_optimization_recommendations()
    assert table(found, "t") is None
    assert any("CREATE EXTENSION pg_stat_statements" in note for note in found.notes)


def test_a_server_that_is_lost_amid_the_window_or_never_there_is_named(tmp_path: Path) -> None:
    with database(tmp_path) as lost:
        prepare(lost)

        def lose(stop: threading.Event) -> None:
            stop.wait(1)
            lost.stop()

        with behind(lose), pytest.raises(HasivuError) as told:
            service(lost.application).get_performance_metrics(6)
    assert f"127.0.0.1:{lost.server.port}" in str(told.value)
    for ask in (measured, lambda dsn: service(dsn).get_optimization_recommendations()):
        with pytest.raises(TargetUnreachableError, match="does not answer") as dead:
            ask("postgresql://a:s3cr3tw0rd@127.0.0.1:1/x")
        assert "s3cr3tw0rd" not in str(dead.value)
