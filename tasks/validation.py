"""The steps of a validation as plain functions: open, measure a component, judge, publish.

`tasks.stages` makes Prefect tasks of them; `hasivu-perf report RUN` calls them on what is stored.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from pydantic import ValidationError

from deployments.config import RunConfig, load_gate, load_thresholds, resolve_target
from deployments.gates import load_waivers
from deployments.masking import describe, mask, secrets_of
from deployments.parameters import ValidationParams, configure, output_root
from storage.errors import (
    DamagedFileError,
    HasivuError,
    NotMeasuredError,
    StorageError,
    UnknownRunError,
    UsageError,
)
from storage.parquet import Store
from storage.records import (
    Attempt,
    Collected,
    ComponentId,
    ComponentResult,
    EarlierRun,
    FailedComponent,
    Manifest,
    MeasuredComponent,
    Measurement,
    Report,
    RunInfo,
    SkippedComponent,
)
from storage.runs import RunFolder
from storage.segments import mark_if_judged
from storage.version import code_version
from tasks import attempts, ledger, progress, recovery
from tasks.baseline import baseline_run
from tasks.comparing import against_baseline
from tasks.components import COMPONENTS
from tasks.components.base import CollectContext, Samples
from tasks.history import over_history
from tasks.report.build import build
from tasks.runs_index import earlier_runs
from tasks.selftest.check import with_self_test
from tasks.selftest.records import SelfTest
from tasks.selftest.run import Bench, self_test
from tasks.timelines import timelines


def open_run(params: ValidationParams, run: str, started: datetime, flow_run: str | None = None) -> RunFolder:
    """Validate the configuration and the variables, then claim the run's folder.

    A folder that this very flow run claimed before, perhaps on another machine, is its own; with `params.again` the
    folder of an earlier run is opened instead.
    """
    config = configure(params)
    resolve_target(config)
    folder = RunFolder(Store(output_root(params)), config.environment.name, run)
    if params.again:
        return _finished(folder)
    if flow_run and folder.opened_already() and folder.opened()[0].flow_run == flow_run:
        return folder
    info = RunInfo(
        run=run,
        environment=config.environment.name,
        profile=config.profile,
        release=params.release,
        started=started,
        local=config.local,
        flow_run=flow_run,
        commit=params.commit,
        baseline=baseline_run(folder.store, config.environment.name, asked=params.baseline, release=params.release),
        code_version=code_version(),
        machine=machine(),
        settings=settings_of(config),
    )
    folder.create(info, config.model_dump(mode="json"))
    return folder


def _finished(folder: RunFolder) -> RunFolder:
    """The folder of a run that has ended: only there can something be measured again by another flow run."""
    if not folder.opened_already():
        raise UnknownRunError(f"no run {folder.run!r} of {folder.environment} under {folder.store.root}")
    if not folder.store.exists(folder.orchestration("report.json")):
        raise UsageError(f"run {folder.run} has no report yet: wait for it, or retry its flow run")
    return folder


def machine() -> dict[str, str]:
    """What the generator runs on, for the report's method section."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    return {
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "cores": str(os.cpu_count()),
        "memory_mb": str(memory),
    }


def settings_of(config: RunConfig) -> dict[str, str]:
    """The load profile and the overrides, as the report shows them."""
    load = config.environment.load
    return {
        "components": ",".join(config.components),
        "users": str(load.users),
        "duration_s": f"{load.duration_s:g}",
        "ramp_up_s": f"{load.ramp_up_s:g}",
        "pace_s": f"{load.pace_s:g}",
        "max_rate": f"{load.max_rate:g}",
        **{f"set {field}": value for field, value in config.overrides.items()},
    }


def stored_config(folder: RunFolder) -> RunConfig:
    """The configuration that a run was opened with."""
    _, data = folder.opened()
    try:
        return RunConfig.model_validate(data)
    except ValidationError as error:
        raise DamagedFileError(f"run {folder.run}: its configuration is not readable: {error}") from error


