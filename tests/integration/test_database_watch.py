"""The watch on real servers: what is slow or blocked is told once, without values, through restarts, at its price."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import psycopg
import pytest

from deployments.hosting.guardian import Service
from deployments.hosting.postgres import answers, programs
from storage.errors import NotMeasuredError, UsageError
from tasks.load.database.session import parse
from tasks.monitoring.database_watch import KINDS, DatabaseWatch, Event, Limits
from tests.bouncers import bouncer, needs_pgbouncer
from tests.databases import DEBIAN_15, Database, database, needs_debian_15
from tests.processes import load_per_core

CANARY = "c4nary"
SCHEMA = (
    "CREATE EXTENSION pg_stat_statements",
    "CREATE TABLE meals (id integer PRIMARY KEY, note text)",
    "INSERT INTO meals VALUES (1, 'one'), (2, 'two')",
    "GRANT ALL ON meals TO PUBLIC",
    "CREATE ROLE poor LOGIN PASSWORD 'poor'",
    "CREATE ROLE seeing LOGIN PASSWORD 'seeing' IN ROLE pg_monitor",
)
COMMAND = "import flows.cli; flows.cli.main()"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with database(tmp_path_factory.mktemp("pg18")) as started:
        started.run(*SCHEMA)
        yield started


class Heard(list[Event]):
    """All events of a watch, in their order."""

    def of(self, kind: str) -> list[Any]:
        return [event for event in self if event.event == kind]

    def soon(self, kind: str, *, within_s: float = 30.0) -> Any:
        """The first event of a kind, waited for."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            if found := self.of(kind):
                return found[0]
            time.sleep(0.05)
        raise AssertionError(f"no event {kind} within {within_s} s, but {[event.event for event in self]}")


@contextmanager
def watched(url: str, **limits: float) -> Iterator[tuple[DatabaseWatch, Heard]]:
    """A watch that has taken its first look and poll."""
    watch, heard = DatabaseWatch(parse(url, "the test"), replace(Limits(), **limits)), Heard()
    for kind in KINDS:
        watch.listeners.add(kind, heard.append)
    with watch:
        eventually(lambda: watch.status.looks > 0)
        time.sleep(0.2)
        yield watch, heard


def eventually(done: Callable[[], bool], *, within_s: float = 30.0) -> None:
    until = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


