"""The measurements of one function, labelled by it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from storage.records import Measurement, Unit
from tasks.components.lambda_functions.facts import CLOUDWATCH, Facts, FunctionFacts
from tasks.components.lambda_functions.values import Value, measurement, missing, no_metrics, share, starts_of


def of_function(function: FunctionFacts, facts: Facts) -> list[Measurement]:
    """The measurements of one function, labelled by it."""
    labels = {"function": function.name}
    return [
        measurement(metric, unit, value(function, facts), facts.window, labels) for metric, unit, value in _METRICS
    ]


def pick(measurements: Sequence[Measurement], metric: str, function: str) -> Measurement | None:
    """A function's own measurement of a metric that has a value, None where there is none."""
    wanted = {"function": function}
    found = (m for m in measurements if m.metric == metric and dict(m.labels) == wanted and m.value is not None)
    return next(found, None)


def _cold_p95(function: FunctionFacts, _: Facts) -> Value:
    found = starts_of(function)
    if found is None:
        seen = function.statistics.invocations if function.statistics else 0
        none = Value(None, 0, function.source, f"no data: no cold start among {seen} invocations")
        return none if seen else missing(function)
    return Value(found.p95, found.n, function.source, "", found.p95_interval)


def _cold_ratio(function: FunctionFacts, _: Facts) -> Value:
    known = function.statistics
    return share(known.cold_starts, known.invocations, function.source) if known else missing(function)


def _efficiency(function: FunctionFacts, _: Facts) -> Value:
    known = function.statistics
    if known is None or known.memory_efficiency is None:
        return missing(function)
    note = f"at most {known.max_memory_used_mb} of {known.memory_mb} MB"
    return Value(known.memory_efficiency, known.invocations, function.source, note)


def _duration(function: FunctionFacts, _: Facts) -> Value:
    known = function.statistics
    if known is None or known.duration_ms is None:
        return missing(function)
    return Value(known.duration_ms.p95, known.duration_ms.n, function.source, "", known.duration_ms.p95_interval)


def _errors(function: FunctionFacts, facts: Facts) -> Value:
    if not facts.has_metrics:
        return no_metrics(facts)
    return share(function.count("Errors"), function.count("Invocations"))


def _throttles(function: FunctionFacts, facts: Facts) -> Value:
    if not facts.has_metrics:
        return no_metrics(facts)
    throttled = function.count("Throttles")
    return share(throttled, throttled + function.count("Invocations"))


def _concurrency(function: FunctionFacts, facts: Facts) -> Value:
    if not facts.has_metrics:
        return no_metrics(facts)
    most = function.metric("ConcurrentExecutions", "Maximum")
    if most is None:
        return Value(None, 0, CLOUDWATCH, "no data: no invocation in the window")
    return Value(most, function.invocations or 1, CLOUDWATCH, "the largest of any minute")


def _cost(function: FunctionFacts, _: Facts) -> Value:
    cost = function.cost()
    if cost is None or function.statistics is None or function.statistics.invocations == 0:
        unpriced = function.statistics is not None and function.price is None
        note = f"no data: no prices of {function.region} are bundled" if unpriced else missing(function).note
        return Value(None, 0, function.source, note)
    return Value(cost.total, function.statistics.invocations, "REPORT lines × price table")


def _invocations(function: FunctionFacts, facts: Facts) -> Value:
    if not facts.has_metrics and function.statistics is None:
        return missing(function)
    n = function.invocations
    if n == 0:
        return Value(None, 0, CLOUDWATCH, "no data: no invocation in the window")
    return Value(float(n), n, CLOUDWATCH if facts.has_metrics else function.source)


_METRICS: tuple[tuple[str, Unit, Callable[[FunctionFacts, Facts], Value]], ...] = (
    ("lambda.invocations.count", Unit.COUNT, _invocations),
    ("lambda.cold_start.p95", Unit.MS, _cold_p95),
    ("lambda.cold_start.ratio", Unit.RATIO, _cold_ratio),
    ("lambda.memory.efficiency", Unit.RATIO, _efficiency),
    ("lambda.errors.ratio", Unit.RATIO, _errors),
    ("lambda.throttles.ratio", Unit.RATIO, _throttles),
    ("lambda.duration.p95", Unit.MS, _duration),
    ("lambda.concurrency.max", Unit.COUNT, _concurrency),
    ("lambda.cost.month", Unit.USD_PER_MONTH, _cost),
)
