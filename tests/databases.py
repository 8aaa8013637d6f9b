"""PostgreSQL servers for tests: embedded or Debian's, empty, on a free port; each ends with its test."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import psycopg
import pytest

from deployments.hosting.guardian import Guardian
from deployments.hosting.postgres import Programs
from deployments.hosting.postgres import programs as programs_of
from deployments.local import postgres
from deployments.local.prepared import copy_data

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
needs_debian_15 = pytest.mark.skipif(not DEBIAN_15.is_dir(), reason="Debian's postgresql-15 is not installed")
_START_S = 60.0


@dataclass(frozen=True)
class Database:
    """A running server; `admin`, `application` and `analysis` are URLs with passwords."""

    server: postgres.PostgresServer
    guardian: Guardian

    @property
    def admin(self) -> str:
        return self.server.url(postgres.ADMIN)

    @property
    def application(self) -> str:
        return self.server.url(postgres.APPLICATION)

    @property
    def analysis(self) -> str:
        return self.server.url(postgres.ANALYSIS)

    def run(self, *statements: str, url: str | None = None) -> None:
        """Run statements, each in a transaction of its own, as the superuser unless a URL says otherwise."""
        with psycopg.connect(url or self.admin, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def stop(self) -> None:
        """Stop the server in mid-work."""
        self.guardian.stop("postgresql")


@contextmanager
def database(
    folder: Path, *, binaries: Path | None = None, settings: Mapping[str, str] = postgres.RUN_SETTINGS
) -> Iterator[Database]:
    """A new cluster with the platform's roles; embedded PostgreSQL, or the one of `binaries`."""
    template = _template(binaries)
    with Guardian(folder / "runtime") as guardian:
        programs = _programs(guardian, binaries)
        data = folder / "runtime" / "data"
        deadline = time.monotonic() + _START_S
        copy_data(guardian, template, data, programs, deadline=deadline)
        server = postgres.start_server(guardian, programs, data, deadline=deadline, settings=settings)
        yield Database(server, guardian)


def _programs(guardian: Guardian, binaries: Path | None) -> Programs:
    programs = programs_of(guardian)
    return programs if binaries is None else replace(programs, bin=binaries)


@cache
def _template(binaries: Path | None) -> Path:
    """A cluster that was never started, made once in a process: to copy it takes a tenth of the time."""
    folder = Path(tempfile.mkdtemp(prefix="hasivu-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with Guardian(folder / "runtime") as guardian:
        programs = _programs(guardian, binaries)
        made = folder / "runtime" / "data"
        postgres.create_cluster(guardian, programs, made, deadline=time.monotonic() + _START_S)
        return made.rename(folder / "template")
