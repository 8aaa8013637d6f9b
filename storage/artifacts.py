"""What a run shows in the Prefect UI: pages and tables under stable keys, a timeline over an environment's runs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact

from storage.records import Report
from storage.runs import ORCHESTRATION, RunFolder

BASE_URL = "HASIVU_REPORT_URL"
"""Variable with the address under which the folder `performance-orchestration-reports` is served, for links."""


def publish_artifacts(
    report: Report,
    folder: RunFolder,
    markdown: str,
    gate: Sequence[Mapping[str, str]],
    verdict: Mapping[str, str],
) -> None:
    """Create `summary-`, `gate-`, `verdict-` and `report-<environment>`: page, gate table, one row, link."""
    environment = report.info.environment
    create_markdown_artifact(key=_key("summary", environment), markdown=markdown, description=report.info.run)
    create_table_artifact(
        key=_key("gate", environment), table=[dict(row) for row in gate], description=report.info.run
    )
    create_table_artifact(key=_key("verdict", environment), table=[dict(verdict)], description=report.info.run)
    create_link_artifact(
        key=_key("report", environment), link=report_link(folder), link_text=f"Full report of {report.info.run}"
    )


def report_link(folder: RunFolder) -> str:
    """The address of a run's HTML report: under the served base where one is set, else the file itself."""
    name = folder.orchestration("report.html")
    base = os.environ.get(BASE_URL, "").rstrip("/")
    if base:
        return base + name.removeprefix(ORCHESTRATION)
    path = folder.store.path(name)
    return f"file://{path}" if folder.store.local else path


def _key(kind: str, environment: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", f"{kind}-{environment}".lower()).strip("-")
