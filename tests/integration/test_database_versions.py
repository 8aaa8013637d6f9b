"""The database component on every PostgreSQL whose binaries are named: none of its queries may fail on any of them.

`HASIVU_PERF_TEST_POSTGRES` holds folders of programs (initdb, postgres) with pg_stat_statements, separated by colons;
CONTRIBUTING.md says where to get them. Without it this file is not collected: 15 and 18 are always tested elsewhere.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from deployments.hosting import postgres as hosting
from deployments.hosting.guardian import Guardian, Service
from tasks.components.database import DATABASE
from tasks.components.database.facts import PG14
from tests.behind import Connection, asking
from tests.database_runs import config, measured, target

NAMED = [Path(one) for one in os.environ.get("HASIVU_PERF_TEST_POSTGRES", "").split(":") if one]
PASSWORD = "test-only"
SCHEMA = (
    "CREATE EXTENSION pg_stat_statements",
    "CREATE TABLE children (id integer PRIMARY KEY, name text)",
    "CREATE TABLE visits (id bigserial PRIMARY KEY, child integer REFERENCES children, at timestamptz, note text)",
    "INSERT INTO children SELECT n, 'child ' || n FROM generate_series(1, 500) n",
    """INSERT INTO visits (child, at, note)
    SELECT n % 500 + 1, now() - n * interval '1 minute', repeat('x', 60) FROM generate_series(1, 40000) n""",
    "SELECT pg_create_physical_replication_slot('left_behind', true)",
    "CREATE ROLE watcher LOGIN PASSWORD 'test-only' IN ROLE pg_monitor",
    "VACUUM ANALYZE",
)


@contextmanager
def server(binaries: Path, folder: Path) -> Iterator[str]:
    """A new server of that version; the address of its superuser."""
    with Guardian(folder / "runtime") as guardian:
        how = replace(hosting.programs(guardian), bin=binaries)
        data, secret = how.workspace / "data", how.workspace / "password"
        secret.write_text(f"{PASSWORD}\n")
        secret.chmod(0o600)
        how.own(secret)
        argv = how.argv(
            "initdb", "-D", str(data), "-U", "owner", "--auth=scram-sha-256", f"--pwfile={secret}", "--no-locale",
            "--encoding=UTF8", "--no-sync",
        )  # fmt: skip
        deadline = time.monotonic() + 60
        hosting.run_to_end(guardian, Service("initdb", argv, cwd=how.workspace, user=how.user), deadline=deadline)
        hosting.configure(
            data, {"shared_preload_libraries": "pg_stat_statements", "fsync": "off", "track_io_timing": "on"}
        )

        def url(port: int) -> str:
            return f"postgresql://owner:{PASSWORD}@127.0.0.1:{port}/postgres"

        port = hosting.start(
            guardian, how, data, lambda port: hosting.answers(url(port)), deadline=deadline, name="postgresql"
        )
        yield url(port)


def prepare(url: str) -> str:
    """The schema, and the address of a role with the documented rights."""
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in SCHEMA:
            connection.execute(statement.encode())
        all_tables = connection.info.server_version >= PG14
        grant = "pg_read_all_data" if all_tables else "SELECT ON ALL TABLES IN SCHEMA public"
        connection.execute(f"GRANT {grant} TO watcher".encode())
        if not all_tables:
            connection.execute("GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO watcher")
    return url.replace("owner:", "watcher:")


def ask(connection: Connection, number: int) -> None:
    sql = "SELECT id, note FROM visits WHERE child = %s ORDER BY at DESC LIMIT %s"
    connection.execute(sql, (number % 500 + 1, 10)).fetchall()
    connection.execute("UPDATE children SET name = %s WHERE id = %s", ("seen", number % 500 + 1))


ASKED = config("SELECT name FROM children WHERE id = 7", seconds=4, advice=True, application="meals", pool_size=5)


@pytest.mark.system
@pytest.mark.parametrize("binaries", NAMED, ids=str)
def test_every_version_is_seen_whole(binaries: Path, tmp_path: Path) -> None:
    with server(binaries, tmp_path) as owner:
        url = prepare(owner)
        with asking(owner, ask):
            seen = measured(ASKED, target(url, local=False))
        checks = DATABASE.check(ASKED, target(url))
    assert [one.name for one in checks if not one.ok] == []
    lacking = seen.notes("could not be", "GRANT")
    if int(seen.facts["version_number"]) < PG14:  # there is no right to it but the superuser's
        lacking = [note for note in lacking if "pg_statistic_ext_data" not in note]
    assert lacking == []
    assert (seen.facts["advice_problem"], seen.facts.get("advice_how")) == ("", "planner twin")
    assert {name for name in DATABASE.metrics if seen.values[name] is None} == set()
    assert {"database.wal.written", "database.checkpoints.timed", "database.wraparound.transactions"} <= set(
        seen.values
    )
    assert len(seen.rows("slots")) == 1
    assert any(row["calls"] > 0 and not row["own"] for row in seen.rows("statements"))
    indexes = [one for one in seen.findings if one.kind == "missing_index"]
    assert any(one.subject.startswith("public.visits(child") and "planner twin" in one.detail for one in indexes)
