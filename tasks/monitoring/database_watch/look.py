"""The watch's three questions to the server: who is busy, which statements were slow, what is a statement's text.

Each of the first two answers one row of JSON and the server's own time for it: a client that decodes thousands of
columns would cost more than the server. The slow ones are filtered by `max_exec_time`, which is sound: no mean of a
period can be above a limit that no call ever was above.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from tasks.components.database import statements
from tasks.components.database.facts import PG14, PG17, Facts, quoted
from tasks.load.database.session import APPLICATION, MARK, Row, Session, marked
from tasks.monitoring.database_watch.judge import Counters, Limits, Look
from tasks.monitoring.database_watch.text import masked

_SERVER_MS = "extract(epoch FROM clock_timestamp() - statement_timestamp())::float8 * 1000 AS server_ms"

_LOOK = """
WITH s AS MATERIALIZED (
  SELECT pid, usesysid, coalesce(application_name, '') AS application, datid = {database} AS here, state,
         extract(epoch FROM clock_timestamp() - a.query_start)::float8 AS query_s,
         extract(epoch FROM clock_timestamp() - a.state_change)::float8 AS state_s,
         extract(epoch FROM a.query_start)::float8 AS query_start,
         extract(epoch FROM a.xact_start)::float8 AS xact_start,
         extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS transaction_s,
         CASE WHEN state = 'active' AND wait_event_type = 'Lock' AND datid = {database}
              THEN pg_catalog.pg_blocking_pids(pid) ELSE '{}' END AS blocked_by,
         {query_id}::text AS queryid
  FROM pg_catalog.pg_stat_get_activity(NULL) a WHERE backend_type = 'client backend'
), shown AS (
  SELECT pid, pg_catalog.pg_get_userbyid(usesysid) AS "user", application, state, query_s, state_s, query_start,
         xact_start, transaction_s, blocked_by, queryid, here AND application <> {own} AS watched
  FROM s WHERE pid IN (SELECT unnest(blocked_by) FROM s)
     OR here AND application <> {own} AND (
        state = 'active' AND (query_s * 1000 > {slow} OR blocked_by <> '{}')
        OR state LIKE 'idle in transaction%' AND state_s >= {idle})
)
SELECT (SELECT count(*) FROM s) AS connections,
       (SELECT coalesce(json_agg(g), '[]') FROM (
          SELECT here, application, state, count(*) AS sessions FROM s WHERE application <> {own} GROUP BY 1, 2, 3) g
       ) AS groups,
       (SELECT coalesce(json_agg(shown), '[]') FROM shown) AS sessions, {server_ms}"""

_COUNTERS = """
SELECT (SELECT coalesce(json_agg(p), '[]') FROM (
          SELECT userid::bigint, queryid, {toplevel}, {since}, {columns}, max_exec_time AS max_ms
          FROM {schema}.pg_stat_statements(false)
          WHERE dbid = {database} AND queryid IS NOT NULL AND max_exec_time > {slow}) p) AS rows,
       {reset} AS reset, extract(epoch FROM statement_timestamp())::float8 AS at, {server_ms}"""

_RUNNING = """
SELECT query FROM pg_catalog.pg_stat_get_activity(%(pid)s)
WHERE extract(epoch FROM query_start)::float8 = %(query_start)s"""


@dataclass(frozen=True)
class Known:
    """What a statement is called; `own` is whether it is one of this program's, which are never told."""

    text: str
    own: bool = False


@dataclass(frozen=True)
class Source:
    """A session of the watch and what is known of its server; each question raises `QueryError` without an answer."""

    session: Session
    facts: Facts
    look_sql: str
    counters_sql: str

    @classmethod
    def of(cls, session: Session, facts: Facts, limits: Limits) -> Self:
        """Prepare the questions: planning them anew each time would double what they cost. A pooler forbids that."""
        texts = {
            "look_sql": _look(facts, limits),
            "counters_sql": _counters(facts, limits) if facts.extension else "",
        }
        if not session.pooled:
            for name, text in texts.items():
                if text:
                    session.run(f"PREPARE hasivu_{name} AS {marked(text)}")
                    texts[name] = f"EXECUTE hasivu_{name}"
        return cls(session, facts, **texts)

    def look(self) -> tuple[Look, float]:
        """Look at the sessions; with the server's time in ms."""
        row = self.session.query(self.look_sql)[0]
        return Look(row["connections"], row["sessions"], row["groups"]), row["server_ms"]

    def counters(self) -> tuple[Counters, float]:
        """Poll the statements that ever were slower than the limit; with the server's time in ms."""
        row = self.session.query(self.counters_sql)[0]
        rows = {(one["userid"], one["queryid"], one["toplevel"]): one for one in row["rows"]}
        return Counters(rows, reset=row["reset"], at=row["at"]), row["server_ms"]

    def texts(self, queryids: Sequence[int]) -> dict[str, tuple[Known, str | None]]:
        """Texts and roles of statements by queryid, as pg_stat_statements has them; one that it has not is absent."""
        if self.facts.extension is None or not queryids:
            return {}
        found = statements.texts(self.session, self.facts, [(0, queryid, True) for queryid in queryids])
        return {
            str(key[1]): (Known(masked(row["text"]), MARK in row["text"]), row["user"])
            for key, row in found.items()
            if _readable(row["text"])
        }

    def running_text(self, row: Row) -> Known | None:
        """The text of a session's statement, masked; None where it has gone on to another, or the text is hidden."""
        values: dict[str, Any] = {"pid": row["pid"], "query_start": row["query_start"]}
        found = self.session.query(_RUNNING, values)
        text = found[0]["query"] if found else None
        return Known(masked(text), MARK in text) if text and _readable(text) else None


def _look(facts: Facts, limits: Limits) -> str:
    return _filled(_LOOK, facts, limits, query_id="a.query_id" if facts.version >= PG14 else "NULL::bigint")


def _counters(facts: Facts, limits: Limits) -> str:
    schema = quoted(facts.extension or "")
    reset = f"(SELECT stats_reset FROM {schema}.pg_stat_statements_info)"  # noqa: S608 - quoted
    since = "extract(epoch FROM stats_since)::float8 AS stats_since"
    return _filled(
        _COUNTERS,
        facts,
        limits,
        toplevel="toplevel" if facts.version >= PG14 else "true AS toplevel",
        columns=statements.COLUMNS,
        since=since if facts.version >= PG17 else "NULL::float8 AS stats_since",
        reset=reset if facts.version >= PG14 else "NULL::timestamptz",
        schema=schema,
    )


def _filled(sql: str, facts: Facts, limits: Limits, **parts: str) -> str:
    """The text with all its values in it: numbers of ours, so that it goes as one simple message."""
    values = {
        **parts,
        "server_ms": _SERVER_MS,
        "database": f"{facts.database_oid:d}",
        "own": f"'{APPLICATION}'",
        "slow": f"{limits.slow_ms:f}",
        "idle": f"{limits.idle_in_transaction_s:f}",
    }
    for name, value in values.items():
        sql = sql.replace(f"{{{name}}}", value)
    return sql


def _readable(text: str | None) -> bool:
    """Whether the server told a text, and not why it tells none (`<insufficient privilege>`)."""
    return bool(text) and not str(text).startswith("<")
