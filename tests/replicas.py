"""A streaming replica of a server of a test: read-only, on a port of its own, gone with the server's guardian."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg

from deployments.hosting import postgres as hosting
from deployments.hosting.guardian import Service
from deployments.hosting.postgres import programs
from deployments.local import postgres
from tests.databases import Database

_START_S = 60.0


@contextmanager
def replica(primary: Database) -> Iterator[Database]:
    """A replica that streams from `primary` (embedded PostgreSQL), with the same roles and passwords."""
    guardian = primary.guardian
    how = programs(guardian)
    data = how.workspace / "data"
    with (data / "pg_hba.conf").open("a") as hba:
        hba.write("host replication all 127.0.0.1/32 scram-sha-256\n")
    primary.run("SELECT pg_reload_conf()")
    copy = data.with_name("replica")
    source = primary.admin.rpartition("/")[0] + "/replication"
    argv = how.argv("pg_basebackup", "-D", str(copy), "-d", source, "-R", "-X", "stream", "-c", "fast", "--no-sync")
    deadline = time.monotonic() + _START_S
    hosting.run_to_end(guardian, Service("pg_basebackup", argv, cwd=data.parent, user=how.user), deadline=deadline)

    def server(port: int) -> postgres.PostgresServer:
        return replace(primary.server, port=port)

    port = hosting.start(
        guardian,
        how,
        copy,
        lambda port: hosting.answers(server(port).url(postgres.ADMIN)),
        deadline=deadline,
        name="postgresql-replica",
    )
    try:
        yield Database(server(port), guardian)
    finally:
        guardian.stop("postgresql-replica")


def wait_for(primary: Database, standby: Database, *, seconds: float = 20.0) -> None:
    """Until the replica has replayed all that the primary has written."""
    with (
        psycopg.connect(primary.admin, autocommit=True) as one,
        psycopg.connect(standby.admin, autocommit=True) as two,
    ):
        position = one.execute("SELECT pg_current_wal_lsn()::text").fetchone()
        assert position is not None
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            row = two.execute("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", position).fetchone()
            if row is not None and row[0]:
                return
            time.sleep(0.05)
    raise AssertionError("the replica did not catch up")
