"""Dollars by whole local day, from the rows of single invocations: what the intervals of costs rest on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from storage.records import Window
from tasks.components.lambda_functions.arrivals import whole_days
from tasks.components.lambda_functions.cost import MB_PER_GB, Prices
from tasks.components.lambda_functions.spread import Day

_DAY_MS = 86_400_000
_MANY_DAYS = 90

Floats = npt.NDArray[np.float64]


def dollars_by_day(rows: pa.Table, price: Prices, window: Window, timezone: str) -> Floats | None:
    """What one function's invocations cost on each whole day: requests and duration, tier 1; None without a day."""
    span = whole_days(window, timezone, most=_MANY_DAYS)
    if span is None:
        return None
    start, days = span
    at: Any = rows.column("timestamp").cast(pa.int64()).to_numpy()
    day = (at - round(start.timestamp() * 1000)) // _DAY_MS
    gb = np.nan_to_num(rows.column("memory_mb").cast(pa.float64()).to_numpy()) / MB_PER_GB
    seconds = np.nan_to_num(rows.column("billed_ms").to_numpy()) / 1000
    invoked = ~np.isnan(rows.column("billed_ms").to_numpy())
    each = gb * seconds * price.duration[0] + invoked * price.request
    inside = (day >= 0) & (day < days)
    return np.bincount(day[inside], weights=each[inside], minlength=days).astype(np.float64)


def meals_by_day(rows: pa.Table, window: Window, timezone: str) -> npt.NDArray[np.int64] | None:
    """Invocations of the function that counts meals which succeeded, on each whole day."""
    span = whole_days(window, timezone, most=_MANY_DAYS)
    if span is None:
        return None
    start, days = span
    at: Any = rows.column("timestamp").cast(pa.int64()).to_numpy()
    day = (at - round(start.timestamp() * 1000)) // _DAY_MS
    good = np.asarray(rows.column("status").cast(pa.string()).to_pylist(), dtype=object) == "success"
    inside = (day >= 0) & (day < days) & good
    return np.bincount(day[inside], minlength=days).astype(np.int64)


def as_days(dollars: Floats, meals: Callable[[int, int], int], window: Window, timezone: str) -> list[Day]:
    """The days with weekday, dollars, and the meals that `meals` tells for number and weekday."""
    span = whole_days(window, timezone, most=_MANY_DAYS)
    if span is None:
        return []
    start, days = span
    return [
        Day(weekday, float(dollars[number]), meals(number, weekday))
        for number in range(days)
        for weekday in ((start + timedelta(days=number)).weekday(),)
    ]
