"""Samples of the functions → measurements, the component's own and one of each kind per function.

`lambda.cold_start.p95` is the largest p95 of init among the critical functions that have at least ten cold starts: a
slow one must not disappear in a pool of quick ones. Where none has ten, all their cold starts together are taken.
SnapStart restores count as starts there, since a caller waits for them too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from deployments.config import LambdaSettings
from storage.records import Measurement, Unit
from tasks.components.lambda_functions.facts import Facts, FunctionFacts
from tasks.components.lambda_functions.per_function import of_function
from tasks.components.lambda_functions.planning import planned
from tasks.components.lambda_functions.quantiles import Interval
from tasks.components.lambda_functions.spread import per_meal, sum_half_width
from tasks.components.lambda_functions.values import (
    ENOUGH_COLD_STARTS,
    Value,
    measurement,
    missing,
    no_metrics,
    share,
    starts_of,
)

METRICS = frozenset(
    {
        "lambda.cold_start.p95",
        "lambda.cold_start.mean",
        "lambda.cold_start.ratio",
        "lambda.memory.efficiency",
        "lambda.errors.ratio",
        "lambda.throttles.ratio",
        "lambda.duration.p95",
        "lambda.functions.count",
        "lambda.cost.month",
        "lambda.cost.meals",
    }
)
"""What is always answered without labels."""

QUICK_START_MS = 1000.0
"""A cold start that is good by the platform's target: environments that stand ready would buy nothing."""

_REPORTS = "REPORT lines"
_PRICED = "REPORT lines × price table"
_MONTH_DAYS = 730 / 24


def measure(facts: Facts, settings: LambdaSettings) -> list[Measurement]:
    """All measurements of a run, those without labels first."""
    found = [
        measurement("lambda.functions.count", Unit.COUNT, _count(facts), facts.window),
        measurement("lambda.cold_start.p95", Unit.MS, worst_cold_start(facts), facts.window),
        measurement("lambda.cold_start.mean", Unit.MS, _mean_cold_start(facts), facts.window),
        measurement("lambda.cold_start.ratio", Unit.RATIO, _cold_ratio(facts), facts.window),
        measurement("lambda.memory.efficiency", Unit.RATIO, _efficiency(facts), facts.window),
        measurement("lambda.errors.ratio", Unit.RATIO, _errors(facts), facts.window),
        measurement("lambda.throttles.ratio", Unit.RATIO, _throttles(facts), facts.window),
        measurement("lambda.duration.p95", Unit.MS, _worst_duration(facts), facts.window),
        measurement("lambda.cost.month", Unit.USD_PER_MONTH, _cost(facts), facts.window),
        measurement("lambda.cost.meals", Unit.USD, _meals(facts), facts.window),
    ]
    found += _by_hours(facts, settings)
    for each in facts.functions.values():
        found += of_function(each, facts)
        if each.optimizer is not None:
            value = _optimizer(each.optimizer)
            found.append(
                measurement("lambda.memory.optimizer", Unit.MB, value, facts.window, {"function": each.name})
            )
        found += _of_insights(each, facts)
        found.append(_critical(each, facts))
        if each.criticality.critical:
            value = _ready(each, facts, settings)
            labels = {"function": each.name}
            found.append(measurement("lambda.provisioned.needed", Unit.COUNT, value, facts.window, labels))
    return found


def _of_insights(function: FunctionFacts, facts: Facts) -> Iterator[Measurement]:
    """What Lambda Insights says of a function that has it: its largest share of memory, p95 of its inits."""
    source, labels = "CloudWatch LambdaInsights", {"function": function.name}
    for name, metric, statistic, unit, scale in (
        ("lambda.memory.insights", "memory_utilization", "Maximum", Unit.RATIO, 0.01),
        ("lambda.cold_start.insights", "init_duration", "p95", Unit.MS, 1.0),
    ):
        value, n = function.metric(metric, statistic), function.metric(metric, "SampleCount")
        if value is not None and n:
            yield measurement(name, unit, Value(value * scale, round(n), source), facts.window, labels)


def _critical(function: FunctionFacts, facts: Facts) -> Measurement:
    """Whether a function is critical (1) or not (0), by which evidence."""
    judged = function.criticality
    value = Value(float(judged.critical), 1, f"evidence: {judged.evidence}", judged.detail)
    return measurement("lambda.critical.flag", Unit.COUNT, value, facts.window, {"function": function.name})


