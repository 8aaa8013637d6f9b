"""`hasivu-perf release` on a real server with a password and the real trigger; once with a real worker."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from pathlib import Path
from uuid import UUID

import pytest
import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import ArtifactCreate, DeploymentUpdate
from prefect.client.schemas.objects import FlowRun, State
from prefect.events import AutomationCore, Event, Resource
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, PREFECT_HOME, temporary_settings
from prefect.states import Cancelled, Completed, Crashed, Failed, Running

from deployments.hosting.guardian import Guardian
from deployments.local import held
from deployments.parameters import ValidationParams
from deployments.server import connected, set_up
from flows import following
from flows.cli import app
from flows.release import release
from storage.errors import ExitCode, NotMeasuredError, UsageError
from tests.prefect_servers import full_server

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(sys.executable).with_name("hasivu-perf")
AUTH = "perf:canary5ecret"
DEPLOYMENT = "performance-pipeline/staging"


@pytest.fixture(scope="module")
def client() -> Iterator[SyncPrefectClient]:
    """A client of a server that `setup` has set up, whose staging deployment is quick."""
    with ExitStack() as stack:
        changed = stack.enter_context(pytest.MonkeyPatch.context())
        changed.setenv("PREFECT_SERVER_API_AUTH_STRING", AUTH)
        changed.setenv("PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL", "0.5")
        stack.enter_context(full_server())
        stack.enter_context(temporary_settings({PREFECT_API_AUTH_STRING: AUTH}))
        found = stack.enter_context(connected())
        list(set_up(found))
        staging = found.read_deployment_by_name(DEPLOYMENT)
        found.update_deployment(staging.id, DeploymentUpdate(entrypoint="tests.stand_in.stand_in"))
        yield found


def run_of(client: SyncPrefectClient, tag: str) -> FlowRun | None:
    runs: list[FlowRun] = client.read_flow_runs()
    return next((run for run in runs if run.parameters["params"].get("release") == tag), None)


def awaited(client: SyncPrefectClient, tag: str) -> FlowRun:
    until = time.monotonic() + 20
    while not (run := run_of(client, tag)):
        assert time.monotonic() < until
        time.sleep(0.2)
    return run


def verdict(run: UUID, code: int) -> ArtifactCreate:
    row = {"environment": "staging", "release": "x", "verdict": "v", "score": "1", "grade": "D", "report": "r"}
    data = json.dumps([{**row, "exit_code": str(code)}])
    return ArtifactCreate(key="verdict-staging", type="table", data=data, flow_run_id=run)


@contextmanager
def ending(client: SyncPrefectClient, tag: str, state: State[None], code: int | None = None) -> Iterator[None]:
    """What a worker and its run would report of the release, in a thread beside the block."""

    def play() -> None:
        run = awaited(client, tag)
        client.set_flow_run_state(run.id, Running(), force=True)
        if code is not None:
            client.create_artifact(verdict(run.id, code))
        client.set_flow_run_state(run.id, state, force=True)

    with ThreadPoolExecutor(1) as pool:
        player = pool.submit(copy_context().run, play)
        yield
        player.result()


def publish(tag: str, timeout_s: float = 150, *, as_json: bool = False) -> ExitCode:
    return release(tag, commit="0123abc", baseline=None, wait=True, timeout_s=timeout_s, as_json=as_json)


@pytest.mark.parametrize(
    ("tag", "state", "code"),
    [
        ("v1-pass", Completed(message="gate: pass"), 0),
        ("v1-incomplete", Failed(message="not measured: cache"), 3),
    ],
)
def test_the_exit_code_is_the_gates(
    client: SyncPrefectClient, capsys: pytest.CaptureFixture[str], tag: str, state: State[None], code: int
) -> None:
    with ending(client, tag, state, code=code):
        assert publish(tag, as_json=True) == code
    out, err = capsys.readouterr()
    answer = json.loads(out)
    run = awaited(client, tag)
    assert (answer["exit_code"], answer["flow_run"]) == (code, str(run.id))
    assert str(run.id) in answer["flow_run_url"]
    assert str(state.name) in err
    started_with = {"profile": "staging", "release": tag, "commit": "0123abc", "baseline": None}
    assert run.parameters == {"params": started_with}


def test_an_event_from_elsewhere_needs_the_tag_alone(client: SyncPrefectClient) -> None:
    event = Event(
        event="hasivu.release.published",
        resource=Resource.model_validate({"prefect.resource.id": "hasivu.release.v0"}),
        payload={"tag": "v0"},
    )
    client.request("POST", "/events", json=[event.model_dump(mode="json")])
    params = ValidationParams.model_validate(awaited(client, "v0").parameters["params"])
    assert (params.profile, params.release, params.commit, params.baseline) == ("staging", "v0", None, None)


@pytest.mark.parametrize(
    ("tag", "state", "words"),
    [
        ("v2-crash", Crashed(message="its process died"), "ended Crashed: its process died"),
        ("v2-cancel", Cancelled(), "ended Cancelled"),
        ("v2-none", Failed(message="STAGING_API_URL is not set"), "without a verdict: STAGING_API_URL is not set"),
    ],
)
def test_no_verdict_is_exit_code_3_with_the_reason(
    client: SyncPrefectClient, tag: str, state: State[None], words: str
) -> None:
    played = ending(client, tag, state, code=0 if tag == "v2-crash" else None)
    with played, pytest.raises(NotMeasuredError, match=words) as caught:
        publish(tag)
    assert "/runs/flow-run/" in str(caught.value)
    assert caught.value.exit_code == 3


def test_without_a_worker_it_says_so(client: SyncPrefectClient) -> None:
    with pytest.raises(NotMeasuredError, match="no worker of the pool hasivu-perf is online: start one") as caught:
        publish("v3", timeout_s=4)
    run = awaited(client, "v3")
    assert str(run.id) in str(caught.value)
    assert run.state is not None
    assert not run.state.is_final(), "waiting ends, the run does not"


def test_a_trigger_that_is_off_or_missing_is_named(
    client: SyncPrefectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "START_S", 1.5)
    (trigger,) = client.read_automations_by_name("release-staging")
    client.pause_automation(trigger.id)
    with pytest.raises(NotMeasuredError, match="release-staging is switched off"):
        publish("v4-off")
    client.delete_automation(trigger.id)
    with pytest.raises(NotMeasuredError, match="run `hasivu-perf setup`"):
        publish("v4-missing")
    list(set_up(client))
    staging = client.read_deployment_by_name(DEPLOYMENT)
    client.update_deployment(staging.id, DeploymentUpdate(entrypoint="tests.stand_in.stand_in"))


def test_a_run_that_the_server_refuses_is_named_at_once(client: SyncPrefectClient) -> None:
    """The trigger's parameters do not fit the deployment: nothing will ever start."""
    (found,) = client.read_automations_by_name("release-staging")
    right = AutomationCore.model_validate(found.model_dump(mode="json", exclude={"id", "owner_resource"}))
    (action,) = right.actions
    wrong = right.model_copy(
        update={"actions": [action.model_copy(update={"parameters": {"params": {"profile": "nowhere"}}})]}
    )
    client.update_automation(found.id, wrong)
    try:
        with pytest.raises(NotMeasuredError, match=r"could not start the run.*nowhere"):
            publish("v5")
    finally:
        client.update_automation(found.id, right)


