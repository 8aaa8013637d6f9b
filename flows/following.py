"""Follows a flow run on a Prefect server from the event that starts it to its verdict, with signs of life."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.client.schemas.objects import Artifact, FlowRun, StateType
from prefect.client.schemas.sorting import ArtifactSort
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter, EventRelatedFilter
from prefect.exceptions import PrefectHTTPStatusError
from prefect.utilities.urls import url_for

from deployments.server import worker_online
from storage.errors import ExitCode, HasivuError, NotMeasuredError
from tasks.monitoring.teller import Teller
from tasks.report.text import shorten

TRIGGER = "release-staging"
"""Name of the automation that starts a run for a published release (prefect.yaml)."""

START_S = 120.0
"""How long a trigger may take to start a run; the server writes events down every five seconds."""

PATIENCE_S = 60.0
"""How long the server may be away (a restart) before the waiting ends."""

POLL_S = 1.0
_PAGE = 50  # the most that a server gives
_EXECUTED, _REFUSED = "prefect.automation.action.executed", "prefect.automation.action.failed"
_RUN = "prefect.flow-run."
_T = TypeVar("_T")


def run_link(run: UUID) -> str:
    """The address of a flow run's page."""
    return url_for("flow-run", obj_id=run) or str(run)


def started_run(client: SyncPrefectClient, event: UUID, until: float) -> UUID:
    """The flow run that a trigger started for an event: the server's own record of what it did for it names both.

    Raises `NotMeasuredError` with what to do where there is none within `START_S`, or `until` if that is sooner.
    """
    until = min(until, time.monotonic() + START_S)
    while True:
        run, refusal = _patiently(lambda: _answer(client, event))
        if run:
            return run
        if refusal:
            raise NotMeasuredError(f"the server could not start the run: {shorten(refusal, 300)}")
        if time.monotonic() > until:
            raise NotMeasuredError(f"the release started no run: {_patiently(lambda: _why_not(client))}")
        time.sleep(POLL_S)


def _answer(client: SyncPrefectClient, event: UUID) -> tuple[UUID | None, str]:
    """What the server did for an event: the flow run it started, or why it could not; none of them yet."""
    wanted = EventFilter(
        occurred=EventOccurredFilter(until=datetime.now(UTC) + timedelta(days=1)),  # clocks differ
        event=EventNameFilter(name=[_EXECUTED, _REFUSED]),
        related=EventRelatedFilter(id=[f"prefect.event.{event}"]),
    )
    found = client.read_events(wanted, limit=_PAGE).events
    runs = [one.id for answer in found for one in answer.related if one.id.startswith(_RUN)]
    refusals = [str(answer.payload.get("reason")) for answer in found if answer.event == _REFUSED]
    return UUID(runs[0].removeprefix(_RUN)) if runs else None, next(iter(refusals), "")


def _why_not(client: SyncPrefectClient) -> str:
    found = client.read_automations_by_name(TRIGGER)
    if not found:
        return f"the server has no trigger {TRIGGER}; run `hasivu-perf setup` with this PREFECT_API_URL"
    if not any(one.enabled for one in found):
        return f"the trigger {TRIGGER} is switched off; switch it on in the UI under Automations"
    return f"the trigger {TRIGGER} did not fire within {START_S:.0f} s; look at the server's log"


def watched(client: SyncPrefectClient, identity: UUID, teller: Teller, until: float) -> FlowRun:
    """The flow run once it has ended; says on the way how it goes.

    Raises `NotMeasuredError` where it has not ended at `until`: why, as far as it is known.
    """
    while True:
        run = _patiently(lambda: client.read_flow_run(identity), identity)
        teller.state(f"{run.state_name} (attempt {run.run_count})" if run.run_count > 1 else str(run.state_name))
        if run.state and run.state.is_final():
            return run
        if time.monotonic() > until:
            raise NotMeasuredError(_late(client, run))
        page = _patiently(lambda: _newest(client, identity, "progress-%"), identity)
        if page:
            teller.progress(f"{float(str(page.data)):.0f} % {page.description or ''}")
        time.sleep(POLL_S)


def _late(client: SyncPrefectClient, run: FlowRun) -> str:
    state = f"the run is {run.state_name} after the time limit; it goes on: {run_link(run.id)}"
    pool = run.work_pool_name
    if run.run_count == 0 and pool and not _patiently(lambda: worker_online(client, pool), run.id):
        state += f"; no worker of the pool {pool} is online: start one with `prefect worker start --pool {pool}`"
    return state


def verdict_of(client: SyncPrefectClient, run: FlowRun) -> dict[str, str | int]:
    """The row of the artifact `verdict-<environment>` of a run that has ended, with the run's id and page.

    Raises `NotMeasuredError` where the run crashed, was cancelled or published no verdict.
    """
    state = f"the run ended {run.state_name}"
    why = f": {shorten(run.state.message, 300)}" if run.state and run.state.message else ""
    if run.state_type not in {StateType.COMPLETED, StateType.FAILED}:
        raise NotMeasuredError(f"{state}{why}; read its log and retry it: {run_link(run.id)}")
    found = _patiently(lambda: _newest(client, run.id, "verdict-%"), run.id)
    if found is None:
        raise NotMeasuredError(f"{state} without a verdict{why}; read its log: {run_link(run.id)}")
    try:
        (row,) = json.loads(str(found.data))
        code = int(ExitCode(int(row["exit_code"])))
        return {**row, "exit_code": code, "flow_run": str(run.id), "flow_run_url": run_link(run.id)}
    except (ValueError, TypeError, KeyError) as error:
        raise HasivuError(f"the artifact {found.key} holds no verdict: {run_link(run.id)}") from error


def _newest(client: SyncPrefectClient, run: UUID, key: str) -> Artifact | None:
    wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run]), key=ArtifactFilterKey(like_=key))
    found = client.read_artifacts(artifact_filter=wanted, sort=ArtifactSort.UPDATED_DESC, limit=1)
    return found[0] if found else None


def _patiently(ask: Callable[[], _T], run: UUID | None = None) -> _T:
    """The server's answer, asked for again while it is away; `NotMeasuredError` after `PATIENCE_S`."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask()
        except httpx.TransportError as error:
            problem = type(error).__name__
        except PrefectHTTPStatusError as error:
            if not error.response.is_server_error:
                raise
            problem = str(error.response.status_code)
        if time.monotonic() > until:
            where = f"; the run goes on: {run_link(run)}" if run else ""
            raise NotMeasuredError(f"the server has not answered for {PATIENCE_S:.0f} s ({problem}){where}")
        time.sleep(POLL_S)
