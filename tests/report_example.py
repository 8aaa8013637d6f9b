"""A run as tests of judging and reporting need it: all six components, one of them failed, and hostile names."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from deployments.config import load_thresholds
from storage.records import (
    Collected,
    ComponentId,
    ComponentResult,
    EarlierRun,
    FailedComponent,
    Finding,
    GateVerdict,
    Level,
    LoadSummary,
    MeasuredComponent,
    Measurement,
    Place,
    PredictedChange,
    Regression,
    Remedy,
    Report,
    RunInfo,
    Severity,
    SkippedComponent,
    Timeline,
    Trust,
    Unit,
    Window,
)
from tasks.report.build import build

START = datetime(2025, 3, 3, 6, 30, tzinfo=UTC)
WINDOW = Window(start=START, end=START + timedelta(seconds=300))
THRESHOLDS, WEIGHTS = load_thresholds()
UNITS = {threshold.metric: threshold.unit for threshold in THRESHOLDS}

GOOD_VALUES = {
    "api.latency.p95": 142.0,
    "api.errors.ratio": 0.0004,
    "database.query.p95": 31.5,
    "database.pool.utilisation": 0.55,
    "lambda.cold_start.p95": 820.0,
    "lambda.memory.efficiency": 0.74,
    "websocket.latency.p95": 21.0,
    "websocket.connects.ratio": 1.0,
    "cache.hits.ratio": 0.968,
    "cache.latency.p95": 1.9,
    "rfid.throughput": 612.0,
    "rfid.latency.p95": 61.0,
}
"""A platform that passes its gate."""

SCRIPT = "<script>alert('x')</script>"
HOSTILE = (
    f'{SCRIPT}"><img src=x onerror=alert(1)> | `rm` **b** [l](javascript:alert(1)) \x1b[31mred\x1b[0m \u202egpj\x00'
)
"""A name that tries HTML, Markdown, a terminal and a right-to-left override."""


def measurement(metric: str, value: float | None, unit: Unit | None = None, **changes: Any) -> Measurement:
    """A measurement with evidence, or none with a reason."""
    fields: dict[str, Any] = {
        "metric": metric,
        "value": value,
        "unit": unit or UNITS[metric],
        "n": 0 if value is None else 14_200,
        "source": "client, from the intended start, steady phase",
        "window": None if value is None else WINDOW,
        "note": "no data: nothing answered" if value is None else "",
    }
    return Measurement.model_validate(fields | changes)


def measured(component: ComponentId, *measurements: Measurement, **changes: Any) -> MeasuredComponent:
    """A measured component."""
    fields: dict[str, Any] = {
        "component": component,
        "attempt": 1,
        "code_version": "0.1.0",
        "collected": Collected(window=WINDOW),
        "measurements": measurements,
        "findings": (),
    }
    return MeasuredComponent.model_validate(fields | changes)


def results(values: Mapping[str, float | None] | None = None) -> list[ComponentResult]:
    """All six components with these values, where given, instead of the good ones."""
    known: dict[str, float | None] = {**GOOD_VALUES, **(values or {})}
    return [
        measured(c, *(measurement(m, v) for m, v in known.items() if m.partition(".")[0] == c.value))
        for c in ComponentId
    ]


def info(**changes: Any) -> RunInfo:
    """Which run it is."""
    fields: dict[str, Any] = {
        "run": "20250303T063000Z-4f2a91",
        "environment": "staging",
        "profile": "staging",
        "release": "v2.14.0",
        "started": START,
        "code_version": "0.1.0",
        "machine": {"system": "Linux 6.8", "cores": "2", "python": "3.12.4", "memory_mb": "7945"},
        "settings": {
            "components": ",".join(ComponentId),
            "users": "50",
            "duration_s": "300",
            "ramp_up_s": "60",
            "pace_s": "1",
        },
    }
    return RunInfo.model_validate(fields | changes)


def good_report(values: Mapping[str, float | None] | None = None, **changes: Any) -> Report:
    """The report of a platform without findings."""
    return build(info(**changes), results(values), THRESHOLDS, WEIGHTS)


def replaced(component: ComponentId, result: ComponentResult) -> list[ComponentResult]:
    """The good platform with one component's result exchanged."""
    return [result if one.component is component else one for one in results()]


def failed(component: ComponentId, error: str = "nothing answers at the address") -> FailedComponent:
    """A component that could not be measured."""
    return FailedComponent(component=component, error=error)


def switched_off(component: ComponentId) -> SkippedComponent:
    """A component that the environment's file turned off."""
    return SkippedComponent(component=component, reason="switched off in the environment staging", switched_off=True)


def not_asked(component: ComponentId) -> SkippedComponent:
    """A component that this run left out."""
    return SkippedComponent(component=component, reason="not asked for in this run")


