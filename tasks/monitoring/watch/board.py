"""What is known at this moment, by metric and by target; probes write it, `/metrics`, alerts and the view read it.

Safe to use from several threads; a reader never waits for a target.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from storage.records import Measurement

DOWN_AFTER = 2
"""Looks in a row without an answer make a target down: one lost packet is no outage."""


@dataclass(frozen=True)
class Target:
    """Whether a target answers; `up` is None until it was looked at often enough to tell.

    `busy_until` is when a look that still runs is given up: a look that hangs is a target that does not answer.
    Moments are monotonic seconds.
    """

    name: str
    up: bool | None = None
    since: float = 0.0
    reason: str = ""
    misses: int = 0
    outages: int = 0
    busy_until: float | None = None

    def answers(self, now: float) -> bool | None:
        """`up`, but False where the look of this moment hangs."""
        return False if self.busy_until is not None and now > self.busy_until else self.up


@dataclass(frozen=True)
class Known:
    """A metric as it was measured last, and when in monotonic seconds."""

    measurement: Measurement
    at: float


class Board:
    """See the module. `figures` are gauges that are no metric of thresholds.toml, by family and label values."""

    def __init__(self, targets: Sequence[str]) -> None:
        self._lock = threading.Lock()
        self._targets = {name: Target(name) for name in targets}
        self._known: dict[str, Known] = {}
        self._figures: dict[str, dict[tuple[str, ...], float]] = {}

    def begins(self, target: str, until: float) -> None:
        """A look begins, and is given up at `until`."""
        with self._lock:
            self._targets[target] = replace(self._targets[target], busy_until=until)

    def ended(self, target: str, problem: str, now: float | None = None) -> bool:
        """A look has ended, with the reason where nothing answered; whether this ended an outage."""
        now = time.monotonic() if now is None else now
        with self._lock:
            old = self._targets[target]
            new = _after(old, problem, now)
            self._targets[target] = new
            return old.up is False and new.up is True

    def put(self, measurements: Iterable[Measurement], now: float | None = None) -> None:
        """Take what was measured, in place of what was known before."""
        now = time.monotonic() if now is None else now
        with self._lock:
            for one in measurements:
                self._known[one.metric] = Known(one, now)

    def show(self, figures: Mapping[str, Mapping[tuple[str, ...], float]]) -> None:
        """Take figures by family; those of a family replace all that it had."""
        with self._lock:
            self._figures.update({name: dict(values) for name, values in figures.items()})

    def targets(self) -> dict[str, Target]:
        """All targets by name."""
        with self._lock:
            return dict(self._targets)

    def known(self) -> dict[str, Known]:
        """All metrics by name."""
        with self._lock:
            return dict(self._known)

    def figures(self) -> dict[str, dict[tuple[str, ...], float]]:
        """All figures by family."""
        with self._lock:
            return dict(self._figures)


def _after(old: Target, problem: str, now: float) -> Target:
    misses = old.misses + 1 if problem else 0
    up = True if not problem else False if misses >= DOWN_AFTER else old.up
    return replace(
        old,
        up=up,
        since=old.since if up is old.up else now,
        reason=problem,
        misses=misses,
        outages=old.outages + (up is False and old.up is not False),
        busy_until=None,
    )
