"""`hasivu-perf doctor`: what is there and what is missing, without any load."""

from __future__ import annotations

import os

from deployments.config import (
    NEEDS,
    RunConfig,
    Target,
    header_variables,
    missing_variables,
    needs_platform,
    resolve_target,
)
from deployments.masking import mask, secrets_of
from flows.host import hosted
from storage.errors import ConfigurationError, ExitCode, HasivuError
from storage.records import ComponentId
from tasks import guard
from tasks.components import COMPONENTS
from tasks.components.base import Check
from tasks.monitoring.live import to_terminal


def examine(config: RunConfig) -> ExitCode:
    """Print one line per variable, address and right; exit code 3 where something is missing."""
    try:
        embedded = needs_platform(config)
    except ConfigurationError:
        return _show(config, _variables(config) + _reachable(config))
    if not embedded:
        return _show(config, _variables(config) + _reachable(config))
    with hosted(config, lambda _: None, prefect=False):
        return _show(config, _variables(config) + _reachable(config))


def _variables(config: RunConfig) -> list[Check]:
    names = config.environment.variables
    missing = set(missing_variables(config))
    wanted = sorted({getattr(names, need) for component in config.components for need in NEEDS[component]})
    if ComponentId.LAMBDA in config.components:
        wanted.append("AWS_REGION")
    wanted += sorted(header_variables(config))
    return [
        Check(name, name not in missing, "set" if name not in missing else "not set", f"export {name}=…")
        for name in wanted
    ]


def _reachable(config: RunConfig) -> list[Check]:
    missing = set(missing_variables(config))
    checks: list[Check] = []
    for component in config.components:
        needs = {getattr(config.environment.variables, need) for need in NEEDS[component]}
        needs |= {"AWS_REGION"} if component is ComponentId.LAMBDA else set()
        if needs & missing:
            checks.append(
                Check(component, ok=False, detail=f"not looked at: {', '.join(needs & missing)} is missing")
            )
        else:
            checks.extend(_component(config, component))
    return checks


def _component(config: RunConfig, component: ComponentId) -> list[Check]:
    alone = config.model_copy(update={"components": (component,)})
    target: Target = resolve_target(alone)
    try:
        unit = COMPONENTS[component]
        return [*unit.check(config, target), *guard.checks(unit, config, target)]
    except HasivuError as error:
        return [Check(component, ok=False, detail=mask(str(error), secrets_of(target)))]


def _show(config: RunConfig, checks: list[Check]) -> ExitCode:
    secrets = secrets_of(resolve_target(config.model_copy(update={"components": ()})), os.environ)
    width = max(len(check.name) for check in checks)
    lines = [f"{config.environment.title}: what is there and what is missing"]
    for check in checks:
        line = f"  {'ok     ' if check.ok else 'MISSING'}  {check.name:<{width}}  {check.detail}"
        lines.append(line + (f"  → {check.remedy}" if check.remedy and not check.ok else ""))
    bad = sum(not check.ok for check in checks)
    lines.append("nothing is missing" if not bad else f"{bad} of {len(checks)} are missing")
    to_terminal(mask("\n".join(lines), secrets))
    return ExitCode.INCOMPLETE if bad else ExitCode.PASS
