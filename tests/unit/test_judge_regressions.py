"""What history says of a run: planted changes by place, size and state, and what must not be told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deployments.config import build_config
from storage.baselines import pin
from storage.history_records import HistoryComponent, HistoryRun, Series
from storage.parquet import Store
from storage.records import ComponentId, Trust, Unit
from storage.runs import ANALYSIS
from tasks.history import ACCEPTED, over_history
from tasks.judge.regressions import RECENT, Calendar, Seen, like, over_runs
from tests.history_runs import SETTINGS, figure, info, made, moment, name
from tests.report_example import THRESHOLDS, measured, measurement

P95 = "api.latency.p95"


def run(number: int, **more: Any) -> HistoryRun:
    about = info(number)
    fields = {key: getattr(about, key) for key in ("run", "environment", "profile", "started", "release", "commit")}
    return HistoryRun.model_validate({**fields, "code_version": "test", "settings": SETTINGS, **more})


def series(values: Sequence[float], metric: str = P95, unit: Unit = Unit.MS, **more: Any) -> Series:
    count = len(values)
    runs = tuple(run(number, **more.pop("run", {})) for number in range(count))
    unknown = np.full(count, np.nan)
    return Series(
        metric=metric,
        labels=more.get("labels", {}),
        unit=unit,
        runs=more.get("runs", runs),
        values=np.array(values, np.float64),
        n=np.full(count, 1000),
        low=unknown,
        high=unknown,
        notes=("",) * count,
    )


def noisy(*levels: tuple[float, int], sigma: float = 0.02) -> list[float]:
    rng = np.random.default_rng(11)
    return [level * float(np.exp(rng.normal(0, sigma))) for level, count in levels for _ in range(count)]


def seen(*found: Series, calendar: Calendar | None = None) -> Seen:
    return over_runs(found, THRESHOLDS, calendar)


@pytest.mark.parametrize(("runs", "confirmed"), [(3, False), (7, True)])
def test_a_step_is_told_with_its_place_and_size(runs: int, confirmed: bool) -> None:  # noqa: FBT001
    (found,) = seen(series(noisy((100, 30), (130, runs)))).regressions
    assert (found.kind, found.confirmed, found.runs) == ("level", confirmed, runs)
    assert found.interval
    assert found.interval[0] < 0.3 < found.interval[1]
    assert found.change == pytest.approx(0.3, abs=0.03)
    assert found.place
    assert (found.place.after, found.place.first) == (name(29), name(30))
    assert found.place.releases == ("v2", "v3")
    assert found.place.commits == (f"{29:040x}", f"{30:040x}")
    assert f"between the commits {'0' * 12} and {'0' * 12}" in found.detail


@pytest.mark.parametrize(
    "values",
    [
        noisy((100, 40)),
        noisy((130, 30), (100, 10)),  # better
        noisy((100, 30), (130, 8), (100, 8)),  # undone
        noisy((100, 30), (130, RECENT + 5)),  # that is how things are
    ],
)
def test_what_is_no_news_is_not_told(values: list[float]) -> None:
    found = seen(series(values))
    assert (found.regressions, found.compared) == ((), 1)


def test_what_was_accepted_is_not_told() -> None:
    one = series(noisy((100, 30), (130, 10)))
    assert seen(one, calendar=Calendar(accepted=moment(29))).regressions
    assert not seen(one, calendar=Calendar(accepted=moment(30))).regressions


def test_where_more_is_better_a_fall_is_worse() -> None:
    down = series(noisy((600, 30), (450, 8)), "rfid.throughput", Unit.PER_SECOND)
    (found,) = seen(down).regressions
    assert found.confirmed
    assert found.change < -0.2
    assert not seen(series(noisy((450, 30), (600, 8)), "rfid.throughput", Unit.PER_SECOND)).regressions


def test_a_ratio_near_nothing_needs_more_than_a_speck() -> None:
    speck = series([0.0] * 30 + [0.0001] * 8, "api.errors.ratio", Unit.RATIO)
    assert not seen(speck).regressions
    (found,) = seen(series([0.0] * 30 + [0.02] * 8, "api.errors.ratio", Unit.RATIO)).regressions
    assert found.confirmed
    assert found.baseline == 0.0
    assert found.value == pytest.approx(0.02)


def test_a_single_disaster_needs_no_second_run() -> None:
    (found,) = seen(series([*noisy((100, 20)), 5000.0])).regressions
    assert (found.kind, found.confirmed, found.value) == ("disaster", True, 5000.0)
    assert not seen(series([*noisy((100, 20)), 300.0])).regressions
    assert [one.kind for one in seen(series([*noisy((100, 4)), 5000.0])).regressions] == ["disaster"]


def test_a_drift_is_told_and_does_not_block() -> None:
    rng = np.random.default_rng(3)
    values = (100 * np.exp(np.linspace(0, 0.3, 80) + rng.normal(0, 0.02, 80))).tolist()
    (found,) = seen(series(values)).regressions
    assert (found.kind, found.confirmed) == ("drift", False)
    assert found.change == pytest.approx(np.expm1(0.3), abs=0.04)
    assert not seen(series(values[::-1])).regressions


def test_too_few_runs_are_said_so() -> None:
    found = seen(series(noisy((100, 5))), series([1.0, 2.0], "cache.latency.p95"))
    assert (found.compared, found.regressions) == (0, ())
    assert found.notes == ("Changes over runs need 8 like runs: of 2 figures there are 2 to 5 so far",)


def test_a_part_is_told_and_never_blocks() -> None:
    labels = {"endpoint": "GET /orders"}
    (found,) = seen(series(noisy((100, 30), (130, 9)), labels=labels)).regressions
    assert (found.labels, found.confirmed) == (labels, False)
    assert found.detail.startswith("confirmed over 9 runs")
    assert not seen(series(noisy((100, 30), (130, 5)), labels=labels)).regressions


def test_figures_of_an_untrusted_generator_are_no_data() -> None:
    doubted = {"components": {"api": HistoryComponent(attempt=1, code_version="t", trust=Trust.NOT_TRUSTED)}}
    values = noisy((100, 30), (130, 9))
    runs = tuple(run(number, **(doubted if number >= 30 else {})) for number in range(39))
    assert not seen(series(values, runs=runs)).regressions


def test_holidays_are_like_sundays() -> None:
    """A platform that is quick on days without school: a fortnight of holidays is no change, with the calendar."""
    days = [
        moment(number).date() + timedelta(days=1) for number in range(80)
    ]  # at night in UTC, the next day in India
    off = frozenset(date(2026, 3, 2) + timedelta(days=number) for number in range(14))
    school = [day.weekday() != 6 and day not in off for day in days]
    values = [v * (1.0 if open_ else 0.7) for v, open_ in zip(noisy((100, 80)), school, strict=True)]
    after = next(at for at in range(80) if days[at] > max(off)) + 8
    short = series(values[:after])
    assert seen(short).regressions
    assert not seen(short, calendar=Calendar(closed=off)).regressions


def test_only_runs_under_like_load_make_a_series() -> None:
    assert like(run(1), run(2))
    assert not like(run(1), run(2, local=True))
    assert not like(run(1), run(2, settings={**SETTINGS, "users": "500"}))


def judged_over(store: Store, number: int, value: float) -> Seen:
    about = info(number)
    folder = made(store, number, {P95: value})
    config = build_config("staging", local=True)

    return over_history(folder, about, config, [measured(ComponentId.API, measurement(P95, value))])


def test_a_stored_run_is_judged_over_those_before_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for number, value in enumerate(noisy((100, 14), (140, 6))):
        made(store, number, figures=[figure(P95, value, number)])
    made(store, 50, {P95: 900.0})  # a later run, and one under another load, say nothing of this one
    made(store, 19, {P95: 900.0}, run="other", settings={**SETTINGS, "users": "1"})
    (path,) = (tmp_path / ANALYSIS / "staging" / name(3)).rglob("measurements.parquet")
    path.write_bytes(b"broken")
    found = judged_over(store, 20, 141.0)
    (one,) = found.regressions
    assert (one.confirmed, one.runs) == (True, 7)
    assert any(note.startswith(f"Left out of history: {name(3)}/api") for note in found.notes)
    pin(store, "staging", ACCEPTED, name(16), by="me")
    assert not judged_over(store, 21, 141.0).regressions
