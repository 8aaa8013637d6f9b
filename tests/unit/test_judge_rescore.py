"""What-if: the judge's own score of other values, sets of predictions, and the score after each step."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import UsageError
from storage.records import Finding, GateVerdict, PredictedChange, Remedy, Severity, Unit
from tasks.judge.explain import explained
from tasks.judge.rescore import joined, rescored, rescored_with
from tasks.judge.roadmap import roadmap
from tasks.judge.score import score
from tasks.judge.whatif import whatif
from tasks.report.build import build
from tests.report_example import (
    GOOD_VALUES,
    THRESHOLDS,
    UNITS,
    WEIGHTS,
    finding,
    good_report,
    info,
    results,
)

BY_METRIC = {threshold.metric: threshold for threshold in THRESHOLDS}

READERS = {"rfid.throughput": 50.0, "rfid.latency.p95": 4000.0}
FOUR_DEFECTS = {"api.latency.p95": 900.0, "database.query.p95": 90.0, "cache.hits.ratio": 0.85, **READERS}
"""Four things that are broken. The readers' component is at 0, so the run scores at most 30 until they are mended."""


def change(metric: str, value: float, interval: tuple[float, float] | None = None) -> PredictedChange:
    return PredictedChange(metric=metric, value=value, interval=interval, how="a test")


def remedied(name: str, *changes: PredictedChange, severity: Severity = Severity.WARNING) -> Finding:
    return finding(name, severity=severity, remedy=Remedy(summary="mend it", predicted=changes))


def random_values(rng: random.Random) -> dict[str, float]:
    values = {}
    for metric, threshold in BY_METRIC.items():
        low, high = sorted((threshold.best, threshold.worst))
        most = 1.0 if UNITS[metric] is Unit.RATIO else 2.0 * high
        values[metric] = rng.uniform(0.5 * low, most)
    return values


def test_what_if_equals_the_judge_on_a_thousand_random_settings() -> None:
    rng = random.Random(7)  # noqa: S311 - settings, no secrets
    for _ in range(1000):
        before, after = random_values(rng), random_values(rng)
        changed = {metric: after[metric] for metric in rng.sample(sorted(after), rng.randint(1, 12))}
        missing = dict.fromkeys(rng.sample(sorted(after), rng.choice((0, 0, 1, 3))))
        outcome = score(results({**before, **missing}), THRESHOLDS, WEIGHTS)
        judged = score(results({**before, **changed, **missing}), THRESHOLDS, WEIGHTS)
        again = rescored(outcome, changed)
        assert (again.value, again.grade, again.coverage, again.ceiling) == (
            judged.value,
            judged.grade,
            judged.coverage,
            judged.ceiling,
        )
        assert [part.score for part in again.components] == [part.score for part in judged.components]


def test_defects_mended_alone_gain_nothing_and_all_together_much() -> None:
    outcome = score(results(FOUR_DEFECTS), THRESHOLDS, WEIGHTS)
    assert outcome.value == 30
    mended = [change(metric, GOOD_VALUES[metric]) for metric in FOUR_DEFECTS]
    alone = [rescored_with(outcome, [one]).score.value for one in mended[:3]]
    assert alone == [30, 30, 30]
    readers = rescored_with(outcome, mended[3:]).score.value
    together = rescored_with(outcome, mended).score.value
    assert together == score(results(), THRESHOLDS, WEIGHTS).value
    assert together - readers > 5  # what three of them are worth, though alone none was worth anything


def test_times_multiply_and_ratios_add() -> None:
    outcome = score(results({"api.latency.p95": 400, "cache.hits.ratio": 0.70}), THRESHOLDS, WEIGHTS)
    patches = joined(
        outcome,
        [
            change("api.latency.p95", 200),  # half
            change("api.latency.p95", 300),  # three quarters
            change("cache.hits.ratio", 0.80),
            change("cache.hits.ratio", 0.95),
        ],
    )
    assert patches["api.latency.p95"].value == pytest.approx(150)
    assert patches["cache.hits.ratio"].value == 1.0  # .70 + .10 + .25 is more than there can be


def test_what_was_not_measured_is_not_filled_in_by_a_prediction() -> None:
    outcome = score(results({"cache.latency.p95": None}), THRESHOLDS, WEIGHTS)
    after = rescored_with(outcome, [change("cache.latency.p95", 1.0)])
    assert after.patches == {}
    assert after.score == outcome


def test_labelled_predictions_move_nothing() -> None:
    part = PredictedChange(metric="api.latency.p95", value=1, labels={"endpoint": "GET /"}, how="a test")
    assert rescored_with(good_report().score, [part]).patches == {}


def test_the_interval_of_the_score_joins_those_of_the_metrics() -> None:
    outcome = score(results({"api.latency.p95": 900}), THRESHOLDS, WEIGHTS)
    sure = rescored_with(outcome, [change("api.latency.p95", 300, (300, 300))])
    assert sure.interval == pytest.approx((sure.score.value, sure.score.value))
    unsure = rescored_with(outcome, [change("api.latency.p95", 300, (200, 600))])
    assert unsure.interval is not None
    assert unsure.interval[0] < unsure.score.value < unsure.interval[1]
    assert rescored_with(outcome, [change("api.latency.p95", 300)]).interval is None


