"""A database on a scratch server with the source's schema, and its statistics or its rows, by pg_dump | pg_restore.

The dump goes through a pipe and never touches a disk. It is restored by a role without rights beyond its database:
a hostile schema gains nothing. What does not restore is left out, object by object, and named.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, Any, Literal, LiteralString

import psycopg
from psycopg import pq, sql
from psycopg.conninfo import conninfo_to_dict

from deployments.hosting.postgres import installation
from storage.errors import NotMeasuredError
from tasks.components.database.advisor.scratch import Scratch
from tasks.components.database.advisor.source import Name, Source

DATABASE = "mirror"
OWNER = "mirror_owner"
"""The role that owns what is restored; it is no superuser."""

Content = Literal["statistics", "rows"]
"""What is brought besides the schema."""

Connection = psycopg.Connection[tuple[Any, ...]]

_FALLBACKS = ("C.UTF-8", "en_US.UTF-8")
"""Collations that are not "C" to the planner: it must not take an index for LIKE that the source could not use."""

_LOCK_MS = 2000
_LEFT_OUT = (
    "--no-owner",
    "--no-acl",
    "--no-comments",
    "--no-publications",
    "--no-subscriptions",
    "--no-security-labels",
    "--no-tablespaces",
    "--no-policies",
    "--no-large-objects",
)
_CONTENT: Mapping[str, tuple[str, ...]] = {
    "statistics": ("--no-data", "--statistics"),
    "rows": ("--no-statistics",),
}
_RELATIONS: LiteralString = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm', 'f', 'v', 'i', 'I')"""


@dataclass(frozen=True, slots=True)
class Mirror:
    """The restored database: `admin` is the superuser's address of it, `owner` that of the role which owns it."""

    admin: str = field(repr=False)
    owner: str = field(repr=False)
    settings: Mapping[str, str] = field(repr=False)
    skipped: Mapping[str, str]
    """Relations and indexes (`schema.name`) that are missing here, and why."""
    notes: tuple[str, ...]

    def connect(self, *, admin: bool = False) -> Connection:
        """A session in autocommit with the source's planner settings."""
        connection = psycopg.connect(self.admin if admin else self.owner, autocommit=True, prepare_threshold=None)
        if not admin:
            names, values = list(self.settings), list(self.settings.values())
            connection.execute(
                "SELECT set_config(s.name, s.value, false) FROM unnest(%s::text[], %s::text[]) AS s (name, value)",
                (names, values),
            )
        return connection


def mirrored(scratch: Scratch, source: Source, content: Literal["statistics", "rows"], *, timeout_s: float) -> Mirror:
    """Make the database and fill it within `timeout_s`.

    Raises NotMeasuredError where the source cannot be dumped: the text is one line without values or secrets.
    """
    try:
        return _mirrored(scratch, source, content, time.monotonic() + timeout_s)
    except psycopg.Error as error:
        why = error.diag.message_primary or type(error).__name__
        raise NotMeasuredError(
            f"no scratch database for {source.server.shown}: {why}; see to disk and memory"
        ) from None


def _mirrored(scratch: Scratch, source: Source, content: Content, deadline: float) -> Mirror:
    password = secrets.token_urlsafe(18)
    with psycopg.connect(scratch.dsn, autocommit=True) as connection:
        identity = (sql.Identifier(OWNER), sql.Literal(password))
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(*identity))
        notes = _create_database(connection, source)
    admin = scratch.database(DATABASE)
    owner = scratch.database(DATABASE, user=OWNER, password=password)
    lacking = _create_extensions(admin, source)
    _transfer(source, owner, content, deadline)
    with psycopg.connect(admin, autocommit=True) as connection:
        settings = _known_settings(connection, source)
        skipped = _skipped(connection, source, lacking)
    return Mirror(admin, owner, settings, skipped, tuple(notes))


def _create_database(connection: Connection, source: Source) -> list[str]:
    """Create it with the source's order of text, or the nearest that this machine has; return what is to be said."""
    wanted = source.locale
    encoding = "SQL_ASCII" if wanted.encoding == "SQL_ASCII" else "UTF8"
    if not wanted.linguistic:
        _try_database(connection, encoding, "C")
        return []
    for name in (wanted.collate, *_FALLBACKS):
        with suppress(psycopg.Error):
            _try_database(connection, encoding, name)
            if name == wanted.collate:
                return []
            return [f"text is ordered by {name}, not by {wanted.collate}: ranges of text are estimated roughly"]
    _try_database(connection, encoding, "C")
    return [f"text is ordered by its bytes, not by {wanted.collate}: an index may look fit for LIKE that is not"]


def _try_database(connection: Connection, encoding: str, name: str) -> None:
    connection.execute(
        sql.SQL(
            "CREATE DATABASE {} OWNER {} TEMPLATE template0 STRATEGY file_copy "
            "ENCODING {} LOCALE_PROVIDER libc LOCALE {}"
        ).format(sql.Identifier(DATABASE), sql.Identifier(OWNER), sql.Literal(encoding), sql.Literal(name))
    )


