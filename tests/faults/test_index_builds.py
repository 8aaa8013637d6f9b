"""A change of the database that is killed at any point: the next run leaves nothing INVALID, nobody else suffers.

`make faults` kills at 24 points, from before the build to after its verdict; in `make test` some stand for the rest.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.changing import Change, indexes, plan, prepare, slow_run, wait_until, writer
from tests.databases import Database, database
from tests.faults.outcome import WHOLE

BRIEF = ("hasivu_perf_brief", "public.orders (brief(id::integer))")
FUNCTION = """CREATE FUNCTION brief(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN IF $1 % 10000 = 0 THEN PERFORM pg_sleep(0.3); END IF; RETURN $1; END $$"""
"""An index over it takes about 2 s to build."""

APART_S = 0.15
POINTS = range(24) if WHOLE else range(0, 24, 5)
LONGEST_WAIT_S = 3.0
"""No write waits longer: the limit for waits behind a build is 1.5 s, and a busy machine adds to it."""


@contextmanager
def bystander(url: str) -> Iterator[list[str]]:
    """A session of somebody else that is at work all the time; what was done to it."""
    stop, errors = threading.Event(), list[str]()

    def work() -> None:
        with psycopg.connect(url, autocommit=True, application_name="bystander") as connection:
            while not stop.is_set():
                try:
                    connection.execute("SELECT pg_sleep(0.2), count(*) FROM orders")
                except psycopg.Error as error:
                    errors.append(str(error))
                    return

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield errors
    finally:
        stop.set()
        thread.join()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with database(tmp_path_factory.mktemp("pg18")) as started:
        prepare(started)
        started.run(FUNCTION, url=started.application)
        yield started


def killed(server: Database, folder: Path, after_s: float) -> dict[str, bool]:
    """Kill a run so long after its intent was written, and let the next one end it; the indexes at the kill."""
    with slow_run(server.application, folder, BRIEF) as (process, _):
        wait_until(lambda: any(folder.rglob("*.json")), 60)
        time.sleep(after_s)
        process.kill()
        process.join()
        at_kill = indexes(server)
    Change(server.application, folder).run(plan(), window_s=0.2)
    return at_kill


@pytest.mark.timeout(600)
def test_a_build_that_is_killed_at_any_point_leaves_nothing(server: Database, tmp_path: Path) -> None:
    seen, left = dict[int, dict[str, bool]](), dict[int, dict[str, bool]]()
    with writer(server.application) as waits, bystander(server.application) as done_to_it:
        for point in POINTS:
            seen[point] = killed(server, tmp_path / str(point), point * APART_S)
            left[point] = indexes(server)
    assert left == {point: {} for point in POINTS}
    assert {"hasivu_perf_brief": False} in seen.values(), "no kill met the build"
    assert done_to_it == []
    assert waits.errors == []
    assert waits.writes > 20 * len(POINTS)
    assert waits.longest_s < LONGEST_WAIT_S
