"""What a run left in its folder: its configuration, its manifests, and the result of each component."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from deployments.config import RunConfig
from storage.errors import DamagedFileError
from storage.records import (
    ComponentId,
    ComponentResult,
    FailedComponent,
    Manifest,
    MeasuredComponent,
    SkippedComponent,
)
from storage.runs import RunFolder
from tasks.components import COMPONENTS
from tasks.components.base import Samples


def stored_config(folder: RunFolder) -> RunConfig:
    """The configuration that a run was opened with."""
    _, data = folder.opened()
    try:
        return RunConfig.model_validate(data)
    except ValidationError as error:
        raise DamagedFileError(f"run {folder.run}: its configuration is not readable: {error}") from error


def stored_manifests(folder: RunFolder) -> dict[str, Manifest]:
    """The manifests that lie in a run's folder, by component."""
    found = {component.value: folder.component(component).manifest() for component in ComponentId}
    return {component: manifest for component, manifest in found.items() if manifest}


def whole_manifest(folder: RunFolder, component: ComponentId) -> Manifest | None:
    """What the folder holds of a component where it is complete and undamaged: no need to measure it again."""
    try:
        manifest = folder.component(component).manifest()
        if manifest is None or manifest.missing:
            return None
        folder.component(component).verify(manifest)
    except DamagedFileError:
        return None
    return manifest


def damage(folder: RunFolder, manifest: Manifest) -> str:
    """Why a manifest can no longer be relied on (a file of it is missing or altered); empty where it can."""
    try:
        folder.component(manifest.component).verify(manifest)
    except DamagedFileError as error:
        return str(error)
    return ""


def attempts_before(folder: RunFolder, flow_run: str | None) -> int:
    """The highest attempt that another flow run than this one left in a run's folder, 0 in a new one."""
    goes = folder.attempts()
    own = {attempt.number for attempt in goes if flow_run and attempt.flow_run == flow_run}
    left = {manifest.attempt for manifest in stored_manifests(folder).values()}
    return max((left | {attempt.number for attempt in goes}) - own, default=0)


def results_of(
    folder: RunFolder,
    config: RunConfig,
    manifests: Mapping[str, Manifest],
    failures: Mapping[str, str],
    attempt: int = 1,
) -> list[ComponentResult]:
    """One result per component of the platform: measured, failed, or skipped with the reason.

    Only what has a manifest counts as measured, and only where every file is what the manifest says.
    """
    results: list[ComponentResult] = []
    for component in ComponentId:
        skipped = _skipped(config, component)
        if skipped:
            results.append(skipped)
        elif component in manifests:
            results.append(_measured(folder, manifests[component], attempt))
        else:
            error = failures.get(component, "the run ended before it was measured")
            results.append(FailedComponent(component=component, error=error, attempt=max(attempt, 1)))
    return results


def _skipped(config: RunConfig, component: ComponentId) -> SkippedComponent | None:
    if component not in config.environment.components:
        reason = f"switched off in the environment {config.environment.name}"
        return SkippedComponent(component=component, reason=reason, switched_off=True)
    if component not in config.components:
        return SkippedComponent(component=component, reason="not asked for in this run")
    return None


def _measured(folder: RunFolder, manifest: Manifest, attempt: int) -> ComponentResult:
    files = folder.component(manifest.component)
    attempt = max(attempt, 1)
    if manifest.run != folder.run:
        stale = f"stale: its manifest is that of run {manifest.run}, not of {folder.run}"
        return FailedComponent(component=manifest.component, error=stale, attempt=attempt)
    try:
        files.verify(manifest)
        return files.result(manifest)
    except DamagedFileError as error:
        return FailedComponent(component=manifest.component, error=str(error), attempt=attempt)


def reanalyse(folder: RunFolder, config: RunConfig, results: Sequence[ComponentResult]) -> list[ComponentResult]:
    """Measure and advise again from the stored samples, without touching the environment."""
    return [_again(folder, config, one) if isinstance(one, MeasuredComponent) else one for one in results]


def _again(folder: RunFolder, config: RunConfig, result: MeasuredComponent) -> MeasuredComponent:
    files = folder.component(result.component)
    manifest = files.manifest()
    if manifest is None:
        raise DamagedFileError(f"run {folder.run}: the manifest of {result.component} is missing")
    unit = COMPONENTS[result.component]
    samples = Samples(files.tables(manifest), manifest.collected)
    measurements = unit.measure(samples, config)
    findings = unit.advise(samples, measurements, config)
    return result.model_copy(update={"measurements": tuple(measurements), "findings": tuple(findings)})
