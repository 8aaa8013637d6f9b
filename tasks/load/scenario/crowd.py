"""Users that make journeys: how one journey runs and is recorded, and how many of them run at once."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from tasks.load.scenario.feeder import UsedUpError
from tasks.load.scenario.file import Scenario
from tasks.load.scenario.gate import Gate
from tasks.load.scenario.records import START, Journey, Records
from tasks.load.scenario.user import User

_AT_ONCE = 20
_LAST_WORDS_S = 2.0


class Crowd:
    """Users of one process, and their journeys.

    In the open model an arrival takes an idle user, or a new one where there are fewer than `most`; beyond that it
    waits, and counts from its arrival all the same.

    `begun` counts journeys that began, `waited` arrivals that had to wait for a user; `used_up` says which feeder has
    no further row, and `stopped` is set then or by `stop`: no journey begins any more. `broken` is an error of the
    machinery itself, never one of a scenario.
    """

    def __init__(
        self,
        scenarios: Sequence[Scenario],
        records: Records,
        gate: Gate,
        new_user: Callable[[int], User],
        *,
        rng: random.Random,
        most: int,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._scenarios = scenarios
        self._weights = [one.weight for one in scenarios]
        self._records = records
        self._gate = gate
        self._new_user = new_user
        self._rng = rng
        self._most = most
        self._idle: list[User] = []
        self._waiting: deque[tuple[int, int]] = deque()
        self._running: dict[asyncio.Task[None], Journey | None] = {}
        self._users = 0
        self.begun = self.waited = self.dropped = 0
        self.used_up: str | None = None
        self.broken: BaseException | None = None
        self._halted = asyncio.Event()

    @property
    def stopped(self) -> bool:
        """Whether no journey begins any more."""
        return self._halted.is_set()

    async def until(self, at_ns: int) -> None:
        """Wait for that moment (monotonic), or until it is stopped."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._halted.wait(), max(0, at_ns - time.monotonic_ns()) / 1e9)

    # --- users ---

    def user(self) -> User:
        """One more user."""
        user = self._new_user(self._users)
        self._users += 1
        return user

    async def prepare(self, count: int, seconds: float) -> None:
        """Make users before the load and start them, a few at once, so that no journey waits for it; so long at most.

        Users that were not started by then are started by their first journey.
        """
        users = [self.user() for _ in range(min(count, self._most))]
        self._idle += users
        if not users or not any(one.on_start for one in self._scenarios):
            return
        turns = asyncio.Semaphore(_AT_ONCE)

        async def one(user: User) -> None:
            async with turns:
                await self._start(user)

        starts = [self._loop.create_task(one(user)) for user in users]
        _, late = await asyncio.wait(starts, timeout=max(0.0, seconds))
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=_LAST_WORDS_S)

    async def _start(self, user: User) -> None:
        """Run `on_start` of the scenarios' files; a failure is counted, and the user's next journey tries again."""
        user.begin(Journey(START, self._records.phase(START), 0))
        try:
            for function in dict.fromkeys(one.on_start for one in self._scenarios if one.on_start):
                await function(user)
            user.started = True
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's own code: counted, and told
            self._records.exception(error)

    # --- the open model ---

    def arrive(self, intended: int, phase: int) -> None:
        """A journey is due."""
        if self.stopped:
            self.dropped += 1
        elif self._idle:
            self._begin(self._idle.pop(), intended, phase)
        elif self._users < self._most:
            self._begin(self.user(), intended, phase)
        else:
            self.waited += 1
            self._waiting.append((intended, phase))

    def _begin(self, user: User, intended: int, phase: int) -> None:
        task = self._loop.create_task(self.journey(user, intended, phase))
        self._running[task] = None
        task.add_done_callback(lambda done: self._free(done, user))

    def _free(self, task: asyncio.Task[None], user: User) -> None:
        self._running.pop(task, None)
        self._look(task)
        if self._waiting and not self.stopped:
            self._begin(user, *self._waiting.popleft())
        else:
            self._idle.append(user)

    # --- the closed model ---

    def live(self, life: Coroutine[Any, Any, None]) -> None:
        """Have a user live its life, in which it makes its journeys."""
        task = self._loop.create_task(life)
        self._running[task] = None
        task.add_done_callback(self._left)

    def _left(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        self._look(task)

    # --- one journey ---

    def _choose(self) -> Scenario:
        if len(self._scenarios) == 1:
            return self._scenarios[0]
        return self._rng.choices(self._scenarios, self._weights)[0]

    async def journey(self, user: User, intended: int, phase: int) -> None:
        """Make one journey and record it, whatever becomes of it."""
        scenario = self._choose()
        if not user.started:
            await self._start(user)
        if self.stopped:
            self.dropped += 1
            return
        journey = Journey(scenario.name, phase, intended)
        task = asyncio.current_task()
        if task is not None:
            self._running[task] = journey
        try:
            user.data = user.draw(scenario.data) if scenario.data else {}
            self.begun += 1
            if not user.started:  # it would measure the answers to somebody who is not known
                self._records.journey(journey, broken=True)
                return
            user.begin(journey)
            self._loop.call_soon(user.http.forget_arrival)  # where it waits for something else first
            await scenario.run(user)
        except UsedUpError as end:
            self.used_up = str(end)
            self._halted.set()
            return
        except asyncio.CancelledError:
            self._records.journey(journey, error="aborted")
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's own code: counted by kind, and told
            self._records.exception(error)
            kind = user.error_kind(error)
            self._records.journey(journey, error=kind, broken=kind is None)
            return
        self._records.journey(journey)

    # --- the end ---

    def stop(self) -> None:
        """Begin no further journey, and send nothing any more: journeys end as `aborted` at their next request."""
        self._halted.set()
        self.dropped += len(self._waiting)
        self._waiting.clear()
        self._gate.shut()

    @property
    def running(self) -> int:
        """How many journeys are under way (in the closed model: users)."""
        return len(self._running)

    async def drain(self, seconds: float) -> None:
        """Let journeys end for so long, those that wait for a user too; then end them, as `aborted`, and stop."""
        await self._let_end(seconds)
        self.stop()
        await self._end_running()

    async def settle(self, seconds: float) -> None:
        """As `drain`, but further journeys may begin afterwards."""
        await self._let_end(seconds)
        self.dropped += len(self._waiting)
        self._waiting.clear()
        await self._end_running()

    async def _let_end(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while self._running and (left := until - time.monotonic()) > 0:
            await asyncio.wait(list(self._running), timeout=left, return_when=asyncio.FIRST_COMPLETED)

    async def _end_running(self) -> None:
        left_over = dict(self._running)
        for task in left_over:
            task.cancel()
        if left_over:
            await asyncio.wait(list(left_over), timeout=_LAST_WORDS_S)
        for journey in left_over.values():
            if journey is not None:  # a journey that will not be ended
                self._records.journey(journey, error="aborted")

    def _look(self, task: asyncio.Task[None]) -> None:
        """Keep what the machinery itself got wrong; a journey's own exceptions never come this far."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self.broken = self.broken or error
            self.stop()
