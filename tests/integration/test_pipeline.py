"""The flow on a real Prefect server: parallel stages, a partial run that fails, a retry that repairs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.flow_engine import run_flow
from prefect.settings import (
    PREFECT_LOCAL_STORAGE_PATH,
    temporary_settings,
)
from prefect.states import AwaitingRetry

from deployments.config import PROFILES, Profile, RunConfig, Target
from deployments.parameters import ValidationParams
from flows.pipeline import performance_pipeline
from storage.errors import TargetUnreachableError
from storage.parquet import Store
from storage.records import Collected, ComponentId, Finding, Measurement, Report, Unit, Window
from storage.runs import RunFolder
from tasks import progress
from tasks.components import COMPONENTS
from tasks.components.base import Check, CollectContext, Samples

ROOT = Path(__file__).resolve().parents[2]
VARIABLES = {
    "DEVELOPMENT_API_URL": "http://localhost:1",
    "DEVELOPMENT_WS_URL": "ws://localhost:1",
    "DEVELOPMENT_REDIS_URL": "redis://:canary-redis@localhost:1",
    "DEVELOPMENT_DATABASE_URL": "postgresql://u:canary%40db@localhost:1/x",
    "AWS_REGION": "ap-south-1",
}


MEET_S = 60.0
"""A server on SQLite holds one run up while it writes for another, on a busy machine for long."""


class Scripted:
    """A component that measures a value it was given, until it is told to fail."""

    def __init__(self, component: ComponentId) -> None:
        self.id = component
        self.title = component.value
        self.metrics = frozenset({f"{component.value}.latency.p95"})
        self.error: Exception | None = None
        self.collected = 0
        self.takes_s = 0.0
        self.until: Callable[[], object] = lambda: None

    def collect(self, context: CollectContext) -> Collected:
        self.collected += 1
        if self.error:
            raise self.error
        self.until()
        moments = [datetime.now(UTC)]
        for _ in range(2):
            time.sleep(self.takes_s / 2)
            moments.append(datetime.now(UTC))
        context.sink.write("samples", pa.table({"value": [1.0, 2.0, 3.0], "at": moments}))
        return Collected(window=Window(start=moments[0], end=moments[-1]))

    def measure(self, samples: Samples, config: RunConfig) -> list[Measurement]:
        values: list[Any] = samples.tables["samples"].column("value").to_pylist()
        return [
            Measurement(
                metric=f"{self.id.value}.latency.p95",
                value=max(values),
                unit=Unit.MS,
                n=len(values),
                source="script",
                window=samples.collected.window,
            )
        ]

    def advise(self, samples: Samples, measurements: Sequence[Measurement], config: RunConfig) -> list[Finding]:
        return []

    def check(self, config: RunConfig, target: Target) -> list[Check]:
        return []


class StatusServer(ThreadingHTTPServer):
    """A target that says which release it is, and nothing else."""

    def __init__(self, release: str) -> None:
        self.release = release
        super().__init__(("127.0.0.1", 0), _Status)
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Status(BaseHTTPRequestHandler):
    server: StatusServer

    def do_GET(self) -> None:
        content = json.dumps({"release": self.server.release}).encode()
        self.send_response(200 if self.path == "/status" else 404)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> dict[ComponentId, Scripted]:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    parts = {component: Scripted(component) for component in ComponentId}
    for component, part in parts.items():
        monkeypatch.setitem(COMPONENTS, component, part)
    return parts


def parameters(output: Path) -> ValidationParams:
    return ValidationParams(output=str(output), run="r1")


def report_of(output: Path) -> Report:
    return RunFolder(Store(output), "development", "r1").report()


def again(state: State[Any], params: ValidationParams) -> State[Any]:
    """What the UI's Retry does: AwaitingRetry by the API, then the same flow run again."""
    flow_run_id = state.state_details.flow_run_id
    assert isinstance(flow_run_id, UUID)
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(flow_run_id, AwaitingRetry(), force=True)
        flow_run: FlowRun = client.read_flow_run(flow_run_id)
    ended = run_flow(performance_pipeline, flow_run=flow_run, parameters={"params": params}, return_type="state")
    assert isinstance(ended, State)
    return ended


def test_all_components_are_measured_and_judged(
    server: str, scripted: dict[ComponentId, Scripted], tmp_path: Path
) -> None:
    state = performance_pipeline(parameters(tmp_path), return_state=True)
    assert state.is_completed(), state.message
    report = report_of(tmp_path)
    assert {one.component: one.status for one in report.components} == dict.fromkeys(ComponentId, "measured")
    assert not report.partial


