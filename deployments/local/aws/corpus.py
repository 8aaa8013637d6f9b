"""The corpus: every invocation of 14 days, from which both the metrics and the log lines are made.

Each day of each function has a random stream of its own, keyed by the seed and the date: two processes started in
the same hour hold the same corpus, and processes of different hours agree on the days they share.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from deployments.local.aws import DAYS
from deployments.local.aws.behaviour import Behaviour, behaviour, mean_duration_ms
from deployments.local.aws.environments import INIT_LIMIT_MS, Draws, simulate
from deployments.local.aws.functions import MEMORY_HISTORY_MB, Function, idle, load
from deployments.local.aws.planted import planted
from deployments.local.aws.traffic import DAY_MS, arrivals, day_number, day_start_ms

SEED = 20_260
"""Raise it to change every generated value."""

HOUR_MS = 3_600_000

FAILED = 1
TIMED_OUT = 2
OUT_OF_MEMORY = 4
INIT_TIMED_OUT = 8
PROVISIONED = 16

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Invocations:
    """The invocations of one function, by start; arrays of one length but `throttled`."""

    start: Ints  # epoch ms
    duration: Floats  # ms, to 0.01, init excluded
    init: Floats  # ms, to 0.01; NaN where the environment was warm
    memory: npt.NDArray[np.int32]  # MB allocated
    used: npt.NDArray[np.int32]  # MB, the maximum of the environment so far
    flags: npt.NDArray[np.uint8]  # FAILED | TIMED_OUT | …
    environment: Ints  # number of the environment, unique within the function
    throttled: Ints  # epoch ms of the requests that were turned away

    @property
    def billed(self) -> Ints:
        """Billed milliseconds: since August 2025 the init of managed ZIP functions is billed too."""
        return np.ceil(self.duration + np.nan_to_num(self.init) - 1e-6).astype(np.int64)

    @property
    def reported(self) -> Ints:
        """When the REPORT line was written: epoch ms, at the end of the invocation."""
        return self.start + np.ceil(self.duration + np.nan_to_num(self.init)).astype(np.int64)

    @property
    def cold(self) -> npt.NDArray[np.bool_]:
        """Whether the REPORT line carries an Init Duration."""
        return ~np.isnan(self.init)

    def has(self, flag: int) -> npt.NDArray[np.bool_]:
        """Whether `flag` is set, by invocation."""
        return np.asarray((self.flags & flag) != 0, dtype=np.bool_)


@dataclass(frozen=True)
class Corpus:
    """All invocations that started at or after `start_ms` and were reported before `end_ms` (epoch ms)."""

    start_ms: int
    end_ms: int
    functions: tuple[Function, ...]
    invocations: dict[str, Invocations]  # by key of the function

    @property
    def total(self) -> int:
        """How many invocations it holds."""
        return sum(len(each.start) for each in self.invocations.values())


@dataclass(frozen=True)
class Turn:
    """How the whole account is turned, so that a watch has something to see: `init` scales every cold start's time.

    `used` is the share of its memory that each function uses; None leaves that as it is.
    """

    init: float = 1.0
    used: float | None = None

    def of(self, profile: Behaviour, memory_mb: int) -> Behaviour:
        """A function's behaviour, turned."""
        turned = replace(profile, init_ms=profile.init_ms * self.init)
        if self.used is None:
            return turned
        return replace(turned, used_mb=self.used * memory_mb, used_spread_mb=0.01 * memory_mb)


def generate(now_ms: int, *, extra: int = 0, turn: Turn | None = None) -> Corpus:
    """The corpus of the 14 days before `now_ms` rounded down to the hour; `extra` adds idle functions."""
    end_ms = now_ms // HOUR_MS * HOUR_MS
    start_ms = end_ms - DAYS * DAY_MS
    functions = (*load(), *idle(extra))
    return Corpus(
        start_ms=start_ms,
        end_ms=end_ms,
        functions=functions,
        invocations={
            function.key: _invocations(function, number, (start_ms, end_ms), turn or Turn())
            for number, function in enumerate(functions)
        },
    )


def _invocations(function: Function, number: int, window: tuple[int, int], turn: Turn) -> Invocations:
    start_ms, end_ms = window
    parts = [
        _day(function, number, (day, day_number(end_ms) - day), turn)
        for day in range(day_number(start_ms), day_number(end_ms) + 1)
    ]
    whole = Invocations(
        start=np.concatenate([part.start for part in parts]),
        duration=np.concatenate([part.duration for part in parts]),
        init=np.concatenate([part.init for part in parts]),
        memory=np.concatenate([part.memory for part in parts]),
        used=np.concatenate([part.used for part in parts]),
        flags=np.concatenate([part.flags for part in parts]),
        environment=np.concatenate([part.environment for part in parts]),
        throttled=np.concatenate([part.throttled for part in parts]),
    )
    return _clip(whole, start_ms, end_ms)


