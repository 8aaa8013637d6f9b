"""A run: what it is of, its attempts, its course over time, and the runs before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, model_validator

from storage.records.base import ComponentId, Count, Finite, MetricName, Ratio, Record, Utc
from storage.records.gate import GateVerdict


class Attempt(Record):
    """One go at measuring a run: when, and which target it found at its start and at its end.

    `identity` and `identity_after` are what the target said of itself (`tasks.identity`): `release`,
    `function_versions`, `schema_version`, `data_size` in bytes; a key that is missing could not be read, and `notes`
    say why. Times run from `opened` (the flow began) over `waited_s` in the environment's queue to `judged`.
    """

    number: int = Field(ge=1)
    flow_run: str | None = Field(default=None, description="id of the flow run that made it")
    opened: Utc
    waited_s: Finite = Field(default=0, ge=0)
    judged: Utc | None = None
    identity: Mapping[str, str] = Field(default_factory=dict)
    identity_after: Mapping[str, str] | None = None
    notes: tuple[str, ...] = ()


class RunInfo(Record):
    """Which run this is, of what, by what."""

    run: str
    environment: str
    profile: str
    release: str | None = None
    started: Utc
    local: bool = False
    flow_run: str | None = Field(default=None, description="id of the flow run that opened it")
    commit: str | None = Field(default=None, description="what the release was built from")
    baseline: str | None = Field(default=None, description="the run that this one is held against")
    code_version: str
    machine: Mapping[str, str] = Field(default_factory=dict)
    settings: Mapping[str, str] = Field(default_factory=dict, description="the load profile and what was overridden")


class Timeline(Record):
    """How the requests of one component went over time, step by step, by their intended moments.

    `metric` is the judged percentile that they belong to, such as `api.latency.p95`; times are in ms, from the
    intended moment. Every list has one entry a step of `step_s` seconds from `start` on: `phases` the phase that most
    of its requests belong to (empty where there were none), `p50` … `p99` None where too little was answered.
    `wrong` counts what went wrong over all of it by kind (`status 500`, `timeout`). Of the `judged` requests that the
    metric speaks of, `in_time` were answered as expected within `limit`; None where no limit is known.
    """

    component: ComponentId
    metric: MetricName
    start: Utc
    step_s: Finite = Field(gt=0)
    limit: Finite | None = None
    phases: tuple[str, ...]
    sent: tuple[Count, ...]
    bad: tuple[Count, ...] = Field(description="answered unexpectedly, or not at all")
    p50: tuple[Finite | None, ...]
    p95: tuple[Finite | None, ...]
    p99: tuple[Finite | None, ...]
    wrong: Mapping[str, Count] = Field(default_factory=dict)
    judged: Count = 0
    in_time: Count | None = None

    @model_validator(mode="after")
    def _aligned(self) -> Self:
        columns = (self.phases, self.sent, self.bad, self.p50, self.p95, self.p99)
        if len({len(column) for column in columns}) != 1:
            msg = f"timeline of {self.metric}: its lists differ in length"
            raise ValueError(msg)
        return self


class EarlierRun(Record):
    """What an earlier run of the same kind came to: for the change since then, and the trend."""

    run: str
    started: Utc
    release: str | None = None
    score: Annotated[float, Field(ge=0, le=100)]
    coverage: Ratio
    verdict: GateVerdict
