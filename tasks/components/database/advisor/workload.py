"""The statements that a database runs, with what they cost: from pg_stat_statements, or from a file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import postgast

from storage.errors import NotMeasuredError, UsageError
from tasks.components.database.facts import quoted
from tasks.load.database.session import MARK, QueryError, Session

MOST_STATEMENTS = 300
"""How many statements, those that took the most time first, are looked at."""

_TEXT_LIMIT = 400_000
_LONG_LIST = re.compile(r"\(\s*(\$\d+(?:\s*,\s*\$\d+){19})(?:\s*,\s*\$\d+)+\s*\)")
"""A list of more than 20 constants: before PostgreSQL 18 each of them stands in the text."""

_DML = re.compile(
    r"^[\s(]*(/\*.*?\*/\s*)*(select|insert|update|delete|merge|with|values|table)\b", re.IGNORECASE | re.DOTALL
)
_READ = re.compile(r"^[\s(]*(/\*.*?\*/\s*)*(select|with|values|table)\b", re.IGNORECASE | re.DOTALL)
_WRITES_WITHIN = re.compile(r"\b(insert\s+into|update|delete\s+from|merge\s+into)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Statement:
    """One normalised statement.

    `calls`, `total_ms` of planning and execution, rows and WAL bytes are since the counters began; `cancelled` counts
    plans without an execution that ended (only where planning is tracked).
    """

    id: str
    text: str
    calls: float
    total_ms: float
    rows: float = 0.0
    wal_bytes: float = 0.0
    cancelled: float = 0.0
    wal_images: float = 0.0
    """Whole pages that its WAL bytes hold: the first change of each after a checkpoint."""
    blocks: float = 0.0
    """Blocks of tables and indexes that its executions looked at, in the cache or beyond."""

    @property
    def mean_ms(self) -> float:
        """Milliseconds a call; 0 where none ended."""
        return self.total_ms / self.calls if self.calls else 0.0

    @property
    def writes(self) -> bool:
        """Whether it may change data."""
        return not _READ.match(self.text) or bool(_WRITES_WITHIN.search(self.text))

    @property
    def shown(self) -> str:
        """The beginning of its text in one line; normalised texts hold no values."""
        line = " ".join(self.text.split())
        return line if len(line) <= 160 else line[:159] + "…"  # noqa: PLR2004 - a line


def of_server(session: Session) -> tuple[list[Statement], str]:
    """The statements of this database that pg_stat_statements counted, and what it hid from this role, if anything.

    Raises NotMeasuredError where it cannot be read at all.
    """
    found = session.query(
        "SELECT n.nspname AS schema FROM pg_catalog.pg_extension e "
        "JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'"
    )
    if not found:
        raise NotMeasuredError(
            f"{session.server.shown} has no pg_stat_statements: add it to shared_preload_libraries, restart, and "
            "CREATE EXTENSION pg_stat_statements in this database; or give the statements by --workload FILE"
        )
    counted = (
        f"FROM {quoted(found[0]['schema'])}.pg_stat_statements s "  # noqa: S608 - the extension's schema, quoted
        "WHERE s.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()) "
    )
    query = (
        "SELECT s.queryid::text AS id, "
        f"min(left(s.query, {_TEXT_LIMIT})) AS text, sum(s.calls)::float8 AS calls, "
        "sum(s.total_exec_time + s.total_plan_time)::float8 AS total_ms, sum(s.rows)::float8 AS rows, "
        "sum(s.wal_bytes)::float8 AS wal, sum(s.wal_fpi)::float8 AS images, "
        "sum(s.shared_blks_hit + s.shared_blks_read)::float8 AS blocks, "
        "greatest(0, sum(s.plans - s.calls))::float8 AS cancelled "
        f"{counted} AND s.queryid IS NOT NULL GROUP BY s.queryid ORDER BY 4 DESC"
    )
    try:
        rows = session.query(query)
        hidden = session.query(f"SELECT count(*) AS n {counted} AND s.query = '<insufficient privilege>'")[0]["n"]
    except QueryError as error:
        raise NotMeasuredError(
            f"pg_stat_statements of {session.server.shown} could not be read: {error}; {error.remedy}"
        ) from None
    statements = [
        Statement(
            row["id"],
            shortened(row["text"]),
            row["calls"],
            row["total_ms"],
            row["rows"],
            row["wal"],
            row["cancelled"],
            row["images"],
            row["blocks"],
        )
        for row in rows
        if row["text"] and MARK not in row["text"] and _DML.match(row["text"])
    ]
    user = session.server.user
    note = f"{hidden} statements of others are hidden from role {user}: GRANT pg_read_all_stats TO {quoted(user)}"
    return _merged(statements)[:MOST_STATEMENTS], note if hidden else ""


def shortened(text: str) -> str:
    """The text with the first of the constants of each long list."""
    return _LONG_LIST.sub(r"(\1)", text)


def of_file(path: Path) -> list[Statement]:
    """Statements of a file, separated by semicolons, each as if it ran once; raises UsageError."""
    try:
        text = path.read_text(encoding="utf-8")
        parts = postgast.split(text)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the workload {path} cannot be read: {error.__class__.__name__}") from None
    except postgast.PgQueryError as error:
        raise UsageError(
            f"the workload {path} is no SQL: {error.args[0] if error.args else 'syntax error'}"
        ) from None
    found = [Statement(str(number), one.strip(), 1, 0.0) for number, one in enumerate(parts, 1) if one.strip()]
    return [one for one in found if _DML.match(one.text)]


def _merged(statements: Sequence[Statement]) -> list[Statement]:
    """Entries of one text (by other users, or after a change of the search path) added up."""
    found: dict[str, Statement] = {}
    for one in statements:
        before = found.get(one.text)
        found[one.text] = (
            one
            if before is None
            else replace(
                before,
                calls=before.calls + one.calls,
                total_ms=before.total_ms + one.total_ms,
                rows=before.rows + one.rows,
                wal_bytes=before.wal_bytes + one.wal_bytes,
                cancelled=before.cancelled + one.cancelled,
                wal_images=before.wal_images + one.wal_images,
                blocks=before.blocks + one.blocks,
            )
        )
    return sorted(found.values(), key=lambda one: -one.total_ms)
