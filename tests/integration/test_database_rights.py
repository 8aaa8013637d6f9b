"""The documented role: what it may do, what it may not, and what is missed without each of its rights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
from pydantic import SecretStr

from deployments.config import IndexAdviceSettings, ReadStatement, RunConfig, Target, build_config
from storage.records import Measurement
from tasks.components.base import CollectContext, Samples
from tasks.components.database import DATABASE
from tests.databases import DEBIAN_15, Database, database, needs_debian_15

SCRIPT = Path(__file__).parents[2] / "docs/examples/database-role.sql"
SCHEMA = (
    "CREATE TABLE visits (id bigserial PRIMARY KEY, child integer, at timestamptz)",
    "INSERT INTO visits (child, at) SELECT n % 500, now() - n * interval '1 minute' FROM generate_series(1, 30000) n",
    "VACUUM ANALYZE",
)
READ = ReadStatement(name="history", sql="SELECT id FROM visits WHERE child = 7 ORDER BY at DESC LIMIT 20")


class Sink(dict[str, pa.Table]):
    def write(self, name: str, table: pa.Table) -> None:
        self[name] = table


def config() -> RunConfig:
    built = build_config("development", overrides={"duration_s": "2", "ramp_up_s": "0"})
    changed = built.environment.database.model_copy(
        update={
            "statements": (READ,),
            "values": {},
            "application": None,
            "pool_size": 5,
            "advice": IndexAdviceSettings(deadline_s=60),
        }
    )
    return built.model_copy(update={"environment": built.environment.model_copy(update={"database": changed})})


def role_url(server: Database) -> str:
    server.run(*[part for part in statements() if part], "ALTER ROLE hasivu_perf PASSWORD 'a-secret'")
    return f"postgresql://hasivu_perf:a-secret@127.0.0.1:{server.server.port}/hasivu"


def statements() -> list[str]:
    """The script's statements; on a server of a test the platform's own role of that name goes first."""
    lines = [line for line in SCRIPT.read_text(encoding="utf-8").splitlines() if not line.startswith("--")]
    return ["DROP ROLE hasivu_perf", *(part.strip() for part in " ".join(lines).split(";"))]


def problems(url: str) -> dict[str, str]:
    target = Target(database_url=SecretStr(url), local=True)
    return {check.name: check.remedy for check in DATABASE.check(config(), target) if not check.ok}


def measured(url: str) -> tuple[Samples, dict[str, Measurement]]:
    asked, sink = config(), Sink()
    target = Target(database_url=SecretStr(url), local=True)
    samples = Samples(sink, DATABASE.collect(CollectContext(asked, target, sink)))
    return samples, {one.metric: one for one in DATABASE.measure(samples, asked) if not one.labels}


def advice_problem(samples: Samples) -> str:
    return str(next(row["value"] for row in samples.tables["facts"].to_pylist() if row["name"] == "advice_problem"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with database(tmp_path_factory.mktemp("rights")) as started:
        started.run(*SCHEMA)
        yield started


def test_the_documented_role_sees_all_and_writes_nothing(server: Database) -> None:
    url = role_url(server)
    assert problems(url) == {}
    samples, figures = measured(url)
    assert [note for note in samples.collected.notes if "GRANT" in note or "could not" in note] == []
    assert advice_problem(samples) == ""
    assert samples.tables["advice"].num_rows == 1
    assert {name for name in DATABASE.metrics if figures[name].value is None} == set()
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
    samples, figures = measured(url)
    (note,) = [note for note in samples.collected.notes if "may not read 1 of 1 tables" in note]
    assert "index advice are missing" in note
    assert advice_problem(samples)
    assert figures["database.query.p95"].value is None  # its read was refused
    assert figures["database.errors.ratio"].value == 1.0
    assert figures["database.connections.utilisation"].value is not None


@pytest.mark.system
@needs_debian_15
def test_the_script_serves_postgresql_15_as_well(tmp_path: Path) -> None:
    with database(tmp_path, binaries=DEBIAN_15) as started:
        started.run(*SCHEMA)
        assert problems(role_url(started)) == {}
