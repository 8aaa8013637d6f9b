"""What the Prefect server does by itself: a run that stopped giving signs of life is called Crashed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events import AutomationCore, EventTrigger, Posture
from prefect.events.actions import ChangeFlowRunState

from deployments.declared import Outcome

SILENT_S = 90.0
"""Three heartbeats: a run that was silent for so long has died with its worker."""

_ENDS = ("Completed", "Failed", "Cancelled", "Crashed")
_OPERATORS = {"enabled", "owner_resource", "id"}


def automations() -> Iterator[AutomationCore]:
    """Every automation that belongs to no single deployment."""
    yield heartbeat_automation()


def heartbeat_automation(flow: str = "performance-pipeline") -> AutomationCore:
    """A run of `flow` that neither beat nor ended for `SILENT_S` seconds after its last heartbeat becomes Crashed."""
    trigger = EventTrigger(
        match={"prefect.resource.id": "prefect.flow-run.*"},
        match_related={"prefect.resource.role": "flow", "prefect.resource.name": flow},
        for_each={"prefect.resource.id"},
        after={"prefect.flow-run.heartbeat"},
        expect={"prefect.flow-run.heartbeat", *(f"prefect.flow-run.{state}" for state in _ENDS)},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=SILENT_S),
    )
    crashed = ChangeFlowRunState(
        state=StateType.CRASHED, message=f"no sign of life for {SILENT_S:.0f} s: its worker died; retry it"
    )
    return AutomationCore(
        name="hasivu-perf: a silent run is Crashed",
        description="Worker and run were killed together, or their machine is gone: nothing else would end the run.",
        trigger=trigger,
        actions=[crashed],
    )


def ensure_automation(client: SyncPrefectClient, wanted: AutomationCore) -> Outcome:
    """Create an automation, or change it where it differs; by its name it is found again.

    Whether it is enabled is decided when it is created, then by the operator.
    """
    thing = f"automation {wanted.name}"
    found = client.read_automations_by_name(wanted.name)
    if not found:
        client.create_automation(wanted)
        return Outcome(thing, "created")
    if _content(found[0]) == _content(wanted):
        return Outcome(thing, "unchanged")
    client.update_automation(found[0].id, wanted.model_copy(update={"enabled": found[0].enabled}))
    return Outcome(thing, "changed")


def _content(automation: AutomationCore) -> dict[str, Any]:
    """What an automation does, in one form whether it was written here or read from a server."""
    plain = AutomationCore.model_validate(automation.model_dump(mode="json", exclude=_OPERATORS))
    return plain.model_dump()
