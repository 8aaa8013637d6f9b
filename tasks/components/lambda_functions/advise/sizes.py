"""Which size the measured sizes of a function speak for, what that is worth, and how far it may be off."""

from __future__ import annotations

from collections.abc import Sequence

from storage.records import Measurement, PredictedChange
from tasks.components.lambda_functions.advise.finding import evidence
from tasks.components.lambda_functions.criticality import Evidence
from tasks.components.lambda_functions.facts import FunctionFacts
from tasks.components.lambda_functions.quantiles import Interval
from tasks.components.lambda_functions.reports import FunctionStatistics
from tasks.components.lambda_functions.sizing import MemoryAdvice, Objective, recommend

CRITICAL_TOLERANCE = 0.25
"""A critical function takes the fastest size that costs at most this share more than the cheapest."""

_POINT = 30
_USE_VARIES = 0.05
"""How far the memory in use may differ with another size, as a share of it: caches and pools grow with room."""
_NARROWER = 1.2816 / 1.96  # from a 95 % interval to an 80 % one, of a normal variable


def size_advice(function: FunctionFacts, known: FunctionStatistics) -> MemoryAdvice:
    """What the sizes within the window say: medians of warm, successful invocations by size.

    Where people wait for a critical function, speed may cost more; where nobody waits, the cheapest size will do.
    """
    warm = {
        size: found.warm_ms
        for size, found in known.by_memory.items()
        if found.warm_ms is not None and found.warm_ms.n >= _POINT and found.warm_ms.p50 > 0
    }
    objective, tolerance = objective_of(function)
    return recommend(
        {size: found.p50 for size, found in warm.items()},
        current_mb=function.setup["memory_mb"],
        max_used_mb=known.max_memory_used_mb,
        objective=objective,
        tolerance=tolerance,
        intervals={size: found.p50_interval for size, found in warm.items() if found.p50_interval is not None},
    )


def objective_of(function: FunctionFacts) -> tuple[Objective, float | None]:
    """What its size is chosen for, and how much more than the cheapest it may cost (None: the objective's own)."""
    if function.criticality.critical:
        return Objective.LATENCY, CRITICAL_TOLERANCE
    if function.criticality.evidence is Evidence.TRIGGER:
        return Objective.COST, None
    return Objective.BALANCED, None


def between(interval: tuple[float, float] | None) -> str:
    """How far a ratio may lie from 1, as changes in per cent; empty where that is not known."""
    return "" if interval is None else f" ({interval[0] - 1:+.0%} to {interval[1] - 1:+.0%})"


def _duration_dollars(function: FunctionFacts) -> float | None:
    """What the duration costs a month on demand, None where nothing is priced."""
    cost = function.cost()
    return None if cost is None else cost.duration


def dollars(function: FunctionFacts, advice: MemoryAdvice) -> str:
    """The change of the cost of duration, in dollars a month with its interval; empty where nothing is priced."""
    now, ratio, interval = _duration_dollars(function), advice.cost_ratio, advice.cost_ratio_interval
    if now is None or ratio is None:
        return ""
    span = "" if interval is None else f", {now * (interval[0] - 1):+.2f} to {now * (interval[1] - 1):+.2f}"
    return f" ({now * (ratio - 1):+.2f} $ a month{span})"


def predicted(
    function: FunctionFacts, measurements: Sequence[Measurement], advice: MemoryAdvice
) -> tuple[PredictedChange, ...]:
    """What the new size does to the function's p95 and cost."""
    duration, cost = evidence(function, measurements, "lambda.duration.p95", "lambda.cost.month")
    labels = {"function": function.name}
    found: list[PredictedChange] = []
    if duration is not None and duration.value is not None and advice.duration_ratio is not None:
        found.append(
            PredictedChange(
                metric="lambda.duration.p95",
                value=duration.value * advice.duration_ratio,
                interval=_narrowed(duration.value, advice.duration_ratio, advice.duration_ratio_interval),
                labels=labels,
                how=f"{advice.method}, applied to the present p95",
            )
        )
    now = _duration_dollars(function)
    if cost is not None and cost.value is not None and now is not None and advice.cost_ratio is not None:
        spared = _narrowed(now, advice.cost_ratio, advice.cost_ratio_interval)
        rest = cost.value - now
        found.append(
            PredictedChange(
                metric="lambda.cost.month",
                value=rest + now * advice.cost_ratio,
                interval=None if spared is None else (rest + spared[0], rest + spared[1]),
                labels=labels,
                how=f"{advice.method}, applied to the present cost of duration",
            )
        )
    return (*found, *efficiency(function, measurements, advice.memory_mb or 0))


def efficiency(
    function: FunctionFacts, measurements: Sequence[Measurement], wanted: int
) -> tuple[PredictedChange, ...]:
    """What another size does to the share of its memory that a function uses: what it uses stays."""
    (now,) = evidence(function, measurements, "lambda.memory.efficiency")
    present: int = function.setup["memory_mb"]
    if now is None or now.value is None or not wanted or not present:
        return ()
    value = min(1.0, now.value * present / wanted)
    change = PredictedChange(
        metric="lambda.memory.efficiency",
        value=value,
        interval=(value * (1 - _USE_VARIES), min(1.0, value * (1 + _USE_VARIES))),
        labels={"function": function.name},
        how=f"what it uses of {present} MB, held against {wanted} MB",
    )
    return (change,)


def _narrowed(value: float, ratio: float, interval: Interval | None) -> Interval | None:
    """The interval of value x ratio that holds it in four of five cases, from one that does in 95 of 100."""
    if interval is None:
        return None
    low, high = min(interval[0], ratio), max(interval[1], ratio)
    return value * ratio * (low / ratio) ** _NARROWER, value * ratio * (high / ratio) ** _NARROWER
