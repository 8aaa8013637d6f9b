"""Runs that were measured and judged without a platform: advice in, report out."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from deployments.config import build_config
from storage.parquet import Store
from storage.records import Finding, MeasuredComponent, Report
from storage.runs import RunFolder
from tasks.judging import judge
from tasks.report.record import to_json
from tasks.results import stored_manifests
from tests.report_example import GOOD_VALUES, START, WINDOW, info, results


def run_of(root: Path, day: int, p95: float, *found: Finding, **changes: str) -> tuple[RunFolder, Report]:
    """A run of the n-th day, measured and judged."""
    started = START + timedelta(days=day)
    name = f"{started:%Y%m%dT%H%M%SZ}-{day:06d}"
    folder = RunFolder(Store(root), "development", name)
    about = info(run=name, environment="development", profile="development", release=None, started=started)
    about = about.model_copy(update={"settings": {**about.settings, **changes}})
    folder.create(about, build_config("development").model_dump(mode="json"))
    window = WINDOW.model_copy(update={"start": started, "end": started + timedelta(minutes=5)})
    for result in results({**GOOD_VALUES, "database.query.p95": p95}):
        assert isinstance(result, MeasuredComponent)
        files = folder.component(result.component)
        files.begin()
        measurements = [one.model_copy(update={"window": window}) for one in result.measurements]
        own = found if result.component == "database" else ()
        collected = result.collected.model_copy(update={"window": window})
        files.finish(collected, measurements, own, attempt=1, code_version="0.1.0")
    report = judge(folder, stored_manifests(folder), {})
    folder.store.write(folder.orchestration("report.json"), to_json(report))
    return folder, report
