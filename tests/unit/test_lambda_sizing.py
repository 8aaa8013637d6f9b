"""Memory advice on curves that were measured on AWS Lambda, and on curves whose answer is known."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.components.lambda_functions.sizing import (
    Objective,
    Verdict,
    cpu_model,
    floor_mb,
    interpolation,
    probe_plan,
    recommend,
)

CURVES = Path(__file__).parents[1] / "data" / "lambda_curves.json"
"""github.com/cebert/aws-lambda-performance-benchmarks, MIT: median billed ms of warm invocations by MB."""


def cpu_bound(size: int, work: float = 1000.0) -> float:
    return work * max(1.0, 1769 / size)


def test_one_size_abstains_with_a_plan() -> None:
    advice = recommend({512: 300.0}, max_used_mb=100)
    assert (advice.verdict, advice.memory_mb, advice.duration_ms) == (Verdict.INSUFFICIENT, None, None)
    assert len(advice.probe_mb) == 2
    assert 512 not in advice.probe_mb
    assert "one size" in advice.reason


def test_nothing_measured_abstains() -> None:
    assert recommend({}).memory_mb is None


def test_time_that_is_all_cpu_deserves_a_whole_vcpu() -> None:
    points = {size: cpu_bound(size) for size in (512, 1769, 3008)}
    advice = recommend(points, current_mb=512)
    assert advice.memory_mb == 1769, "the same cost up to one vCPU, and faster; no faster beyond"
    assert advice.duration_ratio is not None
    assert advice.duration_ratio < 0.4


def test_time_that_is_all_waiting_deserves_the_smallest_size() -> None:
    advice = recommend({512: 200.0, 1024: 199.0, 2048: 198.0}, current_mb=2048)
    assert advice.memory_mb == 512
    assert advice.cost_ratio == pytest.approx(0.2525, rel=0.01)


def test_two_sizes_determine_waiting_and_computing() -> None:
    curve = cpu_model({512: 50 + 20 * 1769 / 512, 1024: 50 + 20 * 1769 / 1024})
    assert curve(2048) == pytest.approx(50 + 20 * 1769 / 2048)
    assert curve(4096) == curve(2800)
    assert curve(256) == pytest.approx(50 + 20 * 1769 / 256)


def test_never_below_what_was_used_plus_a_margin() -> None:
    advice = recommend({512: 200.0, 1024: 200.0, 2048: 200.0}, max_used_mb=700)
    assert advice.floor_mb == 875
    assert advice.memory_mb == 1024
    none = recommend({512: 200.0, 1024: 200.0}, max_used_mb=1000)
    assert (none.verdict, none.memory_mb) == (Verdict.INSUFFICIENT, None)


def test_keeps_what_is_best_already() -> None:
    assert recommend({512: 200.0, 1024: 199.0, 2048: 198.0}, current_mb=512).verdict is Verdict.KEEP


def test_objectives_differ() -> None:
    points = {512: 400.0, 1024: 300.0, 2048: 250.0}
    sizes = [recommend(points, objective=objective).memory_mb for objective in Objective]
    assert sizes == [512, 512, 2048]


@pytest.mark.parametrize("points", [{0: 1.0}, {512: 0.0}, {512: -1.0}, {512: math.nan}, {-1: 5.0}])
def test_impossible_points_are_refused(points: dict[int, float]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        recommend(points)


POINTS = st.dictionaries(st.integers(128, 10_240), st.floats(0.1, 1e6), min_size=2, max_size=8)


@given(POINTS, st.integers(1, 9000))
def test_advice_lies_within_what_was_measured_and_above_the_floor(points: dict[int, float], used: int) -> None:
    advice = recommend(points, max_used_mb=used)
    assert advice.memory_mb is None or max(min(points), floor_mb(used)) <= advice.memory_mb <= max(points)
    assert (advice.memory_mb is None) == (max(points) < floor_mb(used))


@given(POINTS)
def test_interpolation_never_rises(points: dict[int, float]) -> None:
    curve = interpolation(points)
    values = [curve(size) for size in range(128, 10_241, 97)]
    assert all(later <= earlier * (1 + 1e-9) for earlier, later in itertools.pairwise(values))


@given(st.lists(st.integers(128, 10_240), max_size=2, unique=True), st.integers(128, 2000))
def test_probe_plans_add_sizes_that_are_allowed(measured: list[int], floor: int) -> None:
    plan = probe_plan(measured, floor)
    assert len(plan) <= 3 - len(measured)
    assert all(floor <= size <= 10_240 and size not in measured for size in plan)


def test_interpolates_what_was_left_out_of_measured_curves() -> None:
    errors = []
    for curve in json.loads(CURVES.read_text())["curves"]:
        points = {int(size): ms for size, ms in curve["warm"].items() if int(size) >= 512}
        for left_out in sorted(points)[1:-1]:
            rest = {size: ms for size, ms in points.items() if size != left_out}
            errors.append(abs(interpolation(rest)(left_out) / points[left_out] - 1))
    assert len(errors) > 50
    assert sorted(errors)[len(errors) // 2] < 0.08, "median error of the duration"


def measured_curves() -> list[dict[int, float]]:
    curves = [
        {int(size): ms for size, ms in curve["warm"].items() if int(size) >= 512}
        for curve in json.loads(CURVES.read_text())["curves"]
    ]
    return [points for points in curves if len(points) >= 4]


def cross_validated(sizes: int) -> tuple[float, float]:
    """Share of advice within 10 % of both the least cost and the knee, and the mean regret of cost.

    The knee is the latency of the fastest size that costs at most 5 % more than the cheapest: beyond it, speed is
    paid for. Advice sees so many sizes of a curve, the smallest among them, and is held against all of it.
    """
    good, regrets = 0, []
    for points in measured_curves():
        costs = {size: size * ms for size, ms in points.items()}
        cheapest = min(costs.values())
        knee = min(ms for size, ms in points.items() if costs[size] <= 1.05 * cheapest)
        for seen in itertools.combinations(sorted(points), sizes):
            if seen[0] == min(points):
                advice = recommend({size: points[size] for size in seen}, sizes=sorted(points))
                assert advice.memory_mb is not None
                regrets.append(costs[advice.memory_mb] / cheapest - 1)
                good += regrets[-1] <= 0.1 and points[advice.memory_mb] <= 1.1 * knee
    assert len(regrets) > 50
    return good / len(regrets), sum(regrets) / len(regrets)


def test_three_sizes_of_measured_curves_mostly_meet_cost_and_knee() -> None:
    good, regret = cross_validated(3)
    assert good >= 0.7
    assert regret <= 0.02


def test_two_sizes_of_measured_curves_mostly_meet_cost_and_knee() -> None:
    good, regret = cross_validated(2)
    assert good >= 0.58
    assert regret <= 0.02


def test_sizes_that_nobody_named_are_chosen_as_well_as_those_of_the_curve() -> None:
    """Without `sizes` the advice may lie between the sizes of a curve: held against its own log-log line there."""
    good, regrets = 0, []
    for points in measured_curves():
        sizes = sorted(points)
        costs = {size: size * ms for size, ms in points.items()}
        cheapest = min(costs.values())
        knee = min(ms for size, ms in points.items() if costs[size] <= 1.05 * cheapest)
        for seen in itertools.combinations(sizes, 3):
            if seen[0] != sizes[0]:
                continue
            advice = recommend({size: points[size] for size in seen}, current_mb=seen[0])
            assert advice.memory_mb is not None
            logs = [math.log(size) for size in sizes], [math.log(points[size]) for size in sizes]
            ms = math.exp(np.interp(math.log(advice.memory_mb), *logs))
            regrets.append(advice.memory_mb * ms / cheapest - 1)
            good += regrets[-1] <= 0.1 and ms <= 1.1 * knee
    assert good / len(regrets) >= 0.7
    assert sum(regrets) / len(regrets) <= 0.02


def test_intervals_come_from_the_points_and_from_the_model() -> None:
    points = {512: 400.0, 1024: 210.0, 3008: 150.0}
    known = recommend(points, current_mb=512, intervals={512: (390.0, 410.0), 1024: (200.0, 220.0)})
    assert known.memory_mb == 1024
    assert known.duration_interval == pytest.approx((200.0, 220.0))
    assert known.duration_ratio_interval == pytest.approx((200 / 410, 220 / 390))
    assert known.cost_ratio_interval == pytest.approx((400 / 410, 440 / 390))
    assert recommend(points, current_mb=512).duration_interval is None, "nobody said how sure the points are"
    between = recommend({512: 800.0, 4096: 100.0, 8192: 99.0}, current_mb=512, sizes=[512, 1024])
    assert between.memory_mb == 1024
    assert between.duration_ms is not None
    assert between.duration_interval == pytest.approx(
        (between.duration_ms * math.exp(-0.30), between.duration_ms * math.exp(0.30))
    )


def test_a_tolerance_of_its_own_buys_speed() -> None:
    points = {512: 400.0, 1024: 240.0, 2048: 150.0}
    assert recommend(points, objective="latency", tolerance=0.25).memory_mb == 1024
    assert recommend(points, objective="latency").memory_mb == 2048
