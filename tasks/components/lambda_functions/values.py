"""A value with its evidence, and how it becomes a measurement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from storage.records import Measurement, Unit, Window
from tasks.components.lambda_functions.facts import CLOUDWATCH, Facts, FunctionFacts
from tasks.components.lambda_functions.quantiles import Interval, Percentiles, ratio_interval

ENOUGH_COLD_STARTS = 10
"""Cold starts of one function from which its own p95 counts (±25 % at 10, ±7 % at 100)."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value with its evidence, or the reason why there is none."""

    value: float | None
    n: int
    source: str
    note: str = ""
    interval: Interval | None = None
    idle: bool = False
    """Whether there is no value because nothing happened, rather than because something could not be read."""


def measurement(
    metric: str, unit: Unit, value: Value, window: Window, labels: Mapping[str, str] | None = None
) -> Measurement:
    """The record of a value."""
    return Measurement(
        metric=metric,
        value=value.value,
        unit=unit,
        n=value.n,
        source=value.source,
        window=window,
        interval=value.interval,
        labels=dict(labels or {}),
        note=value.note,
        idle=value.idle,
    )


def share(part: int, whole: int, source: str = CLOUDWATCH) -> Value:
    """A share with Wilson's interval; without a whole there is no share."""
    if whole == 0:
        return Value(None, 0, source, "no data: no invocation in the window")
    return Value(min(1.0, part / whole), whole, source, f"{part} of {whole}", ratio_interval(min(part, whole), whole))


def no_metrics(facts: Facts) -> Value:
    """CloudWatch could not be read: why."""
    return Value(None, 0, CLOUDWATCH, facts.note_about("CloudWatch metrics"))


def missing(function: FunctionFacts) -> Value:
    """A function without log statistics: why."""
    return Value(None, 0, function.source, f"no data: {function.log_note}")


def starts_of(function: FunctionFacts) -> Percentiles | None:
    """Starts that a caller waited for: cold starts, or restores where those are what the function does."""
    if function.statistics is None:
        return None
    init, restore = function.statistics.init_ms, function.statistics.restore_ms
    if init is None or restore is None:
        return init or restore
    return init if init.p95 >= restore.p95 or restore.n < ENOUGH_COLD_STARTS else restore
