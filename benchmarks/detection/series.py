"""Labelled series of nightly figures: noise, outliers, seasons, drifts, spikes, missing runs, changes of level."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """Values in the order of runs (NaN: the run did not measure); where the level changed, and in which direction."""

    kind: str
    values: Floats
    changes: tuple[tuple[int, int], ...]


def suite(count: int = 240, *, seed: int = 7) -> list[Series]:
    """A suite of series of 90 to 240 runs; about two thirds have changes of 5 to 50 %."""
    rng = np.random.default_rng(seed)
    return [_series(rng, number) for number in range(count)]


def _series(rng: np.random.Generator, number: int) -> Series:
    n = int(rng.integers(90, 241))
    sigma = float(np.exp(rng.uniform(np.log(0.008), np.log(0.06))))
    logs = np.full(n, np.log(rng.uniform(5, 2000))) + _noise(rng, n, sigma, phi=float(rng.choice([0, 0, 0.2, 0.4])))
    kinds, changes = [], []
    if rng.random() < 0.67:
        for at in _places(rng, n):
            size = float(rng.choice([0.05, 0.1, 0.15, 0.2, 0.3, 0.5]))
            size = max(size, 2.2 * sigma) if rng.random() < 0.8 else size
            direction = int(rng.choice([1, -1]))
            logs[at:] += direction * np.log1p(size)
            changes.append((at, direction))
        kinds.append("steps")
    for name, chance, shape in _SHAPES:
        if rng.random() < chance:
            logs = shape(rng, logs, sigma)
            kinds.append(name)
    values = np.exp(logs)
    if number % 5 == 0:
        values[rng.random(n) < 0.05] = np.nan
        kinds.append("missing")
    return Series("+".join(kinds) or "quiet", values, tuple(changes))


def _noise(rng: np.random.Generator, n: int, sigma: float, *, phi: float) -> Floats:
    drawn = rng.normal(0, sigma * np.sqrt(1 - phi**2), n)
    out = np.empty(n)
    last = 0.0
    for place, shock in enumerate(drawn):
        last = phi * last + shock
        out[place] = last
    return out


def _places(rng: np.random.Generator, n: int) -> Iterator[int]:
    at = int(rng.integers(25, 50))
    while at < n - 15:
        yield at
        at += int(rng.integers(30, 90))


def _outliers(rng: np.random.Generator, logs: Floats, sigma: float) -> Floats:
    hit = rng.random(len(logs)) < 0.03
    return logs + hit * rng.normal(0, 8 * sigma, len(logs))


def _spikes(rng: np.random.Generator, logs: Floats, _sigma: float) -> Floats:
    """A disaster of one or two runs that goes by."""
    out = logs.copy()
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(5, len(logs) - 3))
        out[at : at + int(rng.integers(1, 3))] += rng.uniform(0.3, 1.2)
    return out


def _season(rng: np.random.Generator, logs: Floats, sigma: float) -> Floats:
    profile = np.zeros(7)
    profile[5:] = -rng.uniform(2, 6) * sigma
    return logs + np.resize(np.roll(profile, int(rng.integers(7))), len(logs))


def _variance(rng: np.random.Generator, logs: Floats, sigma: float) -> Floats:
    at = int(rng.integers(len(logs) // 3, 2 * len(logs) // 3))
    out = logs.copy()
    out[at:] += rng.normal(0, 1.2 * sigma, len(logs) - at)
    return out


def _drift(rng: np.random.Generator, logs: Floats, _sigma: float) -> Floats:
    return logs + np.linspace(0, rng.uniform(-0.04, 0.06), len(logs))


_SHAPES = (
    ("outliers", 0.35, _outliers),
    ("spikes", 0.25, _spikes),
    ("season", 0.3, _season),
    ("variance", 0.15, _variance),
    ("drift", 0.12, _drift),
)