def finding(subject: str = "orders.user_id", **changes: Any) -> Finding:
    """A finding with all that one can have."""
    fields: dict[str, Any] = {
        "id": f"database.unindexed_foreign_key:{subject}",
        "component": ComponentId.DATABASE,
        "kind": "unindexed_foreign_key",
        "subject": subject,
        "title": f"Foreign key {subject} has no index",
        "detail": "Every deletion of a user reads the whole table of 220,000 orders.",
        "severity": Severity.WARNING,
        "impact": Level.HIGH,
        "effort": Level.LOW,
        "evidence": (
            measurement(
                "database.query.p95", 184.0, labels={"statement": "a parent's latest orders"}, interval=(171, 199)
            ),
            measurement("database.table.size", 88_604_672, Unit.BYTES, labels={"table": "public.orders"}, n=1),
        ),
        "remedy": Remedy(
            summary="Build the index without blocking writers, then look at the plan again.",
            commands=(
                "psql \"$STAGING_DATABASE_URL\" -c 'CREATE INDEX CONCURRENTLY orders_user ON orders (user_id)'",
            ),
            rollback=("psql \"$STAGING_DATABASE_URL\" -c 'DROP INDEX CONCURRENTLY orders_user'",),
            predicted=(
                PredictedChange(
                    metric="database.query.p95", value=42.0, how="what-if plan on a copy of the statistics"
                ),
            ),
        ),
    }
    return Finding.model_validate(fields | changes)


_ENDPOINTS = {
    "GET /menus/daily": (21, 88, 164, 0.0),
    "GET /orders/{orderId}": (14, 61, 120, 0.0002),
    "GET /orders/history/{userId}": (96, 412, 830, 0.0031),
    "GET /payments/analytics/{schoolId}": (210, 1240, 2310, 0.021),
    "GET /health": (1.8, 4.1, 9.6, 0.0),
    "GET /rfid/tracking/{studentId}": (18, 74, 151, 0.0),
    "POST /orders": (38, 143, 277, 0.0009),
    f"GET /search?q={HOSTILE}": (33, 128, 240, 0.0),
}


def _by_endpoint() -> list[Measurement]:
    found = []
    for name, (p50, p95, p99, errors) in _ENDPOINTS.items():
        labels = {"endpoint": name}
        times = {"p50": p50, "p95": p95, "p99": p99}
        found += [measurement(f"api.latency.{p}", v, Unit.MS, labels=labels, n=1775) for p, v in times.items()]
        found.append(measurement("api.errors.ratio", errors, labels=labels, n=1775))
    return found


def _functions() -> list[Measurement]:
    found = []
    for number in range(40):
        labels = {"function": f"hasivu-platform-staging-function-{number:02d}"}
        cold = None if number % 7 == 3 else 420.0 + 97 * number
        note = "no cold start in 14 days" if cold is None else ""
        found += [
            measurement(
                "lambda.cold_start.p95", cold, labels=labels, n=0 if cold is None else 40 + number, note=note
            ),
            measurement("lambda.duration.p50", 18.0 + number, Unit.MS, labels=labels),
            measurement("lambda.duration.p95", 60.0 + 9 * number, Unit.MS, labels=labels),
            measurement("lambda.duration.p99", 130.0 + 31 * number, Unit.MS, labels=labels),
            measurement("lambda.cost.total", 1.37 * number, Unit.USD_PER_MONTH, labels=labels),
        ]
    return found


def _load(trust: Trust, *reasons: str) -> LoadSummary:
    return LoadSummary(
        planned=14_250,
        sent=14_231,
        unsent=19,
        answered=14_200,
        failed=61,
        errors={"timeout": 27, "reset": 4},
        target_rate=50,
        achieved_rate=49.93,
        trust=trust,
        reasons=reasons,
        late_p99_ms=0.4,
    )


