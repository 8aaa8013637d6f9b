"""The rules of verdicts, of watching and of what must hold before, on figures made by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from deployments.changes import ChangeSettings
from storage.errors import ExitCode
from storage.records import Window
from tasks.components.database.change import preflight, tell
from tasks.components.database.change.decide import Rules, decide
from tasks.components.database.change.measure import Reading, gains
from tasks.components.database.change.ownership import Mark, mark_of
from tasks.components.database.change.records import (
    Entry,
    Event,
    Figures,
    Kind,
    Outcome,
    Replay,
    Span,
    State,
    Step,
    Verdict,
    Work,
    shares,
)
from tasks.components.database.change.understand import kind_of, parsed, touches
from tasks.components.database.change.watch import Limits, Sight, Watch, behind
from tasks.components.database.change.witness_work import drift

NAME = "hasivu_perf_x"
START = datetime(2026, 3, 2, 6, tzinfo=UTC)
RULES = Rules()


def work(name: str, mean_ms: float, *, calls: int = 1000, sd_ms: float | None = None, **more: Any) -> Work:
    given = {"touches": True, "writes": False, "wal_bytes": 0.0, **more}
    return Work(
        id=name, shown=name, calls=calls, mean_ms=mean_ms, sd_ms=mean_ms / 5 if sd_ms is None else sd_ms, **given
    )


def span(*works: Work, scans: int | None = 100) -> Span:
    return Span(window=Window(start=START, end=START + timedelta(minutes=30)), work=works, scans=scans)


def replay(name: str, ms: float, plan: str = "Seq Scan", *, index: str | None = None, **more: Any) -> Replay:
    given = {"low_ms": ms * 0.95, "high_ms": ms * 1.05, "n": 5, "buffers": 10, "digest": "d", **more}
    return Replay(id=name, shown=name, median_ms=ms, plan=plan, indexes=(index,) if index else (), **given)


def verdict(before: Span | None, after: Span | None, *, rules: Rules = RULES, kind: Kind = Kind.CREATE) -> Verdict:
    return decide(kind, NAME, Figures(span=before), Figures(span=after), rules)


# --- windows ---


def test_a_gain_in_real_work_is_kept() -> None:
    found = verdict(span(work("read", 10), work("write", 1, writes=True)), span(work("read", 1), work("write", 1.05)))
    assert found.keep
    assert found.gain == pytest.approx((9000 - 50) / 11000)


def test_what_nothing_uses_is_undone_however_fast_things_became() -> None:
    found = verdict(span(work("read", 10)), span(work("read", 1), scans=0))
    assert not found.keep
    assert "not used" in found.reasons[0]


def test_a_gain_counts_only_where_the_index_can_have_brought_it() -> None:
    """Another read uses the index; this one became faster by itself."""
    before = Figures(span=span(work("u/7/1", 10)), replays=(replay("7/1", 10), replay("8/1", 1)))
    after = Figures(
        span=span(work("u/7/1", 1), scans=5),
        replays=(replay("7/1", 1), replay("8/1", 0.99, "Index Scan", index=NAME)),
    )
    found = decide(Kind.CREATE, NAME, before, after, RULES)
    assert not found.keep
    assert "too little gain" in found.reasons[0]
    used = after.model_copy(update={"replays": (replay("7/1", 1, "Index Scan", index=NAME),)})
    assert decide(Kind.CREATE, NAME, before, used, RULES).keep


def test_too_little_gain_is_undone() -> None:
    found = verdict(span(work("read", 10)), span(work("read", 9.5)))
    assert not found.keep
    assert "too little gain: 5 % of 10 %" in found.reasons[0]


@pytest.mark.parametrize(("after_ms", "kept"), [(1.15, True), (1.3, False)])
def test_another_statement_may_not_become_a_fifth_slower(after_ms: float, kept: bool) -> None:  # noqa: FBT001
    before = span(work("read", 10), work("other", 1))
    assert verdict(before, span(work("read", 1), work("other", after_ms))).keep is kept


def test_writes_count_like_reads() -> None:
    before = span(work("read", 2), work("insert", 1, writes=True))
    found = verdict(before, span(work("read", 0.2), work("insert", 1.6, writes=True)))
    assert not found.keep
    assert "write insert takes 1.60 times as long" in found.reasons[0]


@pytest.mark.parametrize(
    ("read_ms", "other_ms", "doubtful"),
    [(1, 1.5, True), (1, 2.5, False), (9.9, 1.5, False)],
    ids=["mild beside a gain", "strong", "without a gain"],
)
def test_a_mild_regression_beside_a_proven_gain_is_doubted(read_ms: float, other_ms: float, doubtful: bool) -> None:  # noqa: FBT001
    found = verdict(span(work("read", 10), work("other", 1)), span(work("read", read_ms), work("other", other_ms)))
    assert (found.keep, found.doubtful) == (False, doubtful)


def test_noise_is_no_regression() -> None:
    before = span(work("read", 10), work("other", 1, sd_ms=10, calls=50))
    assert verdict(before, span(work("read", 1), work("other", 1.5, sd_ms=10, calls=50))).keep


def test_what_costs_nothing_in_all_is_no_regression() -> None:
    before = span(work("read", 10, calls=100_000), work("rare", 0.1, calls=20))
    assert verdict(before, span(work("read", 1, calls=100_000), work("rare", 0.2, calls=20))).keep


def test_few_calls_tell_nothing() -> None:
    found = verdict(span(work("read", 10, calls=9)), span(work("read", 1, calls=9)))
    assert not found.keep
    assert found.reasons[0].startswith("unproven")


def test_a_machine_that_became_slower_is_taken_off() -> None:
    others = [work(f"other {n}", 2, touches=False) for n in range(5)]
    slower = [work(f"other {n}", 2.8, touches=False) for n in range(5)]
    before, after = (
        span(work("read", 10), work("same", 1), *others),
        span(work("read", 3), work("same", 1.4), *slower),
    )
    assert drift(before, after) == pytest.approx(1.4)
    assert verdict(before, after).keep
    assert not verdict(span(*before.work[:2]), span(*after.work[:2])).keep  # without a control group it looks slower


def test_windows_that_cannot_be_compared_say_nothing() -> None:
    others = [work(f"other {n}", 2, touches=False) for n in range(5)]
    slower = [work(f"other {n}", 9, touches=False) for n in range(5)]
    found = verdict(span(work("read", 10), *others), span(work("read", 1), *slower))
    assert found.reasons[0].startswith("unproven")


def test_more_wal_than_allowed_is_undone() -> None:
    before = span(work("read", 10), work("insert", 1, writes=True, wal_bytes=2e9))
    after = span(work("read", 1), work("insert", 1, writes=True, wal_bytes=3.2e9))
    found = verdict(before, after)
    assert not found.keep
    assert "60 % more WAL" in found.reasons[0]
    assert verdict(before, after, rules=Rules(max_wal_growth=0.7)).keep


def test_more_wal_that_is_little_in_all_is_no_reason() -> None:
    before = span(work("read", 10), work("insert", 1, writes=True, wal_bytes=200_000))
    assert verdict(before, span(work("read", 1), work("insert", 1, writes=True, wal_bytes=900_000))).keep


def test_twice_the_writes_are_not_more_wal() -> None:
    before = span(work("read", 10), work("insert", 1, writes=True, calls=100, wal_bytes=20_000))
    assert verdict(before, span(work("read", 1), work("insert", 1, writes=True, calls=200, wal_bytes=40_000))).keep


def test_nothing_measured_is_undone_unless_the_file_says_otherwise() -> None:
    assert not verdict(None, None).keep
    assert verdict(None, None, rules=Rules(keep_unproven=True)).keep


def test_a_removal_stays_where_nothing_became_slower() -> None:
    assert verdict(span(work("read", 1)), span(work("read", 1.1)), kind=Kind.DROP).keep
    assert not verdict(span(work("read", 1)), span(work("read", 10)), kind=Kind.DROP).keep
    assert not verdict(None, None, kind=Kind.DROP).keep


@given(st.lists(st.floats(0.5, 0.99), min_size=1, max_size=5), st.floats(1.25, 20))
def test_any_material_regression_undoes_any_gain(gained: list[float], lost: float) -> None:
    before = span(*(work(f"r{n}", 5) for n in range(len(gained))), work("worse", 5))
    after = span(*(work(f"r{n}", 5 * (1 - share)) for n, share in enumerate(gained)), work("worse", 5 * lost))
    assert not verdict(before, after).keep


# --- replays ---


def replayed(before: Replay, after: Replay, *, calls: int | None = None) -> Verdict:
    return decide(Kind.CREATE, NAME, Figures(replays=(before,)), Figures(replays=(after,)), RULES)


def test_a_replay_proves_a_gain_where_no_work_does() -> None:
    assert replayed(replay("a", 10), replay("a", 1, "Index Scan", index=NAME)).keep


def test_a_gain_by_another_index_is_not_this_ones() -> None:
    found = replayed(replay("a", 10), replay("a", 1, "Index Scan", index="another"))
    assert "not used" in found.reasons[0]


def test_a_replay_that_became_slower_by_another_plan_is_a_regression() -> None:
    found = replayed(replay("a", 10), replay("a", 15, "Index Scan", index=NAME))
    assert "slower: read a takes 1.50 times" in found.reasons[0]


def test_the_same_plan_at_another_speed_is_the_machine() -> None:
    pairs = (replay("a", 10), replay("b", 20)), (replay("a", 15), replay("b", 2, "Index Scan", index=NAME))
    assert decide(Kind.CREATE, NAME, Figures(replays=pairs[0]), Figures(replays=pairs[1]), RULES).keep


def test_a_read_that_ends_now_is_a_gain_and_one_that_no_longer_does_is_a_loss() -> None:
    late = replay("a", 5000, "", late=True, n=1)
    assert replayed(late, replay("a", 3, "Index Scan", index=NAME)).keep
    found = replayed(replay("a", 3), late)
    assert "does not end within 5000 ms" in found.reasons[0]


def test_other_texts_are_not_compared() -> None:
    found = replayed(replay("a", 10), replay("a", 1, "Index Scan", index=NAME, digest="other"))
    assert found.reasons[0].startswith("unproven")


# --- counters ---


def counters(calls: int, times: list[float], **more: Any) -> dict[str, Any]:
    mean = sum(times) / len(times)
    deviation = (sum((one - mean) ** 2 for one in times) / len(times)) ** 0.5
    return {
        "calls": calls,
        "total_ms": sum(times),
        "sd_ms": deviation,
        "wal_bytes": 0.0,
        "wal_fpi": 0,
        "stats_since": 1,
        **more,
    }


@given(
    st.lists(st.floats(0.01, 1000), min_size=1, max_size=30), st.lists(st.floats(0.01, 1000), min_size=1, max_size=30)
)
def test_mean_and_deviation_of_a_window_follow_from_cumulative_counters(old: list[float], new: list[float]) -> None:
    first = Reading(START, {(1, 2, True): counters(len(old), old)}, 5)
    last = Reading(START, {(1, 2, True): counters(len(old) + len(new), old + new)}, 9)
    (found,) = gains(first, last).values()
    mean = sum(new) / len(new)
    assert found.calls == len(new)
    assert found.mean_ms == pytest.approx(mean, rel=1e-6, abs=1e-6)
    deviation = (sum((one - mean) ** 2 for one in new) / len(new)) ** 0.5
    assert found.sd_ms == pytest.approx(deviation, rel=1e-3, abs=1e-2)


def test_counters_that_began_anew_count_from_their_beginning() -> None:
    first = Reading(START, {(1, 2, True): counters(100, [5.0] * 100)}, None)
    again = Reading(START, {(1, 2, True): counters(3, [1.0] * 3, stats_since=2)}, None)
    assert gains(first, again)[1, 2, True].calls == 3
    assert gains(Reading(START, {}, None), again)[1, 2, True].calls == 3
    assert gains(first, first) == {}


def test_page_images_are_no_write_cost() -> None:
    first = Reading(START, {(1, 2, True): counters(1, [1.0])}, None)
    last = Reading(START, {(1, 2, True): counters(2, [1.0, 1.0], wal_bytes=8192.0 + 150, wal_fpi=1)}, None)
    assert gains(first, last)[1, 2, True].wal_bytes == 150


# --- texts ---


@pytest.mark.parametrize(
    ("text", "kind", "may_use"),
    [
        ("SELECT * FROM orders", "read", True),
        ("SELECT * FROM users u JOIN tags ON true", "read", False),
        ("WITH x AS (SELECT 1) SELECT * FROM x, users", "read", False),
        ("SELECT * FROM a_view", "read", True),
        ("SELECT place_order($1)", "read", True),
        ("WITH d AS (DELETE FROM users RETURNING 1) SELECT * FROM d", "write", False),
        ("SELECT * FROM users FOR UPDATE", "write", False),
        ("INSERT INTO users VALUES ($1)", "write", False),
        ("UPDATE shop.orders SET a = $1", "write", True),
        ("BEGIN", "other", True),
        ("not sql", "write", True),
    ],
)
def test_statements_are_told_apart(text: str, kind: str, may_use: bool) -> None:  # noqa: FBT001
    tree = parsed(text)
    assert kind_of(tree) == kind
    assert touches(tree, "orders", {"users", "tags"}) is may_use


# --- watching ---

LIMITS = Limits(writer_wait_s=2, own_wait_s=10, total_s=100, lag_bytes=1e6)


def test_waiting_is_followed_from_session_to_session() -> None:
    waiting = {2: frozenset({1}), 3: frozenset({2}), 4: frozenset({9}), 1: frozenset({8})}
    assert behind(1, waiting) == {2, 3}
    assert behind(7, waiting) == frozenset()
    assert behind(1, {1: frozenset({2}), 2: frozenset({1})}) == {2}


def test_a_writer_that_waits_too_long_ends_a_build() -> None:
    watch = Watch(1, LIMITS)
    sight = Sight({3: frozenset({2}), 2: frozenset({1})})
    assert watch.objection(5, sight) is None
    assert watch.objection(6.9, sight) is None
    assert "2 sessions waited behind it" in str(watch.objection(7.1, sight))
    assert watch.longest_s == pytest.approx(2.1)


def test_several_short_waits_are_not_one_long_one() -> None:
    watch = Watch(1, LIMITS)
    for second in range(30):
        assert watch.objection(second, Sight({100 + second: frozenset({1})})) is None


def test_a_build_that_waits_itself_is_ended() -> None:
    watch = Watch(1, LIMITS)
    sight = Sight({1: frozenset({9})})
    assert watch.objection(0, sight) is None
    assert watch.objection(9, Sight()) is None  # it went on meanwhile
    assert watch.objection(11, sight) is None
    assert "for older transactions" in str(watch.objection(22, sight))


def test_time_and_lag_end_a_build() -> None:
    assert "more than 100 s" in str(Watch(1, LIMITS).objection(101, Sight()))
    assert "2 MB behind" in str(Watch(1, LIMITS).objection(1, Sight(lag_bytes=2e6)))


# --- before a build ---

STEP = Step(
    kind=Kind.CREATE,
    schema_name="public",
    table="orders",
    name=NAME,
    sql=f"CREATE INDEX CONCURRENTLY {NAME} ON public.orders USING btree (customer)",
    undo=f"DROP INDEX CONCURRENTLY IF EXISTS public.{NAME}",
)
TABLE = {"kind": "r", "persistence": "p", "owns": True, "creates": True, "owner": "boss", "rows": 1, "bytes": 8192}
TABLE |= {"oids": [1], "foreign": None, "others": None}
PARTED = {**TABLE, "kind": "p"}
FACTS = preflight.Facts(
    version=180_000,
    role="app",
    sees_all=True,
    replica=False,
    table=TABLE,
    indexes=(),
    taken=False,
    old=None,
    busy=None,
    replicas=0,
    lag_bytes=None,
    needed_bytes=100e6,
    free_bytes=None,
)
OLD = {"who": "17", "application": "batch", "role": "boss", "state": "idle in transaction", "age_s": 99.0}


def theirs(**more: Any) -> preflight.Existing:
    given = {"name": NAME, "table": "orders", "valid": True, "mark": None}
    definition = f"CREATE INDEX {NAME} ON public.orders USING btree (total)"
    return preflight.Existing(**{**given, "definition": definition, **more})


ONLY = STEP.model_copy(update={"partitioned": True})


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (TABLE, "is not partitioned: write CREATE INDEX CONCURRENTLY without ONLY"),
        ({**PARTED, "foreign": "far"}, "partition far of public.orders lies elsewhere"),
        ({**PARTED, "others": "theirs"}, "partition theirs of public.orders has another owner"),
    ],
)
def test_partitioned_tables_are_told_from_others(table: dict[str, Any], words: str) -> None:
    (problem,) = preflight.problems(replace(FACTS, table=table), ONLY, ChangeSettings())
    assert words in problem


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 120_000}, "PostgreSQL 12 is not known"),
        ({"version": 190_000}, "PostgreSQL 19 is not known"),
        ({"replica": True}, "read-only replica"),
        ({"table": None}, "public.orders does not exist"),
        ({"table": PARTED}, "is partitioned: CREATE INDEX CONCURRENTLY cannot be used on it; write CREATE INDEX"),
        ({"table": {**TABLE, "kind": "v"}}, "is no table"),
        ({"table": {**TABLE, "persistence": "t"}}, "is temporary"),
        ({"table": {**TABLE, "owns": False}}, "does not own public.orders: GRANT boss TO app"),
        ({"table": {**TABLE, "creates": False}}, "may not create in public"),
        ({"sees_all": False}, "GRANT pg_monitor TO app"),
        ({"taken": True}, "is taken by something else"),
        ({"indexes": (theirs(table="users"),)}, "is taken by something else"),
        ({"indexes": (theirs(),)}, "that another made"),
        ({"indexes": (theirs(valid=False),)}, "an INVALID index"),
        ({"old": OLD}, "is 99 s old, a build would wait for it"),
        ({"busy": {"pid": 5, "query": "VACUUM orders", "automatic": False}}, "held by process 5 (VACUUM orders)"),
        ({"busy": {"pid": 5, "query": "", "automatic": True}}, "held by process 5 (autovacuum)"),
        ({"replicas": 1}, "the lag of a replica is not known"),
        ({"replicas": 1, "lag_bytes": 300e6}, "300 MB behind, 256 MB are allowed"),
        ({"free_bytes": 99e6}, "99 MB of disk are free, 100 MB are wanted"),
    ],
)
def test_every_reason_not_to_begin_is_named(changes: dict[str, Any], words: str) -> None:
    (problem,) = preflight.problems(replace(FACTS, **changes), STEP, ChangeSettings())
    assert words in problem
    assert "\n" not in problem


def test_a_good_moment_is_one() -> None:
    assert list(preflight.problems(FACTS, STEP, ChangeSettings())) == []
    assert list(preflight.skipped(FACTS)) == [
        "free disk of the server was not looked at: set free_disk_mb in [database.changes]"
    ]


def test_an_index_that_is_there_needs_no_building() -> None:
    same = theirs(name="by_hand", definition="CREATE INDEX by_hand ON public.orders USING btree (customer)")
    assert preflight.present(replace(FACTS, indexes=(same,)), STEP) == (
        "the index is there already under the name by_hand"
    )
    assert preflight.present(replace(FACTS, indexes=(replace(same, valid=False),)), STEP) is None


def test_only_what_bears_our_comment_is_ours() -> None:
    mark = Mark("run", "plan", kept=True)
    assert mark_of(NAME, mark.comment()) == mark
    for name, comment in (("theirs", mark.comment()), (NAME, None), (NAME, "by hand"), (NAME, "hasivu-perf {}")):
        assert mark_of(name, comment) is None
    dropping = STEP.model_copy(update={"kind": Kind.DROP})
    (problem,) = preflight.problems(replace(FACTS, indexes=(theirs(),)), dropping, ChangeSettings())
    assert "not ours to drop" in problem
    assert list(preflight.problems(replace(FACTS, indexes=(theirs(mark=mark),)), dropping, ChangeSettings())) == []


# --- settings and words ---


def test_nothing_is_allowed_by_default() -> None:
    assert not ChangeSettings().allow
    with pytest.raises(ValidationError, match="needs tables"):
        ChangeSettings(allow=True)
    with pytest.raises(ValidationError, match=r"is not schema\.table"):
        ChangeSettings(tables=("orders",))


def outcome(*states: State, interrupted: bool = False) -> Outcome:
    entries = tuple(
        Entry(
            run="r",
            number=number,
            environment="development",
            database="h:1/d",
            plan="f" * 64,
            approved_by="someone",
            step=STEP,
            state=state,
            events=(Event(at=START, state=state, words="a | reason"),),
        )
        for number, state in enumerate(states)
    )
    return Outcome(
        run="r",
        environment="development",
        database="h:1/d",
        plan="f" * 64,
        approved_by="someone",
        entries=entries,
        interrupted=interrupted,
    )


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ((), ExitCode.PASS),
        ((State.KEPT, State.PRESENT), ExitCode.PASS),
        ((State.KEPT, State.UNDONE), ExitCode.GATE_FAILED),
        ((State.UNDONE, State.FAILED), ExitCode.INCOMPLETE),
        ((State.KEPT, State.UNCLEAN), ExitCode.INCOMPLETE),
    ],
)
def test_the_exit_code_tells_what_stands(states: tuple[State, ...], code: ExitCode) -> None:
    assert tell.exit_code(outcome(*states)) is code
    assert tell.exit_code(outcome(*states, interrupted=True)) is ExitCode.INTERRUPTED


def test_words_tell_how_to_undo_what_was_kept() -> None:
    assert f"undo    {STEP.undo};" in tell.text(outcome(State.KEPT))
    assert "undo    " not in tell.text(outcome(State.UNDONE))
    assert "a \\| reason" in tell.markdown(outcome(State.KEPT))


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_quartiles_are_in_order_and_within(values: list[float]) -> None:
    low, middle, high = shares(values)
    assert min(values) <= low <= middle <= high <= max(values)
