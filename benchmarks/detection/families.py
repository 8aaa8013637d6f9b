"""Suites of another character than `series.suite`: each asks one question, so that no tuning fits one suite alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from benchmarks.detection.series import Floats, Series, suite

Draw = Callable[[np.random.Generator, int, float], Floats]
"""Noise of n logarithms, about as wide as the given deviation."""
Place = Callable[[np.random.Generator, int], Iterator[tuple[int, float]]]
"""Where the level changes, and by what share of 1 (negative: down)."""

_SIZES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5)


def _normal(rng: np.random.Generator, n: int, sigma: float) -> Floats:
    return rng.normal(0, sigma, n)


def _gamma(rng: np.random.Generator, n: int, sigma: float) -> Floats:
    """Times that are a least one and a gamma-distributed rest: skewed to the right, as latencies are."""
    shape = rng.uniform(1.5, 4)
    return np.log1p(rng.gamma(shape, sigma / np.sqrt(shape), n))


def _heavy(rng: np.random.Generator, n: int, sigma: float) -> Floats:
    """Student's t with three degrees of freedom: outliers are part of the noise."""
    out: Floats = sigma * rng.standard_t(3, n) / np.sqrt(3)
    return out


def _autoregressive(rng: np.random.Generator, n: int, sigma: float) -> Floats:
    phi = float(rng.uniform(0.3, 0.7))
    shocks = rng.normal(0, sigma * np.sqrt(1 - phi**2), n)
    out = np.empty(n)
    last = rng.normal(0, sigma)
    for place, shock in enumerate(shocks):
        last = phi * last + shock
        out[place] = last
    return out


def _weekly(rng: np.random.Generator, n: int, sigma: float) -> Floats:
    """Every weekday has its factor, and Saturday and Sunday another load altogether."""
    profile = rng.normal(0, sigma, 7)
    profile[5:] += rng.choice([-1, 1]) * rng.uniform(0.05, 0.4)
    return np.resize(np.roll(profile, int(rng.integers(7))), n) + rng.normal(0, sigma, n)


def _two_machines(rng: np.random.Generator, n: int, sigma: float) -> Floats:
    """Builds that land on one of two kinds of machine, told in whole units of a clock."""
    apart = rng.uniform(1, 4) * sigma
    return np.round((rng.random(n) < rng.uniform(0.1, 0.4)) * apart + rng.normal(0, sigma, n), 3)


def _bursts(rng: np.random.Generator, n: int, sigma: float) -> Floats:
    """Stretches of weeks in which the noise is up to three times as wide."""
    width = np.full(n, sigma)
    for at in rng.integers(0, n, 2):
        width[at : at + int(rng.integers(10, 40))] *= rng.uniform(1.5, 3)
    return rng.normal(0, width)


def _drifting(rng: np.random.Generator, n: int, sigma: float) -> Floats:
    """A ramp of 10 to 40 % over a third to all of the series: slow, so no step at any place."""
    length = int(rng.integers(max(n // 3, 40), n + 1))
    start = int(rng.integers(0, n - length + 1))
    total = rng.choice([-1, 1]) * rng.uniform(0.1, 0.4)
    ramp = np.interp(np.arange(n), [start, start + length - 1], [0, total])
    out: Floats = ramp + rng.normal(0, sigma, n)
    return out


def _steps(first: int, least: int, most: int) -> Place:
    def places(rng: np.random.Generator, n: int) -> Iterator[tuple[int, float]]:
        at = int(rng.integers(first, first + 25))
        while at < n - 12:
            yield at, float(rng.choice(_SIZES)) * int(rng.choice([1, -1]))
            at += int(rng.integers(least, most))

    return places


def _and_back(rng: np.random.Generator, n: int) -> Iterator[tuple[int, float]]:
    """Up by a release, and down by its repair 8 to 25 runs later."""
    at = int(rng.integers(20, 45))
    while at < n - 40:
        size, length = float(rng.choice(_SIZES)), int(rng.integers(8, 26))
        yield at, size
        yield at + length, -size / (1 + size)
        at += length + int(rng.integers(25, 80))


def _none(_rng: np.random.Generator, _n: int) -> Iterator[tuple[int, float]]:
    return iter(())


_USUAL = _steps(25, 30, 90)
FAMILIES: Mapping[str, tuple[Draw, Place, tuple[int, int]]] = {
    "gamma": (_gamma, _USUAL, (90, 240)),
    "heavy tails": (_heavy, _USUAL, (90, 240)),
    "autocorrelated": (_autoregressive, _USUAL, (90, 240)),
    "weekly": (_weekly, _USUAL, (90, 240)),
    "two machines": (_two_machines, _USUAL, (90, 240)),
    "bursts of noise": (_bursts, _USUAL, (90, 240)),
    "short": (_normal, _steps(12, 20, 40), (30, 80)),
    "long": (_normal, _steps(40, 60, 150), (250, 400)),
    "frequent": (_normal, _steps(15, 15, 30), (90, 180)),
    "and back": (_normal, _and_back, (90, 240)),
    "drifting": (_drifting, _none, (90, 240)),
    "steady": (_heavy, _none, (90, 400)),
}
"""Noise, changes and length of each suite; those without changes only ask for false alarms."""


def family(name: str, count: int, *, seed: int) -> list[Series]:
    """A suite by name; "nightly" is that of `series`. Four of five changes are at least 2.2 deviations large."""
    if name == "nightly":
        return suite(count, seed=seed)
    draw, place, (least, most) = FAMILIES[name]
    rng = np.random.default_rng([seed, sorted(FAMILIES).index(name)])
    return [_made(rng, name, draw, place, int(rng.integers(least, most + 1))) for _ in range(count)]


def _made(rng: np.random.Generator, name: str, draw: Draw, place: Place, n: int) -> Series:
    sigma = float(np.exp(rng.uniform(np.log(0.008), np.log(0.06))))
    logs = np.log(rng.uniform(5, 2000)) + draw(rng, n, sigma)
    changes = []
    eager = rng.random() < 0.8
    for at, share in place(rng, n):
        change = float(np.log1p(share))
        if eager:
            change = float(np.sign(change)) * max(abs(change), 2.2 * sigma)
        logs[at:] += change
        changes.append((at, 1 if change > 0 else -1))
    values: npt.NDArray[np.float64] = np.exp(logs)
    values[rng.random(n) < rng.choice([0, 0, 0.04])] = np.nan
    return Series(name, values, tuple(changes))
