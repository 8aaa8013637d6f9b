"""A scratch PostgreSQL 18 of our own: on the loopback, under a guardian, without durability, gone with its owner.

    with scratch_server() as scratch:
        psycopg.connect(scratch.dsn)

What is done to it harms nobody, so that catalogs and files can be bent to the planner's needs. Its files may hold
personal data (statistics, copies of rows): the folder has mode 0700, the files 0600, and both are removed at the end,
after `kill -9` of the owner too. It is not kept for the next time: making it takes about a second.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from psycopg.conninfo import make_conninfo

from deployments.hosting import postgres
from deployments.hosting.folders import cache_folder, runtime_folder
from deployments.hosting.guardian import Guardian

ADMIN = "scratch_admin"
"""The superuser of a scratch server."""

START_S = 30.0
"""How long a start may take; one second on a machine that does nothing else."""

SETTINGS: Mapping[str, str] = {
    "shared_buffers": "32MB",
    "max_connections": "12",
    "max_worker_processes": "4",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "wal_skip_threshold": "0",  # what is created is not read back to be logged: its pages stay out of the buffers
    "max_wal_size": "1GB",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",  # CREATE INDEX then leaves the statistics of its table alone
    "huge_pages": "off",
    "jit": "off",
    "log_min_messages": "panic",  # a log of statements would hold values
    "log_min_error_statement": "panic",
    "timezone": "UTC",
}
"""Settings of every scratch server; a caller's own come on top."""


@dataclass(frozen=True, slots=True)
class Scratch:
    """A running scratch server; `dsn` is its superuser's way in and holds a password."""

    dsn: str = field(repr=False)
    port: int
    folder: Path
    data: Path
    programs: postgres.Programs = field(repr=False)

    def database(self, name: str, *, user: str | None = None, password: str | None = None) -> str:
        """The address of another database, for the superuser or for a role with a password."""
        who = {} if user is None else {"user": user, "password": password}
        return make_conninfo(self.dsn, dbname=name, **who)


@contextmanager
def scratch_server(settings: Mapping[str, str] = SETTINGS, *, timeout_s: float = START_S) -> Iterator[Scratch]:
    """Start an empty server, end and remove it when the context is left.

    Raises LocalPlatformError that shows the last line of the log of whatever failed.
    """
    folder = runtime_folder(cache_folder() / "scratch")
    try:
        with Guardian(folder) as guardian:
            yield _start(guardian, {**SETTINGS, **settings}, time.monotonic() + timeout_s)
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # what an interrupted start may have written after the guardian


def _start(guardian: Guardian, settings: Mapping[str, str], deadline: float) -> Scratch:
    programs = postgres.programs(guardian)
    data = programs.workspace / "scratch" / "data"
    data.parent.mkdir(mode=0o700)
    programs.own(data.parent)
    password = secrets.token_urlsafe(18)
    postgres.initdb(guardian, programs, data, user=ADMIN, password=password, checksums=False, deadline=deadline)
    postgres.configure(data, settings)

    def dsn(port: int) -> str:
        return make_conninfo(host="127.0.0.1", port=port, user=ADMIN, password=password, dbname="postgres")

    port = postgres.start(
        guardian,
        programs,
        data,
        lambda port: postgres.answers(dsn(port)),
        deadline=deadline,
        name="postgresql-scratch",
    )
    return Scratch(dsn(port), port, guardian.folder, data, programs)


__all__ = ("ADMIN", "SETTINGS", "Scratch", "scratch_server")
