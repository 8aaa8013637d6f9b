"""Change points: known levels under known noise, what must not alarm, and the partition against brute force."""

from __future__ import annotations

import math
from datetime import date, timedelta
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.judge import detect
from tasks.judge.detect import change_points, drift


def noisy(level: float, n: int, *, sigma: float = 0.02, seed: int = 1) -> list[float]:
    return [float(value) for value in level * np.exp(np.random.default_rng(seed).normal(0, sigma, n))]


@pytest.mark.parametrize(("factor", "direction"), [(1.2, 1), (0.8, -1)])
def test_a_step_is_found_at_its_place_with_its_size(factor: float, direction: int) -> None:
    series = noisy(100, 40) + noisy(100 * factor, 20, seed=2)
    (found,) = change_points(series)
    assert abs(found.index - 40) <= 1
    assert found.direction == direction
    assert found.status == "confirmed"
    assert found.interval[0] < factor - 1 < found.interval[1]
    assert found.effect == pytest.approx(factor - 1, abs=0.03)
    assert found.confidence > 0.999


def test_three_runs_are_suspected_and_seven_confirmed() -> None:
    series = noisy(100, 40)
    later = noisy(130, 10, seed=2)
    assert change_points(series + later[:2]) == []
    assert [one.status for one in change_points(series + later[:3])] == ["suspected"]
    assert [one.status for one in change_points(series + later[:7])] == ["confirmed"]


def test_one_and_two_bad_nights_are_no_change_of_level() -> None:
    series = noisy(100, 60)
    series[20] = 400
    series[40:42] = [300, 320]
    series[-1] = 500
    assert change_points(series) == []


def test_a_week_that_repeats_is_no_change() -> None:
    days = [date(2026, 1, 5) + timedelta(days=number) for number in range(84)]
    series = [value * (0.8 if day.weekday() >= 5 else 1) for value, day in zip(noisy(100, 84), days, strict=True)]
    assert change_points(series, days) == []
    worse = [value * (1.15 if number >= 56 else 1) for number, value in enumerate(series)]
    (found,) = change_points(worse, days)
    assert abs(found.index - 56) <= 1


def test_a_change_below_the_minimum_effect_is_none() -> None:
    series = noisy(100, 60, sigma=0.002) + noisy(103, 60, sigma=0.002, seed=2)
    assert change_points(series) == []
    assert [one.direction for one in change_points(series, minimum_effect=0.01)] == [1]


def test_missing_runs_keep_the_places_of_the_others() -> None:
    series: list[float | None] = [*noisy(100, 40), *noisy(150, 20, seed=2)]
    for gap in (3, 17, 44, 45):
        series[gap] = None
    series[30] = math.nan
    (found,) = change_points(series)
    assert abs(found.index - 40) <= 1


@pytest.mark.parametrize("series", [[], [1.0], [5.0] * 7, [5.0] * 50, [0.0] * 50, [math.nan] * 50])
def test_what_says_nothing_says_nothing(series: list[float]) -> None:
    assert change_points(series) == []


def test_a_ratio_that_may_be_zero_is_judged_by_its_difference() -> None:
    rng = np.random.default_rng(3)
    series = np.concatenate([rng.choice([0.0, 0.01, 0.02], 40), 0.3 + rng.normal(0, 0.01, 20)]).tolist()
    (found,) = change_points(series)
    assert abs(found.index - 40) <= 1
    assert found.effect == pytest.approx(0.29, abs=0.02)


