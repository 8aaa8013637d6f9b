"""One run against its baselines: rates of alarm on simulated load, verdicts, what is not like with like."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.comparison.load import Load, figures, run
from storage.records import Unit
from tasks.judge.compare import Comparison, Figure, RunFigures, compare_runs, regressions, slices_of, unlike
from tasks.judge.student import quantile
from tasks.report.compare_text import compare_json, compare_lines
from tests.report_example import THRESHOLDS

P95 = "api.latency.p95"
CONTEXT = {"users": "50", "duration_s": "300", "cores": "2", "data_size": "1000000000", "thresholds": "a"}


@pytest.mark.parametrize(
    ("p", "freedom", "value"), [(0.975, 4, 2.776), (0.99, 8, 2.896), (0.995, 5, 4.032), (0.8, 8, 0.889), (0.5, 6, 0)]
)
def test_quantiles_are_those_of_the_printed_table(p: float, freedom: float, value: float) -> None:
    assert quantile(p, freedom) == pytest.approx(value, rel=2e-3, abs=1e-9)


def rates(factor: float, trials: int = 60) -> dict[str, float]:
    """Share of each verdict on simulated autocorrelated load with pauses, five baselines."""
    rng = np.random.default_rng(3)
    load = Load()
    seen: list[str] = []
    for _ in range(trials):
        before = [figures(str(at), *run(rng, load)) for at in range(5)]
        seen += [one.verdict for one in compare_runs(figures("now", *run(rng, load, factor)), before)]
    return {verdict: seen.count(verdict) / trials for verdict in set(seen)}


def test_alarms_on_simulated_load() -> None:
    same = rates(1.0)
    assert same.get("worse", 0) + same.get("better", 0) <= 0.03
    assert rates(1.1)["worse"] >= 0.75
    assert rates(1.2)["worse"] >= 0.98
    assert rates(1 / 1.2)["better"] >= 0.98


def of(values: dict[str, float], name: str = "r", context: dict[str, str] | None = None, **more: Any) -> RunFigures:
    found = []
    for metric, value in values.items():
        unit = Unit.RATIO if "ratio" in metric else Unit.PER_SECOND if "throughput" in metric else Unit.MS
        found.append(Figure(metric, unit, value, 1000, **more))
    return RunFigures(name, tuple(found), CONTEXT if context is None else context)


def one(value: float, *before: float, metric: str = P95, wide: float | None = 0.01) -> Comparison:
    def made(value: float, name: str) -> RunFigures:
        ends = None if wide is None else (value * (1 - wide), value * (1 + wide))
        return of({metric: value}, name, interval=ends)

    (found,) = compare_runs(made(value, "now"), [made(old, str(at)) for at, old in enumerate(before)], THRESHOLDS)
    return found


@pytest.mark.parametrize(
    ("metric", "value", "before", "verdict"),
    [
        (P95, 130, (100, 101, 99, 100, 102), "worse"),
        (P95, 70, (100, 101, 99, 100, 102), "better"),
        (P95, 101, (100, 101, 99, 100, 102), "inconclusive"),  # values without slices: 5 % between runs is usual
        (P95, 130, (100, 140, 80, 120, 90), "inconclusive"),
        ("rfid.throughput", 450, (600, 605, 598, 610, 600), "worse"),
        ("rfid.throughput", 800, (600, 605, 598, 610, 600), "better"),
        ("api.errors.ratio", 0.02, (0.0, 0.0001, 0.0, 0.0002, 0.0), "worse"),
        ("api.errors.ratio", 0.0002, (0.0, 0.0001, 0.0, 0.0, 0.0), "same"),
        ("cache.hits.ratio", 0.7, (0.95, 0.94, 0.95, 0.95, 0.96), "worse"),
        (P95, 1000, (100,), "worse"),
        (P95, 115, (100,), "inconclusive"),
    ],
)
def test_verdicts(metric: str, value: float, before: tuple[float, ...], verdict: str) -> None:
    found = one(value, *before, metric=metric)
    assert found.verdict == verdict
    assert found.interval[0] <= found.change <= found.interval[1]
    assert found.smallest > 0
    assert found.baselines == len(before)


def test_a_number_without_any_noise_needs_a_large_change() -> None:
    assert one(140, 100, wide=None).verdict == "inconclusive"
    assert one(300, 100, wide=None).verdict == "worse"


def test_more_baselines_see_smaller_changes() -> None:
    assert one(100, 100, 101, 99, 100, 100).smallest < one(100, 100, 101).smallest < one(100, 100).smallest


def test_parts_are_compared_with_the_same_parts() -> None:
    orders, menus = {"endpoint": "GET /orders"}, {"endpoint": "GET /menus"}
    now = RunFigures("now", (Figure(P95, Unit.MS, 300, 90, orders), Figure(P95, Unit.MS, 50, 90, menus)))
    then = RunFigures("then", (Figure(P95, Unit.MS, 100, 90, orders), Figure(P95, Unit.RATIO, 50, 90, menus)))
    (found,) = compare_runs(now, [then])
    assert (dict(found.labels), found.value) == (orders, 300)
    assert found.baseline == pytest.approx(100)


def test_a_figure_whose_better_side_is_not_known_is_not_judged() -> None:
    count = RunFigures("r", (Figure("database.tables.count", Unit.COUNT, 5, 1),))
    assert compare_runs(count, [count]) == []
    assert compare_runs(of({P95: 1.0}), []) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"users": "500"}, "users 50 then, 500 now"),
        ({"cores": "8"}, "cores 2 then, 8 now"),
        ({"data_size": "1200000000"}, "data size 1,000 MB then, 1,200 MB now"),
        ({"thresholds": "b"}, "other thresholds"),
    ],
)
def test_what_is_not_like_with_like(change: dict[str, str], said: str) -> None:
    now = of({P95: 300.0}, "now", {**CONTEXT, **change})
    (found,) = compare_runs(now, [of({P95: 100.0}, "then")])
    assert found.verdict == "not_alike"
    assert found.reason == f"not like with like: {said}"
    (among,) = compare_runs(now, [of({P95: 100.0}, "then"), of({P95: 100.0}, "other", {**CONTEXT, **change})])
    assert (among.verdict, among.baselines) == ("worse", 1)


def test_what_is_not_known_or_hardly_differs_is_alike() -> None:
    assert unlike(CONTEXT, {}) == []
    assert unlike(CONTEXT, {**CONTEXT, "data_size": "1050000000"}) == []
    assert unlike({"data_size": "many"}, CONTEXT) == []


def test_only_what_became_worse_and_weighs_is_told() -> None:
    before = [of({P95: 100.0, "cache.latency.p95": 2.0, "api.latency.p50": 40.0}, str(at)) for at in range(3)]
    now = of({P95: 200.0, "cache.latency.p95": 0.5, "api.latency.p50": 400.0}, "now")
    (found,) = regressions(compare_runs(now, before, THRESHOLDS), THRESHOLDS, ["a", "b", "c"])
    assert (found.metric, found.confirmed, found.kind) == (P95, True, "baseline")
    assert found.change == pytest.approx(1.0)
    assert found.detail.startswith("against run a and 2 more before it: 98 % interval +")


def test_slices_are_percentiles_of_equal_stretches() -> None:
    times = np.arange(4000.0)
    values = np.floor(times / 100) + np.tile(np.linspace(0, 0.5, 100), 40)
    found = slices_of(times, values, 0.95)
    assert len(found) == 40
    assert np.floor(found).tolist() == [float(number) for number in range(40)]
    assert slices_of(times[:199], values[:199], 0.95) == ()
    assert slices_of(np.zeros(4000), values, 0.95) == ()
    assert len(slices_of(times[:250], values[:250], 0.95)) == 10


@settings(max_examples=60, deadline=None)
@given(
    st.floats(1e-6, 1e6),
    st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=7),
    st.floats(1e-3, 1e3),
    st.sampled_from([None, 0.0, 0.02, 0.5]),
)
def test_a_unit_changes_no_verdict(value: float, before: list[float], unit: float, wide: float | None) -> None:
    found = one(value, *before, wide=wide)
    other = one(value * unit, *(old * unit for old in before), wide=wide)
    assert other.change == pytest.approx(found.change, rel=1e-6, abs=1e-9)
    assert math.isfinite(found.smallest)
    assert found.verdict in ("better", "same", "worse", "inconclusive")


def test_a_percentile_of_too_few_samples_is_not_judged() -> None:
    now, then = (RunFigures("r", (Figure("api.latency.p99", Unit.MS, value, 60),)) for value in (900.0, 10.0))
    (found,) = compare_runs(now, [then])
    assert found.verdict == "inconclusive"
    assert found.reason == "of 60 samples, the largest stands for this percentile"


def test_the_table_shows_what_became_worse_first() -> None:
    values = {"api.latency.p50": 40.0, P95: 100.0, "rfid.throughput": 600.0}
    before = [of(values, str(at)) for at in range(5)]
    found = compare_runs(of({"api.latency.p50": 40.1, P95: 300.0, "rfid.throughput": 900.0}, "now"), before)
    lines = compare_lines(found, ["Compared with run 0"], width=120)
    assert lines[0] == "Compared with run 0"
    assert [line.split()[1] for line in lines[3:]] == ["worse", "better", "inconclusive"]
    assert lines[3].split()[2:8] == [P95, "100", "ms", "300", "ms", "+200.0"]
    assert all(line.isascii() for line in compare_lines(found, [], ascii_only=True))
    told = compare_json("now", ["0"], found, [])
    assert told["comparisons"][1]["verdict"] == "worse"


def test_sums_and_maxima_are_not_judged() -> None:
    for metric in ("database.statement.total", "database.running.longest"):
        now, then = (RunFigures("r", (Figure(metric, Unit.MS, value, 500),)) for value in (900.0, 10.0))
        assert compare_runs(now, [then]) == []
