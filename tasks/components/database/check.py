"""What `doctor` says of the database: address, version, rights, extension; each with the command that mends it."""

from __future__ import annotations

from deployments.config import RunConfig, Target
from storage.errors import NotMeasuredError
from tasks.components.base import Check
from tasks.components.database import facts
from tasks.components.database.collect import address
from tasks.load.database.session import QueryError, Session, Watchdog, parse

OLDEST, NEWEST = 13, 18
"""Major versions that are known to work."""

_MAJOR = 10_000


def check(config: RunConfig, target: Target) -> list[Check]:
    """Look without load: one session, catalogue reads only."""
    watchdog = Watchdog()
    try:
        _, server = address(config, target.database_url)
        with Session(server, watchdog, timeout_ms=config.environment.database.statement_timeout_ms) as session:
            reached = Check("connection", ok=True, detail=f"{server.shown} answers{_pooler(session)}")
            return [reached, *_of(facts.read(session), config)]
    except NotMeasuredError as error:
        return [Check("connection", ok=False, detail=str(error), remedy=_way_in(str(error), config, target))]
    except QueryError as error:
        return [Check("connection", ok=False, detail=str(error), remedy="grant CONNECT on the database to the role")]
    finally:
        watchdog.close()


def _way_in(problem: str, config: RunConfig, target: Target) -> str:
    """What would let a session come about, by what the server said."""
    variable = config.environment.variables.database_url
    if target.database_url is not None and (
        "not permitted to log in" in problem or "permission denied for database" in problem
    ):
        server = parse(target.database_url.get_secret_value(), variable)
        role, name = facts.quoted(server.user), facts.quoted(server.parameters.get("dbname", server.user))
        login = "not permitted to log in" in problem
        return f"ALTER ROLE {role} LOGIN;" if login else f"GRANT CONNECT ON DATABASE {name} TO {role};"
    return f"check {variable}, and that the server runs"


def _pooler(session: Session) -> str:
    return ", through a pooler: each statement runs in a transaction of its own" if session.pooled else ""


def _of(known: facts.Facts, config: RunConfig) -> list[Check]:
    role, major = facts.quoted(known.user), known.version // _MAJOR
    statements = len(config.environment.database.statements)
    return [
        Check(
            "version",
            ok=OLDEST <= major <= NEWEST,
            detail=f"PostgreSQL {known.values['version']}",
            remedy="" if OLDEST <= major <= NEWEST else f"versions {OLDEST} to {NEWEST} are known to work",
        ),
        _right(known, "pg_monitor", role),
        _right(known, "pg_read_all_stats", role),
        Check(
            "tables",
            ok=known.hidden_tables == 0,
            detail=f"role {known.user} may read {known.tables - known.hidden_tables} of {known.tables} tables"
            " (plans, column statistics, sequences, index advice)",
            remedy="" if known.hidden_tables == 0 else f"{known.read_remedy};",
        ),
        Check(
            "pg_stat_statements",
            ok=known.extension is not None,
            detail=f"readable in schema {known.extension}" if known.extension else known.extension_problem,
            remedy="" if known.extension else _extension(known),
        ),
        Check(
            "timed reads",
            ok=statements > 0,
            detail=f"{statements} statements in the environment's file",
            remedy=""
            if statements
            else "add [[database.statements]] to the environment's file: p95 is measured by them",
        ),
    ]


def _right(known: facts.Facts, name: str, role: str) -> Check:
    has = "true" in {known.values[name], known.values["superuser"]}
    detail = f"role {known.user} {'has' if has else 'lacks'} {name}"
    return Check(name, ok=has, detail=detail, remedy="" if has else f"GRANT {name} TO {role};")


def _extension(known: facts.Facts) -> str:
    load = "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'; (restart); "
    return f"{load}CREATE EXTENSION IF NOT EXISTS pg_stat_statements; in {known.database}"
