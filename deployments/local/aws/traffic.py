"""When a function is called: arrivals of one day, shaped as a school day in Asia/Kolkata."""

from __future__ import annotations

import re
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from deployments.local.aws.behaviour import SHAPES, Behaviour
from deployments.local.aws.functions import Function

IST_OFFSET_MS = 19_800_000
"""Asia/Kolkata is UTC + 5:30 and has no daylight saving time."""

DAY_MS = 86_400_000
BELLS_MS = tuple(int(hour * 3_600_000) for hour in (12.25, 12.75, 13.25))
"""The lunch bells, after midnight in Asia/Kolkata."""

BURST_MS = 30_000
MONDAY_TO_FRIDAY = 5
_EPOCH = date(1970, 1, 1)

Milliseconds = npt.NDArray[np.int64]


def day_number(epoch_ms: int) -> int:
    """The number of days from 1970-01-01 to the day in Asia/Kolkata that holds `epoch_ms`."""
    return (epoch_ms + IST_OFFSET_MS) // DAY_MS


def day_start_ms(day: int) -> int:
    """Midnight in Asia/Kolkata of day number `day`, in epoch milliseconds."""
    return day * DAY_MS - IST_OFFSET_MS


def arrivals(function: Function, behaviour: Behaviour, day: int, rng: np.random.Generator) -> Milliseconds:
    """The calls of `function` on day number `day`: sorted epoch milliseconds."""
    today = _EPOCH + timedelta(days=day)
    school = today.weekday() < MONDAY_TO_FRIDAY
    parts = [_shaped(behaviour, rng, behaviour.daily * (1.0 if school else behaviour.weekend))]
    if behaviour.burst and school:
        parts += [bell + rng.integers(0, BURST_MS, rng.poisson(behaviour.burst)) for bell in BELLS_MS]
    if behaviour.every_s:
        parts.append(_every(behaviour.every_s * 1000, rng))
    parts += [_scheduled(expression, today, rng) for expression in function.schedules]
    return np.sort(np.concatenate(parts).astype(np.int64)) + day_start_ms(day)


def _shaped(behaviour: Behaviour, rng: np.random.Generator, mean: float) -> Milliseconds:
    count = rng.poisson(mean)
    weights = np.asarray(SHAPES[behaviour.shape], dtype=float)
    hours = rng.choice(24, size=count, p=weights / weights.sum())
    return (hours * 3_600_000 + rng.integers(0, 3_600_000, count)).astype(np.int64)


def _every(interval_ms: int, rng: np.random.Generator) -> Milliseconds:
    times = np.arange(0, DAY_MS, interval_ms, dtype=np.int64)
    return times + rng.integers(0, 900, len(times))


def _scheduled(expression: str, today: date, rng: np.random.Generator) -> Milliseconds:
    """The calls of an EventBridge schedule on one day: `rate(…)`, or `cron(m h dom * ? *)` in UTC."""
    if rate := re.fullmatch(r"rate\((\d+) (minute|hour)s?\)", expression):
        unit = 60_000 if rate[2] == "minute" else 3_600_000
        return _every(int(rate[1]) * unit, rng)
    if cron := re.fullmatch(r"cron\((\d+) (\d+) (\*|\d+) \* \? \*\)", expression):
        if cron[3] != "*" and int(cron[3]) != today.day:
            return np.empty(0, dtype=np.int64)
        utc_ms = (int(cron[2]) * 60 + int(cron[1])) * 60_000
        return np.array([(utc_ms + IST_OFFSET_MS) % DAY_MS + rng.integers(0, 900)], dtype=np.int64)
    message = f"schedule {expression!r}: only rate(…) and cron(minute hour day * ? *) are known"
    raise ValueError(message)
