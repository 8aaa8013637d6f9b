"""The pipeline on real Dask clusters, chosen by configuration alone, and loads in shards, there and without Dask."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import dask
import numpy as np
import pytest
from distributed import Client, LocalCluster
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.flow_engine import run_flow
from prefect.states import AwaitingRetry
from prefect_dask.task_runners import DaskTaskRunner
from pydantic import SecretStr

from deployments.config import Scale, Target, build_config
from deployments.parameters import ValidationParams
from flows.pipeline import performance_pipeline
from storage.errors import NotMeasuredError
from storage.parquet import Store
from storage.records import ComponentId
from storage.runs import RunFolder
from tasks import progress, results
from tasks.components.base import CollectContext, Progress
from tasks.components.rfid import RFID
from tasks.load.http_load import SEED
from tasks.load.recording import samples
from tasks.load.schedule import Phase, arrivals
from tasks.task_runner import local_cluster, open_runner
from tests.dask_components import FOLDER
from tests.load_servers import Received, reply, serving
from tests.sinks import Sink

SCRIPTED = [component.value for component in ComponentId if component is not ComponentId.API]
LOAD = {"users": "40", "duration_s": "3", "ramp_up_s": "1"}
PATIENT = {"scale.max_clock_offset_ms": "1000"}
"""A share of a busy machine may come late: it sends what it was to send, and what is asserted here stays true."""
CLUSTER = local_cluster(Scale(runner="dask", cluster_workers=2, shards=3)) | {"security": None}


async def answer(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(reply())


@pytest.fixture(scope="module")
def target() -> Iterator[Received]:
    with serving(answer) as received, pytest.MonkeyPatch.context() as patch:
        for name in ("WS_URL", "REDIS_URL", "DATABASE_URL"):
            patch.setenv(f"DEVELOPMENT_{name}", "redis://:canary-secret@localhost:1")
        patch.setenv("DEVELOPMENT_API_URL", f"http://u:canary-secret@127.0.0.1:{received.port}/base")
        patch.setenv("AWS_REGION", "ap-south-1")
        patch.setenv("LUNCH_TOKEN", "canary-token")
        yield received


@pytest.fixture(scope="module")
def scripts() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER, folder)
        yield Path(folder)


@pytest.fixture(scope="module")
def cluster(target: Received, scripts: Path) -> Iterator[Client]:
    settings = {"distributed.worker.preload": ["tests.dask_components"], "distributed.scheduler.allowed-failures": 0}
    with (
        dask.config.set(settings),
        LocalCluster(**CLUSTER) as local,  # type: ignore[no-untyped-call]
        Client(local, set_as_default=False) as client,  # type: ignore[no-untyped-call]
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("TEST_SCHEDULER", local.scheduler_address)
        yield client


def parameters(output: Path, run: str, *components: str, **scale: str) -> ValidationParams:
    overrides = LOAD | PATIENT | {f"scale.{name}": value for name, value in {"runner": "dask", **scale}.items()}
    return ValidationParams(output=str(output), run=run, components=components, overrides=overrides)


def retried(state: State[Any], params: ValidationParams) -> State[Any]:
    """What the UI's Retry does."""
    flow_run_id = state.state_details.flow_run_id
    assert isinstance(flow_run_id, UUID)
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(flow_run_id, AwaitingRetry(), force=True)
        flow_run = client.read_flow_run(flow_run_id)
    ended = run_flow(performance_pipeline, flow_run=flow_run, parameters={"params": params}, return_type="state")
    assert isinstance(ended, State)
    return ended


def pids(scripts: Path, component: str) -> list[int]:
    return [int(line) for line in (scripts / f"{component}.pids").read_text().split()]


def asked(target: Received) -> int:
    """Requests of the load, not those that ask the target which build it is."""
    return sum("User-Agent: hasivu-perf" in head for head in target.heads)


def test_components_and_shards_run_on_several_workers_and_a_retry_measures_the_failed_one_alone(
    server: str, cluster: Client, target: Received, scripts: Path, tmp_path: Path
) -> None:
    (scripts / "cache").write_text("fail")
    params = parameters(tmp_path, "r1", *ComponentId, address="TEST_SCHEDULER", shards="3")
    seen: list[Progress] = []
    with progress.watching(seen.append):
        first = performance_pipeline(params, return_state=True)
    assert first.is_failed()
    assert "not measured: cache;" in str(first.message)
    assert {one.component for one in seen} == {ComponentId.API}  # told by a worker, seen in the flow's process

    workers = set(cluster.run(os.getpid).values())
    assert {pids(scripts, one)[-1] for one in SCRIPTED} == workers
    assert len(workers) == 2
    folder = RunFolder(Store(tmp_path), "development", "r1")
    api = results.stored_manifests(folder)["api"]
    assert api.collected.load is not None
    assert api.collected.load.planned == api.collected.load.sent == asked(target) == 100  # 20 in the ramp, 80 after
    assert api.collected.load_plan["shards"].startswith("3, their owners 2 on ")

    table = folder.component(ComponentId.API).tables(api)["samples"]
    assert np.bincount(samples.column(table, "worker")).tolist() == [34, 33, 33]
    planned = arrivals([Phase("ramp", 0, 40, 1), Phase("steady", 40, 40, 2)], seed=SEED).offsets_ns
    intended = np.sort(samples.column(table, "intended_ns"))
    assert float(np.ptp((intended - planned) / 1e6)) < 50  # ms between the first and the last start

    (scripts / "cache").unlink()
    second = retried(first, params)
    assert second.is_completed(), second.message
    assert asked(target) == 100
    assert {one: len(pids(scripts, one)) for one in SCRIPTED} == {one: 2 if one == "cache" else 1 for one in SCRIPTED}
    assert results.stored_manifests(folder)["cache"].attempt == 2
    for file in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert b"canary-secret" not in file.read_bytes(), file

    (scripts / "cache").write_text("die")
    dying = performance_pipeline(parameters(tmp_path, "r9", "cache", address="TEST_SCHEDULER"), return_state=True)
    assert dying.is_failed()
    errors = [
        one.error
        for one in RunFolder(Store(tmp_path), "development", "r9").report().components
        if one.status == "failed"
    ]
    assert errors == ["the process that measured it died (KilledWorker)"]


