"""What an interrupt left is judged or taken back by the next run; what is not ours stays. PostgreSQL 15 too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tasks.components.database.change.records import Entry, State
from tests.changing import GOOD, OF_CUSTOMER, OF_TAGS, Change, busy, held, indexes, plan, prepare, row
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


def interrupted_while_watched(change: Change) -> Entry:
    """A run that ends by Ctrl-C after the build, before its verdict."""

    def stop(text: str) -> None:
        if "after the change" in text:
            raise KeyboardInterrupt

    change.told = stop
    outcome = change.run(plan(row(*GOOD)))
    change.told = lambda _: None
    assert outcome.interrupted
    assert outcome.entries[0].state is State.DONE
    return outcome.entries[0]


def test_what_was_built_and_not_judged_is_judged_by_the_next_run(server: Database, change: Change) -> None:
    with busy(server.application, OF_CUSTOMER, OF_TAGS):
        interrupted_while_watched(change)
        assert indexes(server) == {"hasivu_perf_customer": True}
        (entry,) = change.run(plan()).recovered
    assert entry.state is State.KEPT
    assert change.ledger.entries() == [entry]


def test_what_nobody_judged_and_the_ledger_does_not_know_is_removed(
    server: Database, change: Change, tmp_path: Path
) -> None:
    with busy(server.application, OF_CUSTOMER):
        interrupted_while_watched(change)
    outcome = Change(server.application, tmp_path / "elsewhere").run(plan())
    assert outcome.notes
    assert "unjudged index hasivu_perf_customer" in outcome.notes[0]
    assert indexes(server) == {}


def test_an_index_of_others_is_never_dropped(server: Database, change: Change) -> None:
    server.run("CREATE INDEX hasivu_perf_theirs ON orders (total)")
    outcome = change.run(plan(row("hasivu_perf_theirs", "public.orders (total)", drop=True)))
    assert "not ours to drop" in outcome.entries[0].words
    server.run("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'hasivu_perf_theirs'::regclass")
    outcome = change.run(plan())
    assert "was left alone" in outcome.notes[0]
    assert indexes(server) == {"hasivu_perf_theirs": False}


def test_a_removal_that_is_interrupted_is_ended_by_the_next_run(server: Database, change: Change) -> None:
    """The index is built and useless; while it is removed an old transaction stands in the way."""
    with ExitStack() as stack:

        def hold(text: str) -> None:
            if text.startswith("removing"):
                stack.enter_context(held(server.application, "SELECT count(*) FROM orders WHERE id < 9"))

        change.told = hold
        entry = change.one(plan(row("hasivu_perf_note", "public.orders (note, total)")), transaction_age_s=1.5)
        assert entry.state is State.UNCLEAN
        assert entry.verdict is not None
        assert not entry.verdict.keep
    change.told = lambda _: None
    (entry,) = change.run(plan()).recovered
    assert entry.state is State.UNDONE
