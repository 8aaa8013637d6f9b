"""A proof whose clock is a table: what each set of shown indexes makes of each statement."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from tasks.components.database.advisor.choose import Candidate, Choice, Weighted
from tasks.components.database.advisor.prove import Proof, Prover
from tasks.components.database.advisor.records import Index, Key
from tasks.components.database.advisor.stopwatch import Seen

MB = 10**6
ORDERS = ("public", "orders")
HELPS = {"a": "first", "b": "second", "c": "third"}


class Table:
    """Copy and stopwatch in one: an index makes its statement take 1 ms instead of 100; `late` is when time ends."""

    def __init__(self, bytes_of: dict[str, int], late: frozenset[str] = frozenset()) -> None:
        self.bytes_of, self.late = bytes_of, late
        self.shown: set[str] = set()
        self.built: set[str] = set()
        self.unproved: dict[str, str] = {}
        self.copy = self

    @property
    def over(self) -> bool:
        return bool(self.late & self.built)

    def failed(self, statement: str) -> bool:
        return False

    def shortest_first(self) -> list[str]:
        return sorted(HELPS.values())

    def build(self, index: Index) -> tuple[int, float]:
        (key,) = index.keys
        self.built.add(key.expression)
        self.shown.add(index.name)
        return self.bytes_of[key.expression], 0.0

    def show(self, index: Index, *, shown: bool = True) -> None:
        (self.shown.add if shown else self.shown.discard)(index.name)

    def time(self, statements: Iterable[str]) -> dict[str, Seen]:
        if self.over:
            return {}
        by = {statement: index(column).name for column, statement in HELPS.items()}
        return {
            one: Seen(1.0, frozenset({by[one]})) if by[one] in self.shown else Seen(100.0, frozenset())
            for one in statements
        }


def index(column: str) -> Index:
    return Index(*ORDERS, (Key(column, column),))


def proved(estimated: dict[str, int], real: dict[str, int], budget: int, **more: Any) -> tuple[list[str], Proof]:
    """The columns that are kept, and the proof, of what a choice takes within a budget."""
    made = {column: index(column) for column in estimated}
    helped = {statement: made[column].name for column, statement in HELPS.items() if column in made}

    def cost(statement: str, names: frozenset[str]) -> float:
        return 10.0 if helped.get(statement) in names else 1000.0

    statements = [Weighted(name, 100.0, 10.0, frozenset({ORDERS})) for name in HELPS.values()]
    candidates = {one.name: Candidate(one, estimated[column]) for column, one in made.items()}
    choice = Choice(statements, candidates, cost, 1000 * MB, budget_bytes=budget)
    table = Table(real, **more)
    known = {one.id: one for one in statements}
    prover = Prover(table, known, {one.name: one for one in made.values()}, choice)  # type: ignore[arg-type] # a table
    proof = prover.prove(choice.choose())
    return sorted(column for column, one in made.items() if one.name in proof.kept), proof


SIZES = {"a": 4 * MB, "b": 5 * MB, "c": 5_500_000}


def test_what_fits_into_the_room_that_real_sizes_leave_is_proved_too() -> None:
    kept, proof = proved(SIZES, {"a": 2 * MB, "b": 3 * MB, "c": 4 * MB}, 11 * MB)
    assert kept == ["a", "b", "c"], "by the estimates there was room for two"
    assert proof.after == dict.fromkeys(HELPS.values(), 1.0)
    assert proof.harmed == []


@pytest.mark.parametrize("late", ["c", "a"], ids=["second round", "first round"])
def test_what_there_was_no_time_to_judge_beside_what_was_proved_is_not_kept(late: str) -> None:
    kept, proof = proved(SIZES, {"a": 2 * MB, "b": 3 * MB, "c": 4 * MB}, 11 * MB, late=frozenset({late}))
    assert kept == ["a", "b"]
    assert proof.after["third"] == 100.0


def test_a_real_size_beyond_the_budget_makes_what_is_missed_least_go() -> None:
    kept, proof = proved({"a": 4 * MB, "b": 5 * MB}, {"a": 4 * MB, "b": 9 * MB}, 10 * MB)
    assert kept == ["a"]
    (why,) = proof.dropped.values()
    assert "9.0 MB, is beyond the budget" in why
