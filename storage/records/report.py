"""The one truth of a run."""

from __future__ import annotations

from datetime import date

from pydantic import Field

from storage.records.advice import Calibration, RoadmapItem, Verification
from storage.records.base import SCHEMA_VERSION, Record
from storage.records.change import Hint, Regression
from storage.records.component import ComponentResult
from storage.records.finding import Finding
from storage.records.gate import Gate
from storage.records.run import Attempt, EarlierRun, RunInfo, Timeline
from storage.records.score import Score


class Report(Record):
    """The one truth of a run: every rendering is made from this record alone."""

    schema_version: int = SCHEMA_VERSION
    info: RunInfo
    components: tuple[ComponentResult, ...]
    score: Score
    gate: Gate
    findings: tuple[Finding, ...] = Field(description="all findings, the most useful first")
    roadmap: tuple[RoadmapItem, ...] = ()
    regressions: tuple[Regression, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    notes: tuple[str, ...] = ()
    timelines: tuple[Timeline, ...] = ()
    earlier: tuple[EarlierRun, ...] = Field(
        default=(), description="runs of the same environment, profile, place and components before it, oldest first"
    )
    hints: tuple[Hint, ...] = Field(default=(), description="where to look first for slow endpoints: correlation")
    verifications: tuple[Verification, ...] = Field(
        default=(), description="remedies applied since the last run: actual beside predicted"
    )
    calibration: tuple[Calibration, ...] = Field(
        default=(), description="how good each kind of advice was until then"
    )
    judged_by: date | None = Field(
        default=None, description="the day whose limits and waivers judged it, where these are not the run's own"
    )

    @property
    def partial(self) -> bool:
        """Whether a component that this environment has was not measured."""
        return any(
            result.status == "failed" or (result.status == "skipped" and not result.switched_off)
            for result in self.components
        )
