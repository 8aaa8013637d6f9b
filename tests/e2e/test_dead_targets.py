"""What is dead is not measured, never a pass; what is alive beside it stays whole."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from deployments.hosting.guardian import Guardian
from deployments.local.orchestrator import start_server
from deployments.local.platform import Platform
from storage.records import FailedComponent, Report
from tests import canaries
from tests.e2e.conftest import SHORT, run


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A port that is taken, so that no one else gets it, and that nobody listens on."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def the_report(folder: Path) -> Report:
    (path,) = folder.glob("performance-orchestration-reports/*/*/report.json")
    return Report.model_validate_json(path.read_bytes())


def test_all_endpoints_dead(tmp_path: Path, dead_port: int) -> None:
    variables = {
        "DEVELOPMENT_API_URL": f"http://127.0.0.1:{dead_port}",
        "DEVELOPMENT_WS_URL": f"ws://127.0.0.1:{dead_port}/ws",
        "DEVELOPMENT_REDIS_URL": f"redis://:canary-1@127.0.0.1:{dead_port}/0",
        "DEVELOPMENT_DATABASE_URL": f"postgresql://perf:canary-2@127.0.0.1:{dead_port}/hasivu",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{dead_port}",
        "AWS_REGION": "ap-south-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "canary-3",
    }
    ended = run("run", "development", *SHORT, "--output", ".", cwd=tmp_path, variables=variables)
    report = the_report(tmp_path)
    assert ended.code == 3, ended.err
    assert report.score.grade == "D"
    assert report.gate.verdict == "no_data"
    assert all(check.verdict != "pass" for check in report.gate.checks if check.value is None)
    for assessment in (one for component in report.score.components for one in component.assessments):
        assert assessment.score is None or assessment.score == 0
    assert all(one.error for one in report.components if isinstance(one, FailedComponent))
    assert "canary" not in ended.out + ended.err + report.model_dump_json()


@pytest.fixture
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A Prefect server that outlives the run, as the one that PREFECT_API_URL names does, and its database."""
    folder = tmp_path_factory.mktemp("prefect") / "server"
    with Guardian(folder) as guardian:
        yield start_server(guardian), folder / "prefect" / "prefect.db"


def test_one_component_dead(
    held_platform: Platform, tmp_path: Path, dead_port: int, prefect_server: tuple[str, Path]
) -> None:
    address, database = prefect_server
    api, ws = held_platform.api_url, held_platform.ws_url
    variables = {
        **held_platform.environment,
        **canaries.variables(api, ws, dead_port),
        "PREFECT_API_URL": address,
        "PREFECT_HOME": str(tmp_path / "prefect-home"),
    }
    command = ("run", "development", *SHORT, *canaries.OVERRIDES, "--output", "out")
    with canaries.watching_processes() as in_command_lines:
        ended = run(*command, cwd=tmp_path, variables=variables)
    report = the_report(tmp_path / "out")
    assert ended.code == 3, ended.err
    assert {one.component.value for one in report.components if one.status != "measured"} == {"cache"}
    assert report.partial
    assert report.gate.verdict == "no_data"
    assert f"127.0.0.1:{dead_port}" in next(
        one.error for one in report.components if isinstance(one, FailedComponent)
    )
    assert any(finding.severity == "critical" and finding.component == "cache" for finding in report.findings)

    runs = httpx.post(f"{address}/flow_runs/filter", json={}, timeout=30).json()
    assert [(one["state_type"], one["parameters"]["params"]["profile"]) for one in runs] == [
        ("FAILED", "development")
    ]
    assert "cache" in runs[0]["state"]["message"]
    artifacts = httpx.post(f"{address}/artifacts/filter", json={}, timeout=30).json()
    kinds = ("summary", "gate", "verdict", "report", "executive", "progress")
    assert {one["key"] for one in artifacts} == {f"{kind}-development" for kind in kinds}
    secrets = [urlsplit(url).password or "" for url in (held_platform.database_url, held_platform.redis_url)]
    with closing(sqlite3.connect(database)) as stored:
        dump = "\n".join(stored.iterdump())
    assert not [secret for secret in secrets if secret in dump + ended.out + ended.err]
    assert canaries.leaks((dump + ended.out + ended.err).encode()) == set()
    assert canaries.leaks_below(tmp_path) == {}, "reports, Parquet, logs, Prefect's home"
    assert in_command_lines == set()
