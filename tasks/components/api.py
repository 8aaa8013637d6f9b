"""The HTTP API under an open-model load of weighted endpoints: latency, errors and throughput, whole and by endpoint.

First a *ramp*, in which the rate grows from 0, and a *warm-up* where one is asked for; then the steady phase: one
rate of users ÷ pace, or the periods of a day. Latency and throughput speak of the steady phase, whole, by endpoint
and by period; the error ratio, (unexpected answers + no answer) ÷ sent, of everything. Every HTTP request that is
sent has a row in `samples`: looking at the address before the load is a TCP (and TLS) connection without a request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from deployments.config import Endpoint, RunConfig, Target
from storage.records import (
    Collected,
    ComponentId,
    Finding,
    Level,
    Measurement,
    Remedy,
    Severity,
    Threshold,
    Window,
)
from tasks.components.base import Check, CollectContext, Progress, Samples
from tasks.load import advice, figures
from tasks.load.advice import again, of_metric
from tasks.load.http_load import SEED, HttpPlan, HttpRun, connections_for, run_http, schedule_stage
from tasks.load.mix import endpoint_plan
from tasks.load.plan import judged_phases, judged_rate, phases_of, speed
from tasks.load.recording import samples
from tasks.load.scenario.advice import journey_findings
from tasks.load.scenario.figures import check_measurements, journey_measurements
from tasks.load.scenario.load import plan_of, run_scenario

_TOP = 10
_ENOUGH = 20
_HEAVY_SHARE = 0.2
_JITTERS = {"poisson": "Poisson arrivals", "uniform": "arrivals jittered evenly", "none": "evenly spaced arrivals"}
_PERCENTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True)
class ApiComponent:
    """See the module."""

    id: ComponentId = ComponentId.API
    title: str = "HTTP API"
    metrics: frozenset[str] = frozenset(
        {"api.latency.p50", "api.latency.p95", "api.latency.p99", "api.errors.ratio", "api.throughput"}
    )

    def collect(self, context: CollectContext) -> Collected:
        """Load the API for the profile's duration; `NotMeasuredError` where its address is missing or has no host.

        A target that refuses every connection is measured all the same: its errors are counted. Where the environment
        names a scenario, its journeys are made in place of the weighted endpoints.
        """
        environment = context.config.environment
        if environment.scenario.file:
            return _collect_scenario(context)
        variable = environment.variables.api_url
        url, address = figures.address_of(context.target.api_url, variable)
        chosen, left_out = allowed(environment.api.endpoints, writes=environment.writes)
        load = environment.load
        plan = HttpPlan(
            url=url,
            variable=variable,
            endpoints=[endpoint_plan(endpoint) for endpoint in chosen],
            values=environment.api.values,
            stages=[schedule_stage(phases_of(load), range(len(chosen)), jitter=load.jitter)],
            load=load,
            timeout_s=environment.api.timeout_s,
            max_connections=connections_for(load.peak_rate),
            headers={name: value.get_secret_value() for name, value in context.target.headers.items()},
            config=context.config,
        )
        run = run_http(plan, _teller(context, plan.duration_s), journals=context.journals)
        context.sink.write("samples", run.table)
        return Collected(
            window=run.window,
            load=run.summary(
                steady=judged_phases(load),
                judged=[phase.name for phase in phases_of(load)],
                rate=judged_rate(load),
                seconds=load.judged_s,
                same_machine=context.target.local,
            ),
            load_plan=_described(context.config, chosen, run),
            fingerprint={"target": address.shown, **run.release},
            notes=_notes(left_out, run),
        )

    def measure(self, samples: Samples, config: RunConfig) -> list[Measurement]:
        """Latency, errors and throughput, then the same by endpoint, and by period of the day."""
        table = samples.tables["samples"]
        judged = judged_phases(config.environment.load)
        return [
            *_figures(table, judged, {}, _why_none(samples)),
            *_by_endpoint(table, judged),
            *(_by_period(table, judged) if config.environment.load.day else ()),
            *(_of_journeys(samples, judged) if "journeys" in samples.tables else ()),
        ]

    def advise(self, samples: Samples, measurements: Sequence[Measurement], config: RunConfig) -> list[Finding]:
        """A dead target, a stopped load, a generator that cannot be trusted, failing and slow endpoints."""
        table = samples.tables["samples"]
        return [
            *advice.common(ComponentId.API, table, samples.collected, measurements, config),
            *journey_findings(measurements, config),
            *_failing(table, measurements, config),
            *_slow(table, measurements, config),
        ]

    def check(self, config: RunConfig, target: Target) -> list[Check]:
        """Name, TCP connection and TLS of the API's address, without any request."""
        seen = figures.look(target.api_url, config.environment.variables.api_url)
        return [Check(f"API {what}", ok, detail, remedy) for what, ok, detail, remedy in seen]


