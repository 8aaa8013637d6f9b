"""What changed since earlier runs, and where to look for the cause."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from storage.records.base import Count, Finite, MetricName, Ratio, Record, Unit, Utc
from storage.records.measurement import Measurement


class Place(Record):
    """Between which two runs something changed, and what changed with them."""

    after: str = Field(description="the last run of the level before")
    first: str = Field(description="the first run of the new level")
    since: Utc = Field(description="when that one started")
    releases: tuple[str | None, str | None] = (None, None)
    commits: tuple[str | None, str | None] = (None, None)


class Regression(Record):
    """A change for the worse against history or a baseline.

    `kind`: a change of `level` in history, a `drift` of it, a `disaster` of one run past every limit, or against the
    runs of a `baseline`. A change of level is suspected from 3 runs and confirmed from 7. `interval` is the 95 %
    interval of `change`; `runs` counts those behind the new value. `confirmed` ones fail the gate; a part of the
    platform (with `labels`) never does so by itself.
    """

    metric: MetricName
    labels: Mapping[str, str] = Field(default_factory=dict)
    baseline: Finite
    value: Finite
    unit: Unit
    change: Finite = Field(description="relative change, +0.10 is ten per cent more")
    confirmed: bool
    detail: str
    kind: Literal["level", "drift", "disaster", "baseline"] = "baseline"
    interval: tuple[Finite, Finite] | None = None
    runs: Count = 1
    place: Place | None = None


class Hint(Record):
    """Where to look first for an endpoint that is slow: what changed, or is wrong, about the same thing.

    `basis` is `changed` (both against an earlier run, in the same windows) or `slow` (a finding of another component
    about it). `rank` is 0..1. It is correlation, and no proof of anything.
    """

    endpoint: str
    cause: str
    basis: Literal["changed", "slow"]
    rank: Ratio
    detail: str
    evidence: tuple[Measurement, ...]
    findings: tuple[str, ...] = ()
