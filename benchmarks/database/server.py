"""A server for each suite: PostgreSQL 18 with stock planner settings, and pg_stat_statements."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from benchmarks.database.suite import Suite
from deployments.hosting.guardian import Guardian
from deployments.hosting.postgres import programs
from deployments.local import postgres
from deployments.local.prepared import copy_data, prepared_data

SETTINGS = {
    "shared_buffers": "128MB",
    "max_connections": "30",
    "fsync": "off",
    "synchronous_commit": "off",
    "max_wal_size": "4GB",
    "autovacuum": "off",
    "shared_preload_libraries": "pg_stat_statements",
    "timezone": "UTC",
}
"""Nothing that the planner looks at differs from PostgreSQL's own defaults."""


@contextmanager
def served(suite: Suite) -> Iterator[postgres.PostgresServer]:
    """The suite's database on a server of its own, filled and analysed."""
    with (
        tempfile.TemporaryDirectory(prefix="hasivu-bench-") as folder,
        Guardian(Path(folder) / "runtime") as guardian,
    ):
        found, data = programs(guardian), Path(folder) / "runtime" / "data"
        if suite.name == "hasivu":
            copy_data(guardian, prepared_data(guardian, found), data, found, deadline=time.monotonic() + 60)
        else:
            postgres.create_cluster(guardian, found, data, deadline=time.monotonic() + 60)
        server = postgres.start_server(guardian, found, data, deadline=time.monotonic() + 60, settings=SETTINGS)
        with psycopg.connect(server.url(postgres.ADMIN), autocommit=True) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        suite.build(server.url(postgres.ADMIN), server.url(postgres.APPLICATION))
        yield server
