"""Stops a load that harms its target: errors or latency past a limit for some seconds. It never resumes by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Pulse:
    """One second of load: requests that ended, those of them that failed, p95 of the answered, the longest wait."""

    at_s: float
    ended: int
    bad: int
    p95_ms: float | None
    waiting_ms: float


class Guard:
    """Watches pulses; `reason` says why the load must stop, and stays.

    `error_ratio`: share of ended requests without the expected answer; `latency_ms`: limit of p95, and of the wait of
    the oldest open request where nothing was answered; `after_s`: how long one of them must stay past its limit. A
    second in which nothing happened neither clears nor confirms.
    """

    def __init__(self, *, error_ratio: float, latency_ms: float, after_s: float) -> None:
        self._error_ratio = error_ratio
        self._latency_ms = latency_ms
        self._after_s = after_s
        self._since: float | None = None
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
        if breach is None:
            if pulse.ended:
                self._since = None
            return
        if self._since is None:
            self._since = pulse.at_s - 1  # the pulse tells of the second before it
        if self.reason is None and pulse.at_s - self._since >= self._after_s:
            self.reason = f"stopped after {pulse.at_s - self._since:.0f} s with {breach}"

    def _breach(self, pulse: Pulse) -> str | None:
        if pulse.ended and pulse.bad / pulse.ended > self._error_ratio:
            return f"{pulse.bad / pulse.ended:.0%} of requests failing (limit {self._error_ratio:.0%})"
        if pulse.p95_ms is not None and pulse.p95_ms > self._latency_ms:
            return f"p95 at {pulse.p95_ms:.0f} ms (limit {self._latency_ms:.0f} ms)"
        if pulse.p95_ms is None and pulse.waiting_ms > self._latency_ms:
            return f"no answer for {pulse.waiting_ms:.0f} ms (limit {self._latency_ms:.0f} ms)"
        return None
