"""Holds what a run measured against its limits: at its end, when it was interrupted, and again from disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from deployments.config import RunConfig, load_gate, load_thresholds
from deployments.gates import load_waivers
from storage.errors import DamagedFileError, StorageError
from storage.records import (
    Attempt,
    ComponentId,
    ComponentResult,
    EarlierRun,
    FailedComponent,
    Manifest,
    MeasuredComponent,
    Report,
    RunInfo,
)
from storage.runs import RunFolder
from tasks import attempts, ledger, recovery
from tasks.comparing import against_baseline
from tasks.history import over_history
from tasks.report.build import build
from tasks.results import reanalyse, results_of, stored_config, stored_manifests
from tasks.runs_index import earlier_runs
from tasks.selftest.check import with_self_test
from tasks.selftest.records import SelfTest
from tasks.selftest.run import Bench, self_test
from tasks.timelines import timelines


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
        notes=(*([_todays(info)] if today else []), *found.notes, *seen.notes, *recovery.notes(folder), *problems),
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
