"""Samples of the API's load → latency, errors, throughput: whole, by endpoint, by period, of journeys. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from deployments.config import RunConfig
from storage.records import Measurement, Window
from tasks.components.base import Samples
from tasks.load import figures
from tasks.load.capacity import outcome, steps_from
from tasks.load.closed import marked, stall_of
from tasks.load.plan import judged_phases
from tasks.load.recording import samples
from tasks.load.scenario.figures import check_measurements, journey_measurements
from tasks.load.search import capacity_measurement, without_search

METRICS = frozenset({"api.latency.p50", "api.latency.p95", "api.latency.p99", "api.errors.ratio", "api.throughput"})
_PERCENTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


def measurements(samples_: Samples, config: RunConfig) -> list[Measurement]:
    """Latency, errors and throughput, then the same by endpoint, and by period of the day; then what was asked for.

    That is the journeys of a scenario, and `api.capacity` where the load was followed by a search.
    """
    table = without_search(samples_.tables["samples"])
    judged = judged_phases(config.environment.load)
    found = [
        *_figures(table, judged, {}, _why_none(samples_)),
        *_by_endpoint(table, judged),
        *(_by_period(table, judged) if config.environment.load.day else ()),
        *(_of_journeys(samples_, judged) if "journeys" in samples_.tables else ()),
    ]
    if samples_.collected.load_plan.get("model", "").startswith("closed"):
        found = marked(found, stall_of(samples.of_phase(table, *judged)))
    return [*found, *_capacity(samples_, config)]


def _of_journeys(samples_: Samples, judged: Sequence[str]) -> list[Measurement]:
    journeys = without_search(samples_.tables["journeys"])
    return [
        *journey_measurements(journeys, judged, why_none=_why_none(samples_)),
        *check_measurements(samples_.tables["checks"], samples_.collected.window),
    ]


def _capacity(samples_: Samples, config: RunConfig) -> list[Measurement]:
    """`api.capacity`: what the highest step of the search that was sustained achieved, a second."""
    asked = config.environment.load.search
    if asked is None:
        return []
    steps = steps_from(samples_.tables["steps"])
    what = "journeys" if "journeys" in samples_.tables else "requests"
    return [
        capacity_measurement(
            "api.capacity",
            outcome(steps, samples_.collected.load_plan.get("search_ended", "stopped")),
            samples_.tables["samples"],
            asked.target,
            source=f"capacity search: good {what} a second of the highest sustained step",
        )
    ]


def _why_none(samples_: Samples) -> str:
    stopped = samples_.collected.load_plan.get("stopped")
    return f"the load was {stopped}, before its steady phase" if stopped else "no request was sent"


def _figures(
    table: pa.Table,
    judged: Sequence[str],
    labels: Mapping[str, str],
    why_none: str,
    within: Window | None = None,
) -> list[Measurement]:
    """`within`: the window of the whole load, where this is a part of it by endpoint."""
    rows = samples.of_phase(table, *judged)
    return [
        *(
            figures.latency(f"api.latency.{name}", rows, q, labels=labels, why_none=why_none)
            for name, q in _PERCENTILES.items()
        ),
        figures.errors("api.errors.ratio", table, labels=labels, why_none=why_none),
        figures.throughput("api.throughput", rows, labels=labels, why_none=why_none, within=within),
    ]


def _by_endpoint(table: pa.Table, judged: Sequence[str]) -> list[Measurement]:
    why_none = "not asked in the steady phase"
    within = samples.window(samples.of_phase(table, *judged))
    return [
        measurement
        for endpoint in samples.endpoints(table)
        for measurement in _figures(
            samples.of_endpoint(table, endpoint), judged, {"endpoint": endpoint}, why_none, within
        )
    ]


def _by_period(table: pa.Table, judged: Sequence[str]) -> list[Measurement]:
    why_none = "no request was due in this period"
    return [
        measurement
        for period in judged
        for measurement in _figures(samples.of_phase(table, period), (period,), {"period": period}, why_none)
    ]
