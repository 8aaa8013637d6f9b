"""Replays reads before and after a change: EXPLAIN (ANALYZE, BUFFERS) in READ ONLY transactions, under a time-out.

Which reads: the environment's own `[[database.statements]]`, and those of the workload that take the most time and
mention the table, with values that statistics hold in the place of `$n`. Such texts hold personal data: they live in
memory, are run, and are never shown or stored. A read that calls a volatile function is not replayed: it might do
something.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deployments.changes import ChangeSettings
from deployments.config import DatabaseSettings
from storage.errors import NotMeasuredError
from tasks.components.database import facts as server_facts
from tasks.components.database import partitions
from tasks.components.database.advisor import catalog as catalogs
from tasks.components.database.advisor import fill
from tasks.components.database.advisor.explain import nodes
from tasks.components.database.advisor.statement import UnparsableError, parse
from tasks.components.database.change.records import Replay, Step, shares
from tasks.components.database.change.understand import functions_of, kind_of, parsed, tables_of
from tasks.components.database.facts import Facts, quoted
from tasks.components.database.statements import label, safe_text
from tasks.load.database.session import MARK, QueryError, Session
from tasks.load.database.worker import draw

SEED = 20_260_302
"""Of the values of the environment's reads: the same before and after, and in the next run."""

_EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "
_PSYCOPG = re.compile(r"%\((\w+)\)s")

_VOLATILE = """
SELECT DISTINCT p.proname AS name FROM pg_catalog.pg_proc p
WHERE p.proname = ANY(%(names)s) AND p.provolatile = 'v' AND p.prokind IN ('f', 'p')"""


@dataclass(frozen=True)
class Read:
    """One read that is replayed; `text` holds values and stays in memory, `shown` is what people see."""

    id: str
    shown: str
    text: str = field(repr=False)
    values: Mapping[str, Any] | None = field(default=None, repr=False)
    calls: int = 1

    @property
    def digest(self) -> str:
        """Twelve digits that tell one text with its values from another."""
        content = json.dumps([self.text, dict(self.values or {})], sort_keys=True, default=str)
        return hashlib.sha256(content.encode()).hexdigest()[:12]


def chosen(
    session: Session, step: Step, reads: DatabaseSettings, settings: ChangeSettings
) -> tuple[list[Read], list[str]]:
    """The reads that mention the table, and why others are not replayed."""
    notes: list[str] = []
    found = list(_own(reads, step.table))
    try:
        found += _of_workload(session, step.table, settings.replay_statements, notes)
    except (QueryError, NotMeasuredError) as error:
        notes.append(f"reads of the workload are not replayed: {error}")
    refused = _volatile(session, found)
    notes += [f"{read.shown} is not replayed: it calls {name}, which is volatile" for read, name in refused]
    kept = {id(read) for read, _ in refused}
    return [read for read in found if id(read) not in kept], notes


def _own(reads: DatabaseSettings, table: str) -> Iterator[Read]:
    """The environment's reads that mention the table, with values that are drawn anew for none of them."""
    values = draw(reads.values, random.Random(SEED))  # noqa: S311 - a fixed draw, not a secret
    for one in reads.statements:
        tree = parsed(_PSYCOPG.sub("NULL", one.sql).replace("%%", "%"))
        if tree is not None and kind_of(tree) == "read" and table in tables_of(tree):
            yield Read(one.name, one.name, one.sql, values)


