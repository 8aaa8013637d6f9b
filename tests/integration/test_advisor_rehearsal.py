"""A rehearsal on real rows: what helps is seen to help, what costs is seen to cost, and the source is left alone."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from storage.errors import NotMeasuredError
from tasks.components.database.advisor import catalog as catalogs
from tasks.components.database.advisor import rehearsal
from tasks.components.database.advisor.alike import take_nearest
from tasks.components.database.advisor.ask import Planner
from tasks.components.database.advisor.case import Case
from tasks.components.database.advisor.processor import processor_ms
from tasks.components.database.advisor.records import PlanError
from tasks.components.database.advisor.rehearsal import Rehearsal
from tasks.components.database.advisor.twin import Twin
from tasks.components.database.advisor.workload import Statement
from tests.advisor_sales import SCHEMA, STATEMENTS, index, session
from tests.databases import Database, database

LIMIT = 200_000_000
TABLES = (("public", "orders"), ("public", "customers"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with database(tmp_path_factory.mktemp("pg18")) as started:
        started.run(*SCHEMA)
        yield started


@pytest.fixture(scope="module")
def copy(server: Database) -> Iterator[Rehearsal]:
    with session(server.analysis) as source, Rehearsal.of(source, TABLES, limit_bytes=LIMIT) as made:
        yield made


def test_a_useful_index_is_seen_to_help_and_to_be_gone(copy: Rehearsal) -> None:
    one, text = index("orders", "customer_id"), STATEMENTS["equal"]
    before = copy.run(text, timeout_s=10, repeat=3)
    size, seconds = copy.build(one)
    after = copy.run(text, timeout_s=10, repeat=3)
    copy.drop(one)
    again = copy.run(text, timeout_s=10, repeat=3)
    assert before.rows == after.rows > 0
    assert before.n == after.n == 3
    assert after.median_ms < before.median_ms / 5
    assert again.median_ms > after.median_ms * 5
    assert 500_000 < size < 3_000_000
    assert 0 < seconds < 30


def test_an_index_on_what_is_written_costs_wal_and_one_elsewhere_does_not(copy: Rehearsal) -> None:
    text = "UPDATE orders SET total = total + 1 WHERE id BETWEEN 1000 AND 1999"
    before = copy.write(text, timeout_s=10)
    elsewhere, here = index("customers", "city"), index("orders", "total")
    copy.build(elsewhere)
    assert copy.write(text, timeout_s=10).wal_bytes == pytest.approx(before.wal_bytes, rel=0.25)
    copy.build(here)
    after = copy.write(text, timeout_s=10)
    for one in (elsewhere, here):
        copy.drop(one)
    assert before.rows == after.rows == 1000
    assert after.wal_bytes > before.wal_bytes + 1000 * 50  # an entry for each row


def test_an_index_that_is_not_shown_is_not_used_until_it_is_shown_again(copy: Rehearsal) -> None:
    one, text = index("orders", "customer_id"), STATEMENTS["equal"]
    copy.build(one)
    used = [copy.run(text, timeout_s=10, repeat=1).indexes]
    for shown in (False, True):
        copy.show(one, shown=shown)
        used.append(copy.run(text, timeout_s=10, repeat=1).indexes)
    copy.drop(one)
    assert used == [{one.name}, set(), {one.name}]


def test_values_that_are_drawn_meet_in_the_data(server: Database, copy: Rehearsal) -> None:
    text = (
        "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id "
        "WHERE c.email = $1 AND c.city = $2 AND o.status = $3"
    )
    with session(server.analysis) as source:
        case = Case.of(catalogs.read(source), [Statement("q", text, 1.0, 1.0)], source)
    apart = [one.text for one in case.texts["q"]]
    case.draw(copy.draw, lambda: True)
    together = [one.text for one in case.texts["q"]]
    assert [copy.run(one, timeout_s=10, repeat=1).rows for one in apart[:2]] == [0, 0]
    assert all(copy.run(one, timeout_s=10, repeat=1).rows > 0 for one in together[:2])
    assert copy.draw("SELECT random()") == copy.draw("SELECT random()")
    with pytest.raises(PlanError):
        copy.draw("SELECT pg_sleep(10)")


@pytest.mark.parametrize("share", [0.02, 0.7])
def test_values_are_taken_with_which_a_statement_works_as_it_was_counted(
    server: Database, copy: Rehearsal, share: float
) -> None:
    text = "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.total < {} ORDER BY c.email"
    real = text.format(f"(SELECT percentile_disc({share}) WITHIN GROUP (ORDER BY total) FROM orders)")
    ran = copy.run(real, timeout_s=10, repeat=1)
    once = Statement("q", text.format("$1"), 1.0, ran.median_ms, rows=ran.rows, blocks=ran.blocks)
    with session(server.analysis) as source:
        case = Case.of(catalogs.read(source), [replace(once, calls=0.0)], source)
        take_nearest(case, copy, 10)
        uncounted = [copy.run(one.text, timeout_s=10, repeat=1).rows for one in case.texts["q"]]
        case = Case.of(catalogs.read(source), [once], source)
    take_nearest(case, copy, 10)
    counted = [copy.run(one.text, timeout_s=10, repeat=1).rows for one in case.texts["q"]]
    assert all(ran.rows / 2.5 < rows < ran.rows * 2.5 for rows in counted), counted
    assert any(not ran.rows / 2.5 < rows < ran.rows * 2.5 for rows in uncounted), uncounted


def test_values_of_fixed_length_are_whole_and_every_parameter_has_one(server: Database) -> None:
    server.run("CREATE TABLE parts (brand char(10), flags bit(4), made date, price numeric)")
    server.run(
        "INSERT INTO parts SELECT 'brand ' || n % 9, (n % 9)::bit(4), date '2026-01-01' + n % 50, n "
        "FROM generate_series(1, 5000) n",
        "ANALYZE parts",
    )
    text = (
        "SELECT sum(price * ($1 - price)) / $2 FROM parts WHERE brand = $3 AND flags = $4 "
        "AND made >= date $5 AND made < date $6 + interval $7 HAVING sum(price) > $8"
    )
    with session(server.analysis) as source, Twin.of(source, [("public", "parts")]) as twin:
        case = Case.of(catalogs.read(source), [Statement("q", text, 1.0, 1.0)], source)
        planner = Planner(twin, dict(case.texts), case.typed)
        planner.settle("q")
        assert all(one.whole for one in planner.texts["q"])
    (condition,) = re.findall(r"brand = .+? AND flags = .+? AND", case.texts["q"][0].text)
    with psycopg.connect(server.analysis) as connection:
        row = connection.execute(f"SELECT count(*) FROM parts WHERE {condition[:-4]}".encode()).fetchone()
    assert row is not None
    assert row[0] > 0, condition


def test_a_write_is_rolled_back(copy: Rehearsal) -> None:
    count = "SELECT id FROM orders"
    before = copy.run(count, timeout_s=10, repeat=1).rows
    copy.write("DELETE FROM orders WHERE id < 50", timeout_s=10, repeat=1)
    assert copy.run(count, timeout_s=10, repeat=1).rows == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("DELETE FROM orders", "read-only transaction"),
        ("SELECT pg_sleep(30)", "timeout"),
        ("SELECT 1; COMMIT; DROP TABLE orders", "multiple commands"),
        ("SELECT pg_read_file('/etc/passwd')", "permission denied"),
        ("SELECT 'canary'::integer", "a value does not fit"),
    ],
)
def test_what_is_no_quick_read_is_refused(copy: Rehearsal, text: str, message: str) -> None:
    start = time.monotonic()
    with pytest.raises(PlanError, match=message) as caught:
        copy.run(text, timeout_s=0.5)
    assert time.monotonic() - start < 10
    assert "canary" not in str(caught.value)
    assert copy.run("SELECT 1", timeout_s=1, repeat=1).rows == 1


def test_an_index_that_cannot_be_built_is_an_error(copy: Rehearsal) -> None:
    with pytest.raises(PlanError, match="no_such"):
        copy.build(index("orders", "no_such"))
    copy.drop(index("orders", "no_such"))


def test_the_source_is_only_read(server: Database, copy: Rehearsal) -> None:
    copy.build(one := index("customers", "joined"))
    copy.drop(one)
    with psycopg.connect(server.admin) as connection:
        found = connection.execute("SELECT count(*) FROM pg_class WHERE relname LIKE 'hasivu_perf_%'").fetchone()
    assert found == (0,)


def test_too_much_to_copy_is_refused_before_it_begins(server: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with session(server.analysis) as source:
        with (
            pytest.raises(NotMeasuredError, match="the limit is 1 MB: raise it"),
            Rehearsal.of(source, None, limit_bytes=1_000_000),
        ):
            pass
        monkeypatch.setattr(rehearsal, "DISK_FACTOR", 10**9)
        with (
            pytest.raises(NotMeasuredError, match=r"MB are free: free some"),
            Rehearsal.of(source, None, limit_bytes=LIMIT),
        ):
            pass


HOLDER = """
import os, time
from tasks.components.database.advisor.rehearsal import Rehearsal
from tasks.components.database.advisor.workload import Statement
from tests.advisor_sales import session

