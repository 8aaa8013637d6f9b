"""performance-pipeline: the whole validation of one environment."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

from deployments.parameters import ValidationParams, configure
from tasks.stages import attempt_number, component_stage, judge_stage, open_stage, publish_stage
from tasks.validation import failure_text


@flow(
    name="performance-pipeline",
    persist_result=False,
    task_runner=ThreadPoolTaskRunner(max_workers=8),  # type: ignore[arg-type]
)
def performance_pipeline(params: ValidationParams) -> State[Any]:
    """Measure the components in parallel, judge what was measured, publish it; fail where something was not.

    A retry of the failed run measures exactly the components that failed, then judges and publishes again.
    """
    chosen = configure(params).components
    run = open_stage(params.model_dump(mode="json"))
    futures = {
        component: component_stage.with_options(name=component, task_run_name=component).submit(component, run)
        for component in (c.value for c in chosen)
    }
    manifests: dict[str, dict[str, Any]] = {}
    failures: dict[str, str] = {}
    for component, future in futures.items():
        future.wait()
        if future.state.is_completed():
            manifests[component] = future.result()
        else:
            failures[component] = failure_text(future.result(raise_on_failure=False))
    judged = judge_stage(run, manifests, failures, attempt_number() if failures else 0)
    publish_stage(run, judged)
    if failures:
        return Failed(message=f"not measured: {', '.join(failures)}; retry measures exactly these again")
    return Completed(message=f"gate: {judged['verdict']}, score {judged['score']:.1f}", data=judged)
