"""One run held against one earlier run: like with like, worse is worse in either direction, noise does not block."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from storage.records import Measurement, Report, RunInfo
from tasks.judge.compare import Comparison, against
from tests.report_example import THRESHOLDS, good_report, info, measurement

BASELINE = good_report(run="20250302T063000Z-000000", release="v2.13.0")


def own(values: Mapping[str, float], wide: float = 0.01) -> list[Measurement]:
    """Measurements whose intervals are a share of the value."""
    return [measurement(m, v, interval=(v * (1 - wide), v * (1 + wide))) for m, v in values.items()]


def with_intervals(report: Report) -> Report:
    parts = [
        part.model_copy(update={"measurements": tuple(own({m.metric: m.value or 0.0 for m in part.measurements}))})
        if part.status == "measured"
        else part
        for part in report.components
    ]
    return report.model_copy(update={"components": tuple(parts)})


def compare(values: Mapping[str, float], *, now: RunInfo | None = None, wide: float = 0.01) -> Comparison:
    return against(now or info(), own(values, wide), with_intervals(BASELINE), THRESHOLDS)


@pytest.mark.parametrize(
    ("metric", "value", "confirmed"),
    [
        ("api.latency.p95", 142.0 * 1.05, None),
        ("api.latency.p95", 142.0 * 1.12, False),
        ("api.latency.p95", 142.0 * 1.30, True),
        ("api.latency.p95", 142.0 * 0.50, None),
        ("rfid.throughput", 612.0 * 0.70, True),
        ("rfid.throughput", 612.0 * 1.50, None),
        ("api.errors.ratio", 0.0005, None),
        ("api.errors.ratio", 0.01, True),
        ("cache.hits.ratio", 0.70, True),
    ],
)
def test_only_what_became_worse_is_told(metric: str, value: float, confirmed: bool | None) -> None:  # noqa: FBT001
    found = compare({metric: value})
    assert found.compared == 1
    assert [one.confirmed for one in found.regressions] == ([] if confirmed is None else [confirmed])
    assert all((one.value, one.unit) == (value, measurement(metric, value).unit) for one in found.regressions)


def test_intervals_that_touch_confirm_nothing() -> None:
    (found,) = compare({"api.latency.p95": 142.0 * 1.3}, wide=0.4).regressions
    assert not found.confirmed


def test_another_load_is_not_like_with_like() -> None:
    settings = {**info().settings, "users": "500"}
    found = compare({"api.latency.p95": 900.0}, now=info(settings=settings))
    assert (found.compared, found.regressions) == (0, ())
    assert "not like with like: users 50 then, 500 now" in found.notes[0]


def test_the_embedded_platform_is_not_like_the_real_one() -> None:
    assert compare({"api.latency.p95": 900.0}, now=info(local=True)).compared == 0


def test_what_was_not_measured_then_or_now_is_not_compared() -> None:
    assert compare({}).compared == 0
