"""What a load recorded is there whoever is killed, and whatever stops it; the server's own count is the truth."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import psutil  # type: ignore[import-untyped]
import pyarrow as pa
import pytest
from pydantic import SecretStr

from deployments.config import Endpoint, RunConfig, Target, ValueRange
from deployments.hosting.guardian import Guardian
from deployments.load import Load
from deployments.parameters import ValidationParams
from storage.errors import NotMeasuredError
from storage.records import Collected, ComponentId, Finding, GateVerdict, Measurement, Report, Unit, Window
from storage.runs import RunFolder
from tasks import judging, validation
from tasks.components import COMPONENTS
from tasks.components.base import Check, CollectContext, Samples
from tasks.load.http_load import HttpPlan, run_http, schedule_stage
from tasks.load.mix import endpoint_plan
from tasks.load.process import run_worker
from tasks.load.recording import journal, samples
from tasks.load.recording.journal import Journals
from tasks.load.recording.samples import SCHEMA
from tasks.load.scenario.file import looked_at
from tasks.load.scenario.load import run_scenario
from tasks.load.scenario.plan import ScenarioPlan
from tasks.load.schedule import Phase
from tasks.load.websocket.plan import WebsocketPlan
from tests import websocket_server
from tests.load_servers import Received, reply, serving
from tests.s3_server import CREDENTIALS, start_s3

ROOT = Path(__file__).resolve().parents[2]
STARTED = datetime(2026, 3, 2, 6, 30, tzinfo=UTC)
SECOND = 1_000_000_000
PARTIAL = "samples-partial-attempt-1"

WORKER = """
import http.client, os, resource, time
from storage.clock import Clock
from tasks.load.process import WorkerOutput, serve
from tasks.load.recording.samples import Recorder

def work(plan, tell):
    clock, recorder = Clock.read(), Recorder(["GET /"], ["steady"])
    if plan["most_bytes"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (plan["most_bytes"], resource.RLIM_INFINITY))
    recorder.keep(clock)
    connection = http.client.HTTPConnection("127.0.0.1", plan["port"])
    end, told = time.monotonic() + plan["seconds"], 0.0
    while time.monotonic() < end:
        taken = time.monotonic_ns()
        connection.request("GET", "/")
        response = connection.getresponse()
        size = len(response.read())
        recorder.add((taken, taken, taken, time.monotonic_ns()), 0, 0, status=response.status, size=size)
        if time.monotonic() > told + 0.1:
            told = time.monotonic()
            tell({"pid": os.getpid(), "rows": len(recorder)})
        time.sleep(0.0005)
    if plan["end"] == "crash":
        raise ValueError("wrong")
    return WorkerOutput({"samples": recorder.table(clock)})

if __name__ == "__main__":
    serve(work)