def _by_hours(facts: Facts, settings: LambdaSettings) -> list[Measurement]:
    """The share of cold starts in school hours and apart from them."""
    first, end = settings.school_hours
    found = []
    for name, inside in (("school", True), ("other", False)):
        hours = [
            hour
            for each in facts.functions.values()
            if each.statistics is not None
            for hour in each.statistics.by_hour.values()
            if (first <= hour.hour < end) is inside
        ]
        cold, calls = sum(hour.cold_starts for hour in hours), sum(hour.invocations for hour in hours)
        value = share(cold, calls, _REPORTS)
        found.append(measurement("lambda.cold_hours.ratio", Unit.RATIO, value, facts.window, {"hours": name}))
    return found


def _optimizer(row: Mapping[str, Any]) -> Value:
    """The memory size that AWS Compute Optimizer ranks first; its own window, so its own count."""
    source = f"AWS Compute Optimizer, {row['days'] or 0:.0f} days"
    said = ", ".join([row["finding"], *(row["reasons"] or [])])
    if row["memory_mb"] is None or not row["invocations"]:
        return Value(None, 0, source, f"no data: it recommends no size ({said})")
    return Value(float(row["memory_mb"]), row["invocations"], source, said)


def _ready(function: FunctionFacts, facts: Facts, settings: LambdaSettings) -> Value:
    """Environments that a critical function should keep ready at its busiest, 0 where none is needed."""
    made = planned(function, facts, most_cold=settings.most_cold)
    source = "REPORT lines × Erlang's loss formula × price table"
    if made is None:
        reason = (
            missing(function).note.removeprefix("no data: ")
            if function.statistics is None
            else f"no init among {function.statistics.invocations} invocations"
            if starts_of(function) is None
            else "too few requests in whole days, or no prices of this region"
        )
        return Value(None, 0, source, f"no data: {reason}")
    starts = starts_of(function)
    if starts is not None and starts.n >= ENOUGH_COLD_STARTS and starts.p95 <= QUICK_START_MS:
        words = f"none needed: a cold start takes {starts.p95:.0f} ms (p95 of {starts.n}), which is quick enough"
        return Value(0.0, made.arrivals.total, source, words)
    return Value(float(made.plan.chosen.environments), made.arrivals.total, source, made.plan.verdict)


def worst_cold_start(facts: Facts) -> Value:
    """The largest p95 of starts among critical functions; pooled where none has enough of them."""
    critical = [each for each in facts.functions.values() if each.criticality.critical]
    if not critical:
        return Value(None, 0, _REPORTS, "no data: no function is known as critical; set lambda_functions.critical")
    starts = {each.name: (each, found) for each in critical if (found := starts_of(each)) is not None}
    enough = [pair for pair in starts.values() if pair[1].n >= ENOUGH_COLD_STARTS]
    if enough:
        worst, found = max(enough, key=lambda pair: pair[1].p95)
        note = f"{worst.name}, the worst of {len(enough)} critical functions with enough cold starts"
        return Value(found.p95, found.n, worst.source, note, found.p95_interval)
    if starts:
        worst, found = max(starts.values(), key=lambda pair: pair[1].maximum)
        n = sum(pair[1].n for pair in starts.values())
        note = f"the longest of only {n} cold starts of critical functions ({worst.name}): too few for a percentile"
        return Value(found.maximum, n, worst.source, note)
    seen = sum(each.statistics.invocations for each in critical if each.statistics)
    reason = f"no cold start among {seen} invocations of critical functions" if seen else _why_no_logs(critical)
    return Value(None, 0, _REPORTS, f"no data: {reason}", idle=bool(seen))


def _logged(facts: Facts) -> list[FunctionFacts]:
    return [each for each in facts.functions.values() if each.statistics is not None and each.statistics.invocations]


def _why_no_logs(functions: Sequence[FunctionFacts]) -> str:
    notes = {each.log_note for each in functions}
    return notes.pop() if len(notes) == 1 else f"no log of {len(functions)} functions holds an invocation"


def _no_logs(facts: Facts) -> Value:
    return Value(None, 0, _REPORTS, f"no data: {_why_no_logs(list(facts.functions.values()))}")


def _count(facts: Facts) -> Value:
    n = len(facts.functions)
    critical = sum(each.criticality.critical for each in facts.functions.values())
    return Value(float(n), n, "lambda:ListFunctions", f"{critical} of them critical")


def _statistics(functions: Sequence[FunctionFacts]) -> list[Any]:
    return [each.statistics for each in functions if each.statistics is not None]


