"""Findings that components with HTTP load share: a dead target, a stopped load, refusals, a poor generator."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from deployments.config import RunConfig
from storage.records import Collected, ComponentId, Finding, Level, Measurement, Remedy, Severity, Trust
from tasks.load import figures
from tasks.load.recording import samples

_TITLES = {ComponentId.API: "API", ComponentId.RFID: "RFID service"}


def again(config: RunConfig, component: str) -> str:
    """The command that measures a component again."""
    local = " --local" if config.local else ""
    return f"hasivu-perf {component} {config.environment.name}{local}"


def of_metric(
    measurements: Sequence[Measurement], *metrics: str, endpoint: str | None = None
) -> tuple[Measurement, ...]:
    """The component's own figures of some metrics, or those of one endpoint."""
    labels = {} if endpoint is None else {"endpoint": endpoint}
    return tuple(m for metric in metrics for m in measurements if m.metric == metric and dict(m.labels) == labels)


def common(
    component: ComponentId,
    table: pa.Table,
    collected: Collected,
    measurements: Sequence[Measurement],
    config: RunConfig,
) -> list[Finding]:
    """The shared findings that hold."""
    found = (
        _unreachable(component, table, collected, measurements, config),
        _stopped(component, collected, measurements, config),
        _limited(component, table, measurements, config),
        _untrusted(component, collected, config),
    )
    return [finding for finding in found if finding is not None]


def _unreachable(
    component: ComponentId,
    table: pa.Table,
    collected: Collected,
    measurements: Sequence[Measurement],
    config: RunConfig,
) -> Finding | None:
    number = samples.counts(table)
    if not number["sent"] or number["answered"]:
        return None
    target = collected.fingerprint.get("target", "the target")
    return Finding(
        id=f"{component}.unreachable:target",
        component=component,
        kind="unreachable",
        subject=target,
        title=f"The {_TITLES[component]} answered no request",
        detail=f"{target}: {figures.no_data(table)}.",
        severity=Severity.CRITICAL,
        impact=Level.HIGH,
        effort=Level.LOW,
        evidence=of_metric(measurements, f"{component}.errors.ratio"),
        remedy=Remedy(
            summary=f"Start the service, or correct {config.environment.variables.api_url}; then look again",
            commands=(f"hasivu-perf doctor {config.environment.name}", again(config, component)),
        ),
    )


def _stopped(
    component: ComponentId, collected: Collected, measurements: Sequence[Measurement], config: RunConfig
) -> Finding | None:
    stopped, load = collected.load_plan.get("stopped"), collected.load
    if stopped is None or load is None:
        return None
    return Finding(
        id=f"{component}.stopped:load",
        component=component,
        kind="stopped",
        subject="load",
        title=f"The load was stopped to protect the {_TITLES[component]}",
        detail=f"It was {stopped}; {load.unsent} of {load.planned} requests were not sent.",
        severity=Severity.CRITICAL,
        impact=Level.HIGH,
        effort=Level.MEDIUM,
        evidence=of_metric(measurements, f"{component}.errors.ratio", f"{component}.latency.p95"),
        remedy=Remedy(
            summary="Find out what broke at this rate (see the failing and slow endpoints), then measure again",
            commands=(again(config, component),),
        ),
    )


def _limited(
    component: ComponentId, table: pa.Table, measurements: Sequence[Measurement], config: RunConfig
) -> Finding | None:
    refused = figures.refused(table)
    if not refused:
        return None
    return Finding(
        id=f"{component}.limited:load",
        component=component,
        kind="limited",
        subject="load",
        title=f"The {_TITLES[component]} refused {refused} requests as too many",
        detail=f"{refused} of {table.num_rows} requests got status 429: errors, but no failures of the service.",
        severity=Severity.WARNING,
        impact=Level.MEDIUM,
        effort=Level.LOW,
        evidence=of_metric(measurements, f"{component}.errors.ratio"),
        remedy=Remedy(
            summary="Raise the target's limit for the generator's address, or have fewer users; then measure again",
            commands=(again(config, component),),
        ),
    )


def _untrusted(component: ComponentId, collected: Collected, config: RunConfig) -> Finding | None:
    if collected.load is None or collected.load.trust is not Trust.NOT_TRUSTED:
        return None
    return Finding(
        id=f"{component}.generator:trust",
        component=component,
        kind="generator",
        subject="load generator",
        title=f"Figures of the {_TITLES[component]} cannot be trusted: the load generator was not up to it",
        detail="; ".join(collected.load.reasons) + ".",
        severity=Severity.WARNING,
        impact=Level.MEDIUM,
        effort=Level.LOW,
        remedy=Remedy(
            summary="Measure again from a machine that is idle and not the target's",
            commands=(again(config, component),),
        ),
    )
