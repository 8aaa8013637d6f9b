"""The documented role: what it may do, what it may not, and what is missed without each of its rights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from deployments.config import build_config
from tasks import guard
from tasks.components.database import DATABASE
from tests.database_runs import config, measured, target
from tests.databases import DEBIAN_15, Database, database, needs_debian_15

SCRIPT = Path(__file__).parents[2] / "docs/examples/database-role.sql"
SCHEMA = (
    "CREATE TABLE visits (id bigserial PRIMARY KEY, child integer, at timestamptz)",
    "INSERT INTO visits (child, at) SELECT n % 500, now() - n * interval '1 minute' FROM generate_series(1, 30000) n",
    "VACUUM ANALYZE",
)
ASKED = config("SELECT id FROM visits WHERE child = 7 ORDER BY at DESC LIMIT 20", seconds=2, advice=True, pool_size=5)


def role_url(server: Database) -> str:
    server.run(*[part for part in statements() if part], "ALTER ROLE hasivu_perf PASSWORD 'a-secret'")
    return f"postgresql://hasivu_perf:a-secret@127.0.0.1:{server.server.port}/hasivu"


def statements() -> list[str]:
    """The script's statements; on a server of a test the platform's own role of that name goes first."""
    lines = [line for line in SCRIPT.read_text(encoding="utf-8").splitlines() if not line.startswith("--")]
    return ["DROP ROLE hasivu_perf", *(part.strip() for part in " ".join(lines).split(";"))]


def problems(url: str) -> dict[str, str]:
    return {check.name: check.remedy for check in DATABASE.check(ASKED, target(url)) if not check.ok}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with database(tmp_path_factory.mktemp("rights")) as started:
        started.run(*SCHEMA)
        yield started


def test_the_documented_role_sees_all_and_writes_nothing(server: Database) -> None:
    url = role_url(server)
    assert problems(url) == {}
    seen = measured(ASKED, target(url))
    assert seen.notes("GRANT", "could not") == []
    assert seen.facts["advice_problem"] == ""
    assert len(seen.rows("advice")) == 1
    assert {name for name in DATABASE.metrics if seen.values[name] is None} == set()
    with psycopg.connect(url, autocommit=True) as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("INSERT INTO visits (child) VALUES (1)")
    with psycopg.connect(url, autocommit=True) as connection:  # it may lift the default, and still has no right
        connection.execute("SET default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("INSERT INTO visits (child) VALUES (1)")


def test_without_the_right_to_read_rows_the_rest_is_measured(server: Database) -> None:
    url = role_url(server)
    server.run("REVOKE pg_read_all_data FROM hasivu_perf")
    assert problems(url) == {"tables": 'GRANT pg_read_all_data TO "hasivu_perf";'}
    seen = measured(ASKED, target(url))
    (note,) = seen.notes("may not read 1 of 1 tables")
    assert "index advice are missing" in note
    assert seen.facts["advice_problem"]
    assert seen.values["database.query.p95"] is None  # its read was refused
    assert seen.values["database.errors.ratio"] == 1.0
    assert seen.values["database.connections.utilisation"] is not None


NEEDED = {
    "GRANT pg_monitor": ("REVOKE pg_monitor FROM hasivu_perf", "pg_monitor", 'GRANT pg_monitor TO "hasivu_perf";'),
    "GRANT pg_read_all_data": (
        "REVOKE pg_read_all_data FROM hasivu_perf",
        "tables",
        'GRANT pg_read_all_data TO "hasivu_perf";',
    ),
    "CREATE EXTENSION": ("DROP EXTENSION pg_stat_statements", "pg_stat_statements", "CREATE EXTENSION IF NOT EXISTS"),
    "LOGIN": ("ALTER ROLE hasivu_perf NOLOGIN", "connection", 'ALTER ROLE "hasivu_perf" LOGIN;'),
    "CONNECT": (
        "REVOKE CONNECT ON DATABASE hasivu FROM PUBLIC, hasivu_perf",
        "connection",
        'GRANT CONNECT ON DATABASE "hasivu" TO "hasivu_perf";',
    ),
}


@pytest.mark.parametrize(("taken", "missing", "remedy"), NEEDED.values(), ids=NEEDED)
def test_each_line_of_the_script_is_needed(server: Database, taken: str, missing: str, remedy: str) -> None:
    url = role_url(server)
    assert problems(url) == {}
    try:
        server.run(taken)
        found = problems(url)
        assert remedy in found[missing]
        assert set(found) <= {missing, "pg_read_all_stats"}, "nothing else is missing"
    finally:
        server.run("GRANT CONNECT ON DATABASE hasivu TO PUBLIC", "CREATE EXTENSION IF NOT EXISTS pg_stat_statements")


def test_the_script_s_role_is_no_more_than_production_lets_in(server: Database) -> None:
    assert guard.notes_of(DATABASE, build_config("production"), target(role_url(server))) == ()


@pytest.mark.system
@needs_debian_15
def test_the_script_serves_postgresql_15_as_well(tmp_path: Path) -> None:
    with database(tmp_path, binaries=DEBIAN_15) as started:
        started.run(*SCHEMA)
        assert problems(role_url(started)) == {}
