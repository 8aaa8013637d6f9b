"""Hours that were found busy → a timetable by day of the week, as cron expressions of Application Auto Scaling.

Environments are asked for some minutes before the hour: each is initialised before it counts as ready.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

AHEAD_MIN = 10
"""Minutes before the hour at which environments are asked for."""

_DAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_DAY_H = 24


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive hours, from `begin` to before `end` (0..24), on some days of the week (0 is Monday)."""

    days: tuple[int, ...]
    begin: int
    end: int

    @property
    def on(self) -> str:
        """When environments are asked for, as a cron expression in local time."""
        hour, minute = divmod(self.begin * 60 - AHEAD_MIN, 60)
        if hour >= 0:
            return _cron(minute, hour, self.days)
        return _cron(minute, hour + _DAY_H, tuple((day - 1) % len(_DAYS) for day in self.days))

    @property
    def off(self) -> str:
        """When they are given back, as a cron expression in local time."""
        if self.end < _DAY_H:
            return _cron(0, self.end, self.days)
        return _cron(0, 0, tuple((day + 1) % len(_DAYS) for day in self.days))

    def __str__(self) -> str:
        return f"{self.begin:02d}:00-{self.end:02d}:00 on {', '.join(_DAYS[day].capitalize() for day in self.days)}"


def timetable(hours: Iterable[int], start: datetime) -> tuple[Block, ...]:
    """Blocks of the hours (counted from local midnight `start`); equal blocks of several days are one."""
    by_block: dict[tuple[int, int], set[int]] = defaultdict(set)
    by_day: dict[int, list[int]] = defaultdict(list)
    for hour in sorted(hours):
        by_day[hour // _DAY_H].append(hour % _DAY_H)
    for day, found in by_day.items():
        for begin, end in _runs(found):
            by_block[begin, end].add((start + timedelta(days=day)).weekday())
    return tuple(
        Block(tuple(sorted(days)), begin, end)
        for (begin, end), days in sorted(by_block.items(), key=lambda one: (min(one[1]), one[0]))
    )


def _runs(hours: list[int]) -> Iterator[tuple[int, int]]:
    begin = previous = hours[0]
    for hour in hours[1:]:
        if hour != previous + 1:
            yield begin, previous + 1
            begin = hour
        previous = hour
    yield begin, previous + 1


def _cron(minute: int, hour: int, days: tuple[int, ...]) -> str:
    return f"cron({minute} {hour} ? * {','.join(_DAYS[day] for day in sorted(days))} *)"
