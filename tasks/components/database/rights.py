"""What a role may do beyond reading, read from the catalogue and tried never; each right with what takes it away.

Memberships count even where they are not inherited: SET ROLE would reach them. Functions that run with their owner's
rights (SECURITY DEFINER) are not looked at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from deployments.config import DatabaseSettings, RunConfig, Target
from storage.errors import NotMeasuredError
from tasks.components.base import Right, Rights
from tasks.components.database.collect import address
from tasks.components.database.facts import quoted
from tasks.load.database.session import QueryError, Row, Server, Session, Watchdog

ATTRIBUTES = ("SUPERUSER", "CREATEDB", "CREATEROLE", "REPLICATION", "BYPASSRLS")
"""Attributes of a role that reading does not need."""

PREDEFINED = (
    "pg_write_all_data",
    "pg_write_server_files",
    "pg_read_server_files",
    "pg_execute_server_program",
    "pg_signal_backend",
    "pg_signal_autovacuum_worker",
    "pg_checkpoint",
    "pg_maintain",
    "pg_create_subscription",
    "pg_use_reserved_connections",
    "rds_superuser",
    "rds_replication",
    "cloudsqlsuperuser",
    "azure_pg_admin",
)
"""Roles of PostgreSQL and of its hosters that reading does not need."""

_WHOLE_SCHEMA = 3
"""From more tables than this on, the statement names their schema."""

_ME = "SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user"
_MEMBERSHIPS = f"""
SELECT r.rolname AS name, r.rolname = current_user AS own,
       r.rolsuper AS superuser, r.rolcreatedb AS createdb, r.rolcreaterole AS createrole,
       r.rolreplication AS replication, r.rolbypassrls AS bypassrls,
       (SELECT g.rolname FROM pg_catalog.pg_auth_members a JOIN pg_catalog.pg_roles g ON g.oid = a.roleid
        WHERE a.member = ({_ME}) AND pg_catalog.pg_has_role(g.oid, r.oid, 'MEMBER')
        ORDER BY g.oid = r.oid DESC, g.rolname LIMIT 1) AS through
FROM pg_catalog.pg_roles r WHERE pg_catalog.pg_has_role(current_user, r.oid, 'MEMBER')
ORDER BY own DESC, name"""  # noqa: S608 - constants of this file
_OURS = "(a.grantee = 0 OR pg_catalog.pg_has_role(current_user, a.grantee, 'MEMBER'))"
_BY = "CASE WHEN a.grantee = 0 THEN '' ELSE pg_catalog.pg_get_userbyid(a.grantee)::text END"
_USER_SCHEMA = "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'"
_KIND = "CASE WHEN c.relkind = 'S' THEN 'SEQUENCE' ELSE 'TABLE' END"
_GRANTS = f"""
SELECT {_KIND} AS kind, n.nspname AS schema, c.relname AS name, a.privilege_type AS privilege, '' AS column,
       {_BY} AS by
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace,
     LATERAL pg_catalog.aclexplode(c.relacl) a
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {_USER_SCHEMA} AND a.privilege_type <> 'SELECT' AND {_OURS}
  AND NOT pg_catalog.pg_has_role(current_user, c.relowner, 'MEMBER')
UNION ALL
SELECT 'TABLE', n.nspname, c.relname, a.privilege_type, t.attname, {_BY}
FROM pg_catalog.pg_attribute t JOIN pg_catalog.pg_class c ON c.oid = t.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace, LATERAL pg_catalog.aclexplode(t.attacl) a
WHERE t.attacl IS NOT NULL AND NOT t.attisdropped AND {_USER_SCHEMA} AND a.privilege_type <> 'SELECT' AND {_OURS}
  AND NOT pg_catalog.pg_has_role(current_user, c.relowner, 'MEMBER')
UNION ALL
SELECT 'SCHEMA', n.nspname, n.nspname, a.privilege_type, '', {_BY}
FROM pg_catalog.pg_namespace n, LATERAL pg_catalog.aclexplode(n.nspacl) a
WHERE {_USER_SCHEMA} AND a.privilege_type = 'CREATE' AND {_OURS}
  AND NOT pg_catalog.pg_has_role(current_user, n.nspowner, 'MEMBER')
UNION ALL
SELECT 'DATABASE', '', d.datname, a.privilege_type, '', {_BY}
FROM pg_catalog.pg_database d, LATERAL pg_catalog.aclexplode(d.datacl) a
WHERE d.datname = current_database() AND a.privilege_type = 'CREATE' AND {_OURS}
  AND NOT pg_catalog.pg_has_role(current_user, d.datdba, 'MEMBER')
ORDER BY kind, schema, name, by, privilege, "column" """  # noqa: S608 - constants of this file
_OWNED = f"""
SELECT {_KIND} AS kind, n.nspname AS schema, c.relname AS name, pg_catalog.pg_get_userbyid(c.relowner)::text AS owner
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {_USER_SCHEMA}
  AND pg_catalog.pg_has_role(current_user, c.relowner, 'MEMBER')
