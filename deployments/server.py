"""Sets a Prefect server up, and changes only what differs: pool, load slots, deployments, schedules, automations.

What an operator decides stays as it is: a paused pool, deployment or schedule, a disabled automation, limits of the
pool, schedules and automations of his own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import (
    GlobalConcurrencyLimitCreate,
    GlobalConcurrencyLimitUpdate,
    WorkPoolCreate,
    WorkPoolUpdate,
)
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL
from prefect.workers.process import ProcessWorker

from deployments.automations import automations, ensure_automation
from deployments.config import known
from deployments.declared import Outcome, declared_deployments
from deployments.deployed import ensure_deployment
from deployments.notifications import ensure_notifications
from storage.errors import UsageError

WORKERS = Path(__file__).parent / "workers"

JOB_VARIABLES = {
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    "DO_NOT_TRACK": "1",
}
"""Of every run of the pool, whatever worker starts it. Without heartbeats nobody sees that a run has died."""

_POOL = "Validations of the HASIVU platform."


@contextmanager
def connected() -> Iterator[SyncPrefectClient]:
    """A client of the server that PREFECT_API_URL names; `UsageError` where there is none or it refuses."""
    address = PREFECT_API_URL.value()
    if not address:
        raise UsageError(
            "PREFECT_API_URL is not set: set it to a server's API, e.g. http://127.0.0.1:4200/api; "
            "`hasivu-perf serve` starts one"
        )
    shown = httpx.URL(address).copy_with(userinfo=b"")
    with get_client(sync_client=True) as client:
        failure = client.api_healthcheck()
        if failure is not None:
            raise UsageError(
                f"no Prefect server answers at {shown} ({type(failure).__name__}): check PREFECT_API_URL"
            )
        try:
            yield client
        except PrefectHTTPStatusError as error:
            status = error.response.status_code
            if status not in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
                raise
            raise UsageError(
                f"{shown} refuses with {status}: set PREFECT_API_AUTH_STRING or PREFECT_API_KEY"
            ) from None


def set_up(client: SyncPrefectClient) -> Iterator[Outcome]:
    """Bring everything to the desired state, one outcome for each thing; a second time nothing is changed.

    `ConfigurationError`, and nothing is changed, where the variable of a channel is wrong.
    """
    notifications = ensure_notifications(client)
    declared = declared_deployments()
    for pool in sorted({one.work_pool.name for one in declared}):
        yield _ensure_pool(client, pool)
    for environment in known():
        yield _ensure_slot(client, f"load-{environment}")
    for one in declared:
        yield from ensure_deployment(client, one)
    for automation in automations():
        yield ensure_automation(client, automation)
    yield from notifications


def pool_template() -> dict[str, Any]:
    """The base job template of the process pool: Prefect's own, with our variables for every run."""
    template = ProcessWorker.get_default_base_job_template()
    template["variables"]["properties"]["env"]["default"] = JOB_VARIABLES
    return template


def worker_template(kind: str) -> dict[str, Any]:
    """The base job template in `workers/` for a pool of another type: kubernetes or ecs."""
    found: dict[str, Any] = json.loads((WORKERS / f"{kind}.json").read_text(encoding="utf-8"))
    return found


def _ensure_pool(client: SyncPrefectClient, name: str) -> Outcome:
    """A pool that exists with another type (Kubernetes, ECS) is somebody's decision: it keeps its template."""
    thing = f"work pool {name}"
    try:
        found = client.read_work_pool(name)
    except ObjectNotFound:
        wanted = WorkPoolCreate(name=name, type="process", description=_POOL, base_job_template=pool_template())
        client.create_work_pool(wanted)
        return Outcome(thing, "created")
    if found.type != "process" or found.base_job_template == pool_template():
        return Outcome(thing, "unchanged")
    client.update_work_pool(name, WorkPoolUpdate(base_job_template=pool_template()))
    return Outcome(thing, "changed")


def _ensure_slot(client: SyncPrefectClient, name: str) -> Outcome:
    """One load test at a time: a limit of one that no time frees."""
    thing = f"concurrency limit {name}"
    try:
        found = client.read_global_concurrency_limit_by_name(name)
    except ObjectNotFound:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=1))
        return Outcome(thing, "created")
    if (found.limit, found.active, found.slot_decay_per_second) == (1, True, 0.0):
        return Outcome(thing, "unchanged")
    wanted = GlobalConcurrencyLimitUpdate(limit=1, active=True, slot_decay_per_second=0.0)
    client.update_global_concurrency_limit(name, wanted)
    return Outcome(thing, "changed")


def worker_online(client: SyncPrefectClient, pool: str) -> bool:
    """Whether a worker of the pool has shown itself lately."""
    return any(worker.status == "ONLINE" for worker in client.read_workers_for_work_pool(pool))
