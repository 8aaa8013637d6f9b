"""Stops a load that harms its target or cannot be what it was meant to be; it never resumes by itself. Pure.

Three things stop it, each once it has lasted for some seconds: errors past their limit, latency past its limit, and a
rate that is not reached, since then the load measures another plan than the one it was asked for.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

REACHED = 0.95
"""A rate is reached where this share of what is due in a second is sent in it."""
LONGEST_PAUSE_S = 60.0
"""The longest pause that a target may ask for by Retry-After: a longer one is cut to this."""
ASKS_FOR_PAUSE = frozenset({429, 503})
"""Statuses whose Retry-After asks to stop for a while (RFC 9110, 10.2.3; RFC 6585, 4)."""

_SECOND = 1_000_000_000
_CLUMP = 4.0


@dataclass(frozen=True)
class Pulse:
    """One second of load: requests that ended, those of them that failed, p95 of the answered, the longest wait.

    `due` requests had their moment in it, `sent` were sent in it; both 0 where nobody counts them.
    """

    at_s: float
    ended: int
    bad: int
    p95_ms: float | None
    waiting_ms: float
    due: int = 0
    sent: int = 0


class Guard:
    """Watches pulses; `reason` says why the load must stop, and stays.

    `error_ratio`: share of ended requests without the expected answer; `latency_ms`: limit of p95, and of the wait of
    the oldest open request where nothing was answered; `after_s`: how long one of them must stay past its limit, or
    the rate below 95 % of what is due. A second in which nothing happened neither clears nor confirms.
    """

    def __init__(self, *, error_ratio: float, latency_ms: float, after_s: float) -> None:
        self._error_ratio = error_ratio
        self._latency_ms = latency_ms
        self._after_s = after_s
        self._harm_since: float | None = None
        self._short_since: float | None = None
        self._due = self._sent = 0
        self.watches_rate = True
        """Whether a rate that is not reached stops the load: not so in a capacity search, which looks for it."""
        self.reason: str | None = None

    @classmethod
    def from_plan(cls, plan: Mapping[str, Any]) -> Guard:
        """The guard that a worker's plan asks for."""
        return cls(
            error_ratio=float(plan["error_ratio"]),
            latency_ms=float(plan["latency_ms"]),
            after_s=float(plan["after_s"]),
        )

    def watch(self, pulse: Pulse) -> None:
        """Take the next second into account."""
        breach = self._breach(pulse)
        if breach is not None:
            self._harm_since = _begun(self._harm_since, pulse)
            if self._lasted(self._harm_since, pulse):
                self._stop(f"stopped after {pulse.at_s - self._harm_since:.0f} s with {breach}")
        elif pulse.ended:
            self._harm_since = None
        if self.watches_rate:
            self._watch_rate(pulse)

    def _watch_rate(self, pulse: Pulse) -> None:
        if pulse.sent >= REACHED * pulse.due:
            if pulse.due:
                self._short_since = None
            return
        if self._short_since is None:
            self._due = self._sent = 0
        self._short_since = _begun(self._short_since, pulse)
        self._due += pulse.due
        self._sent += pulse.sent
        if self._lasted(self._short_since, pulse):
            self._stop(
                f"stopped: target rate not reached, {self._sent} of {self._due} requests that were due could be sent "
                f"in {pulse.at_s - self._short_since:.0f} s (limit {REACHED:.0%})"
            )

    def _stop(self, reason: str) -> None:
        if self.reason is None:
            self.reason = reason

    def _lasted(self, since: float, pulse: Pulse) -> bool:
        return pulse.at_s - since >= self._after_s

    def _breach(self, pulse: Pulse) -> str | None:
        if pulse.ended and pulse.bad / pulse.ended > self._error_ratio:
            return f"{pulse.bad / pulse.ended:.0%} of requests failing (limit {self._error_ratio:.0%})"
        if pulse.p95_ms is not None and pulse.p95_ms > self._latency_ms:
            return f"p95 at {pulse.p95_ms:.0f} ms (limit {self._latency_ms:.0f} ms)"
        if pulse.p95_ms is None and pulse.waiting_ms > self._latency_ms:
            return f"no answer for {pulse.waiting_ms:.0f} ms (limit {self._latency_ms:.0f} ms)"
        return None


def _begun(since: float | None, pulse: Pulse) -> float:
    """When what a pulse tells of began: it speaks of the second before it."""
    return pulse.at_s - 1 if since is None else since


class Ceiling:
    """`max_rate` on the way to the wire: in no second pass more requests than it, and than chance makes of it.

    Independent arrivals at a rate r come in clumps: in one second of many thousands there are more than r + 4·√r. So
    many may pass in any second, whatever the schedule says and however much piled up while the generator stood still.
    """

    def __init__(self, max_rate: float) -> None:
        self._passed: deque[int] = deque(maxlen=math.ceil(max_rate + _CLUMP * math.sqrt(max_rate)))

    def free_at(self, now_ns: int) -> int:
        """When the next request may pass (ns): now, or a moment that is still to come."""
        full = len(self._passed) == self._passed.maxlen
        return max(now_ns, self._passed[0] + _SECOND) if full else now_ns

    def passes(self, now_ns: int) -> None:
        """One passes."""
        self._passed.append(now_ns)


def pause_s(value: str | None, now: datetime | None = None) -> float:
    """The pause that a Retry-After asks for, seconds or a date, at most 60 s; 0 where there is none, or no sense."""
    if value is None:
        return 0.0
    if value.isdecimal():
        return min(float(value), LONGEST_PAUSE_S)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(0.0, (aware - (now or datetime.now(UTC))).total_seconds()), LONGEST_PAUSE_S)