def _of_workload(session: Session, table: str, most: int, notes: list[str]) -> list[Read]:
    known = server_facts.read(session)
    if known.extension is None or most == 0:
        notes.append(known.extension_problem) if known.extension is None else None
        return []
    rows = [row for row in _costly(session, known) if _may_run(row["text"], table)][:most]
    if not rows:
        return []
    catalog = catalogs.read(session)
    found: list[Read] = []
    for row in rows:
        shown = label(str(row["queryid"]), safe_text(row["text"]))
        try:
            taken = parse(row["text"], catalog)
            texts = fill.filled(row["text"], taken, fill.read(session, [taken]))
        except UnparsableError as error:
            notes.append(f"{shown} is not replayed: {error}")
            continue
        whole = [one.text for one in texts if one.whole]
        if not whole:
            notes.append(f"{shown} is not replayed: no values are known for its parameters")
        calls = max(1, int(row["calls"]) // max(1, len(whole)))
        found += [
            Read(f"{row['queryid']}/{number}", shown, text, None, calls) for number, text in enumerate(whole, start=1)
        ]
    return found


def _costly(session: Session, known: Facts) -> list[dict[str, Any]]:
    """The statements of this database that took the most time since its counters began, once for each queryid."""
    return session.query(
        "SELECT queryid, min(query) AS text, sum(calls)::float8 AS calls "  # noqa: S608 - quoted
        f"FROM {quoted(known.extension or '')}.pg_stat_statements(true) "
        "WHERE dbid = %(database)s AND queryid IS NOT NULL AND query !~ %(mark)s "
        "GROUP BY queryid ORDER BY sum(total_exec_time) DESC LIMIT 500",
        {"database": known.database_oid, "mark": re.escape(MARK)},
    )


def _may_run(text: str | None, table: str) -> bool:
    tree = parsed(text) if text else None
    return tree is not None and kind_of(tree) == "read" and table in tables_of(tree)


def _volatile(session: Session, reads: Sequence[Read]) -> list[tuple[Read, str]]:
    """Reads that call a volatile function, with its name; a text that cannot be parsed counts as one."""
    trees = {id(read): parsed(_PSYCOPG.sub("NULL", read.text)) for read in reads}
    names = {name for tree in trees.values() if tree is not None for name in functions_of(tree)}
    bad = {row["name"] for row in session.query(_VOLATILE, {"names": sorted(names)})} if names else set()
    found = []
    for read in reads:
        tree = trees[id(read)]
        called = sorted(functions_of(tree) & bad) if tree is not None else ["something unreadable"]
        if called:
            found.append((read, called[0]))
    return found


def replayed(session: Session, read: Read, runs: int) -> tuple[Replay | None, str]:
    """Run a read once to warm the cache and then `runs` times; None and why where it fails.

    The session is read-only and its time-out is that of a run. A read that is late is not run again.
    """
    if not session.pooled and session.query("SHOW transaction_read_only")[0]["transaction_read_only"] != "on":
        return None, "the session is not read-only"
    answers = []
    for _ in range(runs + 1):
        try:
            rows = session.query(_EXPLAIN + read.text.rstrip("; \n\t"), read.values)
        except QueryError as error:
            if error.kind == "timeout":
                return _late(read, session.timeout_ms), ""
            return None, f"{read.shown} could not be replayed: {_reason(error)}"
        answers.append(_first(rows))
    times = [float(one["Planning Time"]) + float(one["Execution Time"]) for one in answers[1:]]
    low, middle, high = shares(times)
    tree = answers[-1]["Plan"]
    return Replay(
        id=read.id,
        digest=read.digest,
        shown=read.shown,
        calls=read.calls,
        n=len(times),
        median_ms=middle,
        low_ms=low,
        high_ms=high,
        buffers=int(tree.get("Shared Hit Blocks", 0)) + int(tree.get("Shared Read Blocks", 0)),
        plan=_plan(tree),
        indexes=tuple(sorted({str(node["Index Name"]) for node in nodes(tree) if "Index Name" in node})),
    ), ""


def part_names(session: Session, step: Step) -> frozenset[str]:
    """The names that the index of a step has on the partitions of its table, where that is partitioned."""
    if not step.partitioned:
        return frozenset()
    found = partitions.read(session, step.schema_name, step.table)
    return frozenset(partitions.part_name(step.name, one) for one in found)


def by_whole(one: Replay, name: str, names: Collection[str]) -> Replay:
    """A replay in whose indexes the parts of an index count as that index."""
    used = {name if index in names else index for index in one.indexes}
    return one.model_copy(update={"indexes": tuple(sorted(used))})


def _reason(error: QueryError) -> str:
    """Why, without the server's words where they may quote a value."""
    return f"a value does not fit (SQLSTATE {error.state})" if error.state.startswith("22") else str(error)


def _late(read: Read, limit_ms: float) -> Replay:
    return Replay(
        id=read.id,
        digest=read.digest,
        shown=read.shown,
        calls=read.calls,
        n=1,
        median_ms=limit_ms,
        low_ms=limit_ms,
        high_ms=limit_ms,
        buffers=0,
        plan="",
        late=True,
    )


def _first(rows: list[dict[str, Any]]) -> Mapping[str, Any]:
    value = next(iter(rows[0].values()))
    found: Mapping[str, Any] = (json.loads(value) if isinstance(value, str) else value)[0]
    return found


def _plan(tree: Mapping[str, Any]) -> str:
    """Nodes, tables and indexes of a plan, without any figure or value."""
    parts = (
        "/".join(str(node[name]) for name in ("Node Type", "Relation Name", "Index Name") if name in node)
        for node in nodes(tree)
    )
    return " > ".join(parts)
