"""When journeys begin: by arrivals that nothing holds up (open), or user by user (closed)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from tasks.load.pacer import Pacer
from tasks.load.scenario.crowd import Crowd
from tasks.load.scenario.gate import Gate
from tasks.load.scenario.records import Records
from tasks.load.scenario.sleeper import Sleeper
from tasks.load.scenario.user import User
from tasks.load.schedule import Phase, Schedule

_SECOND = 1_000_000_000


class OpenModel:
    """Arrivals of a schedule begin journeys; `withheld` counts those within a pause that the target asked for."""

    def __init__(self, crowd: Crowd, gate: Gate, records: Records, schedule: Schedule) -> None:
        self._crowd = crowd
        self._gate = gate
        self._schedule = schedule
        phases = [records.phase(name) for name in schedule.names]
        self._phase_of = [phases[number] for number in schedule.phase.tolist()]
        self._pacer: Pacer | None = None
        self.withheld = 0

    @property
    def due(self) -> int:
        """Journeys whose moment has come."""
        return self._pacer.handed_over if self._pacer is not None else 0

    async def run(self, start_ns: int) -> None:
        """Begin every journey of the schedule, unless it is stopped; returns with the schedule's end."""
        moments = (self._schedule.offsets_ns + start_ns).tolist()
        self._pacer = Pacer(asyncio.get_running_loop(), moments, self._due)
        await self._pacer.finished
        await self._crowd.until(start_ns + self._schedule.duration_ns)

    def stop(self) -> None:
        """No further arrivals."""
        if self._pacer is not None:
            self._pacer.stop()

    def _due(self, number: int, intended: int) -> None:
        if self._crowd.stopped:
            self.stop()
        if self._gate.pausing:
            self.withheld += 1
        else:
            self._crowd.arrive(intended, self._phase_of[number])


class ClosedModel:
    """Each user makes its journeys one after the other, at most one per pace; user k of n starts at k/n of the ramp.

    Between two journeys it thinks for a random time of `think_s`, from the shortest to the longest, in seconds.

    While the target stands still its users stand still with it, and what they would have asked for is not in any
    figure (coordinated omission): whoever shows its figures says so.
    """

    withheld = 0

    def __init__(  # noqa: PLR0917 - what a model works with
        self,
        crowd: Crowd,
        sleeper: Sleeper,
        records: Records,
        phases: Sequence[Phase],
        numbers: Sequence[int],
        of: int,
    ) -> None:
        self._crowd = crowd
        self._sleeper = sleeper
        self._numbers = numbers
        self._of = of
        self._ends: list[tuple[int, int]] = []
        self._ramp_ns = 0
        end = 0
        for number, phase in enumerate(phases):
            end += round(phase.duration_s * _SECOND)
            self._ends.append((end, records.phase(phase.name)))
            if number == 0 and phase.from_rate == 0 < phase.to_rate:
                self._ramp_ns = end
        self._start_ns = 0
        self.pace_ns = _SECOND
        self.think_s = (0.0, 0.0)

    @property
    def due(self) -> int:
        """Journeys that began: a closed model plans none."""
        return self._crowd.begun

    async def run(self, start_ns: int) -> None:
        """Have every user live until the end; returns with it, or when it is stopped."""
        self._start_ns = start_ns
        for number in self._numbers:
            self._crowd.live(self._life(self._crowd.user(), number))
        await self._crowd.until(start_ns + self._ends[-1][0])

    def stop(self) -> None:
        """Users look for the stop themselves, before each journey."""

    async def _life(self, user: User, number: int) -> None:
        moment = self._start_ns + self._ramp_ns * number // self._of
        end = self._start_ns + self._ends[-1][0]
        while moment < end:
            await self._sleeper.until(moment)
            if self._crowd.stopped:
                return
            await self._crowd.journey(user, moment, self._phase_at(moment))
            thought = round(user.rng.uniform(*self.think_s) * _SECOND) if self.think_s[1] else 0
            moment = max(time.monotonic_ns() + thought, moment + self.pace_ns)

    def _phase_at(self, moment: int) -> int:
        offset = moment - self._start_ns
        return next(number for end, number in self._ends if offset < end)
