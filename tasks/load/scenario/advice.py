"""What a failing journey asks for. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from deployments.config import RunConfig
from storage.records import ComponentId, Finding, Level, Measurement, Remedy, Severity
from tasks.load.advice import again
from tasks.load.scenario.figures import SEPARATOR

_MANY = 0.01


def journey_findings(
    measurements: Sequence[Measurement], config: RunConfig, *, component: ComponentId = ComponentId.API
) -> list[Finding]:
    """One for each journey that fails, the worst first; critical where all of it fails, since it measured nothing."""
    metric = f"{component.value}.journey.errors"
    failing = [
        one
        for one in measurements
        if one.metric == metric and one.value and SEPARATOR not in one.labels.get("journey", SEPARATOR)
    ]
    return [
        _finding(one, one.value or 0.0, config, component)
        for one in sorted(failing, key=lambda one: -(one.value or 0.0))
    ]


def _finding(one: Measurement, share: float, config: RunConfig, component: ComponentId) -> Finding:
    name = one.labels["journey"]
    whole = share >= 1
    severity = Severity.WARNING if share > _MANY else Severity.INFO
    return Finding(
        id=f"{component.value}.journey:{name}",
        component=component,
        kind="errors",
        subject=name,
        title=f"Every journey {name} fails" if whole else f"{share:.1%} of the journeys {name} fail",
        detail=f"Of {one.n}: {one.note}.",
        severity=Severity.CRITICAL if whole else severity,
        impact=Level.HIGH if share > _MANY else Level.MEDIUM,
        effort=Level.MEDIUM,
        evidence=(one,),
        remedy=Remedy(
            summary="The notes of the component name exceptions and their lines: correct the scenario or the target",
            commands=(again(config, component.value),),
        ),
    )
