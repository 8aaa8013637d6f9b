"""What the watch of a database tells of recorded rows; texts without values; its budget; listeners."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import UsageError
from tasks.components.database.statements import FIELDS
from tasks.monitoring.database_watch import JsonLines, Limits, Listeners, kind_of, words
from tasks.monitoring.database_watch.budget import Pace
from tasks.monitoring.database_watch.events import Back, Event, Lost, SlowQuery
from tasks.monitoring.database_watch.judge import Counters, Look, Told, running, slow_since
from tasks.monitoring.database_watch.text import masked, shape

# --- counters ---


def entry(calls: int, total_ms: float, max_ms: float, *, since: float | None = None) -> dict[str, Any]:
    """An entry of pg_stat_statements as a poll reads it."""
    others = dict.fromkeys(FIELDS, 0)
    return {**others, "calls": calls, "total_ms": total_ms, "max_ms": max_ms, "stats_since": since}


KEY = (10, 4711, True)


def slow(before: dict[str, Any] | None, now: dict[str, Any], **info: Any) -> list[tuple[Any, ...]]:
    first = Counters({KEY: before} if before else {}, at=100.0)
    second = Counters({KEY: now}, at=110.0, **info)
    found = slow_since(first, second, 100.0)
    return [(one.basis, one.duration_ms, one.calls, one.mean_ms, one.slowest_ms) for one in found]


def test_a_mean_of_the_period_is_of_its_own_calls_alone() -> None:
    assert slow(entry(1000, 1000.0, 500), entry(1010, 6000.0, 900)) == [("mean", 500.0, 10, 500.0, 900.0)]
    assert slow(entry(1000, 1000.0, 500), entry(1010, 6000.0, 500)) == [("mean", 500.0, 10, 500.0, None)]


def test_one_slow_call_among_many_fast_ones_is_told_by_what_it_took() -> None:
    assert slow(entry(1000, 1000.0, 200), entry(2000, 2300.0, 300)) == [("slowest", 300.0, 1000, 1.3, 300.0)]


def test_what_ran_no_slow_call_since_is_not_told_again() -> None:
    assert slow(entry(1000, 1000.0, 500), entry(1000, 1000.0, 500)) == []
    assert slow(entry(1000, 1000.0, 500), entry(2000, 2000.0, 500)) == []


def test_calls_before_a_statement_was_ever_slow_are_not_taken_for_calls_of_the_period() -> None:
    # Before 17 nothing tells whether the entry is new: a million fast calls may be older than the period.
    assert slow(None, entry(1_000_010, 1_005_000.0, 500)) == [("slowest", 500.0, None, None, 500.0)]
    # 17 tells: this one was made in the period, that one long before.
    assert slow(None, entry(4, 2000.0, 700, since=105.0)) == [("mean", 500.0, 4, 500.0, 700.0)]
    assert slow(None, entry(4, 2000.0, 700, since=50.0)) == [("slowest", 700.0, None, None, 700.0)]


def test_an_entry_that_began_anew_counts_from_its_beginning() -> None:
    assert slow(entry(1000, 500_000.0, 900), entry(2, 600.0, 400)) == [("mean", 300.0, 2, 300.0, 400.0)]
    reset = datetime(2026, 3, 2, tzinfo=UTC)
    assert slow(entry(2, 500.0, 900), entry(5, 1500.0, 400), reset=reset) == [("mean", 300.0, 5, 300.0, 400.0)]


def test_the_statements_that_took_most_come_first() -> None:
    rows = {(10, number, True): entry(1, 200.0 * number, 200.0 * number, since=105.0) for number in (1, 3, 2)}
    found = slow_since(Counters({}, at=100.0), Counters(rows, at=110.0), 100.0)
    assert [one.key[1] for one in found] == [3, 2, 1]


# --- sessions ---


def session(pid: int, state: str, **given: Any) -> dict[str, Any]:
    """A session that stands out as a look reads it."""
    plain = {"query_s": 0.0, "state_s": 0.0, "query_start": 1.0, "xact_start": 1.0, "blocked_by": [], "watched": True}
    return {"pid": pid, "state": state, **plain, **given}


def test_a_wait_is_told_once_after_its_limit() -> None:
    told = Told(Limits(blocked_s=2.0))
    waits = Look(2, [session(7, "active", blocked_by=[8]), session(8, "idle in transaction")])
    times = [0.0, 1.0, 2.0, 3.0, 60.0]
    found = [[(row["pid"], waited) for row, waited in told.blocked(waits, now)] for now in times]
    assert found == [[], [], [(7, 2.0)], [], []]
    assert told.blocked(Look(1), 61.0) == []
    told.forget(Look(1))
    again = Look(2, [session(7, "active", blocked_by=[8])])
    assert [told.blocked(again, now) != [] for now in (70.0, 71.0, 72.0, 73.0)] == [False, False, True, False]


def test_a_transaction_that_idles_is_told_once_and_the_next_one_again() -> None:
    told = Told(Limits(idle_in_transaction_s=5.0))
    first = session(7, "idle in transaction (aborted)", state_s=6.0)
    assert told.idle(Look(1, [session(7, "idle in transaction", state_s=4.0)])) == []
    assert told.idle(Look(1, [first])) == [first]
    assert told.idle(Look(1, [{**first, "state_s": 60.0}])) == []
    later = {**first, "xact_start": 99.0}
    assert told.idle(Look(1, [later])) == [later]


def test_who_blocks_from_another_database_is_not_told_of() -> None:
    other = session(8, "active", query_s=9.0, state_s=99.0, watched=False)
    assert running(Look(1, [other]), 100) == []
    assert Told(Limits()).idle(Look(1, [{**other, "state": "idle in transaction"}])) == []
    assert Told(Limits(blocked_s=0)).blocked(Look(1, [{**other, "blocked_by": [1]}]), 0.0) == []


def test_what_waits_for_a_lock_does_not_count_as_running_slowly() -> None:
    busy = session(1, "active", query_s=0.2)
    rows = [busy, session(2, "active", query_s=0.05), session(3, "active", query_s=9, blocked_by=[1])]
    assert running(Look(3, rows), 100) == [busy]


def test_a_statement_is_told_once_in_a_period() -> None:
    told = Told(Limits(repeat_s=60))
    asked = [(0.0, "a"), (1.0, "a"), (2.0, "b"), (59.9, "a"), (60.0, "a"), (61.0, "a")]
    assert [told.statement(name, now) for now, name in asked] == [True, False, True, False, True, False]


def test_connections_are_told_again_only_after_they_fell() -> None:
    told = Told(Limits(connections=0.9))
    assert [told.crowded(number, 100) for number in (89, 90, 95, 89, 90, 84, 90)] == [0, 1, 0, 0, 0, 0, 1]


# --- texts ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT * FROM t WHERE a = 'c4nary' AND b = 17", "SELECT * FROM t WHERE a = $1 AND b = $2"),
        ("SELECT $2, $1, E'c4\\'nary', $x$c4nary$x$, 1.5e3", "SELECT $2, $1, $3, $4, $5"),
        ("SELECT /* user c4nary */ 1 -- c4nary\n FROM t", "SELECT $1 FROM t"),
        ("ALTER ROLE a PASSWORD 'c4nary'", "ALTER ROLE a PASSWORD $1"),
        ("SELECT B'1', X'FF', U&'c4\\006e', N'é', date 'c4nary'", "SELECT $1, $2, $3, N$4, date $5"),
        ("SELECT a FROM t WHERE b IN ($1 /*, ... */)", "SELECT a FROM t WHERE b IN ($1 )"),
        ('SELECT "Grün" FROM t', 'SELECT "Grün" FROM t'),
    ],
)
def test_constants_and_comments_leave_a_text(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize(
    "text", ["/* c4 */ insert into t values ('c4nary", "INSERT /* c4nary", "INSERT INTO t VALUES ('it\\' c4nary')"]
)
def test_a_text_that_cannot_be_read_safely_is_withheld(text: str) -> None:
    assert masked(text) in {
        "INSERT … (text withheld: it cannot be read safely)",
        "a statement … (text withheld: it cannot be read safely)",
    }


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30))
def test_no_string_gets_through_whatever_it_holds(value: str) -> None:
    quoted = value.replace("'", "''")
    assert "canary" not in masked(f"SELECT 'canary{quoted}', 5 FROM t")
    assert "canary" not in masked(f"SELECT 'canary{quoted}"[:40])


def test_texts_of_one_statement_have_one_shape() -> None:
    assert shape(masked("SELECT 1, $1")) == shape("SELECT $2, $1") == "SELECT ?, ?"


# --- what it may cost ---


def spent(pace: Pace, costs: list[float], seconds: float) -> float:
    """Share of a core that questions of these costs take, asked whenever they are due."""
    total, now, number = 0.0, 0.0, 0
    while now < seconds:
        cost = costs[number % len(costs)]
        pace.asked(now, cost)
        total += cost
        number += 1
        now = pace.due
    return total / 1000 / seconds


def test_a_cheap_question_is_asked_at_its_steady_moments() -> None:
    assert spent(Pace(0.001, 1.0, 0.0), [0.5], 1000) == pytest.approx(0.0005, rel=0.01)


def test_a_dear_question_is_asked_as_seldom_as_its_share_wants() -> None:
    assert spent(Pace(0.001, 1.0, 0.0), [20.0], 10_000) == pytest.approx(0.001, rel=0.01)


def test_single_long_answers_do_not_count_as_the_cost() -> None:
    pace = Pace(0.001, 1.0, 0.0)
    assert pace.cost_ms == 0.0
    for cost in (5.0, 5.5, 400.0, 6.0):
        pace.asked(0.0, cost)
    assert pace.cost_ms == 5.5


def test_what_else_is_paid_puts_the_question_off() -> None:
    pace = Pace(0.001, 5.0, 100.0)
    pace.charge(90.0, 30.0)
    assert pace.due == pytest.approx(130.0)
    pace.charge(200.0, 30.0)
    assert pace.due == pytest.approx(230.0)


# --- delivery ---

LOST = Lost(event="lost", at=datetime(2026, 3, 2, tzinfo=UTC), database="db:5432/meals", reason="gone")


def test_a_listener_that_raises_is_counted_and_the_others_hear(caplog: pytest.LogCaptureFixture) -> None:
    listeners, heard = Listeners(), list[Event]()

    def broken(_: Event) -> None:
        raise RuntimeError("c4nary")

    listeners.add("lost", broken)
    listeners.add("lost", heard.append)
    listeners.tell(LOST)
    listeners.tell(LOST)
    listeners.close(5.0)
    assert (heard, listeners.failed) == ([LOST, LOST], 2)
    assert "RuntimeError" in caplog.text
    assert "c4nary" not in caplog.text


def test_a_listener_is_called_for_its_kind_until_it_is_removed() -> None:
    listeners, heard = Listeners(), list[Event]()
    listeners.add("back", heard.append)
    listeners.tell(LOST)
    back = Back(event="back", at=LOST.at, database=LOST.database, outage_s=2.5, restarted=True)
    listeners.tell(back)
    listeners.close(5.0)
    listeners.remove("back", heard.append)
    listeners.tell(back)
    listeners.close(5.0)
    assert heard == [back]
    assert words(back) == "back after 2.5 s, the server was restarted"


def test_a_listener_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.monitoring.database_watch.deliver.WAITING", 3)
    listeners, release = Listeners(), threading.Event()
    listeners.add("lost", lambda _: release.wait(20))
    begin = time.monotonic()
    for _ in range(10):
        listeners.tell(LOST)
    listeners.close(0.2)
    assert time.monotonic() - begin < 5
    assert listeners.dropped >= 6
    release.set()


def test_a_coroutine_function_is_run_in_the_loop_that_registered_it() -> None:
    listeners = Listeners()

    async def main() -> list[tuple[Event, bool]]:
        loop, heard, done = asyncio.get_running_loop(), list[tuple[Event, bool]](), asyncio.Event()

        async def hear(event: Event) -> None:
            heard.append((event, asyncio.get_running_loop() is loop))
            done.set()
            raise ValueError

        listeners.add("lost", hear)
        listeners.tell(LOST)
        await asyncio.wait_for(done.wait(), 10)
        return heard

    assert asyncio.run(main()) == [(LOST, True)]
    listeners.close(5.0)
    assert listeners.failed == 1

    async def outside(_: Event) -> None: ...

    with pytest.raises(RuntimeError):
        listeners.add("lost", outside)


def test_json_lines_can_be_read_back() -> None:
    stream = io.StringIO()
    write = JsonLines(stream)
    text = 'SELECT "a\nb\x1b[31m"'
    fields = {"basis": "running", "statement": text, "queryid": "-5", "duration_ms": 120.5, "limit_ms": 100.0}
    found = SlowQuery.model_validate({"event": "slow_query", "at": LOST.at, "database": LOST.database, **fields})
    write(found)
    write(LOST)
    first, second = stream.getvalue().splitlines()
    assert SlowQuery.model_validate_json(first) == found
    assert json.loads(second)["event"] == "lost"


def test_an_unknown_event_is_answered_with_those_there_are() -> None:
    assert kind_of("slow-query") == kind_of("slow_query") == "slow_query"
    with pytest.raises(UsageError, match="slow-query, blocked"):
        kind_of("slow")