def measure_component(folder: RunFolder, component: ComponentId, attempt: int, reason: str = "") -> Manifest:
    """Collect one component from the real system, store it, measure, advise, and seal it with a manifest.

    `reason` says why a component is measured again; it stays with the manifest. Raises `NotMeasuredError` in one
    line without secrets, whatever went wrong.
    """
    config = stored_config(folder)
    target = resolve_target(config)
    files = folder.component(component)
    mark_if_judged(folder)  # history reads it from its folder from now on
    files.begin()
    unit = COMPONENTS[component]
    with recovery.journals(files, attempt) as journals:
        try:
            context = CollectContext(config, target, files, progress.tell, journals)
            collected = _of_target(folder, attempt, unit.collect(context))
            samples = Samples(files.written(), collected)
            measurements = unit.measure(samples, config)
            findings = unit.advise(samples, measurements, config)
            if reason:
                collected = collected.model_copy(update={"notes": (*collected.notes, f"measured again: {reason}")})
        except HasivuError as error:
            raise NotMeasuredError(mask(str(error), secrets_of(target))) from None
        except Exception as error:  # noqa: BLE001 - the one place where any error becomes "not measured": the others go on
            raise NotMeasuredError(describe(error, secrets_of(target))) from None
        missing = _missing(measurements, config)
        return files.finish(
            collected, measurements, findings, attempt=attempt, code_version=code_version(), missing=missing
        )


def _of_target(folder: RunFolder, attempt: int, collected: Collected) -> Collected:
    """What was collected, its fingerprint completed by what the target said of itself when the attempt began."""
    known = attempts.numbered(folder, attempt)
    identity = known.identity if known else {}
    return collected.model_copy(update={"fingerprint": {**collected.fingerprint, **identity}})


def _missing(measurements: Sequence[Measurement], config: RunConfig) -> list[str]:
    """Metrics that weigh in the score and could not be measured, each with the reason.

    Where nothing happened that could be measured, a retry would not see more: that is no reason for one.
    """
    weighing = {threshold.metric for threshold in config.thresholds if threshold.weight > 0}
    return [
        f"{one.metric}: {one.note}"
        for one in measurements
        if not one.labels and one.value is None and not one.idle and one.metric in weighing
    ]


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


def judge(
    folder: RunFolder, manifests: Mapping[str, Manifest], failures: Mapping[str, str], attempt: int = 1
) -> Report:
    """Hold what was measured against the run's own thresholds.

    A component that failed because some of its metrics have no value is shown with those that it has.
    """
    info, _ = folder.opened()
    config = stored_config(folder)
    left = {component: folder.component(ComponentId(component)).manifest() for component in failures}
    incomplete = {component: manifest for component, manifest in left.items() if manifest and manifest.missing}
    results = results_of(folder, config, {**incomplete, **manifests}, failures, attempt)
    report = self_tested(folder, config, _report(folder, info, config, results, attempts.judged(folder)))
    ledger.keep(folder, report.verifications)
    return report


def self_tested(folder: RunFolder, config: RunConfig, report: Report) -> Report:
    """The report with one check more where the gate's profile asks for it: that it blocks damaged copies.

    A gate that lets one pass, or would not notice a broken rule, is no data: nobody knows what it is worth.
    """
    if not config.gate.self_test:
        return report
    try:
        outcome = gate_self_test(folder, config)
    except StorageError as error:
        outcome = SelfTest(run=folder.run, control=f"it could not be run: {error}", tried=(), caught=())
    return report.model_copy(update={"gate": with_self_test(report, outcome)})


def gate_self_test(folder: RunFolder, config: RunConfig) -> SelfTest:
    """Damage copies of a stored run in every known way; nothing of the run itself is changed."""

    def read(one: RunFolder) -> list[ComponentResult]:
        return results_of(one, config, stored_manifests(one), {})

    return self_test(Bench(folder, config, read(folder), read))


