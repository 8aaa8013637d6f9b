"""An index of a partitioned table, partitions of partitions too: kept, undone, killed at each step; writes go on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.components.database.change.records import State
from tests.changing import Change, busy, held, indexes, plan, prepare, row, slow_run, wait_until, writer
from tests.databases import Database, database

SCHEMA = (
    "CREATE TABLE visits (id bigint, child integer, day date) PARTITION BY RANGE (day)",
    "CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
    """CREATE TABLE visits_2 PARTITION OF visits FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')
        PARTITION BY HASH (id)""",
    "CREATE TABLE visits_2a PARTITION OF visits_2 FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
    "CREATE TABLE visits_2b PARTITION OF visits_2 FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
    "INSERT INTO visits SELECT n, n % 4000, date '2026-01-01' + n % 59 FROM generate_series(1, 60000) n",
    """CREATE FUNCTION steady(bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS
        $$ BEGIN IF $1 % 5000 = 0 THEN PERFORM pg_sleep(0.1); END IF; RETURN $1; END $$""",
)
"""Three tables with rows; an index over `steady(id)` takes about 0.4 s for each of them."""

WHOLE = ("hasivu_perf_child", "ONLY public.visits (child)")
USELESS = ("hasivu_perf_sum", "ONLY public.visits ((id + child))")
STEADY = ("hasivu_perf_steady", "ONLY public.visits (steady(id))")
OF_CHILD = "SELECT id, day FROM visits WHERE child = %(n)s"
WRITES = ("INSERT INTO visits VALUES (5, 4001, '2026-02-03')", "INSERT INTO visits VALUES (5, 4001, '2026-01-03')")
"""Of a child that nobody asks for; no index makes them slower by more than a window of a busy machine can tell."""

INDEXES = 5
"""Of the table, of visits_1, of visits_2, and of its two parts."""

WINDOW_S = 2.5
"""A session at work tells its scans once a second (PGSTAT_MIN_INTERVAL of PostgreSQL)."""

LONGEST_WAIT_S = 3.0
"""A lock on the whole table is given up after 0.5 s; a busy machine adds to it."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with database(tmp_path_factory.mktemp("pg18")) as started:
        prepare(started)
        started.run(*SCHEMA, url=started.application)
        started.run("VACUUM (ANALYZE) visits")
        yield started


@pytest.fixture
def change(server: Database, tmp_path: Path) -> Iterator[Change]:
    """A run, while a writer is at work that nothing keeps waiting."""
    server.run("SELECT pg_stat_statements_reset()")
    with writer(server.application, *WRITES) as waits:
        yield Change(server.application, tmp_path)
    left = indexes(server)
    server.run("DROP INDEX IF EXISTS " + ", ".join(name for name, _ in (WHOLE, USELESS, STEADY)))
    assert left == {}
    assert waits.errors == []
    assert waits.writes > 0
    assert waits.longest_s < LONGEST_WAIT_S


def test_a_good_index_is_kept_on_every_partition_and_one_drop_undoes_it(server: Database, change: Change) -> None:
    with busy(server.application, OF_CHILD):
        entry = change.one(plan(row(*WHOLE)), window_s=WINDOW_S)
    assert entry.state is State.KEPT, entry.words
    assert entry.bytes is not None
    assert entry.bytes > 60_000 * 8
    assert entry.after is not None
    assert entry.after.span is not None
    assert entry.after.span.scans
    assert list(indexes(server).values()) == [True] * INDEXES
    assert change.run(plan()).notes == ()
    assert change.one(plan(row(*WHOLE))).state is State.PRESENT
    server.run(entry.step.undo, url=server.application)


def test_a_useless_one_is_undone_whole(server: Database, change: Change) -> None:
    with busy(server.application, OF_CHILD):
        entry = change.one(plan(row(*USELESS)))
    assert entry.state is State.UNDONE, entry.words


@pytest.mark.parametrize("there", range(1, INDEXES + 1))
def test_a_run_that_is_killed_at_any_step_leaves_nothing(server: Database, change: Change, there: int) -> None:
    with slow_run(change.url, change.folder, STEADY) as (process, _):
        wait_until(lambda: len(indexes(server)) >= there, 30)
        process.kill()
        process.join()
    change.run(plan())


def test_a_transaction_in_the_way_of_the_moment_is_waited_for(server: Database, change: Change) -> None:
    """The lock is given up and asked for again, so that no write waits for as long as the transaction lasts."""
    insert = "INSERT INTO visits VALUES (6, 1, '2026-01-03')"
    with busy(server.application, OF_CHILD), held(server.application, insert) as transaction:

        def release(text: str) -> None:
            if "another transaction holds the table" in text:
                transaction.rollback()

        change.told = release
        entry = change.one(plan(row(*WHOLE)), transaction_age_s=60)
    assert any("another transaction holds the table" in text for text in change.said)
    assert entry.state is State.KEPT, entry.words
    server.run(entry.step.undo, url=server.application)