def asked(url: str, *statements: str) -> None:
    with psycopg.connect(url, application_name="meals", autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


# --- slow statements ---


def test_a_slow_statement_is_told_once_within_seconds_and_without_its_values(server: Database) -> None:
    with watched(server.analysis) as (watch, heard):
        began = time.monotonic()
        asked(server.application, f"SELECT /* {CANARY} */ pg_sleep(4), '{CANARY}' AS x -- {CANARY}")
        found = heard.soon("slow_query")
        assert time.monotonic() - began < 15
        polls = watch.status.polls
        eventually(lambda: watch.status.polls > polls)  # which sees it ended
    assert len(heard.of("slow_query")) == 1
    assert (found.statement, found.basis) == ("SELECT pg_sleep($1), $2 AS x", "running")
    assert (found.user, found.application, found.limit_ms) == ("hasivu_app", "meals", 100.0)
    assert 100 < found.duration_ms < 10_000
    assert CANARY not in repr(list(heard))


def test_statements_that_end_between_two_looks_are_told_by_the_counters(server: Database) -> None:
    with watched(server.analysis, slow_ms=120) as (_, heard):
        many = [f"SELECT pg_sleep(0.15) FROM meals WHERE note <> '{CANARY}' LIMIT 1"] * 5
        asked(server.application, *many)
        found = heard.soon("slow_query")
        if found.basis == "running":  # the look met one of them
            return
        assert (found.calls, found.basis) == (5, "mean")
        assert found.duration_ms == found.mean_ms >= 150
        assert found.statement == "SELECT pg_sleep($1) FROM meals WHERE note <> $2 LIMIT $3"
        assert CANARY not in repr(list(heard))


def test_the_watchs_own_statements_and_fast_ones_are_not_told(server: Database) -> None:
    with watched(server.analysis, slow_ms=400) as (watch, heard):
        asked(server.application, *["SELECT note FROM meals WHERE id = 2"] * 20)
        with psycopg.connect(server.analysis, application_name="hasivu-perf", autocommit=True) as own:
            own.execute("SELECT /* hasivu-perf */ pg_sleep(2), 'own'")
        polls = watch.status.polls
        eventually(lambda: watch.status.polls > polls)
    assert heard == []


# --- sessions ---


def test_who_waits_and_who_idles_is_told_once(server: Database) -> None:
    def update(name: str, hold: threading.Event | None) -> None:
        with psycopg.connect(server.application, application_name=name) as connection:
            connection.execute("UPDATE meals SET note = %s WHERE id = 1", (CANARY,))
            if hold is not None:
                holding.set()
                hold.wait(60)

    holding, release = threading.Event(), threading.Event()
    threads = [
        threading.Thread(target=update, args=("holder", release)),
        threading.Thread(target=update, args=("waiter", None)),
    ]
    with watched(server.analysis, blocked_s=0.5, idle_in_transaction_s=1.0) as (watch, heard):
        try:
            threads[0].start()
            assert holding.wait(20)
            threads[1].start()
            blocked, idle = heard.soon("blocked"), heard.soon("idle_in_transaction")
            looks = watch.status.looks
            eventually(lambda: watch.status.looks >= looks + 3)
        finally:
            release.set()
            for thread in threads:
                thread.join(20)
    assert (blocked.application, blocked.statement) == ("waiter", "UPDATE meals SET note = $1 WHERE id = $2")
    assert blocked.blocked_by == (idle.pid,)
    assert blocked.blockers == (f"pid {idle.pid} (hasivu_app, holder, idle in transaction)",)
    assert (idle.application, idle.statement) == ("holder", "UPDATE meals SET note = $1 WHERE id = $2")
    assert [event.event for event in heard].count("blocked") == 1
    assert [event.event for event in heard].count("idle_in_transaction") == 1
    assert heard.of("slow_query") == [], "the lock is why it is slow, and was told"
    assert CANARY not in repr(list(heard))


def test_connections_near_their_limit_are_told_with_their_number(server: Database) -> None:
    with watched(server.analysis, connections=0.1) as (_, heard):
        opened = [psycopg.connect(server.application) for _ in range(8)]
        try:
            found = heard.soon("connections_near_limit")
        finally:
            for connection in opened:
                connection.close()
    assert found.connections >= 6
    assert found.slots == 57  # 60 − 3 for superusers
    assert found.share == found.connections / 57


def test_a_role_without_rights_hears_what_it_cannot_see(server: Database) -> None:
    poor = f"postgresql://poor:poor@127.0.0.1:{server.server.port}/hasivu"
    with watched(poor) as (watch, heard):
        asked(server.application, f"SELECT pg_sleep(1.5), '{CANARY}'")
        assert any("GRANT pg_monitor" in note for note in watch.status.notes)
        assert watch.status.missed == 0
    assert CANARY not in repr(list(heard))


# --- outages, versions, poolers ---


def start_again(server: Database) -> None:
    """The same server on the same port."""
    how = programs(server.guardian)
    data = server.guardian.folder / "data"
    argv = how.argv("postgres", "-D", str(data), "-p", str(server.server.port))
    server.guardian.start(Service("postgresql", argv, cwd=data, user=how.user, stop_signal=signal.SIGINT))
    eventually(lambda: answers(server.admin))


def test_a_restart_is_survived_and_told(tmp_path: Path) -> None:
    with database(tmp_path) as server:
        server.run(*SCHEMA)
        with watched(server.analysis) as (watch, heard):
            server.stop()
            lost = heard.soon("lost")
            start_again(server)
            back = heard.soon("back")
            asked(server.application, f"SELECT pg_sleep(3), '{CANARY}'")
            found = heard.soon("slow_query")
            assert watch.status.connected
    assert [event.event for event in heard] == ["lost", "back", "slow_query"]
    assert "127.0.0.1" in lost.reason
    assert back.restarted
    assert back.outage_s > 0
    assert found.statement == "SELECT pg_sleep($1), $2"
    password = server.analysis.split(":")[2].split("@")[0]
    assert password not in repr(list(heard))


def test_a_lost_connection_is_not_taken_for_a_restart(server: Database) -> None:
    with watched(server.analysis) as (_, heard):
        server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hasivu-perf'")
        back = heard.soon("back")
    assert back.restarted is False
    assert [event.event for event in heard] == ["lost", "back"]


def test_a_server_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    with database(tmp_path) as server:
        server.run(*SCHEMA)
        server.stop()
        watch, heard = DatabaseWatch(parse(server.analysis, "the test")), Heard()
        for kind in KINDS:
            watch.listeners.add(kind, heard.append)
        with watch:
            heard.soon("lost")
            start_again(server)
            assert heard.soon("back").restarted is None
            eventually(lambda: watch.status.looks > 0)


def test_a_listener_that_raises_does_not_end_the_watch(server: Database) -> None:
    with watched(server.analysis, repeat_s=0.0) as (watch, heard):
        watch.listeners.add("slow_query", lambda _: 1 / 0)
        for _ in range(2):
            asked(server.application, "SELECT pg_sleep(2.5)")
        eventually(lambda: len(heard.of("slow_query")) >= 2)
        eventually(lambda: watch.status.failed >= 2)
        assert watch.status.connected


@pytest.mark.system
@needs_debian_15
def test_postgresql_15_is_watched_likewise(tmp_path: Path) -> None:
    with database(tmp_path, binaries=DEBIAN_15) as server:
        server.run(*SCHEMA)
        with watched(server.analysis) as (watch, heard):
            asked(server.application, f"SELECT pg_sleep(3), '{CANARY}'")
            assert heard.soon("slow_query").statement == "SELECT pg_sleep($1), $2"
            eventually(lambda: watch.status.polls >= 2)
            assert watch.status.missed == 0
    assert len(heard) == 1


@pytest.mark.system
@needs_pgbouncer
def test_behind_pgbouncer_in_transaction_mode_it_watches_too(server: Database, tmp_path: Path) -> None:
    seeing = f"postgresql://seeing:seeing@127.0.0.1:{server.server.port}/hasivu"
    with bouncer(server.guardian, seeing, tmp_path) as url, watched(url) as (watch, heard):
        asked(server.application, f"SELECT pg_sleep(3), '{CANARY}', 15")
        assert heard.soon("slow_query").statement == "SELECT pg_sleep($1), $2, $3"
        eventually(lambda: watch.status.polls >= 2)
        assert (watch.status.missed, len(heard)) == (0, 1)


# --- what it costs ---


def cpu_ms(pid: int) -> float:
    """CPU time of a process since it began, to the nanosecond."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e6


@pytest.mark.skipif(not Path("/proc/self/schedstat").is_file(), reason="needs Linux's schedstat")
def test_with_5000_statements_it_costs_less_than_a_fifth_of_a_percent_of_a_core(tmp_path: Path) -> None:
    columns = [f"c{number}" for number in range(101)]
    with database(tmp_path) as server:
        server.run(SCHEMA[0], f"CREATE TABLE wide ({', '.join(f'{name} integer' for name in columns)})")
        server.run("GRANT SELECT ON wide TO PUBLIC", "ALTER SYSTEM SET pg_stat_statements.max = 6000")
        server.stop()
        start_again(server)
        with psycopg.connect(server.application, autocommit=True) as connection, connection.pipeline():
            for one, other in combinations(columns, 2):
                connection.execute(f"SELECT {one}, {other} FROM wide WHERE {one} = 1".encode(), prepare=False)
        with psycopg.connect(server.admin, autocommit=True) as admin, watched(server.analysis) as (watch, _):
            rows = admin.execute(
                "SELECT (SELECT count(*) FROM pg_stat_statements), pid FROM pg_stat_activity "
                "WHERE application_name = 'hasivu-perf'"
            ).fetchall()
            ((known, pid),) = rows
            assert known >= 5000
            eventually(lambda: watch.status.polls >= 2)
            before, begin = cpu_ms(pid) + time.process_time() * 1000, time.monotonic()
            first = watch.status
            time.sleep(25)
            while watch.status.polls == first.polls and time.monotonic() < begin + 90:
                time.sleep(1)  # it polls as seldom as polls are dear on this machine
            spent = cpu_ms(pid) + time.process_time() * 1000 - before
            share = spent / 1000 / (time.monotonic() - begin)
            last = watch.status
    assert last.looks - first.looks >= 5, "it still watches"
    assert last.polls > first.polls
    assert share < 0.002, f"{share:.3%} of a core"


# --- the command ---


def start_command(*arguments: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        (sys.executable, "-c", COMMAND, "watch", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **variables},
    )


def test_the_command_prints_json_lines_and_ends_soon_after_ctrl_c(server: Database, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    running = start_command(
        "staging", "--components", "database", "--json", "--file", str(file), STAGING_DATABASE_URL=server.analysis
    )
    try:
        eventually(lambda: _watchers(server) > 0)
        time.sleep(1)
        asked(server.application, f"SELECT pg_sleep(3), '{CANARY}', 'of the command'")
        eventually(lambda: file.exists() and file.stat().st_size > 0)
        begin = time.monotonic()
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=20)
        assert time.monotonic() - begin < 3 * load_per_core()
    finally:
        running.kill()
    assert running.returncode == 130
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["event"] for line in lines] == ["slow_query"]
    assert lines[0]["statement"] == "SELECT pg_sleep($1), $2, $3"
    assert file.read_text() == out
    assert CANARY not in out + err
    assert "Traceback" not in err


def _watchers(server: Database) -> int:
    with suppress(psycopg.OperationalError), psycopg.connect(server.admin) as connection:
        sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'hasivu-perf'"
        return int((connection.execute(sql).fetchone() or (0,))[0])
    return 0


def test_the_command_ends_by_itself_and_says_what_it_could_not_see(server: Database) -> None:
    poor = f"postgresql://poor:poor@127.0.0.1:{server.server.port}/hasivu"
    running = start_command("--dsn", poor, "--duration", "3")
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (0, "")
    assert "note: role poor may not see other sessions" in err


def test_wrong_usage_and_a_dead_server_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.watch import watch  # noqa: PLC0415 - beside what it is asked

    monkeypatch.delenv("STAGING_DATABASE_URL", raising=False)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with pytest.raises(UsageError, match="either an environment or --dsn"):
        watch()
    with pytest.raises(UsageError, match="STAGING_DATABASE_URL is not set"):
        watch("staging", components=["database"])
    with pytest.raises(UsageError, match="above 0"):
        watch(dsn="postgresql://u:p@127.0.0.1:1/d", slow_ms=0)
    with pytest.raises(UsageError, match="PREFECT_API_URL"):
        watch(dsn="postgresql://u:p@127.0.0.1:1/d", prefect=True)
    with pytest.raises(NotMeasuredError, match=r"127\.0\.0\.1:1/d did not answer") as caught:
        watch(dsn=f"postgresql://u:{CANARY}@127.0.0.1:1/d", duration=1)
    assert CANARY not in str(caught.value)
