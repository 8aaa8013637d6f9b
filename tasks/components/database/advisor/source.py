"""What a twin or a copy must know of the server it stands for: relations and sizes, planner settings, locale, rights.

All of it is read by one read-only session. Nothing here holds rows or statistics.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from storage.errors import NotMeasuredError
from tasks.components.database.facts import PG14, PG15, PG17, quoted
from tasks.load.database.session import QueryError, Server, Session

Name = tuple[str, str]
"""Schema and name of a relation."""

TABLES = ("r", "p", "m", "f")
"""pg_class.relkind of what holds rows or stands for it: tables, partitioned, materialised views, foreign tables."""

_PAGE = 8192
_SHOWN = 3

_RELATIONS = """
SELECT n.nspname AS schema, c.relname AS name, c.relkind::text AS kind, c.reltuples::float8 AS rows,
       pg_catalog.has_table_privilege(c.oid, 'SELECT')
         AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS readable,
       (SELECT pn.nspname || '.' || p.relname FROM pg_catalog.pg_inherits i
        JOIN pg_catalog.pg_class p ON p.oid = i.inhparent JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
        WHERE i.inhrelid = c.oid AND i.inhseqno = 1) AS parent
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm', 'f', 'v') AND c.relpersistence <> 't'
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%%'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1, 2"""

_SIZES = """
WITH wanted AS (
  SELECT c.oid, n.nspname, c.relname, c.relkind FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN unnest(%(schemas)s::text[], %(names)s::text[]) AS w (schema, name)
    ON w.schema = n.nspname AND w.name = c.relname)
SELECT nspname AS schema, relname AS name, pg_catalog.pg_relation_size(oid) AS bytes, NULL AS of,
       pg_catalog.pg_total_relation_size(oid) AS total
FROM wanted WHERE relkind IN ('r', 'm')
UNION ALL
SELECT w.nspname, c.relname, pg_catalog.pg_relation_size(c.oid), w.relname, 0
FROM wanted w JOIN pg_catalog.pg_index i ON i.indrelid = w.oid JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
WHERE w.relkind IN ('r', 'm') AND i.indisready"""

_SETTINGS = """
SELECT name, setting, unit FROM pg_catalog.pg_settings
WHERE category LIKE 'Query Tuning%%' OR name IN ('work_mem', 'hash_mem_multiplier', 'max_parallel_workers_per_gather',
  'parallel_leader_participation', 'TimeZone', 'DateStyle', 'IntervalStyle', 'default_text_search_config',
  'standard_conforming_strings', 'transform_null_equals')"""

_PATHS = """
SELECT 'session' AS whose, pg_catalog.array_to_string(
         ARRAY(SELECT pg_catalog.quote_ident(s) FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) s), ', ')
       AS path
UNION ALL
SELECT 'role', pg_catalog.split_part(s, '=', 2)
FROM pg_catalog.pg_db_role_setting d, pg_catalog.unnest(d.setconfig) AS s
WHERE s LIKE 'search_path=%%' AND d.setdatabase IN (0,
  (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))"""

_EXTENSIONS = """
SELECT e.extname AS name, n.nspname AS schema FROM pg_catalog.pg_extension e
JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace ORDER BY e.oid"""

_POOLER = "SELECT pg_catalog.pg_backend_pid() AS pid"
_PAGES_OF = re.compile(r"([0-9]+)kB")


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, partition, view … of the source; `parent` is the first table that it inherits from."""

    name: Name
    kind: str
    rows: float
    readable: bool
    parent: str | None = None

    @property
    def shown(self) -> str:
        """Schema and name with a point between."""
        return ".".join(self.name)


@dataclass(frozen=True, slots=True)
class Locale:
    """Encoding and collation of the source's database; `linguistic` is False where text sorts by its bytes."""

    encoding: str
    collate: str
    linguistic: bool


