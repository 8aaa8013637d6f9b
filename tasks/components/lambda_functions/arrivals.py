"""When requests came: their number in each minute of whole days, from midnight in the schools' time zone.

A request arrives when its invocation begins: the report's time less what it lasted. Hourly means hide the bell that
rings, so nothing coarser than a minute is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from storage.records import Window
from tasks.components.lambda_functions.rows import Kind

MINUTES_A_DAY = 1440
MOST_DAYS = 7
_MINUTE_MS = 60_000


@dataclass(frozen=True)
class Arrivals:
    """Requests in each minute of `days` whole days from `start`, local midnight; a week where there is one.

    `cold` of them waited for an environment to start.
    """

    start: datetime
    days: int
    minutes: npt.NDArray[np.float64]
    cold: int = 0

    @property
    def total(self) -> int:
        """Requests in all."""
        return int(self.minutes.sum())


def whole_days(window: Window, timezone: str, *, most: int = MOST_DAYS) -> tuple[datetime, int] | None:
    """The last whole days of a window, so many at most: the first midnight and their number; None without any."""
    zone = ZoneInfo(timezone)
    end = datetime.combine(window.end.astimezone(zone).date(), time(), zone)
    first = window.start.astimezone(zone)
    midnight = datetime.combine(first.date(), time(), zone)
    begin = midnight if midnight == first else datetime.combine(first.date() + timedelta(days=1), time(), zone)
    days = min(most, (end.date() - begin.date()).days)
    return (end - timedelta(days=days), days) if days > 0 else None


def arrivals(rows: pa.Table, window: Window, timezone: str) -> Arrivals | None:
    """Arrivals of one function from its rows of `REPORTS`; None where the window holds no whole day."""
    span = whole_days(window, timezone)
    if span is None:
        return None
    start, days = span
    invoked: Any = pc.field("kind").cast(pa.string()).isin([Kind.WARM, Kind.COLD, Kind.RESTORE, Kind.PROVISIONED])
    kept = rows.filter(invoked)
    ended = kept.column("timestamp").cast(pa.int64()).to_numpy().astype(np.float64)
    kinds = np.asarray(kept.column("kind").cast(pa.string()).to_pylist(), dtype=object)
    waited = kinds != Kind.PROVISIONED
    for column in ("duration_ms", "init_ms", "restore_ms"):
        lasted = np.nan_to_num(kept.column(column).to_numpy().astype(np.float64))
        ended -= lasted if column == "duration_ms" else lasted * waited
    minute = np.floor((ended - start.timestamp() * 1000) / _MINUTE_MS).astype(np.int64)
    size = days * MINUTES_A_DAY
    inside = (minute >= 0) & (minute < size)
    cold = int((inside & ((kinds == Kind.COLD) | (kinds == Kind.RESTORE))).sum())
    return Arrivals(start, days, np.bincount(minute[inside], minlength=size).astype(np.float64), cold)
