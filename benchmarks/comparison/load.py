"""Simulated runs of load: requests that resemble their neighbours, pauses, and runs that differ among themselves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from storage.records import Unit
from tasks.judge.compare import Figure, RunFigures, slices_of

Floats = npt.NDArray[np.float64]

METRIC = "api.latency.p95"


@dataclass(frozen=True)
class Load:
    """`apart` is the standard deviation between runs of the same thing; `wander` that of the level within a run."""

    requests: int = 20_000
    seconds: float = 600.0
    spread: float = 0.45
    apart: float = 0.015
    wander: float = 0.08
    memory_s: float = 8.0
    pauses: float = 3.0
    longest_s: float = 1.5


def run(rng: np.random.Generator, load: Load, factor: float = 1.0, tail: float = 1.0) -> tuple[Floats, Floats]:
    """Moments in s and latencies in ms of one run; `tail` makes the slowest tenth of requests so much slower."""
    times = np.sort(rng.uniform(0, load.seconds, load.requests))
    steps = int(load.seconds / 0.5)
    keep = np.exp(-0.5 / load.memory_s)
    level = np.zeros(steps + 1)
    shocks = rng.normal(0, load.wander * np.sqrt(1 - keep**2), steps)
    for at in range(steps):
        level[at + 1] = keep * level[at] + shocks[at]
    noise = rng.normal(0, load.spread, load.requests)
    noise += np.where(noise > 1.2816 * load.spread, np.log(tail), 0)
    logs = np.log(40 * factor) + rng.normal(0, load.apart) + level[(times / 0.5).astype(int)] + noise
    latencies = np.exp(logs)
    for _ in range(rng.poisson(load.pauses)):  # while the target pauses, what arrives waits for its end
        start, length = rng.uniform(0, load.seconds), rng.uniform(0.2, load.longest_s)
        waiting = (times >= start) & (times < start + length)
        latencies[waiting] += (start + length - times[waiting]) * 1000
    return times, latencies


def figures(name: str, times: Floats, latencies: Floats) -> RunFigures:
    """The run as the judge gets it."""
    value = float(np.quantile(latencies, 0.95))
    slices = slices_of(times, latencies, 0.95)
    return RunFigures(name, (Figure(METRIC, Unit.MS, value, len(latencies), slices=slices),))
