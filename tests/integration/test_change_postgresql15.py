"""Debian's PostgreSQL 15: a good index is kept, a killed and a blocked build leave nothing, writers go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tasks.components.database.change.records import State
from tests.changing import (
    GOOD,
    OF_CUSTOMER,
    SLOW,
    Change,
    busy,
    held,
    indexes,
    plan,
    prepare,
    row,
    slow_run,
    wait_until,
    writer,
)
from tests.databases import DEBIAN_15, Database, database, needs_debian_15

pytestmark = [pytest.mark.system, needs_debian_15]
LONGEST_WAIT_S = 1.5


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with database(tmp_path_factory.mktemp("pg15"), binaries=DEBIAN_15) as started:
        prepare(started)
        yield started


@pytest.fixture
def change(server: Database, tmp_path: Path) -> Iterator[Change]:
    with writer(server.application) as waits:
        yield Change(server.application, tmp_path)
    assert indexes(server) == {}
    assert waits.errors == []
    assert waits.longest_s < LONGEST_WAIT_S


def test_a_good_index_is_kept(server: Database, change: Change) -> None:
    with busy(server.application, OF_CUSTOMER):
        entry = change.one(plan(row(*GOOD)))
    assert entry.state is State.KEPT
    server.run("DROP INDEX hasivu_perf_customer")


def test_a_killed_build_is_removed(server: Database, change: Change) -> None:
    with slow_run(change.url, change.folder) as (process, _):
        wait_until(lambda: indexes(server) == {"hasivu_perf_slow": False}, 30)
        process.kill()
        process.join()
    (entry,) = change.run(plan()).recovered
    assert "its INVALID index was removed" in entry.words


def test_a_blocked_build_is_removed(server: Database, change: Change) -> None:
    with ExitStack() as stack:

        def hold(text: str) -> None:
            if ": intended:" in text:
                stack.enter_context(held(server.application, "UPDATE orders SET total = 0 WHERE id = 18"))

        change.told = hold
        assert change.one(plan(row(*SLOW)), window_s=0.2, transaction_age_s=1.5).state is State.UNCLEAN
    change.told = lambda _: None
    (entry,) = change.run(plan()).recovered
    assert entry.state is State.FAILED
