"""Choosing among indexes by a table of costs that stands for the planner."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import combinations
from math import exp
from random import Random
from typing import Any

import pytest

from tasks.components.database.advisor.ask import Planner, unused
from tasks.components.database.advisor.choose import Candidate, Choice, Weighted
from tasks.components.database.advisor.fill import Filled
from tasks.components.database.advisor.records import Index, Key, Plan

ORDERS, ITEMS = ("public", "orders"), ("public", "items")
MB = 10**6


def index(column: str, table: tuple[str, str] = ORDERS) -> Index:
    return Index(*table, (Key(column, column),))


def choice(costs: Mapping[str, Mapping[frozenset[str], float]], sizes: Mapping[str, int], **other: Any) -> Choice:
    """`costs` by statement: for each set of indexes the cost; the best subset counts."""
    tables = {"items": ITEMS}

    def cost(statement: str, names: frozenset[str]) -> float:
        return min(value for needed, value in costs[statement].items() if needed <= names)

    made = {name: Candidate(index(name, tables.get(name, ORDERS)), size) for name, size in sizes.items()}
    statements = [Weighted(name, 100.0, 10.0, frozenset({ORDERS, ITEMS})) for name in costs]
    return Choice(statements, made, cost, 1000 * MB, **other)


NONE: frozenset[str] = frozenset()


def test_takes_what_helps_and_leaves_what_does_not() -> None:
    found = choice({"q": {NONE: 1000, frozenset({"a"}): 10}}, {"a": MB, "b": MB}).choose()
    assert found == ["a"]


def test_two_indexes_that_help_only_together_are_found() -> None:
    both = frozenset({"a", "items"})
    costs = {"q": {NONE: 1000.0, both: 10.0}}
    assert set(choice(costs, {"a": MB, "items": MB}, together=[both]).choose()) == both
    assert choice(costs, {"a": MB, "items": MB}).choose() == []


def test_a_small_index_that_does_nearly_as_much_wins() -> None:
    costs = {"q": {NONE: 1000.0, frozenset({"small"}): 12.0, frozenset({"large"}): 10.0}}
    assert choice(costs, {"small": MB, "large": 200 * MB}).choose() == ["small"]


def test_the_budget_is_kept() -> None:
    costs = {"q": {NONE: 1000.0, frozenset({"a"}): 10.0}, "r": {NONE: 1000.0, frozenset({"b"}): 500.0}}
    assert choice(costs, {"a": 6 * MB, "b": 6 * MB}, budget_bytes=10 * MB).choose() == ["a"]
    assert choice(costs, {"a": 6 * MB, "b": 6 * MB}, most=1).choose() == ["a"]


def speeding(factors: Mapping[str, float], sizes: Mapping[str, int], **other: Any) -> Choice:
    """Each index makes a statement of its own so many times as fast, and helps no other."""
    costs = {f"q{name}": {NONE: 1000.0, frozenset({name}): 1000.0 / factor} for name, factor in factors.items()}
    return choice(costs, sizes, **other)


@pytest.mark.parametrize("limit", [{"budget_bytes": 30 * MB}, {"most": 1}])
def test_an_index_that_is_worth_more_takes_the_room_of_small_ones(limit: dict[str, int]) -> None:
    sizes = {"large": 25 * MB, "small": 6 * MB}
    assert speeding({"large": 100.0, "small": 8.0}, sizes, **limit).choose() == ["large"]


def test_within_a_budget_hardly_anything_better_is_to_be_had() -> None:
    """Beside the best of all sets of nine indexes, on forty drawn problems."""
    ratios = []
    for seed in range(40):
        drawn = Random(seed)  # noqa: S311 - no secret
        factors = {name: exp(drawn.uniform(0.5, 5)) for name in "abcdefghi"}
        sizes = {name: round(exp(drawn.uniform(0, 3)) * MB) for name in factors}
        budget = round(sum(sizes.values()) * drawn.uniform(0.2, 0.6))
        one = speeding(factors, sizes, budget_bytes=budget)
        sets = (found for number in range(10) for found in combinations(factors, number))
        best = max(one.worth(found) for found in sets if sum(sizes[name] for name in found) <= budget)
        chosen = one.choose()
        assert sum(sizes[name] for name in chosen) <= budget
        ratios.append(one.worth(chosen) / best)
    assert min(ratios) >= 0.97, sorted(ratios)


def test_what_a_later_one_makes_useless_is_taken_back() -> None:
    costs = {
        "q": {NONE: 1000.0, frozenset({"narrow"}): 100.0, frozenset({"wide"}): 90.0},
        "r": {NONE: 1000.0, frozenset({"wide"}): 10.0},
    }
    assert choice(costs, {"narrow": MB, "wide": 2 * MB}).choose() == ["wide"]


def test_writes_are_weighed() -> None:
    one = choice({"read": {NONE: 1000.0, frozenset({"a"}): 900.0}, "write": {NONE: 10.0}}, {"a": MB})
    assert one.choose() == ["a"]
    slow = Candidate(index("a"), MB, wal_growth=0.0, slows={"write": 0.5})
    harmed = Choice(one.statements, {"a": slow}, one.cost, one.table_bytes)
    assert harmed.choose() == []
    grown = Choice(one.statements, {"a": Candidate(index("a"), MB, wal_growth=0.2)}, one.cost, one.table_bytes)
    assert grown.choose() == []


def test_the_wal_may_grow_by_a_tenth_and_what_is_left_out_is_named() -> None:
    costs = {"q": {NONE: 1000.0, frozenset({"a"}): 10.0}, "r": {NONE: 1000.0, frozenset({"b"}): 10.0}}
    one = choice(costs, {"a": MB, "b": MB})
    one.candidates = {name: Candidate(index(name), MB, wal_growth=0.07) for name in ("a", "b")}
    assert len(one.choose()) == 1
    (why,) = one.too_much.values()
    assert "7%" in why
    assert "--max-wal-growth" in why
    one.most_wal = 0.2
    assert len(one.choose()) == 2
    assert one.too_much == {}


def test_what_an_exchange_takes_in_is_not_named_as_too_much() -> None:
    one = speeding({"a": 8.0, "b": 100.0}, {"a": MB, "b": 60 * MB})
    grows = {"a": 0.03, "b": 0.09}
    one.candidates = {name: Candidate(index(name), two.bytes, grows[name]) for name, two in one.candidates.items()}
    assert one.choose() == ["b"]
    assert [definition for definition in one.too_much if "(a)" in definition] == list(one.too_much)


def test_a_pair_of_which_one_is_chosen_and_that_has_no_room_is_left() -> None:
    both = frozenset({"a", "items"})
    costs = {
        "q": {NONE: 1000.0, frozenset({"a"}): 100.0, both: 1.0},
        "r": {NONE: 1000.0, frozenset({"c"}): 900.0},
    }
    found = choice(costs, {"a": 6 * MB, "items": 6 * MB, "c": MB}, together=[both], budget_bytes=10 * MB).choose()
    assert found == ["a", "c"]


def test_an_end_of_patience_keeps_what_was_found() -> None:
    costs = {"q": {NONE: 1000.0, frozenset({"a"}): 10.0}, "r": {NONE: 1000.0, frozenset({"b"}): 500.0}}
    rounds = iter([True, False])
    assert choice(costs, {"a": MB, "b": MB}, patience=lambda: next(rounds)).choose() == ["a"]


def test_where_time_is_short_what_promises_most_is_rated_and_taken() -> None:
    costs = {"q": {NONE: 1000.0, frozenset({"a"}): 100.0}, "r": {NONE: 1000.0, frozenset({"b"}): 10.0}}
    promises = {"a": 2.3, "b": 4.6}
    assert choice(costs, {"a": MB, "b": MB}, promises=promises, leisure=lambda: False).choose() == ["b"]
    assert set(choice(costs, {"a": MB, "b": MB}, promises=promises).choose()) == {"a", "b"}


def test_what_is_chosen_beside_a_set_fits_into_the_room_that_measured_sizes_leave() -> None:
    made = speeding({"a": 10.0, "b": 5.0, "c": 3.0}, {"a": 5 * MB, "b": 5 * MB, "c": 5 * MB}, budget_bytes=10 * MB)
    assert made.choose() == ["a", "b"]
    made.learn({"a": 3 * MB, "b": 6 * MB})
    assert made.more(["a"], without={"b"}) == ["c"]
    made.learn({"a": 6 * MB})
    assert made.more(["a"], without={"b"}) == []


class _Table:
    """A planner that takes the best index that it sees: `costs` by the index's name, `scan` without any."""

    how = "a table"

    def __init__(self, costs: Mapping[str, float], scan: float) -> None:
        self.costs, self.scan = costs, scan
        self.asked = 0

    def plan(self, text: str, *, hidden: Collection[str] = ()) -> Plan:
        self.asked += 1
        seen = {name: cost for name, cost in self.costs.items() if name not in hidden and cost < self.scan}
        best = min(seen, key=seen.__getitem__, default=None)
        return Plan(self.scan if best is None else seen[best], {}, frozenset({best} if best else ()))

    def types(self, text: str) -> list[str]:
        return []

    def add(self, index: Index) -> int:
        return MB

    def remove(self, index: Index) -> None:
        raise NotImplementedError


def test_what_a_statement_takes_in_no_round_is_told_by_few_questions() -> None:
    made = {column: index(column) for column in "abcdefgh"}
    costs = {made[column].name: 10.0 * number for number, column in enumerate("abc", 1)}
    costs |= {made[column].name: 2000.0 for column in "defgh"}
    table = _Table(costs, 1000.0)
    planner = Planner(table, {"q": [Filled("SELECT 1", whole=True)]})
    names = planner.add(made.values())
    assert unused(planner, "q", names) == {made[column].name for column in "defgh"}
    assert table.asked == 4  # one for each that it takes, and one that finds none
