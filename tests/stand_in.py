"""A flow in the pipeline's place that publishes what the pipeline does, in a second: a worker of a test runs it."""

from __future__ import annotations

import time
from uuid import UUID

from prefect import flow
from prefect.artifacts import create_progress_artifact, create_table_artifact, update_progress_artifact

from deployments.parameters import ValidationParams


@flow(name="performance-pipeline", persist_result=False)
def stand_in(params: ValidationParams) -> None:
    """Show progress, then a verdict whose report names what the run was started with."""
    page = create_progress_artifact(10.0, "progress-staging", "api 1/10 s")
    time.sleep(1)
    assert isinstance(page, UUID)
    update_progress_artifact(page, 90.0, "api 9/10 s")
    row = {
        "environment": params.profile,
        "run": "r1",
        "release": params.release,
        "verdict": "fail",
        "exit_code": "1",
        "score": "81.0",
        "grade": "B",
        "report": f"{params.commit} {params.baseline}",
    }
    create_table_artifact(key="verdict-staging", table=[row])
