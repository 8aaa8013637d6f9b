"""One deployment on a Prefect server: created where it is missing, changed where it differs from prefect.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, DeploymentUpdate
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.events import DeploymentEventTrigger
from prefect.exceptions import ObjectNotFound
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

from deployments.automations import ensure_automation
from deployments.declared import Declared, Outcome, Schedule


def ensure_deployment(client: SyncPrefectClient, declared: Declared) -> Iterator[Outcome]:
    """Bring a deployment, its schedules and its triggers to what is declared."""
    flow: Flow[Any, Any] = load_flow_from_entrypoint(declared.entrypoint, use_placeholder_flow=False)
    thing = f"deployment {flow.name}/{declared.name}"
    wanted = _wanted(declared, parameter_schema(flow).model_dump())
    found = _read(client, flow.name, declared.name)
    if found is None:
        flow_id = client.create_flow_from_name(flow.name)
        identity = client.create_deployment(flow_id=flow_id, name=declared.name, **wanted)
        yield Outcome(thing, "created")
    else:
        identity = found.id
        same = all(getattr(found, name) == value for name, value in wanted.items())
        if not same:
            client.update_deployment(identity, DeploymentUpdate(**wanted))
        yield Outcome(thing, "unchanged" if same else "changed")
    for schedule in declared.schedules:
        yield _ensure_schedule(client, identity, schedule)
    for trigger in declared.triggers:
        yield _ensure_trigger(client, identity, trigger)


def _wanted(declared: Declared, schema: dict[str, Any]) -> dict[str, Any]:
    """What the server should hold; without `additionalProperties` an unknown parameter would crash the run."""
    return {
        "description": declared.description,
        "entrypoint": declared.entrypoint,
        "path": None,
        "pull_steps": [],
        "parameters": dict(declared.parameters),
        "parameter_openapi_schema": {**schema, "additionalProperties": False},
        "enforce_parameter_schema": True,
        "tags": list(declared.tags),
        "work_pool_name": declared.work_pool.name,
    }


def _read(client: SyncPrefectClient, flow: str, name: str) -> DeploymentResponse | None:
    try:
        return client.read_deployment_by_name(f"{flow}/{name}")
    except ObjectNotFound:
        return None


def _ensure_schedule(client: SyncPrefectClient, deployment: UUID, declared: Schedule) -> Outcome:
    """Found by its slug; whether it is active is decided when it is created, then by the operator."""
    thing = f"schedule {declared.slug} ({declared.cron} {declared.timezone})"
    wanted = CronSchedule(cron=declared.cron, timezone=declared.timezone)
    parameters = dict(declared.parameters)
    for found in client.read_deployment_schedules(deployment):
        if found.slug != declared.slug:
            continue
        if found.schedule == wanted and found.parameters == parameters:
            return Outcome(thing, "unchanged")
        client.update_deployment_schedule(deployment, found.id, schedule=wanted, parameters=parameters)
        return Outcome(thing, "changed")
    new = DeploymentScheduleCreate(schedule=wanted, active=declared.active, slug=declared.slug, parameters=parameters)
    client.create_deployment_schedules(deployment, [new])
    return Outcome(thing, "created")


def _ensure_trigger(client: SyncPrefectClient, deployment: UUID, declared: dict[str, Any]) -> Outcome:
    trigger = DeploymentEventTrigger.model_validate(declared)
    trigger.set_deployment_id(deployment)
    return ensure_automation(client, trigger.as_automation())