def _create_extensions(admin: str, source: Source) -> list[str]:
    """Create the source's extensions as the superuser, since many need one; return those that are not here."""
    lacking = []
    with psycopg.connect(admin, autocommit=True) as connection:
        for name, schema in source.extensions:
            place = sql.Identifier(schema)
            with suppress(psycopg.errors.InvalidSchemaName, psycopg.errors.ReservedName):
                connection.execute(
                    sql.SQL("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}").format(place, sql.Identifier(OWNER))
                )
            try:
                statement = sql.SQL("CREATE EXTENSION IF NOT EXISTS {} WITH SCHEMA {} CASCADE")
                connection.execute(statement.format(sql.Identifier(name), place))
            except psycopg.Error:
                lacking.append(name)
    return lacking


def _known_settings(connection: Connection, source: Source) -> dict[str, str]:
    """The source's settings that this server knows; abilities of the planner that the source lacks are off."""
    rows = connection.execute("SELECT name FROM pg_settings").fetchall()
    known = {str(row[0]) for row in rows}
    kept = {name: value for name, value in source.settings.items() if name in known}
    newer = {name for name in known if name.startswith("enable_") and name not in source.settings}
    return {**kept, **dict.fromkeys(newer, "off"), "jit": "off"}


def _skipped(connection: Connection, source: Source, lacking: list[str]) -> dict[str, str]:
    """What the source has and the mirror has not."""
    here: set[Name] = set(connection.execute(_RELATIONS))
    reason = "it did not restore: "
    if lacking:
        reason += f"the scratch server lacks the extension {', '.join(lacking)}"
    else:
        reason += "it needs what only a superuser may create, or what it needs did not restore"
    names = [one.name for one in source.relations if one.kind != "v"] + list(source.pages)
    return {".".join(name): reason for name in names if name not in here}


def _transfer(source: Source, owner: str, content: Content, deadline: float) -> None:
    """Dump and restore side by side; whatever ends this process ends both, since each holds an end of the pipe."""
    binaries = installation() / "bin"
    dump = [str(binaries / "pg_dump"), "--format=custom", "--compress=0", *_CONTENT[content], *_LEFT_OUT]
    restore = [
        str(binaries / "pg_restore"),
        "--format=custom",
        "--no-owner",
        "--no-acl",
        "--no-password",
        "--dbname=",
    ]
    with _filter(source) as options, tempfile.TemporaryFile() as said:
        dumping = subprocess.Popen(
            [*dump, f"--lock-wait-timeout={_LOCK_MS}", "--no-password", *options],
            env={**_own_variables(), **_environment(source.server.parameters)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
        )
        restoring = subprocess.Popen(
            restore,
            env=_environment(conninfo_to_dict(owner)),
            stdin=dumping.stdout,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # it quotes statements, and those hold values
        )
        try:
            _close(dumping.stdout)
            restoring.wait(max(deadline - time.monotonic(), 0.0))
            code = dumping.wait(max(deadline - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            raise NotMeasuredError(f"{source.server.shown} could not be dumped in time: try again later") from None
        finally:
            for process in (dumping, restoring):
                process.kill()
                process.wait()
        if code != 0:
            raise NotMeasuredError(f"{source.server.shown} could not be dumped: {_said(source, said)}")


def _close(stream: IO[bytes] | None) -> None:
    """Leave the pipe to the process that reads it, so that the one that writes notices its end."""
    if stream is not None:
        stream.close()


def _said(source: Source, stream: IO[bytes]) -> str:
    """pg_dump's first line, which names an object or a right."""
    stream.seek(0)
    text = stream.read(4096).decode(errors="replace").removeprefix("pg_dump: error: ")
    return source.server.clean(text)


@contextmanager
def _filter(source: Source) -> Iterator[tuple[str, ...]]:
    """Options that leave out the tables nobody asked for; names only, in a file that lives as long as the dump."""
    if not source.excluded:
        yield ()
        return
    with tempfile.NamedTemporaryFile("w", prefix="hasivu-perf-", suffix=".filter") as stream:
        for schema, name in source.excluded:
            stream.write(f"exclude table {_pattern(schema)}.{_pattern(name)}\n")
        stream.flush()
        yield (f"--filter={stream.name}",)


def _pattern(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _environment(parameters: Mapping[str, object]) -> dict[str, str]:
    """Parameters of libpq as its variables: an argv would show the password to every user of the machine."""
    names = {
        option.keyword.decode(): option.envvar.decode() for option in pq.Conninfo.get_defaults() if option.envvar
    }
    given = {names[key]: str(value) for key, value in parameters.items() if key in names and value is not None}
    home = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**home, **given, "PGAPPNAME": "hasivu-perf"}


def _own_variables() -> dict[str, str]:
    """What the user told libpq by variables (a password file, certificates) holds for the source alone."""
    return {name: value for name, value in os.environ.items() if name.startswith("PG")}
