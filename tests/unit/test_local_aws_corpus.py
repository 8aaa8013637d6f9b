"""The emulated account's corpus: size, shape, reproducibility, and that each planted case is really in it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from deployments.local.aws import DAYS, PLANTED, function_name
from deployments.local.aws.corpus import FAILED, OUT_OF_MEMORY, PROVISIONED, TIMED_OUT, Corpus, Invocations, generate
from deployments.local.aws.planted import Kind, planted
from deployments.local.aws.series import NAMESPACE, MetricStore, in_flight

ROOT = Path(__file__).resolve().parents[2]
HOUR_MS = 3_600_000
MOMENTS = (
    datetime(2026, 11, 22, 21, 40, tzinfo=UTC),  # Monday before dawn in India
    datetime(2026, 11, 20, 7, 15, tzinfo=UTC),  # Friday, lunch
    datetime(2027, 3, 1, 0, 0, tzinfo=UTC),  # a month begins
    datetime(2026, 7, 4, 23, 59, tzinfo=UTC),  # a weekend
)


@cache
def corpus(moment: datetime) -> Corpus:
    return generate(int(moment.timestamp() * 1000))


def of(kind: Kind, moment: datetime) -> Invocations:
    return corpus(moment).invocations[planted(kind).function]


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_the_corpus_is_fourteen_days_of_eighty_functions(moment: datetime) -> None:
    whole = corpus(moment)
    assert whole.end_ms == int(moment.timestamp()) // 3600 * HOUR_MS
    assert whole.end_ms - whole.start_ms == DAYS * 24 * HOUR_MS
    assert len(whole.functions) == 80
    assert 60_000 <= whole.total <= 120_000
    for it in whole.invocations.values():
        assert np.all(np.diff(it.start) >= 0)
        assert np.all(it.start >= whole.start_ms)
        assert np.all(it.reported < whole.end_ms)
        assert np.all(it.used <= it.memory)


def test_the_functions_are_those_of_the_facts() -> None:
    facts = json.loads((ROOT / "deployments/local/facts/lambda_functions.json").read_text(encoding="utf-8"))
    assert [function.key for function in corpus(MOMENTS[0]).functions] == [row["name"] for row in facts["functions"]]


def test_the_same_hour_gives_the_same_corpus() -> None:
    again = generate(int(MOMENTS[0].timestamp() * 1000) + 60_000)
    for key, it in corpus(MOMENTS[0]).invocations.items():
        for field in ("start", "duration", "init", "used", "flags", "environment", "throttled"):
            assert np.array_equal(
                getattr(it, field), getattr(again.invocations[key], field), equal_nan=field == "init"
            )


def test_processes_of_different_hours_agree_on_what_they_share() -> None:
    later = generate(corpus(MOMENTS[1]).end_ms + 5 * HOUR_MS)
    for key, it in corpus(MOMENTS[1]).invocations.items():
        if key == planted("memory-history").function:
            continue  # its memory changes at days counted from the end
        other = later.invocations[key]
        shared = it.start[it.start >= later.start_ms]
        assert np.array_equal(shared, other.start[: len(shared)])


def test_traffic_is_that_of_a_school() -> None:
    whole = corpus(MOMENTS[0])
    start = np.concatenate([it.start for it in whole.invocations.values()]) + 19_800_000
    days, counts = np.unique(start // 86_400_000, return_counts=True)
    whole_days = [(day, n) for day, n in zip(days.tolist(), counts.tolist(), strict=True)][1:-1]
    school = [n for day, n in whole_days if (day + 3) % 7 < 5]  # 1970-01-01 was a Thursday
    weekend = [n for day, n in whole_days if (day + 3) % 7 >= 5]
    assert max(weekend) < 0.4 * min(school)
    hours = np.bincount((start // HOUR_MS % 24).astype(np.int64), minlength=24)
    assert hours.argmax() in {11, 12, 13}


def test_an_environment_serves_one_call_at_a_time_and_is_cold_once() -> None:
    it = of("cold-starts", MOMENTS[0])
    whole = it.environment % 100_000 != 99_999
    for number in np.unique(it.environment[whole])[:400]:
        rows = np.flatnonzero(it.environment == number)
        ends = it.start[rows] + it.duration[rows] + np.nan_to_num(it.init[rows])
        assert np.all(it.start[rows][1:] >= ends[:-1] - 0.02)
        assert not it.cold[rows][1:].any()


def test_billed_is_the_duration_with_the_init_rounded_up() -> None:
    it = of("cold-starts", MOMENTS[0])
    exact = [round((d + (0 if np.isnan(i) else i)) * 100) for d, i in zip(it.duration, it.init, strict=True)]
    assert it.billed.tolist() == [-(-hundredths // 100) for hundredths in exact]


def test_docs_list_the_planted_cases() -> None:
    text = (ROOT / "docs/local-aws.md").read_text(encoding="utf-8")
    table = text.split("## Planted cases")[1]
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table.splitlines() if "| " in line]
    assert rows[1:] == [(case.function, case.kind, case.expectation) for case in PLANTED]


# --- each planted case, at any hour of the week -------------------------------------------------------------------


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_memory_cases(moment: datetime) -> None:
    over, under = of("memory-oversized", moment), of("memory-undersized", moment)
    assert over.memory[0] == 3008
    assert over.used.max() < 0.1 * 3008
    assert under.memory[0] == 1024
    assert np.median(under.used) >= 0.95 * 1024
    assert under.used.max() == 1024
    assert under.has(OUT_OF_MEMORY).sum() >= 1


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_cold_starts(moment: datetime) -> None:
    it = of("cold-starts", moment)
    assert it.cold.mean() > 0.1
    assert it.cold.sum() > 500
    assert np.nanpercentile(it.init, 95) > 3000
    others = [each for key, each in corpus(moment).invocations.items() if key != planted("cold-starts").function]
    assert max(np.nanpercentile(each.init, 95) for each in others if each.cold.any()) < 2000


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_throttles(moment: datetime) -> None:
    it = of("throttles", moment)
    assert len(it.throttled) / (len(it.throttled) + len(it.start)) > 0.01
    assert in_flight(it.start, it.reported).max() == 2
    others = {key: len(each.throttled) for key, each in corpus(moment).invocations.items()}
    assert [key for key, count in others.items() if count] == [planted("throttles").function]


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_errors(moment: datetime) -> None:
    it = of("errors", moment)
    assert it.has(FAILED).mean() > 0.02
    assert it.has(TIMED_OUT).sum() >= 5
    assert np.all(it.duration[it.has(TIMED_OUT)] == 60_000)
    killed = planted("memory-undersized").function  # fails too, by its memory
    for key, each in corpus(moment).invocations.items():
        if key not in {planted("errors").function, killed} and len(each.start) >= 500:
            assert each.has(FAILED).mean() < 0.01


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_configuration_cases(moment: datetime) -> None:
    functions = {function.key: function for function in corpus(moment).functions}
    old = [key for key, function in functions.items() if function.runtime != "nodejs18.x"]
    assert old == [planted("runtime-unsupported").function]
    assert functions[old[0]].runtime == "nodejs14.x"
    assert not len(of("no-traffic", moment).start)
    silent = [key for key, it in corpus(moment).invocations.items() if not len(it.start)]
    assert silent == [planted("no-traffic").function]
    assert functions[planted("custom-log-group").function].log_group == "/hasivu/invoices"


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_provisioned_concurrency_is_not_used(moment: datetime) -> None:
    it = of("provisioned-unused", moment)
    used = it.has(PROVISIONED)
    assert 13 <= used.sum() <= 14
    assert used.mean() < 0.05
    assert not it.cold[used].any()
    assert it.cold[~used].any()


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_memory_history_has_three_sizes_and_the_effect_of_each(moment: datetime) -> None:
    it = of("memory-history", moment)
    sizes, counts = np.unique(it.memory, return_counts=True)
    assert sizes.tolist() == [1024, 1536, 2048]
    assert counts.min() >= 100
    medians = [float(np.median(it.duration[it.memory == size])) for size in sizes]
    assert medians[0] > 1.2 * medians[1]
    assert medians[1] > medians[2]
    assert it.memory[-1] == 2048


@pytest.mark.parametrize("moment", MOMENTS, ids=str)
def test_bursts_hide_in_hourly_means(moment: datetime) -> None:
    store = MetricStore(corpus(moment))
    name = function_name(planted("bursts").function)
    calls = store.get(NAMESPACE, "Invocations", (("FunctionName", name),))
    assert calls is not None
    by_minute = np.unique(calls.times, return_counts=True)[1]
    by_hour = np.unique(calls.times // HOUR_MS, return_counts=True)[1]
    assert by_minute.max() > 10 * by_hour.mean() / 60
