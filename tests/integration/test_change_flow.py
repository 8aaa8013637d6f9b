"""The flow database-optimize on a Prefect server: approval in the UI, pages, and the command as a flow run."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import State, StateType

from flows import approval
from flows.database_optimize import database_optimize
from flows.optimize import optimize
from storage.errors import ExitCode, TargetUnreachableError
from tests.changing import indexes, plan_file, write_environments
from tests.chromium import PROGRAM, Page, chromium
from tests.databases import Database
from tests.prefect_servers import full_server

needs_chromium = pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server with its UI."""
    with full_server() as address:
        yield address


@pytest.fixture(autouse=True)
def environment(shop: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Environments of our own, whose database is the shop; each test begins without our indexes."""
    write_environments(tmp_path)
    monkeypatch.setenv("HASIVU_PERF_ENVIRONMENTS", str(tmp_path))
    monkeypatch.setenv("OWNER_URL", shop.application)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    yield tmp_path
    shop.run(*(f"DROP INDEX {name}" for name in indexes(shop)))


def paused(seconds: float = 60) -> Any:
    """The flow run that waits for its approval."""
    until = time.monotonic() + seconds
    states = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED]))
    with get_client(sync_client=True) as client:
        while True:
            found = client.read_flow_runs(flow_run_filter=FlowRunFilter(state=states))
            if found:
                return found[0]
            assert time.monotonic() < until
            time.sleep(0.2)


def pages(kind: str) -> list[str]:
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[kind])))
    return [str(one.data) for one in found]


def approved_flow(environment: Path, approve: Callable[[Any], None]) -> State[Any]:
    """A flow run for production that `approve` resumes."""
    states: list[State[Any]] = []
    plan = json.loads(plan_file(environment).read_text())

    def work() -> None:
        states.append(database_optimize("production", plan=plan, output=str(environment), return_state=True))

    thread = threading.Thread(target=copy_context().run, args=(work,))  # with the server's address
    thread.start()
    approve(paused())
    thread.join(60)
    return states[0]


def typed(run: Any, digits: str) -> None:
    """What the form of the UI sends."""
    with get_client(sync_client=True) as client:
        client.resume_flow_run(run.id, run_input={"approved_by": "Asha", "plan": digits})


def clicked(page: Page, ui: str, run: Any) -> None:
    """What a person does: press Resume, read the plan, fill the form in, press Submit."""
    page.visit(f"{ui}/runs/flow-run/{run.id}")
    page.click(button("Resume"))
    page.wait_for("document.querySelectorAll('.p-modal textarea').length === 2")
    page.wait_for_text("CREATE INDEX CONCURRENTLY hasivu_perf_customer")
    digits = page.wait_for("document.body.innerText.match(/plan ([0-9a-f]{12})/)?.[1]")
    for number, text in enumerate(("Asha", digits)):
        field = f"document.querySelectorAll('.p-modal textarea')[{number}]"
        page.run(f"{field}.focus()")
        page.call("Input.insertText", text=text)
        page.wait_for(f"{field}.value === {json.dumps(text)}")
    time.sleep(0.5)  # the dialogue is still sliding in, and a click may miss it
    page.click(button("Submit", "document.querySelector('.p-modal')"))


def button(text: str, within: str = "document") -> str:
    return (
        f"[...{within}.querySelectorAll('button')]"
        f".filter(b => b.innerText.trim() === '{text}' && b.offsetParent !== null).at(-1)"
    )


@needs_chromium
@pytest.mark.system
def test_production_is_approved_by_a_click_in_the_ui(
    server: str, shop: Database, environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approval, "POLL_S", 1)
    with chromium() as page:
        state = approved_flow(environment, lambda run: clicked(page, server.removesuffix("/api"), run))
    assert state.is_completed(), state.message
    assert indexes(shop) == {"hasivu_perf_customer": True}
    page_of = pages("changes-production")[-1]
    assert "Asha in the Prefect UI" in page_of
    assert "| kept |" in page_of


def test_other_digits_approve_nothing(
    server: str, shop: Database, environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approval, "POLL_S", 1)
    state = approved_flow(environment, lambda run: typed(run, "000000000000"))
    assert state.is_failed()
    assert "was not approved" in str(state.message)
    assert indexes(shop) == {}


def test_the_command_runs_as_a_flow_where_a_server_is_named(
    server: str,
    shop: Database,
    environment: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", server)
    monkeypatch.delenv("OWNER_URL")
    code = optimize(
        "development", plan=plan_file(environment), approve=True, dsn=shop.application, output=str(environment)
    )
    assert code is ExitCode.PASS, capsys.readouterr()
    assert indexes(shop) == {"hasivu_perf_customer": True}
    assert "| kept |" in pages("changes-development")[-1]
    with get_client(sync_client=True) as client:
        run = client.read_flow_runs(limit=1)[0]
        assert client.read_global_concurrency_limit_by_name("load-development").limit == 1
    assert shop.application not in json.dumps(run.parameters)


def test_an_error_within_the_flow_is_told_as_without_one(
    server: str, environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", server)
    dead = "postgresql://hasivu_app:x@127.0.0.1:9/hasivu"
    with pytest.raises(TargetUnreachableError, match="does not answer"):
        optimize("development", plan=plan_file(environment), approve=True, dsn=dead, output=str(environment))
