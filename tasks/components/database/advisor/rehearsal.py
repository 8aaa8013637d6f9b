"""A rehearsal: real rows on a scratch server, to see by the clock what the planner's costs only promise.

    with Rehearsal.of(session, [("public", "orders")], limit_bytes=2_000_000_000) as copy:
        before = copy.run("SELECT * FROM orders WHERE user_id = 7", timeout_s=10, repeat=5)
        copy.build(index)
        after = copy.run("SELECT * FROM orders WHERE user_id = 7", timeout_s=10, repeat=5)

The copy holds personal data as long as it lives; its files are ours alone and gone at the end. Copying reads every
row of the tables once: the caller decides whether the source can bear that.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString, Self

import psycopg

from deployments.hosting.folders import cache_folder
from storage.errors import NotMeasuredError
from tasks.components.database.advisor.explain import nodes, parameter_types, plan_of, reason
from tasks.components.database.advisor.mirror import Connection, Mirror, mirrored
from tasks.components.database.advisor.processor import processor_ms
from tasks.components.database.advisor.records import Index, PlanError, quoted
from tasks.components.database.advisor.risk import at_risk
from tasks.components.database.advisor.scratch import scratch_server
from tasks.components.database.advisor.source import Name, Source
from tasks.load.database.session import Session

DISK_FACTOR = 3
"""Free disk that a copy needs, as a multiple of the tables."""

BUILD_S = 600.0
DRAW_MS = 1_500
_MB = 1_000_000
_SHARED_BUFFERS = 512
_MEMORY_SHARE = 8
_PARTS: LiteralString = """
WITH RECURSIVE tree AS (SELECT %s::regclass::oid AS oid
  UNION ALL SELECT h.inhrelid FROM tree t JOIN pg_inherits h ON h.inhparent = t.oid)
SELECT c.relname, coalesce(pg_relation_size(c.oid), 0) FROM tree JOIN pg_class c USING (oid)"""
_SHOWN: LiteralString = """
WITH RECURSIVE tree AS (SELECT %s AS shown, %s::regclass::oid AS oid
  UNION ALL SELECT t.shown, h.inhrelid FROM tree t JOIN pg_inherits h ON h.inhparent = t.oid)
UPDATE pg_catalog.pg_index SET indisvalid = tree.shown FROM tree WHERE indexrelid = tree.oid"""
_TIMED: LiteralString = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, SERIALIZE TEXT, FORMAT JSON) "
_WRITTEN: LiteralString = "EXPLAIN (ANALYZE, WAL, TIMING OFF, FORMAT JSON) "


@dataclass(frozen=True, slots=True)
class Timing:
    """Run time of a statement with a warm cache: `median_ms` of `n` runs, planning and output included; its rows.

    Where one process did all the work, time is counted while it was on a processor: what else runs on the machine
    meanwhile changes nothing.
    """

    median_ms: float
    rows: float
    n: int
    least_ms: float
    indexes: frozenset[str]
    """Names of the indexes in the last run's plan; of an index of a partition that of the whole table's."""
    risk: float
    """What the plan puts at risk (see risk.py), as a multiple of its cost."""
    blocks: float
    """Blocks of tables and indexes that the last run looked at."""


@dataclass(frozen=True, slots=True)
class Written:
    """What one write statement costs: WAL bytes without page images, rows that it touched, milliseconds."""

    wal_bytes: int
    rows: float
    median_ms: float


@dataclass(frozen=True, slots=True)
class _Run:
    """One execution: EXPLAIN's plan, and milliseconds."""

    plan: Mapping[str, Any]
    ms: float


