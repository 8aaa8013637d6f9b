"""A virtual user: what a scenario is given."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import httpx

from tasks.load.client.client import Engine, Exchange, LoadClient
from tasks.load.scenario.feeder import Feeder
from tasks.load.scenario.figures import SEPARATOR
from tasks.load.scenario.gate import Gate
from tasks.load.scenario.records import Journey, Records
from tasks.load.scenario.sleeper import Sleeper
from tasks.load.trust.guard import ASKS_FOR_PAUSE, pause_s

_BAD = 400


_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class WritesForbiddenError(Exception):
    """A request that may change data was not sent, since the environment forbids writes."""


@dataclass(frozen=True)
class Writes:
    """Whether requests may change data; paths that are `harmless` may be asked by any method."""

    allowed: bool = True
    harmless: frozenset[str] = frozenset()

    def check(self, method: str, url: httpx.URL | str) -> None:
        """`WritesForbiddenError` where the request must not be sent."""
        if self.allowed or method.upper() in _SAFE or (path := httpx.URL(url).path) in self.harmless:
            return
        raise WritesForbiddenError(f"{method} {path} was not sent: this environment forbids writes")


class UserClient(LoadClient):
    """`httpx.AsyncClient` on the load engine, through the gate; see `tasks.load.client.client.LoadClient`."""

    def __init__(self, gate: Gate, engine: Engine, *, writes: Writes | None = None, **options: Any) -> None:
        super().__init__(engine, **options)
        self._gate = gate
        self._writes = writes or Writes()
        self._asked = 0

    async def request(self, method: str, url: httpx.URL | str, **options: Any) -> httpx.Response:
        """See `httpx.AsyncClient.request`."""
        self._writes.check(method, url)
        if not self._gate.open():
            await self._wait()
        self._asked += 1
        response = await super().request(method, url, **options)
        return self._heeded(response)

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """See `httpx.AsyncClient.send`."""
        self._writes.check(request.method, request.url.path)
        if not self._gate.open():
            await self._wait()
        self._asked += 1
        return self._heeded(await super().send(request, **options))

    def told(self) -> None:
        """An exchange ended: of those that nobody asked for (redirects), the gate has to know."""
        if self._asked:
            self._asked -= 1
        else:
            self._gate.further()

    def forget_arrival(self) -> None:
        """The next request does not count from the journey's arrival: the scenario waited for something before it."""
        self.intended_ns = 0

    async def _wait(self) -> None:
        intended, self.intended_ns = self.intended_ns, 0
        paused = await self._gate.enter()
        self.intended_ns = 0 if paused else intended  # a pause is the target's wish: what it delays is not late

    def _heeded(self, response: httpx.Response) -> httpx.Response:
        if response.status_code in ASKS_FOR_PAUSE:
            seconds = pause_s(response.headers.get("retry-after"))
            if seconds > 0:
                self._gate.pause(seconds)
        return response


class User:
    """One virtual user; it makes one journey after the other.

    `number` tells users apart; `http` is its client, whose cookies and headers it keeps from journey to journey, as
    it does `memory`, a dict of its own; `data` is the row that the file's `data` feeder gave to this journey;
    `variables` are those of the environment file's `[scenario.variables]`; `rng` is seeded, so that a run can be
    repeated. `exactly` are the only good statuses of the journey, where it is not None.
    """

    def __init__(
        self, number: int, *, seed: int, records: Records, sleeper: Sleeper, variables: Mapping[str, str]
    ) -> None:
        self.number = number
        self.variables = variables
        self.data: Mapping[str, Any] = {}
        self.memory: dict[str, Any] = {}
        self.http: UserClient
        self.started = False
        self.last_error: str | None = None
        self._seed = seed
        self._records = records
        self._sleeper = sleeper
        self._journey = Journey("", 0, 0)
        self._groups: list[Journey] = []
        self._expected: frozenset[int] = frozenset()
        self.exactly: frozenset[int] | None = None

    @cached_property
    def rng(self) -> random.Random:
        """Random numbers of this user alone."""
        return random.Random(f"{self._seed}/{self.number}")  # noqa: S311 - a load plan, not a secret

    @property
    def journey(self) -> str:
        """The name of the journey: that of the scenario's function."""
        return self._journey.name

    async def think(self, seconds: float | tuple[float, float]) -> None:
        """Do nothing for some seconds, or for a random time between two; no figure of a request holds it."""
        low, high = (seconds, seconds) if isinstance(seconds, int | float) else seconds
        span = low if low == high else self.rng.uniform(low, high)
        self.http.forget_arrival()
        await self._sleeper.until(time.monotonic_ns() + round(span * 1e9))

    def check(self, condition: object, name: str) -> bool:
        """Count whether something is as it should be; where it is not, the journey goes on and counts as failed."""
        passed = bool(condition)
        self._records.check(self._journey.name, name, passed=passed)
        if not passed:
            for one in (self._journey, *self._groups):
                one.failed = True
        return passed

    @contextmanager
    def group(self, name: str) -> Iterator[None]:
        """Measure the whole time of a part of the journey, under this name: `with user.group("pay"): …`."""
        intended = self.http.intended_ns or time.monotonic_ns()
        group = Journey(f"{self._journey.name}{SEPARATOR}{name}", self._journey.phase, intended)
        self._groups.append(group)
        try:
            yield
        except asyncio.CancelledError:
            self._records.journey(group, error="aborted", whole=False)
            raise
        except BaseException as error:
            kind = self.error_kind(error)
            self._records.journey(group, error=kind, broken=kind is None, whole=False)
            raise
        else:
            self._records.journey(group, whole=False)
        finally:
            self._groups.remove(group)

    def draw(self, feeder: Feeder) -> Mapping[str, Any]:
        """The next row of a feeder; where a feeder whose rows serve once is used up, the journey ends."""
        return feeder.draw(self.rng)

    def expect(self, *statuses: int) -> None:
        """Statuses of 400 and more that are good answers for the rest of this journey: they are not failed."""
        self._expected |= frozenset(statuses)

    # --- told by the crowd and the client ---

    def begin(self, journey: Journey) -> None:
        """A journey of this user begins now."""
        self._journey = journey
        self._groups.clear()
        self._expected = frozenset()
        self.exactly = None
        self.last_error = None
        self.http.intended_ns = journey.intended

    def told(self, exchange: Exchange) -> bool:
        """An exchange ended: record it; whether it was a good one."""
        self.http.told()
        self.last_error = exchange.error
        failed = exchange.error is None and not self._is_good(exchange.status)
        self._records.request(exchange, self._journey.phase, failed=failed)
        return not failed and exchange.error is None

    def _is_good(self, status: int) -> bool:
        if self.exactly is not None:
            return status in self.exactly
        return status < _BAD or status in self._expected

    def error_kind(self, error: BaseException) -> str | None:
        """The kind of the request's error where that is what ended a journey; None for any other exception."""
        return self.last_error if isinstance(error, httpx.TransportError) else None
