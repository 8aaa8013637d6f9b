"""What a run shows in the Prefect UI: one Markdown page per environment, a timeline over its runs."""

from __future__ import annotations

import re

from prefect.artifacts import create_markdown_artifact

from storage.records import Report
from storage.runs import RunFolder


def publish_artifacts(report: Report, folder: RunFolder, markdown: str) -> None:
    """Create the artifact of a report's page; its key holds the environment, so that runs line up as one timeline."""
    key = re.sub(r"[^a-z0-9-]+", "-", f"report-{report.info.environment}".lower()).strip("-")
    create_markdown_artifact(
        key=key,
        markdown=markdown,
        description=f"{report.info.run}: {folder.store.path(folder.orchestration('report.html'))}",
    )
