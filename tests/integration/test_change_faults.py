"""Builds that are killed, cancelled, blocked, out of disk, disconnected: nothing INVALID stays, writers go on."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

import psycopg
import pytest

from tasks.components.database.change.hand import APPLICATION
from tasks.components.database.change.records import State
from tests.changing import (
    GOOD,
    SLOW,
    Change,
    held,
    indexes,
    plan,
    prepare,
    row,
    slow_run,
    terminate,
    wait_until,
    writer,
)
from tests.databases import Database, database

LONGEST_WAIT_S = 1.5
"""No write waits longer, whatever becomes of the build; the noise of a shared machine included."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with database(tmp_path_factory.mktemp("pg18")) as started:
        prepare(started)
        yield started


@pytest.fixture
def change(server: Database, tmp_path: Path) -> Iterator[Change]:
    with writer(server.application) as waits:
        yield Change(server.application, tmp_path)
    assert indexes(server) == {}
    assert waits.errors == []
    assert waits.writes > 20
    assert waits.longest_s < LONGEST_WAIT_S


def building(server: Database) -> bool:
    return "hasivu_perf_slow" in indexes(server)


def interrupt(process: BaseProcess) -> None:
    assert process.pid is not None
    os.kill(process.pid, signal.SIGINT)


def killed_run(server: Database, change: Change) -> None:
    with slow_run(change.url, change.folder) as (process, _):
        wait_until(lambda: building(server), 30)
        time.sleep(0.5)
        process.kill()
        process.join()
    assert indexes(server) == {"hasivu_perf_slow": False}
    outcome = change.run(plan())
    (entry,) = outcome.recovered
    assert entry.state is State.FAILED
    assert "its INVALID index was removed" in entry.words


def test_after_a_kill_the_next_run_removes_what_was_half_built(server: Database, change: Change) -> None:
    killed_run(server, change)


def test_a_half_built_index_is_known_by_its_comment_where_the_ledger_is_lost(
    server: Database, change: Change, tmp_path: Path
) -> None:
    with slow_run(change.url, change.folder) as (process, _):
        wait_until(lambda: building(server), 30)
        time.sleep(1)
        process.kill()
        process.join()
    outcome = Change(server.application, tmp_path / "elsewhere").run(plan())
    assert outcome.recovered == ()
    (note,) = outcome.notes
    assert "INVALID index hasivu_perf_slow" in note
    assert "was removed" in note


def test_ctrl_c_removes_what_was_half_built_at_once(server: Database, change: Change) -> None:
    with slow_run(change.url, change.folder) as (process, answer):
        wait_until(lambda: building(server), 30)
        interrupt(process)
        assert answer.recv() == (True, "failed")
    (entry,) = change.ledger.entries()
    assert entry.words == "interrupted"


def test_a_build_that_takes_too_long_is_cancelled_and_removed(server: Database, change: Change) -> None:
    entry = change.one(plan(row(*SLOW)), build_timeout_s=2.0, window_s=0.2)
    assert entry.state is State.FAILED
    assert "it took more than 2 s" in entry.words or "statement timeout" in entry.words


def test_a_build_that_is_disconnected_is_removed(server: Database, change: Change) -> None:
    def cut() -> None:
        wait_until(lambda: building(server))
        terminate(server, APPLICATION)

    thread = threading.Thread(target=cut)
    thread.start()
    entry = change.one(plan(row(*SLOW)), window_s=0.2)
    thread.join()
    assert entry.state is State.FAILED
    assert "terminating connection" in entry.words or "lost" in entry.words


def blocked_run(server: Database, change: Change) -> None:
    with ExitStack() as stack:

        def hold(text: str) -> None:
            if ": intended:" in text:  # younger than any limit when the build begins
                stack.enter_context(held(server.application, "UPDATE orders SET total = 0 WHERE id = 18"))

        change.told = hold
        entry = change.one(plan(row(*SLOW)), window_s=0.2, transaction_age_s=1.5)
        assert entry.state is State.UNCLEAN
        assert "waited more than 1.5 s for older transactions" in entry.words
        assert "forgotten" in entry.words
        assert indexes(server) == {"hasivu_perf_slow": False}
    change.told = lambda _: None
    (entry,) = change.run(plan()).recovered
    assert entry.state is State.FAILED


def test_a_build_behind_an_old_transaction_is_given_up_and_removed_by_the_next_run(
    server: Database, change: Change
) -> None:
    blocked_run(server, change)


def test_a_build_is_cancelled_where_others_queue_up_behind_it(server: Database, tmp_path: Path) -> None:
    """A DDL waits for the build, and every write waits for the DDL."""
    change = Change(server.application, tmp_path)
    ends = threading.Event()

    def alter() -> None:
        with psycopg.connect(server.application, autocommit=True) as connection:
            connection.execute("ALTER TABLE orders SET (fillfactor = 100)")  # takes ShareUpdateExclusive
            ends.set()

    thread = threading.Thread(target=alter)

    def queue(text: str) -> None:
        if ": intended:" in text:
            threading.Timer(1.0, thread.start).start()

    change.told = queue
    entry = change.one(plan(row(*SLOW)), window_s=0.2, writer_wait_s=0.7)
    assert entry.state is State.FAILED
    assert "sessions waited behind it for more than 0.7 s" in entry.words
    assert ends.wait(10)
    thread.join()
    assert indexes(server) == {}


@contextmanager
def tiny_disk(server: Database, folder: Path) -> Iterator[str]:
    """Where root may mount one, a file system of 3 MB for new indexes; else a limit for what a build puts on disk.

    Yields what the server says when it is full.
    """
    folder.mkdir()
    mounted = os.geteuid() == 0 and _runs("mount", "-t", "tmpfs", "-o", "size=3M,mode=0700", "tmpfs", str(folder))
    if not mounted:
        name, value, said = "temp_file_limit", "'64kB'", "temporary file size exceeds"
    else:
        server.run(f"CREATE TABLESPACE tiny LOCATION '{folder}'", "GRANT CREATE ON TABLESPACE tiny TO hasivu_app")
        name, value, said = "default_tablespace", "tiny", "No space left on device"
    small = "ALTER ROLE hasivu_app SET maintenance_work_mem = '1MB'"
    server.run(f"ALTER ROLE hasivu_app SET {name} = {value}", small)
    try:
        yield said
    finally:
        server.run("ALTER ROLE hasivu_app RESET ALL")
        if mounted:
            server.run("DROP TABLESPACE tiny")
            _runs("umount", str(folder))


def _runs(*argv: str) -> bool:
    return subprocess.run(argv, check=False, capture_output=True, timeout=10).returncode == 0


def test_a_build_on_a_full_disk_is_removed(server: Database, change: Change, tmp_path: Path) -> None:
    with tiny_disk(server, tmp_path / "tiny") as said:
        entry = change.one(plan(row("hasivu_perf_wide", "public.orders (note, id)")), window_s=0.2)
    assert entry.state is State.FAILED
    assert said in entry.words


def test_a_second_run_waits_for_the_lock_and_is_told_who_has_it(
    server: Database, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.components.database.change.hand.LOCK_WAIT_S", 1.0)
    with slow_run(change.url, change.folder / "other") as (process, answer):
        wait_until(lambda: building(server), 30)
        with pytest.raises(Exception, match="is being changed by another run \\(process"):
            change.run(plan(row(*GOOD)))
        interrupt(process)
        assert answer.recv() == (True, "failed")
    assert any("waiting for its lock" in text for text in change.said)