def test_a_failed_component_leaves_the_others_whole_and_a_retry_measures_it_alone(
    server: str, scripted: dict[ComponentId, Scripted], tmp_path: Path
) -> None:
    scripted[ComponentId.CACHE].error = TargetUnreachableError("nothing answers at localhost:1")
    params = parameters(tmp_path)
    first = performance_pipeline(params, return_state=True)
    assert first.is_failed()
    assert "cache" in str(first.message)
    partial = report_of(tmp_path)
    assert {one.component for one in partial.components if one.status != "measured"} == {ComponentId.CACHE}
    assert partial.partial

    scripted[ComponentId.CACHE].error = None
    second = again(first, params)
    assert second.is_completed(), second.message
    whole = report_of(tmp_path)
    assert {one.status for one in whole.components} == {"measured"}
    assert {part.id: part.collected for part in scripted.values()} == {
        component: 2 if component is ComponentId.CACHE else 1 for component in ComponentId
    }
    assert {one.component: one.attempt for one in whole.components if one.status == "measured"}[
        ComponentId.CACHE
    ] == 2


def test_a_damaged_component_is_measured_again_and_the_report_says_so(
    server: str, scripted: dict[ComponentId, Scripted], tmp_path: Path
) -> None:
    scripted[ComponentId.CACHE].error = TargetUnreachableError("nothing answers at localhost:1")
    params = parameters(tmp_path)
    first = performance_pipeline(params, return_state=True)
    (damaged,) = tmp_path.glob("performance-analysis-results/development/r1/api/samples.parquet")
    damaged.write_bytes(damaged.read_bytes()[:-7])
    (lost,) = tmp_path.glob("performance-analysis-results/development/r1/lambda/findings.json")
    lost.unlink()

    scripted[ComponentId.CACHE].error = None
    second = again(first, params)
    assert second.is_completed(), second.message
    twice = {ComponentId.CACHE, ComponentId.API, ComponentId.LAMBDA}
    assert {part.id for part in scripted.values() if part.collected == 2} == twice
    attempts = {one.component: one for one in report_of(tmp_path).components if one.status == "measured"}
    assert {component for component, one in attempts.items() if one.attempt == 2} == twice
    assert any(
        "samples.parquet is not what was written" in note for note in attempts[ComponentId.API].collected.notes
    )
    assert any("findings.json is missing" in note for note in attempts[ComponentId.LAMBDA].collected.notes)
    third = again(first, params)
    assert third.is_completed()
    assert max(part.collected for part in scripted.values()) == 2, "what was repaired stays"


def test_a_process_without_the_results_of_the_first_measures_only_what_failed(
    server: str, scripted: dict[ComponentId, Scripted], tmp_path: Path
) -> None:
    scripted[ComponentId.RFID].error = TargetUnreachableError("nothing answers at localhost:1")
    params = ValidationParams(output=str(tmp_path))
    first = performance_pipeline(params, return_state=True)
    scripted[ComponentId.RFID].error = None
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: tmp_path / "elsewhere"}):
        second = again(first, params)
    assert second.is_completed(), second.message
    assert {part.id for part in scripted.values() if part.collected == 2} == {ComponentId.RFID}
    (report,) = tmp_path.glob("performance-orchestration-reports/development/*/report.json")
    assert not Report.model_validate_json(report.read_bytes()).partial


def test_a_component_of_a_completed_run_can_be_measured_again(
    server: str, scripted: dict[ComponentId, Scripted], tmp_path: Path
) -> None:
    assert performance_pipeline(parameters(tmp_path), return_state=True).is_completed()
    params = ValidationParams(output=str(tmp_path), run="r1", again=("websocket",))
    second = performance_pipeline(params, return_state=True)
    assert second.is_completed(), second.message
    assert {part.id for part in scripted.values() if part.collected == 2} == {ComponentId.WEBSOCKET}
    report = report_of(tmp_path)
    (part,) = [one for one in report.components if one.component is ComponentId.WEBSOCKET]
    assert part.status == "measured"
    assert part.attempt == 2
    assert any("it was asked for" in note for note in part.collected.notes)
    assert [attempt.number for attempt in report.attempts] == [1, 2]


def test_a_run_that_is_not_there_cannot_be_measured_again(
    server: str, scripted: dict[ComponentId, Scripted], tmp_path: Path
) -> None:
    params = ValidationParams(output=str(tmp_path), run="r0", again=("cache",))
    state = performance_pipeline(params, return_state=True)
    assert state.is_failed()
    assert "no run 'r0' of development" in str(state.message)