API = ApiComponent()
"""The one instance."""


def _collect_scenario(context: CollectContext) -> Collected:
    environment = context.config.environment
    load = environment.load
    plan = plan_of(context.config, context.target)
    _, address = figures.address_of(context.target.api_url, environment.variables.api_url)
    run = run_scenario(plan, _teller(context, load.duration_s), journals=context.journals)
    for name, table in (("samples", run.table), ("journeys", run.journeys), ("checks", run.checks)):
        context.sink.write(name, table)
    return Collected(
        window=run.window,
        load=run.journey_summary(
            steady=judged_phases(load),
            judged=[phase.name for phase in phases_of(load)],
            rate=judged_rate(load),
            seconds=load.judged_s,
            same_machine=context.target.local,
        ),
        load_plan={**_described(context.config, (), run), "scenario": environment.scenario.file, **run.described},
        fingerprint={"target": address.shown},
        notes=(*run.notes(), *_notes((), run)),
    )


def _of_journeys(samples: Samples, judged: Sequence[str]) -> list[Measurement]:
    return [
        *journey_measurements(samples.tables["journeys"], judged, why_none=_why_none(samples)),
        *check_measurements(samples.tables["checks"], samples.collected.window),
    ]


def allowed(endpoints: Sequence[Endpoint], *, writes: bool) -> tuple[list[Endpoint], list[Endpoint]]:
    """Endpoints that may be asked, and those left out because they would change data."""
    chosen = [endpoint for endpoint in endpoints if writes or not endpoint.writes]
    return chosen, [endpoint for endpoint in endpoints if endpoint not in chosen]


def _teller(context: CollectContext, total_s: float) -> Any:
    """Turn a worker's progress into the component's."""

    def tell(progress: Mapping[str, Any]) -> None:
        context.progress(
            Progress(
                component=ComponentId.API,
                elapsed_s=progress["elapsed_s"],
                total_s=total_s,
                rate=progress["rate"],
                p95_ms=progress["p95_ms"],
                failed=progress["failed"],
            )
        )

    return tell


def _described(config: RunConfig, chosen: Sequence[Endpoint], run: HttpRun) -> dict[str, str]:
    load = config.environment.load
    day = "" if load.day is None else f"{len(load.day.periods)} periods, {speed(load):.0f} times as fast as the clock"
    plan = {
        "model": f"open, {_JITTERS[load.jitter]}",
        "rate": f"{load.rate:g}/s",
        **({"day": day} if day else {}),
        "users": str(load.users),
        "pace_s": f"{load.pace_s:g}",
        "duration_s": f"{load.duration_s:g}",
        "ramp_up_s": f"{load.ramp_up_s:g}",
        **({"warmup_s": f"{load.warmup_s:g}"} if load.warmup_s else {}),
        "endpoints": str(len(chosen)),
        "seed": str(SEED),
        "connections": str(run.facts["connects"]),
        **({"shards": run.shards} if config.environment.scale.shards > 1 else {}),
    }
    return plan if run.stopped is None else plan | {"stopped": run.stopped}


def _notes(left_out: Sequence[Endpoint], run: HttpRun) -> tuple[str, ...]:
    notes = []
    if left_out:
        names = ", ".join(endpoint.name for endpoint in left_out)
        notes.append(f"left out, because this environment forbids writes: {names}")
    if run.stopped is not None:
        notes.append(f"the load was {run.stopped}: the rest of its plan was not sent")
    return tuple(notes)


# --- measure ---


def _why_none(samples: Samples) -> str:
    stopped = samples.collected.load_plan.get("stopped")
    return f"the load was {stopped}, before its steady phase" if stopped else "no request was sent"


def _figures(
    table: pa.Table,
    judged: Sequence[str],
    labels: Mapping[str, str],
    why_none: str,
    within: Window | None = None,
) -> list[Measurement]:
    """`within`: the window of the whole load, where this is a part of it by endpoint."""
    rows = samples.of_phase(table, *judged)
    return [
        *(
            figures.latency(f"api.latency.{name}", rows, q, labels=labels, why_none=why_none)
            for name, q in _PERCENTILES.items()
        ),
        figures.errors("api.errors.ratio", table, labels=labels, why_none=why_none),
        figures.throughput("api.throughput", rows, labels=labels, why_none=why_none, within=within),
    ]


