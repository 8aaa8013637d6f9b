"""What someone should act on, and how to undo it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from storage.records.base import ComponentId, Finite, MetricName, Record
from storage.records.measurement import Measurement


class Severity(StrEnum):
    """How a finding weighs: a critical one alone fails the gate."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class Level(StrEnum):
    """Impact or effort."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class PredictedChange(Record):
    """What a remedy is expected to do to one measurement; the next run verifies it.

    `interval` holds the value in four of five cases (80 %); None where the advice does not know.
    """

    metric: MetricName
    value: Finite
    labels: Mapping[str, str] = Field(default_factory=dict)
    how: str = Field(min_length=1, description="how the prediction was made")
    interval: tuple[Finite, Finite] | None = None
    raw: Finite | None = Field(
        default=None, description="what the advice predicted, where the ledger of its kind corrected it since"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.interval is not None and self.interval[1] < self.interval[0]:
            msg = f"{self.metric}: the interval of the prediction ends before it begins"
            raise ValueError(msg)
        return self


class Remedy(Record):
    """What to do, and how to undo it. Commands are copied and run as they stand."""

    summary: str
    commands: tuple[str, ...] = ()
    rollback: tuple[str, ...] = ()
    patches: tuple[str, ...] = ()
    predicted: tuple[PredictedChange, ...] = ()


class Finding(Record):
    """One thing that someone should act on.

    `id` is stable between runs: `component.kind:subject`. `detail` tells what was seen, in a sentence or two.
    """

    id: str
    component: ComponentId
    kind: str
    subject: str
    title: str
    detail: str
    severity: Severity
    impact: Level
    effort: Level
    evidence: tuple[Measurement, ...] = ()
    remedy: Remedy

    @classmethod
    def of(
        cls,
        component: ComponentId,
        kind: str,
        subject: str,
        *,
        title: str,
        detail: str,
        severity: Severity,
        impact: Level,
        effort: Level = Level.LOW,
        evidence: Iterable[Measurement | None] = (),
        remedy: Remedy,
    ) -> Self:
        """A finding with the id that its component, kind and subject make; evidence that is None is left out."""
        return cls(
            id=f"{component.value}.{kind}:{subject}",
            component=component,
            kind=kind,
            subject=subject,
            title=title,
            detail=detail,
            severity=severity,
            impact=impact,
            effort=effort,
            evidence=tuple(each for each in evidence if each is not None),
            remedy=remedy,
        )