@given(st.floats(min_value=10, max_value=3000), st.floats(min_value=1.0, max_value=3.0))
def test_a_score_lies_within_its_interval(value: float, factor: float) -> None:
    outcome = score(results({"api.latency.p95": 2500}), THRESHOLDS, WEIGHTS)
    after = rescored_with(outcome, [change("api.latency.p95", value, (value / factor, value * factor))])
    assert after.interval is not None
    assert 0 <= after.interval[0] <= after.score.value <= after.interval[1] <= 100


def test_a_score_explains_itself() -> None:
    outcome = explained(score(results({"rfid.latency.p95": 4000, "api.latency.p95": 450}), THRESHOLDS, WEIGHTS))
    told = outcome.explanation
    assert told is not None
    assert sum(loss.points for loss in told.losses) == pytest.approx(100 - outcome.value)
    assert told.worst == "rfid.latency.p95"
    assert told.levers[0].metric == "rfid.latency.p95"  # it holds the whole run down
    assert told.levers[0].gain == pytest.approx(
        score(results({"rfid.latency.p95": 100, "api.latency.p95": 450}), THRESHOLDS, WEIGHTS).value - outcome.value
    )
    assert told.together == pytest.approx(
        score(results({"rfid.latency.p95": 100, "api.latency.p95": 200}), THRESHOLDS, WEIGHTS).value - outcome.value
    )


def test_a_run_without_anything_measured_explains_that() -> None:
    told = explained(score([], THRESHOLDS, WEIGHTS)).explanation
    assert told is not None
    assert (told.worst, told.levers) == (None, ())


def test_the_roadmap_shows_the_score_after_each_step_in_order() -> None:
    outcome = score(results(FOUR_DEFECTS), THRESHOLDS, WEIGHTS)
    findings = [
        remedied(f"{number}", change(metric, GOOD_VALUES[metric]), severity=Severity.CRITICAL)
        for number, metric in enumerate(FOUR_DEFECTS)
    ]
    steps = roadmap([*findings, remedied("zz")], outcome)
    assert [step.predicted for step in steps] == [True, True, True, True, True, False]
    done: dict[str, float] = {}
    for step, metric in zip(steps, FOUR_DEFECTS, strict=False):
        done[metric] = GOOD_VALUES[metric]
        assert step.score_after == score(results({**FOUR_DEFECTS, **done}), THRESHOLDS, WEIGHTS).value
    assert steps[5].score_after == steps[4].score_after


def test_what_if_answers_for_the_gate_too() -> None:
    slow = remedied("slow", change("api.latency.p95", 150), severity=Severity.CRITICAL)
    found = [
        one.model_copy(update={"findings": (slow,)}) if one.component.value == "api" else one
        for one in results({"api.latency.p95": 900})
    ]
    report = build(info(), found, THRESHOLDS, WEIGHTS)
    answer = whatif(report, ["slow"])
    changed = {now.id: (now.verdict, then.verdict) for now, then in answer.checks if now.verdict is not then.verdict}
    assert changed == dict.fromkeys(("critical_findings", "api.latency.p95"), (GateVerdict.FAIL, GateVerdict.PASS))
    by_hand = whatif(report, ["slow"], {"api.latency.p95": 700.0})
    assert by_hand.after.patches["api.latency.p95"].value == 700
    for do, values in ((["nothing"], {}), ([], {"no.such": 1.0}), ([], {"cache.hits.ratio": 1.5})):
        with pytest.raises(UsageError):
            whatif(report, do, values)


LEVELS = st.sampled_from(["best", "good", "fair", "poor", "worst"])
METRICS = st.sampled_from(sorted(BY_METRIC))


@given(METRICS, LEVELS, st.sampled_from(sorted(BY_METRIC)))
def test_the_score_of_the_run_has_no_step_at_any_limit(metric: str, level: str, low: str) -> None:
    """Also where another metric is at its worst, so that the caps are at work."""
    edge = float(getattr(BY_METRIC[metric], level))
    sides = [
        score(
            results({low: BY_METRIC[low].worst, metric: min(edge * side, 1.0) if edge <= 1 else edge * side}),
            THRESHOLDS,
            WEIGHTS,
        )
        for side in (1 - 1e-9, 1.0, 1 + 1e-9)
    ]
    assert max(one.value for one in sides) - min(one.value for one in sides) < 1e-4


@given(METRICS, st.floats(min_value=0.01, max_value=1.0), st.floats(min_value=0.01, max_value=1.0))
def test_a_better_prediction_never_scores_less(metric: str, one: float, other: float) -> None:
    threshold = BY_METRIC[metric]
    outcome = score(results({metric: threshold.worst}), THRESHOLDS, WEIGHTS)
    closer, farther = sorted((one, other))
    values = [threshold.best + (threshold.worst - threshold.best) * share for share in (closer, farther)]
    better, worse = (rescored_with(outcome, [change(metric, value)]).score.value for value in values)
    assert better >= worse - 1e-9
