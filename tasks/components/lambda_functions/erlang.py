"""What a function's environments do under a load that changes from minute to minute: spill and cold starts. Pure.

Within a minute arrivals are taken as Poisson with a rate of their own. Environments are asked in a fixed order, the
first free one takes the request; so the requests that the first i of them cannot take are those of Erlang's loss
formula B(i, λd) (Erlang 1917), and environment i + 1 sees them as its own arrivals. An environment that nobody asked
for `keep_alive_s` is gone, and the next request that gets there starts cold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MINUTE_S = 60.0
KEEP_ALIVE_S = 360.0
"""How long an idle environment is kept: not documented by AWS; five to seven minutes are commonly measured."""
PER_ENVIRONMENT = 10.0
"""Requests a second that one environment takes at most, however short they are (AWS's quota)."""

_SURE = 50.0  # e^-50: an environment that surely ran is not idle
_ROUNDS = 60
_SETTLED = 1e-6


@dataclass(frozen=True, slots=True)
class Flow:
    """What became of the requests: by minute, requests served by provisioned environments, spilled, started cold."""

    requests: Floats
    spilled: Floats
    cold: Floats

    @property
    def cold_share(self) -> float:
        """Cold starts ÷ requests; 0 where there were no requests."""
        total = float(self.requests.sum())
        return float(self.cold.sum()) / total if total else 0.0

    @property
    def spill_share(self) -> float:
        """Requests that found no provisioned environment free ÷ requests."""
        total = float(self.requests.sum())
        return float(self.spilled.sum()) / total if total else 0.0


def erlang_b(servers: int, offered: float) -> float:
    """Share of arrivals that find all of so many servers busy, for `offered` = arrival rate × holding time."""
    inverse = 1.0
    for number in range(1, servers + 1):
        inverse = 1.0 + inverse * number / offered if offered > 0 else np.inf
    return 1.0 / inverse


def losses(most: int, offered: float) -> Floats:
    """B(0..most, offered)."""
    found = np.zeros(most + 1)
    found[0] = 1.0
    for number in range(1, most + 1):
        found[number] = offered * found[number - 1] / (number + offered * found[number - 1])
    return found


def flow(
    per_minute: Sequence[float] | Floats,
    duration_s: float,
    init_s: float,
    provisioned: Sequence[int] | npt.NDArray[np.int64] | int = 0,
    *,
    keep_alive_s: float = KEEP_ALIVE_S,
) -> Flow:
    """Spill and cold starts of a load of so many requests in each minute.

    The minutes are taken as a period that repeats: the first one follows the last one. `provisioned` is the number of
    provisioned environments in each minute. A cold request holds its environment for init and duration.
    """
    requests = np.asarray(per_minute, np.float64)
    ready = np.broadcast_to(np.asarray(provisioned, np.int64), requests.shape)
    offered_most = float(requests.max(initial=0.0)) / MINUTE_S * (duration_s + init_s)
    most = int(ready.max(initial=0)) + int(offered_most + 8 * np.sqrt(offered_most) + 12)
    busy = np.flatnonzero(requests > 0)
    if not len(busy):
        return Flow(requests, np.zeros(len(requests)), np.zeros(len(requests)))
    counts, kind = np.unique(requests[busy], return_inverse=True)
    tables = np.array([losses(most, count / MINUTE_S * duration_s) for count in counts])
    asked = requests[busy, None] * tables[kind, :most]  # what environment i + 1 is asked for within the minute
    standing = np.arange(most) < ready[busy, None]
    touched, cold = asked, np.zeros(len(busy))
    for _ in range(_ROUNDS):  # what starts cold in a minute is warm in the next ones: repeated until nothing changes
        idle = np.exp(-_recent(touched, busy, len(requests), _window(keep_alive_s)))
        idle[standing] = 0.0  # provisioned: never cold
        started = (idle * -np.expm1(-asked)).sum(axis=1)
        # environments that start are busy for init_s longer: until the first is up, all that overflows starts cold
        warm = np.minimum((1 - idle).sum(axis=1), most - 1.0)
        overflow = requests[busy] / MINUTE_S * _between(tables, kind, warm)
        extra = np.maximum(0.0, overflow * (init_s + duration_s) - started)
        before, cold = cold, np.minimum(requests[busy], started + extra)
        surely = np.arange(most) < np.ceil(ready[busy] + cold)[:, None]
        touched = np.where(surely & (extra > 0)[:, None], np.maximum(asked, _SURE), asked)
        if np.abs(cold - before).max() < _SETTLED:
            break
    spilled, started_cold = np.zeros(len(requests)), np.zeros(len(requests))
    spilled[busy] = asked[np.arange(len(busy)), np.minimum(ready[busy], most - 1)]
    started_cold[busy] = cold
    return Flow(requests, spilled, started_cold)


def _recent(touched: Floats, busy: Ints, minutes: int, weights: Floats) -> Floats:
    """For each busy minute, the weighted sum of what the minutes before it asked of each environment."""
    row = np.full(minutes, -1)
    row[busy] = np.arange(len(busy))
    found = np.zeros_like(touched)
    for back, weight in enumerate(weights[::-1], 1):
        rows = row[(busy - back) % minutes]
        found[rows >= 0] += weight * touched[rows[rows >= 0]]
    return found


def _between(tables: Floats, kind: Ints, at: Floats) -> Floats:
    """Each minute's loss for a number of environments that need not be whole."""
    low = np.floor(at).astype(np.int64)
    share = at - low
    found: Floats = tables[kind, low] * (1 - share) + tables[kind, low + 1] * share
    return found


def _window(keep_alive_s: float) -> Floats:
    """Weights of the minutes before, oldest first: seen from the middle of a minute, half of one less."""
    minutes = max(0.5, keep_alive_s / MINUTE_S - 0.5)
    weights = np.ones(int(np.ceil(minutes)))
    weights[0] -= np.ceil(minutes) - minutes
    return weights
