"""The records of history: a run as it is remembered, and a metric over runs. Pure; `storage.history` reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from storage.records import Record, Trust, Unit, Utc

Floats = npt.NDArray[np.float64]


class HistoryComponent(Record):
    """How one component of a run was measured: what a comparison with other runs must know."""

    attempt: int
    code_version: str
    trust: Trust | None = None
    load_plan: Mapping[str, str] = {}
    fingerprint: Mapping[str, str] = {}


class HistoryRun(Record):
    """One run as history knows it. `verdict`, `score` and `grade` are those of its report; None where it has none.

    `attempt` is the last go at measuring it, 0 where none was noted; `revision` counts how often history took it up
    again after it had changed.
    """

    run: str
    environment: str
    profile: str
    started: Utc
    release: str | None = None
    commit: str | None = None
    baseline: str | None = None
    local: bool = False
    code_version: str
    machine: Mapping[str, str] = {}
    settings: Mapping[str, str] = {}
    components: Mapping[str, HistoryComponent] = {}
    attempt: int = 0
    judged: bool = False
    verdict: str | None = None
    score: float | None = None
    grade: str | None = None
    coverage: float | None = None
    partial: bool | None = None
    notes: tuple[str, ...] = ()
    revision: int = 0

    @property
    def whole(self) -> bool:
        """Whether the run has a report in which every component that the environment has was measured."""
        return self.partial is False


@dataclass(frozen=True)
class Series:
    """One metric of one part of the platform over runs, the oldest first.

    `values` are NaN where a run could not measure it, and `notes` then say why; `low` and `high` are the
    95 % interval where one is known, else NaN. `labels` is empty for a component's own figure.
    """

    metric: str
    labels: Mapping[str, str]
    unit: Unit
    runs: tuple[HistoryRun, ...]
    values: Floats
    n: npt.NDArray[np.int64]
    low: Floats
    high: Floats
    notes: tuple[str, ...]

    @property
    def times(self) -> list[datetime]:
        """When the runs started, UTC."""
        return [run.started for run in self.runs]
