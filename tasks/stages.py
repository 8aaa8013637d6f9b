"""Every Prefect task of the pipeline: names, persistence and retries around the plain functions of a validation.

A stage's result is small JSON and is found again on a retry by its inputs, its source and the flow run
(docs/adr/0003-results-and-retry.md): so nothing that changes between attempts may be an input, and a failure must
be raised, never returned. What counts is the run's folder (docs/adr/0006-what-a-retry-trusts.md): a component that
lies there whole is not measured again, one that is damaged is.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import INPUTS, RUN_ID, TASK_SOURCE
from prefect.context import FlowRunContext
from prefect.runtime import deployment, flow_run

from deployments.config import resolve_target
from deployments.parameters import ValidationParams
from storage.artifacts import publish_artifacts, report_link
from storage.clock import Clock, current_clock
from storage.errors import HasivuError, NotMeasuredError
from storage.parquet import Store
from storage.records import ComponentId, Manifest, Report
from storage.runs import RunFolder, named_run
from tasks import attempts, judging, results, validation
from tasks.history import keep_up
from tasks.monitoring.notify import announce
from tasks.printing import browser, print_executive
from tasks.publish import artifact_pages, gate_rows, publish_files, publish_report, verdict_row, write_report

_POLICY = INPUTS + TASK_SOURCE + RUN_ID


def attempt_number(run: dict[str, str]) -> int:
    """Which attempt at this run's folder this is, from 1: those before this flow run, and its own starts."""
    return int(run["attempts_before"]) + int(flow_run.run_count or 1)


def _folder(run: dict[str, str]) -> RunFolder:
    return RunFolder(Store(run["output"]), run["environment"], run["run"])


@task(name="open", task_run_name="open", persist_result=True, result_serializer="json", cache_policy=_POLICY)
def open_stage(params: dict[str, Any]) -> dict[str, str]:
    """Validate what is asked, claim the run's folder, and say where it is."""
    wanted = ValidationParams.model_validate(params)
    started = current_clock().now()
    name = wanted.run or _name(started)
    folder = validation.open_run(wanted, name, started, _flow_run())
    before = results.attempts_before(folder, _flow_run()) if wanted.again else 0
    return {
        "output": folder.store.root,
        "environment": folder.environment,
        "run": folder.run,
        "attempts_before": str(before),
    }


def _flow_run() -> str | None:
    return str(flow_run.id) if flow_run.id else None


def _name(started: datetime) -> str:
    """The same for every attempt of a flow run on every machine, so that a retry finds the folder again."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return named_run(started, str(flow_run.id))
    return named_run(context.flow_run.expected_start_time or started, str(context.flow_run.id))


def begin_attempt(run: dict[str, str], opened: datetime, waited_s: float) -> None:
    """Note when this attempt began and which target it finds; part of no stage, for it belongs to every attempt."""
    folder = _folder(run)
    config = results.stored_config(folder)
    number = attempt_number(run)
    target = resolve_target(config)
    attempts.begin(folder, config, target, number, opened=opened, waited_s=waited_s, flow_run=_flow_run())


def end_attempt(run: dict[str, str], clock: Clock) -> None:
    """Note which target is there after measuring."""
    folder = _folder(run)
    config = results.stored_config(folder)
    attempts.end(folder, config, resolve_target(config), attempt_number(run), clock)


@task(name="component", persist_result=True, result_serializer="json", cache_policy=_POLICY)
def component_stage(component: str, run: dict[str, str], again: str = "") -> dict[str, Any]:
    """Measure one component; its manifest is the result. Fails where it could not be measured, or not all of it.

    A component that lies whole in the run's folder is not measured again, unless `again` says why it should and this
    flow run has not done so yet.
    """
    folder = _folder(run)
    kept = results.whole_manifest(folder, ComponentId(component))
    if kept is not None and again and kept.attempt <= int(run["attempts_before"]):
        kept = None
    manifest = kept or validation.measure_component(folder, ComponentId(component), attempt_number(run), again)
    if manifest.missing:
        raise NotMeasuredError(f"not all of it could be measured: {'; '.join(manifest.missing)}")
    return manifest.model_dump(mode="json")


def to_measure_again(run: dict[str, str], manifests: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Restored components whose files are missing or altered, each with what is wrong.

    Where a later attempt left a whole one in the folder, that takes the restored one's place in `manifests`.
    """
    folder = _folder(run)
    found: dict[str, str] = {}
    for component, data in manifests.items():
        why = results.damage(folder, Manifest.model_validate(data))
        later = results.whole_manifest(folder, ComponentId(component)) if why else None
        if later:
            manifests[component] = later.model_dump(mode="json")
        elif why:
            found[component] = f"{why} (seen by attempt {attempt_number(run)})"  # the next one may see it again
    return found


@task(name="judge", task_run_name="judge", persist_result=True, result_serializer="json", cache_policy=_POLICY)
def judge_stage(
    run: dict[str, str], manifests: dict[str, dict[str, Any]], failures: dict[str, str], attempt: int
) -> dict[str, Any]:
    """Judge what was measured; the manifests are inputs, so a component that is measured again is judged again."""
    folder = _folder(run)
    measured = {component: Manifest.model_validate(data) for component, data in manifests.items()}
    report = judging.judge(folder, measured, failures, attempt)
    stored = write_report(folder, report)
    return {"sha256": stored.sha256, "verdict": report.gate.verdict.value, "score": report.score.value}


@task(name="publish", task_run_name="publish", persist_result=True, result_serializer="json", cache_policy=_POLICY)
def publish_stage(run: dict[str, str], judged: dict[str, Any]) -> dict[str, Any]:
    """Write every rendering of the report, and show it in Prefect."""
    folder = _folder(run)
    report = folder.report()
    files = publish_files(folder, report)
    if problem := keep_up(folder):
        get_run_logger().warning("history was not compacted: %s", problem)
    _show(report, folder)
    if deployment.id:  # who runs by hand sees it; who cancels knows it
        files += _printed(folder)
        announce(report, folder, report_link(folder))
    return {"files": files, **judged}


def publish_interrupted(run: dict[str, str], why: str) -> None:
    """Judge and publish what a run that was told to end has measured; no stage, for it may start no more of them."""
    folder = _folder(run)
    report = judging.interrupted(folder, why, attempt_number(run))
    publish_report(folder, report)
    _show(report, folder)


def _printed(folder: RunFolder) -> list[str]:
    """The executive summary as PDF, where a browser is installed: a convenience, for which no run fails."""
    if browser() is None:
        return []
    try:
        return [print_executive(folder)]
    except HasivuError as error:
        get_run_logger().warning("the executive summary was not printed: %s", error)
        return []


def _show(report: Report, folder: RunFolder) -> None:
    publish_artifacts(report, folder, artifact_pages(report), gate_rows(report), verdict_row(report, folder))
