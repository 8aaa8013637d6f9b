"""performance-pipeline: the whole validation of one environment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.exceptions import TerminationSignal
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed
from prefect.task_runners import TaskRunner

from deployments.config import RunConfig
from deployments.parameters import ValidationParams, configure
from flows.cancellation import cancellation_heard
from flows.environment_slot import environment_slot
from flows.measuring import Failures, Manifests, measure
from storage.artifacts import ProgressPage
from storage.clock import Clock, holding
from tasks import progress, stopping
from tasks.monitoring.live import planned_seconds, told
from tasks.stages import (
    attempt_number,
    begin_attempt,
    end_attempt,
    judge_stage,
    open_stage,
    publish_interrupted,
    publish_stage,
    to_measure_again,
)
from tasks.task_runner import open_runner, ready


def run_title() -> str:
    """How the list of runs calls a flow run: profile, release, and when it was meant to start."""
    params = ValidationParams.model_validate(flow_run.parameters["params"])
    started = flow_run.scheduled_start_time or datetime.now(UTC)
    return " ".join(filter(None, (params.profile, params.release, f"{started:%Y-%m-%d %H:%M:%S}")))


@flow(name="performance-pipeline", flow_run_name=run_title, persist_result=False)
def performance_pipeline(params: ValidationParams) -> State[Any]:
    """Measure the components in parallel, judge what was measured, publish it; fail where something was not.

    A retry of the failed run measures exactly the components that failed or whose stored files are damaged, then
    judges and publishes again. With `params.again` the named components of an earlier run are measured again.
    """
    # whatever part begins when: all windows lie on one line of time
    with holding(Clock.read()) as clock, cancellation_heard():
        return _validated(params, clock)


def _validated(params: ValidationParams, clock: Clock) -> State[Any]:
    opened = clock.now()
    config = configure(params)
    ready(config.environment.scale)
    run = open_stage(params.model_dump(mode="json"))
    page = ProgressPage(run["environment"], planned_seconds(config))

    def queued(limit: str) -> None:
        page.queued(limit)
        progress.say(f"waiting for {limit}: another run measures {run['environment']}")

    try:
        with environment_slot(run["environment"], config.environment.variables, queued) as waited_s:
            page.measuring()
            begin_attempt(run, opened, waited_s)
            with open_runner(config.environment.scale) as runner, progress.watching(told(page.parts)):
                manifests, failures = _measured(runner, run, config, params.again, page)
            end_attempt(run, clock)
    except (TerminationSignal, SystemExit):  # the latter comes from a log line that its dead reader cannot take
        publish_interrupted(run, "the run was stopped before it was measured")
        raise
    except stopping.StoppedError:
        return Cancelled(message="stopped before it was measured")  # who hosts this flow judges what there is
    return _concluded(run, manifests, failures)


def _concluded(run: dict[str, str], manifests: Manifests, failures: Failures) -> State[Any]:
    """Judge and publish; where the run was told to stop meanwhile, who hosts it publishes, which is sooner."""
    judged = judge_stage(run, manifests, failures, attempt_number(run) if failures else 0)
    if stopping.asked():
        stopping.leave_publishing()
        return Cancelled(message="stopped before it was published")
    publish_stage(run, judged)
    get_run_logger().info("gate: %s, score %.1f", judged["verdict"], judged["score"])
    if failures:
        return Failed(message=f"not measured: {', '.join(failures)}; retry measures exactly these again")
    return Completed(message=f"gate: {judged['verdict']}, score {judged['score']:.1f}", data=judged)


def _measured(
    runner: TaskRunner[Any], run: dict[str, str], config: RunConfig, again: tuple[str, ...], page: ProgressPage
) -> tuple[Manifests, Failures]:
    """What was asked for, and once more what was restored and turns out to be damaged."""
    asked = dict.fromkeys(again, "it was asked for")
    manifests, failures = measure(
        runner, run, {c.value: asked.get(c.value, "") for c in config.components}, page.show
    )
    damaged = to_measure_again(run, manifests)
    if damaged:
        repaired, failed = measure(runner, run, damaged, page.show)
        manifests = {c: data for c, data in manifests.items() if c not in damaged} | repaired
        failures |= failed
    return manifests, failures