def _mean_cold_start(facts: Facts) -> Value:
    inits = [each.init_ms for each in _statistics(_logged(facts)) if each.init_ms is not None]
    n = sum(each.n for each in inits)
    if not n:
        return _no_logs(facts)
    return Value(sum(each.mean * each.n for each in inits) / n, n, _REPORTS, "all functions")


def _cold_ratio(facts: Facts) -> Value:
    found = _statistics(_logged(facts))
    if not found:
        return _no_logs(facts)
    return share(sum(each.cold_starts for each in found), sum(each.invocations for each in found), _REPORTS)


def _efficiency(facts: Facts) -> Value:
    found = _statistics(_logged(facts))
    n = sum(each.invocations for each in found)
    if not n:
        return _no_logs(facts)
    value = sum(each.memory_efficiency * each.invocations for each in found) / n
    return Value(value, n, _REPORTS, "used ÷ allocated memory, mean over invocations")


def _worst_duration(facts: Facts) -> Value:
    found = [(each.statistics.duration_ms, each) for each in _logged(facts) if each.statistics]
    known = [(duration, each) for duration, each in found if duration is not None and each.criticality.critical]
    known = known or [(duration, each) for duration, each in found if duration is not None]
    if not known:
        return _no_logs(facts)
    duration, worst = max(known, key=lambda pair: pair[0].p95)
    kind = "critical functions" if worst.criticality.critical else "functions"
    return Value(
        duration.p95,
        duration.n,
        worst.source,
        f"{worst.name}, the slowest of {len(known)} {kind}",
        duration.p95_interval,
    )


def _errors(facts: Facts) -> Value:
    if not facts.has_metrics:
        return no_metrics(facts)
    functions = facts.functions.values()
    return share(
        sum(each.count("Errors") for each in functions), sum(each.count("Invocations") for each in functions)
    )


def _throttles(facts: Facts) -> Value:
    if not facts.has_metrics:
        return no_metrics(facts)
    throttled = sum(each.count("Throttles") for each in facts.functions.values())
    return share(throttled, throttled + sum(each.count("Invocations") for each in facts.functions.values()))


def _cost(facts: Facts) -> Value:
    costs = [cost for each in facts.functions.values() if (cost := each.cost()) is not None]
    n = sum(each.invocations for each in _statistics(_logged(facts)))
    if not costs or not n:
        region = next((each.region for each in facts.functions.values() if each.price is None), None)
        reason = f"no prices of {region} are bundled" if region else _no_logs(facts).note.removeprefix("no data: ")
        return Value(None, 0, _REPORTS, f"no data: {reason}")
    note = f"{len(costs)} of {len(facts.functions)} functions, at the rate of the window, before any free tier"
    total = sum(cost.total for cost in costs)
    return Value(total, n, _PRICED, note, _month_interval(facts, total))


def _by_days(facts: Facts) -> bool:
    """Whether the days hold all that has a cost: not where a function's figures are Logs Insights' alone."""
    return bool(facts.days) and all(
        each.daily is not None for each in facts.functions.values() if each.cost() is not None
    )


def _month_interval(facts: Facts, total: float) -> Interval | None:
    """From how far days differ, carried to a month."""
    if not _by_days(facts):
        return None
    half = sum_half_width([(day.stratum, day.dollars) for day in facts.days])
    if half is None:
        return None
    month = half * _MONTH_DAYS / len(facts.days)
    return max(0.0, total - month), total + month


def _meals(facts: Facts) -> Value:
    """Dollars for 1,000 meals: what stands by (provisioned environments, /tmp) is shared out to the days."""
    if not facts.meals_source:
        reason = "nobody counts meals: set lambda_functions.meals_function or meals_per_school_day"
        return Value(None, 0, _PRICED, f"no data: {reason}")
    if not _by_days(facts):
        return Value(None, 0, _PRICED, f"no data: {_cost(facts).note or 'the window holds no whole day'}")
    costs = [cost for each in facts.functions.values() if (cost := each.cost()) is not None]
    standing = sum(cost.standing for cost in costs) / _MONTH_DAYS
    found = per_meal([replace(day, dollars=day.dollars + standing) for day in facts.days])
    if found is None:
        return Value(
            None, 0, _PRICED, f"no data: no meal in {len(facts.days)} days by {facts.meals_source}", idle=True
        )
    ratio, interval = found
    meals = sum(day.meals for day in facts.days)
    note = f"{meals} meals in {len(facts.days)} whole days by {facts.meals_source}"
    scaled = None if interval is None else (interval[0] * 1000, interval[1] * 1000)
    return Value(ratio * 1000, meals, f"{_PRICED} ÷ meals", note, scaled)
