"""Advice is scored: biases are found and removed, intervals widen to what errors really are."""

from __future__ import annotations

import math
import random

import pytest

from storage.records import Calibration, PredictedChange, Unit, Verification
from tasks.judge.calibrate import LEAST, by_key, calibrations, corrected
from tests.report_example import START

KIND = "database.missing_index"
METRIC = "database.query.p95"


def entry(before: float, predicted: float, actual: float, **changes: object) -> Verification:
    fields: dict[str, object] = {
        "kind": KIND,
        "findings": ("database.missing_index:x",),
        "advised": ("a/database.missing_index:x",),
        "metric": METRIC,
        "unit": Unit.MS,
        "before": before,
        "predicted": predicted,
        "shown": predicted,
        "actual": actual,
        "run_before": "a",
        "run_after": "b",
        "at": START,
    }
    return Verification.model_validate(fields | changes)


def biased(rng: random.Random, *, factor: float = 1.0, shift: float = 0.0, noise: float = 0.05) -> Verification:
    """A prediction whose actual effect is `factor` times what was predicted, and `shift` off, on the log scale."""
    before = rng.uniform(50, 900)
    effect = -rng.uniform(0.2, 2.0)
    actual = effect * factor + shift + rng.gauss(0, noise)
    return entry(before, before * math.exp(effect), before * math.exp(actual))


def change(value: float) -> PredictedChange:
    return PredictedChange(metric=METRIC, value=value, how="a plan")


def known(ledger: list[Verification]) -> Calibration | None:
    return by_key(calibrations(ledger)).get((KIND, METRIC))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    "injected", [{"factor": 0.7}, {"factor": 1.3}, {"shift": math.log(1.3)}, {"shift": math.log(0.7)}]
)
def test_a_bias_of_30_percent_is_corrected_within_15_entries(seed: int, injected: dict[str, float]) -> None:
    rng = random.Random(seed)  # noqa: S311 - a simulation
    ledger = [biased(rng, **injected) for _ in range(15)]
    made = known(ledger)
    before, after = [], []
    for _ in range(200):
        later = biased(rng, **injected, noise=0.0)
        better = corrected(change(later.predicted), later.before, Unit.MS, made)
        before.append(abs(math.log(later.predicted / later.actual)))
        after.append(abs(math.log(better.value / later.actual)))
    assert sum(after) < 0.35 * sum(before)  # the shrinkage leaves 2 parts of 17, the noise the rest


def test_the_injected_bias_is_the_one_that_is_told() -> None:
    rng = random.Random(1)  # noqa: S311 - a simulation
    made = known([biased(rng, factor=0.7, noise=0.0) for _ in range(15)])
    assert made is not None
    assert made.model == "factor"
    assert made.bias == pytest.approx(-0.3)
    assert made.correction == pytest.approx(1 - 0.3 * 15 / 17)
    assert made.hit_rate == 1


def test_intervals_cover_what_they_promise_once_there_is_a_ledger() -> None:
    rng = random.Random(3)  # noqa: S311 - a simulation
    inside = total = 0
    for _ in range(60):
        made = known([biased(rng, factor=0.7, noise=0.2) for _ in range(15)])
        for _ in range(20):
            later = biased(rng, factor=0.7, noise=0.2)
            ends = corrected(change(later.predicted), later.before, Unit.MS, made).interval
            assert ends is not None
            inside += ends[0] <= later.actual <= ends[1]
            total += 1
    assert 0.70 <= inside / total <= 0.90


def test_before_anything_was_verified_the_interval_is_the_prior_or_the_advices_own() -> None:
    made = corrected(change(50), 200, Unit.MS, None)
    assert (made.value, made.raw) == (50, None)
    assert made.interval == pytest.approx((200 * 0.25**1.5, 200 * 0.25**0.5))
    own = change(50).model_copy(update={"interval": (40.0, 60.0)})
    assert corrected(own, 200, Unit.MS, None) == own


def test_two_entries_are_too_few_to_correct_anything() -> None:
    ledger = [entry(100, 50, 90) for _ in range(LEAST - 1)]
    made = known(ledger)
    assert made is not None
    assert made.model == "none"
    assert corrected(change(50), 200, Unit.MS, made).value == 50


def test_runs_that_are_not_like_with_like_calibrate_nothing() -> None:
    assert calibrations([entry(100, 50, 90, unlike="users 50 then, 100 now")]) == ()


def test_ratios_stay_ratios() -> None:
    ledger = [
        entry(0.5, 0.9, 0.99, metric="cache.hits.ratio", unit=Unit.RATIO, kind="cache.hit_ratio") for _ in range(9)
    ]
    made = by_key(calibrations(ledger))["cache.hit_ratio", "cache.hits.ratio"]
    better = corrected(PredictedChange(metric="cache.hits.ratio", value=0.98, how="x"), 0.6, Unit.RATIO, made)
    assert better.interval is not None
    assert 0 <= better.interval[0] <= better.value <= better.interval[1] <= 1


def test_advice_without_effect_misses() -> None:
    made = known([entry(100, 50, 100), entry(100, 50, 120), entry(100, 50, 40), entry(100, 50, 45)])
    assert made is not None
    assert made.hit_rate == 0.5
