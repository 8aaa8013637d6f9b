"""The Lambda functions in a few lines: those that the replaced system printed, now true, and what they cost."""

from __future__ import annotations

from storage.records import ComponentId, Measurement, Report, Severity
from tasks.judge.score import grade
from tasks.report.figures import NOT_MEASURED, figure

_LINES = (
    ("Functions analysed", "lambda.functions.count"),
    ("Average cold start", "lambda.cold_start.mean"),
    ("Memory efficiency", "lambda.memory.efficiency"),
    ("Cost", "lambda.cost.month"),
    ("Cost of 1,000 meals", "lambda.cost.meals"),
)
_ISSUES_AFTER = 3  # the order that people know: grade, functions, cold start, issues, memory


def function_lines(report: Report) -> tuple[tuple[str, str], ...]:
    """Label and value of each line; empty where the functions were not measured."""
    part = next((each for each in report.components if each.component is ComponentId.LAMBDA), None)
    score = next((each for each in report.score.components if each.component is ComponentId.LAMBDA), None)
    if part is None or part.status != "measured":
        return ()
    known = {each.metric: each for each in part.measurements if not each.labels}
    lines = [("Grade", NOT_MEASURED if score is None or score.score is None else grade(score.score))]
    lines += [(label, _value(known[metric])) for label, metric in _LINES if metric in known]
    critical = sum(each.severity is Severity.CRITICAL for each in part.findings)
    lines.insert(_ISSUES_AFTER, ("Critical issues", f"{critical:,}"))
    return tuple(lines)


def _value(measurement: Measurement) -> str:
    value = figure(measurement.value, measurement.unit)
    if measurement.value is None:
        return f"{value}: {measurement.note.removeprefix('no data: ')}"
    if measurement.metric == "lambda.functions.count":
        return value
    interval = measurement.interval
    between = "" if interval is None else f", {' to '.join(figure(end, measurement.unit) for end in interval)}"
    return f"{value} (n = {measurement.n:,}{between})"
