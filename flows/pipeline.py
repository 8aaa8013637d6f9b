"""performance-pipeline: the whole validation of one environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from deployments.parameters import ValidationParams, configure
from tasks.stages import (
    attempt_number,
    component_stage,
    environment_slot,
    judge_stage,
    open_stage,
    publish_stage,
    to_measure_again,
)
from tasks.validation import failure_text

_Manifests = dict[str, dict[str, Any]]


@flow(
    name="performance-pipeline",
    persist_result=False,
    task_runner=ThreadPoolTaskRunner(max_workers=8),  # type: ignore[arg-type]
)
def performance_pipeline(params: ValidationParams) -> State[Any]:
    """Measure the components in parallel, judge what was measured, publish it; fail where something was not.

    A retry of the failed run measures exactly the components that failed or whose stored files are damaged, then
    judges and publishes again. With `params.again` the named components of an earlier run are measured again.
    """
    chosen = configure(params).components
    run = open_stage(params.model_dump(mode="json"))
    asked = {component: f"attempt {attempt_number(run)}: it was asked for" for component in params.again}
    with environment_slot(run):
        manifests, failures = _measure(run, {c.value: asked.get(c.value, "") for c in chosen})
        damaged = to_measure_again(run, manifests)
        if damaged:
            repaired, failed = _measure(run, damaged)
            manifests = {c: data for c, data in manifests.items() if c not in damaged} | repaired
            failures |= failed
    judged = judge_stage(run, manifests, failures, attempt_number(run) if failures else 0)
    publish_stage(run, judged)
    if failures:
        return Failed(message=f"not measured: {', '.join(failures)}; retry measures exactly these again")
    return Completed(message=f"gate: {judged['verdict']}, score {judged['score']:.1f}", data=judged)


def _measure(run: dict[str, str], components: Mapping[str, str]) -> tuple[_Manifests, dict[str, str]]:
    """Components in parallel, each with the reason to measure it again or none: manifests, and what failed."""
    futures = {
        component: component_stage.with_options(name=component, task_run_name=component).submit(component, run, why)
        for component, why in components.items()
    }
    manifests: _Manifests = {}
    failures: dict[str, str] = {}
    for component, future in futures.items():
        future.wait()
        if future.state.is_completed():
            manifests[component] = future.result()
        else:
            failures[component] = failure_text(future.result(raise_on_failure=False))
    return manifests, failures