def example_results() -> list[ComponentResult]:
    """A staging environment on an ordinary bad day."""
    long_sql = "SELECT " + ", ".join(f"column_{n}" for n in range(400)) + " FROM orders WHERE status = $1"
    return [
        measured(
            ComponentId.DATABASE,
            measurement("database.query.p95", 63.4, interval=(58.9, 70.2)),
            measurement("database.pool.utilisation", 0.62, n=300),
            *(
                measurement(f"database.statement.{what}", value, unit, labels={"statement": long_sql})
                for what, value, unit in (("mean", 12.4, Unit.MS), ("calls", 48_210, Unit.COUNT))
            ),
            *(
                measurement(f"database.query.{p}", value, Unit.MS, labels={"statement": name}, n=750)
                for name, times in {
                    "order with its items": (1.2, 3.9, 8.8),
                    "a parent's latest orders": (44.0, 184.0, 260.0),
                    "card at the reader": (0.8, 2.1, 4.4),
                }.items()
                for p, value in zip(("p50", "p95", "p99"), times, strict=True)
            ),
            collected=Collected(
                window=WINDOW,
                load=_load(Trust.TRUSTED),
                load_plan={"reads": "10/s for 300 s", "statements": "3"},
                fingerprint={"server": "PostgreSQL 18.0", "size": "412 MiB"},
                notes=("pg_stat_io is not readable by this role: waits were not collected",),
            ),
            findings=(
                finding(),
                finding(
                    HOSTILE,
                    title=f"Sequence near its end: {HOSTILE}",
                    kind="sequence",
                    severity=Severity.CRITICAL,
                    detail=HOSTILE,
                    remedy=Remedy(summary=HOSTILE, commands=(f"echo '{HOSTILE}'\n```\nls", "true")),
                ),
                finding(
                    "audit_logs_idx",
                    title="Index audit_logs_idx was never used",
                    severity=Severity.INFO,
                    impact=Level.LOW,
                    evidence=(),
                    remedy=Remedy(summary="Drop it after a month without use.", commands=(long_sql,)),
                ),
            ),
        ),
        measured(
            ComponentId.LAMBDA,
            measurement("lambda.cold_start.p95", 3412.0, n=812, interval=(3190, 3688)),
            measurement("lambda.memory.efficiency", 0.44),
            measurement("lambda.cost.month", 95.93, Unit.USD_PER_MONTH, n=80),
            *_functions(),
            findings=(
                finding(
                    "payments-verify",
                    id="lambda.cold_starts:payments-verify",
                    component=ComponentId.LAMBDA,
                    title="payments-verify starts cold 41 times an hour at lunch, in 4.2 s",
                    effort=Level.MEDIUM,
                ),
            ),
        ),
        measured(
            ComponentId.API,
            measurement("api.latency.p95", 199.96, interval=(181.2, 221.0)),
            measurement("api.errors.ratio", 0.0043),
            *_by_endpoint(),
            collected=Collected(
                window=WINDOW,
                load=_load(Trust.INDICATIVE, "generator and target share a machine"),
                load_plan={"rate": "50/s", "ramp up": "60 s", "endpoints": "8"},
                fingerprint={"release": "v2.14.0"},
            ),
            attempt=2,
        ),
        failed(ComponentId.WEBSOCKET, "nothing answers at wss://staging.example/ws; check STAGING_WS_URL"),
        measured(
            ComponentId.CACHE,
            measurement("cache.hits.ratio", 0.873),
            measurement("cache.latency.p95", None, note="no data: the probe's keys do not exist"),
            measurement("cache.hits.ratio", 0.41, labels={"family": "payment_analytics"}, n=5120),
            measurement("cache.hits.ratio", 0.97, labels={"family": "session"}, n=41_120),
        ),
        measured(ComponentId.RFID, measurement("rfid.throughput", 447.0), measurement("rfid.latency.p95", 212.0)),
    ]


def example_report(**changes: Any) -> Report:
    """The report of that day."""
    return build(
        info(**changes),
        example_results(),
        THRESHOLDS,
        WEIGHTS,
        timelines=example_timelines(),
        earlier=example_trail(),
    )


def example_timelines() -> list[Timeline]:
    """Five steps of the API and of the readers: a ramp, a stall without an answer, and a step without a request."""
    phases = ("ramp", "steady", "steady", "steady", "")
    return [
        Timeline(
            component=component,
            metric=f"{component.value}.latency.p95",
            start=START,
            step_s=60,
            limit=limit,
            phases=phases,
            sent=(1200, 3000, 3000, 3000, 0),
            bad=(0, 12, 3000, 31, 0),
            p50=(18.2, 33.1, None, 35.7, None),
            p95=(121.5, 188.4, None, 243.9, None),
            p99=(230.3, 391.6, None, 871.2, None),
            wrong={"timeout": 3000, "status 503": 43},
            judged=9000,
            in_time=5710,
        )
        for component, limit in ((ComponentId.API, 200), (ComponentId.RFID, 100))
    ]


def example_trail() -> list[EarlierRun]:
    """Three earlier runs, the last one better than the example."""
    return [
        EarlierRun(
            run=f"2025030{day}T063000Z-00000{day}",
            started=START - timedelta(days=3 - day),
            release=f"v2.13.{day}",
            score=value,
            coverage=1,
            verdict=GateVerdict.FAIL,
        )
        for day, value in enumerate((71.25, 80.5, 82.375))
    ]


def changed_report() -> Report:
    """The same day with changes for the worse: one of level with its place, and a suspected one of a hostile part."""
    level = Regression(
        metric="lambda.cold_start.p95",
        baseline=2105.5,
        value=3412,
        unit=Unit.MS,
        change=0.6205,
        confirmed=True,
        detail="7 of 7 runs lie above the level before",
        kind="level",
        interval=(0.482, 0.771),
        runs=7,
        place=Place(
            after="20250223T063000Z-000001",
            first="20250224T063000Z-000002",
            since=START - timedelta(days=7),
            releases=("v2.12.0", "v2.13.0"),
            commits=(None, "a1b2c3d"),
        ),
    )
    part = Regression(
        metric="api.latency.p95",
        labels={"endpoint": HOSTILE},
        baseline=61,
        value=74.5,
        unit=Unit.MS,
        change=0.2213,
        confirmed=False,
        detail=HOSTILE,
    )
    return example_report().model_copy(update={"regressions": (part, level)})