def test_a_wrong_name_or_server_is_a_usage_error(client: SyncPrefectClient) -> None:
    for tag in ("", "a b", "v1{{ x }}", "x" * 101):
        with pytest.raises(UsageError, match="use letters, digits"):
            publish(tag)
    for changes, words in (
        ({PREFECT_API_URL: ""}, "PREFECT_API_URL is not set"),
        ({PREFECT_API_URL: "http://127.0.0.1:1/api"}, "no Prefect server answers at http://127.0.0.1:1/api"),
        ({PREFECT_API_AUTH_STRING: "perf:wrong"}, "refuses with 401: set PREFECT_API_AUTH_STRING"),
    ):
        with temporary_settings(changes), pytest.raises(UsageError, match=words) as caught:
            publish("v6")
        assert caught.value.exit_code == 2


def test_a_server_that_goes_away_is_waited_for_and_then_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restart of the server is no end of the waiting; here it stays away."""
    monkeypatch.setattr(following, "PATIENCE_S", 2.0)
    monkeypatch.setattr(following, "POLL_S", 0.1)
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}),
        SyncPrefectClient("http://127.0.0.1:1/api") as nobody,
        pytest.raises(NotMeasuredError, match=r"not answered for 2 s \(ConnectError\)"),
    ):
        following.started_run(nobody, UUID(int=1), time.monotonic() + 60)


@pytest.fixture
def worker(client: SyncPrefectClient) -> Iterator[dict[str, str]]:
    """A process worker as `serve` starts it; yields the variables of a program beside it."""
    for run in client.read_flow_runs():
        client.delete_flow_run(run.id)  # those that still wait for a worker
    folder = Path(tempfile.mkdtemp(prefix="hasivu-test-"))
    kept = held.Home(Path(PREFECT_HOME.value()).parent)
    address = str(PREFECT_API_URL.value())
    variables = {
        **held.worker_variables(kept, address, {}),
        "PREFECT_API_AUTH_STRING": AUTH,
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PYTHONPATH": str(ROOT),
    }
    with Guardian(folder) as guardian:
        held.start_worker(guardian, kept, "hasivu-perf", variables)
        yield {**os.environ, "PREFECT_API_URL": address, "PREFECT_API_AUTH_STRING": AUTH}


def until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_worker_runs_it_and_ctrl_c_only_stops_the_waiting(
    client: SyncPrefectClient, worker: dict[str, str], tmp_path: Path
) -> None:
    command = [str(PROGRAM), "release", "v7", "--commit", "0123abc", "--baseline", "v6", "--wait"]
    done = subprocess.run(command, env=worker, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 1, done.stderr
    assert "staging v7: fail, score 81.0, grade B" in done.stdout
    assert "report  0123abc v6" in done.stdout
    assert re.search(r"^\d\d:\d\d:\d\d (Pending|Running|Completed)$", done.stderr, re.MULTILINE)
    assert "canary5ecret" not in done.stdout + done.stderr

    with (tmp_path / "log").open("wb") as log:
        waiting = subprocess.Popen([*command[:2], "v8", "--wait"], env=worker, cwd=tmp_path, stderr=log, stdout=log)
        until(lambda: "/runs/flow-run/" in (tmp_path / "log").read_text(), 40)
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(20) == 130
    assert "stopped waiting; the run goes on: http" in (tmp_path / "log").read_text()


def test_the_github_example_is_a_workflow_that_calls_the_program() -> None:
    text = (ROOT / "docs" / "release.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    workflow = yaml.safe_load(block)
    assert workflow[True] == {"push": {"tags": ["v*"]}}  # YAML 1.1 reads `on` as true
    assert workflow["permissions"] == {"contents": "read"}
    (job,) = workflow["jobs"].values()
    steps = job["steps"]
    assert all(re.search(r"@[0-9a-f]{40}$", step["uses"]) for step in steps if "uses" in step)
    called = next(step for step in steps if "hasivu-perf release" in step.get("run", ""))
    assert called["env"]["PREFECT_API_AUTH_STRING"] == "${{ secrets.PREFECT_API_AUTH_STRING }}"
    line = next(one for one in called["run"].splitlines() if "hasivu-perf release" in one)
    arguments = line.split("hasivu-perf ", 1)[1].split(" >")[0].replace('"', "").split()
    _, bound, _ = app.parse_args(arguments, exit_on_error=False, print_error=False)
    assert bound.arguments["wait"] is True
    assert bound.arguments["commit"] == "$GITHUB_SHA"
