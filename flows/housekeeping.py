"""Flows that keep the stored runs in order: `retention` removes old ones, `republish` makes missing reports.

The form in the Prefect UI takes its help from the section `Args` of each flow.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

from deployments.parameters import ValidationParams, output_root
from storage.artifacts import publish_artifacts
from tasks import republish as backfill
from tasks import retain
from tasks.publish import artifact_pages, gate_rows, verdict_row

Environment = Literal["development", "staging", "production"]
Keep = Annotated[int, Field(ge=1)]


@flow(name="retention", persist_result=False)
def retention(
    environment: Environment, *, output: str = "", keep: Keep | None = None, apply: bool = True
) -> State[Any]:
    """Keep an environment's newest runs, its baselines and what is under way; remove the others.

    Args:
        environment: whose runs
        output: folder or s3:// bucket of the results; by default that of the worker
        keep: how many runs; by default what the environment's file says
        apply: remove them; otherwise only say which
    """
    done = retain.retain(environment, _root(output), keep=keep, apply=apply)
    said = list(retain.lines(done))
    _log(said)
    return Completed(message=said[-1])


@flow(name="republish", persist_result=False)
def republish(environment: Environment, *, output: str = "", everything: bool = False) -> State[Any]:
    """Make the reports and renderings that stored runs lack; fail, at the end, where one is damaged.

    Args:
        environment: whose runs
        output: folder or s3:// bucket of the results; by default that of the worker
        everything: judge and publish every run again, not only those that lack a report
    """
    done = backfill.republish(environment, _root(output), everything=everything)
    said = backfill.lines(done)
    _log(said)
    if done.newest:  # the page of an environment shows its newest run, so an older one may not come after it
        folder, report = done.newest
        publish_artifacts(report, folder, artifact_pages(report), gate_rows(report), verdict_row(report, folder))
    return Failed(message=f"{said[-1]}: {', '.join(done.left_out)}") if done.left_out else Completed(message=said[-1])


def _root(output: str) -> str:
    return output_root(ValidationParams(output=output))


def _log(said: list[str]) -> None:
    for line in said:
        get_run_logger().info("%s", line)
