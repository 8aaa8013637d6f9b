"""What became of a component in a run: measured, failed or skipped."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from storage.records.base import ComponentId, Record
from storage.records.collected import Collected
from storage.records.finding import Finding
from storage.records.measurement import Measurement


class MeasuredComponent(Record):
    """A component that was measured."""

    status: Literal["measured"] = "measured"
    component: ComponentId
    attempt: int = Field(ge=1)
    code_version: str
    collected: Collected
    measurements: tuple[Measurement, ...]
    findings: tuple[Finding, ...]


class FailedComponent(Record):
    """A component whose collection failed: it is not measured, and that is a critical finding."""

    status: Literal["failed"] = "failed"
    component: ComponentId
    error: str = Field(min_length=1)
    attempt: int = Field(default=1, ge=1)


class SkippedComponent(Record):
    """A component that was not measured on purpose.

    `switched_off` tells the environment's file turned it off (its weight is removed); otherwise this run alone
    left it out, and it counts as missing.
    """

    status: Literal["skipped"] = "skipped"
    component: ComponentId
    reason: str = Field(min_length=1)
    switched_off: bool = False


ComponentResult = Annotated[MeasuredComponent | FailedComponent | SkippedComponent, Field(discriminator="status")]
