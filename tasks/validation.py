"""The first steps of a validation as plain functions: open a run, measure a component.

`tasks.stages` makes Prefect tasks of them, and of those of `tasks.judging`.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import datetime

from deployments.config import RunConfig, resolve_target
from deployments.masking import describe, mask, secrets_of
from deployments.parameters import ValidationParams, configure, output_root
from storage.errors import HasivuError, NotMeasuredError, UnknownRunError, UsageError
from storage.parquet import Store
from storage.records import Collected, ComponentId, Manifest, Measurement, RunInfo
from storage.runs import RunFolder
from storage.segments import mark_if_judged
from storage.version import code_version
from tasks import attempts, guard, progress, recovery
from tasks.baseline import baseline_run
from tasks.components import COMPONENTS
from tasks.components.base import CollectContext, Samples
from tasks.results import stored_config


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
            rights = guard.notes_of(unit, config, target)  # before anything else is sent with that login
            collected = _of_target(folder, attempt, unit.collect(context))
            samples = Samples(files.written(), collected)
            measurements = unit.measure(samples, config)
            findings = unit.advise(samples, measurements, config)
            again = (f"measured again: {reason}",) if reason else ()
            collected = collected.model_copy(update={"notes": (*collected.notes, *rights, *again)})
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


def failure_text(error: object) -> str:
    """The one line of a failed stage."""
    return " ".join(str(error).split()) or f"it ended without a word ({type(error).__name__})"
