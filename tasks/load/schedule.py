"""Arrival schedules: when each request of an open model is due, as arrays of offsets in nanoseconds. Pure.

A schedule is a row of phases, each with a rate that is constant or changes linearly. The number of arrivals of a
phase is exact (the area under its rate, rounded; what rounding leaves over is carried to the next phase), so that a
plan can be counted before it runs; jitter moves arrivals, never their number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

Jitter = Literal["none", "uniform", "poisson"]
"""`none`: evenly spaced. `uniform`: one arrival at a random place of each slot of 1/rate. `poisson`: independent
users, a Poisson process conditioned on its number of arrivals (the order statistics of uniform draws)."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Phase:
    """A stretch of a schedule: the rate goes linearly from `from_rate` to `to_rate` (requests/s)."""

    name: str
    from_rate: float
    to_rate: float
    duration_s: float

    def __post_init__(self) -> None:
        if min(self.from_rate, self.to_rate, self.duration_s) < 0:
            raise ValueError(f"phase {self.name}: rates and duration must not be negative")

    @property
    def expected(self) -> float:
        """The area under the rate: how many arrivals the phase asks for."""
        return (self.from_rate + self.to_rate) / 2 * self.duration_s

    def to_json(self) -> dict[str, Any]:
        """As it stands in a plan."""
        return {
            "name": self.name,
            "from_rate": self.from_rate,
            "to_rate": self.to_rate,
            "duration_s": self.duration_s,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(str(data["name"]), float(data["from_rate"]), float(data["to_rate"]), float(data["duration_s"]))


@dataclass(frozen=True)
class Schedule:
    """Arrivals: offsets from the start in ns, ascending, and for each the number of its phase."""

    offsets_ns: Ints
    phase: Ints
    names: tuple[str, ...]
    duration_ns: int

    def __len__(self) -> int:
        return len(self.offsets_ns)

    def shard(self, number: int, of: int) -> Self:
        """Every `of`-th arrival, from arrival `number` on: all shards together hold each arrival once."""
        return replace(self, offsets_ns=self.offsets_ns[number::of], phase=self.phase[number::of])


def arrivals(phases: Sequence[Phase], *, jitter: Jitter = "poisson", seed: int = 0) -> Schedule:
    """The schedule of some phases; the same seed gives the same schedule."""
    rng = np.random.default_rng(seed)
    offsets: list[Ints] = []
    numbers: list[Ints] = []
    start_s = owed = 0.0
    for number, phase in enumerate(phases):
        owed += phase.expected
        count = math.floor(owed + 0.5)
        owed -= count
        at = start_s + _place(phase, _positions(count, jitter, rng))
        offsets.append(np.rint(at * 1e9).astype(np.int64))
        numbers.append(np.full(count, number, np.int64))
        start_s += phase.duration_s
    return Schedule(
        offsets_ns=np.concatenate(offsets) if offsets else np.empty(0, np.int64),
        phase=np.concatenate(numbers) if numbers else np.empty(0, np.int64),
        names=tuple(phase.name for phase in phases),
        duration_ns=round(start_s * 1e9),
    )


def _positions(count: int, jitter: Jitter, rng: np.random.Generator) -> Floats:
    """Where arrivals lie under the rate, as ascending shares 0 ≤ x < 1 of its area."""
    if jitter == "none":
        places: Floats = (np.arange(count) + 0.5) / max(count, 1)
    elif jitter == "uniform":
        places = (np.arange(count) + rng.random(count)) / max(count, 1)
    else:
        places = np.sort(rng.random(count))
    return places


def _place(phase: Phase, share: Floats) -> Floats:
    """The moments at which the area under the rate reaches its shares.

    With r(t) = a + (b − a)·t/T the area up to t is a·t + (b − a)·t²/(2T); solved for t in the form that has no
    cancellation: t = 2·A·x / (a + √(a² + 2·(b − a)·A·x/T)), A the whole area.
    """
    a, b, duration, area = phase.from_rate, phase.to_rate, phase.duration_s, phase.expected
    if area == 0:
        return np.zeros_like(share)
    root = np.sqrt(np.maximum(a * a + 2 * (b - a) * area * share / duration, 0.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        moments: Floats = 2 * area * share / (a + root)
    return np.minimum(np.nan_to_num(moments, nan=0.0), duration)


def steps(target: float, *, first: float, growth: float, ceiling: float) -> list[float]:
    """Rates of a capacity search: from `first`, times `growth`, through `target` itself, to `ceiling` at most.

    `target` is a step of its own where it lies below the ceiling, so that "reached or not" is answered exactly.
    """
    if growth <= 1:
        raise ValueError("growth must be above 1")
    rates: list[float] = []
    rate = min(first, ceiling)
    while rate < ceiling:
        rates.append(rate)
        onward = rate * growth
        rate = target if rate < target < onward * math.sqrt(growth) else onward
    rates.append(ceiling)
    return rates
