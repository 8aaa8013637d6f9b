"""`hasivu-perf setup` on real servers, SQLite and PostgreSQL: everything is there; a second time changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentUpdate, GlobalConcurrencyLimitUpdate, WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.channels import EMAIL
from deployments.config import known
from deployments.local.held import DATABASES
from deployments.server import connected, set_up, worker_template
from flows.serve import setup
from storage.errors import ConfigurationError, UsageError
from tests.databases import database
from tests.prefect_servers import full_server

VALIDATIONS = {"development", "quick", "staging", "production", "custom"}
DEPLOYMENTS = VALIDATIONS | {"retention", "republish", "database-optimize"}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SyncPrefectClient]:
    """A client of a server that was set up once."""
    with ExitStack() as stack:
        if request.param == "postgresql":
            held = stack.enter_context(database(tmp_path_factory.mktemp("prefect")))
            variables = stack.enter_context(pytest.MonkeyPatch.context())
            variables.setenv(DATABASES[0], held.admin.replace("postgresql://", "postgresql+asyncpg://"))
        stack.enter_context(full_server())
        with connected() as found:
            _refused(found)
            assert {one.what for one in set_up(found)} == {"created"}
            yield found


def _refused(client: SyncPrefectClient) -> None:
    """A channel that cannot be one is told before anything is made."""
    before = content(client)
    with pytest.MonkeyPatch.context() as variables:
        variables.setenv(EMAIL, "http://example.test")
        with pytest.raises(ConfigurationError, match=EMAIL):
            list(set_up(client))
    assert content(client) == before


def content(client: SyncPrefectClient) -> dict[str, list[Mapping[str, Any]]]:
    """All that a server holds of us, with ids and times of change, but for what a scheduler or a worker touches."""
    read = {
        "pools": client.request("POST", "/work_pools/filter", json={}),
        "limits": client.request("POST", "/v2/concurrency_limits/filter", json={}),
        "flows": client.request("POST", "/flows/filter", json={}),
        "deployments": client.request("POST", "/deployments/filter", json={}),
        "automations": client.request("POST", "/automations/filter", json={}),
    }
    moving = {"updated", "status", "last_polled"}
    parts: dict[str, list[Mapping[str, Any]]] = {}
    for name, answer in read.items():
        kept = moving if name in {"deployments", "pools"} else set()
        parts[name] = [{k: v for k, v in one.items() if k not in kept} for one in answer.json()]
    return parts


def deployment(client: SyncPrefectClient, name: str) -> UUID:
    flow = "performance-pipeline" if name in VALIDATIONS else name
    return client.read_deployment_by_name(f"{flow}/{name}").id


def test_a_second_time_changes_nothing(client: SyncPrefectClient) -> None:
    before = content(client)
    assert {one.what for one in set_up(client)} == {"unchanged"}
    assert content(client) == before
    assert {one["name"] for one in before["deployments"]} == DEPLOYMENTS
    assert {one["name"] for one in before["limits"]} == {f"load-{name}" for name in known()}


def test_the_nightly_runs_of_production_are_scheduled_for_half_past_one_in_india(client: SyncPrefectClient) -> None:
    chosen = DeploymentFilter(id=DeploymentFilterId(any_=[deployment(client, "production")]))
    until = time.monotonic() + 60
    while not (runs := client.read_flow_runs(deployment_filter=chosen)):
        assert time.monotonic() < until, "the scheduler made no run"
        time.sleep(0.5)
    starts = sorted(run.expected_start_time.timestamp() for run in runs if run.expected_start_time)
    first = datetime.now(UTC).replace(hour=20, minute=0, second=0, microsecond=0)  # 01:30 in India, the day before
    first += timedelta(days=1) if first < datetime.now(UTC) else timedelta(0)
    assert starts == [first.timestamp() + 86_400 * day for day in range(len(starts))]


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"params": {"profile": "stagin"}}, "stagin"),
        ({"params": {"components": ["databse"]}}, "databse"),
        ({"params": {"profile": "quick", "userz": 3}}, "userz"),
        ({"params": {"profile": "quick"}, "user": 3}, "user"),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(
    client: SyncPrefectClient, parameters: dict[str, Any], named: str
) -> None:
    with pytest.raises(PrefectHTTPStatusError) as refused:
        client.create_flow_run_from_deployment(deployment(client, "custom"), parameters=parameters)
    assert refused.value.response.status_code in {409, 422}
    assert f"'{named}'" in refused.value.response.json()["detail"]


def test_what_differs_is_changed_and_what_an_operator_decided_stays(client: SyncPrefectClient) -> None:
    before = content(client)
    production = deployment(client, "production")
    (schedule,) = client.read_deployment_schedules(production)
    client.update_deployment_schedule(production, schedule.id, active=False)
    (automation,) = client.read_automations_by_name("release-staging")
    client.pause_automation(automation.id)
    client.update_deployment(production, DeploymentUpdate(parameters={"params": {"profile": "quick"}}))
    client.update_global_concurrency_limit("load-staging", GlobalConcurrencyLimitUpdate(limit=5))

    changed = {one.thing for one in set_up(client) if one.what != "unchanged"}
    assert changed == {"deployment performance-pipeline/production", "concurrency limit load-staging"}
    assert client.read_deployment(production).parameters == {"params": {"profile": "production"}}
    assert not client.read_deployment_schedules(production)[0].active
    assert not client.read_automations_by_name("release-staging")[0].enabled

    client.update_deployment_schedule(production, schedule.id, active=True)
    client.resume_automation(automation.id)
    after = content(client)
    assert {one["id"] for part in after.values() for one in part} == {
        one["id"] for part in before.values() for one in part
    }


@pytest.mark.parametrize("kind", ["kubernetes", "ecs"])
def test_a_worker_template_is_accepted_and_checks_its_variables(client: SyncPrefectClient, kind: str) -> None:
    pool = f"on-{kind}"
    client.create_work_pool(WorkPoolCreate(name=pool, type=kind, base_job_template=worker_template(kind)))
    try:
        assert client.read_work_pool(pool).base_job_template == worker_template(kind)
        wrong = DeploymentUpdate(work_pool_name=pool, job_variables={"cpu": []})
        with pytest.raises(PrefectHTTPStatusError, match="409"):
            client.update_deployment(deployment(client, "custom"), wrong)
    finally:
        client.delete_work_pool(pool)


def test_setup_says_one_line_for_each_thing(client: SyncPrefectClient, capsys: pytest.CaptureFixture[str]) -> None:
    assert setup() == 0
    lines = capsys.readouterr().out.splitlines()
    assert "unchanged  work pool hasivu-perf" in lines
    assert len(lines) == len(set(lines)) >= 1 + len(known()) + len(DEPLOYMENTS)


def test_a_server_that_does_not_answer_is_named_without_its_password() -> None:
    changes: dict[Any, Any] = {PREFECT_API_URL: "http://me:canary@127.0.0.1:1/api"}
    with (
        temporary_settings(changes),
        pytest.raises(UsageError, match=r"answers at http://127\.0\.0\.1:1/api") as error,
    ):
        setup()
    assert "canary" not in str(error.value)


def test_without_a_server_the_variable_is_named() -> None:
    with temporary_settings(restore_defaults={PREFECT_API_URL}), pytest.raises(UsageError, match="PREFECT_API_URL"):
        setup()
