"""The order of the files on several processes, and the Prefect server that some of them share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_LOCAL_STORAGE_PATH,
    PREFECT_LOGGING_TO_API_ENABLED,
    temporary_settings,
)

from deployments.hosting.guardian import Guardian
from deployments.local.orchestrator import start_server
from tests.prefect_client import forget_server

collect_ignore = [] if os.environ.get("HASIVU_PERF_TEST_POSTGRES") else ["test_database_versions.py"]
"""Further versions of PostgreSQL are tested where their programs are named: a skip would be forbidden in CI."""

TOGETHER = dict.fromkeys(("test_pipeline", "test_scale_out", "test_housekeeping"), "run-server")
"""Files that one process runs, for the sake of the server that they share; every other file is a group of its own."""

LONGEST = (
    "run-server",
    "test_watch_alerts",
    "test_database_watch",
    "test_lambda_planted",
    "test_release",
    "test_notifications",
    "test_change_verdicts",
    "test_change_flow",
    "test_change_faults",
    "test_server_setup",
    "test_serve",
    "test_database_faults",
    "test_cache_component",
    "test_load_http",
    "test_local_platform",
    "test_store_s3",
    "test_local_aws_server",
    "test_app_http",
    "test_rfid_component",
)
"""The groups that take longest, these first: a long one that began last would keep one process busy alone."""


def group_of(item: pytest.Item) -> str:
    return TOGETHER.get(item.path.stem, item.path.stem)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by length, and name each file's group to `pytest --dist loadgroup --no-loadscope-reorder`."""
    here = [item for item in items if item.path.parent == Path(__file__).parent]
    rank = {group: number for number, group in enumerate(LONGEST)}
    for item in here:
        item.add_marker(pytest.mark.xdist_group(group_of(item)))
    elsewhere = [item for item in items if item not in set(here)]
    items[:] = [*sorted(here, key=lambda item: rank.get(group_of(item), len(rank))), *elsewhere]


@pytest.fixture(scope="session")
def run_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server as a run of the command line starts it, without schedules and triggers."""
    with Guardian(tmp_path_factory.mktemp("run-server") / "runtime") as guardian:
        yield start_server(guardian)


@pytest.fixture(scope="module")
def server(run_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """That server, which is Prefect's for this process; the module has its own results and settings of Prefect."""
    folder = tmp_path_factory.mktemp("prefect")
    changes: dict[Any, Any] = {
        PREFECT_API_URL: run_server,
        PREFECT_HOME: folder / "client",
        PREFECT_LOCAL_STORAGE_PATH: folder / "results",
        PREFECT_LOGGING_TO_API_ENABLED: False,
    }
    with temporary_settings(changes):
        forget_server()  # that of a module before this one
        yield run_server
        forget_server()
