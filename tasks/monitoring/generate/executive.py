"""The executive dashboard: overall score, user experience, availability, business success. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from storage.records import Threshold, Unit
from tasks.judge.score import GRADES
from tasks.monitoring.generate.panels import HERE, Panel, Steps, dashboard, switch
from tasks.monitoring.generate.queries import OK, as_json, metric_panel, of
from tasks.monitoring.watch import names


def executive_dashboard(thresholds: Sequence[Threshold]) -> str:
    """Overall score, user experience, availability and business success, for whoever decides."""
    by = {one.metric: one for one in thresholds}
    rows = (
        ("Is it fit to serve lunch?", _verdict()),
        ("What families and children feel", _experience(by)),
        ("Is it there?", _availability()),
        ("Does the business succeed?", _business(by)),
    )
    text = "For whoever decides: the newest validation, and what the watch sees at this moment."
    return as_json(dashboard("hasivu-executive", "HASIVU: executive", text, rows))


def _verdict() -> Iterator[Panel]:
    grades = sorted(limit for limit, _ in GRADES)
    colours = ("red", "orange", "yellow", "green", "green")
    score = Steps(tuple(zip((None, *(limit for limit in grades if limit > 0)), colours, strict=False)))
    yield Panel(
        "Overall score of the newest validation",
        [(of(names.RUN_SCORE), "score")],
        kind="stat",
        steps=score,
        width=6,
        height=5,
    )
    yield Panel(
        "Its release gate",
        [(of(names.RUN_GATE), "gate")],
        kind="stat",
        mappings=switch("passed", "not passed"),
        width=6,
        height=5,
    )
    yield Panel(
        "Critical findings",
        [(of(names.RUN_FINDINGS, 'severity="critical"'), "critical")],
        kind="stat",
        steps=Steps(((None, "green"), (1, "red"))),
        width=6,
        height=5,
    )
    yield Panel(
        "Age of that validation",
        [(f"time() - {of(names.RUN_TIME)}", "age")],
        kind="stat",
        unit="s",
        steps=Steps(((None, "green"), (36 * 3600, "red"))),
        width=6,
        height=5,
    )
    yield Panel("Score over time", [(of(names.RUN_SCORE), "score")], steps=score, width=24)


def _experience(by: Mapping[str, Threshold]) -> Iterator[Panel]:
    latency = by["api.latency.p95"]
    edge = f"{names.exported_value(latency.good, Unit.MS):g}"
    inside = f'sum(rate({names.DURATION.name}_bucket{{{HERE}, le="{edge}"}}[15m]))'
    whole = f"sum(rate({of(names.PROBES)}[15m]))"
    yield Panel(
        f"Requests answered well within {latency.good:g} ms",
        [(f"{inside} / {whole}", "in time")],
        kind="stat",
        unit="percentunit",
        steps=Steps(((None, "red"), (0.9, "yellow"), (0.95, "green"))),
        description="Of the watch's own requests in the last quarter of an hour; those that failed are not in time.",
        width=6,
        height=5,
    )
    yield metric_panel(latency, kind="stat", width=6, height=5)
    yield metric_panel(by["websocket.latency.p95"], kind="stat", width=6, height=5)
    yield metric_panel(by["rfid.throughput"], kind="stat", width=6, height=5)


def _availability() -> Iterator[Panel]:
    day = f"avg_over_time({of(names.UP)}[24h])"
    shares = Steps(((None, "red"), (0.99, "yellow"), (0.999, "green")))
    yield Panel(
        "Share of the last day in which it answered",
        [(day, "{{target}}")],
        kind="stat",
        unit="percentunit",
        steps=shares,
        width=24,
        height=5,
    )
    yield Panel(
        "Answers",
        [(of(names.UP), "{{target}}")],
        kind="state-timeline",
        mappings=switch("answers", "does not answer"),
        width=24,
    )


def _business(by: Mapping[str, Threshold]) -> Iterator[Panel]:
    well = f"sum by (area) (rate({of(names.PROBES, OK)}[1h]))"
    whole = f"sum by (area) (rate({of(names.PROBES)}[1h]))"
    yield Panel(
        "Requests that succeed, by part of the service",
        [(f"({well} or {whole} * 0) / {whole}", "{{area}}")],
        kind="stat",
        unit="percentunit",
        steps=Steps(((None, "red"), (0.95, "yellow"), (0.99, "green"))),
        description="Orders, payments, menus, RFID …: share of the watch's own requests in the last hour.",
        width=16,
    )
    yield metric_panel(by["api.errors.ratio"], kind="stat")
