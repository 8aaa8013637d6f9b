"""What indexes cost those who write, held against WAL that PostgreSQL wrote for such statements."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tasks.components.database.advisor.catalog import Catalog, Column, Existing, Table
from tasks.components.database.advisor.records import Index, Key
from tasks.components.database.advisor.statement import parse
from tasks.components.database.advisor.workload import Statement
from tasks.components.database.advisor.writes import most_growth, slows, wal_growth

INTEGER = Column("aid", "integer", not_null=False, width=4, nulls=0, distinct=1e5, correlation=0.01, commonest=0)
HISTORY = Table("public", "history", 2e5, 12 << 20, {"aid": INTEGER, "mtime": replace(INTEGER, name="mtime")})
CATALOG = Catalog({("public", "history"): HISTORY}, visible={"history": HISTORY})
INSERT = "INSERT INTO history (aid, mtime) VALUES ($1, $2)"
INDEX = Index("public", "history", (Key("aid", "aid"),))


def growth(one: Statement, *, table: Table = HISTORY, size: int = 4 << 20, index: Index = INDEX) -> float:
    return wal_growth(index, size, table, [one], {one.id: parse(one.text, CATALOG)})


def test_an_entry_for_each_inserted_row() -> None:
    # 2,000 of pgbench's transactions wrote 1,153 kB; a B-tree on an integer adds a record of 64 to 72 bytes to each.
    found = growth(Statement("1", INSERT, 2000, 100, rows=2000, wal_bytes=1_153_000))
    assert found == pytest.approx(2000 * 68 / 1_153_000, rel=0.1)


def test_pages_that_are_written_whole_count_once_each() -> None:
    # Each row's page was written whole; the index has 512 pages, of which no more than all can be.
    one = Statement("1", INSERT, 2000, 100, rows=2000, wal_bytes=17_000_000, wal_images=2000)
    assert 0.2 < growth(one) < 0.35
    ordered = replace(HISTORY, columns={**HISTORY.columns, "aid": replace(INTEGER, correlation=1.0)})
    assert growth(one, table=ordered) < growth(one), "entries in order share their pages"


def test_a_load_that_ran_once_and_a_trickle_say_nothing() -> None:
    load = Statement("1", INSERT, 1, 9000, rows=200_000, wal_bytes=2e7)
    assert growth(load) == 0.0
    assert slows(INDEX, HISTORY, [load], {"1": parse(load.text, CATALOG)}) == {}
    assert growth(Statement("1", INSERT, 50, 1, rows=50, wal_bytes=5_000)) == 0.0


def test_a_block_range_index_on_growing_values_is_written_with_every_row() -> None:
    # Measured: 2,000 of pgbench's transactions wrote 152 kB more with one on the time of its history.
    ordered = replace(HISTORY, columns={**HISTORY.columns, "aid": replace(INTEGER, correlation=1.0)})
    one = Statement("1", INSERT, 2000, 100, rows=2000, wal_bytes=1_153_000)
    ranges = replace(INDEX, method="brin")
    assert growth(one, table=ordered, size=1 << 16, index=ranges) == pytest.approx(152 / 1_153, rel=0.15)
    assert growth(one, size=1 << 16, index=ranges) < 0.01, "values in no order lie within every range"


def test_the_wal_that_an_index_really_added_with_and_without_whole_pages() -> None:
    # Measured: 2,000 of pgbench's transactions on scale 5, an index on the history's account (480 pages).
    most = 480 * 8192
    whole = Statement("1", INSERT, 2000, 100, rows=2000, wal_bytes=42_829_000, wal_images=5_090)
    assert growth(whole, size=most) == pytest.approx(46_508_640 / 42_829_000 - 1, rel=0.15)
    records = Statement("1", INSERT, 2000, 100, rows=2000, wal_bytes=1_152_704)
    assert growth(records, size=most) == pytest.approx(1_289_304 / 1_152_704 - 1, rel=0.15)


def test_between_checkpoints_records_are_all_and_the_limit_is_higher() -> None:
    # Measured: of 8,000 rows that pgbench's transactions wrote, 40 had a page written whole, none of the history's.
    few = Statement("1", INSERT, 2000, 100, rows=2000, wal_bytes=1_152_704, wal_images=10)
    assert growth(few, size=480 * 8192) == pytest.approx(0.118, rel=0.1)
    assert most_growth(0.1, [few]) == pytest.approx(0.15)
    many = replace(few, wal_bytes=42_829_000, wal_images=5_090)
    assert most_growth(0.1, [many]) == 0.1


def test_just_after_checkpoints_an_index_is_not_cheap_for_the_pages_that_are_written_whole() -> None:
    # Measured: pgbench's 2,000 transactions wrote 1,153 kB of records, and 42,755 kB with their pages; an index that
    # ends HOT updates adds a fifth to the records, and nothing that can be seen beside the pages.
    text = "UPDATE accounts SET abalance = abalance + $1 WHERE aid = $2"
    columns = {name: replace(INTEGER, name=name, correlation=1.0) for name in ("aid", "bid", "abalance")}
    key = Existing(
        "accounts_pkey",
        ("aid",),
        (),
        "btree",
        None,
        unique=True,
        constraint=True,
        valid=True,
        bytes=0,
        scans=0,
        definition="",
    )
    accounts = Table("public", "accounts", 5e5, 64 << 20, columns, (key,), updates=2000, hot_updates=1900)
    catalog = Catalog({("public", "accounts"): accounts}, visible={"accounts": accounts})
    index = Index("public", "accounts", (Key("bid", "bid"), Key("abalance", "abalance")))
    updates = Statement("1", text, 2000, 100, rows=2000, wal_bytes=21_000_000, wal_images=2_540)
    others = Statement("2", INSERT, 6000, 100, rows=6000, wal_bytes=21_755_000, wal_images=2_540)
    found = wal_growth(index, 11 << 20, accounts, [updates, others], {"1": parse(text, catalog)})
    assert found > most_growth(0.1, [updates, others])
    assert found == pytest.approx(2000 * (72 + 0.95 * 72) / 1_153_000 / 1.5, rel=0.15)
