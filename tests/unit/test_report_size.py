"""A report of production's size: 600 s with 100 users, 200 statements, 80 functions, 200 findings."""

from __future__ import annotations

import time

from storage.records import ComponentId, Report, Timeline, Unit
from tasks.report.build import build
from tasks.report.html import html
from tasks.report.renderings import renderings
from tests.report_example import START, THRESHOLDS, WEIGHTS, example_results, finding, info, measured, measurement

STEPS = 120


def large_report() -> Report:
    found = {result.component: result for result in example_results()}
    statements = [
        measurement(f"database.statement.{what}", 12.5 * number, unit, labels={"statement": f"{number} {SQL}"})
        for number in range(1, 201)
        for what, unit in (("calls", Unit.COUNT), ("total", Unit.MS), ("mean", Unit.MS))
    ]
    functions = [
        measurement(
            f"lambda.{what}", 17.5 * number, unit, labels={"function": f"hasivu-platform-production-{number}"}
        )
        for number in range(1, 81)
        for what, unit in (
            ("cold_start.p95", Unit.MS),
            ("duration.p95", Unit.MS),
            ("duration.p50", Unit.MS),
            ("cost.month", Unit.USD_PER_MONTH),
        )
    ]
    findings = tuple(finding(f"public.table_{number}.column", detail=SQL * 3) for number in range(200))
    found[ComponentId.DATABASE] = measured(
        ComponentId.DATABASE, measurement("database.query.p95", 63.4), *statements, findings=findings
    )
    found[ComponentId.LAMBDA] = measured(ComponentId.LAMBDA, measurement("lambda.cold_start.p95", 3412), *functions)
    timelines = [timeline(component) for component in ComponentId if component is not ComponentId.LAMBDA]
    return build(info(), list(found.values()), THRESHOLDS, WEIGHTS, timelines=timelines)


SQL = "SELECT o.id, o.status, o.total_amount FROM orders o JOIN order_items i ON i.order_id = o.id WHERE o.user = $1 "


def timeline(component: ComponentId) -> Timeline:
    wave = tuple(20.0 + step % 17 * 3.7 for step in range(STEPS))
    return Timeline(
        component=component,
        metric=f"{component.value}.latency.p95",
        start=START,
        step_s=5,
        limit=200,
        phases=("ramp",) * 24 + ("steady",) * 96,
        sent=(500,) * STEPS,
        bad=(3,) * STEPS,
        p50=wave,
        p95=tuple(value * 3 for value in wave),
        p99=tuple(value * 7 for value in wave),
        wrong={"status 503": 200, "timeout": 160},
        judged=48_000,
        in_time=47_000,
    )


def test_the_page_stays_below_a_megabyte_and_a_half() -> None:
    files = renderings(large_report())
    assert len(files["report.html"]) <= 1_500_000
    assert len(files["step-summary.md"]) <= 1_048_576


def test_it_is_drawn_within_a_second() -> None:
    report = large_report()
    html(report)  # templates are compiled once
    times = []
    for _ in range(3):
        began = time.perf_counter()
        html(report)
        times.append(time.perf_counter() - began)
    assert min(times) <= 1.0, times
