"""A good index is kept; useless and harmful ones are undone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tasks.components.database.change.ownership import mark_of
from tasks.components.database.change.records import State
from tests.changing import (
    CREATED_OPEN,
    GOOD,
    HARMFUL,
    OF_CUSTOMER,
    OF_TAGS,
    READS,
    USELESS,
    Change,
    busy,
    indexes,
    plan,
    prepare,
    row,
)
from tests.databases import Database, database


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with database(tmp_path_factory.mktemp("pg18")) as started:
        prepare(started)
        yield started


@pytest.fixture
def change(server: Database, tmp_path: Path) -> Iterator[Change]:
    """A run on the shop as it was made."""
    server.run("SELECT pg_stat_statements_reset()")
    yield Change(server.application, tmp_path)
    server.run(*(f"DROP INDEX IF EXISTS {name}" for name in indexes(server)))


def comment(server: Database, name: str) -> str:
    with psycopg.connect(server.admin) as connection:
        row = connection.execute("SELECT obj_description(%s::regclass)", (name,)).fetchone()
    assert row is not None
    return str(row[0])


def test_a_good_index_is_kept_and_bears_who_built_it(server: Database, change: Change) -> None:
    made = plan(row(*GOOD))
    with busy(server.application, OF_CUSTOMER, OF_TAGS):
        entry = change.one(made, window_s=2)  # a session tells its scans once a second
    assert entry.state is State.KEPT
    assert indexes(server) == {"hasivu_perf_customer": True}
    mark = mark_of("hasivu_perf_customer", comment(server, "hasivu_perf_customer"))
    assert mark is not None
    assert (mark.plan, mark.run, mark.kept) == (made.fingerprint, entry.run, True)
    assert entry.verdict is not None
    assert entry.verdict.gain is not None
    assert entry.verdict.gain > 0.5
    assert entry.after is not None
    assert entry.after.span is not None
    assert entry.after.span.scans
    assert change.ledger.entries() == [entry]
    assert change.one(made).state is State.PRESENT  # a second time there is nothing to do
    same = change.one(plan(row("hasivu_perf_again", GOOD[1])))
    assert "under the name hasivu_perf_customer" in same.words


def test_without_any_work_the_environments_reads_prove_a_gain(server: Database, change: Change) -> None:
    change.reads = READS
    entry = change.one(plan(row(*GOOD)), window_s=0.2)
    assert entry.state is State.KEPT
    assert "1 of 1 replayed reads became faster" in entry.words


def test_without_work_and_reads_nothing_stays(server: Database, change: Change) -> None:
    entry = change.one(plan(row(*GOOD)), window_s=0.2)
    assert entry.state is State.UNDONE
    assert entry.words.startswith("unproven")
    assert indexes(server) == {}
    kept = change.one(plan(row(*GOOD)), window_s=0.2, keep_unproven=True)
    assert kept.state is State.KEPT


def test_production_keeps_nothing_unproven(server: Database, change: Change) -> None:
    entry = change.one(plan(row(*GOOD)), window_s=0.2, keep_unproven=True, production=True)
    assert entry.state is State.UNDONE


def test_a_useless_index_is_undone(server: Database, change: Change) -> None:
    with busy(server.application, OF_CUSTOMER, OF_TAGS):
        entry = change.one(plan(row(*USELESS)), window_s=1)
    assert entry.state is State.UNDONE
    assert "not used" in entry.words or "slower" in entry.words
    assert indexes(server) == {}


def test_an_index_that_makes_a_read_slower_is_undone(server: Database, change: Change) -> None:
    with busy(server.application, CREATED_OPEN, OF_TAGS):
        entry = change.one(plan(row(*HARMFUL)))
    assert entry.state is State.UNDONE
    assert "slower: " in entry.words
    assert indexes(server) == {}


def test_writes_that_become_dearer_undo_an_index(server: Database, change: Change) -> None:
    """An update of a column without index is HOT; with an index over it, it writes to every index."""
    update = "UPDATE orders SET total = total + 1 WHERE id = %(n)s"
    reads = "SELECT count(*) FROM orders WHERE total = 33 AND id < 2000"
    with busy(server.application, update, reads):
        entry = change.one(plan(row("hasivu_perf_hot", "public.orders (total, status, note)")))
    assert entry.state is State.UNDONE
    assert "slower: write" in entry.words or "more WAL" in entry.words  # the time is seen on a quiet machine alone
    assert indexes(server) == {}


def test_several_changes_are_judged_one_by_one(server: Database, change: Change) -> None:
    with busy(server.application, OF_CUSTOMER, OF_TAGS):
        outcome = change.run(plan(row(*GOOD), row(*USELESS)), window_s=1)
    assert [entry.state for entry in outcome.entries] == [State.KEPT, State.UNDONE]
    assert indexes(server) == {"hasivu_perf_customer": True}


def test_an_own_index_that_is_needed_comes_back_after_it_was_removed(server: Database, change: Change) -> None:
    with busy(server.application, OF_CUSTOMER, OF_TAGS):
        assert change.one(plan(row(*GOOD))).state is State.KEPT
        entry = change.one(plan(row(*GOOD, drop=True)))
    assert entry.state is State.UNDONE
    assert "slower: " in entry.words
    assert indexes(server) == {"hasivu_perf_customer": True}
