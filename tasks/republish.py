"""Backfill: makes the reports and renderings that stored runs lack, or all of them again, from what was measured.

A run whose report was never made (its process died between measuring and publishing) is judged; where only
renderings are missing they are made from the report that is there, so no verdict changes unless all are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from deployments.config import load_environment
from storage.errors import DamagedFileError
from storage.inventory import StoredRun, stored_runs
from storage.parquet import Store
from storage.records import Report
from storage.runs import RunFolder
from tasks.judging import rejudge
from tasks.publish import publish_files, publish_report
from tasks.report.renderings import RENDERERS


@dataclass(slots=True)
class Republished:
    """What was published again, the oldest first, and why other runs were not; `newest` is the environment's last."""

    environment: str
    published: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    under_way: list[str] = field(default_factory=list)
    newest: tuple[RunFolder, Report] | None = None


def republish(environment: str, output: str, *, everything: bool, now: datetime | None = None) -> Republished:
    """Publish again what lacks a report or a rendering, or everything; a damaged run is named, the others go on.

    The oldest comes first, for later runs are compared with its report. Runs still under way are left alone.
    """
    load_environment(environment)  # a name that is none is an error, not an environment without runs
    store = Store(output)
    done = Republished(environment)
    runs = [run for run in stored_runs(store, environment, now or datetime.now(UTC)) if not run.removing]
    for run in runs:
        if run.open:
            done.under_way.append(run.run)
        elif everything or not set(RENDERERS) <= run.files:
            _publish(RunFolder(store, environment, run.run), run, done, last=run is runs[-1], everything=everything)
    return done


def _publish(folder: RunFolder, run: StoredRun, done: Republished, *, last: bool, everything: bool) -> None:
    try:
        report = _published(folder, judge=everything or not run.reported)
    except DamagedFileError as error:
        done.left_out[run.run] = str(error)
    except (LookupError, ValueError) as error:  # samples of a version whose columns this one does not know
        done.left_out[run.run] = f"its samples cannot be read: {type(error).__name__}: {_line(error)}"
    else:
        done.published.append(run.run)
        done.newest = (folder, report) if last else None


def _published(folder: RunFolder, *, judge: bool) -> Report:
    if judge:
        report = rejudge(folder)
        publish_report(folder, report)
    else:
        report = folder.report()
        publish_files(folder, report)
    return report


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def lines(done: Republished) -> list[str]:
    """What was done, a line a run, for a person."""
    rows = [f"published  {run}" for run in done.published]
    rows += [f"left out   {run}  {why}" for run, why in done.left_out.items()]
    rows += [f"under way  {run}  hasivu-perf report {run} publishes it all the same" for run in done.under_way]
    counts = f"{len(done.published)} runs published again, {len(done.left_out)} left out"
    return [*rows, f"{done.environment}: {counts}, {len(done.under_way)} under way"]
