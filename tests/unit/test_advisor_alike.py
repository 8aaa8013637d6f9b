"""Which guesses are taken: those that work as the record says, where the record can tell."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tasks.components.database.advisor.alike import TAKEN, Work, nearest, take_nearest
from tasks.components.database.advisor.case import Case
from tasks.components.database.advisor.rehearsal import Timing
from tasks.components.database.advisor.statement import parse
from tasks.components.database.advisor.values import Values
from tasks.components.database.advisor.workload import Statement
from tests.advisor_catalog import catalog

TEXTS = {"quick": "SELECT id FROM orders WHERE total < $1", "slow": "SELECT status FROM orders WHERE total < $1"}


def of_rows(*rows: float) -> list[Work]:
    return [Work(9_000, one, 60.0) for one in rows]


def test_the_guess_that_works_like_the_record_is_taken_before_the_others() -> None:
    assert nearest(of_rows(10, 300, 9_000), Work(9_000, 320, 60.0)) == [1]
    assert nearest([Work(1_000, 1, 5.0), Work(80_000, 1, 70.0)], Work(84_000, 1, 72.0)) == [1]


def test_guesses_as_near_as_the_nearest_are_taken_too_in_the_order_of_their_distance() -> None:
    assert nearest(of_rows(550, 10, 330, 470), Work(9_000, 320, 60.0)) == [2, 3, 0]


def test_of_alike_guesses_the_first_ones_are_taken() -> None:
    assert nearest(of_rows(330, 325, 320, 315, 310), Work(9_000, 320, 60.0)) == list(range(TAKEN))


def test_a_figure_that_no_guess_comes_near_says_nothing() -> None:
    rebuilt = [Work(90, 10, 60.0), Work(200, 300, 60.0)]  # the table was vacuumed since: once it had 50,000 pages
    assert nearest(rebuilt, Work(50_000, 10, 60.0)) == [0]
    assert nearest(of_rows(10, 300, 9_000), Work(9_000, 1e6, 60.0)) == [0, 1, 2]


def test_half_the_time_for_the_same_work_is_another_machine() -> None:
    slower = [Work(9_000, 20, 120.0), Work(9_000, 45, 60.0)]
    assert nearest(slower, Work(9_000, 20, 60.0))[0] == 0


class Counts:
    """Counts the runs of each statement."""

    def __init__(self) -> None:
        self.runs: Counter[str] = Counter()

    def run(self, text: str, *, timeout_s: float, repeat: int = 5, warm: bool = True) -> Timing:
        self.runs["quick" if "SELECT id" in text else "slow"] += 1
        return Timing(1, 1, repeat, 1, frozenset(), 1.0, 10.0)

    def types(self, text: str) -> list[str]:
        return []


@pytest.mark.parametrize(
    ("seconds", "runs"), [(10.0, {"quick": 6, "slow": 2}), (0.05, {"quick": 6}), (0.0, {}), (-5.0, {})]
)
def test_slow_statements_have_fewer_guesses_and_nothing_is_run_when_the_time_is_over(
    seconds: float, runs: dict[str, int]
) -> None:
    counted = [Statement(one, TEXTS[one], 1, ms, 1, blocks=10) for one, ms in (("slow", 4_000), ("quick", 0.1))]
    case = Case(catalog(), counted, {one: parse(text, catalog()) for one, text in TEXTS.items()})
    case.columns = {(("public", "orders"), "total"): Values("numeric", (), tuple(map(str, range(101))))}
    copy: Any = Counts()
    take_nearest(case, copy, seconds)
    assert copy.runs == runs