LUNCH = """
async def lunch(user):
    await user.http.get("/menus", headers={"x-token": user.variables["token"]})
"""


def test_journeys_are_shared_over_the_cluster_and_no_secret_travels(
    server: str, cluster: Client, target: Received, tmp_path: Path
) -> None:
    (tmp_path / "lunch.py").write_text(LUNCH)
    (tmp_path / "out").mkdir()
    params = parameters(tmp_path / "out", "r2", "api", address="TEST_SCHEDULER", shards="3")
    scenario = {
        "scenario.file": f"{tmp_path}/lunch.py:lunch",
        "scenario.variables": '{ token = "${LUNCH_TOKEN}" }',
    }
    params = params.model_copy(update={"overrides": {**params.overrides, **scenario}})
    before = len(target.heads)
    state = performance_pipeline(params, return_state=True)
    assert state.is_completed(), state.message
    sent = [head for head in target.heads[before:] if "x-token: canary-token" in head.lower()]
    folder = RunFolder(Store(tmp_path / "out"), "development", "r2")
    api = results.stored_manifests(folder)["api"]
    tables = folder.component(ComponentId.API).tables(api)
    assert tables["journeys"].num_rows == tables["samples"].num_rows == len(sent) == 100
    assert np.bincount(samples.column(tables["samples"], "worker")).tolist() == [34, 33, 33]
    assert api.collected.load_plan["journeys"].startswith("100 began, 0 of 100 failed")
    for file in (path for path in (tmp_path / "out").rglob("*") if path.is_file()):
        assert b"canary" not in file.read_bytes(), file


def waiting(folder: Path) -> None:
    """A component that tells its progress for half a minute."""
    try:
        for tick in range(300):
            progress.tell(Progress(ComponentId.LAMBDA, tick / 10, 30.0))
            time.sleep(0.1)
    except NotMeasuredError:
        (folder / "ended").write_text(str(time.time()))


def test_a_component_whose_flow_is_gone_ends_at_its_next_sign_of_life(cluster: Client, tmp_path: Path) -> None:
    with Client(os.environ["TEST_SCHEDULER"], set_as_default=False) as flows:  # type: ignore[no-untyped-call]
        future = flows.submit(waiting, tmp_path)
        time.sleep(1)
        assert future.status == "pending"
    left = time.time()
    while not (tmp_path / "ended").exists() and time.time() - left < 40:
        time.sleep(0.05)
    assert float((tmp_path / "ended").read_text()) - left < 20  # not at the end of its half minute


def test_the_readers_moderate_load_is_shared_by_processes_and_their_search_is_not(
    target: Received,
) -> None:
    async def verified(_received: Received, _target: str, _body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(body=b'{"success": true}'))

    fields = PATIENT | {"duration_s": "3", "ramp_up_s": "1", "max_rate": "60", "scale.shards": "2"}
    config = build_config("development", overrides=fields)
    sink = Sink()
    with serving(verified) as readers:
        url = SecretStr(f"http://127.0.0.1:{readers.port}")
        collected = RFID.collect(CollectContext(config, Target(api_url=url), sink))
    table = sink["samples"]
    assert collected.load is not None
    assert collected.load.planned == collected.load.sent == readers.requests == table.num_rows
    shared = samples.of_phase(table, "warmup", "steady", "bulk")
    first, second = np.bincount(samples.column(shared, "worker")).tolist()
    assert 0 <= first - second <= 2  # of each of two stages, the first shard may have one request more
    assert int((samples.column(table, "worker") == 0).sum()) - first == table.num_rows - shared.num_rows > 0
    assert "the capacity search ran in one process, not in shards" in collected.notes
    assert collected.load_plan["shards"].startswith("2, their owners 1 on ")


def test_a_cluster_of_the_runs_own_is_encrypted_and_ends_with_it() -> None:
    with open_runner(Scale(runner="dask", cluster_workers=1)) as runner:
        assert isinstance(runner, DaskTaskRunner)
        pid = runner.client.submit(os.getpid).result(timeout=30)  # type: ignore[no-untyped-call]
        assert pid != os.getpid()
        assert all(address.startswith("tls://127.0.0.1:") for address in runner.client.scheduler_info()["workers"])
    assert not Path(f"/proc/{pid}").exists()
