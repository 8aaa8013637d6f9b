"""The execution environments of one function over one day: which call starts cold, waits for none, or is throttled.

An environment serves one call at a time and is taken away after a time of idleness; a call that finds none free
starts a new one and pays its init, unless the reserved concurrency is used up: then it is throttled.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

LIFETIME_MS = 7_200_000
"""Lambda recycles an environment after some hours even where it is busy; here after two."""

INIT_LIMIT_MS = 10_000.0
"""An init that exceeds 10 s is abandoned (INIT_REPORT, Status: timeout) and repeated within the invocation."""


@dataclass(frozen=True, slots=True)
class Draws:
    """The random part of each call, drawn beforehand; arrays of one length."""

    start: npt.NDArray[np.int64]  # epoch ms
    busy: npt.NDArray[np.float64]  # ms of the handler alone
    init: npt.NDArray[np.float64]  # ms, if this call should start cold
    need: npt.NDArray[np.float64]  # MB
    init_times_out: npt.NDArray[np.bool_]


@dataclass(slots=True)
class Outcome:
    """What became of each call; lists of one length, throttled calls apart."""

    index: list[int] = field(default_factory=list)  # which of the draws
    init: list[float] = field(default_factory=list)  # ms, NaN where warm
    extra: list[float] = field(default_factory=list)  # ms of a repeated init, within the duration
    used: list[int] = field(default_factory=list)  # MB, the maximum of the environment so far
    environment: list[int] = field(default_factory=list)
    throttled: list[int] = field(default_factory=list)  # indices of draws


@dataclass(slots=True)
class _Environment:
    number: int
    born: int
    freed: float
    used: int = 0


def simulate(draws: Draws, *, keep_alive_ms: float, memory_mb: int, reserved: int | None) -> Outcome:
    """Serve the calls in order of arrival from the environment that was freed last."""
    outcome = Outcome()
    idle: list[_Environment] = []  # by the time at which each was freed; the last one is the warmest
    busy: list[tuple[float, int, _Environment]] = []
    created = 0
    for index, now in enumerate(draws.start.tolist()):
        while busy and busy[0][0] <= now:
            idle.append(heapq.heappop(busy)[2])
        if reserved is not None and len(busy) >= reserved:
            outcome.throttled.append(index)
            continue
        environment = _warm(idle, now, keep_alive_ms)
        init, extra = float("nan"), 0.0
        if environment is None:
            environment = _Environment(created, now, now)
            created += 1
            cold = float(draws.init[index])
            init, extra = (float("nan"), INIT_LIMIT_MS) if draws.init_times_out[index] else (cold, 0.0)
        total = (0.0 if math.isnan(init) else init) + extra + float(draws.busy[index])
        environment.used = min(memory_mb, max(environment.used, int(draws.need[index])))
        environment.freed = now + total
        outcome.index.append(index)
        outcome.init.append(init)
        outcome.extra.append(extra)
        outcome.used.append(environment.used)
        outcome.environment.append(environment.number)
        if draws.need[index] < memory_mb:  # one that ran out of memory is gone
            heapq.heappush(busy, (environment.freed, environment.number, environment))
    return outcome


def _warm(idle: list[_Environment], now: int, keep_alive_ms: float) -> _Environment | None:
    while idle:
        environment = idle.pop()
        if now - environment.freed > keep_alive_ms:
            idle.clear()  # all others have been idle for longer
            return None
        if now - environment.born <= LIFETIME_MS:
            return environment
    return None
