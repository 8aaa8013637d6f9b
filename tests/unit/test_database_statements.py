"""Differences of pg_stat_statements: new, evicted, reset and regrown entries; texts that may be kept."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tasks.components.database.statements import Deltas, Poll, label, rows, safe_text

OLD, NEW = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
KEY = (10, 42, True)


def entry(calls: int, total: float, since: datetime | None = OLD) -> dict[str, Any]:
    return {
        "calls": calls,
        "rows": calls * 2,
        "total_ms": total,
        "planning_ms": 0.0,
        "plans": 0,
        "blocks_hit": calls * 3,
        "blocks_read": 0,
        "temp_written": 0,
        "wal_bytes": 0,
        "stats_since": since,
    }


def gained(*polls: Poll) -> Deltas:
    deltas = Deltas()
    for poll in polls:
        deltas.add(poll)
    return deltas


def test_the_first_poll_is_the_start_and_adds_nothing() -> None:
    assert gained(Poll({KEY: entry(100, 50.0)})).gained == {}


def test_growth_is_the_difference() -> None:
    deltas = gained(Poll({KEY: entry(100, 50.0)}), Poll({KEY: entry(130, 80.0)}), Poll({KEY: entry(140, 85.0)}))
    assert deltas.gained[KEY]["calls"] == 40
    assert deltas.gained[KEY]["total_ms"] == pytest.approx(35.0)
    assert deltas.gained[KEY]["rows"] == 80
    assert deltas.notes == ()


def test_an_entry_without_growth_is_absent() -> None:
    assert gained(Poll({KEY: entry(5, 1.0)}), Poll({KEY: entry(5, 1.0)})).gained == {}


def test_a_plan_without_a_call_is_a_cancelled_statement() -> None:
    deltas = gained(Poll({KEY: entry(5, 1.0)}), Poll({KEY: {**entry(5, 1.0), "plans": 2}}))
    assert (deltas.gained[KEY]["calls"], deltas.gained[KEY]["plans"]) == (0, 2)


def test_a_new_entry_counts_whole() -> None:
    assert gained(Poll({}), Poll({KEY: entry(7, 3.0)})).gained[KEY]["calls"] == 7


def test_a_fallen_counter_is_a_reset_and_what_is_there_counts() -> None:
    deltas = gained(Poll({KEY: entry(100, 50.0, None)}), Poll({KEY: entry(4, 2.0, None)}))
    assert deltas.gained[KEY]["calls"] == 4
    assert deltas.resets == {KEY: 1}
    assert "lower bounds" in deltas.notes[0]


def test_an_entry_that_was_reset_and_grew_past_its_old_value_is_seen_by_stats_since() -> None:
    deltas = gained(Poll({KEY: entry(100, 50.0)}), Poll({KEY: entry(150, 70.0, NEW)}))
    assert deltas.gained[KEY]["calls"] == 150
    assert deltas.resets == {KEY: 1}


def test_an_evicted_entry_that_comes_back_counts_from_nothing() -> None:
    deltas = gained(
        Poll({KEY: entry(100, 50.0)}, evicted=3),
        Poll({}, evicted=5),
        Poll({KEY: entry(6, 2.0, NEW)}, evicted=5),
    )
    assert deltas.gained[KEY]["calls"] == 6
    assert deltas.evicted == 2
    assert "evicted entries 2 times" in deltas.notes[0]


def test_a_reset_of_everything_is_noted() -> None:
    assert gained(Poll({}, reset=OLD), Poll({}, reset=NEW)).notes


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("SELECT * FROM users WHERE id = $1", "SELECT * FROM users WHERE id = $1"),
        ("/* route */ with a as (select 1) select * from a", "/* route */ with a as (select 1) select * from a"),
        ("(select 1) union (select 2)", "(select 1) union (select 2)"),
        ("ALTER ROLE app PASSWORD 'c4nary'", "ALTER ROLE …"),
        ("CREATE USER x WITH PASSWORD 'c4nary'", "CREATE USER …"),
        (None, None),
    ],
)
def test_constants_of_utility_statements_are_not_kept(text: str | None, kept: str | None) -> None:
    assert safe_text(text) == kept


def test_own_statements_are_told_apart_and_the_dearest_comes_first() -> None:
    other = (10, 43, True)
    deltas = gained(Poll({}), Poll({KEY: entry(1, 5.0), other: entry(1, 9.0)}))
    known = {KEY: {"text": "SELECT /* hasivu-perf */ 1", "user": "perf"}}
    found = rows(deltas, known)
    assert [(row["queryid"], row["own"]) for row in found] == [("43", False), ("42", True)]
    assert found[0]["text"] is None


def test_a_label_is_one_short_line() -> None:
    assert label("42", "SELECT\n  a\nFROM t") == "42 SELECT a FROM t"
    assert len(label("42", "SELECT " + "a" * 500)) == 75
    assert label("42", None) == "42 text unknown"