class Rehearsal:
    """A copy of some tables with their indexes; made by `of`. One thread at a time."""

    how = "rehearsed on a copy"

    def __init__(self, mirror: Mirror, stack: ExitStack) -> None:
        """Use `of`, which ends everything at the end of its context."""
        self.skipped: Mapping[str, str] = mirror.skipped
        """Relations and indexes that could not be copied, and why."""
        self.notes: tuple[str, ...] = mirror.notes
        self._connection: Connection = stack.enter_context(mirror.connect())
        self._admin: Connection = stack.enter_context(mirror.connect(admin=True))
        self._connection.execute("VACUUM (ANALYZE)")
        self._whole: dict[str, str] = {}

    @classmethod
    @contextmanager
    def of(
        cls, session: Session, tables: Collection[Name] | None, *, limit_bytes: int, timeout_s: float = 600.0
    ) -> Iterator[Self]:
        """Copy `tables` (None is all) of the database that `session` is connected to.

        Raises NotMeasuredError where they are larger than `limit_bytes`, the disk has less than three times their
        size left, or the copy takes longer than `timeout_s`.
        """
        source = Source.read(session, tables)
        _affordable(source, limit_bytes)
        with scratch_server(_settings()) as scratch, ExitStack() as stack:
            mirror = mirrored(scratch, source, "rows", timeout_s=timeout_s)
            yield cls(mirror, stack)

    def run(self, text: str, *, timeout_s: float, repeat: int = 5, warm: bool = True) -> Timing:
        """Run a read `repeat` times after one run that warms the cache; raises PlanError where it fails or is late.

        Nothing can be written: each run is a READ ONLY transaction.
        """
        if warm:
            self._once(_TIMED, text, timeout_s, read_only=True)
        runs = [self._once(_TIMED, text, timeout_s, read_only=True) for _ in range(max(1, repeat))]
        plan = runs[-1].plan
        used = frozenset(self._whole.get(name, name) for name in plan_of(plan).indexes)
        times = [run.ms for run in runs]
        risk = at_risk(plan) / max(float(plan["Total Cost"]), 1e-3)
        blocks = float(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
        return Timing(statistics.median(times), _rows(plan), len(runs), min(times), used, risk, blocks)

    def types(self, text: str) -> list[str]:
        """The types of a text's parameters, by number; raises PlanError."""
        return parameter_types(self._connection, text)

    def draw(self, text: str) -> list[tuple[str | None, ...]]:
        """Rows of a query that draws some by chance, the same ones each time; raises PlanError."""
        try:
            self._connection.execute(f"BEGIN READ ONLY; SET LOCAL statement_timeout = {DRAW_MS}".encode())
            self._connection.execute("SELECT setseed(0.5)")
            return self._connection.execute(text.encode(), prepare=False).fetchall()
        except psycopg.Error as error:
            raise PlanError(reason(error)) from None
        finally:
            self._connection.execute("ROLLBACK")

    def write(self, text: str, *, timeout_s: float, repeat: int = 3) -> Written:
        """Run a write `repeat` times, each time rolled back, and measure its WAL; raises PlanError."""
        runs = [self._once(_WRITTEN, text, timeout_s, read_only=False) for _ in range(max(1, repeat))]
        wal = statistics.median(int(run.plan.get("WAL Bytes", 0)) for run in runs)
        return Written(int(wal), _rows(runs[-1].plan), statistics.median(run.ms for run in runs))

    def build(self, index: Index) -> tuple[int, float]:
        """Really build an index; return its bytes and the seconds it took. Raises PlanError."""
        start = time.monotonic()
        self._execute(index.definition().encode(), BUILD_S)
        seconds = time.monotonic() - start
        parts = self._connection.execute(_PARTS, (f"{quoted(index.schema)}.{quoted(index.name)}",)).fetchall()
        self._whole |= {name: index.name for name, _ in parts}
        if any(key.column is None for key in index.keys):
            self._execute(f"ANALYZE {quoted(index.schema)}.{quoted(index.table)}".encode(), BUILD_S)
        return sum(size for _, size in parts), seconds

    def show(self, index: Index, *, shown: bool = True) -> None:
        """Let plans use an index that `build` built, or not: quicker than to drop it and to build it again."""
        self._admin.execute(_SHOWN, (shown, f"{quoted(index.schema)}.{quoted(index.name)}"))

    def drop(self, index: Index) -> None:
        """Drop an index that `build` built; one that is not there is no error."""
        self._execute(f"DROP INDEX IF EXISTS {quoted(index.schema)}.{quoted(index.name)}".encode(), BUILD_S)

    def _once(self, options: str, text: str, timeout_s: float, *, read_only: bool) -> _Run:
        """One execution, whose transaction is rolled back."""
        pid = self._connection.info.backend_pid
        begin = "BEGIN READ ONLY" if read_only else "BEGIN"
        try:
            self._connection.execute(begin.encode())
            self._connection.execute(f"SET LOCAL statement_timeout = {int(timeout_s * 1000)}".encode())
            statement = (options + text.rstrip("; \n\t")).encode()
            before = processor_ms(pid)
            row = self._connection.execute(statement, prepare=False, binary=True).fetchone()
            after = processor_ms(pid)
        except psycopg.Error as error:
            raise PlanError(reason(error)) from None
        finally:
            self._connection.execute("ROLLBACK")
        answer = row[0] if row else "[]"
        found: dict[str, Any] = (json.loads(answer) if isinstance(answer, str) else answer)[0]
        own = after - before if before is not None and after is not None else None
        return _Run(found["Plan"], _ms(found, own))

    def _execute(self, statement: bytes, timeout_s: float) -> None:
        try:
            self._connection.execute(f"SET statement_timeout = {int(timeout_s * 1000)}".encode())
            self._connection.execute(statement)
        except psycopg.Error as error:
            raise PlanError(reason(error)) from None


def _affordable(source: Source, limit_bytes: int) -> None:
    """Refuse a copy that is larger than the caller allows or the disk bears."""
    if source.total_bytes > limit_bytes:
        raise NotMeasuredError(
            f"a rehearsal of {source.server.shown} would copy {source.total_bytes / _MB:.0f} MB, the limit is "
            f"{limit_bytes / _MB:.0f} MB: raise it, or name fewer tables"
        )
    free = shutil.disk_usage(cache_folder()).free
    if free < DISK_FACTOR * source.total_bytes:
        raise NotMeasuredError(
            f"a rehearsal of {source.server.shown} needs {DISK_FACTOR * source.total_bytes / _MB:.0f} MB of disk, "
            f"{free / _MB:.0f} MB are free: free some, or set XDG_CACHE_HOME to another disk"
        )


def _settings() -> dict[str, str]:
    """Buffers of an eighth of the memory, 512 MB at most: what is timed should come from memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    buffers = min(_SHARED_BUFFERS, max(32, memory // _MEMORY_SHARE // 2**20))
    return {"shared_buffers": f"{buffers}MB", "maintenance_work_mem": "128MB", "max_wal_size": "4GB"}


def _ms(run: Mapping[str, Any], processor: float | None) -> float:
    """What PostgreSQL's clock says, or the time on a processor where that is less: the rest was waiting for one.

    Of a parallel plan its clock alone: the leader's processor time is not the whole.
    """
    clock = float(run["Planning Time"]) + float(run["Execution Time"])
    parallel = any(node.get("Workers Launched", 0) for node in nodes(run["Plan"]))
    return clock if processor is None or parallel else min(clock, processor)


def _rows(plan: Mapping[str, Any]) -> float:
    """Rows that came out; of a write without RETURNING those that it was handed."""
    if plan["Node Type"] == "ModifyTable" and not plan["Actual Rows"]:
        return sum(_rows(part) for part in plan.get("Plans", ()))
    return float(plan["Actual Rows"]) * float(plan["Actual Loops"])
