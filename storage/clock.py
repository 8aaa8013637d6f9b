"""A clock that nobody sets while something is measured: a window does not turn round when the machine's is set."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta


class SteadyClock:
    """UTC as the machine told it when this was made, going on by the monotonic clock from there."""

    def __init__(self) -> None:
        self._began = time.monotonic_ns()
        self._utc_ns = time.time_ns()

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01T00:00Z."""
        return self._utc_ns + time.monotonic_ns() - self._began

    def now(self) -> datetime:
        """This moment in UTC."""
        return datetime.fromtimestamp(self.now_ns() / 1e9, UTC)

    def set_by(self) -> timedelta:
        """How far ahead of this one the machine's clock is by now: it was set, or slewed."""
        return timedelta(microseconds=(time.time_ns() - self.now_ns()) // 1000)
