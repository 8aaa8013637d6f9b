"""Estimates the hit ratio of each key family from what a read-only observer can see. Pure.

Redis counts hits and misses for the whole server only. Per family the traces are: keys that appear (a cache fills a
key after a miss), keys that were read between two looks (the server's LRU clock), and the server's misses of the
same second. From them:

* reads: a look at a key tells whether it was read within an exposed time e. With a share p of looks at read keys,
  reads come at λ = −ln(1 − p)/mean(e) per key-second (a Poisson process seen only as "none" or "some"), and
  λ × (keys alive) × (seconds) is the family's number of hits. Keys that differ in popularity make it a lower bound.
* fills: keys that were not there a round before; for keys that live shorter than two rounds Little's law instead:
  (mean number alive) × seconds ÷ lifetime, since many live and die between two rounds.
* misses: fills × β, where β, the share of fills that a miss came before, is fitted over the rounds:
  misses(round) ≈ Σ β(family) × fills(family, round) + β₀, 0 ≤ β ≤ 1, drawn towards 1 where the rounds say little. A
  family that is written without being asked for first (β ≈ 0) is so told from one whose lookups miss; one that was
  written far more often than the whole server missed is such a family for certain. Lookups that miss and are not
  filled leave no trace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tasks.components.cache.reads import Row, Stratum, grouped, lifetime_ms, renewals, strata

MIN_EVIDENCE = 5
"""Fewer fills and looks together say nothing about a family."""

_MIN_ROUNDS = 8
_SWEEPS = 300
_RIDGE = 3.0
_MIN_SHARE_ASKED = 1 / 3
_WHOLE = 0.98

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Family:
    """What is known of one family; counts are estimates for all its keys over the window.

    `lifetime_ms` is the expiry that keys are given (None: no key had one). `fills_seen` is the plain count behind
    `fills`, `gone` how many keys were seen to vanish.
    """

    name: str
    seconds: float
    lifetime_ms: float | None
    fills: float
    fills_seen: int
    gone: int
    rounds: int
    strata: tuple[Stratum, ...]
    misses: float = 0.0
    miss_share: float | None = None

    def without_looks(self) -> Family:
        """The same family where looks tell nothing, since someone else's probe read the keys."""
        return replace(self, strata=tuple(Stratum(one.keys, 0, 0, 0.0) for one in self.strata))

    @property
    def keys(self) -> float:
        """Mean number of keys alive."""
        return sum(one.keys for one in self.strata)

    @property
    def looks(self) -> int:
        """Looks that could tell whether a key had been read."""
        return sum(one.looks for one in self.strata)

    @property
    def read(self) -> int:
        """Looks that found a key that had been read."""
        return sum(one.read for one in self.strata)

    @property
    def hits(self) -> float:
        """The estimated number of hits."""
        return sum(one.rate for one in self.strata) * self.seconds

    @property
    def n(self) -> int:
        """Observations behind the ratio."""
        return self.looks + self.fills_seen

    @property
    def ratio(self) -> float | None:
        """Estimated hit ratio; None where too little was seen."""
        total = self.hits + self.misses
        if self.looks == 0 or self.n < MIN_EVIDENCE or total < 1:
            return None
        return self.hits / total

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the ratio from the looks alone, stratum by stratum (wider than 95 % for two)."""
        if self.ratio is None:
            return None
        low = sum(one.bounds[0] for one in self.strata) * self.seconds
        high = sum(one.bounds[1] for one in self.strata) * self.seconds
        return _share(low, self.misses), _share(high, self.misses)


def _share(hits: float, misses: float) -> float:
    return hits / (hits + misses) if hits + misses > 0 else 1.0


def estimate(scans: pa.Table, keys: pa.Table, own_misses_ns: Ints) -> list[Family]:
    """All families that were seen, the one with the most estimated misses first.

    `own_misses_ns` are the moments of misses that a probe of ours made meanwhile: they are not the application's.
    """
    rounds = grouped(scans.to_pylist(), "round")
    if len(rounds) < 2:  # noqa: PLR2004 - what comes and goes is seen between two rounds
        return []
    looks = grouped(keys.to_pylist(), "family")
    times = [rows[0]["at_ns"] / 1e9 for _, rows in sorted(rounds.items())]
    families = [
        _family(name, rows, looks.get(name, []), times)
        for name, rows in sorted(grouped(scans.to_pylist(), "family").items())
    ]
    return sorted(_with_misses(families, rounds, own_misses_ns), key=lambda family: (-family.misses, family.name))


def _family(name: str, scans: Sequence[Row], looks: Sequence[Row], times: Sequence[float]) -> Family:
    seconds = times[-1] - times[0]
    scale = 1 / _coverage(scans)
    alive = sum(row["seen"] for row in scans) / len(times) * scale
    came = sum(row["came"] for row in scans) / len(times) * scale
    seen = sum(row["new"] for row in scans)
    lifetime = lifetime_ms(looks)
    spacing_ms = seconds / max(len(times) - 1, 1) * 1000
    if lifetime is not None and lifetime < 2 * spacing_ms:
        fills = alive * seconds * 1000 / lifetime
    else:
        fills = seen * scale + renewals(looks) * alive * seconds
    return Family(
        name=name,
        seconds=seconds,
        lifetime_ms=lifetime,
        fills=fills,
        fills_seen=seen,
        gone=sum(row["gone"] for row in scans),
        rounds=len(times),
        strata=strata(looks, lifetime, (alive - came, came)),
    )


def _coverage(scans: Sequence[Row]) -> float:
    """Share of all keys that a round looked at, 1 where it saw all."""
    shares = [min(1.0, row["scanned"] / row["keys"]) for row in scans if row["keys"] and row["scanned"]]
    mean = sum(shares) / len(shares) if shares else 1.0
    return mean if mean < _WHOLE else 1.0  # the count and the scan are a moment apart


def _with_misses(families: list[Family], rounds: Mapping[int, Sequence[Row]], own_misses_ns: Ints) -> list[Family]:
    """Share the server's misses out over the families."""
    moments = np.array([rows[0]["at_ns"] for _, rows in sorted(rounds.items())], np.int64)
    own = np.histogram(own_misses_ns, moments)[0]
    later = [rows for number, rows in sorted(rounds.items()) if number > 0 and rows[0]["misses"] is not None]
    if not later:
        return families
    between = {int(at): int(number) for at, number in zip(moments[1:], own, strict=True)}
    missed = np.array([max(0, rows[0]["misses"] - between[rows[0]["at_ns"]]) for rows in later], np.float64)
    places = {family.name: place for place, family in enumerate(families)}
    came = np.zeros((len(later), len(families)))
    for number, rows in enumerate(later):
        for row in rows:
            came[number, places[row["family"]]] = row["new"]
    factors = np.array([family.fills / family.fills_seen if family.fills_seen else 0.0 for family in families])
    fills = came * factors
    total = max(float(missed.sum()), 0.0)
    shares = _shares(fills, missed)
    wanted = shares * fills.sum(axis=0)
    scale = min(1.0, total / wanted.sum()) if wanted.sum() > 0 else 0.0
    return [
        replace(family, misses=float(number * scale), miss_share=float(number * scale / total) if total else None)
        for family, number in zip(families, wanted, strict=True)
    ]