def test_white_noise_alarms_in_no_series_of_fifty() -> None:
    assert [change_points(noisy(100, 120, seed=seed)) for seed in range(50)] == [[]] * 50


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(-5, 5), min_size=3, max_size=11), st.floats(0.01, 10))
def test_the_partition_is_the_best_of_all(series: list[float], penalty: float) -> None:
    values = np.array(series)

    def cost(edges: tuple[int, ...]) -> float:
        parts = [values[a:b] for a, b in pairwise(edges)]
        return sum(float(((part - part.mean()) ** 2).sum()) for part in parts) + penalty * (len(parts) - 1)

    n = len(values)
    every = [
        (0, *inner, n)
        for count in range(n // 3)
        for inner in combinations(range(1, n), count)
        if all(b - a >= 3 for a, b in zip((0, *inner), (*inner, n), strict=True))
    ]
    found = tuple(detect._partition(values, penalty))
    assert cost(found) == pytest.approx(min(map(cost, every)), abs=1e-9)


@settings(deadline=None, max_examples=150)
@given(
    st.lists(
        st.none() | st.floats() | st.integers(-(10**6), 10**6) | st.sampled_from([0.0, 1.0, 100.0]), max_size=60
    ),
    st.floats(0.001, 2),
)
def test_any_series_is_answered(series: list[float | None], effect: float) -> None:
    found = change_points(series, minimum_effect=effect)
    assert [one.index for one in found] == sorted({one.index for one in found})
    for one in found:
        value = series[one.index]
        assert value is not None
        assert math.isfinite(value)
        assert 0 <= one.confidence <= 1
        assert one.direction == (1 if one.after > one.before else -1)
        assert one.interval[0] <= one.effect <= one.interval[1]
    drift(series, effect)


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e15])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_change_is_found_in_every_unit_and_below_zero(unit: float, sign: int) -> None:
    series = [sign * unit * value for value in noisy(100, 40) + noisy(130, 20, seed=2)]
    (found,) = change_points(series)
    assert abs(found.index - 40) <= 1
    assert found.direction == sign
    assert found.after / unit == pytest.approx(sign * 130, rel=0.02)


@pytest.mark.parametrize("total", [0.1, 0.5, -0.3])
def test_a_trend_is_a_drift_and_no_step(total: float) -> None:
    noise = np.random.default_rng(4).normal(0, 0.02, 100)
    series = (100 * np.exp(np.linspace(0, math.log1p(total), 100) + noise)).tolist()
    assert change_points(series) == []
    found = drift(series)
    assert found
    assert found.direction == (1 if total > 0 else -1)
    assert found.interval[0] < total < found.interval[1]
    assert drift(noisy(100, 100)) is None
    assert drift(series[:19]) is None


def alarms(made: list[detect.Floats]) -> int:
    """In how many series of logarithms a change is named at any run from the 40th on."""
    every = [(100 * np.exp(logs)).tolist() for logs in made]
    return sum(any(change_points(series[:end]) for end in range(40, len(series) + 1, 4)) for series in every)


def test_a_drift_that_begins_late_is_seldom_a_step_at_any_run() -> None:
    ramp = np.interp(np.arange(140), [40, 139], [0, math.log1p(0.15)])
    assert alarms([ramp + np.random.default_rng(seed).normal(0, 0.02, 140) for seed in range(12)]) <= 3


def test_a_burst_of_noise_is_seldom_a_change_of_level() -> None:
    width = np.where((np.arange(120) >= 60) & (np.arange(120) < 85), 0.05, 0.02)
    assert alarms([np.random.default_rng(seed).normal(0, width) for seed in range(12)]) <= 2


def test_nine_of_ten_changes_of_three_deviations_are_placed_within_two_runs() -> None:
    rng = np.random.default_rng(8)
    off = []
    for _ in range(50):
        at, sigma = int(rng.integers(20, 60)), float(rng.uniform(0.01, 0.05))
        logs = rng.normal(0, sigma, 80)
        logs[at:] += max(0.05, 3 * sigma)
        off.append(min((abs(one.index - at) for one in change_points((100 * np.exp(logs)).tolist())), default=99))
    assert sum(one <= 2 for one in off) >= 45


def test_two_steps_are_two_changes() -> None:
    found = change_points(noisy(100, 30) + noisy(115, 30, seed=2) + noisy(100, 30, seed=3))
    assert [(abs(one.index - at) <= 1, one.direction) for one, at in zip(found, (30, 60), strict=True)] == [
        (True, 1),
        (True, -1),
    ]


def test_holidays_take_the_place_of_sundays() -> None:
    days = [date(2026, 1, 5) + timedelta(days=number) for number in range(98)]
    off = {days[number] for number in range(60, 75)}
    level = [0.7 if day.weekday() == 6 or day in off else 1.0 for day in days]
    series = [value * share for value, share in zip(noisy(100, 98), level, strict=True)]
    assert change_points(series, days)
    assert change_points(series, days, closed=off) == []
