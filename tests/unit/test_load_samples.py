"""Figures of samples: percentiles, intervals, the closing of accounts, seconds."""

from __future__ import annotations

import io
import math
import random
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from storage.clock import Clock
from storage.records import Trust
from tasks.load.recording import samples
from tasks.load.recording.samples import ERRORS, SCHEMA, Recorder

MS = 1_000_000
SECOND = 1_000_000_000


def table_of(rows: list[tuple[int, int, str | None, int, str]]) -> pa.Table:
    """Rows of (intended ms, latency ms, error, status, phase); status 500 is unexpected."""
    recorder = Recorder(["GET /a", "GET /b"], ["ramp", "steady"])
    for number, (intended, latency, error, status, phase) in enumerate(rows):
        at = intended * MS
        times = (at, at + 10, at + 20, at + latency * MS)
        code = recorder.phases.index(phase)
        recorder.add(times, number % 2, code, status=status, error=error, failed=status == 500, size=3)
    return recorder.table(Clock(1_700_000_000 * SECOND))


def test_percentiles_are_values_of_the_sample_by_nearest_rank() -> None:
    # NIST/SEMATECH and Wikipedia's worked example of the nearest-rank method: 15, 20, 35, 40, 50.
    values = np.array([35.0, 20.0, 15.0, 50.0, 40.0])
    assert [samples.percentile(values, q) for q in (0.05, 0.30, 0.40, 0.50, 1.0)] == [15, 20, 20, 35, 50]
    assert samples.percentile(np.arange(1.0, 21.0), 0.95) == 19
    assert samples.percentile(np.array([]), 0.5) is None


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=300), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_a_percentile_is_the_least_value_that_covers_its_share(numbers: list[int], q: float) -> None:
    found = samples.percentile(np.array(numbers, np.float64), q)
    covered = [value for value in sorted(numbers) if sum(n <= value for n in numbers) >= q * len(numbers) - 1e-9]
    assert found == covered[0]


def test_the_interval_of_the_median_of_ten_is_the_textbooks() -> None:
    # Conover, Practical Nonparametric Statistics: n = 10, median, ranks 2 and 9 hold with probability 0.9785.
    assert samples.percentile_interval(np.arange(1.0, 11.0), 0.5) == (2.0, 9.0)


def test_a_small_sample_has_no_interval_of_p95() -> None:
    # All 72 values below p95 have probability 0.95^72 = 0.0249; with 71 it is above 0.025.
    assert samples.percentile_interval(np.arange(71.0), 0.95) is None
    assert samples.percentile_interval(np.arange(72.0), 0.95) is not None


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    truth = -math.log(0.05)  # p95 of the exponential distribution
    hits = 0
    for _ in range(400):
        interval = samples.percentile_interval(rng.exponential(size=500), 0.95)
        assert interval is not None
        hits += interval[0] <= truth <= interval[1]
    assert 0.93 <= hits / 400 <= 0.99


def test_latency_counts_from_the_intended_moment_and_errors_have_none() -> None:
    table = table_of([(0, 20, None, 200, "steady"), (10, 5000, "timeout", 0, "steady"), (20, 30, None, 500, "ramp")])
    assert samples.latency_ms(table).tolist() == [20.0, 30.0]
    assert samples.service_ms(table)[0] == pytest.approx(20.0 - 20e-6)
    assert samples.counts(table) == {"sent": 3, "answered": 2, "failed": 1, "errors": 1}
    assert samples.errors_by_kind(table) == {"timeout": 1}
    assert samples.statuses(table) == {200: 1, 500: 1}
    assert samples.error_ratio(table) == pytest.approx(2 / 3)
    assert samples.of_phase(table, "steady").num_rows == 2
    assert samples.endpoints(table) == ["GET /a", "GET /b"]


def test_differences_survive_the_mapping_to_utc_exactly() -> None:
    recorder = Recorder(["e"], ["steady"])
    recorder.add((7, 8, 9, 10), 0, 0, status=200)
    row = recorder.table(Clock(1_700_000_000_123_456_789)).to_pylist()[0]
    assert [row[f"{name}_ns"] for name in ("intended", "taken", "sent", "received")] == [
        1_700_000_000_123_456_796 + step for step in range(4)
    ]


def test_the_clock_maps_to_utc() -> None:
    assert abs(Clock.read().offset_ns + time.monotonic_ns() - time.time_ns()) < 5 * MS


def test_tables_have_the_schema_also_when_empty_and_after_parquet() -> None:
    empty = Recorder([], []).table(Clock(0))
    assert empty.schema.equals(SCHEMA)
    assert samples.error_ratio(empty) is None
    assert samples.window(empty) is None
    assert samples.per_second(empty).num_rows == 0
    table = table_of([(0, 20, kind, 0, "steady") for kind in ERRORS])
    sink = io.BytesIO()
    pq.write_table(table, sink)
    sink.seek(0)
    assert samples.errors_by_kind(pq.read_table(sink)) == dict.fromkeys(sorted(ERRORS), 1)


def test_seconds_are_counted_by_intended_moment_and_an_empty_one_has_no_row() -> None:
    rows: list[tuple[int, int, str | None, int, str]] = [(n * 10, 20, None, 200, "steady") for n in range(100)]
    rows += [(2500, 50, None, 500, "steady"), (2600, 50, "reset", 0, "steady")]
    seconds = samples.per_second(table_of(rows)).to_pylist()
    assert [row["sent"] for row in seconds] == [100, 2]
    assert seconds[1]["second_ns"] - seconds[0]["second_ns"] == 2 * SECOND
    assert (seconds[1]["answered"], seconds[1]["failed"], seconds[1]["errors"]) == (1, 1, 1)
    assert (seconds[0]["p50_ms"], seconds[1]["p95_ms"]) == (20.0, 50.0)


def test_the_accounts_close_or_the_record_refuses_them() -> None:
    generator = random.Random(3)  # noqa: S311 - test data
    rows = [
        (n, 5, generator.choice([None, None, "reset", "timeout"]), generator.choice([200, 500]), "steady")
        for n in range(500)
    ]
    fixed = [(a, b, error, 0 if error else status, phase) for a, b, error, status, phase in rows]
    load = samples.summarise(table_of(fixed), planned=510, target_rate=1000, achieved_rate=999, trust=Trust.TRUSTED)
    assert (load.planned, load.sent, load.unsent) == (510, 500, 10)
    assert load.answered + sum(load.errors.values()) == 500
    with pytest.raises(ValidationError):
        samples.summarise(table_of(fixed), planned=499, target_rate=1000, achieved_rate=999, trust=Trust.TRUSTED)


def test_what_was_sent_after_its_phase_does_not_count_as_achieved() -> None:
    recorder = Recorder(["e"], ["steady"])
    for n in range(10):
        at = n * 100 * MS
        sent = at if n < 8 else 2 * SECOND
        recorder.add((at, at, sent, sent + MS), 0, 0, status=200)
    assert samples.sent_rate(recorder.table(Clock(0)), "steady", 1.0) == 8.0
