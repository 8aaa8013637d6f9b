"""The Prefect server that some files share, and the shop that each file may have."""

from __future__ import annotations

import os
from collections.abc import Iterator
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
from tests.changing import prepare
from tests.databases import Database, database
from tests.prefect_client import forget_server

collect_ignore = [] if os.environ.get("HASIVU_PERF_TEST_POSTGRES") else ["test_database_versions.py"]
"""Further versions of PostgreSQL are tested where their programs are named: a skip would be forbidden in CI."""


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


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A shop whose indexes the module may change."""
    with database(tmp_path_factory.mktemp("pg18")) as started:
        prepare(started)
        yield started
