"""Raw tables → measurements: known answers, and plain words where nothing was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from deployments.config import RunConfig, build_config
from storage.clock import Clock
from storage.records import Collected, Measurement, Window
from tasks.components.base import Samples
from tasks.components.database import DATABASE, schemas
from tasks.components.database.measure import METRICS, sequence_share
from tasks.load.recording.samples import Recorder

START = datetime(2026, 11, 20, 7, 0, tzinfo=UTC)
WINDOW = Window(start=START, end=START + timedelta(seconds=60))
FACTS = {
    "setting.max_connections": "100",
    "setting.superuser_reserved_connections": "3",
    "reads_all_stats": "true",
    "samples_taken": "20",
}


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return build_config("development")


def collected(facts: Mapping[str, str] = FACTS, reads: pa.Table | None = None, **tables: Sequence[Any]) -> Samples:
    stored = {name: schemas.table(name, rows) for name, rows in tables.items()}
    stored["facts"] = schemas.table("facts", [{"name": name, "value": value} for name, value in facts.items()])
    if reads is not None:
        stored["samples"] = reads
    return Samples(tables=stored, collected=Collected(window=WINDOW))


def timed(
    latencies: Sequence[float], *, timeouts: int = 0, refused: int = 0, closed: int = 0, phase: int = 1
) -> pa.Table:
    recorder = Recorder(["a", "b"], ["warmup", "steady"])

    def add(ms: float, **outcome: Any) -> None:
        recorder.add((0, 0, 0, int(ms * 1e6)), len(recorder) % 2, phase, **outcome)

    for value in latencies:
        add(value, status=200)
    for _ in range(timeouts):
        add(5000, error="timeout")
    for _ in range(refused):
        add(0.1, status=500, failed=True)
    for _ in range(closed):
        add(0.1, error="closed")
    return recorder.table(Clock(0))


def of(samples: Samples, config: RunConfig, metric: str, **labels: str) -> Measurement:
    found = [m for m in DATABASE.measure(samples, config) if m.metric == metric and dict(m.labels) == labels]
    assert len(found) == 1
    return found[0]


def test_every_metric_is_answered_even_where_nothing_was_collected(config: RunConfig) -> None:
    answers = {m.metric: m for m in DATABASE.measure(collected({}), config) if not m.labels}
    assert set(answers) >= METRICS
    assert all(answers[metric].value is None and answers[metric].note for metric in METRICS)


def test_percentiles_are_those_of_the_client(config: RunConfig) -> None:
    samples = collected(reads=timed(range(1, 101)))
    assert of(samples, config, "database.query.p50").value == 50
    p95 = of(samples, config, "database.query.p95")
    assert (p95.value, p95.n) == (95, 100)
    assert p95.interval is not None
    assert p95.interval[0] < 95 < p95.interval[1]
    assert of(samples, config, "database.query.p99").value == 99
    assert of(samples, config, "database.query.p95", statement="a").n == 50


def test_warm_up_is_left_out(config: RunConfig) -> None:
    found = of(collected(reads=timed([1, 2, 3], phase=0)), config, "database.query.p95")
    assert found.value is None
    assert "steady" in found.note


def test_a_read_that_timed_out_counts_with_the_time_it_took(config: RunConfig) -> None:
    found = of(collected(reads=timed([1.0] * 90, timeouts=10)), config, "database.query.p95")
    assert found.value == 5000
    assert "10 of 100 reads timed out" in found.note


def test_refused_and_lost_reads_have_no_latency_but_are_errors(config: RunConfig) -> None:
    samples = collected(reads=timed([7.0] * 6, refused=2, closed=2))
    assert of(samples, config, "database.query.p95").n == 6
    assert of(samples, config, "database.errors.ratio").value == pytest.approx(0.4)


def test_a_database_that_died_has_an_error_ratio_and_no_latency(config: RunConfig) -> None:
    samples = collected(reads=timed([], closed=50))
    assert of(samples, config, "database.errors.ratio").value == 1.0
    found = of(samples, config, "database.query.p95")
    assert found.value is None
    assert found.note.startswith("no data")


def sessions(sample: int, state: str | None, many: int, application: str = "hasivu-api") -> dict[str, Any]:
    return {
        "sample": sample,
        "at": START,
        "database": True,
        "own": False,
        "application": application,
        "state": state,
        "sessions": many,
    }


def test_the_pool_is_busy_where_connections_are_active_or_in_a_transaction(config: RunConfig) -> None:
    assert config.environment.database.pool_size == 20
    rows = [sessions(n, "active", 4) for n in range(19)]
    rows += [sessions(19, "active", 8), sessions(19, "idle in transaction", 4), sessions(19, "idle", 6)]
    rows += [sessions(n, "idle", 6) for n in range(20, 25)]
    found = of(collected(activity=rows), config, "database.pool.utilisation")
    # 25 samples: one of 12, 19 of 4, 5 of 0; the nearest rank of p95 is the 24th: 4 of 20.
    assert found.value == pytest.approx(0.2)
    assert found.n == 25
    assert "pool_size (20)" in found.source


def test_an_application_that_nobody_saw_is_not_an_idle_pool(config: RunConfig) -> None:
    samples = collected(activity=[sessions(0, "active", 3, application="something-else")])
    found = of(samples, config, "database.pool.utilisation")
    assert found.value is None
    assert "hasivu-api" in found.note


def test_hidden_states_are_not_idle_states(config: RunConfig) -> None:
    samples = collected({**FACTS, "reads_all_stats": "false"}, activity=[sessions(0, None, 9)])
    assert "GRANT pg_monitor" in of(samples, config, "database.pool.utilisation").note
    assert of(samples, config, "database.idle_in_transaction.count").value is None
    assert of(samples, config, "database.connections.utilisation").value == pytest.approx(9 / 97)


def table_row(**values: Any) -> dict[str, Any]:
    return {"oid": 1, "schema": "public", "name": "orders", "kind": "r", **values}


def test_the_cache_ratio_is_of_the_window_alone(config: RunConfig) -> None:
    rows = [table_row(blocks_hit_delta=900, blocks_read_delta=100)]
    found = of(collected(tables=rows), config, "database.cache.hits_ratio")
    assert (found.value, found.n) == (0.9, 1000)


def test_a_window_without_reads_has_no_cache_ratio(config: RunConfig) -> None:
    rows = [table_row(blocks_hit_delta=0, blocks_read_delta=0)]
    assert of(collected(tables=rows), config, "database.cache.hits_ratio").value is None


def test_statements_are_listed_by_time_without_our_own(config: RunConfig) -> None:
    def statement(queryid: str, total: float, *, own: bool = False) -> dict[str, Any]:
        return {
            "queryid": queryid,
            "text": f"SELECT {queryid}",
            "own": own,
            "calls": 4,
            "total_ms": total,
            "resets": 0,
        }

    rows = [statement("1", 100.0), statement("2", 90.0, own=True), statement("3", 8.0)]
    samples = collected(statements=rows)
    labels = [
        m.labels["statement"] for m in DATABASE.measure(samples, config) if m.metric == "database.statement.total"
    ]
    assert labels == ["1 SELECT 1", "3 SELECT 3"]
    assert of(samples, config, "database.statement.mean", statement="3 SELECT 3").value == 2.0


def test_tables_with_the_most_queries_come_first(config: RunConfig) -> None:
    rows = [
        table_row(oid=1, name="quiet", seq_scan_delta=1, idx_scan_delta=0, bytes=10**9),
        table_row(oid=2, name="busy", seq_scan_delta=5, idx_scan_delta=50, bytes=8192),
    ]
    found = [m for m in DATABASE.measure(collected(tables=rows), config) if m.metric == "database.table.scans_index"]
    assert [m.labels["table"] for m in found] == ["public.busy", "public.quiet"]


@pytest.mark.parametrize(
    ("first", "last", "limit", "share"),
    [
        (1, 2_011_000_000, 2_147_483_647, 0.93645),
        (1, None, 100, None),
        (-1, -51, -101, 0.5),
        (1, 1, 1, None),
        (1, 150, 100, 1.0),
    ],
)
def test_share_of_a_sequence(first: float, last: float | None, limit: float, share: float | None) -> None:
    assert sequence_share({"first": first, "last": last, "limit": limit}) == (
        None if share is None else pytest.approx(share, abs=1e-4)
    )
