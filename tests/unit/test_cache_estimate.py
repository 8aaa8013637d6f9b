"""Estimates by key family against simulated caches whose hits and misses are counted by the simulation itself."""

from __future__ import annotations

import math
import random
import zlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from tasks.components.cache.estimate import Family, bounded_fit, estimate
from tasks.components.cache.reads import lifetime_ms, told
from tasks.components.cache.tables import table_of

NONE = np.zeros(0, np.int64)
START_MS = 1_800_000_000_000


@dataclass
class Cache:
    """A cache-aside cache in simulated time (ms), watched once a second like the real observer does."""

    lives: dict[str, int]
    expiry: dict[str, float] = field(default_factory=dict)
    stamp: dict[str, int] = field(default_factory=dict)
    born: dict[str, float] = field(default_factory=dict)
    hits: Counter[str] = field(default_factory=Counter)
    misses: Counter[str] = field(default_factory=Counter)
    scans: list[dict[str, Any]] = field(default_factory=list)
    looks: list[dict[str, Any]] = field(default_factory=list)
    before: set[str] = field(default_factory=set)
    absent: dict[str, int] = field(default_factory=dict)
    missed_before: int = 0
    round: int = 0

    def purge(self, now: float) -> None:
        for key in [key for key, end in self.expiry.items() if end <= now]:
            del self.expiry[key]

    def ask(self, key: str, now: float) -> None:
        family = key.split(":", maxsplit=1)[0]
        self.purge(now)
        if key in self.expiry:
            self.hits[family] += 1
            self.stamp[key] = int(now // 1000)
            return
        self.misses[family] += 1
        self.write(key, now)

    def write(self, key: str, now: float) -> None:
        self.purge(now)
        self.expiry[key] = now + self.lives[key.split(":", maxsplit=1)[0]]
        self.stamp[key] = int(now // 1000)

    def watch(self, now: float) -> None:
        self.purge(now)
        present = set(self.expiry)
        new = present - self.before if self.round else set()
        self.absent = {key: at for key, at in self.absent.items() if key in present}
        self.absent |= dict.fromkeys(new, int(now - 1000))
        groups = {"seen": present, "new": new, "came": set(self.absent), "gone": self.before - present}
        numbers = {name: Counter(key.split(":")[0] for key in keys) for name, keys in groups.items()}
        total = sum(self.misses.values())
        self.scans += [
            {
                "round": self.round,
                "at_ns": int(now * 1e6),
                "family": family,
                "scanned": len(present),
                "keys": len(present),
            }
            | {name: numbers[name][family] for name in groups}
            | {"misses": total - self.missed_before}
            for family in sorted({key.split(":")[0] for key in present | self.before})
        ]
        self.missed_before = total
        self.before = present
        self.round += 1
        for key in sorted(present):
            if key in new or zlib.crc32(key.encode()) % 5 == self.round % 5:
                self.look(key, now)

    def look(self, key: str, now: float) -> None:
        self.purge(now)
        if key not in self.expiry:
            return
        self.looks.append(
            {
                "round": self.round,
                "family": key.split(":", maxsplit=1)[0],
                "marker": zlib.crc32(key.encode()),
                "server_ms": int(now),
                "ttl_ms": int(self.expiry[key] - now),
                "idle_s": int(now // 1000) - self.stamp[key],
                "first": False,
                "absent_ms": self.absent.get(key),
                "type": "string",
                "bytes": 64,
            }
        )

    def families(self) -> dict[str, Family]:
        found = estimate(table_of("scans", self.scans), table_of("keys", self.looks), NONE)
        return {family.name: family for family in found}


def simulate(seconds: int = 120) -> Cache:
    rng = random.Random(7)  # noqa: S311 - a simulation
    cache = Cache({"card": 600_000, "menu": 8_000, "analytics": 1_000, "receipt": 86_400_000})
    for number in range(200):
        cache.write(f"card:{number}", START_MS - 1000)
    now = float(START_MS)
    next_watch = START_MS + 1000 * rng.random()
    lasts: list[tuple[float, str]] = []
    while now < START_MS + 1000 * seconds:
        now += rng.expovariate(20 / 1000)
        while next_watch <= now:
            cache.watch(next_watch)
            lasts += [(end - 80, key) for key, end in cache.expiry.items() if end - next_watch < 1000]
            next_watch += rng.uniform(800, 1200)
        for moment, key in [one for one in lasts if one[0] <= now]:
            cache.look(key, moment)
            lasts.remove((moment, key))
        which = rng.random()
        if which < 0.6:
            cache.ask(f"card:{rng.randrange(200)}", now)
        elif which < 0.8:
            cache.ask(f"menu:{rng.randrange(40)}", now)
        elif which < 0.83:
            cache.ask(f"analytics:{int(now * 1000)}", now)
        else:
            cache.write(f"receipt:{int(now * 1000)}", now)
    return cache


@pytest.fixture(scope="module")
def cache() -> Cache:
    return simulate()


def test_a_family_that_expires_before_it_is_read_again_is_found(cache: Cache) -> None:
    family = cache.families()["analytics"]
    assert cache.hits["analytics"] == 0
    assert family.lifetime_ms == 1000
    assert family.fills == pytest.approx(cache.misses["analytics"], rel=0.2)
    assert family.misses == pytest.approx(cache.misses["analytics"], rel=0.35)
    assert family.ratio == 0
    assert family.interval is not None
    assert family.interval[1] < 0.5


def test_a_family_that_is_read_again_and_again_has_a_good_ratio(cache: Cache) -> None:
    family = cache.families()["card"]
    assert cache.misses["card"] == 0
    assert family.ratio == 1
    assert family.hits == pytest.approx(cache.hits["card"], rel=0.25)


def test_a_family_that_expires_and_is_read_lies_between(cache: Cache) -> None:
    family = cache.families()["menu"]
    truth = cache.hits["menu"] / (cache.hits["menu"] + cache.misses["menu"])
    assert family.ratio == pytest.approx(truth, abs=0.15)


def test_a_family_that_is_only_written_is_not_blamed_for_misses(cache: Cache) -> None:
    family = cache.families()["receipt"]
    assert family.fills_seen > 300
    assert family.misses < 0.15 * sum(cache.misses.values())


def test_shares_of_misses_add_up_to_one_at_most(cache: Cache) -> None:
    shares = [family.miss_share or 0.0 for family in cache.families().values()]
    assert sum(shares) <= 1 + 1e-9


def test_the_probes_own_misses_are_not_the_applications() -> None:
    scans = [
        {"round": number, "at_ns": number * 10**9, "family": "a", "seen": 2, "new": int(number > 0), "came": 1}
        | {"gone": 0, "scanned": 2, "keys": 2, "misses": None if number == 0 else 3}
        for number in range(12)
    ]
    own = np.repeat(np.arange(1, 12) * 10**9 - 5, 2)
    (family,) = estimate(table_of("scans", scans), table_of("keys", []), own)
    assert family.misses == pytest.approx(11, abs=0.01)
    assert family.ratio is None


def test_one_round_tells_nothing() -> None:
    row = {"round": 0, "at_ns": 1, "family": "a", "seen": 2, "new": 0, "came": 0, "gone": 0, "scanned": 2, "keys": 2}
    assert estimate(table_of("scans", [row | {"misses": None}]), table_of("keys", []), NONE) == []


def test_a_limited_scan_stands_for_all_keys() -> None:
    scans = [
        {"round": number, "at_ns": number * 10**9, "family": "a", "seen": 50, "new": 5 * (number > 0), "came": 0}
        | {"gone": 5, "scanned": 100, "keys": 400, "misses": 20}
        for number in range(10)
    ]
    (family,) = estimate(table_of("scans", scans), table_of("keys", []), NONE)
    assert family.keys == pytest.approx(200)
    assert family.fills == pytest.approx(9 * 5 * 4)
    assert family.fills_seen == 45


def look(
    server_ms: int, ttl_ms: int, idle_s: int | None, absent_ms: int | None = None, marker: int = 1
) -> dict[str, Any]:
    return {"server_ms": server_ms, "ttl_ms": ttl_ms, "idle_s": idle_s, "absent_ms": absent_ms, "marker": marker}


def test_a_look_tells_of_whole_seconds_after_the_look_before() -> None:
    # Looked at 10.4 s and 15.4 s: accesses are known from second 11 on, 4.4 s are exposed.
    unread = told([look(10_400, 90_000, 3), look(15_400, 85_000, 8)], 100_000)
    read = told([look(10_400, 90_000, 3), look(15_400, 85_000, 4)], 100_000)
    same_second = told([look(10_400, 90_000, 3), look(15_400, 85_000, 5)], 100_000)
    assert unread == [(False, 4400)]
    assert read == [(True, 4400)]
    assert same_second == [(False, 4400)]


def test_a_look_after_a_new_write_tells_nothing_of_reads() -> None:
    assert told([look(10_400, 9_000, 0), look(15_400, 9_500, 0)], 10_000) == []


def test_a_short_life_is_told_from_its_birth() -> None:
    # Born at 10.6 s (1 s of life, 20 ms left at 11.58 s), 10.75 s with the clock's lag: second 11 on is exposed.
    assert told([look(11_580, 20, 0, absent_ms=10_000)], 1000) == [(True, 580)]
    assert told([look(11_580, 20, 1, absent_ms=10_000)], 1000) == [(False, 580)]
    # Born at 10.9 s, 11.05 s with the lag: nothing is exposed before second 12.
    assert told([look(11_880, 20, 0, absent_ms=10_000)], 1000) == [None]


def test_a_server_that_does_not_tell_idle_times_tells_nothing() -> None:
    assert told([look(10_400, 90_000, None), look(15_400, 85_000, None)], 100_000) == [None]


@pytest.mark.parametrize(
    ("left", "lifetime"),
    [([940, 300], 1000.0), ([599_100], 600_000.0), ([-1, -1], None), ([-1, -1, 5000], None), ([], None)],
)
def test_lifetimes_are_whole_seconds(left: list[int], lifetime: float | None) -> None:
    assert lifetime_ms([look(1, ttl, 0) for ttl in left]) == lifetime


def test_a_life_below_a_second_is_taken_from_many_looks() -> None:
    found = lifetime_ms([look(1, 10 * number, 0) for number in range(1, 25)])
    assert found == pytest.approx(240 * 25 / 24)


def test_the_fit_finds_who_misses() -> None:
    rng = np.random.default_rng(3)
    asked, written = rng.poisson(3, 100).astype(float), rng.poisson(5, 100).astype(float)
    shares = bounded_fit(np.column_stack([asked, written]), asked + rng.poisson(0.5, 100))
    assert shares[0] > 0.85
    assert shares[1] < 0.12


def test_the_fit_keeps_to_its_bounds() -> None:
    columns = np.array([[1.0], [2.0], [3.0]])
    assert bounded_fit(columns, np.array([10.0, 20.0, 30.0]))[0] == 1
    assert 0 <= bounded_fit(columns, np.zeros(3))[0] < 0.5
    assert math.isclose(bounded_fit(np.zeros((3, 1)), np.zeros(3))[0], 1.0)
