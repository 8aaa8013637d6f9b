"""database-optimize: changes the database of an environment by a plan that someone approved, and judges what it did.

The form in the Prefect UI takes its help from the section `Args` of the flow.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from deployments.parameters import Base, ValidationParams, output_root
from flows.approval import in_flow
from flows.environment_slot import environment_slot
from flows.optimize import CALL
from storage.artifacts import publish_page
from storage.errors import ExitCode
from storage.runs import named_run
from tasks.components.database.change import tell
from tasks.components.database.change.plan import shown
from tasks.database_change import carried_out, prepared


@flow(name="database-optimize", persist_result=False)
def database_optimize(
    environment: Base,
    *,
    plan: dict[str, Any],
    approve: bool = False,
    allow_drop: bool = False,
    output: str = "",
) -> State[Any]:
    """Build the indexes of a plan one by one, measure real run time, keep what helped, undo the rest.

    Production waits, paused, until someone approves the plan that the page `plan-<environment>` shows.

    Args:
        environment: whose database
        plan: what `hasivu-perf advise --json` printed
        approve: carry it out at once; for production a person approves it here all the same
        allow_drop: the plan may remove indexes that this program built
        output: folder or s3:// bucket of the ledger; by default that of the worker
    """
    call = CALL.get()
    log = get_run_logger()
    job = (
        call.job
        if call
        else prepared(
            environment,
            json.dumps(plan),
            "plan",
            allow_drop=allow_drop,
            output=output_root(ValidationParams(output=output)),
        )
    )
    page = f"```\n{shown(job.plan)}\n```"
    publish_page("plan", environment, page, f"plan {job.plan.short}")
    production = job.environment.production
    by = call.approved_by if call else in_flow(job.plan, environment, page, production=production, approve=approve)
    log.info("plan %s, approved by %s", job.plan.short, by)
    started = flow_run.scheduled_start_time or datetime.now(UTC)
    say = call.say if call else (lambda text: log.info("%s", text))

    def queued(limit: str) -> None:
        say(f"waiting for {limit}: a load test of {environment} runs")

    with environment_slot(environment, job.environment.variables, queued):
        outcome = carried_out(job, named_run(started, str(flow_run.id)), by, say)
    if call:
        call.outcomes.append(outcome)
    publish_page("changes", environment, tell.markdown(outcome), f"run {outcome.run}")
    code = tell.exit_code(outcome)
    parts = [f"{entry.step.name}, left by an earlier run: {entry.state.value}" for entry in outcome.recovered]
    parts += [f"{entry.step.name}: {entry.state.value}" for entry in outcome.entries]
    said = "; ".join(parts) or "nothing to change"
    if code in (ExitCode.INCOMPLETE, ExitCode.INTERRUPTED):
        return Failed(message=said)
    return Completed(message=said, data=outcome.model_dump(mode="json"))
