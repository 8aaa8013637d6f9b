"""The lines on the Lambda functions: those that people know, each with its evidence, none made up."""

from __future__ import annotations

from storage.records import ComponentId, Severity, Unit
from tasks.report.functions import function_lines
from tests.report_example import failed, finding, good_report, measured, measurement, replaced


def test_each_line_has_its_evidence() -> None:
    part = measured(
        ComponentId.LAMBDA,
        measurement("lambda.functions.count", 80.0, Unit.COUNT, n=80),
        measurement("lambda.cold_start.mean", 761.6, Unit.MS, n=22_852),
        measurement("lambda.memory.efficiency", 0.2164, n=108_322),
        measurement("lambda.cost.month", 95.926, Unit.USD_PER_MONTH, n=108_322, interval=(95.9, 95.95)),
        measurement("lambda.cost.meals", None, Unit.USD, n=0, note="no data: nobody counts meals"),
        findings=(finding("a", severity=Severity.CRITICAL), finding("b", severity=Severity.WARNING)),
    )
    report = good_report()
    report = report.model_copy(
        update={"components": tuple(part if c.component is ComponentId.LAMBDA else c for c in report.components)}
    )
    lines = dict(function_lines(report))
    assert list(lines)[:5] == [
        "Grade",
        "Functions analysed",
        "Average cold start",
        "Critical issues",
        "Memory efficiency",
    ]
    assert lines["Functions analysed"] == "80"
    assert lines["Average cold start"] == "762 ms (n = 22,852)"
    assert lines["Critical issues"] == "1"
    assert lines["Memory efficiency"] == "21.6 % (n = 108,322)"
    assert lines["Cost"] == "$95.93 a month (n = 108,322, $95.90 a month to $95.95 a month)"
    assert lines["Cost of 1,000 meals"].endswith("nobody counts meals")


def test_functions_that_were_not_measured_have_no_lines() -> None:
    report = good_report()
    parts = replaced(ComponentId.LAMBDA, failed(ComponentId.LAMBDA))
    assert function_lines(report.model_copy(update={"components": tuple(parts)})) == ()
