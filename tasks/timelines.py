"""The timelines of a run, from the samples that its manifests prove."""

from __future__ import annotations

from collections.abc import Iterable

from deployments.config import RunConfig
from storage.records import ComponentId, ComponentResult, Threshold, Timeline, Unit
from storage.runs import RunFolder
from tasks.load.plan import judged_phases
from tasks.load.recording.samples import STEADY, of_endpoint
from tasks.load.recording.timeline import is_samples, timeline
from tasks.load.redis.worker import RAW

_SAMPLES = "samples"


def timelines(folder: RunFolder, config: RunConfig, results: Iterable[ComponentResult]) -> tuple[Timeline, ...]:
    """One for each measured component whose percentile is judged and whose samples are requests."""
    found = (_of(folder, config, result.component) for result in results if result.status == "measured")
    return tuple(one for one in found if one)


def _of(folder: RunFolder, config: RunConfig, component: ComponentId) -> Timeline | None:
    files = folder.component(component)
    threshold = _judged_percentile(config.thresholds, component)
    if threshold is None or _SAMPLES not in files.names():
        return None
    table = files.kept(_SAMPLES)
    if not is_samples(table):
        return None
    if component is ComponentId.CACHE:  # what is judged is the server's answer, not the client library's
        table = of_endpoint(table, RAW)
    phases = judged_phases(config.environment.load) if component is ComponentId.API else (STEADY,)
    return timeline(component, threshold, table, phases)


def _judged_percentile(thresholds: Iterable[Threshold], component: ComponentId) -> Threshold | None:
    return next(
        (
            one
            for one in thresholds
            if one.metric.startswith(f"{component.value}.") and one.metric.endswith(".p95") and one.unit is Unit.MS
        ),
        None,
    )
