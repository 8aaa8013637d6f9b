"""One component of the development environment, measured and judged alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from deployments.parameters import ValidationParams
from storage.records import ComponentId, Report
from storage.runs import RunFolder, new_run_name
from tasks.judging import judge
from tasks.results import stored_manifests
from tasks.validation import measure_component, open_run


def measured_alone(
    component: ComponentId, overrides: Mapping[str, str], seconds: float, output: str
) -> tuple[RunFolder, Report]:
    """Measure it under `seconds` of load, and judge it; where its run is stored, and the report."""
    started = datetime.now(UTC)
    load = {"load.duration_s": f"{seconds:g}", "load.ramp_up_s": "1"}
    params = ValidationParams(
        profile="development", components=(component.value,), overrides={**load, **overrides}, output=output
    )
    folder = open_run(params, new_run_name(started), started)
    measure_component(folder, component, 1)
    return folder, judge(folder, stored_manifests(folder), {})
