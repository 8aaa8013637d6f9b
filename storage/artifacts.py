"""What a run shows in the Prefect UI: pages and tables under stable keys, a timeline over an environment's runs."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectException
from prefect.runtime import flow_run

from storage.records import Report
from storage.runs import ORCHESTRATION, RunFolder

EVERY_S = 5.0
"""How often the page of progress is brought up to date."""

BASE_URL = "HASIVU_REPORT_URL"
"""Variable with the address under which the folder `performance-orchestration-reports` is served, for links."""


def publish_artifacts(
    report: Report,
    folder: RunFolder,
    pages: Mapping[str, str],
    gate: Sequence[Mapping[str, str]],
    verdict: Mapping[str, str],
) -> None:
    """Create a page for each of `pages` (as `summary-<environment>`), and `gate-`, `verdict-` and `report-`.

    Those are the gate's table, the one row that a program reads, and the link to the whole report.
    """
    environment = report.info.environment
    for kind, markdown in pages.items():
        create_markdown_artifact(key=_key(kind, environment), markdown=markdown, description=report.info.run)
    create_table_artifact(
        key=_key("gate", environment), table=[dict(row) for row in gate], description=report.info.run
    )
    create_table_artifact(key=_key("verdict", environment), table=[dict(verdict)], description=report.info.run)
    create_link_artifact(
        key=_key("report", environment), link=report_link(folder), link_text=f"Full report of {report.info.run}"
    )


def publish_page(kind: str, environment: str, markdown: str, description: str) -> None:
    """Create the page `<kind>-<environment>`; the same kind makes a timeline of an environment."""
    create_markdown_artifact(key=_key(kind, environment), markdown=markdown, description=description)


class ProgressPage:
    """The artifact `progress-<environment>`: how far the load is, updated every few seconds while a run measures.

    It is a convenience: where the server does not take it, the run goes on and says so in its log.
    """

    def __init__(self, environment: str, seconds: float) -> None:
        """`seconds` is how long the load is planned to take."""
        self._environment = environment
        self._seconds = seconds
        self._began = time.monotonic()
        self._shown = -EVERY_S
        self._id: UUID | None = None
        self._name: str | None = None
        self.parts: dict[str, str] = {}

    def queued(self, limit: str) -> None:
        """Say, in the log, in the run's name and on the page, that another run holds the environment."""
        get_run_logger().warning("waiting for %s: another run measures %s", limit, self._environment)
        self._name = str(flow_run.name)
        self._rename(f"{self._name} (waiting for {limit})")
        self._put(0.0, f"waiting for {limit}: another run measures {self._environment}")

    def measuring(self) -> None:
        """The environment is ours: the time of the load begins."""
        if self._name:
            self._rename(self._name)
        self._began = time.monotonic()
        self._shown = -EVERY_S

    def show(self) -> None:
        """Bring the page up to date, where its last state is old enough."""
        passed = time.monotonic() - self._began
        if passed - self._shown >= EVERY_S:
            self._shown = passed
            text = "; ".join(self.parts.values()) or "measuring"
            share = min(100.0, 100 * passed / self._seconds)
            self._put(share, f"{passed:.0f} of about {self._seconds:.0f} s: {text}")

    def _rename(self, name: str) -> None:
        with _tolerated("name"), get_client(sync_client=True) as client:
            client.update_flow_run(UUID(str(flow_run.id)), name=name)

    def _put(self, per_cent: float, text: str) -> None:
        with _tolerated("progress"):
            if self._id is None:
                made = create_progress_artifact(per_cent, _key("progress", self._environment), text)
                self._id = made if isinstance(made, UUID) else None  # a coroutine only where it is called from one
            else:
                update_progress_artifact(self._id, per_cent, text)


@contextmanager
def _tolerated(what: str) -> Iterator[None]:
    try:
        yield
    except (httpx.HTTPError, PrefectException) as error:
        get_run_logger().warning("the run's %s could not be shown: %s", what, type(error).__name__)


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
