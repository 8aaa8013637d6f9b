"""The release gate: its policy, its checks, and who answers for one that fails."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from storage.records.base import Finite, MetricName, Record, Unit


class GateVerdict(StrEnum):
    """The answer of one gate check, and of the gate."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    NO_DATA = "no_data"


class GatePolicy(Record):
    """How strict an environment's gate is: a profile of deployments/thresholds.toml.

    Where it does not `block`, what fails is a warning and the exit code stays 0; what was not measured is
    incomplete all the same. `required` are the metrics that must have a gate limit: without one there is no data.
    `self_test` makes each run damage copies of itself and prove that the gate blocks them.
    """

    name: str = Field(default="strict", min_length=1)
    blocks: bool = True
    score: Annotated[float, Field(gt=0, le=100)] = 85.0
    required: tuple[MetricName, ...] = ()
    self_test: bool = False


class Waiver(Record):
    """Somebody answers for a failing check until a day: `check` is a check's id, or that of a critical finding."""

    check: str = Field(min_length=1)
    owner: Annotated[str, StringConstraints(strip_whitespace=True, min_length=3)] = Field(
        description="a person or team that can be asked"
    )
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=10)]
    until: date = Field(description="the last day on which it holds")
    environments: tuple[str, ...] = Field(default=(), description="where it holds; everywhere by default")


class WaiverState(StrEnum):
    """What became of a waiver in one run."""

    HONOURED = "honoured"
    NOT_NEEDED = "not_needed"
    EXPIRED = "expired"
    REFUSED = "refused"


class WaiverUse(Record):
    """A waiver as a run took it; every report shows it, honoured or not."""

    waiver: Waiver
    state: WaiverState
    why: str


class GateCheck(Record):
    """One row of the gate: a raw value held strictly against a limit; a missing value is `no_data`.

    `waived` says who answers for a check that fails, until when and why: it fails, and does not count.
    """

    id: str
    title: str
    value: Finite | None
    limit: Finite
    unit: Unit
    comparison: Literal["<", ">", ">=", "=="]
    verdict: GateVerdict
    detail: str = ""
    waived: str = ""

    @model_validator(mode="after")
    def _only_failures_are_waived(self) -> Self:
        if self.waived and self.verdict is not GateVerdict.FAIL:
            msg = f"{self.id}: only what fails can be waived"
            raise ValueError(msg)
        return self


class Gate(Record):
    """The release gate: `no_data` goes before `fail`, for it means that nobody knows."""

    verdict: GateVerdict
    checks: tuple[GateCheck, ...]
    policy: GatePolicy = Field(default_factory=GatePolicy)
    waivers: tuple[WaiverUse, ...] = ()
