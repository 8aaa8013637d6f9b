"""Metric scores: the worked examples of ADR 0002 to the digit, and what the curve promises."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.config import load_thresholds
from storage.records import Band, Measurement, Threshold, Unit, Window
from tasks.judge.assess import assess, band_of, metric_score

START = datetime(2025, 3, 3, 6, 30, tzinfo=UTC)
WINDOW = Window(start=START, end=START + timedelta(seconds=60))
THRESHOLDS = {t.metric: t for t in load_thresholds()[0]}
ANY_THRESHOLD = st.sampled_from(sorted(THRESHOLDS.values(), key=lambda t: t.metric))
VALUES = st.floats(min_value=0, max_value=1e6, allow_nan=False)


def measured(metric: str, value: float | None, **changes: object) -> Measurement:
    fields: dict[str, object] = {
        "metric": metric,
        "value": value,
        "unit": THRESHOLDS[metric].unit,
        "n": 0 if value is None else 100,
        "source": "test",
        "window": None if value is None else WINDOW,
        "note": "no data: nobody answered" if value is None else "",
    }
    return Measurement.model_validate(fields | changes)


@pytest.mark.parametrize(
    ("metric", "value", "expected"),
    [
        # 95 − 20·ln 1.5/ln 2.5 and 75 − 35·ln 1.5/ln 2, worked by hand
        ("api.latency.p95", 300, 86.1499),
        ("api.latency.p95", 750, 54.5263),
        # halfway between fair 90 % and good 95 %, linear for ratios
        ("cache.hits.ratio", 0.925, 85.0),
        # the geometric mean of fair 350 and poor 200 lies halfway between 75 and 40
        ("rfid.throughput", (350 * 200) ** 0.5, 57.5),
        ("api.errors.ratio", 1.0, 0.0),
        ("rfid.throughput", 0, 0.0),
        ("cache.latency.p95", 0, 100.0),
    ],
)
def test_worked_scores(metric: str, value: float, expected: float) -> None:
    assert metric_score(THRESHOLDS[metric], value) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("threshold", THRESHOLDS.values(), ids=str)
def test_the_curve_goes_through_its_points(threshold: Threshold) -> None:
    levels = (threshold.best, threshold.good, threshold.fair, threshold.poor, threshold.worst)
    assert [metric_score(threshold, level) for level in levels] == [100, 95, 75, 40, 0]


@given(ANY_THRESHOLD, VALUES, VALUES)
def test_a_better_value_never_scores_less(threshold: Threshold, one: float, other: float) -> None:
    better, worse = sorted((one, other), reverse=threshold.direction.value == "higher")
    assert 0 <= metric_score(threshold, worse) <= metric_score(threshold, better) <= 100


@given(ANY_THRESHOLD, st.sampled_from(["best", "good", "fair", "poor", "worst"]))
def test_the_curve_has_no_step_at_its_points(threshold: Threshold, level: str) -> None:
    at = getattr(threshold, level)
    scores = [metric_score(threshold, at * factor) for factor in (1 - 1e-9, 1, 1 + 1e-9)]
    assert max(scores) - min(scores) < 1e-5


@pytest.mark.parametrize(
    ("metric", "value", "band"),
    [
        ("api.latency.p95", 200, Band.GOOD),
        ("api.latency.p95", 200.01, Band.FAIR),
        ("api.latency.p95", 500, Band.FAIR),
        ("api.latency.p95", 500.01, Band.POOR),
        ("cache.hits.ratio", 0.95, Band.GOOD),
        ("cache.hits.ratio", 0.9499, Band.FAIR),
        ("cache.hits.ratio", 0.8999, Band.POOR),
    ],
)
def test_bands(metric: str, value: float, band: Band) -> None:
    assert band_of(THRESHOLDS[metric], value) is band


def test_only_unlabelled_measurements_are_the_components_own() -> None:
    part = measured("api.latency.p95", 900, labels={"endpoint": "GET /orders"})
    own = measured("api.latency.p95", 300)
    (assessment,) = assess([THRESHOLDS["api.latency.p95"]], [part, own])
    assert assessment.measurement == own


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ([], "no measurement of api.latency.p95"),
        ([measured("api.latency.p95", None)], "no data: nobody answered"),
        ([measured("api.latency.p95", 1), measured("api.latency.p95", 2)], "2 measurements"),
        ([measured("api.latency.p95", 0.1, unit=Unit.RATIO)], "measured in ratio, but the limits are in ms"),
        ([measured("api.latency.p95", -5)], "impossible value"),
    ],
)
def test_what_cannot_be_judged_has_no_score(found: list[Measurement], reason: str) -> None:
    (assessment,) = assess([THRESHOLDS["api.latency.p95"]], found)
    assert (assessment.score, assessment.band) == (None, Band.NOT_MEASURED)
    assert reason in assessment.reason


def test_a_share_above_the_whole_is_no_good_hit_ratio() -> None:
    (assessment,) = assess([THRESHOLDS["cache.hits.ratio"]], [measured("cache.hits.ratio", 1.2)])
    assert assessment.score is None
