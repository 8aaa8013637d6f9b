"""Every Prefect task of the pipeline: names, persistence and retries around the plain functions of a validation.

A stage's result is small JSON and is found again on a retry by its inputs, its source and the flow run
(docs/adr/0003-results-and-retry.md): so nothing that changes between attempts may be an input, and a failure must
be raised, never returned.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from prefect import task
from prefect.cache_policies import INPUTS, RUN_ID, TASK_SOURCE
from prefect.runtime import flow_run

from deployments.parameters import ValidationParams
from storage.artifacts import publish_artifacts
from storage.parquet import Store
from storage.records import ComponentId, Manifest
from storage.runs import RunFolder, new_run_name
from tasks import validation
from tasks.publish import artifact_markdown, publish_files
from tasks.report.record import to_json

_POLICY = INPUTS + TASK_SOURCE + RUN_ID


def attempt_number() -> int:
    """How often this flow run was started, from 1."""
    return int(flow_run.run_count or 1)


def _folder(run: dict[str, str]) -> RunFolder:
    return RunFolder(Store(run["output"]), run["environment"], run["run"])


@task(name="open", persist_result=True, result_serializer="json", cache_policy=_POLICY)
def open_stage(params: dict[str, Any]) -> dict[str, str]:
    """Validate what is asked, claim the run's folder, and say where it is."""
    wanted = ValidationParams.model_validate(params)
    started = datetime.now(UTC)
    folder = validation.open_run(wanted, wanted.run or new_run_name(started), started)
    return {"output": folder.store.root, "environment": folder.environment, "run": folder.run}


@task(name="component", persist_result=True, result_serializer="json", cache_policy=_POLICY)
def component_stage(component: str, run: dict[str, str]) -> dict[str, Any]:
    """Measure one component; its manifest is the result. Fails where it could not be measured."""
    manifest = validation.measure_component(_folder(run), ComponentId(component), attempt_number())
    return manifest.model_dump(mode="json")


@task(name="judge", persist_result=True, result_serializer="json", cache_policy=_POLICY)
def judge_stage(
    run: dict[str, str], manifests: dict[str, dict[str, Any]], failures: dict[str, str], attempt: int
) -> dict[str, Any]:
    """Judge what was measured; the manifests are inputs, so a component that is measured again is judged again."""
    folder = _folder(run)
    measured = {component: Manifest.model_validate(data) for component, data in manifests.items()}
    report = validation.judge(folder, measured, failures, attempt)
    stored = folder.store.write(folder.orchestration("report.json"), to_json(report))
    return {"sha256": stored.sha256, "verdict": report.gate.verdict.value, "score": report.score.value}


@task(name="publish", persist_result=True, result_serializer="json", cache_policy=_POLICY)
def publish_stage(run: dict[str, str], judged: dict[str, Any]) -> dict[str, Any]:
    """Write every rendering of the report, and show it in Prefect."""
    folder = _folder(run)
    report = folder.report()
    files = publish_files(folder, report)
    publish_artifacts(report, folder, artifact_markdown(report))
    return {"files": files, **judged}