UNION ALL
SELECT 'SCHEMA', n.nspname, n.nspname, pg_catalog.pg_get_userbyid(n.nspowner)::text FROM pg_catalog.pg_namespace n
WHERE {_USER_SCHEMA} AND pg_catalog.pg_has_role(current_user, n.nspowner, 'MEMBER')
UNION ALL
SELECT 'DATABASE', '', d.datname, pg_catalog.pg_get_userbyid(d.datdba)::text FROM pg_catalog.pg_database d
WHERE d.datname = current_database() AND pg_catalog.pg_has_role(current_user, d.datdba, 'MEMBER')
ORDER BY kind, schema, name"""  # noqa: S608 - constants of this file


def read(session: Session, *, owner: bool = False) -> Rights:
    """What the session's role may do beyond reading, or beyond changing its tables where it is meant to own them.

    Raises `QueryError`. Of a superuser nothing else is listed: it may do everything.
    """
    user = str(session.query("SELECT current_user AS name")[0]["name"])
    who = f"role {user} at {session.server.shown}"
    memberships = session.query(_MEMBERSHIPS)
    found = list(_of_roles(user, memberships))
    if owner or any(right.name.startswith("SUPERUSER") for right in found):
        return Rights(who, tuple(found))
    found += _owned(user, session.query(_OWNED))
    found += _granted(session.query(_GRANTS))
    return Rights(who, tuple(found))


def _of_roles(user: str, memberships: Sequence[Row]) -> Iterator[Right]:
    """Attributes and predefined roles; what a superuser is a member of says nothing, for it is one of all."""
    own = [row for row in memberships if row["own"]]
    if any(row["superuser"] for row in own):
        yield Right("SUPERUSER", f"ALTER ROLE {quoted(user)} NOSUPERUSER")
        return
    for row in memberships:
        leave = f"REVOKE {quoted(row['through'] or row['name'])} FROM {quoted(user)}"
        if row["name"] in PREDEFINED:
            yield Right(row["name"], leave)
        for attribute in ATTRIBUTES:
            if row[attribute.lower()]:
                by = "" if row["own"] else f" by SET ROLE {row['name']}"
                yield Right(f"{attribute}{by}", f"ALTER ROLE {quoted(user)} NO{attribute}" if row["own"] else leave)


def _owned(user: str, rows: Sequence[Row]) -> Iterator[Right]:
    """What the role owns, itself or by a membership."""
    for row in rows:
        name = _name(row)
        if row["owner"] == user:
            remedy = f"ALTER {row['kind']} {name} OWNER TO another role"
        elif row["owner"] == "pg_database_owner":
            continue  # follows from owning the database, which is told
        else:
            remedy = f"REVOKE {quoted(row['owner'])} FROM {quoted(user)}"
        yield Right(f"OWNER OF {row['kind']} {name}", remedy)


def _granted(rows: Sequence[Row]) -> Iterator[Right]:
    """Privileges by grant; many tables of one schema are taken away by one statement."""
    places: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    privileges: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for row in rows:
        if not row["column"]:
            key = (row["kind"], row["schema"], row["by"])
            places[key].add(row["name"])
            privileges[key].add(row["privilege"])
    for row in rows:
        key, name = (row["kind"], row["schema"], row["by"]), _name(row)
        on, what = f"{row['kind']} {name}", row["privilege"]
        if row["column"]:
            what = f"{row['privilege']} ({quoted(row['column'])})"
        elif row["schema"] and len(places[key]) > _WHOLE_SCHEMA:
            on, what = f"ALL {row['kind']}S IN SCHEMA {quoted(row['schema'])}", ", ".join(sorted(privileges[key]))
        by = quoted(row["by"]) if row["by"] else "PUBLIC"
        right = f"{row['privilege']} ON {'' if row['kind'] == 'TABLE' else row['kind'] + ' '}{name}"
        yield Right(right, f"REVOKE {what} ON {on} FROM {by}")


def _name(row: Row) -> str:
    plain = [row["name"]] if row["kind"] in ("SCHEMA", "DATABASE") else [row["schema"], row["name"]]
    return ".".join(quoted(part) if not part.isidentifier() or part != part.lower() else part for part in plain)


def look(config: RunConfig, target: Target) -> Rights:
    """What the role of the environment's address may do; `NotMeasuredError` where that cannot be read."""
    _, server = address(config, target.database_url)
    return _asked(server, config.environment.database, owner=False)


def of_owner(server: Server, settings: DatabaseSettings) -> Rights:
    """What the role that changes tables may do beyond owning them."""
    return _asked(server, settings, owner=True)


def _asked(server: Server, settings: DatabaseSettings, *, owner: bool) -> Rights:
    watchdog = Watchdog()
    try:
        with Session(server, watchdog, timeout_ms=settings.statement_timeout_ms) as session:
            return read(session, owner=owner)
    except QueryError as error:
        raise NotMeasuredError(f"what the role may do could not be read: {error}") from None
    finally:
        watchdog.close()
