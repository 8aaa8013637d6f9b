"""`hasivu-perf optimize`: changes a database by an approved plan, keeps what helped, undoes the rest.

The command needs no Prefect server; where PREFECT_API_URL names one, it runs as a flow run there, holds the load slot
of the environment, and leaves its page.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from deployments.parameters import Base
from storage.errors import ExitCode, HasivuError, UsageError

if TYPE_CHECKING:
    from tasks.components.database.change.records import ChangePlan, Outcome
    from tasks.database_change import Job


def optimize(
    environment: Base = "development",
    *,
    plan: Annotated[Path | None, Parameter(help="What `hasivu-perf advise --json` printed.")] = None,
    functions: Annotated[
        str | None,
        Parameter(help="A run: what it advises for the Lambda functions becomes a script; nothing is changed."),
    ] = None,
    approve: Annotated[
        bool, Parameter(help="Carry it out; production shows the plan and asks at the terminal.")
    ] = False,
    allow_drop: Annotated[bool, Parameter(help="The plan may remove indexes that this program built.")] = False,
    dsn: Annotated[
        str | None, Parameter(help="Address of the tables' owner, instead of the environment's variable.")
    ] = None,
    output: Annotated[str, Parameter(help="Folder or s3:// bucket of the ledger.")] = ".",
    json: Annotated[bool, Parameter(name="--json", help="Print the outcome as JSON, alone.")] = False,
) -> ExitCode:
    """Build the indexes of a plan one by one, measure real run time, keep what helped, undo the rest.

    Lambda functions are never changed from here: --functions RUN writes a script that a person reads and runs.

    Exit codes: 0 everything stands, 1 something was undone by its verdict, 2 the plan, its approval or the settings,
    3 something could not be done, 130 interrupted (what was half built is removed).
    """
    if functions is not None and plan is None:
        from flows.optimize_functions import write_script

        return write_script(functions, output)
    if plan is None or functions is not None:
        raise UsageError("give either --plan FILE for a database, or --functions RUN for the Lambda functions")
    return _optimize_database(
        environment, plan, approve=approve, allow_drop=allow_drop, dsn=dsn, output=output, as_json=json
    )


def _optimize_database(
    environment: Base, plan: Path, *, approve: bool, allow_drop: bool, dsn: str | None, output: str, as_json: bool
) -> ExitCode:
    from flows import approval
    from tasks.components.database.change import tell
    from tasks.components.database.change.plan import shown
    from tasks.database_change import prepared
    from tasks.monitoring.live import to_terminal
    from tasks.monitoring.teller import Teller

    try:
        content = plan.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{plan}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
    job = prepared(environment, content, str(plan), allow_drop=allow_drop, dsn=dsn, output=output)
    with Teller() as teller:
        if not approve and job.plan.steps:
            to_terminal(shown(job.plan))
        by = approval.at_terminal(job.plan, environment, production=job.environment.production, approve=approve)
        outcome = _tracked(job, by, teller.say) if os.environ.get("PREFECT_API_URL") else _alone(job, by, teller.say)
    to_terminal(outcome.model_dump_json(indent=2) if as_json else tell.text(outcome))
    return tell.exit_code(outcome)


def _alone(job: Job, by: str, say: Callable[[str], None]) -> Outcome:
    """Without a Prefect server; that nobody could tell of a load test is said."""
    from storage.runs import new_run_name
    from tasks.database_change import carried_out

    name = job.environment.name
    say(f"no Prefect server is named (PREFECT_API_URL): whether a load test of {name} runs is not looked at")
    return carried_out(job, new_run_name(datetime.now(UTC)), by, say)


@dataclass(frozen=True)
class Call:
    """A flow run that the command line calls itself: what is done is approved already, and the address stays here."""

    job: Job
    approved_by: str
    say: Callable[[str], None]
    outcomes: list[Outcome] = field(default_factory=list)


CALL: ContextVar[Call | None] = ContextVar("call", default=None)


def _tracked(job: Job, by: str, say: Callable[[str], None]) -> Outcome:
    """As a flow run of the server that PREFECT_API_URL names."""
    from flows.host import QUIET

    os.environ.update(QUIET)
    from flows.database_optimize import database_optimize

    call = Call(job, by, say)
    token = CALL.set(call)
    try:
        plan = _as_plan(job.plan)
        state = database_optimize(job.environment.name, plan=plan, output=job.output, return_state=True)
    finally:
        CALL.reset(token)
    if not call.outcomes:
        error = state.result(raise_on_failure=False)
        if isinstance(error, HasivuError):
            raise error
        raise HasivuError("the flow run database-optimize ended without an outcome: see its page in the Prefect UI")
    return call.outcomes[0]


def _as_plan(plan: ChangePlan) -> dict[str, Any]:
    """The plan as a parameter of a flow run: what runs, and why in a line."""
    rows = [{"sql": step.sql, "drop": step.undo, "evidence": {"reason": step.why}} for step in plan.steps]
    return {"recommendations": rows}