def _clip(whole: Invocations, start_ms: int, end_ms: int) -> Invocations:
    keep = (whole.start >= start_ms) & (whole.reported < end_ms)
    return Invocations(
        start=whole.start[keep],
        duration=whole.duration[keep],
        init=whole.init[keep],
        memory=whole.memory[keep],
        used=whole.used[keep],
        flags=whole.flags[keep],
        environment=whole.environment[keep],
        throttled=whole.throttled[(whole.throttled >= start_ms) & (whole.throttled < end_ms)],
    )


def memory_on(function: Function, days_ago: int) -> int:
    """The MB allocated to `function` so many days before the last day of the corpus."""
    if function.key == planted("memory-history").function:
        for until, memory_mb in MEMORY_HISTORY_MB:
            if days_ago >= until:
                return memory_mb
    return function.memory_mb


def _day(function: Function, number: int, when: tuple[int, int], turn: Turn) -> Invocations:
    """One day of one function, from its own random stream; `when` is the day's number, and how many days ago."""
    day, days_ago = when
    rng = np.random.default_rng([SEED, number, day])
    memory_mb = memory_on(function, days_ago)
    profile = turn.of(behaviour(function), memory_mb)
    draws, failed, timed_out = _draw(function, profile, memory_mb, arrivals(function, profile, day, rng), rng)
    outcome = simulate(
        draws, keep_alive_ms=profile.keep_alive_s * 1000, memory_mb=memory_mb, reserved=function.reserved
    )
    index = np.asarray(outcome.index, dtype=np.int64)
    extra = np.asarray(outcome.extra, dtype=np.float64)
    out_of_memory = draws.need[index] >= memory_mb
    flags = (
        np.where(failed[index] | timed_out[index] | out_of_memory, FAILED, 0)
        | np.where(timed_out[index], TIMED_OUT, 0)
        | np.where(out_of_memory & ~timed_out[index], OUT_OF_MEMORY, 0)
        | np.where(extra > 0, INIT_TIMED_OUT, 0)
    )
    served = Invocations(
        start=draws.start[index],
        duration=np.minimum(np.round(draws.busy[index] + extra, 2), function.timeout_s * 1000.0),
        init=np.asarray(outcome.init, dtype=np.float64).round(2),
        memory=np.full(len(index), memory_mb, dtype=np.int32),
        used=np.asarray(outcome.used, dtype=np.int32),
        flags=flags.astype(np.uint8),
        environment=np.asarray(outcome.environment, dtype=np.int64) + day * 100_000,
        throttled=draws.start[np.asarray(outcome.throttled, dtype=np.int64)],
    )
    return _with_daily_check(served, function, profile, day, rng) if function.provisioned else served


def _draw(
    function: Function, profile: Behaviour, memory_mb: int, start: Ints, rng: np.random.Generator
) -> tuple[Draws, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """The random part of each call, and which calls fail or time out."""
    count = len(start)
    # correlated within an hour (a slow database slows everyone), independent between calls
    hour = rng.normal(0.0, 0.06, 24)[start // HOUR_MS % 24]
    duration = mean_duration_ms(profile, memory_mb) * np.exp(rng.normal(0.0, profile.spread, count) + hour)
    timed_out = rng.random(count) < profile.timeouts
    busy = np.where(timed_out, function.timeout_s * 1000.0, np.minimum(duration, function.timeout_s * 900.0))
    draws = Draws(
        start=start,
        busy=busy,
        init=np.minimum(profile.init_ms * np.exp(rng.normal(0.0, profile.init_spread, count)), INIT_LIMIT_MS * 0.9),
        need=profile.used_mb + profile.used_spread_mb * rng.standard_normal(count),
        init_times_out=rng.random(count) < profile.init_timeouts,
    )
    return draws, rng.random(count) < profile.failures, timed_out


def _with_daily_check(
    served: Invocations, function: Function, profile: Behaviour, day: int, rng: np.random.Generator
) -> Invocations:
    """Add the one call a day that reaches the provisioned environments through the alias, at 06:00 in India."""
    start = day_start_ms(day) + 6 * HOUR_MS + int(rng.integers(0, 60_000))
    at = int(np.searchsorted(served.start, start))
    duration = round(mean_duration_ms(profile, function.memory_mb) * float(rng.uniform(0.8, 1.2)), 2)
    return Invocations(
        start=np.insert(served.start, at, start),
        duration=np.insert(served.duration, at, duration),
        init=np.insert(served.init, at, np.nan),
        memory=np.insert(served.memory, at, function.memory_mb),
        used=np.insert(served.used, at, int(profile.used_mb)),
        flags=np.insert(served.flags, at, PROVISIONED),
        environment=np.insert(served.environment, at, day * 100_000 + 99_999),
        throttled=served.throttled,
    )
