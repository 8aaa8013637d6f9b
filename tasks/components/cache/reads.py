"""What looks at single keys tell: how long keys live, and how often they are read. Pure.

The server stamps each access with a whole second of its clock (OBJECT IDLETIME). A look therefore tells whether its
key was read between the first whole second after a known earlier moment (the look before, or the key's birth) and
now. Keys that came while the tool watched and keys that were there before are kept apart: what is hot was often
fetched just now, and an average over both would hide it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tasks.load.figures import wilson

_SECOND_MS = 1000
_CLOCK_LAG_MS = 150
_MIN_EXPOSURE_MS = 200
_SHORT_LIFE_MS = 2_500
_MANY = 20

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Stratum:
    """Keys that are read alike: mean number alive, looks that could tell, how many of them found a read key.

    `exposure_s` is the mean time that such a look covered.
    """

    keys: float
    looks: int
    read: int
    exposure_s: float

    def per_second(self, share: float) -> float:
        """Reads a second of all its keys where `share` of the looks found a read key: λ = −ln(1 − p)/e per key."""
        if self.looks == 0 or self.exposure_s == 0:
            return 0.0
        return -math.log1p(-min(share, 1 - 0.5 / self.looks)) / self.exposure_s * self.keys

    @property
    def rate(self) -> float:
        """The estimate of reads a second."""
        return self.per_second(self.read / self.looks) if self.looks else 0.0

    @property
    def bounds(self) -> tuple[float, float]:
        """Reads a second at the ends of the share's 95 % interval (Wilson); nothing is known without looks."""
        if self.looks == 0:
            return 0.0, 0.0
        low, high = wilson(self.read, self.looks)
        return self.per_second(low), self.per_second(high)


def strata(looks: Sequence[Row], lifetime: float | None, alive: tuple[float, float]) -> tuple[Stratum, Stratum]:
    """The keys that were there from the start and those that came since; `alive` are their mean numbers."""
    old = [row for row in looks if row["absent_ms"] is None]
    came = [row for row in looks if row["absent_ms"] is not None]
    return _stratum(old, lifetime, alive[0]), _stratum(came, lifetime, alive[1])


def _stratum(looks: Sequence[Row], lifetime: float | None, keys: float) -> Stratum:
    known = [one for one in told(looks, lifetime) if one is not None]
    exposure = sum(exposed for _, exposed in known) / len(known) / 1000 if known else 0.0
    return Stratum(keys, len(known), sum(read for read, _ in known), exposure)


def grouped(rows: Sequence[Row], name: str) -> dict[Any, list[Row]]:
    """Rows by the value of a column."""
    groups: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[name]].append(row)
    return groups


def lifetime_ms(looks: Sequence[Row]) -> float | None:
    """The expiry that a family's keys are given: the longest that was left, up to the next whole second.

    Expiries are nearly always whole seconds. Only where many looks all stayed below half a second is it taken from
    them alone: the maximum of m uniform draws, stretched by (m + 1)/m (the German tank problem).
    """
    left = [row["ttl_ms"] for row in looks if row["ttl_ms"] > 0]
    if not left or len(left) < len(looks) / 2:
        return None
    longest = max(left)
    if len(left) >= _MANY and longest < _SECOND_MS / 2:
        return float(longest * (len(left) + 1) / len(left))
    return float(math.ceil(longest / _SECOND_MS) * _SECOND_MS)


def renewals(looks: Sequence[Row]) -> float:
    """Keys that expired and were filled again between two rounds, per key-second of watching.

    A key that had less time left than has passed, is there, and was never seen to be absent: it was filled again at
    once (or its expiry was extended at the last moment, which is rarer).
    """
    renewed, watched_ms = 0, 0
    for earlier, later in _pairs(looks):
        elapsed = later["server_ms"] - earlier["server_ms"]
        watched_ms += elapsed
        seen_absent = (later["absent_ms"] or 0) > earlier["server_ms"]
        renewed += not seen_absent and 0 <= earlier["ttl_ms"] < elapsed
    return renewed / (watched_ms / 1000) if watched_ms else 0.0


def _pairs(looks: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Consecutive looks at one key."""
    return [pair for rows in grouped(looks, "marker").values() for pair in pairwise(sorted(rows, key=_moment))]


def _moment(row: Row) -> int:
    return int(row["server_ms"])


def told(looks: Sequence[Row], lifetime: float | None) -> list[tuple[bool, float] | None]:
    """(read, exposed ms) of each look that can tell; None for one that cannot.

    Keys of a short life are looked at just before they go: the last look at each tells of the time since its birth.
    """
    if lifetime is not None and lifetime <= _SHORT_LIFE_MS:
        # the last look at each life
        lives = {(row["marker"], row["absent_ms"]): row for row in sorted(looks, key=_moment)}
        return [_read_since(row, born) for row in lives.values() if (born := _born(row, lifetime)) is not None]
    return [
        _read_since(later, float(earlier["server_ms"]))
        for earlier, later in _pairs(looks)
        if not _refilled(earlier, later)
    ]


def _refilled(earlier: Row, later: Row) -> bool:
    """Whether the key was written in between: its stamp then tells of the write, not of a read."""
    left: int = later["ttl_ms"]
    expected: int = earlier["ttl_ms"] - (later["server_ms"] - earlier["server_ms"])
    return left > max(0, expected + _CLOCK_LAG_MS)


def _born(row: Row, lifetime: float) -> float | None:
    """When a key was made, by its expiry; None where it was there from the start."""
    if row["absent_ms"] is None or row["ttl_ms"] < 0:
        return None
    by_expiry = float(row["server_ms"] - (lifetime - row["ttl_ms"]))
    return max(by_expiry, float(row["absent_ms"])) + _CLOCK_LAG_MS


def _read_since(row: Row, since_ms: float) -> tuple[bool, float] | None:
    if row["idle_s"] is None:
        return None
    first_second = math.floor(since_ms / _SECOND_MS) + 1
    exposed = row["server_ms"] - first_second * _SECOND_MS
    if exposed < _MIN_EXPOSURE_MS:
        return None
    accessed: int = row["server_ms"] // _SECOND_MS - row["idle_s"]
    return accessed >= first_second, exposed
