"""PostgreSQL 18 of the embedded platform: its roles, its database and its settings.

Durability is off (`fsync`, `synchronous_commit`, `full_page_writes`): the data is a copy that the end of the run
removes. Write latencies of this server say nothing about a server that keeps its promises.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deployments.hosting import postgres
from deployments.hosting.guardian import Guardian
from deployments.hosting.postgres import Programs

DATABASE = "hasivu"
ADMIN = "hasivu_admin"
APPLICATION = "hasivu_app"
ANALYSIS = "hasivu_perf"
OWNER = "hasivu_owner"

MEMORY_SETTINGS: Mapping[str, str] = {
    "shared_buffers": "128MB",
    "max_connections": "60",
    "work_mem": "4MB",
    "maintenance_work_mem": "64MB",
    "effective_cache_size": "384MB",
    "max_parallel_workers_per_gather": "0",  # application and load generator need the cores as well
}
RUN_SETTINGS: Mapping[str, str] = {
    **MEMORY_SETTINGS,
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "256MB",
    "random_page_cost": "1.1",
    "shared_preload_libraries": "pg_stat_statements",
    "pg_stat_statements.track_planning": "on",  # without it a cancelled statement leaves no trace
    "pg_stat_statements.save": "off",
    "track_io_timing": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}


_MAKE_OWNER = (
    f"DO $$ BEGIN IF pg_catalog.to_regrole('{OWNER}') IS NULL THEN "
    f"CREATE ROLE {OWNER} LOGIN IN ROLE {APPLICATION}, pg_monitor; END IF; END $$"
)
"""At each start: data that were prepared before this role was thought of lack it."""


@dataclass(frozen=True, slots=True)
class Passwords:
    """The passwords of the roles, made anew for every run."""

    admin: str = field(default_factory=lambda: secrets.token_urlsafe(18), repr=False)
    application: str = field(default_factory=lambda: secrets.token_urlsafe(18), repr=False)
    analysis: str = field(default_factory=lambda: secrets.token_urlsafe(18), repr=False)
    owner: str = field(default_factory=lambda: secrets.token_urlsafe(18), repr=False)


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """Addresses of a running server; they hold passwords."""

    port: int
    passwords: Passwords = field(repr=False)

    def url(self, role: str) -> str:
        """The URL by which a role connects to the platform's database."""
        password = {
            ADMIN: self.passwords.admin,
            APPLICATION: self.passwords.application,
            ANALYSIS: self.passwords.analysis,
            OWNER: self.passwords.owner,
        }[role]
        return f"postgresql://{role}:{password}@127.0.0.1:{self.port}/{DATABASE}"


def create_cluster(guardian: Guardian, programs: Programs, data: Path, *, deadline: float) -> None:
    """Make an empty cluster with the three roles and the database, all without a password."""
    postgres.initdb(guardian, programs, data, user=ADMIN, deadline=deadline)
    postgres.run_single_user(
        guardian,
        programs,
        data,
        (
            f"CREATE ROLE {APPLICATION} LOGIN",
            f"CREATE ROLE {ANALYSIS} LOGIN IN ROLE pg_monitor, pg_read_all_data",
            f"ALTER ROLE {ANALYSIS} SET default_transaction_read_only = on",
            f"CREATE DATABASE {DATABASE} OWNER {APPLICATION}",
        ),
        deadline=deadline,
    )


def start_server(
    guardian: Guardian,
    programs: Programs,
    data: Path,
    *,
    deadline: float,
    settings: Mapping[str, str] = RUN_SETTINGS,
    name: str = "postgresql",
) -> PostgresServer:
    """Set new passwords, start the server on a free port and wait until it answers.

    Raises LocalPlatformError with the last line of the server's log.
    """
    passwords = Passwords()
    postgres.configure(data, settings)
    set_passwords(guardian, programs, data, passwords, deadline=deadline)

    def ready(port: int) -> bool:
        return postgres.answers(PostgresServer(port, passwords).url(ADMIN))

    port = postgres.start(guardian, programs, data, ready, deadline=deadline, name=name)
    return PostgresServer(port, passwords)


def set_passwords(
    guardian: Guardian, programs: Programs, data: Path, passwords: Passwords, *, deadline: float
) -> None:
    """Give the roles their passwords in a stopped cluster, and make the one that changes indexes."""
    pairs = (
        (ADMIN, passwords.admin),
        (APPLICATION, passwords.application),
        (ANALYSIS, passwords.analysis),
        (OWNER, passwords.owner),
    )
    statements = tuple(f"ALTER ROLE {role} PASSWORD '{password}'" for role, password in pairs)
    postgres.run_single_user(guardian, programs, data, (_MAKE_OWNER, *statements), deadline=deadline)
