"""Extended statistics of the source, brought to a twin: pg_dump of version 18 brings their definitions alone.

The catalog's own binary values are copied: which columns depend on each other, how many combinations there are, and
the most common ones. They name columns by number, so that they fit where the numbers are the same, which is where no
column was ever dropped; and combinations of types that the database made itself are left behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, LiteralString

import psycopg

from tasks.components.database.advisor.mirror import Connection
from tasks.components.database.advisor.source import Source
from tasks.components.database.facts import PG15
from tasks.load.database.session import QueryError, Session

_FIRST_OWN_OID = 16_384
"""Objects below this oid are PostgreSQL's own and have it in every database."""

_READ = """
SELECT tn.nspname || '.' || t.relname AS relation, n.nspname AS schema, s.stxname AS name,
       pg_catalog.array_to_string(s.stxkeys::int2[], ' ') AS keys,
       {inherited} AS inherited,
       d.stxdndistinct::bytea AS ndistinct, d.stxddependencies::bytea AS dependencies,
       CASE WHEN (SELECT pg_catalog.max(a.atttypid::int8) FROM pg_catalog.pg_attribute a
         WHERE a.attrelid = s.stxrelid AND a.attnum = ANY (s.stxkeys)) < %(own)s THEN d.stxdmcv::bytea END AS mcv
FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace
JOIN pg_catalog.pg_class t ON t.oid = s.stxrelid JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
LEFT JOIN pg_catalog.pg_statistic_ext_data d ON d.stxoid = s.oid"""

_CASTS: LiteralString = """
CREATE CAST (bytea AS pg_ndistinct) WITHOUT FUNCTION;
CREATE CAST (bytea AS pg_dependencies) WITHOUT FUNCTION;
CREATE CAST (bytea AS pg_mcv_list) WITHOUT FUNCTION"""

_WRITE: LiteralString = """
INSERT INTO pg_catalog.pg_statistic_ext_data (stxoid, stxdinherit, stxdndistinct, stxddependencies, stxdmcv)
SELECT s.oid, %(inherited)s, CAST(%(ndistinct)s::bytea AS pg_ndistinct),
       CAST(%(dependencies)s::bytea AS pg_dependencies), CAST(%(mcv)s::bytea AS pg_mcv_list)
FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace
WHERE n.nspname = %(schema)s AND s.stxname = %(name)s
  AND pg_catalog.array_to_string(s.stxkeys::int2[], ' ') = %(keys)s"""


@dataclass(frozen=True, slots=True)
class Extended:
    """The extended statistics of a source; `problem` says why they could not be read, if so. Holds values of rows."""

    objects: tuple[Mapping[str, Any], ...] = field(repr=False)
    problem: str = ""


def read(session: Session, source: Source) -> Extended:
    """Read those of the tables that were asked for; where the right is missing none, and why."""
    wanted = {one.shown for one in source.relations}
    inherited = "d.stxdinherit" if session.version >= PG15 else "false"
    try:
        rows = session.query(_READ.format(inherited=inherited), {"own": _FIRST_OWN_OID})
        return Extended(tuple(row for row in rows if row["relation"] in wanted))
    except QueryError as error:
        return Extended((), str(error))


def write(admin: Connection, extended: Extended) -> list[str]:
    """Give the twin those that fit; return a line on those that it lacks."""
    if extended.problem:
        return [f"extended statistics could not be read: {extended.problem}"]
    if not extended.objects:
        return []
    admin.execute(_CASTS)
    lacking = [f"{one['schema']}.{one['name']}" for one in extended.objects if not _written(admin, one)]
    return [f"extended statistics without data here: {', '.join(lacking)}"] if lacking else []


def _written(admin: Connection, one: Mapping[str, Any]) -> bool:
    """Whether the twin took it: it was analysed on the source, and is defined here over the same column numbers."""
    if all(one[name] is None for name in ("ndistinct", "dependencies", "mcv")):
        return False
    try:
        return admin.execute(_WRITE, one).rowcount == 1
    except psycopg.Error:  # the caller names it as lacking
        return False
