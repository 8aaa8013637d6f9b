"""Statistics of an expression from what it made of its column's sample."""

from __future__ import annotations

import pytest

from tasks.components.database.advisor.expression import Result, statistics


def result(value: str | None, *, share: float, common: bool = False, hits: int = 1, place: int = 1) -> Result:
    number = int(value) if value is not None and value.isdigit() else None
    return Result(value, share, common, hits, (place, place + hits - 1), 4, number)


def bounds(values: list[int]) -> list[Result]:
    return [result(str(value), share=1 / len(values), place=n) for n, value in enumerate(values)]


def test_one_to_one_over_a_wide_range_has_as_many_values_as_the_column() -> None:
    found = statistics(bounds([n * n * 1000 + n for n in range(101)]), 50_000, 0.9)
    assert found["distinct"] == 50_000
    assert found["correlation"] == 0.9
    assert found["common"] is None
    assert len(found["bounds"]) == 101  # type: ignore[arg-type]


def test_values_on_a_grid_are_no_more_than_fit_on_it() -> None:
    found = statistics(bounds([n * 86_400 for n in range(0, 1000, 10)]), 200_000, 1.0)
    assert found["distinct"] == 100  # steps of ten days are all that was seen


def test_few_values_seen_often_are_all_there_are() -> None:
    values = [result(name, share=1 / 3, hits=33, place=33 * n) for n, name in enumerate("abc")]
    found = statistics(values, 10_000, None)
    assert found["distinct"] == pytest.approx(3, abs=0.01)


def test_common_values_of_the_column_stay_common_and_add_up() -> None:
    values = [result("x", share=0.6, common=True, hits=0), result("y", share=0.4, common=True, hits=0)]
    found = statistics(values, 4, None)
    assert (found["common"], found["shares"], found["distinct"]) == (["x", "y"], [0.6, 0.4], 2.0)


def test_nulls_that_the_expression_gives_are_counted() -> None:
    values = [result("x", share=0.5, common=True, hits=0), result(None, share=0.5, common=True, hits=0)]
    assert statistics(values, 2, None)["nulls"] == 0.5


def test_a_value_that_stands_out_among_the_bounds_is_common() -> None:
    values = [result("a", share=0.8, hits=80), *(result(f"b{n}", share=0.01, place=80 + n) for n in range(20))]
    found = statistics(values, 10_000, None)
    assert found["common"] == ["a"]
    assert found["shares"] == [0.8]


def test_an_expression_that_shuffles_its_column_has_no_correlation() -> None:
    values = bounds([3, 1, 2])
    assert statistics(sorted(values, key=lambda one: int(one.value or 0)), 100, 0.9)["correlation"] is None