def _report(
    folder: RunFolder,
    info: RunInfo,
    config: RunConfig,
    results: Sequence[ComponentResult],
    goes: Sequence[Attempt],
    *,
    today: bool = False,
) -> Report:
    """Put the report together, held against the run's baseline where it has one."""
    measured = [one for result in results if isinstance(result, MeasuredComponent) for one in result.measurements]
    found = against_baseline(folder, info, config, results)
    seen = over_history(folder, info, config, results)
    runs_before = earlier_runs(folder.store, info)
    problems: list[str] = []
    known = ledger.ledger(folder.store, folder.environment, before=info.started, problems=problems)
    verifications = ledger.verify(folder, info, measured, known, problems)
    return build(
        info,
        results,
        config.thresholds,
        config.weights,
        (*seen.regressions, *found.regressions),
        compared=max(seen.compared, found.compared),
        attempts=goes,
        notes=(
            *([_todays(info)] if today else []),
            *found.notes,
            *seen.notes,
            *recovery.notes(folder),
            *problems,
        ),
        indicative=config.environment.indicative or config.local,
        timelines=timelines(folder, config, results),
        earlier=runs_before,
        policy=config.gate,
        waivers=config.waivers,
        on=datetime.now(UTC).date() if today else None,
        ledger=known,
        verifications=verifications,
        previous=_previous(folder, info, runs_before),
    )


def _previous(folder: RunFolder, info: RunInfo, earlier: Sequence[EarlierRun]) -> Report | None:
    """The report of the baseline, or of the last run that is like this one, where it can still be read."""
    run = info.baseline or (earlier[-1].run if earlier else None)
    if run is None:
        return None
    try:
        return RunFolder(folder.store, folder.environment, run).report()
    except DamagedFileError:
        return None  # retention took it, or it is damaged, which its own commands say: hints do without it


def interrupted(folder: RunFolder, why: str, attempt: int = 1) -> Report:
    """The report of what was measured before a run was stopped; the rest is not measured, for the reason `why`."""
    manifests = stored_manifests(folder)
    whole = {component: manifest for component, manifest in manifests.items() if not manifest.missing}
    failures = {c.value: why for c in stored_config(folder).components if c not in whole}
    return judge(folder, whole, failures, attempt)


def stored_manifests(folder: RunFolder) -> dict[str, Manifest]:
    """The manifests that lie in a run's folder, by component."""
    found = {component.value: folder.component(component).manifest() for component in ComponentId}
    return {component: manifest for component, manifest in found.items() if manifest}


def rejudge(folder: RunFolder, *, today: bool = False) -> Report:
    """The report of a stored run made again from its samples, without touching the environment.

    What the first report holds as failed stays failed, with its reason. A run is judged by the limits, weights, gate
    and waivers that it was opened with; with `today` by those of this day, and the report says so.
    """
    info, _ = folder.opened()
    config = stored_config(folder)
    if today:
        config = _by_todays_limits(config)
    first = folder.report() if folder.store.exists(folder.orchestration("report.json")) else None
    failed = [one for one in first.components if isinstance(one, FailedComponent)] if first else []
    manifests = stored_manifests(folder)
    for one in failed:
        manifests.pop(one.component, None)
    attempt = max((one.attempt for one in failed), default=1)
    results = results_of(folder, config, manifests, {one.component.value: one.error for one in failed}, attempt)
    made = _report(folder, info, config, reanalyse(folder, config, results), folder.attempts(), today=today)
    made = self_tested(folder, config, made)
    return made.model_copy(update={"judged_by": datetime.now(UTC).date()}) if today else made


def _by_todays_limits(config: RunConfig) -> RunConfig:
    """The run's configuration with the limits, weights, gate and waivers that hold now."""
    name = config.environment.name
    thresholds, weights = load_thresholds(name)
    now = {"thresholds": thresholds, "weights": weights, "gate": load_gate(name), "waivers": load_waivers(name)}
    return config.model_copy(update=now)


def _todays(info: RunInfo) -> str:
    return (
        f"Judged by the limits of {datetime.now(UTC):%Y-%m-%d}, not by those of the run, which was opened on"
        f" {info.started:%Y-%m-%d}: score and gate may differ from its own report"
    )


def failure_text(error: object) -> str:
    """The one line of a failed stage."""
    return " ".join(str(error).split()) or f"it ended without a word ({type(error).__name__})"
