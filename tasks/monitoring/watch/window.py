"""The last samples of a probe: times of those that were answered, and how many were not. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from storage.records import Measurement, Unit, Window
from tasks.load.measured import percentile_of

MOST = 2000
"""Samples that are kept, whatever the window's length: memory stays bounded."""

ENOUGH = 20
"""Fewer answers give no 95th percentile: their largest value would stand for it."""


@dataclass
class Samples:
    """What came within the last `seconds`; moments are those of one clock, in seconds."""

    seconds: float
    _rows: deque[tuple[float, float | None]] = field(default_factory=lambda: deque(maxlen=MOST))

    def add(self, at: float, ms: float | None) -> None:
        """Note a sample: its time in ms, or None where it failed."""
        self._rows.append((at, ms))
        while self._rows and self._rows[0][0] < at - self.seconds:
            self._rows.popleft()

    def clear(self) -> None:
        """Begin anew."""
        self._rows.clear()

    @property
    def spans(self) -> float:
        """Seconds from the first of these samples to the last."""
        return self._rows[-1][0] - self._rows[0][0] if self._rows else 0.0

    @property
    def n(self) -> int:
        """Samples, answered or not."""
        return len(self._rows)

    @property
    def failed(self) -> int:
        """Samples that failed."""
        return sum(ms is None for _, ms in self._rows)

    def p95(self, metric: str, window: Window, source: str) -> Measurement:
        """The 95th percentile of those that were answered; not measured where they are too few."""
        values = np.array([ms for _, ms in self._rows if ms is not None], dtype=np.float64)
        if len(values) < ENOUGH:
            note = f"no data: {len(values)} answers within {self.seconds:g} s, {ENOUGH} are needed"
            return Measurement(
                metric=metric, value=None, unit=Unit.MS, n=len(values), source=source, window=window, note=note
            )
        return percentile_of(metric, values, 0.95, source=source, window=window, why_none="no data")

    def failures(self, metric: str, window: Window, source: str) -> Measurement:
        """Share of the samples that failed."""
        return share(metric, self.failed, self.n, window=window, source=source, why_none="no sample yet")


def share(metric: str, part: float, whole: float, *, window: Window, source: str, why_none: str) -> Measurement:
    """The share of a part in a whole as a measurement; without a whole nothing happened, and there is none."""
    return Measurement(
        metric=metric,
        value=part / whole if whole else None,
        unit=Unit.RATIO,
        n=round(whole),
        source=source,
        window=window,
        note="" if whole else f"no data: {why_none}",
        idle=not whole,
    )


@dataclass
class Counters:
    """Counters of a server, read again and again: what they gained within about the last `seconds`."""

    seconds: float
    _rows: deque[tuple[float, dict[str, float]]] = field(default_factory=lambda: deque(maxlen=MOST))

    def add(self, at: float, values: dict[str, float]) -> None:
        """Note a reading; one that is below the one before is of a server that began anew."""
        if self._rows and any(values.get(name, 0) < before for name, before in self._rows[-1][1].items()):
            self._rows.clear()
        self._rows.append((at, values))
        while len(self._rows) > 2 and self._rows[1][0] <= at - self.seconds:  # noqa: PLR2004 - two ends
            self._rows.popleft()

    def clear(self) -> None:
        """Begin anew."""
        self._rows.clear()

    @property
    def spans(self) -> float:
        """Seconds between the two readings that are compared."""
        return self._rows[-1][0] - self._rows[0][0] if self._rows else 0.0

    def gained(self, name: str) -> float:
        """By how much a counter rose between them."""
        return self._rows[-1][1][name] - self._rows[0][1][name] if self._rows else 0.0