def test_a_retry_after_a_redeployment_cannot_pass(
    server: str, scripted: dict[ComponentId, Scripted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StatusServer("v1") as target:
        monkeypatch.setenv("DEVELOPMENT_API_URL", target.url)
        scripted[ComponentId.CACHE].error = TargetUnreachableError("nothing answers at localhost:1")
        params = parameters(tmp_path)
        first = performance_pipeline(params, return_state=True)
        target.release = "v2"
        scripted[ComponentId.CACHE].error = None
        second = again(first, params)
    assert second.is_completed(), second.message
    (check,) = [check for check in report_of(tmp_path).gate.checks if check.id == "one_target"]
    assert check.verdict == "no_data"
    assert "release v1 → v2" in check.detail
    assert second.data is not None
    assert "no_data" in str(second.message)


def test_a_release_is_held_against_the_one_before(
    server: str, scripted: dict[ComponentId, Scripted], tmp_path: Path
) -> None:
    def released(run: str, tag: str, baseline: str | None = None) -> Report:
        params = ValidationParams(output=str(tmp_path), run=run, release=tag, baseline=baseline)
        assert performance_pipeline(params, return_state=True).is_completed()
        return RunFolder(Store(tmp_path), "development", run).report()

    assert released("r1", "v1").info.baseline is None
    assert released("r2", "v2").info.baseline == "r1"
    third = released("r3", "v3")
    assert third.info.baseline == "r2"
    assert any(note.startswith("Compared with run r2 of release v2") for note in third.notes)
    assert "confirmed_regressions" in {check.id for check in third.gate.checks}
    assert released("r4", "v4", baseline="v1").info.baseline == "r1"


def sampled(tmp_path: Path, *runs: tuple[Profile, str]) -> list[tuple[datetime, datetime]]:
    """The first and the last moment that the samples of some runs hold, which were started at once."""

    def started(run: tuple[Profile, str]) -> State[Any]:
        profile, name = run
        params = ValidationParams(profile=profile, output=str(tmp_path), run=name)
        return performance_pipeline(params, return_state=True)

    with ThreadPoolExecutor(len(runs)) as pool:
        states = list(pool.map(lambda pair: pair[0].run(started, pair[1]), [(copy_context(), run) for run in runs]))
    assert all(state.is_completed() for state in states)
    spans = []
    for profile, run in runs:
        files = tmp_path.glob(f"performance-analysis-results/{profile}/{run}/*/samples.parquet")
        moments: list[Any] = [at for file in files for at in pq.read_table(file).column("at").to_pylist()]
        assert len(moments) == 3 * len(ComponentId)
        spans.append((min(moments), max(moments)))
    return spans


def test_two_runs_of_one_environment_never_load_it_at_once(
    server: str, scripted: dict[ComponentId, Scripted], tmp_path: Path
) -> None:
    waits = threading.Event()
    for part in scripted.values():
        part.takes_s = 4.0
    scripted[ComponentId.DATABASE].until = lambda: waits.wait(MEET_S)  # the first measures until the other waits

    def heard(text: str) -> None:
        if text.startswith("waiting for"):
            waits.set()

    with progress.watching(lambda _: None, heard):
        first, second = sorted(sampled(tmp_path, ("development", "r1"), ("development", "r2")))
    assert waits.is_set()
    assert first[1] < second[0]
    waited = [RunFolder(Store(tmp_path), "development", run).attempts()[0].waited_s for run in ("r1", "r2")]
    assert max(waited) >= 2


def test_two_environments_are_measured_at_once(
    server: str, scripted: dict[ComponentId, Scripted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name.replace("DEVELOPMENT", "STAGING"), value)
    both = threading.Barrier(2)
    scripted[ComponentId.DATABASE].until = lambda: both.wait(MEET_S)  # each measures until the other does so, too
    sampled(tmp_path, ("development", "r1"), ("staging", "r1"))


def test_a_component_that_stays_dead_stays_not_measured(
    server: str, scripted: dict[ComponentId, Scripted], tmp_path: Path
) -> None:
    scripted[ComponentId.RFID].error = TargetUnreachableError("nothing answers at localhost:1")
    params = parameters(tmp_path)
    first = performance_pipeline(params, return_state=True)
    second = again(first, params)
    assert second.is_failed()
    assert scripted[ComponentId.RFID].collected == 2
    (failed,) = [one for one in report_of(tmp_path).components if one.status == "failed"]
    assert failed.attempt == 2


def test_no_secret_reaches_the_report_or_the_server(
    server: str, scripted: dict[ComponentId, Scripted], tmp_path: Path
) -> None:
    url = VARIABLES["DEVELOPMENT_DATABASE_URL"]
    scripted[ComponentId.DATABASE].error = ValueError(f"no route to {url} with canary@db and canary%40db")
    state = performance_pipeline(parameters(tmp_path), return_state=True)
    text = report_of(tmp_path).model_dump_json()
    assert "internal error" in text
    for file in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert b"canary" not in file.read_bytes(), file
    with get_client(sync_client=True) as client:
        runs = client.read_task_runs()
        seen = " ".join(one.model_dump_json() for one in runs) + str(state.message)
    assert "canary" not in seen


def test_every_deployment_of_prefect_yaml_is_accepted(server: str, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PREFECT_API_URL": server,
        "PREFECT_HOME": str(tmp_path),
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    program = str(Path(sys.executable).with_name("prefect"))
    for arguments in (
        ("work-pool", "create", "hasivu-perf", "--type", "process"),
        ("--no-prompt", "deploy", "--all"),
    ):
        done = subprocess.run(
            [program, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=200
        )
        assert done.returncode == 0, done.stdout + done.stderr
    with get_client(sync_client=True) as client:
        deployed = {one.name: one for one in client.read_deployments()}
    assert set(deployed) == {*PROFILES, "retention", "republish", "database-optimize"}
    for name in PROFILES:
        assert ValidationParams.model_validate(deployed[name].parameters["params"]).profile == name
