"""Who approves a plan of database changes: a person at a terminal, a parameter where that is enough, or the UI."""

from __future__ import annotations

import getpass
import platform
import sys
from typing import Any

from storage.errors import UsageError
from tasks.components.database.change.plan import shown
from tasks.components.database.change.records import ChangePlan

WAIT_S = 24 * 3600
"""How long a paused flow run waits for its approval."""

POLL_S = 5


def at_terminal(plan: ChangePlan, environment: str, *, production: bool, approve: bool) -> str:
    """Who approved the plan on the command line; raises `UsageError` where nobody did.

    Production wants a person: the plan is shown, and its first digits are typed. No pipe can answer that.
    """
    if not plan.steps:
        return "nobody: the plan changes nothing"
    if not approve:
        raise UsageError(f"plan {plan.short} is not approved, nothing was changed: look at it, then say --approve")
    who = f"{getpass.getuser()} at {platform.node()}"
    if not production:
        return who
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            f"{environment}: production is approved at a terminal, and this is none; approve plan {plan.short} "
            "there, or in the Prefect UI by the deployment database-optimize"
        )
    sys.stderr.write(f"{shown(plan)}\nTo change {environment}, type the first twelve digits of the plan: ")
    sys.stderr.flush()
    if sys.stdin.readline().strip() != plan.short:
        raise UsageError(f"plan {plan.short} was not approved, nothing was changed")
    return who


def in_flow(plan: ChangePlan, environment: str, page: str, *, production: bool, approve: bool) -> str:
    """Who approved the plan of this flow run; where nobody did yet, it pauses until someone does in the UI.

    Raises `UsageError` where the digits that were typed are not those of the plan.
    """
    from prefect.flow_runs import pause_flow_run
    from prefect.input import RunInput
    from prefect.runtime import flow_run
    from pydantic import Field, create_model

    if not plan.steps:
        return "nobody: the plan changes nothing"
    if approve and not production:
        return f"the parameter approve of flow run {flow_run.name}"
    asked = create_model(
        "Approval",
        __base__=RunInput,
        approved_by=(str, Field(min_length=2, max_length=100, title="Your name")),
        plan=(str, Field(title=f"First twelve digits of the plan for {environment}, as the page shows them")),
    )
    answer: Any = pause_flow_run(asked.with_initial_data(description=page), timeout=WAIT_S, poll_interval=POLL_S)
    if answer.plan.strip() != plan.short:
        raise UsageError(f"plan {plan.short} was not approved: {answer.plan.strip()[:12]!r} is not its beginning")
    return f"{answer.approved_by} in the Prefect UI"
