"""Replays series as they would have come, run by run, and scores what a detector says in time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median

from benchmarks.detection.series import Floats, Series

IN_TIME = 20
"""Runs after a change within which an alert for it counts."""
NEAR = 10
"""How far off the alert's place may be."""

Detector = Callable[[Floats], Iterable[tuple[int, int]]]
"""All values so far → (place, direction) of the changes that it sees."""


@dataclass
class Score:
    """Hits, misses, false alarms, delays in runs, and how many points were replayed."""

    hits: int = 0
    misses: int = 0
    false: int = 0
    points: int = 0
    delays: tuple[int, ...] = ()

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        return 2 * self.hits / max(1, 2 * self.hits + self.misses + self.false)

    @property
    def false_per_1000(self) -> float:
        """False alarms per 1,000 points."""
        return self.false / max(1, self.points) * 1000

    @property
    def delay(self) -> float:
        """Median of runs between a change and its alert; the run of the change counts as 0."""
        return median(self.delays) if self.delays else float("nan")

    def plus(self, other: Score) -> Score:
        """Both together."""
        return Score(
            self.hits + other.hits,
            self.misses + other.misses,
            self.false + other.false,
            self.points + other.points,
            self.delays + other.delays,
        )


def replay(series: Series, detector: Detector, first: int = 8) -> Score:
    """One series; an alert is a change that the detector has not named before near that place, in that direction."""
    alerts: list[tuple[int, int, int]] = []
    for end in range(first, len(series.values) + 1):
        for place, direction in detector(series.values[:end]):
            if not any(abs(place - at) <= NEAR and direction == way for _, at, way in alerts):
                alerts.append((end - 1, place, direction))
    open_changes = list(series.changes)
    hits, delays, false = 0, [], 0
    for when, place, direction in alerts:
        match = next(
            (
                change
                for change in open_changes
                if change[1] == direction and abs(place - change[0]) <= NEAR and 0 <= when - change[0] <= IN_TIME
            ),
            None,
        )
        if match is None:
            false += 1
        else:
            open_changes.remove(match)
            hits += 1
            delays.append(when - match[0])
    return Score(hits, len(open_changes), false, len(series.values), tuple(delays))


def replay_all(found: Iterable[Series], detector: Detector) -> Score:
    """All series together."""
    total = Score()
    for one in found:
        total = total.plus(replay(one, detector))
    return total


CLOSE = 5
"""How far off a change may be placed by who sees the whole series."""


def at_once(found: Iterable[Series], detector: Detector) -> Score:
    """Every series asked once, as a whole; `delays` are how many runs the places of hits are off."""
    total = Score()
    for one in found:
        open_changes = list(one.changes)
        off, false = [], 0
        for place, direction in detector(one.values):
            near = [change for change in open_changes if change[1] == direction and abs(change[0] - place) <= CLOSE]
            if near:
                nearest = min(near, key=lambda change: abs(change[0] - place))
                open_changes.remove(nearest)
                off.append(abs(nearest[0] - place))
            else:
                false += 1
        total = total.plus(Score(len(off), len(open_changes), false, len(one.values), tuple(off)))
    return total
