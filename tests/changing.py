"""A shop whose indexes are changed by tests: its tables, its work, a writer that times its waits, and requests."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psycopg

from deployments.changes import ChangeSettings
from deployments.config import ENVIRONMENTS, DatabaseSettings, ReadStatement
from deployments.hosting.guardian import Service
from deployments.hosting.postgres import answers, programs, run_to_end, start
from storage.parquet import Store
from storage.runs import new_run_name
from tasks.components.database.advisor.evidence import Advice, Evidence, Recommendation
from tasks.components.database.change import plan as plans
from tasks.components.database.change.ledger import Ledger
from tasks.components.database.change.records import ChangePlan, Entry, Outcome
from tasks.components.database.change.run import Request, optimize
from tasks.load.database.session import parse
from tests.behind import asking, behind
from tests.databases import Database

TABLES = ("public.orders", "public.tags", "public.parted", "public.visits")

SCHEMA = (
    """CREATE TABLE orders (id bigint PRIMARY KEY, customer integer, status text, created_at timestamptz,
        total integer, note text)""",
    """INSERT INTO orders SELECT n, 1 + (hashint8(n) & 2147483647) % 4000,
        CASE WHEN hashint8(n) & 65535 > 65500 THEN 'open' ELSE 'done' END,
        now() - (hashint8(n) & 65535) * interval '1 minute', n % 500, repeat('x', 80)
        FROM generate_series(1, 60000) n""",
    "CREATE TABLE tags (id integer PRIMARY KEY, name text)",
    "INSERT INTO tags SELECT n, 'tag ' || n FROM generate_series(1, 500) n",
    "CREATE TABLE parted (id integer, day date) PARTITION BY RANGE (day)",
    """CREATE FUNCTION slow(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS
        $$ BEGIN IF $1 % 10000 = 0 THEN PERFORM pg_sleep(1); END IF; RETURN $1; END $$""",
)
"""Open orders are the oldest, which the planner cannot know. An index over `slow(id)` takes 6 s to build."""

ADMIN = ("CREATE EXTENSION pg_stat_statements", "GRANT pg_monitor TO hasivu_app")

GOOD = ("hasivu_perf_customer", "public.orders (customer)")
USELESS = ("hasivu_perf_total", "public.orders (note, total)")
HARMFUL = ("hasivu_perf_created", "public.orders (created_at)")
SLOW = ("hasivu_perf_slow", "public.orders (slow(id::integer))")

CREATED_OPEN = "SELECT id, total FROM orders WHERE status = 'open' ORDER BY created_at DESC LIMIT 5"
OF_CUSTOMER = "SELECT id, total FROM orders WHERE customer = %(n)s"
OF_TAGS = "SELECT name FROM tags WHERE id = 5"

READS = DatabaseSettings(
    statements=(ReadStatement(name="orders of a customer", sql="SELECT id, total FROM orders WHERE customer = 77"),)
)


def prepare(server: Database) -> None:
    """Make the shop, owned by the application's role."""
    server.run(*ADMIN)
    server.run(*SCHEMA, url=server.application)
    server.run("VACUUM (ANALYZE) orders", "VACUUM (ANALYZE) tags")


def row(name: str, what: str, *, drop: bool = False) -> dict[str, str]:
    """One recommendation."""
    way = "" if what.startswith("ONLY ") else "CONCURRENTLY "
    pair = (f"CREATE INDEX {way}{name} ON {what}", f"DROP INDEX CONCURRENTLY public.{name}")
    return dict(zip(("sql", "drop"), pair[::-1] if drop else pair, strict=True))


def advice(name: str, what: str) -> Advice:
    """Advice of one index on orders."""
    made = row(name, what)
    table = what.split(maxsplit=1)[0]
    evidence = Evidence(table, "for a test", (), (), (), 0, "estimated", 0.0, {}, "not tested", "low")
    return Advice((Recommendation(made["sql"], made["drop"], evidence),))


def plan(*rows: dict[str, str]) -> ChangePlan:
    """A plan of these recommendations."""
    allowed = plans.Allowed(TABLES, drop=True)
    return plans.read(json.dumps({"recommendations": rows}), "plan.json", allowed)


def settings(**changes: Any) -> ChangeSettings:
    """Short windows, and limits that a test can wait for."""
    given = {"allow": True, "tables": TABLES, "window_s": 0.8, "transaction_age_s": 2.0, "replay_timeout_s": 5}
    return ChangeSettings.model_validate({**given, **changes})


_CHANGES = """
[database.changes]
allow = true
tables = ["public.orders"]
address = "OWNER_URL"
window_s = 0.2
"""
_READS = """
[[database.statements]]
name = "orders of a customer"
sql = "SELECT id, total FROM orders WHERE customer = 77"
"""


def write_environments(folder: Path) -> None:
    """Environment files whose database may be changed; OWNER_URL is its address."""
    for name in ("development", "production"):
        text = (ENVIRONMENTS / f"{name}.toml").read_text(encoding="utf-8")
        text = re.sub(r"\[database\.changes\].*?\n\n", "", text, flags=re.DOTALL)
        (folder / f"{name}.toml").write_text(text + _READS + _CHANGES)


def plan_file(folder: Path, *rows: dict[str, str]) -> Path:
    """A plan as a file; without rows, of the good index."""
    path = folder / "plan.json"
    path.write_text(json.dumps({"recommendations": rows or (row(*GOOD),)}))
    return path


@dataclass
class Change:
    """A run on a server, with its ledger in a folder."""

    url: str
    folder: Path
    reads: DatabaseSettings = field(default_factory=DatabaseSettings)
    said: list[str] = field(default_factory=list)
    told: Callable[[str], None] = lambda _: None

    def _say(self, text: str) -> None:
        self.said.append(text)
        self.told(text)

    @property
    def ledger(self) -> Ledger:
        return Ledger(Store(self.folder), "development")

    def run(self, made: ChangePlan, *, production: bool = False, **changes: Any) -> Outcome:
        request = Request(
            run=new_run_name(datetime.now(UTC)),
            environment="development",
            production=production,
            server=parse(self.url, "TEST_DATABASE_URL"),
            plan=made,
            approved_by="a test",
            settings=settings(**changes),
            reads=self.reads,
        )
        return optimize(request, self.ledger, self._say)

    def one(self, made: ChangePlan, **changes: Any) -> Entry:
        """The one entry of a run."""
        (entry,) = self.run(made, **changes).entries
        return entry


def indexes(server: Database, prefix: str = "hasivu_perf_") -> dict[str, bool]:
    """Our indexes, and whether each is valid."""
    with psycopg.connect(server.admin, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
            "WHERE starts_with(c.relname, %s)",
            (prefix,),
        ).fetchall()
    return dict(rows)


def wait_until(true: Callable[[], bool], seconds: float = 15) -> None:
    """Wait for something; an AssertionError where it does not come."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not come in time"
        time.sleep(0.05)


@dataclass
class Waits:
    """What a writer met."""

    longest_s: float = 0.0
    writes: int = 0
    errors: list[str] = field(default_factory=list)


WRITES = (
    """INSERT INTO orders SELECT coalesce(max(id), 60000) + 1, 5, 'done', now(), 1, 'n'
    FROM orders WHERE id > 60000""",
    "UPDATE orders SET total = total + 1 WHERE id = 17",
)


@contextmanager
def writer(url: str, *statements: str) -> Iterator[Waits]:
    """Runs writes, by default of orders, all the time, and keeps the longest time that a round of them took."""
    waits = Waits()

    def work(stop: threading.Event) -> None:
        with psycopg.connect(url, autocommit=True, application_name="shop") as connection:
            while not stop.is_set():
                begin = time.monotonic()
                try:
                    for statement in statements or WRITES:
                        connection.execute(statement.encode())
                except psycopg.Error as error:
                    waits.errors.append(str(error))
                waits.longest_s = max(waits.longest_s, time.monotonic() - begin)
                waits.writes += 1
                stop.wait(0.01)

    with behind(work):
        yield waits


@contextmanager
def busy(url: str, *statements: str, pause_s: float = 0.0) -> Iterator[None]:
    """Real work: the statements, by turns, all the time."""

    def ask(connection: psycopg.Connection[Any], number: int) -> None:
        for statement in statements:
            connection.execute(statement.encode(), {"n": number % 4000} if "%(n)s" in statement else None)

    with asking(url, ask, name="shop", pause_s=pause_s):
        yield


def _slow_run(url: str, folder: str, index: tuple[str, str], answer: Connection) -> None:
    outcome = Change(url, Path(folder)).run(plan(row(*index)), window_s=0.2)
    answer.send((outcome.interrupted, outcome.entries[0].state.value))


@contextmanager
def slow_run(url: str, folder: Path, index: tuple[str, str] = SLOW) -> Iterator[tuple[BaseProcess, Connection]]:
    """A run in a process of its own, which builds an index, and where it sends its end; forked from a warm server."""
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_slow_run, args=(url, str(folder), index, there))
    process.start()
    there.close()
    try:
        yield process, here
    finally:
        process.kill()
        process.join()
        here.close()


@contextmanager
def held(url: str, statement: str) -> Iterator[psycopg.Connection[Any]]:
    """A transaction that ran a statement and does not end before the block does."""
    with psycopg.connect(url, application_name="forgotten") as connection:
        connection.execute(statement.encode())
        yield connection
        connection.rollback()


def terminate(server: Database, application: str) -> int:
    """Terminate every session of that name; how many there were."""
    with psycopg.connect(server.admin, autocommit=True) as connection:
        rows = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s", (application,)
        ).fetchall()
    return len(rows)


@contextmanager
def replica_of(server: Database) -> Iterator[str]:
    """A streaming replica; yields the application's address of it."""
    how = programs(server.guardian)
    data = server.guardian.folder / "replica"
    hba = server.guardian.folder / "data" / "pg_hba.conf"
    hba.write_text(hba.read_text() + "host replication all 127.0.0.1/32 scram-sha-256\n")
    server.run("SELECT pg_reload_conf()")
    argv = how.argv("pg_basebackup", f"--pgdata={data}", f"--dbname={server.admin}", "-R", "--checkpoint=fast")
    deadline = time.monotonic() + 60
    service = Service("pg_basebackup", argv, cwd=server.guardian.folder, user=how.user)
    run_to_end(server.guardian, service, deadline=deadline)

    def address(port: int) -> str:
        return server.application.replace(f":{server.server.port}/", f":{port}/")

    port = start(server.guardian, how, data, lambda port: answers(address(port)), deadline=deadline, name="replica")
    try:
        yield address(port)
    finally:
        server.guardian.stop("replica")