def _shares(fills: Floats, missed: Floats) -> Floats:
    """Which share of each family's fills a miss came before.

    A cache fills a key after a miss, or is written without being asked: hardly any family does both. So a family
    whose share comes out low is taken to be of the second kind (share 0), and the others are fitted once more.
    """
    total = float(missed.sum())
    asked = fills.sum(axis=0) * _MIN_SHARE_ASKED <= total
    shares = np.where(asked, 1.0, 0.0)
    if len(missed) < _MIN_ROUNDS:
        return shares
    for _ in range(len(shares)):
        shares[asked] = bounded_fit(fills[:, asked], missed)
        low = asked & (shares < _MIN_SHARE_ASKED)
        if not low.any():
            break
        worst = int(np.argmin(np.where(low, shares, np.inf)))
        asked[worst], shares[worst] = False, 0.0
    return shares


def bounded_fit(columns: Floats, wanted: Floats) -> Floats:
    """Least squares of `wanted` ≈ columns · β + β₀ with 0 ≤ β ≤ 1 and β₀ ≥ 0, by coordinate descent.

    Rounds are weighted by 1/(1 + all fills): counts vary about as much as their mean (Poisson). A ridge draws each
    β towards 1, the usual way of a cache (a fill follows a miss): it decides where the rounds say little.
    """
    weight = 1 / np.sqrt(1 + columns.sum(axis=1))
    design = np.column_stack([columns, np.ones(len(wanted))]) * weight[:, None]
    target = wanted * weight
    ridge = np.append(np.full(columns.shape[1], _RIDGE), 0.0)
    squares = (design**2).sum(axis=0) + ridge
    beta = np.append(np.ones(columns.shape[1]), 0.0)
    residual = target - design @ beta
    for _ in range(_SWEEPS):
        for place in np.flatnonzero(squares):
            pull = design[:, place] @ residual + ridge[place] * (1 - beta[place])
            best = beta[place] + pull / squares[place]
            new = max(best, 0.0) if place == len(beta) - 1 else min(max(best, 0.0), 1.0)
            residual -= design[:, place] * (new - beta[place])
            beta[place] = new
    share: Floats = beta[:-1]
    return share
