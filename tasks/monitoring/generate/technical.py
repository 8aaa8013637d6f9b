"""The technical dashboard: every metric of the watch with its limits, its samples and its age. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from storage.records import Threshold
from tasks.monitoring.generate.panels import HERE, Panel, dashboard, switch
from tasks.monitoring.generate.queries import RATE, as_json, metric_panel, of, rate
from tasks.monitoring.watch import names


def technical_dashboard(thresholds: Sequence[Threshold]) -> str:
    """Database, functions, infrastructure and errors, for whoever mends."""
    by = {one.metric: one for one in thresholds}
    rows = (
        ("Alerts", _alerts()),
        ("Database", _database(by)),
        ("Lambda functions", _functions(by)),
        ("API, WebSocket and RFID readers (these by the newest run)", _wires(by)),
        ("Cache", _cache(by)),
        ("Errors", _errors(by)),
        ("Evidence: samples behind each figure, and the watch itself", _evidence()),
    )
    text = "For whoever mends: every metric of the watch with its limits, its samples and its age."
    return as_json(dashboard("hasivu-technical", "HASIVU: technical", text, rows))


def _alerts() -> Iterator[Panel]:
    yield Panel(
        "Alerts of the watch",
        [(of(names.FIRING), "{{alert}}")],
        kind="state-timeline",
        mappings={"0": ("quiet", "green"), "1": ("firing", "red")},
        width=24,
        height=10,
    )


def _database(by: Mapping[str, Threshold]) -> Iterator[Panel]:
    yield metric_panel(by["database.query.p95"])
    yield metric_panel(by["database.pool.utilisation"])
    yield Panel(
        "Connections by state",
        [(of(names.CONNECTIONS), "{{state}}"), (of(names.SLOTS), "slots")],
        description="All clients of the server but the watch itself; slots are what ordinary roles may open.",
    )
    yield Panel("Slow, blocked and idle sessions", [(rate(names.EVENTS, "event"), "{{event}}")], unit="ops")


def _functions(by: Mapping[str, Threshold]) -> Iterator[Panel]:
    yield metric_panel(by["lambda.cold_start.p95"])
    yield metric_panel(by["lambda.memory.efficiency"])
    shares = [(of(names.LAMBDA_ERRORS), "errors"), (of(names.LAMBDA_THROTTLES), "throttles")]
    yield Panel("Errors and throttles", shares, unit="percentunit")
    yield Panel(
        "Invocations within CloudWatch's window", [(of(names.LAMBDA_INVOCATIONS), "invocations")], unit="short"
    )
    yield Panel(
        "Most executions at once of one function", [(of(names.LAMBDA_CONCURRENCY), "executions")], unit="short"
    )


def _wires(by: Mapping[str, Threshold]) -> Iterator[Panel]:
    yield metric_panel(by["api.latency.p95"])
    yield metric_panel(by["websocket.latency.p95"])
    yield metric_panel(by["websocket.connects.ratio"])
    yield metric_panel(by["rfid.throughput"], width=12)
    yield metric_panel(by["rfid.latency.p95"], width=12)
    quantile = f"sum by (le, area) (rate({names.DURATION.name}_bucket{{{HERE}}}[15m]))"
    count = f"sum by (area) (rate({names.DURATION.name}_count{{{HERE}}}[15m]))"
    total = f"sum by (area) (rate({names.DURATION.name}_sum{{{HERE}}}[15m]))"
    yield Panel(
        "Request time by part of the service, p95",
        [(f"histogram_quantile(0.95, {quantile})", "{{area}}")],
        unit="s",
        width=12,
        description="An estimate within a bucket's edges, of requests that were answered well.",
    )
    yield Panel("Request time by part of the service, mean", [(f"{total} / {count}", "{{area}}")], unit="s", width=12)


def _cache(by: Mapping[str, Threshold]) -> Iterator[Panel]:
    yield metric_panel(by["cache.hits.ratio"])
    yield metric_panel(by["cache.latency.p95"])
    yield Panel(
        "Memory",
        [(of(names.CACHE_MEMORY), "used"), (of(names.CACHE_LIMIT), "limit")],
        unit="bytes",
    )
    lookups = [
        (f"rate({of(names.CACHE_HITS)}{RATE})", "hits"),
        (f"rate({of(names.CACHE_MISSES)}{RATE})", "misses"),
        (f"rate({of(names.CACHE_EVICTED)}{RATE})", "evicted"),
    ]
    yield Panel("Lookups and evictions", lookups, unit="ops", width=12)
    yield Panel("Clients", [(of(names.CACHE_CLIENTS), "clients")], unit="short", width=12)


def _errors(by: Mapping[str, Threshold]) -> Iterator[Panel]:
    yield metric_panel(by["api.errors.ratio"])
    yield Panel("Requests by outcome", [(rate(names.PROBES, "outcome"), "{{outcome}}")], unit="ops")
    failed = of(names.PROBES, 'outcome!="ok"')
    bad = f"sum by (endpoint, outcome) (increase({failed}[1h])) > 0"
    yield Panel("What failed in the last hour", [(bad, "")], kind="table")
    yield Panel("Outages", [(f"increase({of(names.OUTAGES)}[1h])", "{{target}}")], unit="short", width=24)


def _evidence() -> Iterator[Panel]:
    yield Panel("Samples", [(of(names.SAMPLES), "{{metric}}")], unit="short")
    yield Panel("Age", [(of(names.AGE), "{{metric}}")], unit="s")
    yield Panel(
        "Measured",
        [(of(names.MEASURED), "{{metric}}")],
        kind="state-timeline",
        mappings=switch("measured", "not measured"),
    )
    cpu, memory = names.PROCESS
    own = f"and on (job, instance) {names.INFO.name}{{{HERE}}}"
    yield Panel("CPU of the watch", [(f"rate({cpu}{RATE}) {own}", "core")], unit="percentunit", width=12)
    yield Panel("Memory of the watch", [(f"{memory} {own}", "resident")], unit="bytes", width=12)
