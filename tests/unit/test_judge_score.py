"""The score: ADR 0002's formulas by hand, and the promises that hold for every run."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.records import ComponentId, ComponentResult, Direction, Score
from tasks.judge.score import (
    display_grade,
    grade,
    metric_losses,
    run_losses,
    score,
    truncated,
)
from tests.report_example import (
    GOOD_VALUES,
    THRESHOLDS,
    UNITS,
    WEIGHTS,
    failed,
    not_asked,
    replaced,
    results,
    switched_off,
)

BY_METRIC = {threshold.metric: threshold for threshold in THRESHOLDS}
BEST = {t.metric: t.best for t in THRESHOLDS}


def scored(found: list[ComponentResult]) -> Score:
    return score(found, THRESHOLDS, WEIGHTS)


def part_of(outcome: Score, component: str) -> float | None:
    return next(part.score for part in outcome.components if part.component.value == component)


@st.composite
def platforms(draw: st.DrawFn) -> dict[str, float | None]:
    """Any values of all metrics, some of them missing."""
    values: dict[str, float | None] = {}
    for metric, threshold in BY_METRIC.items():
        low, high = sorted((threshold.best, threshold.worst))
        value = st.floats(min_value=low * 0.5, max_value=high * (1.0 if UNITS[metric].value == "ratio" else 2.0))
        values[metric] = draw(st.none() | value)
    return values


def test_everything_at_its_best_scores_100() -> None:
    outcome = scored(results(dict(BEST)))
    assert (outcome.value, outcome.grade, outcome.coverage, outcome.ceiling) == (100, "A+", 1, 100)


def test_everything_exactly_good_is_an_a_plus_whatever_binary_sums_say() -> None:
    outcome = scored(results({t.metric: t.good for t in THRESHOLDS}))
    assert (outcome.value, outcome.grade) == (95, "A+")


def test_a_component_weighs_its_metrics_and_caps_at_25_above_the_worst() -> None:
    # API: p95 500 ms → 75, errors 0.1 % → 95; .6·75 + .4·95 = 83
    assert part_of(scored(results({"api.latency.p95": 500, "api.errors.ratio": 0.001})), "api") == pytest.approx(83)
    # p95 50 ms → 100, errors 25 % → 0; .6·100 = 60, capped at 0 + 25
    assert part_of(scored(results({"api.latency.p95": 50, "api.errors.ratio": 0.25})), "api") == 25


def test_the_run_caps_at_30_above_its_worst_component() -> None:
    dead = dict(BEST) | {"rfid.throughput": 50, "rfid.latency.p95": 4000}
    assert scored(results(dead)).value == 30  # the weighted mean would be 95


def test_a_failed_component_adds_nothing_and_the_others_stay_whole() -> None:
    found = [r if r.component is not ComponentId.LAMBDA else failed(ComponentId.LAMBDA) for r in results(dict(BEST))]
    outcome = scored(found)
    assert outcome.value == pytest.approx(80)
    assert outcome.coverage == pytest.approx(0.8)
    assert (outcome.measured_mean, outcome.ceiling) == (100, 100)
    assert display_grade(outcome) == "B (partial)"


def test_failed_and_skipped_count_alike() -> None:
    one = scored(replaced(ComponentId.API, failed(ComponentId.API)))
    other = scored(replaced(ComponentId.API, not_asked(ComponentId.API)))
    absent = scored([r for r in results() if r.component is not ComponentId.API])
    assert one.value == other.value == absent.value
    assert one.coverage == other.coverage == absent.coverage == pytest.approx(0.75)


def test_a_missing_metric_lowers_coverage_by_its_share() -> None:
    outcome = scored(results({"cache.latency.p95": None}))
    assert outcome.coverage == pytest.approx(1 - 0.15 * 0.4)
    cache = next(part for part in outcome.components if part.component is ComponentId.CACHE)
    assert cache.coverage == pytest.approx(0.6)
    assert cache.score == pytest.approx(95 + 5 * (0.968 - 0.95) / 0.04)


def test_switched_off_removes_the_weight() -> None:
    outcome = scored(replaced(ComponentId.RFID, switched_off(ComponentId.RFID)))
    assert [part.component.value for part in outcome.components].count("rfid") == 0
    assert outcome.coverage == 1
    weights = {part.component.value: part.weight for part in outcome.components}
    assert weights["api"] == pytest.approx(0.25 / 0.95)


def test_the_ceiling_keeps_the_caps() -> None:
    known = dict(BEST) | {"api.errors.ratio": 0.25, "api.latency.p95": None}
    outcome = scored(results(known))
    assert part_of(outcome, "api") == 0
    assert outcome.ceiling == pytest.approx(min(0.75 * 100 + 0.25 * 25, 25 + 30))


@pytest.mark.parametrize("empty", [[], [failed(c) for c in ComponentId], [not_asked(c) for c in ComponentId]])
def test_nothing_measured_is_0_and_d(empty: list[ComponentResult]) -> None:
    outcome = scored(empty)
    assert (outcome.value, outcome.grade, outcome.coverage, outcome.measured_mean) == (0, "D", 0, None)
    assert display_grade(outcome) == "D (partial)"


def test_every_metric_missing_is_0_and_d() -> None:
    outcome = scored(results(dict.fromkeys(GOOD_VALUES)))
    assert (outcome.value, outcome.grade, outcome.coverage) == (0, "D", 0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(100, "A+"), (95, "A+"), (94.999, "A"), (85, "A"), (84.999, "B"), (75, "B"), (65, "C"), (64.999, "D"), (0, "D")],
)
def test_grades(value: float, expected: str) -> None:
    assert grade(value) == expected


@pytest.mark.parametrize(("value", "shown"), [(84.96, "84.9"), (86.1, "86.1"), (100, "100.0"), (0.09, "0.0")])
def test_scores_are_truncated_for_display(value: float, shown: str) -> None:
    assert truncated(value) == shown


@given(platforms())
def test_bounds(values: dict[str, float | None]) -> None:
    outcome = scored(results(values))
    assert 0 <= outcome.value <= 100
    assert outcome.value <= outcome.ceiling + 1e-6
    assert 0 <= outcome.coverage <= 1


@given(platforms(), st.sampled_from(sorted(BY_METRIC)), st.floats(min_value=0, max_value=1))
def test_a_better_value_never_lowers_the_score(values: dict[str, float | None], metric: str, share: float) -> None:
    value, best = values[metric], BY_METRIC[metric].best
    if value is None:
        return
    better = value + (best - value) * share
    if (BY_METRIC[metric].direction is Direction.LOWER) != (better < value):
        return
    assert scored(results(values | {metric: better})).value >= scored(results(values)).value - 1e-6


@given(platforms())
def test_a_further_metric_that_is_missing_never_raises_the_score(values: dict[str, float | None]) -> None:
    extra = BY_METRIC["api.latency.p95"].model_copy(update={"metric": "api.latency.p999", "weight": 0.5})
    before = score(results(values), THRESHOLDS, WEIGHTS)
    after = score(results(values), (*THRESHOLDS, extra), WEIGHTS)
    assert after.value <= before.value + 1e-6
    assert after.partial


@given(platforms(), st.sampled_from(sorted(BY_METRIC)))
def test_what_goes_missing_never_raises_a_score_that_no_cap_holds_down(
    values: dict[str, float | None], metric: str
) -> None:
    whole = scored(results(values))
    if any("cap" in loss.key for loss in run_losses(whole)):
        return  # the exception that ADR 0002 names: a worst part that goes missing no longer caps the others
    assert scored(results(values | {metric: None})).value <= whole.value + 1e-6


@given(platforms())
def test_losses_explain_every_point(values: dict[str, float | None]) -> None:
    outcome = scored(results(values))
    assert math.fsum(loss.points or 0 for loss in run_losses(outcome)) == pytest.approx(100 - outcome.value, abs=1e-5)
    for part in outcome.components:
        if part.score is not None:
            known = math.fsum(loss.points or 0 for loss in metric_losses(part))
            assert known == pytest.approx(100 - part.score, abs=1e-5)
