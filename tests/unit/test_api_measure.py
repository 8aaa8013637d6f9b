"""What the api component makes of samples: figures with evidence, findings with statuses, nothing for nothing."""

from __future__ import annotations

import pyarrow as pa
import pytest

from deployments.config import RunConfig, Target, build_config
from storage.clock import Clock
from storage.errors import NotMeasuredError
from storage.records import Collected, Measurement, Severity, Trust
from tasks.components.api import API, allowed
from tasks.components.base import CollectContext, Samples
from tasks.load.recording import samples
from tasks.load.recording.samples import Recorder

MS = 1_000_000
START = 1_700_000_000_000_000_000


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return build_config("development")


def collected(table: pa.Table, trust: Trust = Trust.TRUSTED, **plan: str) -> Collected:
    window = samples.window(table)
    assert window is not None
    load = samples.summarise(
        table,
        planned=table.num_rows,
        target_rate=10,
        achieved_rate=10,
        trust=trust,
        reasons=("the generator was 9.00 ms late at p99 (limit 1.00 ms)",) if trust is Trust.NOT_TRUSTED else (),
    )
    return Collected(window=window, load=load, load_plan=plan, fingerprint={"target": "http://api.test"})


def mixed() -> pa.Table:
    """100 ramp and 1000 steady requests: GET /a takes 20 ms, GET /slow 800 ms; GET /bad answers 500 or nothing."""
    recorder = Recorder(["GET /a", "GET /slow", "GET /bad"], ["ramp", "steady"])
    for n in range(1100):
        at = n * 10 * MS
        endpoint = {0: 2, 1: 1}.get(n % 10, 0)
        latency = 800 if endpoint == 1 else 20
        error = "timeout" if endpoint == 2 and n % 20 == 0 else None
        status = 0 if error else (500 if endpoint == 2 else 200)
        times = (at, at, at, at + latency * MS)
        recorder.add(times, endpoint, int(n >= 100), status=status, error=error, failed=status == 500)
    return recorder.table(Clock(START))


def of(measurements: list[Measurement], metric: str, endpoint: str | None = None) -> Measurement:
    labels = {} if endpoint is None else {"endpoint": endpoint}
    return next(m for m in measurements if m.metric == metric and dict(m.labels) == labels)


def test_figures_speak_of_the_steady_phase_and_errors_of_all(config: RunConfig) -> None:
    table = mixed()
    found = API.measure(Samples({"samples": table}, collected(table)), config)
    assert {m.metric for m in found if not m.labels} == API.metrics
    # 1,000 steady: 800 of 20 ms, 100 of 800 ms, 100 bad ones of which 50 have no answer: 950 answers.
    p95 = of(found, "api.latency.p95")
    assert (p95.value, p95.n) == (800.0, 950)
    assert of(found, "api.latency.p50").value == 20.0
    assert p95.interval == (800.0, 800.0)
    assert "50 of 1000 requests without an answer are not in it" in p95.note
    errors = of(found, "api.errors.ratio")
    assert (errors.value, errors.n) == (0.1, 1100)
    assert of(found, "api.errors.ratio", "GET /bad").value == 1.0
    assert of(found, "api.latency.p95", "GET /a").value == 20.0
    # 900 good answers from the first intended moment (1.0 s) to the last end (11.71 s of request 1091).
    assert of(found, "api.throughput").value == pytest.approx(900 / 10.71)
    assert of(found, "api.throughput", "GET /slow").value == pytest.approx(100 / 10.71)


def test_failing_and_slow_endpoints_become_findings(config: RunConfig) -> None:
    table = mixed()
    taken = Samples({"samples": table}, collected(table))
    found = API.advise(taken, API.measure(taken, config), config)
    assert [finding.id for finding in found] == ["api.errors:GET /bad", "api.slow:GET /slow"]
    bad, slow = found
    assert bad.severity is Severity.CRITICAL
    assert bad.detail == "110 of 110: 55 × status 500, 55 × timeout."
    assert slow.severity is Severity.WARNING
    assert slow.title == "GET /slow takes 800 ms at p95 (target 200 ms)"
    # 100 · 800 of (800 · 20 + 100 · 800 + 50 · 20) ms
    assert "82% of all the time" in slow.detail
    assert all(finding.evidence and finding.remedy.commands for finding in found)


def test_a_dead_target_is_measured_as_such(config: RunConfig) -> None:
    recorder = Recorder(["GET /a"], ["steady"])
    for n in range(600):
        recorder.add((n * MS,) * 4, 0, 0, error="connect")
    table = recorder.table(Clock(START))
    taken = Samples({"samples": table}, collected(table))
    found = API.measure(taken, config)
    p95 = of(found, "api.latency.p95")
    assert p95.value is None
    assert p95.note == "no data: 600 of 600 requests got no answer (600 connect)"
    assert of(found, "api.errors.ratio").value == 1.0
    findings = API.advise(taken, found, config)
    assert [(finding.id, finding.severity) for finding in findings] == [("api.unreachable:target", Severity.CRITICAL)]


def test_a_load_that_was_stopped_in_its_ramp_has_no_latency_and_says_why(config: RunConfig) -> None:
    recorder = Recorder(["GET /a"], ["ramp"])
    recorder.add((0, 0, 0, MS), 0, 0, status=503, failed=True)
    table = recorder.table(Clock(START))
    taken = Samples({"samples": table}, collected(table, stopped="stopped after 5 s with 100% of requests failing"))
    found = API.measure(taken, config)
    assert "before its steady phase" in of(found, "api.latency.p95").note
    assert of(found, "api.errors.ratio").value == 1.0
    assert "api.stopped:load" in {finding.id for finding in API.advise(taken, found, config)}


def test_an_untrusted_generator_is_a_finding_with_its_reason(config: RunConfig) -> None:
    recorder = Recorder(["GET /a"], ["steady"])
    recorder.add((0, 0, 0, MS), 0, 0, status=200)
    table = recorder.table(Clock(START))
    taken = Samples({"samples": table}, collected(table, Trust.NOT_TRUSTED))
    (finding,) = API.advise(taken, API.measure(taken, config), config)
    assert finding.id == "api.generator:trust"
    assert "9.00 ms late" in finding.detail


def test_writes_are_left_out_where_they_are_forbidden(config: RunConfig) -> None:
    endpoints = config.environment.api.endpoints
    chosen, left = allowed(endpoints, writes=False)
    assert left
    assert all(endpoint.writes for endpoint in left)
    assert len(chosen) + len(left) == len(endpoints)
    assert allowed(endpoints, writes=True)[1] == []


class NoSink:
    def write(self, name: str, table: pa.Table) -> None:
        raise AssertionError(name)


def test_without_an_address_it_is_not_measured(config: RunConfig) -> None:
    with pytest.raises(NotMeasuredError, match="DEVELOPMENT_API_URL is not set"):
        API.collect(CollectContext(config, Target(), NoSink()))
    (check,) = API.check(config, Target())
    assert not check.ok
    assert check.remedy == "correct DEVELOPMENT_API_URL"