@dataclass(frozen=True, slots=True)
class Source:
    """The server that a scratch database stands for."""

    server: Server
    version: int
    relations: tuple[Relation, ...]
    """What was asked for, with partitions and parents."""
    excluded: tuple[Name, ...]
    """Tables that nobody asked for: they are not dumped."""
    pages: Mapping[Name, int]
    """Pages of 8192 bytes of tables and indexes, as their files are now."""
    total_bytes: int
    """Tables, indexes and TOAST together."""
    settings: Mapping[str, str] = field(repr=False)
    locale: Locale
    extensions: tuple[tuple[str, str], ...]
    """Names and schemas of the extensions, in the order of their creation."""

    @classmethod
    def read(cls, session: Session, tables: Collection[Name] | None = None) -> Source:
        """Read all of it; `tables` names what is needed, None is everything.

        Raises NotMeasuredError where the session goes through a pooler, may not read a table that is needed, or a
        table is locked.
        """
        try:
            _direct(session)
            found = [_relation(row) for row in session.query(_RELATIONS)]
            wanted, excluded = _wanted(found, tables)
            _readable(session, wanted)
            sizes = session.query(
                _SIZES, {"schemas": [one.name[0] for one in wanted], "names": [one.name[1] for one in wanted]}
            )
            return cls(
                server=session.server,
                version=session.version,
                relations=wanted,
                excluded=excluded,
                pages={(row["schema"], row["name"]): row["bytes"] // _PAGE for row in sizes},
                total_bytes=sum(int(row["total"]) for row in sizes),
                settings=_settings(session),
                locale=_locale(session),
                extensions=tuple((row["name"], row["schema"]) for row in session.query(_EXTENSIONS)),
            )
        except QueryError as error:
            raise NotMeasuredError(
                f"{session.server.shown} could not be read for a twin: {error}; {error.remedy}"
            ) from None


def _direct(session: Session) -> None:
    """Refuse a pooler, through which pg_dump would leave its settings to other clients.

    A pooler makes up the process id that it tells its clients.
    """
    if session.pooled or session.query(_POOLER)[0]["pid"] != session.backend_pid:
        raise NotMeasuredError(
            f"{session.server.shown} is a connection pooler: planning on a twin needs a direct address of PostgreSQL"
        )


def _relation(row: Mapping[str, Any]) -> Relation:
    return Relation((row["schema"], row["name"]), row["kind"], row["rows"], row["readable"], row["parent"])


def _wanted(
    found: Iterable[Relation], tables: Collection[Name] | None
) -> tuple[tuple[Relation, ...], tuple[Name, ...]]:
    """What was asked for with its parents and its partitions, and the other tables; views come along."""
    found = tuple(found)
    if tables is None:
        return found, ()
    names = {".".join(name) for name in tables}
    by_name = {one.shown: one for one in found}
    size = -1
    while size != len(names):  # until no parent and no partition is missing
        size = len(names)
        names |= {one.parent for one in found if one.parent and one.shown in names and one.parent in by_name}
        names |= {one.shown for one in found if one.parent in names}
    wanted = tuple(one for one in found if one.shown in names)
    return wanted, tuple(one.name for one in found if one.kind in TABLES and one.shown not in names)


def _readable(session: Session, wanted: Iterable[Relation]) -> None:
    """Refuse where statistics of a needed table are hidden: a plan without them would be another."""
    hidden = [one.shown for one in wanted if not one.readable and one.kind in TABLES]
    if not hidden:
        return
    shown = ", ".join(hidden[:_SHOWN]) + (f" and {len(hidden) - _SHOWN} more" if len(hidden) > _SHOWN else "")
    role = quoted(session.server.user)
    remedy = (
        f"GRANT pg_read_all_data TO {role}"
        if session.version >= PG14
        else f"GRANT USAGE on the schemas and SELECT ON ALL TABLES in them TO {role}"
    )
    raise NotMeasuredError(f"role {session.server.user} may not read the statistics of {shown}: {remedy}")


def _settings(session: Session) -> dict[str, str]:
    """Settings of the planner, and a search path on which the names of every role's statements are found."""
    found = {row["name"]: _with_unit(row["setting"], row["unit"]) for row in session.query(_SETTINGS)}
    entries = [entry.strip() for row in session.query(_PATHS) for entry in row["path"].split(",")]
    kept = dict.fromkeys(entry for entry in entries if entry and entry.strip('"') != "$user")
    return {**found, "search_path": ", ".join(kept)}


def _with_unit(setting: str, unit: str | None) -> str:
    """A value as SET takes it: pages ("8kB") in kilobytes."""
    if unit is None or setting.startswith("-"):
        return setting
    pages = _PAGES_OF.fullmatch(unit)
    return f"{int(setting) * int(pages[1])}kB" if pages else setting + unit


def _locale(session: Session) -> Locale:
    """The database's encoding and order of text, whatever provides it."""
    provider = "datlocprovider::text" if session.version >= PG15 else "'c'"
    name = (
        "coalesce(datlocale, datcollate)"
        if session.version >= PG17
        else "coalesce(daticulocale, datcollate)"
        if session.version >= PG15
        else "datcollate"
    )
    row = session.query(
        f"SELECT {provider} AS provider, {name} AS name, datcollate AS collate, "  # noqa: S608 - constants above
        "pg_catalog.pg_encoding_to_char(encoding) AS encoding "
        "FROM pg_catalog.pg_database WHERE datname = current_database()"
    )[0]
    plain = row["provider"] == "b" or (row["provider"] == "c" and row["name"] in ("C", "POSIX"))
    return Locale(row["encoding"], row["collate"], linguistic=not plain)
