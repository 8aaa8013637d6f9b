"""A whole run on S3, and the flows that keep stored runs in order, on a folder and on S3, by a Prefect server."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import boto3
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.exceptions import ParameterTypeError

from deployments.hosting.guardian import Guardian, free_port
from deployments.parameters import ValidationParams
from flows.cli import app
from flows.housekeeping import republish, retention
from flows.pipeline import performance_pipeline
from storage.baselines import pin
from storage.errors import DamagedFileError
from storage.parquet import Store
from storage.records import ComponentId
from storage.runs import ANALYSIS, RunFolder
from tasks import judging, validation
from tasks.components import COMPONENTS
from tasks.publish import publish_report
from tasks.report.renderings import RENDERERS
from tests.integration.test_pipeline import VARIABLES, Scripted
from tests.s3_server import CREDENTIALS, start_s3

START = datetime(2026, 3, 2, 6, 30, tzinfo=UTC)
ENVIRONMENT = "development"
MEASURED = ("cache", "rfid")
NUMBERS = count()


@pytest.fixture(scope="module")
def emulator() -> Iterator[str]:
    with Guardian(Path(tempfile.mkdtemp(prefix="hasivu-test-"))) as guardian:
        yield start_s3(guardian, deadline=time.monotonic() + 60)


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Components that measure a script; the address of every other service of AWS is a dead one."""
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    for component in ComponentId:
        monkeypatch.setitem(COMPONENTS, component, Scripted(component))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")


@pytest.fixture
def bucket(emulator: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", emulator)
    name = f"runs-{next(NUMBERS)}"
    session = boto3.session.Session("admin", "canary-admin", region_name="ap-south-1")
    session.client("s3", endpoint_url=emulator).create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": "ap-south-1"}
    )
    return f"s3://{name}/results"


@pytest.fixture(params=["folder", "bucket"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "folder" else str(request.getfixturevalue("bucket"))


def command(*arguments: str) -> int:
    return int(app(list(arguments), exit_on_error=False, result_action="return_value"))


def test_a_whole_run_on_s3_is_reported_and_gated_from_there(
    server: str, bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    state = performance_pipeline(ValidationParams(output=bucket, run="r1"), return_state=True)
    assert state.is_completed(), state.message
    store = Store(bucket)
    folder = RunFolder(store, ENVIRONMENT, "r1")
    report = folder.report()
    assert {one.component: one.status for one in report.components} == dict.fromkeys(ComponentId, "measured")
    assert {file.name.rpartition("/")[2] for file in store.files(folder.orchestration("").rstrip("/"))} == set(
        RENDERERS
    )
    for file in store.files(""):
        assert b"canary" not in store.read(file.name), file.name

    code = command("gate", "latest", "--output", bucket)
    assert command("report", "r1", "--output", bucket) == code
    printed = capsys.readouterr().out
    assert f"{bucket}/performance-orchestration-reports/development/r1/report.html" in printed

    damaged = f"{ANALYSIS}/{ENVIRONMENT}/r1/cache/samples.parquet"
    store.write(damaged, store.read(damaged)[:-1])
    made = judging.rejudge(folder)
    (failed,) = [one for one in made.components if one.status == "failed"]
    assert failed.component is ComponentId.CACHE
    assert f"{bucket}/{damaged}" in failed.error


def whole_run(root: str, number: int) -> RunFolder:
    """A run as the pipeline leaves it, without Prefect."""
    params = ValidationParams(output=root, components=MEASURED)
    folder = validation.open_run(params, f"r{number}", START + timedelta(hours=number))
    manifests = {c: validation.measure_component(folder, ComponentId(c), 1) for c in MEASURED}
    publish_report(folder, judging.judge(folder, manifests, {}))
    return folder


def content(folder: RunFolder) -> dict[str, bytes]:
    names = [folder.orchestration(name) for name in RENDERERS]
    return {name: folder.store.read(name) for name in names if folder.store.exists(name)}


def shown() -> list[str]:
    """The run of every summary page that the server holds, the newest first."""
    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=[f"summary-{ENVIRONMENT}"]))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=wanted)
    return [str(one.description) for one in sorted(found, key=lambda one: str(one.created), reverse=True)]


def test_backfill_and_retention(server: str, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged, unrendered, whole, crashed = (whole_run(root, number) for number in range(4))
    before = {folder.run: content(folder) for folder in (unrendered, whole, crashed)}
    verdict = crashed.report().gate.verdict
    store = Store(root)
    store.write(f"{ANALYSIS}/{ENVIRONMENT}/{damaged.run}/run.json", b"{")
    store.remove(damaged.orchestration("report.json"))
    store.remove(unrendered.orchestration("report.html"))
    store.remove_folder(crashed.orchestration("").rstrip("/"))

    pages = len(shown())
    state = republish(environment=ENVIRONMENT, output=root, return_state=True)
    assert state.is_completed(), state.message  # what has no report may still be under way
    assert "1 runs published again, 0 left out, 2 under way" in str(state.message)
    assert content(unrendered) == before[unrendered.run]
    assert content(crashed) == {}
    assert len(shown()) == pages

    monkeypatch.setattr("storage.inventory.OPEN_FOR", timedelta(0))
    state = republish(environment=ENVIRONMENT, output=root, return_state=True)
    assert state.is_failed()
    assert str(state.message).endswith(f": {damaged.run}")
    assert crashed.report().gate.verdict is verdict
    assert set(content(crashed)) == set(before[crashed.run])
    assert content(whole) == before[whole.run]
    with pytest.raises(DamagedFileError, match=r"r0/run\.json"):
        damaged.opened()

    store.remove_folder(f"{ANALYSIS}/{ENVIRONMENT}/{damaged.run}")
    state = republish(environment=ENVIRONMENT, output=root, everything=True, return_state=True)
    assert "3 runs published again, 0 left out" in str(state.message)
    assert len(shown()) == pages + 1
    assert shown()[0] == crashed.run

    pin(store, ENVIRONMENT, "first", unrendered.run, by="asha")
    state = retention(environment=ENVIRONMENT, output=root, keep=1, apply=False, return_state=True)
    assert "2 runs stay, 1 would go" in str(state.message)
    assert whole.opened_already()
    state = retention(environment=ENVIRONMENT, output=root, keep=1, return_state=True)
    assert "2 runs kept, 1 removed" in str(state.message)
    assert {file.name.split("/")[2] for file in store.files(ANALYSIS)} == {"r1", "r3", "baseline-first.json"}
    assert store.files(whole.orchestration("").rstrip("/")) == store.files(whole.benchmark("").rstrip("/")) == []


def test_the_forms_of_the_flows_refuse_what_cannot_be_meant() -> None:
    schema = retention.parameters.model_dump()["properties"]
    assert schema["environment"]["enum"] == ["development", "staging", "production"]
    assert all(one.get("description") for one in schema.values())
    for wrong in ({"environment": "quick"}, {"environment": "staging", "keep": 0}):
        with pytest.raises(ParameterTypeError):
            retention.validate_parameters(wrong)
