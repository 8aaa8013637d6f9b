"""The percentile of a whole whose parts change, held against simulated requests."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from storage.records import Measurement, PredictedChange, Unit
from tasks.judge.means import means
from tasks.judge.mixture import mixtures
from tasks.judge.rescore import rescored_with, wholes
from tasks.judge.score import score
from tests.report_example import THRESHOLDS, WEIGHTS, WINDOW, measured, results

Times = npt.NDArray[np.float64]
RNG = np.random.default_rng(11)
N = 20_000


def figures(times: dict[str, Times]) -> list[Measurement]:
    """What a component measures of requests: percentiles of all, and of each endpoint."""
    found = []
    for name, values in [*times.items(), (None, np.concatenate(list(times.values())))]:
        for statistic, level in (("p50", 50), ("p95", 95), ("p99", 99)):
            found.append(
                Measurement(
                    metric=f"api.latency.{statistic}",
                    value=float(np.percentile(values, level)),
                    unit=Unit.MS,
                    n=len(values),
                    source="simulation",
                    window=WINDOW,
                    labels={"endpoint": name} if name else {},
                )
            )
    return found


def change(found: list[Measurement], endpoint: str, factor: float, spread: float = 1.0) -> PredictedChange:
    now = next(m for m in found if m.labels == {"endpoint": endpoint} and m.metric.endswith("p95"))
    value = (now.value or 0.0) * factor
    return PredictedChange(
        metric="api.latency.p95",
        value=value,
        interval=(value / spread, value * spread),
        labels={"endpoint": endpoint},
        how="a test",
    )


def mix(parts: int) -> dict[str, Times]:
    return {
        f"GET /{number}": RNG.lognormal(np.log(RNG.uniform(5, 300)), RNG.uniform(0.2, 0.8), N)
        for number in range(parts)
    }


@pytest.mark.parametrize("parts", [2, 5, 12, 20])
@pytest.mark.parametrize("mended", [1, 2, 20])
def test_the_p95_of_all_after_some_parts_changed_is_that_of_the_requests(parts: int, mended: int) -> None:
    times = mix(parts)
    found = figures(times)
    slowest = sorted(times, key=lambda name: -float(np.percentile(times[name], 95)))[:mended]
    after = {name: values * 0.1 if name in slowest else values for name, values in times.items()}
    factor, _ = mixtures(found)["api.latency.p95"].effects([change(found, name, 0.1) for name in slowest])
    predicted = float(np.percentile(np.concatenate(list(times.values())), 95)) * np.exp(factor)
    assert predicted == pytest.approx(float(np.percentile(np.concatenate(list(after.values())), 95)), rel=0.05)


def test_one_of_many_slow_parts_gains_nothing_and_all_of_them_much() -> None:
    times = {f"GET /{number}": RNG.lognormal(np.log(100), 0.3, N) for number in range(20)}
    found = figures(times)
    mixture = mixtures(found)["api.latency.p95"]
    alone, _ = mixture.effects([change(found, "GET /0", 0.1)])
    together, _ = mixture.effects([change(found, name, 0.1) for name in times])
    assert alone > np.log(0.97)
    assert together == pytest.approx(np.log(0.1), abs=1e-6)


def test_a_part_moves_the_score_with_an_interval() -> None:
    times = {"GET /slow": RNG.lognormal(np.log(500), 0.3, N), "GET /quick": RNG.lognormal(np.log(20), 0.3, N)}
    found = figures(times)
    errors = next(m for m in results()[2].measurements if m.metric == "api.errors.ratio")  # type: ignore[union-attr]
    platform = [measured(one.component, *found, errors) if one.component == "api" else one for one in results()]
    outcome = score(platform, THRESHOLDS, WEIGHTS)
    after = rescored_with(outcome, [change(found, "GET /slow", 0.1, spread=1.5)], wholes(found))
    whole = after.patches["api.latency.p95"]
    assert whole.interval is not None
    assert whole.interval[0] < whole.value < whole.interval[1]
    assert after.score.value > outcome.value
    assert after.interval is not None
    assert after.interval[0] <= after.score.value <= after.interval[1]


def test_parts_without_all_three_percentiles_are_no_mixture() -> None:
    found = [m for m in figures(mix(2)) if not m.metric.endswith("p99")]
    assert mixtures(found) == {}


def test_three_equal_percentiles_are_a_step() -> None:
    found = figures({"GET /constant": np.full(N, 100.0), "GET /rare": np.full(10, 200.0)})
    factor, _ = mixtures(found)["api.latency.p95"].effects([change(found, "GET /constant", 0.5)])
    assert factor == pytest.approx(np.log(0.5), abs=1e-3)


def ratio(value: float, n: int = 100, **labels: str) -> Measurement:
    return Measurement(
        metric="cache.hits.ratio", value=value, unit=Unit.RATIO, n=n, source="test", window=WINDOW, labels=labels
    )


def test_a_ratio_is_the_mean_of_its_parts_and_they_add_up() -> None:
    found = [ratio(0.80), ratio(0.95, 700, family="menus"), ratio(0.45, 300, family="analytics")]
    mean = means(found)["cache.hits.ratio"]
    better = PredictedChange(
        metric="cache.hits.ratio", value=0.9, interval=(0.8, 0.95), labels={"family": "analytics"}, how="a test"
    )
    effect, spread = mean.effects([better])
    assert effect == pytest.approx(0.3 * 0.45)
    assert spread == pytest.approx((0.3 * 0.1, 0.3 * 0.05))


def test_parts_that_do_not_make_up_the_whole_tell_nothing_of_it() -> None:
    assert means([ratio(0.80), ratio(0.45, 300, family="analytics")]) == {}
