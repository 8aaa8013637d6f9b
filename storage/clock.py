"""A clock that nobody sets while something is measured: a window does not turn round when the machine's is set."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_held: list[Clock] = []


@dataclass(frozen=True)
class Clock:
    """UTC as the machine told it when this was read, going on by the monotonic clock from there.

    utc_ns = monotonic_ns + offset_ns. All processes of a machine share its monotonic clock, so they share this.
    """

    offset_ns: int

    @classmethod
    def read(cls, attempts: int = 9) -> Clock:
        """Read both clocks and keep the reading with the narrowest bracket, as clock synchronisation does."""
        best = (1 << 62, 0)
        for _ in range(attempts):
            before, wall, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
            best = min(best, (after - before, wall - (before + after) // 2))
        return cls(best[1])

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01T00:00Z."""
        return time.monotonic_ns() + self.offset_ns

    def now(self) -> datetime:
        """This moment in UTC."""
        return datetime.fromtimestamp(self.now_ns() / 1e9, UTC)

    def set_by(self) -> timedelta:
        """How far ahead of this one the machine's clock is by now: it was set, or slewed."""
        return timedelta(microseconds=(time.time_ns() - self.now_ns()) // 1000)


@contextmanager
def holding(clock: Clock) -> Iterator[Clock]:
    """Whatever this process measures within the block goes by this clock, in every thread and every load worker."""
    _held.append(clock)
    try:
        yield clock
    finally:
        _held.remove(clock)


def current_clock() -> Clock:
    """The clock that is held here; outside of `holding` the machine's, as it is now."""
    return _held[-1] if _held else Clock.read()
