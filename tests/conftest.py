"""What all tests share: their order on several processes; in CI a skipped test is a failed one."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

LONGEST = (
    "test_operations",
    "test_documents",
    "test_pipeline",
    "test_scale_out",
    "test_housekeeping",
    "test_watch_alerts",
    "test_kills",
    "test_database_watch",
    "test_lambda_planted",
    "test_release",
    "test_aws",
    "test_notifications",
    "test_change_verdicts",
    "test_change_flow",
    "test_change_faults",
    "test_index_builds",
    "test_server_setup",
    "test_serve",
    "test_database_faults",
    "test_cache_component",
    "test_load_http",
    "test_local_platform",
    "test_http",
    "test_dead_targets",
    "test_store_s3",
    "test_local_aws_server",
    "test_app_http",
    "test_report_browser",
    "test_rfid_component",
)
"""The files that take longest, these first: a long one that began last would keep one process busy alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by length, for `pytest --dist loadfile --no-loadscope-reorder`."""
    rank = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"CI forbids skips: {report.longrepr}"
    return report
