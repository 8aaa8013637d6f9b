"""Facts of the server: version, rights, extension, reset times, settings; what is missing is None with a reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.load.database.session import QueryError, Session

PG14, PG15, PG16, PG17 = 140_000, 150_000, 160_000, 170_000
"""Version numbers from which on a column or an option is there."""

SETTINGS = (
    "max_connections",
    "superuser_reserved_connections",
    "reserved_connections",
    "shared_buffers",
    "effective_cache_size",
    "work_mem",
    "hash_mem_multiplier",
    "maintenance_work_mem",
    "autovacuum_work_mem",
    "random_page_cost",
    "fsync",
    "full_page_writes",
    "synchronous_commit",
    "track_io_timing",
    "track_activities",
    "track_counts",
    "autovacuum",
    "autovacuum_max_workers",
    "autovacuum_vacuum_threshold",
    "autovacuum_vacuum_scale_factor",
    "autovacuum_vacuum_max_threshold",
    "autovacuum_freeze_max_age",
    "idle_in_transaction_session_timeout",
    "statement_timeout",
    "checkpoint_timeout",
    "checkpoint_completion_target",
    "max_wal_size",
    "max_slot_wal_keep_size",
    "max_worker_processes",
    "max_parallel_workers",
    "max_parallel_workers_per_gather",
    "default_statistics_target",
    "pg_stat_statements.max",
    "pg_stat_statements.track",
    "pg_stat_statements.track_planning",
)
"""Settings that are read; the server's own value (`reset_val` would be the session's start)."""

_IDENTITY = """
SELECT current_database() AS database, current_user AS "user", current_setting('server_version') AS version,
       pg_catalog.pg_is_in_recovery() AS in_recovery,
       pg_catalog.pg_has_role(current_user, 'pg_monitor', 'USAGE') AS pg_monitor,
       pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS pg_read_all_stats,
       (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AS superuser,
       (SELECT datid FROM pg_catalog.pg_stat_database WHERE datname = current_database()) AS database_oid,
       pg_catalog.pg_postmaster_start_time() AS started"""
_EXTENSION = """
SELECT n.nspname AS schema, e.extversion AS version
FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = 'pg_stat_statements'"""
_SETTINGS = "SELECT name, setting, unit, pending_restart FROM pg_catalog.pg_settings WHERE name = ANY(%(names)s)"
_PAGES = re.compile(r"(\d+)kB")
_UNREADABLE = """
SELECT count(*) FILTER (WHERE NOT pg_catalog.has_table_privilege(c.oid, 'SELECT')
                           OR NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE')) AS hidden, count(*) AS all
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND n.nspname !~ '^pg_(toast|temp)'"""
_SIZE = "SELECT pg_catalog.pg_database_size(current_database()) AS bytes"


@dataclass(frozen=True)
class Facts:
    """What is known of the server; `extension` is the schema of a readable pg_stat_statements, None where none is."""

    version: int
    database: str
    database_oid: int
    user: str
    values: Mapping[str, str]
    reads_all_stats: bool
    extension: str | None
    extension_problem: str
    tables: int = 0
    hidden_tables: int = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What is missing, each with its remedy."""
        found = []
        if not self.reads_all_stats:
            found.append(
                f"role {self.user} may not see other sessions and statements (pg_monitor is missing), so pool, "
                f"waits, idle transactions and replicas are not measured: GRANT pg_monitor TO {quoted(self.user)}"
            )
        if self.hidden_tables:
            found.append(
                f"role {self.user} may not read {self.hidden_tables} of {self.tables} tables, so their plans, column "
                f"statistics, sequences and index advice are missing: {self.read_remedy}"
            )
        if self.extension is None:
            found.append(f"no figures by statement, no rewrites, no index advice: {self.extension_problem}")
        return tuple(found)

    @property
    def read_remedy(self) -> str:
        """The command that lets the role read every table, and none that lets it write."""
        role = quoted(self.user)
        if self.version >= PG14:
            return f"GRANT pg_read_all_data TO {role}"
        return f"GRANT USAGE ON SCHEMA … TO {role}, GRANT SELECT ON ALL TABLES IN SCHEMA … TO {role}"


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def shown(setting: str, unit: str | None) -> str:
    """A setting as SET takes it: pages (unit "8kB") become kilobytes; "-1" has no unit."""
    if setting.startswith("-"):
        return setting
    pages = _PAGES.fullmatch(unit or "")
    if pages:
        return f"{int(setting) * int(pages[1])}kB"
    return f"{setting}{unit or ''}"


def read(session: Session) -> Facts:
    """Read all facts; `QueryError` where even the first question has no answer."""
    identity = session.query(_IDENTITY)[0]
    settings = session.query(_SETTINGS, {"names": list(SETTINGS)})
    extension, problem = _extension(session)
    tables = session.query(_UNREADABLE)[0]
    values = {name: _text(value) for name, value in identity.items() if name != "database_oid"}
    values["version_number"] = str(session.version)
    values["pooler"] = _text(session.pooled)
    values["size_bytes"] = _size(session)
    values["tables"], values["hidden_tables"] = str(tables["all"]), str(tables["hidden"])
    values["pg_stat_statements"] = extension or ""
    values |= {f"setting.{row['name']}": shown(row["setting"], row["unit"]) for row in settings}
    values["pending_restart"] = ", ".join(sorted(row["name"] for row in settings if row["pending_restart"]))
    return Facts(
        version=session.version,
        database=identity["database"],
        database_oid=identity["database_oid"],
        user=identity["user"],
        values=values,
        reads_all_stats=bool(identity["pg_read_all_stats"] or identity["superuser"]),
        extension=extension,
        extension_problem=problem,
        tables=tables["all"],
        hidden_tables=tables["hidden"],
    )


def _text(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _size(session: Session) -> str:
    """Size of the database in bytes; empty where the right to CONNECT or the time is missing."""
    try:
        return str(session.query(_SIZE)[0]["bytes"])
    except QueryError:
        return ""


def _extension(session: Session) -> tuple[str | None, str]:
    """The schema of a readable pg_stat_statements, or None and why, with the remedy."""
    found = session.query(_EXTENSION)
    if not found:
        return None, "pg_stat_statements is not installed here: CREATE EXTENSION pg_stat_statements"
    schema = str(found[0]["schema"])
    try:
        session.query(f"SELECT queryid FROM {quoted(schema)}.pg_stat_statements(false) LIMIT 1")  # noqa: S608 - quoted
    except QueryError as error:
        if error.state == "55000":
            return None, (
                "pg_stat_statements is not loaded: add it to shared_preload_libraries and restart the server"
            )
        return None, f"pg_stat_statements cannot be read ({error}): GRANT pg_monitor to the role"
    return schema, ""
