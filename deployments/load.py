"""The load of a profile: how many users, for how long, in which shape, and when it stops itself."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from deployments.settings import Settings

DAYS = Path(__file__).parent / "days"
"""Calendars of load periods that come with the program, one file each."""

_CLOCK = re.compile(r"^([01]\d|2[0-3]):([0-5]\d)$")

Clock = Annotated[str, Field(pattern=_CLOCK.pattern)]
"""A time of day, `HH:MM`."""

Shape = Literal["steady", "rise", "burst"]
"""How the rate goes within a period: `steady` at it; `rise` linearly up to it from the rate before; `burst`, as when
a bell rings: at it at once, then halved with each sixth of the period."""


class Period(Settings):
    """A stretch of the day; `rate` is a share of the load's full rate (users ÷ pace)."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    start: Clock
    end: Clock
    rate: float = Field(ge=0, le=100)
    shape: Shape = "steady"

    @property
    def minutes(self) -> tuple[int, int]:
        """When it starts and ends, in minutes of the day."""
        return _minutes(self.start), _minutes(self.end)


class Day(Settings):
    """A calendar of load periods, played in the time that the load has: an hour of it may take a minute."""

    periods: tuple[Period, ...] = Field(min_length=1)
    between: float = Field(default=0.0, ge=0, description="share of the full rate where no period is")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        at = 0
        for period in self.periods:
            start, end = period.minutes
            if not at <= start < end:
                msg = f"period {period.name} must end after it starts, and not start before the one above it ends"
                raise ValueError(msg)
            at = end
        names = [period.name for period in self.periods]
        if len(set(names)) < len(names) or "between" in names:
            raise ValueError("periods need names of their own, other than 'between'")
        return self

    @property
    def peak(self) -> float:
        """The highest share of the full rate."""
        return max(self.between, *(period.rate for period in self.periods))


def _named(given: Any) -> Any:
    """A day by the name of its file."""
    if not isinstance(given, str):
        return given
    path = DAYS / f"{given}.toml"
    known = sorted(one.stem for one in DAYS.glob("*.toml"))
    if path.stem not in known:
        raise ValueError(f"{given!r} is no day that comes with the program: {', '.join(known)}")
    return tomllib.loads(path.read_text(encoding="utf-8"))


class Search(Settings):
    """A stepped search, after the load, for the highest rate that the target sustains.

    The rate grows step by step through `target` to `target` × `margin`, never above the load's `max_rate`. A step is
    sustained while p95 and errors keep their limits and 95 % of its rate is achieved.
    """

    target: float = Field(gt=0, description="the rate that is needed: requests, or a scenario's journeys, a second")
    margin: float = Field(default=1.2, ge=1, description="the search stops at target × margin")
    step_s: float = Field(default=3, gt=0, le=600)
    p95_ms: float = Field(default=300, gt=0, description="a step is sustained while p95 of requests stays below")
    error_ratio: float = Field(default=0.01, ge=0, le=1, description="… and no more of them fail")


Think = Annotated[float, Field(ge=0, le=3600)]
"""Seconds."""


class Load(Settings):
    """The load of a profile, by one of two models.

    `arrivals` (open): requests begin at users ÷ pace a second, whatever the target does. `users` (closed): each user
    of the api component sends its next request when the last one is answered, its think time is over and its pace
    has passed; user k of n begins at k/n of the ramp. While the target stands still its users do too, and requests
    that callers would have sent are in no figure (coordinated omission). The other components keep to their own.
    """

    model: Literal["arrivals", "users"] = "arrivals"
    users: int = Field(ge=1, le=100_000)
    duration_s: float = Field(gt=0, le=7200)
    ramp_up_s: float = Field(ge=0)
    warmup_s: float = Field(default=0.0, ge=0, description="seconds after the ramp that no figure counts")
    pace_s: float = Field(default=1.0, gt=0)
    think_s: Think | tuple[Think, Think] = Field(
        default=0.0, description="of the model users: after each answer, seconds or a random time between two"
    )
    jitter: Literal["none", "uniform", "poisson"] = Field(
        default="poisson", description="how arrivals lie under the rate: independent users by default"
    )
    day: Annotated[Day | None, BeforeValidator(_named)] = Field(
        default=None, description="a calendar of load periods in place of one steady rate, or the name of one"
    )
    max_rate: float = Field(
        gt=0, description="requests a second that no generator may pass, capacity search included"
    )
    search: Search | None = Field(default=None, description="by the api component, when the load has ended")
    abort_error_ratio: float = Field(default=0.5, gt=0, le=1, description="stop when errors stay above this share")
    abort_latency_ms: float = Field(default=10_000, gt=0, description="stop when p95 stays above this")
    abort_after_s: float = Field(default=5, gt=0, description="… for this many seconds")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.ramp_up_s + self.warmup_s >= self.duration_s:
            msg = (
                f"ramp_up_s {self.ramp_up_s} and warmup_s {self.warmup_s} together must be shorter than "
                f"duration_s {self.duration_s}"
            )
            raise ValueError(msg)
        self._fits_model()
        if self.peak_rate > self.max_rate:
            pace = "pace_s" if self.model == "arrivals" else "max(pace_s, think_s)"
            what = f"users ÷ {pace}" if self.day is None else "users ÷ pace_s × the day's highest rate"
            msg = f"{what} = {self.peak_rate} requests/s is above max_rate {self.max_rate}"
            raise ValueError(msg)
        return self

    def _fits_model(self) -> None:
        least, most = self.think
        if most < least:
            raise ValueError(f"think_s: {most} is below {least}: name the shorter time first")
        if self.model == "arrivals":
            if most:
                raise ValueError('think_s has a meaning with model = "users" alone: set that, or remove it')
            return
        if self.day is not None:
            raise ValueError('model = "users" has no periods of a day: remove day, or use model = "arrivals"')
        if self.search is not None:
            raise ValueError('a search raises a rate of arrivals: use model = "arrivals", or remove search')

    @property
    def think(self) -> tuple[float, float]:
        """The shortest and the longest time that a user thinks, seconds."""
        return self.think_s if isinstance(self.think_s, tuple) else (self.think_s, self.think_s)

    @property
    def rate(self) -> float:
        """Arrival rate of the steady phase, requests per second; the highest possible one of the model `users`."""
        return self.users / max(self.pace_s, self.think[0])

    @property
    def peak_rate(self) -> float:
        """The highest arrival rate of the plan."""
        return self.rate * (1.0 if self.day is None else max(1.0 if self.ramp_up_s else 0.0, self.day.peak))

    @property
    def judged_s(self) -> float:
        """How long the part of the load lasts whose figures are reported: all but ramp and warm-up."""
        return self.duration_s - self.ramp_up_s - self.warmup_s


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return 60 * int(hours) + int(minutes)
