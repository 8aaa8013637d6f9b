"""What the figures of the API ask for: failing and slow endpoints, and what all HTTP load shares. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from deployments.config import RunConfig
from storage.records import ComponentId, Finding, Level, Measurement, Remedy, Severity, Threshold
from tasks.components.base import Samples
from tasks.load import advice, figures
from tasks.load.advice import again, of_metric
from tasks.load.plan import judged_phases
from tasks.load.recording import samples
from tasks.load.scenario.advice import journey_findings
from tasks.load.search import without_search

_TOP = 10
_ENOUGH = 20
_HEAVY_SHARE = 0.2


def findings(samples_: Samples, measurements: Sequence[Measurement], config: RunConfig) -> list[Finding]:
    """A dead target, a stopped load, a generator that cannot be trusted, failing and slow endpoints."""
    table = without_search(samples_.tables["samples"])
    return [
        *advice.common(ComponentId.API, table, samples_.collected, measurements, config),
        *journey_findings(measurements, config),
        *_failing(table, measurements, config),
        *_slow(table, measurements, config),
    ]


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
