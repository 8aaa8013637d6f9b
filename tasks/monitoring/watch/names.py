"""What `/metrics` calls things: one list, of which Prometheus rules and Grafana dashboards take their names. Pure.

Names follow https://prometheus.io/docs/practices/naming/: a prefix, base units (seconds, ratios 0..1, bytes), and
`_total` for counters. Every series bears the label `environment`. What is not measured has no series: an absent
series is never a zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from storage.records import Threshold, Unit

PREFIX = "hasivu"
ENVIRONMENT = "environment"

_SUFFIXES = {
    Unit.MS: "seconds",
    Unit.RATIO: "ratio",
    Unit.PER_SECOND: "per_second",
    Unit.BYTES: "bytes",
}

Kind = Literal["gauge", "counter", "histogram"]


@dataclass(frozen=True)
class Family:
    """A metric family as `/metrics` shows it; `labels` are those besides `environment`."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


def exported_name(metric: str, unit: Unit) -> str:
    """`api.latency.p95` in ms is `hasivu_api_latency_p95_seconds`."""
    name = f"{PREFIX}_{metric.replace('.', '_')}"
    suffix = _SUFFIXES.get(unit, "")
    return name if not suffix or name.endswith(f"_{suffix}") else f"{name}_{suffix}"


def exported_value(value: float, unit: Unit) -> float:
    """The value in the base unit of its name."""
    return value / 1000 if unit is Unit.MS else value


def name_of(threshold: Threshold) -> str:
    """What the metric of a threshold is called."""
    return exported_name(threshold.metric, threshold.unit)


MEASURED = Family(
    f"{PREFIX}_measured",
    "gauge",
    "1 where the metric has a value, 0 where nobody knows it; none while nothing happens.",
    ("metric",),
)
SAMPLES = Family(
    f"{PREFIX}_measurement_samples", "gauge", "Samples behind the value of a metric at this moment.", ("metric",)
)
AGE = Family(f"{PREFIX}_measurement_age_seconds", "gauge", "Seconds since a metric was measured.", ("metric",))
UP = Family(f"{PREFIX}_target_up", "gauge", "1 where the target answers the watch, 0 where it does not.", ("target",))
OUTAGES = Family(f"{PREFIX}_target_outages", "counter", "Outages of the target since the watch began.", ("target",))
FIRING = Family(f"{PREFIX}_alert_firing", "gauge", "1 while the watch's own alert is firing.", ("alert", "severity"))
INFO = Family(f"{PREFIX}_watch", "gauge", "1; which version of the watch this is.", ("version",))
PROBES = Family(
    f"{PREFIX}_api_probes", "counter", "Requests of the watch to the API.", ("area", "endpoint", "outcome")
)
DURATION = Family(
    f"{PREFIX}_api_probe_duration_seconds", "histogram", "Time of the requests that were answered.", ("area",)
)
EVENTS = Family(f"{PREFIX}_database_events", "counter", "Events that the watch of the database told.", ("event",))
CONNECTIONS = Family(
    f"{PREFIX}_database_connections", "gauge", "Client connections of the server, by state.", ("state",)
)
SLOTS = Family(f"{PREFIX}_database_connection_slots", "gauge", "Connections that ordinary roles may open.")
CACHE_MEMORY = Family(f"{PREFIX}_cache_memory_bytes", "gauge", "Memory of the fullest node.")
CACHE_LIMIT = Family(
    f"{PREFIX}_cache_memory_limit_bytes", "gauge", "maxmemory of the fullest node; none without one."
)
CACHE_CLIENTS = Family(f"{PREFIX}_cache_clients", "gauge", "Connected clients of all nodes.")
CACHE_EVICTED = Family(f"{PREFIX}_cache_evicted_keys", "counter", "Keys evicted for want of memory.")
CACHE_HITS = Family(f"{PREFIX}_cache_keyspace_hits", "counter", "Lookups that hit, of all clients.")
CACHE_MISSES = Family(f"{PREFIX}_cache_keyspace_misses", "counter", "Lookups that missed, without the watch's own.")
LAMBDA_ERRORS = Family(f"{PREFIX}_lambda_errors_ratio", "gauge", "Errors ÷ invocations over CloudWatch's window.")
LAMBDA_THROTTLES = Family(
    f"{PREFIX}_lambda_throttles_ratio", "gauge", "Throttles ÷ requests over CloudWatch's window."
)
LAMBDA_INVOCATIONS = Family(f"{PREFIX}_lambda_invocations", "gauge", "Invocations over CloudWatch's window.")
LAMBDA_CONCURRENCY = Family(f"{PREFIX}_lambda_concurrency_max", "gauge", "Most executions at once of one function.")
RUN_SCORE = Family(f"{PREFIX}_run_score", "gauge", "Score (0 to 100) of the newest run of all components.")
RUN_COVERAGE = Family(f"{PREFIX}_run_coverage_ratio", "gauge", "Share of the weight that that run measured.")
RUN_GATE = Family(f"{PREFIX}_run_gate_passed", "gauge", "1 where that run passed its gate.")
RUN_FINDINGS = Family(f"{PREFIX}_run_findings", "gauge", "Findings of that run.", ("severity",))
RUN_TIME = Family(f"{PREFIX}_run_timestamp_seconds", "gauge", "When that run began, in seconds since 1970.")

OTHERS: tuple[Family, ...] = (
    MEASURED, SAMPLES, AGE, UP, OUTAGES, FIRING, INFO, PROBES, DURATION, EVENTS, CONNECTIONS, SLOTS,
    CACHE_MEMORY, CACHE_LIMIT, CACHE_CLIENTS, CACHE_EVICTED, CACHE_HITS, CACHE_MISSES,
    LAMBDA_ERRORS, LAMBDA_THROTTLES, LAMBDA_INVOCATIONS, LAMBDA_CONCURRENCY,
    RUN_SCORE, RUN_COVERAGE, RUN_GATE, RUN_FINDINGS, RUN_TIME,
)  # fmt: skip
"""Every family but those of thresholds.toml."""

PROCESS = ("process_cpu_seconds_total", "process_resident_memory_bytes")
"""Of the watch's own process; prometheus_client's names."""


def of_thresholds(thresholds: Sequence[Threshold]) -> tuple[Family, ...]:
    """The family of each threshold's metric."""
    return tuple(Family(name_of(one), "gauge", f"{one.title}.") for one in thresholds)


def series_names(thresholds: Sequence[Threshold]) -> frozenset[str]:
    """Every name that a query may use."""
    found = set(PROCESS)
    for family in (*of_thresholds(thresholds), *OTHERS):
        ends = {"gauge": ("",), "counter": ("_total",), "histogram": ("_bucket", "_count", "_sum")}[family.kind]
        found.update(f"{family.name}{end}" for end in ends)
    return frozenset(found)