"""


@dataclass
class Answering:
    """A server that notes when it answered."""

    port: int = 0
    answered_ns: list[int] = field(default_factory=list)

    def before(self, moment_ns: int) -> int:
        return sum(at < moment_ns for at in self.answered_ns)


@pytest.fixture
def target() -> Iterator[Answering]:
    found = Answering()

    async def answer(_received: Received, _target: str, _body: bytes, writer: Any) -> None:
        writer.write(reply(body=b"x" * 100))
        found.answered_ns.append(time.time_ns())

    with serving(answer) as received:
        found.port = received.port
        yield found


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "code").mkdir()
    (tmp_path / "temporary").mkdir()
    (tmp_path / "code" / "recording_worker.py").write_text(WORKER)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'code'}")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    for name in ("API_URL", "WS_URL", "REDIS_URL", "DATABASE_URL"):
        monkeypatch.setenv(f"DEVELOPMENT_{name}", "http://localhost:1")
    return "recording_worker"


def plan(port: int, seconds: float = 30, end: str = "", most_bytes: int = 0) -> dict[str, Any]:
    return {"port": port, "seconds": seconds, "end": end, "most_bytes": most_bytes}


def rows_of(folder: Path) -> pa.Table:
    (path,) = journal.found(folder)[1]
    return journal.table(journal.batches(path), SCHEMA)


def assert_no_more_than_a_second_is_missing(rows: pa.Table, target: Answering, end_ns: int) -> None:
    assert target.before(end_ns - SECOND) <= rows.num_rows <= len(target.answered_ns)
    received = samples.column(rows, "received_ns")
    assert (received[1:] >= received[:-1]).all()
    assert received[-1] >= end_ns - SECOND
    assert samples.counts(rows) == {"sent": rows.num_rows, "answered": rows.num_rows, "failed": 0, "errors": 0}


def test_a_killed_worker_loses_a_second_at_most(module: str, tmp_path: Path, target: Answering) -> None:
    begun: list[float] = []
    killed: list[int] = []
    after_s = random.uniform(1.5, 2.5)  # noqa: S311 - any moment will do

    def kill(progress: Mapping[str, Any]) -> None:
        begun.append(time.monotonic())
        if begun[-1] > begun[0] + after_s and not killed:
            killed.append(time.time_ns())
            os.kill(progress["pid"], signal.SIGKILL)

    with pytest.raises(NotMeasuredError, match="ended with code -9"):
        run_worker(module, plan(target.port), deadline_s=30, on_progress=kill, journals=Journals(tmp_path, 1))
    rows = rows_of(tmp_path)
    assert rows.num_rows > 100
    assert_no_more_than_a_second_is_missing(rows, target, killed[0])


@pytest.mark.parametrize(
    ("end", "told"), [("cancel", "the owner has enough"), ("deadline", "did not end within 6 s"), ("crash", "wrong")]
)
def test_a_worker_that_is_ended_loses_nothing(
    module: str, tmp_path: Path, target: Answering, end: str, told: str
) -> None:
    rows: list[int] = []

    def cancel(progress: Mapping[str, Any]) -> None:
        rows.append(progress["rows"])
        if end == "cancel" and progress["rows"] > 200:
            raise KeyboardInterrupt("the owner has enough")

    seconds = 1.0 if end == "crash" else 30
    with pytest.raises(KeyboardInterrupt if end == "cancel" else NotMeasuredError, match=told):
        run_worker(
            module,
            plan(target.port, seconds, end),
            deadline_s=6 if end == "deadline" else 30,
            on_progress=cancel,
            journals=Journals(tmp_path, 1),
        )
    kept = rows_of(tmp_path).num_rows
    assert rows[-1] <= kept <= len(target.answered_ns)
    if end == "crash":
        assert kept == len(target.answered_ns)


def test_a_full_disk_stops_the_load_and_the_account_closes(module: str, tmp_path: Path, target: Answering) -> None:
    with pytest.raises(NotMeasuredError) as caught:
        run_worker(module, plan(target.port, most_bytes=100_000), deadline_s=30, journals=Journals(tmp_path, 1))
    (path,) = journal.found(tmp_path)[1]
    rows = rows_of(tmp_path).num_rows
    assert f"could not be kept in {path}: File too large ({rows:,} of them are there)" in str(caught.value)
    assert 0 < rows < len(target.answered_ns)


# --- a component of a run ---


class Loaded:
    """A component whose load is real, and whose worker is the one above."""

    id = ComponentId.API
    title = "API"
    metrics = frozenset({"api.latency.p95"})
    plan: Mapping[str, Any]
    meet: Callable[[Mapping[str, Any]], None]

    def collect(self, context: CollectContext) -> Collected:
        output = run_worker(
            "recording_worker", self.plan, deadline_s=30, on_progress=self.meet, journals=context.journals
        )
        context.sink.write("samples", output.tables["samples"])
        window = samples.window(output.tables["samples"])
        return Collected(window=window or Window(start=STARTED, end=STARTED))

    def measure(self, samples_: Samples, config: RunConfig) -> list[Measurement]:
        values = samples.latency_ms(samples_.tables["samples"])
        return [
            Measurement(
                metric="api.latency.p95",
                value=samples.percentile(values, 0.95),
                unit=Unit.MS,
                n=len(values),
                source="samples",
                window=samples_.collected.window,
            )
        ]

    def advise(self, samples: Samples, measurements: Sequence[Measurement], config: RunConfig) -> list[Finding]:
        return []

    def check(self, config: RunConfig, target: Target) -> list[Check]:
        return []


def opened(output: str) -> RunFolder:
    return validation.open_run(ValidationParams(output=output, components=["api"]), "r1", STARTED)


def measure(folder: RunFolder, port: int, attempt: int, *, seconds: float = 30, say: bool = False) -> None:
    """Measure the component; without `say`, break off once 300 rows are recorded, unless it ends before."""
    unit = Loaded()
    unit.plan = plan(port, seconds)

    def meet(progress: Mapping[str, Any]) -> None:
        if say:
            sys.stdout.write(f"{progress['pid']} {progress['rows']}\n")
            sys.stdout.flush()
        elif seconds > 10 and progress["rows"] > 300:
            raise NotMeasuredError("interrupted before it was measured")

    unit.meet = meet
    COMPONENTS[ComponentId.API] = unit
    validation.measure_component(folder, ComponentId.API, attempt)


@pytest.fixture(autouse=True)
def own_components(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMPONENTS, ComponentId.API, Loaded())


def assert_not_measured(report: Report, rows: int) -> None:
    (failed,) = [one for one in report.components if one.component is ComponentId.API]
    assert failed.status == "failed"
    assert report.gate.verdict is GateVerdict.NO_DATA
    (note,) = [note for note in report.notes if PARTIAL in note]
    assert f"api: {rows:,} rows of the load of attempt 1" in note


def test_a_stopped_component_is_not_measured_keeps_its_rows_and_is_measured_again(
    module: str, tmp_path: Path, target: Answering
) -> None:
    folder = opened(str(tmp_path / "results"))
    with pytest.raises(NotMeasuredError, match=r"^interrupted before it was measured$"):
        measure(folder, target.port, 1)
    files = folder.component(ComponentId.API)
    first = files.kept(PARTIAL).num_rows
    assert 300 < first <= len(target.answered_ns)
    assert_not_measured(judging.interrupted(folder, "interrupted"), first)

    before = len(target.answered_ns)
    measure(folder, target.port, 2, seconds=0.5)
    manifest = files.manifest()
    assert manifest is not None
    assert manifest.files["samples.parquet"].rows == len(target.answered_ns) - before
    report = judging.judge(folder, {"api": manifest}, {})
    assert [one.status for one in report.components if one.component is ComponentId.API] == ["measured"]
    assert any(f"{first:,} rows of the load of attempt 1" in note for note in report.notes)
    assert not list((tmp_path / "results").rglob("*.arrows"))
    assert not list((tmp_path / "temporary").iterdir())


def test_when_the_engine_is_killed_the_next_report_finds_the_rows(
    module: str, tmp_path: Path, target: Answering
) -> None:
    folder = opened(str(tmp_path / "results"))
    code = (
        "from tests.integration.test_load_journal import *\n"
        "folder = RunFolder(__import__('storage.parquet').parquet.Store(sys.argv[1]), 'development', 'r1')\n"
        "measure(folder, int(sys.argv[2]), 1, say=True)"
    )
    engine = subprocess.Popen(
        [sys.executable, "-c", code, folder.store.root, str(target.port)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])},
    )
    assert engine.stdout is not None
    with engine, engine.stdout:
        worker, rows = 0, 0
        while rows < 300:
            worker, rows = map(int, engine.stdout.readline().split())
        assert list((tmp_path / "temporary").iterdir())
        assert not any(PARTIAL in note for note in judging.rejudge(folder).notes)  # it is still being written
        killed_ns = time.time_ns()
        engine.kill()
    assert gone(worker)
    assert not list((tmp_path / "temporary").iterdir())
    report = judging.rejudge(folder)
    kept = folder.component(ComponentId.API).kept(PARTIAL)
    assert_no_more_than_a_second_is_missing(kept, target, killed_ns)
    assert_not_measured(report, kept.num_rows)
    assert not list((tmp_path / "results").rglob("*.arrows"))


def gone(pid: int) -> bool:
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with Guardian(Path(tempfile.mkdtemp(prefix="hasivu-test-"))) as guardian:
        address = start_s3(guardian, deadline=time.monotonic() + 60)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        session = boto3.session.Session(region_name=CREDENTIALS["AWS_REGION"])
        session.client("s3", endpoint_url=address).create_bucket(
            Bucket="journal-results", CreateBucketConfiguration={"LocationConstraint": "ap-south-1"}
        )
        yield "s3://journal-results/team"


def test_rows_of_a_stopped_load_reach_a_bucket(bucket: str, module: str, tmp_path: Path, target: Answering) -> None:
    folder = opened(bucket)
    with pytest.raises(NotMeasuredError, match=r"^interrupted before it was measured$"):
        measure(folder, target.port, 1)
    rows = folder.component(ComponentId.API).kept(PARTIAL).num_rows
    assert 300 < rows <= len(target.answered_ns)
    report = judging.interrupted(folder, "interrupted")
    assert_not_measured(report, rows)
    assert any(f"{bucket}/" in note for note in report.notes)
    assert not list((tmp_path / "temporary").glob("hasivu-[lj]*"))


def test_the_http_engine_is_journalled(module: str, tmp_path: Path, target: Answering) -> None:
    """Until its load is broken off, after two seconds, and with the clock and the phases of its own."""
    load = HttpPlan(
        url=f"http://127.0.0.1:{target.port}",
        variable="API_URL",
        endpoints=[endpoint_plan(Endpoint(path="/"))],
        values={},
        stages=[schedule_stage([Phase("warmup", 100, 100, 1), Phase("steady", 100, 100, 20)], [0])],
        load=Load(users=1, duration_s=21, ramp_up_s=0, max_rate=100),
        timeout_s=5,
        max_connections=8,
    )

    def stop(progress: Mapping[str, Any]) -> None:
        if progress["elapsed_s"] > 2:
            raise NotMeasuredError("enough")

    with pytest.raises(NotMeasuredError, match=r"^enough$"):
        run_http(load, stop, journals=Journals(tmp_path, 1))
    rows = rows_of(tmp_path)
    assert samples.phases(rows) == ["steady", "warmup"]
    assert 0.9 * len(target.answered_ns) - 5 <= rows.num_rows <= len(target.answered_ns)
    ends = zip(sorted(samples.column(rows, "received_ns").tolist()), target.answered_ns, strict=False)
    assert all(abs(received - answered) < SECOND / 4 for received, answered in ends)


def killer(module: str, after_s: float, killed: list[int]) -> Callable[[Mapping[str, Any]], None]:
    """Kills the worker `module` of this process at its first word after so long, and notes the moment."""

    def kill(progress: Mapping[str, Any]) -> None:
        if progress["elapsed_s"] > after_s and not killed:
            own = psutil.Process().children(recursive=True)
            living = [one for one in own if one.status() != psutil.STATUS_ZOMBIE]
            (worker,) = [one for one in living if module in one.cmdline()]
            killed.append(time.time_ns())
            worker.kill()

    return kill


def kept_of(folder: Path, table: str) -> pa.Table:
    (path,) = journal.found(folder, table)[1]
    return pa.Table.from_batches(journal.batches(path))


def test_journeys_and_checks_of_a_killed_worker_are_kept_but_a_second(
    module: str, tmp_path: Path, target: Answering
) -> None:
    path = tmp_path / "meal.py"
    path.write_text(
        "async def meal(user):\n"
        "    answer = await user.http.get('/')\n"
        "    user.check(answer.status_code == 200, 'it answers')\n"
    )
    load = ScenarioPlan(
        f"http://127.0.0.1:{target.port}",
        "TEST_API_URL",
        looked_at(f"{path}:meal"),
        Load(users=40, duration_s=20, ramp_up_s=0, max_rate=200),
        2,
    )
    killed: list[int] = []
    with pytest.raises(NotMeasuredError, match="ended with code -9"):
        run_scenario(load, killer("tasks.load.scenario.worker", 2, killed), journals=Journals(tmp_path, 1))
    received = samples.column(kept_of(tmp_path, "journeys"), "received_ns")
    assert target.before(killed[0] - SECOND) - 5 <= len(received) <= len(target.answered_ns)
    assert received[-1] >= killed[0] - SECOND
    checks = kept_of(tmp_path, "checks")
    assert set(checks["name"].to_pylist()) == {"it answers"}
    assert target.before(killed[0] - SECOND) - 5 <= samples.column(checks, "passed").sum() <= len(target.answered_ns)


def test_connections_and_pushes_of_a_killed_worker_are_kept_and_a_report_names_them(
    module: str, tmp_path: Path
) -> None:
    folder = opened(str(tmp_path / "results"))
    files = folder.component(ComponentId.WEBSOCKET)
    assert files.folder is not None
    killed: list[int] = []
    with websocket_server.serving(pushes=40) as server:
        load = WebsocketPlan(
            url=SecretStr(f"ws://127.0.0.1:{server.port}/ws"),
            connections=5,
            pace_s=0.2,
            ramp_up_s=0.2,
            duration_s=20,
            channel="orders",
            orders=ValueRange(template="{n}", last=5),
            timeout_s=3,
            error_ratio=1,
            latency_ms=30_000,
            after_s=60,
            storm_at_s=0.5,
            storm_s=0.5,
        )
        name = "tasks.load.websocket.worker"
        with pytest.raises(NotMeasuredError, match="ended with code -9"):
            run_worker(
                name,
                load.to_json(),
                deadline_s=40,
                on_progress=killer(name, 2.5, killed),
                journals=Journals(files.folder, 1),
            )
        told = server.ask()
    notes = [note for note in judging.rejudge(folder).notes if note.startswith("websocket: ")]
    assert told.pushed == 2 * 5 * 40
    assert files.kept("pushes-partial-attempt-1").num_rows == told.pushed
    connections = files.kept("connections-partial-attempt-1").to_pylist()
    assert [row["ended_by"] for row in connections] == ["storm"] * 5  # those that were open then have no end to tell
    assert any("websocket: 400 rows of the pushes of attempt 1, until it was stopped" in note for note in notes)
    assert any("websocket: 5 rows of the connections of attempt 1" in note for note in notes)
    assert not list((tmp_path / "results").rglob("*.arrows"))