def _by_endpoint(table: pa.Table, judged: Sequence[str]) -> list[Measurement]:
    why_none = "not asked in the steady phase"
    within = samples.window(samples.of_phase(table, *judged))
    return [
        measurement
        for endpoint in samples.endpoints(table)
        for measurement in _figures(
            samples.of_endpoint(table, endpoint), judged, {"endpoint": endpoint}, why_none, within
        )
    ]


def _by_period(table: pa.Table, judged: Sequence[str]) -> list[Measurement]:
    why_none = "no request was due in this period"
    return [
        measurement
        for period in judged
        for measurement in _figures(samples.of_phase(table, period), (period,), {"period": period}, why_none)
    ]


# --- advise ---


def _threshold(config: RunConfig, metric: str) -> Threshold | None:
    return next((threshold for threshold in config.thresholds if threshold.metric == metric), None)


def _failing(table: pa.Table, measurements: Sequence[Measurement], config: RunConfig) -> list[Finding]:
    """Endpoints with unexpected or missing answers; nothing where all are dead (that is one finding of its own)."""
    limit = _threshold(config, "api.errors.ratio")
    if limit is None or not samples.counts(table)["answered"]:
        return []
    found = []
    for endpoint in samples.endpoints(table):
        rows = samples.of_endpoint(table, endpoint)
        ratio = samples.error_ratio(rows) or 0.0
        if not ratio:
            continue
        number = samples.counts(rows)
        severity = Severity.WARNING if ratio > limit.fair else Severity.INFO
        found.append(
            Finding(
                id=f"api.errors:{endpoint}",
                component=ComponentId.API,
                kind="errors",
                subject=endpoint,
                title=f"{endpoint} fails for {ratio:.1%} of its requests",
                detail=f"{number['failed'] + number['errors']} of {number['sent']}: {figures.statuses_text(rows)}.",
                severity=Severity.CRITICAL if ratio > limit.worst else severity,
                impact=Level.HIGH if ratio > limit.fair else Level.MEDIUM,
                effort=Level.MEDIUM,
                evidence=of_metric(measurements, "api.errors.ratio", endpoint=endpoint),
                remedy=Remedy(
                    summary="Look for these statuses in the endpoint's log, correct the cause, then measure again",
                    commands=(again(config, "api"),),
                ),
            )
        )
    return sorted(found, key=lambda finding: -(finding.evidence[0].value or 0.0))


def _slow(table: pa.Table, measurements: Sequence[Measurement], config: RunConfig) -> list[Finding]:
    """Endpoints whose p95 is past the good limit, those that cost callers the most time first."""
    limit = _threshold(config, "api.latency.p95")
    steady = samples.of_phase(table, *judged_phases(config.environment.load))
    total = float(samples.latency_ms(steady).sum())
    if limit is None or total <= 0:
        return []
    found: list[tuple[float, Finding]] = []
    for endpoint in samples.endpoints(steady):
        values = samples.latency_ms(samples.of_endpoint(steady, endpoint))
        p95 = samples.percentile(values, 0.95)
        if p95 is not None and p95 > limit.good:
            share = float(values.sum()) / total
            found.append((share, _slow_one(endpoint, p95, share, len(values), limit, measurements, config)))
    return [finding for _, finding in sorted(found, key=lambda pair: -pair[0])[:_TOP]]


def _slow_one(  # noqa: PLR0917 - one row of figures
    endpoint: str,
    p95: float,
    share: float,
    n: int,
    limit: Threshold,
    measurements: Sequence[Measurement],
    config: RunConfig,
) -> Finding:
    few = n < _ENOUGH
    severity = Severity.INFO if few else Severity.WARNING
    if not few and p95 > limit.poor and share > _HEAVY_SHARE:
        severity = Severity.CRITICAL
    doubt = f" Only {n} answers: look again with a longer load." if few else ""
    return Finding(
        id=f"api.slow:{endpoint}",
        component=ComponentId.API,
        kind="slow",
        subject=endpoint,
        title=f"{endpoint} takes {p95:.0f} ms at p95 (target {limit.good:.0f} ms)",
        detail=f"It takes {share:.0%} of all the time that callers wait, over {n} answers.{doubt}",
        severity=severity,
        impact=Level.HIGH if share > _HEAVY_SHARE else Level.MEDIUM,
        effort=Level.MEDIUM,
        evidence=of_metric(measurements, "api.latency.p95", "api.throughput", endpoint=endpoint),
        remedy=Remedy(
            summary="Look at the statements that it runs, and at what a cache could answer; then measure again",
            commands=(again(config, "database"), again(config, "api")),
        ),
    )
