"""The embedded platform's planted defects: each must be named by table, index, sequence or session."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

import psycopg
import pyarrow as pa
import pytest
from pydantic import SecretStr

from deployments.config import RunConfig, Target, build_config
from deployments.local.defects import PLANTED, Defect
from deployments.local.identity import key
from deployments.local.platform import Part, Platform, platform
from storage.records import Collected, Finding, Measurement, Severity
from tasks.components.base import CollectContext, Progress, Samples
from tasks.components.database import DATABASE
from tests.behind import behind
from tests.sinks import Sink

WINDOW_S = 8
KINDS = {
    "foreign key without index": "unindexed_foreign_key",
    "filter and sort without index": "missing_index",
    "duplicate index": "duplicate_index",
    "redundant index": "redundant_index",
    "unused index": "unused_index",
    "idle in transaction": "idle_in_transaction",
    "table in need of vacuum": "vacuum",
    "sequence near its end": "sequence",
}
OF_DATABASE = [defect for defect in PLANTED if defect.kind in KINDS]


@dataclass(frozen=True)
class Outcome:
    config: RunConfig
    tables: Mapping[str, pa.Table]
    collected: Collected
    measurements: Sequence[Measurement]
    findings: Sequence[Finding]
    progress: Sequence[Progress]
    calls: int


def application(url: str, stop: threading.Event) -> int:
    """What the meal application asks while it is measured; how many statements of the order history it sent."""
    draw = Random(7)  # noqa: S311 - test data
    sent = 0
    with psycopg.connect(url, application_name="hasivu-api", autocommit=True) as connection:
        while not stop.is_set():
            user = key("user", draw.randrange(1, 18000))
            history = "SELECT id, status FROM orders WHERE user_id = %s ORDER BY created_at DESC LIMIT %s"
            connection.execute(history, (user, 20)).fetchall()
            payments = "SELECT id FROM payment_orders WHERE user_id = %s ORDER BY created_at DESC LIMIT %s"
            connection.execute(payments, (user, 10)).fetchall()
            sent += 1
            stop.wait(0.02)
    return sent


@pytest.fixture(scope="module")
def running() -> Iterator[Platform]:
    with platform(parts={Part.DATABASE}) as started:
        yield started


@pytest.fixture(scope="module")
def outcome(running: Platform) -> Outcome:
    overrides = {"duration_s": str(WINDOW_S), "ramp_up_s": "0"}
    config = build_config("development", overrides=overrides)
    target = Target(database_url=SecretStr(running.database_url), local=True)
    ended, calls = threading.Event(), list[int]()

    def work(_: threading.Event) -> None:
        calls.append(application(running.application_database_url, ended))

    def told(one: Progress) -> None:
        progress.append(one)
        if one.elapsed_s >= one.total_s:  # what is sent after the window is not in its differences
            ended.set()

    sink, progress = Sink(), list[Progress]()
    with behind(work):
        try:
            collected = DATABASE.collect(CollectContext(config, target, sink, told))
        finally:
            ended.set()
    samples = Samples(tables=sink, collected=collected)
    measurements = DATABASE.measure(samples, config)
    findings = DATABASE.advise(samples, measurements, config)
    return Outcome(config, sink, collected, measurements, findings, progress, calls[0])


def test_the_platform_has_defects_of_every_kind() -> None:
    assert {defect.kind for defect in OF_DATABASE} == set(KINDS)


@pytest.mark.parametrize("defect", OF_DATABASE, ids=lambda defect: defect.id)
def test_each_planted_defect_is_named(outcome: Outcome, defect: Defect) -> None:
    named = [finding for finding in outcome.findings if finding.kind == KINDS[defect.kind] and names(finding, defect)]
    assert named, [finding.id for finding in outcome.findings if finding.kind == KINDS[defect.kind]]
    assert all(finding.evidence and finding.remedy.summary for finding in named)
    assert all(finding.remedy.commands and finding.remedy.rollback for finding in named)


def names(finding: Finding, defect: Defect) -> bool:
    text = f"{finding.subject} {finding.title} {finding.detail} {' '.join(finding.remedy.commands)}"
    return all(name in text for name in (defect.where, *defect.objects))


def test_index_advice_stands_on_a_what_if(outcome: Outcome) -> None:
    facts = {row["name"]: row["value"] for row in outcome.tables["facts"].to_pylist()}
    assert (facts["advice_problem"], facts["advice_how"]) == ("", "planner twin")
    indexes = [finding for finding in outcome.findings if finding.kind == "missing_index"]
    assert {finding.subject.partition("(")[0] for finding in indexes} >= {"public.orders", "public.payment_orders"}
    for finding in indexes:
        assert "Tested: planner twin" in finding.detail, finding.detail
        for part in ("Helps ", "Plan before: ", "Plan after: ", "Size ", "WAL of the workload "):
            assert part in finding.detail, (part, finding.detail)


def test_nothing_here_is_critical(outcome: Outcome) -> None:
    assert [finding.id for finding in outcome.findings if finding.severity is Severity.CRITICAL] == []


def test_every_read_is_accounted_for(outcome: Outcome) -> None:
    load = outcome.collected.load
    assert load is not None
    assert load.planned == WINDOW_S * 10
    assert load.sent == outcome.tables["samples"].num_rows == load.answered
    assert (load.failed, load.errors) == (0, {})


def test_the_measurements_have_values_with_evidence(outcome: Outcome) -> None:
    own = {m.metric: m for m in outcome.measurements if not m.labels}
    assert set(own) >= DATABASE.metrics
    assert {name for name in DATABASE.metrics if own[name].value is None} == set()
    assert own["database.query.p95"].n == (WINDOW_S - 0.8) * 10
    assert 0 < (own["database.pool.utilisation"].value or 0) <= 0.1  # one connection of twenty at most


def test_calls_by_statement_are_those_that_were_sent(outcome: Outcome) -> None:
    """Differences over the window: nothing from before it, nothing of ours, no more than was sent."""
    calls = [
        m.value or 0
        for m in outcome.measurements
        if m.metric == "database.statement.calls" and "FROM orders WHERE user_id" in m.labels["statement"]
    ]
    assert len(calls) == 1
    assert outcome.calls * 0.5 < calls[0] <= outcome.calls
    own = [row for row in outcome.tables["statements"].to_pylist() if row["own"]]
    assert own
    assert not any("hasivu-perf" in m.labels.get("statement", "") for m in outcome.measurements)


def test_progress_is_told_about_once_a_second(outcome: Outcome) -> None:
    window = [one for one in outcome.progress if not one.message]  # then the advisor's signs of life
    assert WINDOW_S - 1 <= len(window) <= WINDOW_S + 3
    assert outcome.progress[-1].p95_ms


def test_no_secret_is_in_what_was_stored(outcome: Outcome, running: Platform) -> None:
    assert running.database is not None
    password = running.database.passwords.analysis
    text = outcome.collected.model_dump_json() + "".join(finding.model_dump_json() for finding in outcome.findings)
    text += "".join(str(table.to_pydict()) for table in outcome.tables.values())
    assert password not in text


def test_doctor_finds_everything_in_order(outcome: Outcome, running: Platform) -> None:
    target = Target(database_url=SecretStr(running.database_url), local=True)
    checks = DATABASE.check(outcome.config, target)
    assert [check.name for check in checks if not check.ok] == []
    assert {check.name for check in checks} >= {"connection", "version", "pg_monitor", "pg_stat_statements"}