with session(os.environ["SOURCE_URL"]) as source, Rehearsal.of(source, [("public", "customers")], limit_bytes=10**9):
    print("ready", flush=True)
    time.sleep(600)
"""


def test_the_copy_is_private_and_gone_when_its_owner_is_killed(server: Database, tmp_path: Path) -> None:
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "SOURCE_URL": server.analysis}
    command = (sys.executable, "-c", HOLDER)
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(command, env=env, cwd=root, stdout=subprocess.PIPE) as owner:
        try:
            assert owner.stdout is not None
            assert owner.stdout.readline() == b"ready\n"
            (folder,) = (tmp_path / "hasivu-perf" / "scratch").iterdir()
            assert [path for path in (folder, *folder.rglob("*")) if path.stat().st_mode & 0o077] == []
        finally:
            owner.send_signal(signal.SIGKILL)
    until = time.monotonic() + 10
    while folder.exists() and time.monotonic() < until:
        time.sleep(0.05)
    left = folder.exists()
    shutil.rmtree(folder, ignore_errors=True)
    assert not left


def test_a_busy_machine_does_not_make_a_statement_slower(copy: Rehearsal) -> None:
    """Processes that spin on every processor take most of the time; what the statement costs stays what it was."""
    if processor_ms(os.getpid()) is None:
        pytest.skip("the kernel does not tell processor time")
    text = "SELECT count(*), sum(total) FROM orders WHERE total > 1"
    calm = copy.run(text, timeout_s=30, repeat=3)
    spinning = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3 * (os.cpu_count() or 1))
    ]
    try:
        busy = copy.run(text, timeout_s=30, repeat=3)
    finally:
        for one in spinning:
            one.kill()
            one.wait()
    assert busy.least_ms < 3 * calm.least_ms
